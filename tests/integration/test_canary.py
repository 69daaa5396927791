# SPDX-License-Identifier: MIT
"""Safer reload: bad candidates are stopped at the earliest gate that can see them, and what passes all gates is tried on a share of mail."""
import json

import pytest
from lab import ground, policies
from lab.dkim_check import DkimKey
from lab.gateway import ControlError

pytestmark = [pytest.mark.core]

POLICY = policies.PRELUDE + '''
local one = identity.define{ name = "one", helo = "one.example" }
local two = identity.define{ name = "two", helo = "two.example" }
local policy = {}
function policy.sender(session, sender) return answer.accept{} end
function policy.message(session, message) return answer.accept{ tags = { to = message.recipients[1] } } end
function policy.route(message, recipient)
    local who = #recipient.local_part % 2 == 0 and one or two
    return route.send{ via = route.capture{ dir = "in" }, identity = who, because = "as ever" }
end
return policy
'''
STORY = '''local story = require "story"
story("mail goes out as somebody", function(t)
  local m = t:session { trusted_network = true }:message { from = "a@b.example", to = "c@d.example" }
  m:route():expect { kind = "send", via = "capture" }
end)
'''
ACCEPT, ROUTE = "return answer.accept{} end", "    local who ="


def change(g, old, new):
    assert old in POLICY
    g.write_scripts({"policy.lua": POLICY.replace(old, new, 1)})


def feed(g, word, count, first=0):
    with g.smtp() as smtp:
        for i in range(first, first + count):
            smtp.sendmail("s@a.example", [f"{'x' * (i % 7 + 1)}{i}@b.example"], f"Subject: {word}{i}\r\n\r\nbody\r\n")


@pytest.fixture
def busy(gateway, word):
    g = gateway(policy=POLICY, scripts={"policy.story.lua": STORY}, limits={"errors": 100000}, hooks={"memory": "8MiB"})
    feed(g, word, 60)
    g.until_event("delivered", 60)
    return g


def refused(g, *words):
    """(exit code, the gate that refused)."""
    before = g.status()["policy"]
    done = g.cli("reload", "--json", *words, check=False)
    assert done.returncode != 0, done.stdout
    assert g.status()["policy"] == before and "canary" not in g.status()
    last = json.loads(done.stdout.strip().split("\n")[-1])
    return done.returncode, last["refused"]


