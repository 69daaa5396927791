# SPDX-License-Identifier: MIT
"""scaled: the gateway whose backlog grows: what is asked of it and looked at in it."""
import json
import random
import shutil
import smtplib
import subprocess
import time

from bench_tools import load
from peers import REPOSITORY, Tidegate, ground

SLICE = 20000  # messages between two looks at the progress


class Scaled(Tidegate):
    """*.wait.example waits until tomorrow, or until `release`; dN.lanes.example has a lane and an address of its own; *.hold.example is held."""
    POLICY = """
-- %s
local answer, route = require "answer", require "route"
local sink = route.relay { host = "127.0.0.1", port = %d, tls = "none" }
local waits = "wait.example"
local policy = {}
function policy.message(session, message)
  if message.recipients[1]:find("hold.example", 1, true) then return answer.hold("held for the bench") end
  return answer.accept {}
end
function policy.route(message, recipient)
  if recipient.domain:find(waits, 1, true) then return route.wait(86400, "until tomorrow") end
  local n = tonumber(recipient.domain:match("^d(%%d+)%%.lanes%%."))
  local via = n and route.relay { host = ("127.77.%%d.%%d"):format(n // 250, n %% 250 + 1), port = PORT, tls = "none" } or sink
  return route.send { via = via, lane = { connections = 20, per_connection = 1000 }, because = "scale" }
end
return policy
"""

    def __init__(self, sink_port, workers=2):
        self.workers, self.run, self.filled = workers, random.getrandbits(31) | 1, 0
        super().__init__(sink_port)
        self.restart()
        self.empty_mib = sum(self.disk().values())  # what it sets aside with its first message

    def configure(self):
        self.POLICY = self.POLICY.replace("PORT", str(self.sink_port))
        super().configure()

    def scrap(self):
        """Ends it, however it fares, and gives its disk back."""
        self.process.kill()
        shutil.rmtree(self.folder / "var", ignore_errors=True)

    def release(self):
        """From now on the policy lets everything go."""
        path = self.folder / "scripts/policy.lua"
        path.write_text(path.read_text().replace('waits = "wait.example"', 'waits = "nobody.example"'))
        self.tool("reload")

    def restart(self):
        began = time.monotonic()
        self.stop()
        stopped = time.monotonic()
        self.process = ground.Process(self.name, [self.binary, "run", "--conf", self.folder / "conf/tidegate.lua"],
                                      self.folder / "stderr.log", cwd=self.folder)
        found = {"stop_s": stopped - began, "start_s": None, "first_250_s": None}
        while time.monotonic() - stopped < 120:
            try:
                with smtplib.SMTP(self.host, self.port, "load.example", timeout=60) as s:
                    found["start_s"] = time.monotonic() - stopped
                    s.sendmail("sender@load.example", ["first@sink.example"], "Subject: the first\r\n\r\nis it on disk?\r\n")
                    found["first_250_s"] = time.monotonic() - stopped
                    return found
            except ConnectionRefusedError:
                time.sleep(0.002)
        raise ground.LabError(f"it does not take mail 120 s after its start\n{self.log_tail()}")

    def fill(self, count, size, bar, domains=1000):
        """Until so many wait, each asked about and put off. Messages a second taken, and put off too."""
        began, taken_s, wanted = time.monotonic(), 0, count - self.filled
        while self.filled < count:
            some = min(SLICE, count - self.filled)
            sent = load(self.port, {"connections": 50, "messages": some, "domain": "wait.example", "per_connection": 1000, "size": size,
                                    "domains": domains, "run": self.run, "first": self.filled}, None)
            if sent["accepted"] != some:
                raise ground.LabError(f"{sent['accepted']} of {some} accepted: {self.log_tail()}")
            self.filled += some
            taken_s += sent["seconds"]
            bar.at(self.filled, "taken")
        bar.whole = count
        while (status := self.status())["in_memory"]:
            if time.monotonic() - began > 120 + wanted / 200:
                raise ground.LabError(f"{status['in_memory']} are still being asked about")
            bar.at(count, f"taken, {status['in_memory']} being put off")
            time.sleep(0.1)
        return {"messages": wanted, "taken_rate": wanted / max(taken_s, 1e-6), "settled_rate": wanted / (time.monotonic() - began)}

    def tool(self, *words):
        return subprocess.run([self.binary, "--conf", self.folder / "conf/tidegate.lua", *words], cwd=self.folder,
                              capture_output=True, text=True, check=True, timeout=1800).stdout

    def timed(self, *words):
        began = time.monotonic()
        self.tool(*words)
        return time.monotonic() - began

    def verbs(self):
        """Seconds of each verb, as an operator waits for it."""
        found = {"status": self.timed("status"), "list --limit 100": self.timed("queue", "list", "--limit", "100"),
                 "list --count": self.timed("queue", "list", "--count"),
                 "list --domain D --count": self.timed("queue", "list", "--domain", "d7.wait.example", "--count")}
        listed = [json.loads(line) for line in self.tool("--json", "queue", "list", "--limit", "1").splitlines()]
        if listed and "id" in listed[0]:
            found["show"] = self.timed("queue", "show", listed[0]["id"])
        found["hold --domain D"] = self.timed("queue", "hold", "--domain", "d7.wait.example", "--yes")
        found["release --domain D"] = self.timed("queue", "release", "--domain", "d7.wait.example", "--yes")
        return found

    def memory(self):
        """MiB: all, its own, and what of files is mapped (which the kernel takes back when it wants)."""
        return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in open(f"/proc/{self.pid}/status")
                if line.startswith(("VmRSS", "RssAnon", "RssFile"))}

    def settled_memory(self):
        """Once it has not changed for a second."""
        seen, since, began = None, 0, time.monotonic()
        while time.monotonic() - began < 20:
            now = self.memory()
            if seen is None or abs(now["RssAnon"] - seen["RssAnon"]) > 0.05:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > 1:
                break
            time.sleep(0.1)
        return seen

    def status(self):
        return json.loads(self.tool("--json", "status").splitlines()[0])

    def store(self):
        """What it says of its store, without where that lies: figures are kept in the repository."""
        return {key: value for key, value in self.status()["store"].items() if key != "path"}

    def disk(self):
        """MiB on disk: the database and the bodies."""
        sizes = {"database": 0, "bodies": 0}
        for path in (self.folder / "var/queue").rglob("*"):
            if path.is_file():
                sizes["database" if path.suffix == ".mdb" or "mdb" in path.name else "bodies"] += path.stat().st_blocks * 512 / 2**20
        return sizes


class Bar:
    """How far a long step is: on a terminal one line that is written over, else a line now and then."""

    def __init__(self, what, whole, terminal):
        self.what, self.whole, self.terminal = what, max(whole, 1), terminal
        self.began = self.said = time.monotonic()

    def at(self, done, how=""):
        now = time.monotonic()
        if now - self.said < (0.2 if self.terminal else 30):
            return
        self.said = now
        share = min(done / self.whole, 1)
        left = (now - self.began) * (1 - share) / share if share else 0
        text = f"{self.what}: [{'#' * int(share * 30):30}] {done} of {self.whole} {how}, about {left:.0f} s left"
        print(f"\r{text:110.110}" if self.terminal else text, end="" if self.terminal else "\n", flush=True)

    def done(self):
        if self.terminal:
            print(f"\r{'':110}\r", end="", flush=True)
