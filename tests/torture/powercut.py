#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""powercut: the power fails at any moment, and the disk has kept any part of what was not synced; what was promised is there.

    tests/torture/powercut.py --cuts 500 --seconds 20

A gateway works under load, with interpose.c writing down every change and sync of its files, and every 250 among them: mail comes in,
is delivered, refused and reported, tried again, captured, held, deleted by an operator; segments roll, are compacted and unlinked; it is
killed and started again on the way. Then, for each of many cuts of that log, the disk as it may have been left (disk.py) is laid out,
`tidegate check --store` must find it sound, and a gateway started on it must have

    every recipient acknowledged before the cut, unless by then the peer had it, its report was on the way or done, it was captured
    whole, or an operator had deleted it;
    a ledger that counts at least what the peer had been given;
    every address an operator had been told is suppressed.

What is queued though the peer has it will come twice: allowed where the cut fell between the peer's 250 and the commit, so for no more
recipients than are in flight; the figure printed is how many commits of others at most lay between the two.

With --deaf NAME the syncs of files whose name ends like that ("/": of folders) are taken for missing: then it must find losses. The
suite does so for each of the three kinds, so that we know the test can see.
"""
import argparse
import bisect
import os
import pathlib
import random
import shutil
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
if os.access("/dev/shm", os.W_OK):
    os.environ.setdefault("TIDEGATE_TMP", "/dev/shm")

from disk import MODES, Disk, Log, drop_torn_end  # noqa: E402
from lab import ground, mail, policies, scripted  # noqa: E402
from lab.gateway import Gateway  # noqa: E402

INTERPOSE = ground.REPOSITORY / "build/torture/interpose.so"
IN_FLIGHT = 16  # recipients whose outcome may be unknown to us at once
LEAST = 20  # messages acknowledged in a life that tells anything
STORE = {"segment": "1MiB", "reserve": "1MiB"}

POLICY = policies.PRELUDE + '''
local limit = require "limit"
local function kind(r) return r.address:match("^(%%a+)%%-") end
return {
    route = function(m, r)
        if kind(r) == "stay" then return route.hold("stays") end
        if kind(r) == "keep" then return route.send{ via = route.capture{ dir = "in" } } end
        return route.send{ via = route.relay{ host = "%s", port = %d, tls = "none" }, lane = { connections = 4, per_connection = 50 },
                           spend = { limit.per_day("cap", 1000000) } }
    end,
    retry = function(m, r, o) if o.permanent then return retry.give_up("refused") end return retry.wait(1, "soon") end,
}
'''
HOLD = policies.policy('route = function() return route.hold("stays") end')


class Run:
    """One life of a gateway under load, logged; what everybody was told, with the place in the log where that was."""

    def __init__(self, seconds, senders, seed):
        self.chance = random.Random(seed)
        self.folder = ground.folder("watched")
        self.path = self.folder / "log"
        self.sent, self.deleted, self.suppressed, self.ended = {}, {}, {}, False
        self.peer = scripted.Scripted(rcpt={"refused": "550 5.1.1 refused by the test", "later": ["450 4.2.1 later", "250 ok"] * 2000, "*": None})
        self.peer.accepted = Noting(self)
        environment = {"LD_PRELOAD": str(INTERPOSE), "TIDEGATE_WATCH": str(self.folder / "var"), "TIDEGATE_WATCH_LOG": str(self.path)}
        self.gateway = Gateway(policy=POLICY % (self.peer.host, self.peer.port), folder=self.folder, environment=environment, store=STORE, virtual_clock=False)
        threads = [threading.Thread(target=self.send, args=(seed + 1 + i,), daemon=True) for i in range(senders)]
        try:
            for t in threads:
                t.start()
            end, restart = time.monotonic() + seconds, time.monotonic() + seconds / 2
            patience = end + 60 * ground.PATIENCE  # a busy machine needs longer for a life that tells something
            while time.monotonic() < end or (len(self.sent) < 2 * LEAST and time.monotonic() < patience):
                time.sleep(0.1)
                self.operate()
                if restart and time.monotonic() > restart:
                    restart = None
                    self.gateway.kill9()
                    drop_torn_end(self.path)
                    self.gateway.start()
            self.ended = True
            for t in threads:
                t.join(10)
        finally:
            self.ended = True
            self.gateway.kill9()
            self.gateway.stop()
            self.peer.stop()
        self.log = Log(self.path)

    def position(self):
        return self.path.stat().st_size

    def send(self, seed):
        chance, g = random.Random(seed), self.gateway
        while not self.ended:
            try:
                with smtplib.SMTP(g.host, g.RELAY, "client.example", timeout=10) as s:
                    s.ehlo()
                    for _ in range(25):
                        if not self.ended:
                            self.one(s, chance)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)

    def one(self, s, chance):
        word = mail.token()
        kind = chance.choices(("ok", "refused", "later", "keep", "stay"), (60, 10, 10, 15, 2))[0]
        to = [f"{kind}-{word}@example.net"] + ([f"ok-second-{word}@example.net"] if chance.random() < 0.2 else [])
        text = mail.message(word, body=("k" * 70 + "\r\n") * (chance.choice((1, 20, 300, 4000)) if kind != "stay" else 3)) + f"end of {word}\r\n"
        s.mail(f"s-{word}@home.example")
        for address in to:
            s.rcpt(address)
        code, said = s.data(text)
        if code == 250:
            self.sent[said.split()[-1].decode()] = (word, to)

    def operate(self):
        g = self.gateway
        try:
            if self.chance.random() < 0.3:
                rows = g.queue(state="held", limit=3)
                if rows:
                    at = self.position()
                    g.change("delete", id=rows[0]["id"])
                    self.deleted[rows[0]["id"]] = at
            if self.chance.random() < 0.3:
                address = f"no-{mail.token()}@example.net"
                g.control("suppression", action="add", address=address)
                self.suppressed[address] = self.position()
        except (OSError, ground.LabError):
            g.disconnect()


class Noting(list):
    """The peer's list of what it accepted; each is given its place in the log before the 250 is said."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def append(self, accepted):
        accepted.position = self.run.position()
        super().append(accepted)


