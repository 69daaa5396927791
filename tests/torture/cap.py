#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""cap: a limit under fire: kill -9, reloads, another number of workers each time, and far more mail than the limit lets through.

    tests/torture/cap.py --messages 50000 --cap 10000
    tests/torture/cap.py --messages 20000 --cap 4000 --gateways 3      they share the limit in a Redis, which is killed as well (tests/setup/peers unpacks one)

The peer counts what it has said 250 to. At the end that is never more than the cap, and at least `--least` of it: what a crash
leaves uncertain counts as spent, so each kill strands what was in flight, and no more than that. Every acknowledged message is with
the peer or in the queue. With --minute N there is a second limit of N a minute, and no minute at the peer may hold more.
"""
import argparse
import asyncio
import multiprocessing
import pathlib
import random
import smtplib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from lab import ground, mail, policies  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from lab.redis import Redis  # noqa: E402


class Counting(asyncio.Protocol):
    """Takes all mail; one line for each message, with the time and its token, before the 250 is said."""
    out = None

    def connection_made(self, transport):
        self.transport, self.rest, self.content = transport, b"", None
        transport.write(b"220 counting.example ESMTP\r\n")

    def data_received(self, data):
        self.rest += data
        while True:
            if self.content is not None:
                at = self.rest.find(b"\r\n.\r\n")
                if at < 0:
                    return
                head = self.rest[:at]
                subject = head[head.find(b"X-Word: ") + 8:].split(b"\r\n", 1)[0].decode("ascii", "replace")
                self.out.write(f"{time.monotonic()} {subject}\n")
                self.out.flush()
                self.transport.write(b"250 2.0.0 counted\r\n")
                self.rest, self.content = self.rest[at + 5:], None
                continue
            line, found, rest = self.rest.partition(b"\r\n")
            if not found:
                return
            self.rest = rest
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.transport.write(b"250-counting.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                self.content = True
                self.rest = b"\r\n" + self.rest
                self.transport.write(b"354 go on\r\n")
            elif verb == b"QUIT":
                self.transport.write(b"221 bye\r\n")
                return self.transport.close()
            else:
                self.transport.write(b"250 2.0.0 ok\r\n")


def serve(host, port, path):
    async def main():
        Counting.out = open(path, "a")
        server = await asyncio.get_running_loop().create_server(Counting, host, port, backlog=512)
        await server.serve_forever()
    asyncio.run(main())


class Peer:
    def __init__(self):
        self.host, self.port = ground.address(), 2626
        self.path = ground.folder("counting") / "counted"
        self.path.touch()
        self.process = multiprocessing.get_context("fork").Process(target=serve, args=(self.host, self.port, str(self.path)), daemon=True)
        self.process.start()

    def counted(self):
        lines = self.path.read_text().split("\n")[:-1]
        return [(float(at), word) for at, word in (line.split(" ", 1) for line in lines)]

    def stop(self):
        self.process.kill()
        self.process.join()


class Sender(threading.Thread):
    def __init__(self, gateway, name, count):
        super().__init__(daemon=True)
        self.gateway, self.mark, self.left, self.acknowledged, self.ended = gateway, name, count, [], False

    def run(self):
        while self.left and not self.ended:
            try:
                with smtplib.SMTP(self.gateway.host, self.gateway.RELAY, "client.example", timeout=10) as s:
                    while self.left and not self.ended:
                        word = f"{self.mark}-{self.left}"
                        s.sendmail("sender@home.example", ["r@example.net"], f"Subject: cap\r\nX-Word: {word}\r\n\r\nhello\r\n".encode())
                        self.acknowledged.append(word)
                        self.left -= 1
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)


def policy(peer, cap, minute, version):
    spend = f'limit.per_day("cap", {cap})' + (f', limit.per_minute("cap", {minute})' if minute else "")
    return policies.PRELUDE + f'''-- version {version}
return {{
    route = function(m, r)
        return route.send{{ via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, spend = {{ {spend} }}, lane = {{ connections = 4, per_connection = 500 }} }}
    end,
    retry = function(m, r, o) return retry.wait(1, "soon") end,
}}
'''


def most_within(times, seconds):
    times, first, most = sorted(times), 0, 0
    for i, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, i - first + 1)
    return most


def run(messages=2000, cap=400, least=None, minute=0, seconds=None, quiet=False, senders=4, seed=None, kill_every=(0.2, 0.5), gateways=1):
    seed = seed if seed is not None else random.randrange(1 << 30)
    chance, peer = random.Random(seed), Peer()
    redis = Redis() if gateways > 1 else None
    gates = [Gateway(policy=policy(peer, cap, minute, 0), workers=1, **({"ledger": redis.conf} if redis else {})) for _ in range(gateways)]
    workers = [Sender(gates[i % gateways], mail.token() + f"s{i}", messages // senders) for i in range(senders)]
    began, kills, reloads, full_at = time.monotonic(), 0, 0, None
    try:
        for w in workers:
            w.start()
        # Until all is sent and the limit has been reached for a while: kills go on against a full account, too.
        while seconds is None or time.monotonic() - began < seconds:
            time.sleep(chance.uniform(*kill_every))
            g = chance.choice(gates)
            if redis and chance.random() < 0.1:
                redis.process.kill()
                redis.start()
            if chance.random() < 0.3 and g.alive():
                reloads += 1
                g.write_scripts({"policy.lua": policy(peer, cap, minute, reloads)})
                try:
                    g.reload()
                except (OSError, ground.LabError):
                    g.disconnect()
                continue
            kills += 1
            g.kill9()
            g.check_said()
            g.configure(workers=chance.choice((1, 2, 4)))
            g.start(wait=chance.random() < 0.8)
            if minute:
                continue
            if full_at is None and len(peer.counted()) >= cap * 0.9 and all(w.left == 0 for w in workers):
                full_at = kills
            if full_at is not None and kills >= full_at + 5:
                break
        for w in workers:
            w.ended = True
        for w in workers:
            w.join(20)
        for g in gates:
            g.until_ready()
        return account(gates, peer, workers, cap, minute, cap * 98 // 100 if least is None else least, kills, reloads, time.monotonic() - began, quiet, seed)
    finally:
        for w in workers:
            w.ended = True
        try:
            for g in gates:
                g.stop()
        finally:
            peer.stop()
            if redis:
                redis.stop()


def settled(gates, peer):
    """Until nothing moves any more."""
    last = [None, time.monotonic()]

    def look():
        now = (len(peer.counted()), sum(g.status()["in_memory"] for g in gates))
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return now[1] == 0 and time.monotonic() - last[1] > (3 if len(gates) == 1 else 8) # what one gives back is told within five
    ground.until("all is sent that may be", look, 120, every=0.2, log=gates[0].log)


def account(gates, peer, workers, cap, minute, least, kills, reloads, took, quiet, seed):
    if not minute:
        settled(gates, peer)
    used = [r["used"] for g in gates for r in g.control("limit")[0] if r["window_s"] == 86400]
    counted = peer.counted()
    arrived = {word for _, word in counted}
    acknowledged = [word for w in workers for word in w.acknowledged]
    missing = sum(word not in arrived for word in acknowledged)
    queued = sum(g.status()["recipients"] for g in gates)
    busiest = most_within([at for at, _ in counted], 60)
    for g in gates:
        g.stop()
    checked = [g.cli("check", "--store", check=False).returncode for g in gates]
    words = (f"{kills} kills and {reloads} reloads in {took:.0f} s (seed {seed}): {len(acknowledged)} messages acknowledged, the peer counts {len(counted)} of {cap}, "
             f"the ledger {used}, {len(counted) - len(arrived)} came twice, {queued} wait" + (f", {busiest} in the busiest minute of {minute}" if minute else ""))
    if not quiet:
        print(words)
    if len(counted) > cap or (minute and busiest > minute) or len(counted) < least or missing > queued or any(checked):
        raise ground.LabError(f"{words}\nat least {least} were expected; {missing} acknowledged ones are not with the peer, {queued} are queued; check --store: {checked}\nlogs: {[str(g.log) for g in gates]}")
    return words


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=50000)
    parser.add_argument("--cap", type=int, default=10000)
    parser.add_argument("--least", type=int, help="what the peer must count in the end [98 %% of the cap]")
    parser.add_argument("--minute", type=int, default=0, help="a second limit, for each minute")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--gateways", type=int, default=1, help="so many share the limit, in a Redis")
    options = parser.parse_args()
    try:
        run(options.messages, options.cap, options.least, options.minute, options.seconds, senders=options.senders, seed=options.seed, gateways=options.gateways)
        ground.clean()
    except ground.LabError as e:
        sys.exit(f"FAILED: {e}")
