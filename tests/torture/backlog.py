#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""backlog: many messages for a destination that is away. Memory and start-up time must stay flat, and the queue verbs quick.

    tests/torture/backlog.py --messages 100000

Prints resident memory and start-up time with an empty queue and with the backlog, how long the queue verbs take on all of it,
and the rate at which mail is still accepted. Then the destination comes back for a part of it (--drain), to see that it leaves.
"""
import argparse
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from lab import ground, mail, policies  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from lab.scripted import Scripted  # noqa: E402


def pour(host, port, count, prefix, faults):
    """`count` messages over one connection, each in two writes (the generator must not be what is measured)."""
    body = mail.message(prefix, body=("b" * 70 + "\r\n") * 24).encode() + b".\r\n"
    with socket.create_connection((host, port), 60) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = s.makefile("rb")
        reader.readline()
        s.sendall(b"EHLO client.example\r\n")
        while reader.readline()[3:4] == b"-":
            pass
        for i in range(count):
            s.sendall(b"MAIL FROM:<a%d@sender.example>\r\nRCPT TO:<r%d@d%d.example>\r\nDATA\r\n" % (i % 10, i, i % 100))
            said = [reader.readline()[:3] for _ in range(3)]
            s.sendall(body)
            said.append(reader.readline()[:3])
            if said != [b"250", b"250", b"354", b"250"]:
                faults.append(said)
                return
        s.sendall(b"QUIT\r\n")


def fill(g, count, prefix, connections=8):
    faults, began = [], time.monotonic()
    threads = [threading.Thread(target=pour, args=(g.host, g.RELAY, count // connections + (i < count % connections), f"{prefix}c{i}", faults)) for i in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if faults:
        raise ground.LabError(f"a message was refused: {faults[0]}\nlog: {g.log}")
    return count / (time.monotonic() - began)


def resident_mib(g):
    for line in pathlib.Path(f"/proc/{g.process.popen.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def timed(call, *arguments, **named):
    began = time.monotonic()
    value = call(*arguments, **named)
    return value, time.monotonic() - began


def start(g):
    """Restarts it; the seconds until it takes mail."""
    g.stop()
    began = time.monotonic()
    g.start(wait=False)
    ground.until("it listens", lambda: ground.listens(g.host, g.RELAY), every=0.002, log=g.log)
    with g.smtp() as s:
        s.noop()
    return time.monotonic() - began


def run(messages=3000, drain=500, quiet=False):
    dead = Scripted(greeting="421 4.3.2 away")
    policy = policies.PRELUDE + f'''
return {{ route = function(m, r) return route.send{{ via = route.relay{{ host = "{dead.host}", port = {dead.port}, tls = "none" }} }} end }}
'''
    g = Gateway(policy=policy, store={"segment": "64MiB"}, log="warning")
    out = []
    try:
        warm = fill(g, 500, "warm")
        g.change("delete")
        empty_start = start(g)
        ground.until("it is ready", g.status)
        empty_mib = resident_mib(g)
        rate = fill(g, messages, "fill")
        ground.until("the lane rests", lambda: g.status()["in_memory"] == 0, 60, log=g.log)
        full_mib = resident_mib(g)
        full_start = start(g)
        ground.until("it is ready", g.status)
        ground.until("nothing is held in memory", lambda: g.status()["in_memory"] == 0, 60, log=g.log)
        restarted_mib = resident_mib(g)
        late = fill(g, max(500, messages // 100), "late")
        count = g.status()["recipients"]
        out = [f"{count} waiting: accepted at {rate:.0f}/s, then {late:.0f}/s (empty queue {warm:.0f}/s)",
               f"memory: {empty_mib:.1f} MiB empty, {full_mib:.1f} MiB after filling, {restarted_mib:.1f} MiB after a restart",
               f"start-up until mail is taken: {empty_start * 1000:.0f} ms empty, {full_start * 1000:.0f} ms full"]
        verbs = []
        for name, call in (("count all", lambda: g.change("list", count_only=True)), ("list 100", lambda: len(g.queue(limit=100))),
                           ("count one domain", lambda: g.change("list", count_only=True, domain="d7.example")),
                           ("hold one sender", lambda: g.change("hold", sender="a3@sender.example")), ("release it", lambda: g.change("release", sender="a3@sender.example")),
                           ("retry all", lambda: g.change("retry")), ("delete one domain", lambda: g.change("delete", domain="d9.example"))):
            number, took = timed(call)
            verbs.append(f"{name} ({number}) {took:.2f} s")
            if took > max(5.0, count / 5000) * ground.PATIENCE:
                raise ground.LabError(f"{name} took {took:.1f} s on {count} recipients")
        out.append("verbs: " + ", ".join(verbs))
        if full_mib - empty_mib > 64 or restarted_mib - empty_mib > 64:
            if ground.PATIENCE == 1:
                raise ground.LabError("memory grows with the backlog: " + out[1])
        if full_start > empty_start + 1.0 * ground.PATIENCE:
            raise ground.LabError("start-up grows with the backlog: " + out[2])
        before, last = g.status()["recipients"], [0, 0.0]
        dead.set(greeting=None)

        def leaving():
            # An attempt that was under way may have failed just now and sent the lane to rest again.
            if len(dead.accepted) == last[0] and time.monotonic() - last[1] > 2:
                g.advance_clock(3600)
                last[1] = time.monotonic()
            last[0] = len(dead.accepted)
            return last[0] >= min(drain, before)
        ground.until(f"{drain} messages leave once the destination is back", leaving, 60, log=g.log)
        return out
    finally:
        if not quiet:
            print("\n".join(out))
        try:
            g.kill9()
            g.stop()
        finally:
            dead.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=100000)
    parser.add_argument("--drain", type=int, default=2000)
    options = parser.parse_args()
    try:
        run(options.messages, options.drain)
        ground.clean()
    except ground.LabError as e:
        sys.exit(f"FAILED: {e}")
