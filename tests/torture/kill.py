#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""kill: kill -9 at random moments under load, again and again; then every acknowledged message is accounted for.

    tests/torture/kill.py --kills 500

Clients send without pause to a gateway that delivers to a peer which counts everything by its token. Now and then the gateway is
killed and started again. At the end it may drain; then, for each message whose 250 a client has read:

    delivered      the peer has it
    queued         it is in the queue
    reported       the peer refused it, and the report to its sender has come

Anything else is lost, and fails. A message that came more than once is a duplicate: allowed only where a kill fell between the peer's
250 and our commit. The peer notes when it said each 250: each first copy must be followed by a kill soon, and half of them at once,
else outcomes are kept longer in memory than they have to be.
"""
import argparse
import pathlib
import random
import re
import smtplib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from lab import ground, mail, policies  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from lab.scripted import Scripted  # noqa: E402

WINDOW_S = 1.0  # a kill explains a second copy when it fell so soon after the first 250
MEDIAN_S = 0.1  # and half of those kills so soon: a commit takes milliseconds
CALM_S = 0.03   # what sending a message takes where nothing else goes on: on a machine that is slower, both are longer by as much


class Sender(threading.Thread):
    """Sends one message after the other; remembers which were acknowledged, by token."""

    def __init__(self, gateway, seed):
        super().__init__(daemon=True)
        self.gateway, self.chance, self.acknowledged, self.unsure, self.ended = gateway, random.Random(seed), {}, set(), False
        self.took = []

    def run(self):
        while not self.ended:
            try:
                with smtplib.SMTP(self.gateway.host, self.gateway.RELAY, "client.example", timeout=10) as s:
                    for _ in range(20):
                        if self.ended:
                            return
                        self.one(s)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)

    def one(self, s):
        word = mail.token() + f"s{id(self) % 9973}"
        refused = self.chance.random() < 0.1
        to = [f"{'refused' if refused else 'ok'}-{word}@example.net"] + ([f"second-{word}@example.net"] if self.chance.random() < 0.2 else [])
        size = self.chance.choice((1, 20, 400))
        self.unsure.add(word)
        began = time.monotonic()
        s.sendmail("sender@home.example", to, mail.message(word, body=("k" * 70 + "\r\n") * size).encode())
        self.took.append(time.monotonic() - began)
        self.unsure.discard(word)
        self.acknowledged[word] = to


def run(kills=40, seconds=None, quiet=False, senders=4, seed=None):
    seed = seed if seed is not None else random.randrange(1 << 30)
    chance = random.Random(seed)
    peer = Scripted(rcpt={"refused": "550 5.1.1 refused by the test", "*": None})
    policy = policies.PRELUDE + f'''
return {{
    route = function(m, r) return route.send{{ via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, lane = {{ connections = 4, per_connection = 50 }} }} end,
    retry = function(m, r, o) if o.permanent then return retry.give_up("refused") end return retry.wait(1, "soon") end,
}}
'''
    g = Gateway(policy=policy)
    workers = [Sender(g, seed + i) for i in range(senders)]
    began, killed, starts = time.monotonic(), [], []
    try:
        for w in workers:
            w.start()
        while len(killed) < kills and (seconds is None or time.monotonic() - began < seconds):
            time.sleep(chance.choice((0.0, 0.02, 0.1, 0.3)) + chance.random() * 0.2)
            killed.append(time.monotonic())
            g.kill9()
            g.check_said()
            at = time.monotonic()
            g.start(wait=chance.random() < 0.7)  # sometimes killed again before it is ready
            if g.control_socket:
                starts.append(time.monotonic() - at)
        for w in workers:
            w.ended = True
        for w in workers:
            w.join(20)
        g.until_ready()
        fell_silent = time.monotonic()

        progress = [None, time.monotonic()]

        def drained():
            status = g.status()
            if progress[0] != status["delivered"]:
                progress[:] = [status["delivered"], time.monotonic()]
            elif time.monotonic() - progress[1] > 3:  # what is left waits for a later time
                g.advance_clock(1000)
            return status["recipients"] == 0
        try:
            ground.until("the queue drains after the last kill", drained, 90, every=0.1, log=g.log)
        except ground.LabError as e:
            left = "\n".join(str({k: r.get(k) for k in ("id", "n", "recipient", "state", "due", "attempts", "lane", "because", "last")}) for r in g.queue(limit=5))
            raise ground.LabError(f"{e}\n{g.status()}\nlanes: {g.control('lane')[0]}\nfirst of what is left:\n{left}") from None
        return account(g, peer, workers, killed, starts, (fell_silent - began, time.monotonic() - fell_silent), quiet, seed)
    finally:
        for w in workers:
            w.ended = True
        try:
            g.stop()
        finally:
            peer.stop()


def account(g, peer, workers, killed, starts, took, quiet, seed):
    delivered, reported = {}, set()
    for m in peer.accepted:
        if not m.reply.startswith("2"):
            continue
        if m.recipients == ["sender@home.example"]:
            reported.update(w.decode() for w in re.findall(rb"refused-(\w+)@", m.raw))
            continue
        for to in m.recipients:
            delivered.setdefault(to, []).append(m)
    took_one = sorted(t for worker in workers for t in worker.took)
    slow = ground.PATIENCE * max(1.0, took_one[len(took_one) // 2] / CALM_S if took_one else 1.0)
    acknowledged = {w: to for worker in workers for w, to in worker.acknowledged.items()}
    reported &= acknowledged.keys()
    lost, twice, unexplained, gaps = [], 0, [], []
    for word, to in acknowledged.items():
        for address in to:
            copies = delivered.get(address, [])
            if address.startswith("refused-"):
                if word not in reported:
                    lost.append(address)
            elif not copies:
                lost.append(address)
            if len(copies) > 1:
                twice += len(copies) - 1
                for earlier in copies[:-1]:
                    gaps.append(min((k - earlier.at for k in killed if k > earlier.at - 0.05), default=1e9))
                    if gaps[-1] > WINDOW_S * slow:
                        unexplained.append(address)
    g.stop()
    checked = g.cli("check", "--store")
    words = (f"{len(killed)} kills in {took[0]:.0f} s, drained in {took[1]:.0f} s (seed {seed}): {len(acknowledged)} messages acknowledged, {sum(len(t) for t in acknowledged.values())} recipients, "
             f"{len(lost)} lost, {len(reported)} reported, {twice} duplicates, {len(unexplained)} unexplained"
             + (f", first copies {sorted(gaps)[len(gaps) // 2] * 1000:.0f} ms before a kill (median)" if gaps else "")
             + (f", start-up {sorted(starts)[len(starts) // 2] * 1000:.0f} ms" if starts else ""))
    if not quiet:
        print(words)
    late = len(gaps) >= 20 and sorted(gaps)[len(gaps) // 2] > MEDIAN_S * slow
    if lost or late or unexplained or not acknowledged or checked.returncode:
        raise ground.LabError(f"{words}\nlost: {lost[:10]}\nunexplained duplicates: {unexplained[:10]}\nlog: {g.log}")
    return words


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seconds", type=float, help="stop after so long, however many kills that is")
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    try:
        run(options.kills, options.seconds, senders=options.senders, seed=options.seed)
        ground.clean()
    except ground.LabError as e:
        sys.exit(f"FAILED: {e}")
