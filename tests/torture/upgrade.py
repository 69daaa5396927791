#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""upgrade: a store that an older version wrote is opened, whole; one that a newer version wrote is refused, in words.

    tests/torture/upgrade.py              opens each store of tests/torture/stores and accounts for all that is in it
    tests/torture/upgrade.py --make NAME  writes another one with this build: before an encoding of the store changes

A store is kept as NAME.tar.xz beside NAME.json, which says what is in it: recipients of every state, their bodies, suppressed addresses,
what the ledger counts, decisions. It is opened at the time it was made (interpose.c sets the clock), for mail expires.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import struct
import sys
import tarfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lab import ground, mail, policies, scripted  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from powercut import INTERPOSE, STORE  # noqa: E402

STORES = pathlib.Path(__file__).resolve().parent / "stores"
CAP = 3

POLICY = policies.PRELUDE + '''
local limit, suppression = require "limit", require "suppression"
return {
    route = function(m, r)
        if r.address:match("^stay") then return route.hold("stays") end
        return route.send{ via = route.relay{ host = "%s", port = %d, tls = "none" },
                           spend = r.address:match("^limited") and { limit.per_day("cap", %d) } or nil }
    end,
    retry = function(m, r, o) if o.permanent then return retry.give_up("refused") end return retry.wait(600, "later") end,
}
'''
RELEASE = policies.PRELUDE + '''
return { route = function(m, r) return route.send{ via = route.relay{ host = "%s", port = %d, tls = "none" } } end }
'''


def row(r):
    return {k: r.get(k) for k in ("id", "n", "sender", "recipient", "state", "attempts")}


def facts(g):
    return {"queue": sorted((row(r) for r in g.queue()), key=lambda r: (r["id"], r["n"])),
            "suppressed": sorted((r["address"], r["scope"], r["reason"]) for r in g.control("suppression", action="list", limit=0)[0]),
            "used": {r["key"]: r["used"] for r in g.control("limit")[0]}}


def digest(raw):
    """Of the body: the header gets a trace of each way out."""
    return hashlib.sha256(raw.split(b"\r\n\r\n", 1)[1]).hexdigest()


