#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hostile: attackers by the thousand, and one honest client: memory stays bounded, honest mail gets through.

    tests/torture/hostile.py --scale 1 --seconds 10

For each kind of attack: the rate of an honest client before and during it, the most memory the gateway took, and what the attackers
had of it. The attackers are a process of their own, on many loopback addresses. The honest rate suffers from the attackers' own use of
the processor too: on two cores a share of a third is a gateway that does not mind. Fails where memory passes --memory above what
it was, where the honest client is refused or gets nothing through, or where one of its messages is missing in the end.
"""
import argparse
import asyncio
import multiprocessing
import pathlib
import resource
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import backlog  # noqa: E402
from lab import ground, mail, policies  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from lab.names import PocketDns  # noqa: E402
from lab.scripted import Endless, Hang, Scripted  # noqa: E402

ENVELOPE = b"EHLO attacker.example\r\nMAIL FROM:<a@attacker.example>\r\nRCPT TO:<b@example.net>\r\n"


# ---- attackers: each a coroutine that goes on until it is cancelled --------------------------------------------------------------

async def connect(target, source):
    return await asyncio.open_connection(*target, local_addr=(source, 0))


async def slow_sender(target, source):
    """One byte of its message every half second."""
    _, w = await connect(target, source)
    w.write(ENVELOPE + b"DATA\r\n")
    while True:
        await asyncio.sleep(0.5)
        w.write(b"x")
        await w.drain()


async def silent(target, source):
    _, w = await connect(target, source)
    await asyncio.sleep(3600)
    w.close()


async def flood(target, source):
    while True:
        _, w = await connect(target, source)
        w.close()


async def half_handshakes(target, source):
    """A client hello that ends in the middle, and waits."""
    while True:
        r, w = await connect(target, source)
        w.write(bytes.fromhex("16030102000100" "01fc0303") + b"h" * 100)
        await asyncio.wait([asyncio.ensure_future(r.read(100))], timeout=2)
        w.close()


async def handshakes(target, source):
    """Whole handshakes, one after the other."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        _, w = await asyncio.open_connection(*target, local_addr=(source, 0), ssl=context)
        w.transport.abort()


async def giant_headers(target, source):
    while True:
        r, w = await connect(target, source)
        w.write(ENVELOPE + b"DATA\r\n")
        for i in range(400):
            w.write(b"X-%d: " % i + b"y" * 16000 + b"\r\n")
            await w.drain()
        w.close()


async def endless_line(target, source):
    while True:
        _, w = await connect(target, source)
        for _ in range(200):
            w.write(b"x" * 65536)
            await w.drain()
        w.close()


async def nonsense(target, source):
    while True:
        r, w = await connect(target, source)
        w.write(b"XYZZY\r\n" * 200)
        while await r.read(65536):
            pass
        w.close()


async def never_reads(target, source):
    """Asks for much and takes no answer."""
    _, w = await connect(target, source)
    w.transport.pause_reading()
    while True:
        w.write(b"HELP\r\n" * 5000)
        await w.drain()


async def many_recipients(target, source):
    while True:
        r, w = await connect(target, source)
        w.write(b"EHLO attacker.example\r\nMAIL FROM:<a@attacker.example>\r\n" + b"".join(b"RCPT TO:<u%d@example.net>\r\n" % i for i in range(5000)) + b"QUIT\r\n")
        while await r.read(65536):
            pass
        w.close()


