# SPDX-License-Identifier: MIT
"""Trying again, giving up, and what the sender is told (RFC 3461, RFC 3464)."""
import email
import email.policy

import pytest
from lab import ground, mail, policies

pytestmark = pytest.mark.core


def test_greylisting(gateway, scripted, word):
    peer = scripted(rcpt=["450 4.7.1 greylisted, come back", "250 ok"])
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word)
    event = g.until_event("deferred")
    assert event["reply"]["code"] == 450 and event["attempt"] == 1 and event["due"]
    assert not peer.accepted
    g.advance_clock(3600)
    peer.wait(word)
    assert g.until_event("delivered")["attempt"] == 2


def test_ladder_of_attempts_until_it_expires(gateway, scripted, word):
    """Days pass on the virtual clock; attempts get rarer, and end."""
    peer = scripted(rcpt="451 4.3.0 later")
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"), delivery={"expire": "5d"}, workers=1)
    g.submit(word, sender="")
    attempts = 0
    for hours in range(0, 5 * 24 + 2, 2):
        seen = ground.until("a step of the ladder", lambda: g.events("expired") or (g.queue() or [{}])[0].get("state") in ("due", "parked", "waiting") and [1], log=g.log)
        if g.events("expired"):
            break
        g.advance_clock(7200)
        ground.until("the queue has been looked at", lambda: not g.queue() or g.status()["in_memory"] == 0, log=g.log)
    event = g.until_event("expired")
    attempts = len(g.events("deferred"))
    assert 5 <= attempts <= 60, f"{attempts} attempts in five days"
    g.until_empty()
    assert len(g.events("deferred")) == len([line for line in peer.lines if line.startswith("RCPT")])


def test_retry_hook_decides(gateway, scripted, word):
    peer = scripted(rcpt="450 4.2.0 busy")
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", retry='''
        if recipient.attempts >= 2 then return retry.give_up("three times are enough", "550 5.4.7 gave up") end
        return retry.wait(60, "a minute")'''))
    g.submit(word, sender="")
    for n in (1, 2):
        assert len(g.until_event("deferred", n) if n > 1 else [g.until_event("deferred")]) == n
        g.advance_clock(61)
    event = g.until_event("bounced")
    assert event["because"] == "three times are enough"
    assert [e["because"] for e in g.events("deferred")] == ["a minute", "a minute"]


def test_retry_can_outlive_a_5xx(gateway, scripted, word):
    """A quota refusal is 5xx and not the recipient's fault: the script may wait."""
    peer = scripted(dot=["550 5.4.5 daily quota exceeded", "250 ok"])
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", retry='return retry.wait(3600, "quota")'))
    g.submit(word)
    g.until_event("deferred")
    g.advance_clock(3601)
    peer.wait(word, 1)


# ---- reports

@pytest.fixture
def reporting(gateway, scripted):
    """Mail to example.net goes to a peer that misbehaves as told, reports to sender.example to one that keeps them."""
    def make(delivery=None, **stages):
        bad, home = scripted(**stages), scripted(name="home")
        policy = policies.PRELUDE + f'''
