# SPDX-License-Identifier: MIT
"""`tidegate explain`: what it says is what the next real message does; it changes nothing; and it says why a message waits."""
import datetime
import json
import os
import random
import threading
import time

import pytest
from lab import ground, mail, policies

pytestmark = pytest.mark.core

ENVELOPES = int(os.environ.get("TIDEGATE_EXPLAIN", "200"))

# Pools, limits on the way in and out, suppression, DNS, tags: all that a decision may hang on.
POLICY = """
local answer, identity, route, pool = require "answer", require "identity", require "route", require "pool"
local provider, suppression, shaping, retry = require "provider", require "suppression", require "shaping", require "retry"

local members = {}
for i = 1, 5 do
  local name = "box" .. i
  members[i] = { name = name, identity = identity.define { name = name }, provider = i % 2 == 0 and "google" or nil, enabled = i ~= 5 }
end
local function caps(member)
  return { limit.per_day("box/" .. member.name, 8), limit.per_hour("hour/" .. member.name, 5) }
end
local by_sender = pool.new { members = members, by = "sender", match = "prefer", size = 2, caps = caps }
local least = pool.new { members = members, by = "least_sent", size = 2, caps = caps }
local spare = identity.define { name = "spare" }

local policy = {}

function policy.sender(session, sender)
  if sender.domain == "never.example" then return answer.reject("553 5.7.1 not from there", "never") end
  if session.user ~= "" and session.user_facts.team ~= "lab" then return answer.reject("550 5.7.1 which team?") end
  return answer.accept {}
end

function policy.recipient(session, to)
  if to.domain == "unknown.example" then return answer.defer("450 4.1.1 not now", "unknown") end
  local found, why = dns.mx(to.domain)
  if not found and why == "no such name" then return answer.reject("550 5.1.2 no such domain", to.domain) end
  return answer.accept {}
end

function policy.message(session, message)
  local stream = message:header "X-Stream"
  if stream == "drop" then return answer.discard "as asked" end
  if stream == "park" or stream == "least" then return answer.hold "as asked" end
  local spend = session.user ~= "" and { limit.per_day("user/" .. session.user, 25) } or nil
  return answer.accept { tags = { stream = stream, size = message.size > 2000 and "large" or "small" }, spend = spend,
    headers = { { set = "X-Seen", value = session.client_ip } }, expires = "2d" }
end

local function way(group, dir)
  return function(member, spend)
    return route.send { via = route.capture { dir = dir }, identity = member.identity, spend = spend, because = member.name .. " for " .. group }
  end
end

function policy.route(message, recipient)
  local refused = suppression.check(message, recipient)
  if refused then return refused end
  local group = provider.of(recipient.domain)
  local ask = { message = message, recipient = recipient, provider = group }
  local stream = message.tags.stream or message:header "X-Stream"
  shaping.lane(group)
  if stream == "later" then return route.wait(1800, "later") end
  if stream == "no" then return route.fail("550 5.7.1 no", "no") end
  if stream == "least" then return least:first(ask, way(group, "least")) end
  if stream == "spare" then
    return by_sender:first(ask, way(group, "sender"), route.send { via = route.capture { dir = "spare" }, identity = spare,
      spend = { limit.per_day("spare", 12, { per = "recipient" }) }, because = "spare" })
  end
  if stream == "last" then return by_sender:first(ask, way(group, "sender"), route.fail("550 5.7.1 all are used up", "all full")) end
  return by_sender:first(ask, way(group, message.tags.size))
end

return policy
"""

ZONE = {("g.example", "MX"): ["g.example. 60 MX 10 aspmx.l.google.com."], ("o.example", "MX"): ["o.example. 60 MX 10 mx.o.example."]}


def explained(g, *arguments):
    """All rows of `tidegate explain --json`."""
    return [json.loads(line) for line in g.cli("explain", "--json", *arguments).stdout.splitlines()]


