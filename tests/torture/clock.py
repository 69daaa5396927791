#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""clock: the machine's clock jumps by hours and days, both ways, while the gateway runs and between two starts.

    tests/torture/clock.py --jumps 40

Mail comes in all the time, some of it deferred at first, some of it limited. After each jump (interpose.c makes the clock wrong; nobody is
told) and at the end, when the clock is right again:

    nothing has expired: what missed its turn because time leapt gets its attempt first;
    the limited peer was given no more in any window of the gateway's own time than the limit says;
    nothing is stuck: new mail goes whatever the clock says, and what was waiting goes when its time comes, by the clock as it was when it was
    set back, if that is sooner; ids never repeat; the store is sound.
"""
import argparse
import os
import pathlib
import random
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lab import ground, mail, policies, scripted  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from powercut import INTERPOSE  # noqa: E402

CAP = 5
HOUR, DAY = 3600, 86400
JUMPS = (-5 * DAY, -DAY, -3 * HOUR, -HOUR, -90, 90, HOUR, 3 * HOUR, DAY, 9 * DAY)

POLICY = policies.PRELUDE + '''
local limit = require "limit"
return {
    route = function(m, r)
        local spend = r.address:match("^limited") and { limit.per_day("cap", %d) } or nil
        return route.send{ via = route.relay{ host = "%s", port = %d, tls = "none" }, spend = spend }
    end,
    retry = function(m, r, o) return retry.wait(60, "in a minute") end,
}
'''


class Clock:
    def __init__(self, path):
        self.path, self.wrong, self.given = path, 0, Given()
        self.set(0)

    def set(self, seconds):
        was, self.wrong = self.now(), seconds
        self.given.set(was, self.now())
        with open(self.path, "r+b" if self.path.exists() else "wb") as f:
            f.write(struct.pack("<q", seconds))

    def now(self):
        return time.time() + self.wrong


class Given:
    """What the limited peer got, by the gateway's clock. When that is set back, what lies in its future counts as given now."""

    def __init__(self):
        self.times, self.most = [], 0

    def add(self, now):
        self.times = [t for t in self.times if t > now - DAY] + [now]
        self.most = max(self.most, len(self.times))

    def set(self, was, now):
        self.times = [min(t, now) for t in self.times if t > was - DAY]


def leap(quiet=False):
    """Nine days at once, with mail that may wait for five: it gets its attempt, and goes."""
    folder = ground.folder("clock")
    clock = Clock(folder / "clock")
    peer = scripted.Scripted(rcpt="450 4.2.1 later")
    g = Gateway(policy=POLICY % (CAP, peer.host, peer.port), folder=folder, virtual_clock=False, delivery={"expire": "5d"},
                environment={"LD_PRELOAD": str(INTERPOSE), "TIDEGATE_WATCH": str(folder / "var"), "TIDEGATE_CLOCK": str(folder / "clock")})
    try:
        words = [mail.token() for _ in range(4)]
        for word in words:
            g.submit(word)
        g.until_event("deferred", len(words))
        g.stop()
        peer.set(rcpt=None)
        clock.set(9 * DAY)
        g.start()
        for word in words:
            peer.wait(word)
        g.until_empty()
        if g.events("expired"):
            raise ground.LabError(f"expired without an attempt; log: {g.log}")
        g.stop()
    finally:
        g.kill9() if g.alive() else None
        peer.stop()


def back(restart, quiet=False):
    """A day back, with mail that waits for eight seconds: it waits for these, by whichever clock, and not for a day."""
    folder = ground.folder("clock")
    clock = Clock(folder / "clock")
    peer = scripted.Scripted(rcpt="450 4.2.1 later")
    g = Gateway(policy=(POLICY % (CAP, peer.host, peer.port)).replace("wait(60", "wait(8"), folder=folder, virtual_clock=False, delivery={"expire": "5d"}, workers=2,
                environment={"LD_PRELOAD": str(INTERPOSE), "TIDEGATE_WATCH": str(folder / "var"), "TIDEGATE_CLOCK": str(folder / "clock")})
    try:
        words = [mail.token() for _ in range(6)]
        for word in words:
            g.submit(word)
        g.until_event("deferred", len(words))
        peer.set(rcpt=None)
        if restart:
            g.stop()
        clock.set(-DAY)
        if restart:
            g.start()
        g.submit("wakes" + mail.token())  # whoever is told of new mail looks at the clock
        time.sleep(1)
        if any(peer.find(word) for word in words):
            raise ground.LabError("sent before its time")
        for word in words:
            ground.until("it is sent some seconds after it was put off", lambda: peer.find(word), 20, log=g.log)
        g.until_empty()
        g.stop()
    finally:
        g.kill9() if g.alive() else None
        peer.stop()