return {{ route = function(m, r)
    local host = r.domain == "sender.example" and "{home.host}" or "{bad.host}"
    return route.send{{ via = route.relay{{ host = host, port = {home.port}, tls = "none" }} }}
end }}
'''
        return gateway(policy=policy, delivery=delivery or {}), bad, home
    return make


def report_of(kept):
    assert kept.sender == "" and kept.recipients == ["alice@sender.example"]
    report = email.message_from_bytes(kept.raw, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    assert report["Auto-Submitted"] == "auto-replied" and report["To"] and report["From"] and report["Date"] and report["Message-ID"]
    text, status, original = report.iter_parts()
    assert text.get_content_type() == "text/plain" and status.get_content_type() == "message/delivery-status"
    fields = [dict(block.items()) for block in status.get_payload()]
    return text.get_content(), fields, original


def test_report_of_a_bounce(reporting, word):
    g, bad, home = reporting(rcpt={"gone": "550 5.1.1 nobody of that name", "*": None})
    g.submit(word, to=["gone@example.net", "fine@example.net"])
    bad.wait(word)
    text, fields, original = report_of(home.wait(word))
    assert "gone@example.net" in text and "nobody of that name" in text and "fine@example.net" not in text
    assert fields[0]["Reporting-MTA"] == "dns; gateway.example"
    assert fields[1]["Final-Recipient"] == "rfc822; gone@example.net" and fields[1]["Action"] == "failed" and fields[1]["Status"] == "5.1.1"
    assert "550 5.1.1 nobody of that name" in fields[1]["Diagnostic-Code"] and fields[1]["Diagnostic-Code"].startswith("smtp;")
    assert original.get_content_type() in ("text/rfc822-headers", "message/rfc822")
    g.until_empty()
    assert len(home.accepted) == 1


def test_report_of_an_expired_message(reporting, word):
    g, bad, home = reporting(rcpt="451 4.7.1 never", delivery={"expire": "1h"})
    g.submit(word)
    g.until_event("deferred")
    g.advance_clock(3700)
    g.until_event("expired")
    text, fields, _ = report_of(home.wait(word))
    assert fields[1]["Action"] == "failed" and fields[1]["Status"] == "5.4.7"
    assert "451 4.7.1 never" in fields[1]["Diagnostic-Code"]
    g.until_empty()


def test_never_a_report_for_the_null_sender(reporting, word):
    g, bad, home = reporting(rcpt="550 5.1.1 no")
    g.submit(word, sender="")
    g.until_event("bounced")
    g.until_empty()
    assert not home.accepted


def test_a_report_that_bounces_ends_there(reporting, word):
    g, bad, home = reporting(rcpt="550 5.1.1 no")
    home.set(rcpt="550 5.1.1 no such sender either")
    g.submit(word)
    g.until_event("bounced", 2)
    g.until_empty()
    assert len(g.events("bounced")) == 2


@pytest.mark.parametrize("notify,reports", [("NEVER", 0), ("SUCCESS", 0), ("DELAY", 0), ("FAILURE", 1), ("SUCCESS,FAILURE", 1), (None, 1)])
def test_notify_on_failure(reporting, word, notify, reports):
    g, bad, home = reporting(rcpt="550 5.1.1 no")
    with g.smtp() as s:
        s.ehlo()
        s.sendmail("alice@sender.example", ["b@example.net"], mail.message(word).encode(), [], [f"NOTIFY={notify}"] if notify else [])
    g.until_event("bounced")
    g.until_empty()
    assert len(home.accepted) == reports


def test_notify_on_success(reporting, word):
    """To a peer without DSN we say "relayed"; one with DSN takes the duty over."""
    g, bad, home = reporting(extensions=["PIPELINING"])
    with g.smtp() as s:
        s.ehlo()
        s.sendmail("alice@sender.example", ["b@example.net"], mail.message(word).encode(), ["ENVID=xyz"], ["NOTIFY=SUCCESS", "ORCPT=rfc822;orig+2Bx@example.net"])
    bad.wait(word)
    _, fields, _ = report_of(home.wait(word))
    assert fields[0]["Original-Envelope-Id"] == "xyz"
    assert fields[1]["Action"] == "relayed" and fields[1]["Original-Recipient"] == "rfc822; orig+x@example.net" and fields[1]["Status"].startswith("2.")
    assert fields[1]["Remote-MTA"] == f"dns; [{bad.host}]"


def test_notify_on_success_of_what_is_captured(gateway, scripted, word):
    """It has arrived, and the report says nothing of this machine's folders."""
    home = scripted()
    g = gateway(policy=policies.policy(f"""
--
route = function(m, r)
    if r.domain == "sender.example" then return route.send{{ via = route.relay{{ host = "{home.host}", port = {home.port}, tls = "none" }} }} end
    return route.send{{ via = route.capture{{ dir = "in" }} }}
end,"""))
    g.submit(word, rcpt_options=["NOTIFY=SUCCESS"])
    kept = home.wait(word)
    _, fields, _ = report_of(kept)
    assert (fields[1]["Action"], fields[1]["Status"]) == ("delivered", "2.0.0") and "Remote-MTA" not in fields[1]
    assert str(g.folder).encode() not in kept.raw


def test_notify_on_delay(reporting, word):
    g, bad, home = reporting(rcpt="451 4.7.1 later")
    with g.smtp() as s:
        s.ehlo()
        s.sendmail("alice@sender.example", ["b@example.net"], mail.message(word).encode(), [], ["NOTIFY=DELAY,FAILURE"])
    g.until_event("deferred")
    for _ in range(6):
        g.advance_clock(3600)
        ground.until("it has been tried again or is at rest", lambda: g.status()["in_memory"] == 0, log=g.log)
    _, fields, _ = report_of(home.wait(word))
    assert fields[1]["Action"] == "delayed" and fields[1]["Status"].startswith("4.") and fields[1]["Will-Retry-Until"]
    assert len(home.accepted) == 1


@pytest.mark.parametrize("ret", ["FULL", "HDRS"])
def test_what_of_the_original_comes_back(reporting, word, ret):
    g, bad, home = reporting(rcpt="550 5.1.1 no")
    with g.smtp() as s:
        s.ehlo()
        s.sendmail("alice@sender.example", ["b@example.net"], mail.message(word).encode(), [f"RET={ret}"], [])
    _, _, original = report_of(home.wait(word))
    if ret == "FULL":
        assert original.get_content_type() == "message/rfc822" and "Bye." in original.as_string()
    else:
        assert original.get_content_type() == "text/rfc822-headers" and "Bye." not in original.as_string() and word in original.as_string()


def test_report_to_a_utf8_sender(gateway, scripted, word):
    bad, home = scripted(rcpt="550 5.1.1 nö"), scripted()
    policy = policies.PRELUDE + f'''
