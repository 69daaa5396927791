# SPDX-License-Identifier: MIT
"""simulate: what it prints, and that it tells what a gateway then does."""
import collections
import csv
import datetime
import io
import json
import os
import time
import xml.etree.ElementTree

import pytest
from lab import ground, policies

pytestmark = pytest.mark.core

# Messages are so many times as many; 1 in the suite.
SCALE = int(os.environ.get("TIDEGATE_SIMULATE", "1"))
DAYS, STEP_S, DAY_S = 2, 1800, 86400
EXAMPLES = ground.REPOSITORY / "scripts/examples/simulate"


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(seconds * 1000) % 1000:03d}Z"


def rows(text):
    return [{k: v if k in ("date", "identity", "provider") else int(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]


def test_examples_and_outputs(gateway):
    """The shipped files play; table, CSV, JSON and SVG say the same; the same again gives the same bytes."""
    g = gateway(policy=policies.policy("""local one = identity.define{ name = "one" }
--
route = function(message, recipient)
  return route.send{ via = route.direct{}, identity = one, spend = { limit.per_day("one", 900, { per = "recipient" }) }, because = "capped" }
end,"""), start=False)

    def run(name, *more):
        done = g.cli("simulate", "--traffic", EXAMPLES / "traffic.lua", "--peers", EXAMPLES / "peers.lua", "--days", 1, "--start", "2026-12-05",
                     "--csv", g.folder / f"{name}.csv", "--svg", g.folder / f"{name}.svg", *more, timeout=180)
        return done.stdout, (g.folder / f"{name}.csv").read_text(), (g.folder / f"{name}.svg").read_text()

    table, text, svg = run("first", "--seed", 3)
    assert run("again", "--seed", 3) == (table, text, svg)
    found = rows(text)
    sent = sum(r["sent"] for r in found)
    assert sent == 900 and {r["identity"] for r in found} == {"one"} and {"google", "yahoo", "outlook", "customer"} <= {r["provider"] for r in found}
    assert "none of 1 was over its cap" in table and "2026-12-05" in table
    lines = [json.loads(line) for line in run("other", "--seed", 4, "--json")[0].splitlines()]
    assert lines[-1]["type"] == "summary" and lines[-1]["over_cap"] == 0 and lines[-1]["seed"] == 4
    assert sum(r["sent"] for r in lines[:-1]) == 900 and lines[-1]["messages"] > 5000
    picture = xml.etree.ElementTree.fromstring(svg)
    bars = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert f"12-05 one: {sent}" in bars and any(b.startswith("12-05 waiting: ") for b in bars)


def test_faults(gateway):
    g = gateway(start=False)
    traffic, peers = g.folder / "traffic.lua", g.folder / "peers.lua"
    traffic.write_text("return { streams = { { per_dy = 3 } } }")
    done = g.cli("simulate", "--traffic", traffic, check=False)
    assert done.returncode == 65 and f"{traffic}: streams[1].per_dy: unknown key (did you mean 'per_day'?)" in done.stderr
    peers.write_text("return { default = { bounce = 3 } }")
    done = g.cli("simulate", "--traffic", EXAMPLES / "traffic.lua", "--peers", peers, check=False)
    assert done.returncode == 65 and f"{peers}: default.bounce: a number from 0 to 1 is expected" in done.stderr
    done = g.cli("simulate", check=False)
    assert done.returncode == 64 and "--traffic" in done.stderr
    g.write_scripts({"policy.lua": "return {"})
    done = g.cli("simulate", "--traffic", EXAMPLES / "traffic.lua", check=False)
    assert done.returncode == 78 and "policy.lua:1" in done.stderr


def predicted(g, peers, day, start):
    """Sent a day and identity, as simulate says."""
    recorded, rules, out = g.folder / "day.jsonl", g.folder / "peers.lua", g.folder / "predicted.csv"
    # Times of a recorded day count from midnight, and this one begins when the gateway did.
    recorded.write_text("".join(json.dumps({"time": iso(at), "sender": "a@sender.example", "recipients": [to], "size": 1000}) + "\n" for at, to in day))
    rules.write_text(f"""return {{ providers = {{
      gone = {{ hosts = "{peers['gone'].host}", bounce = 1, latency = 0, connect = 0 }},
      storm = {{ hosts = "{peers['storm'].host}", storms = {{ from = 0, to = "6h", reply = "451 4.3.0 busy" }}, latency = 0, connect = 0 }},
    }}, default = {{ latency = 0, connect = 0 }} }}""")
    g.cli("simulate", "--traffic", recorded, "--peers", rules, "--days", DAYS, "--start", iso(start), "--csv", out)
    sent = collections.Counter()
    for r in rows(out.read_text()):
        sent[r["day"], r["identity"]] += r["sent"]
    return sent


def test_simulate_predicts(gateway, scripted):
    """Two days of a gateway on a clock that is moved in steps, with real servers, and the simulation of the same mail agree."""
    peers = {name: scripted() for name in ("ok", "gone", "storm")}
    peers["gone"].set(rcpt="550 5.1.1 no such user")
    peers["storm"].set(mail="451 4.3.0 busy")
    g = gateway(policy=policies.policy("""local one, two, three = identity.define{ name = "one" }, identity.define{ name = "two" }, identity.define{ name = "three" }
local function way(host, who, spend)
  return route.send{ via = route.relay{ host = host, port = %d }, tls = "none", identity = who, spend = spend, because = who.name }
end
--
route = function(message, recipient)
  if message.is_report then return route.discard("reports") end
  if recipient.domain == "gone.example" then return way("%s", three) end
  if recipient.domain == "storm.example" then return way("%s", three) end
  return route.first{ way("%s", one, { limit.per_day("one", %d) }), way("%s", two, { limit.per_day("two", %d) }) }
end,""" % (peers["ok"].port, peers["gone"].host, peers["storm"].host, peers["ok"].host, 60 * SCALE, peers["ok"].host, 45 * SCALE)))
    # At half past each hour: five for `ok`, now and then one that does not exist and one that meets the storm.
    day = [(hour * 3600 + 1800, f"r{hour}n{i}@{domain}.example") for hour in range(24)
           for domain, count in (("ok", 5 * SCALE), ("gone", SCALE), ("storm", SCALE)) for i in range(count)]
    start = time.time()
    expected = predicted(g, peers, day, start)
    submitted = 0
    for step in range(1, DAYS * DAY_S // STEP_S):
        at = step * STEP_S
        g.advance_clock(STEP_S)
        if at == 6 * 3600:
            peers["storm"].set(mail="250 ok")
        due = [to for when, to in day if when == at % DAY_S]
        with g.smtp() as s:
            for to in due:
                s.sendmail("a@sender.example", [to], f"Subject: {to}\r\n\r\nhello\r\n".encode())
        submitted += len(due)
        # Each has its first fate, and those that the step let go are on their way.
        ground.until("every message has a fate", lambda: len({e["id"] for e in g.events() if e["type"] in ("delivered", "bounced", "deferred", "limit")}) >= submitted,
                     20, log=g.log)
        time.sleep(0.05)
    seen = collections.Counter()
    begun = datetime.datetime.fromtimestamp(start, datetime.timezone.utc)
    for e in g.events("delivered"):
        at = datetime.datetime.fromisoformat(e["time"].replace("Z", "+00:00"))
        seen[int((at - begun).total_seconds()) // DAY_S + 1, e["identity"]] += 1
    assert {identity for _, identity in seen} == {"one", "two", "three"}
    wrong = {k: (expected[k], seen[k]) for k in set(expected) | set(seen) if abs(expected[k] - seen[k]) > max(expected[k], seen[k]) / 100}
    assert not wrong, f"day and identity: (predicted, seen) {wrong}"