def run(jumps=12, seed=None, quiet=False):
    seed = seed if seed is not None else random.randrange(1 << 30)
    chance, began = random.Random(seed), time.monotonic()
    folder = ground.folder("clock")
    clock = Clock(folder / "clock")
    peer = scripted.Scripted(rcpt={"later": ["450 4.2.1 later"] * 10**6, "*": None})
    peer.accepted = Noting(clock)
    g = Gateway(policy=POLICY % (CAP, peer.host, peer.port), folder=folder, workers=2, delivery={"expire": "365d"},
                environment={"LD_PRELOAD": str(INTERPOSE), "TIDEGATE_WATCH": str(folder / "var"), "TIDEGATE_CLOCK": str(folder / "clock")})
    words, starts, passed = [], 0, 0

    def send(kind):
        words.append(mail.token())
        g.submit(words[-1], to=[f"{kind}-{words[-1]}@example.net"])

    def flows(count):
        ground.until("what is neither deferred nor limited goes, whatever the clock says",
                     lambda: sum(m.recipients[0].startswith("ok") for m in peer.accepted) == count, 20, log=g.log)

    def nudge():
        """A jump is noticed within a minute. So that we need not wait for it, everybody is asked to look."""
        g.advance_clock(0)
    try:
        for i in range(jumps):
            for kind in ("ok", "ok", "later", "limited", "limited"):
                send(kind)
            passed += 2
            flows(passed)
            jump = chance.choice(JUMPS)
            if chance.random() < 0.4:
                starts += 1
                g.stop()
                clock.set(clock.wrong + jump)
                g.start()
            else:
                clock.set(clock.wrong + jump)
                nudge()
            if not quiet:
                print(f"  jump {i + 1} of {jumps}: {jump / HOUR:+.1f} h, the clock is now wrong by {clock.wrong / HOUR:+.1f} h; {len(peer.accepted)} delivered", flush=True)
            send("ok")
            passed += 1
            flows(passed)
        expired = g.events("expired")
        # It is right again; then time goes on by itself, until all is gone.
        peer.set(rcpt=None)
        clock.set(0)
        g.stop()
        g.start()
        days = 0
        for days in range(2 * (2 * jumps // CAP + 20)):  # half ones: the limit lets CAP through in each, and may be closed for days before
            left = g.status()["recipients"]
            if not left:
                break
            clock.set(clock.wrong + DAY // 2)
            nudge()
            time.sleep(0.4)
        left = g.queue(limit=3)
        expired += g.events("expired")
        ids = [e["id"] for e in g.events("received")]
        g.stop()
        checked = g.cli("check", "--store", check=False)
        busiest = clock.given.most
        text = (f"seed {seed}: {jumps} jumps ({starts} across a start) in {time.monotonic() - began:.0f} s: {len(words)} messages, {len(peer.accepted)} delivered, "
                f"{len(expired)} expired, at most {busiest} of {CAP} limited ones in a day, the last gone {days / 2:.1f} days after the clock was right")
        if not quiet:
            print(text)
        lost = [w for w in words if not peer.find(w)]
        if lost or left or expired or busiest > CAP or len(ids) != len(set(ids)) or checked.returncode:
            raise ground.LabError(f"{text}\nnot delivered: {lost[:5]}\nleft: {left}\n{checked.stdout}\nlog: {g.log}")
        return text
    finally:
        g.kill9() if g.alive() else None
        peer.stop()


class Noting(list):
    """What the peer accepted; the limited ones with the time by the gateway's clock."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def append(self, accepted):
        if accepted.recipients[0].startswith("limited"):
            self.clock.given.add(self.clock.now())
        super().append(accepted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jumps", type=int, default=40)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    try:
        leap()
        back(restart=False)
        back(restart=True)
        run(options.jumps, options.seed)
        ground.clean()
    except ground.LabError as e:
        sys.exit(f"FAILED: {e}")