GATES = ("--test", "--replay", "1h")
BAD = {
    "syntax": ((ROUTE, "    local local who ="), (78, "check")),
    "a field that is none": (("because = ", "becuase = "), (78, "check")),
    "a loop": ((ROUTE, "    while true do end\n" + ROUTE), (78, "check")),
    "a field that is none, seen by a story": ((ROUTE, '    if recipient.domain == "d.example" then return route.hold{ becuase = "?" } end\n' + ROUTE), (1, "test")),
    "a loop, seen by a story": ((ROUTE, '    while recipient.domain == "d.example" do end\n' + ROUTE), (1, "test")),
    "a fault where no story looks": ((ROUTE, '    if #recipient.local_part > 7 then return route.sent{} end\n' + ROUTE), (1, "replay")),
    "an endless loop where no story looks": ((ROUTE, '    while recipient.local_part:find("^xxxxxxx") do end\n' + ROUTE), (1, "replay")),
    "slow": ((ROUTE, "    local n = 0 for i = 1, 1100000 do n = n + i % 7 end\n" + ROUTE), (1, "replay")),
    "memory": ((ROUTE, '    kept[#kept + 1] = ("x"):rep(700000) .. recipient.address\n' + ROUTE), (1, "replay")),
    "all by one identity": (("or two", "or one"), (1, "replay")),
    "refuses all": ((ACCEPT, 'return answer.reject("550 5.7.1 no") end'), (1, "test")),
    "refuses all that a story does not show": ((ACCEPT, 'if sender.address == "s@a.example" then return answer.reject("550 5.7.1 no") end return answer.accept{} end'),
                                               (1, "replay")),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_candidates(busy, kind):
    (old, new), expected = BAD[kind]
    change(busy, old, new)
    if kind == "memory":
        busy.write_scripts({"policy.lua": POLICY.replace("local policy = {}", "local policy, kept = {}, {}", 1).replace(old, new, 1)})
    assert refused(busy, *GATES) == expected


def test_good_candidate_passes(busy):
    g = busy
    change(g, "as ever", "as never before")
    done = g.cli("reload", *GATES)
    assert "policy.lua" in done.stdout and g.status()["policy"] != g.status()["previous_policy"]
    # What was checked is what is reloaded.
    with pytest.raises(ControlError, match="changed since"):
        g.control("reload", version="0123456789ab")
    assert g.cli("reload", "--for", "1m", check=False).returncode == 64
    assert g.cli("reload", "--promote", check=False).returncode == 69


def versions(g, word):
    """The policies that decided each message; sender, message and route agree."""
    found = {}
    for e in g.events("received") + g.events("delivered"):
        found.setdefault(e["id"], set()).add(e["policy"])
    return found


def test_promoted(busy, word):
    g = busy
    was = g.status()["policy"]
    change(g, "as ever", "on trial")
    g.cli("reload", *GATES, "--canary", "30%", "--for", "1h", "--least", "20")
    new = g.status()["canary"]["policy"]
    assert g.status()["policy"] == was != new
    ground.until("the trial has begun", lambda: g.control("clock", advance_s=1))
    feed(g, word, 200, first=100)
    g.until_event("delivered", 260)
    by_message = versions(g, word)
    assert all(len(v) == 1 for v in by_message.values())
    share = [i for i, v in by_message.items() if v == {new}]
    assert 30 <= len(share) <= 90
    canary = g.status()["canary"]
    assert canary["on_trial"]["delivered"] == len(share) and canary["in_force"]["delivered"] == 200 - len(share)
    assert new in g.cli("status").stdout
    g.advance_clock(3600)
    g.until_event("canary", action="promoted")
    ground.until("it is in force", lambda: g.status()["policy"] == new)
    assert "canary" not in g.status() and g.status()["previous_policy"] == was
    feed(g, word, 5, first=400)
    assert len(g.until_event("delivered", 5, policy=new)) >= 5


WORSE = {
    "faults": (ROUTE, "    if recipient.domain == 'b.example' then error('broken') end\n" + ROUTE),
    "bounces": (ROUTE, "    if true then return route.fail('550 5.1.1 no', 'by mistake') end\n" + ROUTE),
    "drops": (ROUTE, "    if true then return route.discard('by mistake') end\n" + ROUTE),
    "refuses": (ACCEPT, 'return answer.reject("550 5.7.1 no") end'),
}


@pytest.mark.parametrize("kind", WORSE)
def test_taken_back(busy, word, kind):
    """Without a human, and no message is lost or bounced by it; what it put off is decided by the policy in force."""
    g = busy
    was = g.status()["policy"]
    change(g, *WORSE[kind])
    g.cli("reload", "--canary", "40%", "--for", "1h", "--least", "10")
    g.advance_clock(1)
    sent, put_off = [], 0
    with g.smtp() as smtp:
        smtp.ehlo()
        for i in range(80):
            to = f"{kind}{i}@b.example"
            smtp.mail("s@a.example")
            code, text = smtp.rcpt(to)
            assert code in (250, 503), text
            code, text = smtp.data(f"Subject: {word}\r\n\r\nx\r\n") if code == 250 else (451, "")
            assert code in (250, 451), text
            sent += [to] if code == 250 else []
            put_off += code != 250
            smtp.rset()
    g.until_event("canary", action="withdrawn")
    assert "canary" not in g.status() and g.status()["policy"] == was
    assert put_off == 0 or kind == "refuses"
    ground.until("those put off are decided again", lambda: g.advance_clock(600) and not g.queue(), 30)
    # The queue's commit comes before the event's line is in the file.
    ground.until("all of them are delivered", lambda: {e["recipient"] for e in g.events("delivered") if e["recipient"].startswith(kind)} == set(sent), 30)
    assert not g.events("bounced") and not g.events("discarded")
    # The folder still holds it: a restart does not run it.
    g.restart()
    assert g.status()["policy"] == was and "TAKEN BACK" in g.said()


def test_by_hand_and_restart(busy):
    g = busy
    was = g.status()["policy"]
    change(g, "as ever", "on trial")
    g.cli("reload", "--canary", "5%")
    assert "canary" in g.status()
    assert "taken back" in g.cli("reload", "--withdraw").stdout
    assert "canary" not in g.status()
    g.cli("reload", "--canary", "5%")
    new = g.status()["canary"]["policy"]
    g.kill9()
    g.start()  # in the middle of a trial
    assert g.status()["policy"] == was and "canary" not in g.status()
    assert "ON TRIAL" in g.said()
    g.cli("reload", "--canary", "5%")
    g.cli("reload", "--promote")
    ground.until("it is in force", lambda: g.status()["policy"] == new)
    g.restart()
    assert g.status()["policy"] == new


def test_a_trial_runs_where_nothing_else_loads(gateway):
    key = DkimKey("one.example", "s", "ed25519").path
    signed = f'helo = "one.example", dkim = {{ {{ domain = "one.example", selector = "s", key = "{key}" }} }} }}'
    g = gateway(policy=POLICY.replace('helo = "one.example" }', signed))
    g.write_scripts({"policy.lua": POLICY})
    g.cli("reload", "--canary", "5%")
    tried = g.status()["canary"]["policy"]
    g.kill9()
    key.unlink()  # the policy in force needs it
    g.start()
    assert g.status()["policy"] == tried and "DOES NOT LOAD" in g.said() and str(key) in g.said()
    before = len(g.said())
    g.restart()
    assert g.status()["policy"] == tried and "TRIAL" not in g.said()[before:]  # it is the one in force now