def make(name):
    peer = scripted.Scripted(rcpt={"later": "450 4.2.1 later", "refused": "550 5.1.1 no", "s-": "450 4.2.1 later", "*": None})
    g = Gateway(policy=POLICY % (peer.host, peer.port, CAP), store=STORE, virtual_clock=False, workers=2, delivery={"expire": "5d"})
    bodies = {}
    for i, kind in enumerate(("stay", "stay", "later", "later", "refused", "limited", "limited", "limited", "limited", "limited", "ok")):
        word = f"w{i}{kind}"
        body = f"body of {word}, \u00fcber alles\r\n" * (1 + i * i * 40)
        text = mail.message(word, body=body).encode()
        g.submit(word, to=[f"{kind}-{word}@example.net"] + ([f"{kind}-second-{word}@example.net"] if i % 2 else []), sender=f"s-{word}@home.example", text=text)
        bodies[word] = digest(text)
    g.until_event("limit")
    g.until_event("bounced")
    for fields in (dict(address="gone@example.net", reason="asked by phone"), dict(address="@all.example"), dict(address="news@example.net", scope="stream:news")):
        g.control("suppression", action="add", **fields)
    time.sleep(1)
    said = {"made": time.time(), "cap": CAP, **facts(g), "bodies": bodies, "version": g.cli("version", check=False).stdout.strip()}
    g.stop()
    peer.stop()
    STORES.mkdir(exist_ok=True)
    (g.folder / "var/queue/reserve").unlink(missing_ok=True)
    with tarfile.open(STORES / f"{name}.tar.xz", "w:xz") as tar:
        tar.add(g.folder / "var/queue", "queue", filter=lambda t: None if t.name.endswith(("/lock", "/lock.mdb")) else t)
    (STORES / f"{name}.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    print(f"{STORES / name}.tar.xz: {(STORES / f'{name}.tar.xz').stat().st_size} bytes, {len(said['queue'])} recipients")


def opened(name, policy, made):
    """A gateway on a copy of it, not yet started, at the time it was made."""
    folder = ground.folder("upgrade")
    (folder / "var").mkdir()
    with tarfile.open(STORES / f"{name}.tar.xz") as tar:
        tar.extractall(folder / "var")
    (folder / "clock").write_bytes(struct.pack("<q", int(made - time.time())))
    return Gateway(policy=policy, folder=folder, start=False, store=STORE, delivery={"expire": "5d"},
                   environment={"LD_PRELOAD": str(INTERPOSE), "TIDEGATE_WATCH": str(folder / "var"), "TIDEGATE_CLOCK": str(folder / "clock")})


def check(name):
    said = json.loads((STORES / f"{name}.json").read_text())
    peer = scripted.Scripted(rcpt="450 4.2.1 later")
    g = opened(name, POLICY % (peer.host, peer.port, said["cap"]), said["made"])
    try:
        checked = g.cli("check", "--store", check=False)
        if checked.returncode:
            raise ground.LabError(f"{name}: {checked.stdout}{checked.stderr}")
        g.start()
        now = facts(g)
        for what in ("queue", "used"):
            if now[what] != said[what]:
                raise ground.LabError(f"{name}: {what} was {said[what]}, is {now[what]}")
        if now["suppressed"] != [tuple(s) for s in said["suppressed"]]:
            raise ground.LabError(f"{name}: suppressed was {said['suppressed']}, is {now['suppressed']}")
        for r in said["queue"]:
            if not g.control("queue", action="show", id=r["id"])[0]:
                raise ground.LabError(f"{name}: nothing to show of {r['id']}")
        g.write_scripts({"policy.lua": RELEASE % (peer.host, peer.port)})
        g.reload()
        peer.set(rcpt=None)
        g.change("release")
        g.change("retry")

        def drained():
            g.advance_clock(300)
            return not g.queue(limit=1)
        ground.until("all of it leaves", drained, 20, every=0.2, log=g.log)
        arrived = {to: m for m in peer.accepted for to in m.recipients}
        for r in said["queue"]:
            m = arrived.get(r["recipient"])
            if m is None:
                raise ground.LabError(f"{name}: {r['recipient']} has not arrived")
            word = m.stored().field("X-Token")
            if r["sender"] and said["bodies"][word] != digest(m.raw):
                raise ground.LabError(f"{name}: the body of {word} is not what it was")
        g.stop()
        return f"{name} ({said['version']}): {len(said['queue'])} recipients, {len(said['suppressed'])} suppressed, opened and delivered"
    finally:
        g.kill9() if g.alive() else None
        peer.stop()


def newer(name):
    """The same store, said to be of an encoding to come."""
    g = opened(name, policies.policy('route = function() return route.hold("stays") end'), time.time())
    path = g.folder / "var/queue/data.mdb"
    data = bytearray(path.read_bytes())
    at, found = data.find(b"version" + bytes(7)), 0
    while at >= 0:
        data[at + 14] += 100
        found += 1
        at = data.find(b"version" + bytes(7), at + 1)
    path.write_bytes(data)
    g.start(wait=False)
    code = g.process.wait(10)
    g.process = None
    if not found or code in (0, None) or "newer tidegate" not in g.said():
        raise ground.LabError(f"a store of a newer version: exit {code}, {found} places changed; {g.said()}")
    if path.read_bytes() != data:
        raise ground.LabError("a store of a newer version was written to")


def run(quiet=False):
    names = sorted(p.stem for p in STORES.glob("*.json"))
    if not names:
        raise ground.LabError(f"no store in {STORES}")
    for name in names:
        words = check(name)
        if not quiet:
            print(words)
    newer(names[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--make", metavar="NAME")
    options = parser.parse_args()
    try:
        make(options.make) if options.make else run()
        ground.clean()
    except ground.LabError as e:
        sys.exit(f"FAILED: {e}")