class Accounts:
    """What must be found after a cut."""

    def __init__(self, run):
        self.run, log = run, run.log
        self.at_peer = {}  # address -> record from which on the peer has it
        for m in run.peer.accepted:
            if m.reply.startswith("2"):
                for to in m.recipients:
                    self.at_peer.setdefault(to, []).append(self.index(m.position))
        self.accepted = sorted(self.index(m.position) for m in run.peer.accepted if m.reply.startswith("2"))
        self.promised = sorted((log.promises[id], id, word, to) for id, (word, to) in run.sent.items() if id in log.promises)
        self.deleted = {id: self.index(at) for id, at in run.deleted.items()}
        self.suppressed = {address: self.index(at) for address, at in run.suppressed.items()}
        self.starts = [i for i, r in enumerate(log.records) if r.kind == "M" and not r.name]
        self.commits = [i for i, r in enumerate(log.records) if r.kind == "Y"]

    def index(self, position):
        return bisect.bisect_left(self.run.log.starts, position)

    def peer_has(self, address, cut):
        return any(at <= cut for at in self.at_peer.get(address, ()))

    def spent(self, cut):
        return bisect.bisect_right(self.accepted, cut)

    def lost(self, cut, queued, captured):
        """Addresses promised before the cut that nobody has. queued: {(id, address)}, senders of reports among the addresses."""
        reports, missing = {a for _, a in queued if a.endswith("@home.example")}, []
        for at, id, word, to in self.promised:
            if at >= cut:
                break
            for address in to:
                if (id, address) in queued or self.peer_has(address, cut) or self.deleted.get(id, cut + 1) <= cut:
                    continue
                sender = f"s-{word}@home.example"
                if address.startswith("refused-") and (sender in reports or self.peer_has(sender, cut)):
                    continue
                if address.startswith("keep-") and word in captured:
                    continue
                missing.append(f"{id} {address}")
        return missing

    def twice(self, cut, queued):
        """How many commits ago the peer got what is still queued, for each such recipient that no kill explains."""
        late = []
        for _, address in queued:
            times = [at for at in self.at_peer.get(address, ()) if at <= cut]
            if times and not any(max(times) < start <= cut for start in self.starts):
                late.append(bisect.bisect_left(self.commits, cut) - bisect.bisect_left(self.commits, max(times)))
        return late


def captured_whole(folder):
    """Words of captured messages; a file that is there must be whole."""
    words = {}
    for file in folder.glob("capture/in/new/*"):
        raw = file.read_bytes()
        word = raw.split(b"X-Token: ", 1)[-1].split(b"\n", 1)[0].strip().decode(errors="replace")
        if raw.endswith(f"end of {word}\n".encode()):
            words[word] = file
        else:
            words[f"torn: {file.name}"] = file
    return words


