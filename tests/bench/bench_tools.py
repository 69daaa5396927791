# SPDX-License-Identifier: MIT
"""bench_tools: the load generator and the sink, from Python."""
import json
import socket
import subprocess
import time

from peers import REPOSITORY, ground
from lab.names import Knot  # found through peers


class Sink:
    def __init__(self, *options, host="127.0.0.1", mx=None):
        """mx: an address at whose port 25 it listens, too."""
        self.port = ground.free_port()
        listeners = ["--listen", f"{host}:{self.port}"] + (["--listen", f"{mx}:25"] if mx else [])
        self.process = ground.Process("sink", [REPOSITORY / "build/bench/sink", *listeners, *options], ground.folder("sink") / "output.log")
        self.process.until_listening("127.0.0.1", self.port)

    def say(self, verb):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
            f = s.makefile("rwb")
            f.readline()
            f.write(verb.encode() + b"\r\n")
            f.flush()
            return f.readline().decode()[4:]

    def counts(self):
        return json.loads(self.say("XSTAT"))

    def wait_for(self, count, patience_s=30, most_s=180):
        """The counts once so many messages are there, or when none has come for so long, or some after so long."""
        seen, began = -1, time.monotonic()
        since = began
        while True:
            counts, now = self.counts(), time.monotonic()
            if counts["messages"] >= count or now - since > patience_s or now - began > most_s:
                return counts
            if counts["messages"] != seen:
                seen, since = counts["messages"], time.monotonic()
            time.sleep(0.05)


class Exchanges:
    """DNS for domains with two MX hosts of equal preference: one is the sink, the other is dead. refused.mx.example: nothing listens
    there; silent.mx.example: connections are never answered. Needs the ports 25 and 53 of loopback addresses."""

    def __init__(self):
        self.sink, nobody, silent = ground.address(), ground.address(), ground.address()
        self.knot = Knot(port=53)
        for domain, dead in (("refused.mx.example", nobody), ("silent.mx.example", silent)):
            self.knot.add(f"{domain} MX 10 good.{domain}", f"{domain} MX 10 dead.{domain}", f"good.{domain} A {self.sink}", f"dead.{domain} A {dead}")
        # Linux drops who knocks at a listener whose line is full, as a dead network does.
        self.listener = socket.create_server((silent, 25), backlog=0)
        self.fillers = [socket.socket() for _ in range(4)]
        for s in self.fillers:
            s.setblocking(False)
            s.connect_ex((silent, 25))

    def stop(self):
        for s in (self.listener, *self.fillers):
            s.close()
        self.knot.stop()


def load(port, case, seconds):
    """One run of the generator. seconds None: case["messages"] messages."""
    domain = case.get("domain") or ("hold.example" if case.get("hold") else "sign.example" if case.get("sign")
                                     else case["mx"] + ".mx.example" if case.get("mx") else "sink.example")
    words = ["--to", f"127.0.0.1:{port}", "--domain", domain, "--connections", case["connections"], "--size", case.get("size", 2048),
             "--per-connection", case.get("per_connection", 50), "--domains", case.get("domains", 1), "--pending", 5]
    words += ["--messages", case["messages"]] if seconds is None else ["--seconds", seconds]
    words += ["--tls"] if case.get("tls") else []
    words += ["--run", case["run"], "--first", case["first"]] if "run" in case else []
    done = subprocess.run([REPOSITORY / "build/bench/load", *map(str, words)], capture_output=True, text=True)
    if not done.stdout:
        raise ground.LabError(f"load failed: {done.stderr}")
    return json.loads(done.stdout)