return {{ route = function(m, r)
    return route.send{{ via = route.relay{{ host = r.domain == "sender.example" and "{home.host}" or "{bad.host}", port = {home.port}, tls = "none" }} }}
end }}
'''
    g = gateway(policy=policy)
    with g.smtp() as s:
        s.ehlo()
        s.sendmail("älice@sender.example", ["bób@example.net"], mail.message(word).encode(), ["SMTPUTF8"])
    kept = home.wait(word)
    assert kept.recipients == ["älice@sender.example"] and "SMTPUTF8" in kept.mail_line
    assert b"utf-8;" in kept.raw.lower()


def test_copies_that_the_policy_orders(gateway, scripted, word):
    """Copies are with the mail itself, a recipient's is none twice, and what becomes of one the sender is not told."""
    peer = scripted(rcpt={"archive": "550 5.1.1 gone", "*": None})
    g = gateway(policy=policies.routed(f'via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}',
        more='message = function() return answer.accept{ copies = { "archive@acme.example", "Bob@example.net", "audit@acme.example" } } end,\n'))
    g.submit(word, to=["bob@example.net", "ann@example.net"])
    kept = peer.wait(word)
    assert kept.recipients == ["bob@example.net", "ann@example.net", "audit@acme.example"]
    assert "acme.example" not in kept.raw.decode(), "recipients do not see where copies go"
    g.until_event("bounced", recipient="archive@acme.example")
    g.until_empty()
    (received,) = g.events("received")
    assert received["recipients"] == ["bob@example.net", "ann@example.net"] and received["recipient_count"] == 4
    assert received["copies"] == ["archive@acme.example", "audit@acme.example"]
    assert len(peer.accepted) == 1, "no report"
