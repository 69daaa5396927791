#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""faults: every call to the kernel, one after the other, is the last one, or fails; after that nothing is lost.

    tests/torture/faults.py                          a kill at every change of the store's files, then every kind of failure
    tests/torture/faults.py --kinds kill --every 5   a kill at every fifth
    tests/torture/faults.py --only wsnt:117:kill     this one again, and keep its folder

One scripted run is repeated: mail comes in and fills segments, is delivered, refused and reported, tried again, captured, held, released,
deleted; a limit is spent; an address is suppressed; the policy is reloaded and rolled back; compaction moves what stays; the gateway
ends. interpose.c makes the k-th call of a class (writes, syncs, names, sizes, reads, sockets, descriptors, allocations) die or fail, for
all k, or some thousand of them where there are too many. Then the gateway (started again if it was killed) finishes the run, and

    every acknowledged message is delivered, reported, captured, held, or was deleted by the operator who asked for it;
    the ledger counts no less than the peer was given, what was suppressed is, and `tidegate check --store` finds nothing;
    copies that came twice are no more than were in flight; a run without a fault has none.

A call that fails (not: kills) must leave the gateway running, or it says why it ends; without memory it ends, by design.
"""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import smtplib
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
if os.access("/dev/shm", os.W_OK):
    os.environ.setdefault("TIDEGATE_TMP", "/dev/shm")

from lab import ground, mail, policies, scripted  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from powercut import INTERPOSE, POLICY, STORE, captured_whole  # noqa: E402

IN_FLIGHT = 10  # recipients whose outcome may be unknown at once in this run
KINDS = {
    "kill": [("wsnt", "kill"), ("w", "half"), ("k", "kill")],
    "write": [("w", "EIO"), ("w", "ENOSPC"), ("w", "EINTR"), ("w", "short"), ("t", "ENOSPC"), ("t", "EIO")],
    "sync": [("s", "EIO"), ("s", "ENOSPC")],
    "name": [("n", "EIO"), ("n", "ENOSPC")],
    "read": [("r", "EIO"), ("r", "EINTR")],
    "socket": [("k", "ECONNRESET"), ("k", "EINTR"), ("k", "EAGAIN"), ("k", "short"), ("o", "EMFILE"), ("o", "ENOMEM")],
    "memory": [("a", "ENOMEM")],
}
ENDS = {"kill", "half", "ENOMEM"}  # faults that may end the process


class Stuck(ground.LabError):
    pass


class Run:
    """The scripted run, with one fault."""

    def __init__(self, fault=None, seed=0):
        self.fault, self.chance = fault, random.Random(seed)
        self.folder = ground.folder("fault")
        self.told = self.folder / "told"
        self.acknowledged, self.deleted, self.suppressed, self.deaths, self.restarts, self.advanced = {}, set(), set(), [], 0, 0
        self.peer = scripted.Scripted(rcpt={"refused": "550 5.1.1 refused by the test", "later": ["450 4.2.1 later", "250 ok"], "*": None})
        self.policy = POLICY % (self.peer.host, self.peer.port)
        environment = {"LD_PRELOAD": str(INTERPOSE), "TIDEGATE_WATCH": str(self.folder / "var"), "TIDEGATE_FAULT_TOLD": str(self.told)}
        if fault:
            environment["TIDEGATE_FAULT"] = fault
        self.gateway = Gateway(policy=self.policy, folder=self.folder, environment=environment, store=STORE, workers=1, start=False)

    def met(self):
        """(calls, how many met the fault, the name of the first)."""
        raw = self.told.read_bytes().ljust(48, b"\0")
        return (*struct.unpack_from("<QQ", raw), raw[16:48].split(b"\0", 1)[0].decode())

    # ---- going on, whatever happens

    def alive(self):
        """Starts the gateway where it is not running; from the second time on without the fault."""
        g = self.gateway
        if g.alive():
            return
        if g.process is not None:
            self.deaths.append(g.process.popen.returncode)
            g.process = None
        if self.restarts:
            g.environment = {}
        if self.restarts > 2:
            raise Stuck(f"it does not stay alive: {self.deaths}\n{g.said()[-1500:]}")
        self.restarts += 1
        g.disconnect()
        try:
            g.start(wait=False)
            g.until_ready(10)
        except ground.LabError:
            if g.process is None:
                self.deaths.append("at start")
            elif g.alive():
                raise

    def do(self, step, tries=8):
        last = None
        for _ in range(tries):
            self.alive()
            if not self.gateway.alive():
                continue
            try:
                return step()
            except Stuck:
                raise
            except (OSError, smtplib.SMTPException, ground.LabError) as e:
                last = e
                self.gateway.disconnect()
                time.sleep(0.05)
        raise Stuck(f"{step.__name__} fails again and again: {last!r}\n{self.gateway.said()[-2000:]}")

    def advance(self, seconds):
        """Never as far as a limit's window or a message's patience."""
        self.advanced += seconds
        if self.advanced < 12 * 3600:
            self.gateway.advance_clock(seconds)

    # ---- the steps

    def send(self, kind, lines=5, count=1):
        def step():
            word = mail.token()
            to = [f"{kind}-{word}@example.net"] + [f"ok-{i}-{word}@example.net" for i in range(count - 1)]
            with smtplib.SMTP(self.gateway.host, self.gateway.RELAY, "client.example", timeout=10) as s:
                s.sendmail(f"s-{word}@home.example", to, (mail.message(word, body=("k" * 70 + "\r\n") * lines) + f"end of {word}\r\n").encode())
                self.acknowledged[word] = to
            return word
        return self.do(step)

    def settle(self):
        """Until nothing is queued but what is held."""
        deadline = time.monotonic() + 25 * ground.PATIENCE

        def step():
            last, rows, pause = None, None, 0.02
            while time.monotonic() < deadline:
                self.advance(2)
                rows = [r for r in self.gateway.queue() if r["state"] != "held"]
                if not rows:
                    return
                if last == rows:  # time passes faster than a busy machine answers, which is not what is tried here: let it
                    self.advance(300)
                    pause = min(2 * pause, 0.5)
                last = rows
                time.sleep(pause)
            raise Stuck(f"left in the queue: {[(r['recipient'], r['state'], r.get('because'), r.get('last')) for r in rows or []][:4]}\n{self.gateway.said()[-1500:]}")
        self.do(step)

    def operate(self):
        def suppress():
            self.gateway.control("suppression", action="add", address="gone@example.net")
            self.suppressed.add("gone@example.net")

        def delete():
            held = [r for r in self.gateway.queue(state="held") if r["recipient"].startswith("stay")]
            if len(held) > 1:
                self.deleted.add(held[-1]["recipient"])
                self.gateway.change("delete", id=held[-1]["id"])

        def reload():
            self.gateway.write_scripts({"policy.lua": self.policy + "-- another\n"})
            self.gateway.reload()

        def rollback():
            self.gateway.control("rollback")
        for step in (suppress, delete, reload, rollback):
            with contextlib.suppress(Stuck) if step is rollback else contextlib.nullcontext():  # nothing to go back to after a restart
                self.do(step, 3 if step is rollback else 8)

    def go(self):
        self.send("stay")
        self.send("stay")
        for kind in ("ok", "later", "refused", "keep"):
            self.send(kind, count=2 if kind in ("ok", "refused") else 1)
        for _ in range(4):
            self.send("ok", lines=5000)  # segments roll, and what stays is soon alone in the first
        self.operate()
        self.settle()
        self.send("ok")
        self.settle()
        self.alive()
        with contextlib.suppress(ground.LabError):  # it may die while it ends, or end by a fault
            self.gateway.stop()
        self.deaths += [self.gateway.process.popen.returncode] if self.gateway.process else []
        self.gateway.process = None
        return self.account()

    # ---- afterwards

    def account(self):
        g, at_peer, wrong = self.gateway, {}, []
        g.environment = {}
        checked = g.cli("check", "--store", check=False)
        if checked.returncode:
            wrong.append(f"check --store: {checked.stdout[:500]}{checked.stderr[:500]}")
        g.start()
        self.restarts = 0
        self.settle()
        held = {r["recipient"] for r in g.queue()}
        used = sum(r["used"] for r in g.control("limit")[0])
        listed = {r["address"] for r in g.control("suppression", action="list", limit=0)[0]}
        g.stop()
        captured = captured_whole(self.folder / "var")
        accepted = [m for m in self.peer.accepted if m.reply.startswith("2")]
        for m in accepted:
            for to in m.recipients:
                at_peer[to] = at_peer.get(to, 0) + 1
        for word, to in self.acknowledged.items():
            for address in to:
                has = at_peer.get(address, 0) or address in held or address in self.deleted or (address.startswith("keep") and word in captured) \
                    or (address.startswith("refused") and at_peer.get(f"s-{word}@home.example"))
                if not has:
                    wrong.append(f"lost: {address}")
        wrong += [f"{w} in the capture" for w in captured if w.startswith("torn")]
        wrong += [f"no longer suppressed: {a}" for a in self.suppressed - listed]
        if used < len(accepted):
            wrong.append(f"the ledger says {used}, the peer was given {len(accepted)}")
        twice = sum(n - 1 for n in at_peer.values())
        if twice > (IN_FLIGHT if self.fault else 0):
            wrong.append(f"{twice} copies came twice")
        what = self.fault.split(":")[2] if self.fault else ""
        if what not in ENDS and any(d not in ("at start", 0, os.EX_IOERR) for d in self.deaths):
            wrong.append(f"it ended with {self.deaths}: {g.said()[-800:]}")
        if wrong:
            raise ground.LabError("; ".join(wrong) + f"\nlog: {g.log}")
        return twice

    def close(self, keep=False):
        self.gateway.kill9() if self.gateway.alive() else None
        self.peer.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def one(fault, seed=0):
    run = Run(fault, seed)
    ok = False
    try:
        twice = run.go()
        ok = True
        return run.met(), twice
    except ground.LabError as e:
        raise ground.LabError(f"{fault} ({run.met()[2]}, deaths {run.deaths}): {e}") from None
    finally:
        run.close(keep=not ok)


def places(calls, every, most, chance):
    """Which k: all, every so many, or so many at random."""
    all_of_them = list(range(1, calls + 1, every))
    return all_of_them if len(all_of_them) <= most else sorted(chance.sample(all_of_them, most))


def walk(kinds=tuple(KINDS), every=1, most=2000, seconds=None, seed=None, quiet=False):
    """Each fault at each place. `most` places for each; with `seconds`: as much of it, at random, as fits."""
    seed = seed if seed is not None else random.randrange(1 << 30)
    chance, began, failures, met, twice, told = random.Random(seed), time.monotonic(), [], 0, 0, time.monotonic()
    plan = []
    calls = {}
    for classes, what in (pair for kind in kinds for pair in KINDS[kind]):
        if classes not in calls:
            calls[classes] = one(f"{classes}:{1 << 60}:EIO")[0][0]
        for k in places(calls[classes], every, most, chance):
            plan.append(f"{classes}:{k}:{what}" + (f":{chance.choice((1, 1, 2, 8))}" if what not in ENDS else ""))
    if seconds:
        chance.shuffle(plan)
    done = 0
    for fault in plan:
        if seconds and time.monotonic() - began > seconds:
            break
        done += 1
        try:
            (_, hit, _), again = one(fault, seed)
            met, twice = met + (hit > 0), twice + again
        except ground.LabError as e:
            failures.append(str(e))
            if not quiet:
                print(f"FAILED {e}", flush=True)
        if not quiet and time.monotonic() - told > 20:
            told = time.monotonic()
            print(f"  {done} of {len(plan)} faults, at {fault}; {len(failures)} failures", flush=True)
    words = (f"seed {seed}: {done} of {len(plan)} faults in {time.monotonic() - began:.0f} s ({', '.join(f'{n} calls of {c}' for c, n in calls.items())}); "
             f"{met} were met, {twice} copies came twice, {len(failures)} failures")
    if not quiet:
        print(words)
    if failures or met < done / 2:
        raise ground.LabError(words + "\n" + "\n".join(failures[:5]))
    return words


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--every", type=int, default=1, help="only every so many-th call")
    parser.add_argument("--most", type=int, default=2000, help="places for each kind of fault")
    parser.add_argument("--seconds", type=float, help="stop after so long; the places are then taken at random")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", help="CLASSES:K:WHAT[:TIMES], as in interpose.c")
    options = parser.parse_args()
    try:
        print(one(options.only)) if options.only else walk(options.kinds, options.every, options.most, options.seconds, options.seed)
        ground.clean()
    except ground.LabError as e:
        sys.exit(f"FAILED: {e}")
