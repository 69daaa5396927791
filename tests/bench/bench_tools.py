# SPDX-License-Identifier: MIT
"""bench_tools: the load generator and the sink, from Python."""
import json
import socket
import subprocess
import time

from peers import REPOSITORY, ground


class Sink:
    def __init__(self, *options, host="127.0.0.1"):
        self.port = ground.free_port()
        self.process = ground.Process("sink", [REPOSITORY / "build/bench/sink", "--listen", f"{host}:{self.port}", *options],
                                      ground.folder("sink") / "output.log")
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

    def wait_for(self, count, patience_s=30):
        """The counts once so many messages are there, or when none has come for so long."""
        seen, since = -1, time.monotonic()
        while True:
            counts = self.counts()
            if counts["messages"] >= count or time.monotonic() - since > patience_s:
                return counts
            if counts["messages"] != seen:
                seen, since = counts["messages"], time.monotonic()
            time.sleep(0.05)


def load(port, case, seconds):
    """One run of the generator. seconds None: case["messages"] messages."""
    domain = case.get("domain") or ("hold.example" if case.get("hold") else "sign.example" if case.get("sign") else "sink.example")
    words = ["--to", f"127.0.0.1:{port}", "--domain", domain, "--connections", case["connections"], "--size", case.get("size", 2048),
             "--per-connection", case.get("per_connection", 50), "--domains", case.get("domains", 1), "--pending", 5]
    words += ["--messages", case["messages"]] if seconds is None else ["--seconds", seconds]
    words += ["--tls"] if case.get("tls") else []
    done = subprocess.run([REPOSITORY / "build/bench/load", *map(str, words)], capture_output=True, text=True)
    if not done.stdout:
        raise ground.LabError(f"load failed: {done.stderr}")
    return json.loads(done.stdout)
