# SPDX-License-Identifier: MIT
"""replay: what was decided live is decided again the same by the same scripts, and differs where a candidate differs."""
import json
import os
import random

import pytest
from lab import ground, policies
from lab.gateway import ControlError  # noqa: F401

pytestmark = [pytest.mark.core]

MESSAGES = int(os.environ.get("TIDEGATE_REPLAYS", "1000"))

# A bit of everything that decides: look-ups in DNS, limits, the suppression list, chance, time, headers, tags, retries.
POLICY = policies.PRELUDE + '''
local suppression = require "suppression"
local one = identity.define{ name = "one", helo = "one.example" }
local two = identity.define{ name = "two", helo = "two.example" }
local policy = {}
function policy.sender(session, sender)
    if sender.address:find("^evil") then return answer.reject("553 5.7.1 not you") end
    return answer.accept{}
end
function policy.recipient(session, recipient)
    if recipient.domain == "never.example" then return answer.reject("550 5.1.1 nobody there") end
    return answer.accept{}
end
function policy.message(session, message)
    local kind = message:header("X-Kind")
    if kind == "odd" then return answer.defer("451 4.7.1 later") end
    return answer.accept{ tags = { kind = kind or "none", lucky = math.random(1, 6) }, headers = { { add = "X-Seen", value = "yes" } },
                          spend = { limit.per_day("in", 1000000) } }
end
function policy.route(message, recipient)
    local mx, why, again = dns.mx(recipient.domain)
    if suppression.has(recipient.address) then return route.suppress("on the list") end
    if recipient.domain == "hold.example" then return route.hold("by rule") end
    if recipient.domain == "busy.example" then return route.wait(60 + math.random(1, 60), why) end
    local left = limit.left(limit.per_day("one", 100000))
    local who = message.tags.lucky > 3 and one or two
    if not message.is_report and message:header("X-Seen") ~= "yes" then return route.fail("550 5.6.0 not seen", "lost its mark") end
    return route.send{ via = route.relay{ host = "SINK", port = PORT, tls = "none" }, identity = who,
                       spend = { limit.per_day("one", 100000) }, because = left .. " left at " .. clock.now() }
end
function policy.retry(message, recipient, outcome)
    if outcome.attempt > 1 then return retry.give_up("enough") end
    return retry.wait(30 + math.random(1, 10), outcome.reply)
end
return policy
'''


def policy_for(sink):
    return POLICY.replace("SINK", sink.host).replace("PORT", str(sink.port))