def fates(rows):
    return {row["recipient"]: row for row in rows if row["step"] == "fate"}


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Envelope:
    def __init__(self, dice, n):
        self.sender = dice.choice(["ann@a.example", "bob@a.example", "cleo@c.example", "dora@d.example", "x@never.example", ""] * 3 + ["ann@a.example"])
        self.user = dice.random() < 0.3
        domain = dice.choice(["g.example"] * 3 + ["o.example"] * 3 + ["none.example", "unknown.example"])
        self.to = f"gone{dice.randrange(3)}@o.example" if dice.random() < 0.08 else f"r{n}@{domain}"
        self.stream = dice.choice(["", "", "least", "least", "spare", "last", "later", "no", "drop", "park"])
        self.text = mail.message(f"e{n}", sender=self.sender or "nobody@a.example", to=self.to)
        lines = self.text if isinstance(self.text, str) else self.text.decode()
        extra = f"X-Stream: {self.stream}\r\n" if self.stream else ""
        self.text = extra + lines.replace("\r\n", "\n").replace("\n", "\r\n") + "x" * dice.choice([0, 0, 950]) + "\r\n" + ("y" * 70 + "\r\n") * dice.choice([0, 30])

    def arguments(self, g, folder):
        (folder / "explained.eml").write_bytes(self.text.encode())
        more = ["--user", g.USER, "--listener", "submission"] if self.user else ["--listener", "relay"]
        return ["--from", self.sender or "<>", "--to", self.to, "--client", "127.0.0.1", "--helo", "client.example", "--message", folder / "explained.eml", *more]

    def send(self, g):
        """The refusal's words, or None and the id."""
        with (g.login() if self.user else g.smtp()) as s:
            s.ehlo_or_helo_if_needed()
            for step in (lambda: s.mail(self.sender), lambda: s.rcpt(self.to), lambda: s.data(self.text)):
                code, words = step()
                if code >= 400:
                    return f"{code} {words.decode()}", None
            return None, words.decode().split()[-1]


def what_became(g, id, released=False):
    """The event that says what the gateway did with it first."""
    if len(id) != 16:
        return {"type": "discarded"}
    def look():
        found = [e for e in g.events(id=id) if e["type"] in ("delivered", "limit", "suppressed", "bounced", "waiting", "discarded")]
        held = not found and not released and [r for r in g.queue(id=id) if r["state"] == "held"]
        return found[0] if found else {"type": "held"} if held else None
    return ground.until(f"a fate of {id}", look, log=g.log)


def agrees(fate, refused, event):
    """None, or how they differ."""
    kind = fate["fate"]
    if refused is not None:
        same = kind == "refused" and fate["reply"].split()[:2] == refused.split()[:2]
        if same and "try again in" not in refused:
            same = fate["reply"] == refused
        return None if same else f"explained {kind} {fate.get('reply')}, refused with {refused}"
    expected = {"sends": "delivered", "holds": "held", "bounces": "bounced", "suppressed": "suppressed", "discarded": "discarded"}.get(kind)
    if kind == "waits":
        expected = "limit" if "waits_for" in fate else "waiting"
    if event["type"] != expected:
        return f"explained {kind}, was {event['type']}"
    if kind == "sends" and (fate.get("identity", "") != event["identity"] or fate["lane"] != event["lane"]):
        return f"explained {fate.get('identity')} {fate['lane']}, went as {event['identity']} {event['lane']}"
    if kind == "sends" and fate["because"] != event["because"]:
        return f"explained because {fate['because']}, was {event['because']}"
    if "waits_for" in fate and (fate["waits_for"] != event["limit"]["key"] or abs(seconds(fate["until"]) - seconds(event["limit"]["until"])) > 60):
        return f"explained {fate['waits_for']} until {fate['until']}, waits for {event['limit']}"
    if expected == "waiting" and abs(seconds(fate["until"]) - seconds(event["due"])) > 30:
        return f"explained until {fate['until']}, waits until {event['due']}"
    return None


def until_quiet(g):
    """Those that were called by the clock have all come somewhere."""
    was = None
    def look():
        nonlocal was
        now = (len(g.events()), sorted((r["id"], r["state"]) for r in g.queue()))
        same, was = now == was, now
        return same
    ground.until("nothing happens any more", look, every=0.4, log=g.log)


def test_predicts(gateway, pocket_dns, tmp_path):
    """For random envelopes, what explain said is what the next real message did: who, by which way, refused, held, or until when it waits."""
    dice = random.Random(4)
    g = gateway(policy=POLICY, dns=pocket_dns(ZONE))
    for i in range(3):
        g.cli("suppression", "add", f"gone{i}@o.example")
    wrong, kinds = [], {}
    for n in range(ENVELOPES):
        if n and n % 70 == 0:
            g.advance_clock(dice.choice([3700, 90000]))
            until_quiet(g)
        envelope = Envelope(dice, n)
        fate = fates(explained(g, *envelope.arguments(g, tmp_path)))[envelope.to]
        refused, id = envelope.send(g)
        event = None if refused else what_became(g, id)
        kinds[fate["fate"]] = kinds.get(fate["fate"], 0) + 1
        differs = agrees(fate, refused, event)
        if not differs and envelope.stream == "least" and not refused:  # drawn by the message's id, which nobody knows before
            fate = fates(explained(g, id))[envelope.to]
            kinds[fate["fate"]] = kinds.get(fate["fate"], 0) + 1
            g.change("release", id=id)
            differs = agrees(fate, None, what_became(g, id, released=True))
        if differs:
            wrong.append(f"{n} {envelope.sender} -> {envelope.to} stream={envelope.stream} user={envelope.user}: {differs}")
    assert not wrong, f"{len(wrong)} of {ENVELOPES}:\n" + "\n".join(wrong[:20])
    assert ENVELOPES < 200 or {"sends", "waits", "refused", "holds", "bounces", "suppressed", "discarded"} <= set(kinds), kinds