async def guesses(target, source):
    """Passwords, as fast as they are answered."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        r, w = await asyncio.open_connection(*target, local_addr=(source, 0), ssl=context)
        w.write(b"EHLO attacker.example\r\nAUTH PLAIN AGRlbW8Ad3Jvbmc=\r\nAUTH PLAIN AGRlbW8Ad3Jvbmc=\r\nQUIT\r\n")
        while await r.read(65536):
            pass
        w.close()


async def again(attack, target, source, tally):
    while True:
        try:
            await attack(target, source)
        except (OSError, ssl.SSLError, EOFError, ValueError):
            tally[0] += 1
            await asyncio.sleep(0.05)


async def attack_all(attack, target, count, addresses, network, tally):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    tasks = [asyncio.ensure_future(again(attack, target, f"127.{network}.{200 + i % addresses // 250}.{i % addresses % 250 + 1}", tally)) for i in range(count)]
    await asyncio.wait(tasks)


def attackers(attack, target, count, addresses, network):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(attack_all(attack, target, count, addresses, network, [0]))


# ---- the honest client ---------------------------------------------------------------------------------------------------

class Honest(threading.Thread):
    """Messages one after the other over connections of fifty; counts the 250s."""

    def __init__(self, g, word):
        super().__init__(daemon=True)
        self.g, self.word, self.taken, self.faults, self.ended = g, word, 0, [], False

    def run(self):
        while not self.ended and not self.faults:
            backlog.pour(self.g.host, self.g.RELAY, 20, f"{self.word}m{self.taken}", self.faults)
            self.taken += 0 if self.faults else 20


def rate(g, word, seconds):
    honest, before, peak = Honest(g, word), time.monotonic(), 0
    honest.start()
    while time.monotonic() - before < seconds:
        time.sleep(0.1)
        peak = max(peak, backlog.resident_mib(g))
    honest.ended = True
    honest.join(60 * ground.PATIENCE)
    took = time.monotonic() - before
    if honest.faults or not honest.taken:
        raise ground.LabError(f"{word}: the honest client got {honest.taken} messages through, then {honest.faults or 'nothing'}\nlog: {g.log}")
    return honest.taken, honest.taken / took, peak


# name, attack, listener, connections at scale 1, from so many addresses
ATTACKS = [
    ("slow senders", slow_sender, "RELAY", 2000, 500), ("silent connections", silent, "RELAY", 4000, 500), ("connection flood", flood, "RELAY", 50, 5),
    ("half handshakes", half_handshakes, "SUBMISSIONS", 500, 100), ("handshakes", handshakes, "SUBMISSIONS", 20, 5), ("giant headers", giant_headers, "RELAY", 50, 10),
    ("endless lines", endless_line, "RELAY", 50, 10), ("nonsense", nonsense, "RELAY", 50, 10), ("clients that never read", never_reads, "RELAY", 200, 50),
    ("5,000 recipients each", many_recipients, "RELAY", 20, 5), ("password guesses", guesses, "SUBMISSIONS", 20, 5),
]


def under(g, attack, listener, count, addresses, seconds):
    process = multiprocessing.get_context("spawn").Process(target=attackers, daemon=True,
                                                           args=(attack, (g.host, getattr(g, listener)), count, addresses, int(g.host.split(".")[1])))
    process.start()
    time.sleep(min(seconds, 1.0))  # until they are there
    try:
        found = rate(g, "during " + attack.__name__, seconds)
        if not process.is_alive():
            raise ground.LabError(f"the attackers of {attack.__name__} have failed")
        return found
    finally:
        process.terminate()
        process.join()


def peers_at_their_worst(g, scale, seconds):
    """The same from the other side: mail for peers that never end, hang and lie waits while honest mail is delivered."""
    for i in range(int(200 * scale) or 1):
        for place in ("endless", "hangs", "garbage"):
            g.submit(f"bad{i}", to=[f"x{i}@{place}{i % 40}.example"])
    return rate(g, "during peers", seconds)


def run(scale=1.0, seconds=5.0, memory=64, quiet=False, only=("",)):
    authority = Authority()
    endless, hangs = Scripted(ehlo=Endless("reply")), Scripted(greeting=Hang())
    records = {("*", "A"): [], ("*", "AAAA"): []}
    for i in range(40):
        records[(f"endless{i}.example", "MX")] = [f"endless{i}.example. 60 MX 10 mx.endless{i}.example."]
        records[(f"mx.endless{i}.example", "A")] = [f"mx.endless{i}.example. 60 A {endless.host}"]
        records[(f"hangs{i}.example", "MX")] = [f"hangs{i}.example. 60 MX 10 mx.hangs{i}.example."]
        records[(f"mx.hangs{i}.example", "A")] = [f"mx.hangs{i}.example. 60 A {hangs.host}"]
        records[(f"garbage{i}.example", "*")] = "garbage"
    dns = PocketDns(records)
    bad = 'local bad = recipient.domain:match("^endless") or recipient.domain:match("^hangs") or recipient.domain:match("^garbage")'
    g = Gateway(authority, dns=dns, virtual_clock=False, policy=policies.PRELUDE + f"""
return {{ route = function(message, recipient) {bad}
    return route.send {{ via = bad and route.direct {{}} or route.capture {{ dir = "in" }} }} end }}
""", limits={"connections": 10000})
    rows, taken, failed = [], 0, []
    try:
        n, calm, _ = rate(g, "before", seconds)
        taken += n
        for name, attack, listener, count, addresses in [a for a in ATTACKS if any(word in a[0] for word in only)]:
            was = backlog.resident_mib(g)
            n, during, peak = under(g, attack, listener, max(int(count * scale), 4), addresses, seconds)
            taken += n
            rows.append((name, max(int(count * scale), 4), during, during / calm, was, peak))
            if peak - was > memory:
                failed.append(f"{name}: memory grew from {was:.0f} to {peak:.0f} MiB")
            ground.until(f"the attackers' connections are gone ({name})", lambda: g.status()["connections"] == 0, 30, log=g.log)
            if not quiet:
                print(f"{name:26} {rows[-1][1]:6} attackers   honest {during:7.0f}/s = {during / calm:4.0%} of {calm:.0f}/s   memory {was:.0f} -> {peak:.0f} MiB", flush=True)
        was = backlog.resident_mib(g)
        n, during, peak = peers_at_their_worst(g, scale, seconds)
        taken += n
        if peak - was > memory:
            failed.append(f"peers: memory grew from {was:.0f} to {peak:.0f} MiB")
        if not quiet:
            print(f"{'peers at their worst':26} {'':6}             honest {during:7.0f}/s = {during / calm:4.0%} of {calm:.0f}/s   memory {was:.0f} -> {peak:.0f} MiB", flush=True)
        ground.until("all honest mail is delivered", lambda: g.status()["delivered"] >= taken, 120, log=g.log)
        if failed:
            raise ground.LabError("\n".join(failed))
        print(f"hostile: {len(rows) + 1} kinds of attack; {taken} honest messages, none refused, none lost; least share of the calm rate "
              f"{min(r[3] for r in rows):.0%}; most memory {max(r[5] for r in rows):.0f} MiB")
    finally:
        try:
            g.stop()
        finally:
            for one in (endless, hangs, dns):
                one.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1, help="times the number of attackers [1]")
    parser.add_argument("--seconds", type=float, default=10, help="of each attack [10]")
    parser.add_argument("--only", default="", metavar="TEXT", help="the attacks with this in their name")
    parser.add_argument("--memory", type=float, default=256, help="MiB that an attack may cost [256]")
    arguments = parser.parse_args()
    try:
        run(arguments.scale, arguments.seconds, arguments.memory, only=[arguments.only])
    finally:
        ground.clean()


if __name__ == "__main__":
    main()