def replay(g, *words, scripts=None):
    """The report, and the exit code."""
    done = g.cli("replay", "--json", *(["--scripts", scripts] if scripts else []), *words, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode


def candidate(g, old, new):
    """A copy of the policy with one line another."""
    folder = ground.folder("candidate")
    text = (g.folder / "scripts/policy.lua").read_text()
    assert old in text
    (folder / "policy.lua").write_text(text.replace(old, new))
    return folder


DOMAINS = ["good.example", "good.example", "other.example", "hold.example", "busy.example", "later.example", "gone.example"]


def fill(g, word, count):
    """So many mixed messages; what was sent, by kind."""
    chance = random.Random(4)
    sent = {"messages": 0, "evil": 0, "odd": 0, "never": 0, "hold": 0}
    with g.smtp() as smtp:
        smtp.ehlo()
        for i in range(count):
            kind = chance.choice(["news", "note", "odd"] if i % 9 == 0 else ["news", "note"])
            sender = f"evil{i}@a.example" if i % 50 == 7 else f"s{i % 13}@a.example"
            domains = [chance.choice(DOMAINS) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
            to = [f"{domain.partition('.')[0]}{i}.{k}@{domain}" for k, domain in enumerate(domains)]
            if i % 41 == 3:
                to.append("x@never.example")
            text = f"From: <{sender}>\r\nX-Kind: {kind}\r\nSubject: {word}{i}\r\n\r\nbody\r\n"
            code, _ = smtp.mail(sender)
            if code != 250:
                sent["evil"] += 1
                smtp.rset()
                continue
            taken = [a for a in to if smtp.rcpt(a)[0] == 250]
            sent["never"] += len(to) - len(taken)
            sent["hold"] += len([a for a in taken if a.endswith("@hold.example")])  # those of messages that are put off, too
            code, _ = smtp.data(text)
            if code == 250:
                sent["messages"] += 1
            else:
                sent["odd"] += 1
    return sent


@pytest.fixture
def recorded(gateway, scripted, knot, word):
    """A gateway that has decided a mixed lot, and is still running."""
    sink = scripted(rcpt={"later": "450 4.2.0 later", "gone": "550 5.1.1 gone", "*": None})
    # Room for all refusals: an hour takes no more than a day's share of an eighth.
    g = gateway(policy=policy_for(sink), dns=knot, journal={"headers": ["X-Kind", "From"], "max": 200_000 + 100 * MESSAGES}, limits={"errors": 100000})
    g.cli("suppression", "add", "@gone.example", "--expires", "1h", "--scope", "stream:none")
    g.sent = fill(g, word, MESSAGES)
    for _ in range(3):  # those put off are decided again, minutes later
        ground.until("nothing is due", lambda: not [r for r in g.queue(limit=100000) if r["state"] == "due" and r["due"] <= now(g)], 60)
        g.advance_clock(150)
    ground.until("nothing is due", lambda: not [r for r in g.queue(limit=100000) if r["state"] == "due" and r["due"] <= now(g)], 60)
    return g


def now(g):
    return g.status()["now"]


def test_the_same_scripts_decide_the_same(recorded):
    g = recorded
    report, code = replay(g, "--since", "1h", "--fail-if", "changed > 0 or unknown > 0")
    assert code == 0, report
    assert report["same"] == report["decisions"], report
    assert report["incomplete"] == 0 and report["unkept"] == 0
    outcomes = len([e for e in g.events() if e.get("type") in ("delivered", "deferred", "bounced", "held", "waiting", "suppressed")])
    assert report["decisions"] > outcomes + 2 * g.sent["messages"]
    # Offline, and after a restart, the journal says the same.
    g.stop()
    again, code = replay(g, "--since", "1h")
    assert code == 0 and again["decisions"] == again["same"] == report["decisions"]


def test_one_line_changed(recorded):
    g = recorded
    # Another identity for those whose lot was 4.
    lucky = [e for e in g.events() if e.get("type") in ("delivered", "deferred", "bounced") and e.get("tags", {}).get("lucky") == 4]
    report, code = replay(g, "--fail-if", "identity > 0", scripts=candidate(g, "lucky > 3", "lucky > 4"))
    assert code == 1 and report["failed"]
    assert report["identity"] == len(lucky) == report["decisions"] - report["same"]
    example = report["examples"]["identity"][0]
    assert "one" in example["what"] and "two" in example["what"] and example["where"].startswith("policy.lua:")
    # A domain that is refused: as many refusals as there were recipients, whose routes are not asked for.
    report, code = replay(g, scripts=candidate(g, 'recipient.domain == "never.example"', 'recipient.domain:find("^never") or recipient.domain == "hold.example"'))
    held = g.events("held")
    assert report["refusal"] == g.sent["hold"] == report["decisions"] - report["same"], report
    assert g.sent["never"] > 0
    # A message hook that tags otherwise shows there and in what follows from it.
    report, code = replay(g, scripts=candidate(g, "lucky = math.random(1, 6)", "lucky = 6 + math.random(1, 6)"))
    assert report["other"] >= g.sent["messages"] and report["identity"] > 0
    # What was not asked then is not guessed.
    report, code = replay(g, scripts=candidate(g, "dns.mx(recipient.domain)", "dns.mx('www.' .. recipient.domain)"))
    assert report["unknown"] > 0 and report["unknown"] + report["same"] == report["decisions"]
    report, code = replay(g, scripts=candidate(g, 'message:header("X-Kind")', 'message:header("X-Other")'))
    assert report["unknown"] > g.sent["messages"] / 2
    # A fault is a fault.
    report, code = replay(g, "--sample", "50%", "--fail-if", "fault > 0", scripts=candidate(g, 'return route.hold("by rule")', "return nothing.here"))
    assert code == 1 and 0 < report["fault"] <= len(held) and report["messages"] < g.sent["messages"]


def test_wrong_words(gateway):
    g = gateway(policy=policies.capture())
    for words, says in [(("--fail-if", "changes > 1"), "did you mean 'changed'"), (("--fail-if", "fault >"), "a number is expected"),
                        (("--sample", "x"), "--sample")]:
        done = g.cli("replay", *words, check=False)
        assert done.returncode != 0 and says in done.stderr
    done = g.cli("replay", "--scripts", "/nowhere", check=False)
    assert done.returncode == 78 and "/nowhere" in done.stderr
    assert "0 decisions of 0 messages" in g.cli("replay").stdout


def test_slips_are_said_before_the_work(gateway):
    g = gateway(start=False)

    def said(*words):
        done = g.cli(*words, check=False)
        assert done.stdout == "", done.stdout
        return done.returncode, done.stderr

    code, words = said("replay")
    assert code == 69 and "nothing was decided yet: no gateway has run with this configuration" in words
    code, words = said("replay", "--sample", "0")
    assert code == 64 and "--sample: a number of messages, or a share as 10%, is expected" in words, code
    code, words = said("reload", "--test", "--canary", "200%")
    assert code == 64 and "--canary and --margin are shares: 5%" in words
    code, words = said("simulate", "--traffic", str(ground.REPOSITORY / "scripts/examples/simulate/traffic.lua"), "--csv", "/nonexistent/a.csv")
    assert code == 73 and "/nonexistent/a.csv: No such file" in words
