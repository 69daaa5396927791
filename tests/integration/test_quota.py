# SPDX-License-Identifier: MIT
"""Peers at their limits, in their own words: the identity is exhausted, the mail moves on, nobody is blamed."""
import pytest
from lab import ground, policies

pytestmark = pytest.mark.core

# As the services say it: at which stage, what, and for how long nothing more is tried there.
WORDS = {
    "gmail mailbox": ("mail", "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n550 5.4.5 sending limits go to x.example", 3600),
    "gmail relay": ("dot", "550 5.7.1 Daily SMTP relay limit exceeded for customer.", 3600),
    "microsoft 365": ("dot", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message", 3600),
    "microsoft tenant": ("dot", "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit", 3600),
    "ses day": ("dot", "454 Throttling failure: Daily message quota exceeded", 3600),
    "ses rate": ("dot", "454 Throttling failure: Maximum sending rate exceeded", 10),
}


def policy(first, second=None):
    plan = """route.send {{ via = route.relay {{ host = "{}", port = {}, tls = "none" }}, lane = {{ connections = 1 }},
        identity = {}, spend = {{ limit.per_day("box/{}", 100, {{ exhausted_by = "quota" }}) }} }}"""
    ways = [plan.format(first.host, first.port, "one", "one")]
    if second:
        ways.append(plan.format(second.host, second.port, "two", "two"))
    return policies.policy('local reply, suppression = require "reply", require "suppression"\n'
                           'local one, two = identity.define { name = "one" }, identity.define { name = "two" }\n--\n'
                           'route = function(message, recipient) return suppression.check(message, recipient) or '
                           f'route.first {{ {", ".join(ways)} }} end,\n'
                           'retry = reply.hook { suppress = suppression.bounces { ways = { "relay", "direct" } } },\n')


def row_of(g, key):
    return next(r for r in g.control("limit")[0] if r["key"] == key)


@pytest.mark.parametrize("who", WORDS)
def test_the_mail_moves_on(gateway, scripted, word, who):
    stage, words, _ = WORDS[who]
    full, free = scripted(**{stage: words}), scripted()
    g = gateway(policy=policy(full, free))
    for i in range(20):
        g.submit(f"{word}n{i}")
    ground.until("all arrive at the second", lambda: len(free.accepted) == 20, 60, log=g.log)
    g.until_empty()
    tried = sum(line.upper().startswith("MAIL") for line in full.lines)
    assert 1 <= tried <= 5, full.lines
    assert not g.events("bounced") and not g.events("suppressed")
    assert all(e["attempt"] == 1 for e in g.events("delivered")), g.events("delivered")
    assert "full_until" in row_of(g, "box/one") and "full_until" not in row_of(g, "box/two")
    assert g.status()["bounced"] == 0


@pytest.mark.parametrize("who", WORDS)
def test_without_another_it_waits_until_then(gateway, scripted, word, who):
    stage, words, seconds = WORDS[who]
    full = scripted(**{stage: words})
    g = gateway(policy=policy(full))
    for i in range(5):
        g.submit(f"{word}n{i}")
    ground.until("the account is full", lambda: g.control("limit")[0] and "full_until" in row_of(g, "box/one"), log=g.log)
    if seconds > 60:
        ground.until("all wait for it", lambda: all(r["state"] == "parked" for r in g.queue()) and len(g.queue()) == 5, log=g.log)
        assert all(r["attempts"] == 0 for r in g.queue())
    g.restart()
    full.set(**{stage: "250 2.0.0 ok"})
    g.advance_clock(seconds + 30)
    g.until_event("delivered", 5, seconds=60)
    g.until_empty()
    assert not g.events("bounced")


def test_a_mailbox_that_does_not_exist_is_another_matter(gateway, scripted, word):
    peer = scripted(rcpt={"gone": "550 5.1.1 no such user", "*": "250 ok"})
    g = gateway(policy=policy(peer))
    g.submit(word + "a", to=["gone@b.example"], sender="")
    g.until_event("bounced", 1)
    g.submit(word + "b", to=["gone@b.example"], sender="")
    g.until_event("suppressed", 1)
    assert "full_until" not in row_of(g, "box/one")


def test_events_say_whose_fault_it_was(gateway, scripted, word):
    """The verdict that the retry hook came to stands beside the reply, wait or not: what alarms and statistics go by."""
    peer = scripted(rcpt={"gone": "550 5.1.1 no such user", "busy": "451 4.3.2 shutting down", "spam": "550 5.7.1 message blocked: spam"})
    g = gateway(policy=policy(peer))
    g.submit(word, to=["gone@b.example", "busy@b.example", "spam@b.example"], sender="")
    gone, spam = sorted(g.until_event("bounced", 2), key=lambda e: e["recipient"])
    busy = g.until_event("deferred", recipient="busy@b.example")
    assert gone["verdict"] == {"fault": "recipient", "class": "mailbox_unknown"} and gone["because"].startswith("recipient: mailbox_unknown")
    assert spam["verdict"]["fault"] == "content", spam
    assert busy["verdict"]["fault"] == "network" and busy["verdict"]["class"], busy


def test_a_policy_says_it_in_its_own_words(gateway, scripted, word):
    peer = scripted(rcpt={"a": "450 4.2.1 later", "b": "550 5.1.1 no"})
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", retry='''
        if outcome.permanent then return retry.give_up("as they say") end
        return retry.wait { seconds = 60, about = { fault = "weather" } }'''))
    g.submit(word, to=["a@b.example", "b@b.example"], sender="")
    assert g.until_event("deferred")["verdict"] == {"fault": "weather"}
    assert "verdict" not in g.until_event("bounced")