def plain(g, *arguments):
    """The page for people, none of whose lines is wider than 100 columns."""
    text = g.cli("explain", *arguments).stdout
    assert max(map(len, text.splitlines())) <= 100, text
    return " ".join(text.split())


def row_of(rows, step, **fields):
    found = [r for r in rows if r["step"] == step and all(r.get(k) == v for k, v in fields.items())]
    assert len(found) == 1, rows
    return found[0]


TWO_WAYS = """
local a = route.send { via = route.relay { host = "%s", port = %d, tls = "none" }, because = "the first",
  spend = { limit.per_day("first", 2, { exhausted_by = "quota" }) } }
local b = route.send { via = route.relay { host = "%s", port = %d, tls = "none" }, because = "the second", spend = { limit.per_day("second", 1) } }
--
route = function(message, recipient) return route.first { a, b } end,
retry = function(message, recipient, outcome)
  if outcome.exhaustible.quota and outcome.code == 552 then return retry.elsewhere("it says so", false, nil, { by = "quota", seconds = 7200 }) end
  return retry.wait(600, "later")
end,
"""


def ask(g, to="bob@b.example", *more):
    rows = explained(g, "--from", "ann@a.example", "--to", to, *more)
    return fates(rows)[to], row_of(rows, "hook", hook="route")["decision"]


def test_limits_and_ways(gateway, scripted, word):
    """Used up, said to be used up by the peer, resting: each is told, with when it ends; and waiting messages say what they wait for."""
    first, second = scripted(), scripted()
    g = gateway(policy=policies.policy(TWO_WAYS % (first.host, first.port, second.host, second.port)))
    fate, decision = ask(g)
    assert fate["fate"] == "sends" and fate["way"] == 1 and fate["because"] == "the first"
    for i in range(3):
        g.submit(f"{word}n{i}")
        g.until_event("delivered", i + 1)
    fate, decision = ask(g)
    limits = [way["limits"][0] for way in decision["ways"]]
    assert fate["fate"] == "waits" and fate["waits_for"] == "first" and [(l["used"], l["cap"], l["left"]) for l in limits] == [(2, 2, 0), (1, 1, 0)]
    assert 86400 < seconds(fate["until"]) - time.time() < 90000 and fate["until"] == limits[0]["room_at"]
    g.submit(word)
    event = g.until_event("limit")
    assert abs(seconds(event["limit"]["until"]) - seconds(fate["until"])) < 5
    waits = row_of(explained(g, event["id"]), "waits")
    assert waits["for"] == "limit" and waits["limit"]["key"] == "first" and waits["limit"]["used"] == 2 and waits["until"] == waits["limit"]["room_at"]
    text = plain(g, event["id"], 0)
    assert "waits for room in limit first: 2 of 2 used in any 1d, 0 left; no room before" in text
    assert "limit first: 2 of 2 used" in text and "policy.lua:" in text
    assert fates(explained(g, event["id"]))["bob@example.net"]["waits_for"] == "first"
    # The peer's word counts, whatever was counted.
    g.advance_clock(90000)
    g.until_event("delivered", 4)
    ground.until("the room that was kept for it is free again", lambda: ask(g)[0].get("way") == 1, log=g.log)
    first.set(rcpt={"*": "552 5.2.2 quota"})
    g.submit(word + "x")
    g.until_event("delivered", 5)
    fate, decision = ask(g)
    assert decision["ways"][0]["limits"][0]["full_until"] and fate["waits_for"] == "first" and 7000 < fate["waits_s"] <= 7200


def test_a_lane_that_rests(gateway, scripted, word):
    peer, dead = scripted(), ground.address()
    g = gateway(policy=policies.policy(TWO_WAYS % (dead, 1, peer.host, peer.port)))
    g.submit(word)
    event = g.until_event("deferred")
    fate, decision = ask(g)
    assert fate["way"] == 2 and decision["ways"][0]["rests_until"] and not decision["ways"][0]["room"]
    assert "its lane rests until" in plain(g, "--from", "a@a.example", "--to", "b@b.example")
    waits = row_of(explained(g, event["id"]), "waits")
    assert waits["for"] == "time" and waits["attempts"] == 1 and waits["until"] == event["due"] and waits["last"]["stage"] == "connect"
    text = plain(g, event["id"])
    assert "waits for its next attempt after 1, at" in text and "deferred" in text and "later" in text
    # The second is used up: now the way that rests is the one that will be free first.
    g.submit(word + "b")
    g.until_event("delivered")
    fate, _ = ask(g)
    assert fate["fate"] == "waits" and fate["waits_for"] == "lane"