def look(log, accounts, cut, disk, chance, mode):
    """Lays out the disk of one cut and looks at it with the gateway's own eyes. What is wrong, and how late outcomes were."""
    disk.forward(cut)
    folder = ground.folder("cut")
    try:
        disk.write(folder / "var", chance, mode)
        captured = captured_whole(folder / "var")
        wrong = [f"captured mail is {word}" for word in captured if word.startswith("torn")]
        (folder / "var").mkdir(exist_ok=True)
        g = Gateway(policy=HOLD, folder=folder, start=False, store=STORE, virtual_clock=False, workers=1)
        checked = g.cli("check", "--store", check=False)
        if checked.returncode:
            return wrong + [f"check --store: {checked.stdout[:600]}{checked.stderr[:600]}"], []
        g.start()
        queued = {(r["id"], r["recipient"]) for r in g.queue()}
        used = sum(r["used"] for r in g.control("limit")[0])
        listed = {r["address"] for r in g.control("suppression", action="list", limit=0)[0]}
        g.kill9()
        g.check_said()
        if "bodies are lost" in g.said():
            wrong.append(g.said()[:300])
        wrong += [f"lost: {a}" for a in accounts.lost(cut, queued, captured)]
        wrong += [f"no longer suppressed: {a}" for a, at in accounts.suppressed.items() if at <= cut and a not in listed]
        if used < accounts.spent(cut):
            wrong.append(f"the ledger says {used}, the peer was given {accounts.spent(cut)}")
        return wrong, accounts.twice(cut, queued)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def choose(log, count, chance):
    """Half of the cuts right behind a promise, where it matters most; the others anywhere."""
    promises = list(log.promises.values())
    return sorted((chance.choice(promises) + 1 + chance.randint(0, 2) if promises and chance.random() < 0.5 else chance.randint(0, len(log.records))) for _ in range(count))


def run(cuts=40, seconds=4.0, senders=4, seed=None, deaf=(), quiet=False, blind=12):
    """Raises where something is lost. With `blind`: up to so many cuts more for each kind of sync left out, which must find a loss."""
    if not INTERPOSE.exists():
        subprocess.run(["make", "-s", "-C", ground.REPOSITORY, "interpose"], check=True)
    seed = seed if seed is not None else random.randrange(1 << 30)
    began = time.monotonic()
    life = Run(seconds, senders, seed)
    log, accounts = life.log, Accounts(life)
    words = (f"seed {seed}: {len(log.promises)} messages acknowledged, {len(log.records)} records ({log.count('W')} writes, {log.count('SY')} syncs, "
             f"{log.count('CMURL')} names, {sum(r.kind == 'U' and r.name.endswith('.seg') for r in log.records)} segments unlinked, {log.compacted()} made by compaction)")
    if not quiet:
        print(words, flush=True)
    if len(accounts.promised) < LEAST:
        raise ground.LabError(f"{words}: too little to tell anything; log {life.gateway.log}")
    if not any(r.kind == "C" and r.name.endswith(".seg") for r in log.records):
        raise ground.LabError(f"{words}: interpose.c has seen no segment being made. Does the program call libc by names that it does not know (nm -D build/tidegate)?")
    wrong, late, _ = cut_all(log, accounts, cuts, seed, deaf, quiet)
    seen = {}
    for name in (".seg", "data.mdb", "/") if blind else ():
        seen[name] = cut_all(log, accounts, blind, seed + 1, (name,), True, until_first=True)[2]
    words += (f"; {cuts} cuts in {time.monotonic() - began:.0f} s: {len(wrong)} with losses; {sum(map(len, late))} recipients would come twice, "
              f"their outcome at most {max((n for l in late for n in l), default=0)} commits late"
              + (f"; with syncs left out, a loss in {', '.join(f'{n or 0} cuts ({k})' for k, n in seen.items())}" if blind else ""))
    if not quiet:
        print(words)
    if deaf:
        return words
    if wrong:
        raise ground.LabError(words + "\n" + "\n".join(f"cut {cut} ({mode}): {'; '.join(w[:5])}" for cut, mode, w in wrong[:10]) + f"\nlog of the run: {life.path}")
    if max(map(len, late), default=0) > IN_FLIGHT:
        raise ground.LabError(f"{words}: up to {max(map(len, late))} in one cut, more than can be in flight")
    if blind and not all(seen.values()):
        raise ground.LabError(f"{words}: a missing sync was not noticed, so this test proves nothing")
    shutil.rmtree(life.folder, ignore_errors=True)
    return words


def cut_all(log, accounts, cuts, seed, deaf, quiet, until_first=False):
    """What was wrong, how late outcomes were, and the number of cuts until the first loss (0: none)."""
    chance, disk, wrong, late, told = random.Random(seed), Disk(log, deaf), [], [], time.monotonic()
    for i, cut in enumerate(choose(log, cuts, chance)):
        mode = chance.choice(MODES)
        faults, twice = look(log, accounts, cut, disk, random.Random(seed * 1000003 + i), mode)
        late.append(twice)
        if faults:
            wrong.append((cut, mode, faults))
            if until_first:
                return wrong, late, i + 1
        if not quiet and time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"  {i + 1} of {cuts} cuts, {len(wrong)} with losses", flush=True)
    return wrong, late, 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cuts", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=15, help="of load before them")
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--deaf", action="append", default=[], help="leave these syncs out: .seg, data.mdb, /")
    options = parser.parse_args()
    try:
        run(options.cuts, options.seconds, options.senders, options.seed, options.deaf, blind=0 if options.deaf else 40)
        ground.clean()
    except ground.LabError as e:
        sys.exit(f"FAILED: {e}")