def test_held_and_released(gateway, word):
    g = gateway(policy=policies.policy("--\nmessage = function() return answer.hold('look at it') end,\nroute = function() return route.hold('still') end,\n"))
    g.submit(word)
    id = g.until_queue(1, state="held")[0]["id"]
    assert row_of(explained(g, id), "waits")["for"] == "operator" and fates(explained(g, id))["bob@example.net"]["fate"] == "holds"
    g.change("release", id=id)
    g.until_event("held", id=id)
    g.change("hold", id=id)
    events = [row["event"] for row in explained(g, id) if row["step"] == "journal"]
    assert [e["type"] for e in events if e.get("because") == "by an operator"] == ["released", "held"]
    assert "held until an operator releases it" in plain(g, id)
    done = g.cli("explain", "0000000000000001", check=False)
    assert done.returncode == 65 and "neither in the queue nor in the journal" in done.stderr
    assert done.stderr.startswith("tidegate explain: 0"), done.stderr  # the verb is said once


def test_changes_nothing(gateway, pocket_dns, tmp_path):
    """Not a token, not an event, not a row; and what the policy asks for is not done."""
    more = """--
route = function(message, recipient)
  limit.left(limit.per_day("looked", 5))
  local a, why = http.request { url = "https://web.example/x", method = "POST", body = "x" }
  if why then log.info(why) end
  return route.fail("550 5.1.1 no", "no", { scope = "all" })
end,
"""
    g = gateway(policy=policies.policy(more), dns=pocket_dns(ZONE), http={"hosts": ["web.example"]})
    rows = explained(g, "--from", "ann@a.example", "--to", "bob@b.example")
    decision = row_of(rows, "hook", hook="route")["decision"]
    assert fates(rows)["bob@b.example"]["fate"] == "bounces" and "POST is not sent here" in decision["log"][0]
    assert decision["looked"][0].pop("where").startswith("policy.lua:")
    assert decision["looked"][0] == {"limit": "looked", "window_s": 86400, "cap": 5, "left": 5}
    assert g.events() == [] and g.queue() == [] and g.cli("suppression", "list").stdout == ""
    assert all(r["used"] == 0 for r in g.control("limit")[0]) and g.status()["accepted"] == 0


def test_without_a_gateway(gateway, pocket_dns):
    g = gateway(policy=POLICY, dns=pocket_dns(ZONE))
    g.stop()
    done = g.cli("explain", "--from", "ann@a.example", "--to", "bob@g.example", "--client", "192.0.2.7", "--at", "2026-03-01 09:00Z")
    assert "no gateway answers" in done.stderr and "offline" in done.stdout and "reject" not in done.stdout
    rows = explained(g, "--offline", "--from", "ann@a.example", "--to", "bob@g.example", "--user", "nobody")
    assert fates(rows)["bob@g.example"]["reply"].startswith("535 5.7.8")
    rows = explained(g, "--offline", "--from", "ann@a.example", "--to", "bob@g.example", "--listener", "submission")
    assert fates(rows)["bob@g.example"]["reply"] == "530 5.7.0 Authentication required" and row_of(rows, "refused", by="MAIL")
    for wrong, words in (["--listener", "nope"], "no listener 'nope'"), (["--client", "nope"], "no IP address"), (["--at", "soon"], "no time"), (["--to", "bob"], "bob"):
        done = g.cli("explain", "--offline", "--from", "ann@a.example", "--to", "bob@g.example", *wrong, check=False)
        assert done.returncode in (64, 65) and words in done.stderr, done.stderr


def test_ends_with_the_gateway(gateway, pocket_dns):
    """A question under way is given up when the gateway stops, and refused when there are too many."""
    g = gateway(policy=POLICY, dns=pocket_dns({("*", "*"): "silence"}))
    said = []
    threads = [threading.Thread(target=lambda: said.append(g.cli("explain", "--from", "ann@a.example", "--to", "bob@slow.example", check=False))) for _ in range(6)]
    for t in threads:
        t.start()
    ground.until("two have been refused", lambda: len(said) == 2, log=g.log)
    assert all(d.returncode == 75 and "4 are being explained" in d.stderr for d in said)
    g.stop()
    for t in threads:
        t.join(20)
    assert len(said) == 6 and all(d.returncode != 0 for d in said)
