# SPDX-License-Identifier: MIT
"""tidegate classify: what comes back by mail is read as what it is, whoever wrote it; it suppresses nobody unless it is believed."""
import base64
import json
import mailbox
import smtplib

import dkim
import pytest
from lab import ground, mail, policies
from lab.mta import PostfixRelay
from lab.scripted import Scripted

core = pytest.mark.core

POLICY = policies.PRELUDE + '''
local reply, suppression = require "reply", require "suppression"
return { route = function(m, r) return route.hold "no" end, retry = reply.hook { suppress = suppression.bounces { scope = "all", expires = "30d" } } }
'''

BOUNCE = """From: Mail Delivery System <mailer-daemon@example.net>
To: news@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b

It did not work.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; %s
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user here
--b
Content-Type: text/rfc822-headers

Received: from app by gate.example.org (Tidegate) with ESMTP id 0065a4f81c008003; Mon, 1 Jan 2026 00:00:00 +0000
Message-ID: <1@example.org>
--b--
""".replace("\n", "\r\n")

COMPLAINT = """From: feedback@example.net
To: fbl@example.org
Subject: Re: hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: message/feedback-report

Feedback-Type: %s
User-Agent: example/1
Version: 1
Original-Rcpt-To: ann@example.net
Source-IP: 192.0.2.1
--b
Content-Type: message/rfc822

From: news@example.org
To: ann@example.net

--b--
""".replace("\n", "\r\n")

OTHER = "From: ann@example.net\r\nTo: us@example.org\r\nSubject: lunch\r\n\r\nToday?\r\n"


def verdicts(g, *options, given, code=0):
    done = g.cli("classify", "--json", *options, input=given, check=False)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def signed(gateway, knot, word):
    """A gateway, a domain of its own, and a function that signs for it."""
    g, domain = gateway(policy=POLICY, dns=knot), f"{word}.example"
    path = g.folder / "sign.pem"
    made = json.loads(g.cli("key", "new", "--domain", domain, "--selector", "s1", "--output", path, "--json").stdout)
    knot.add(f'{made["name"]} TXT "{made["record"]}"')

    def sign(text):
        raw = text.replace("example.net", domain).encode()
        return (dkim.sign(raw, b"s1", domain.encode(), path.read_bytes(), canonicalize=(b"relaxed", b"relaxed")) + raw).decode()
    return g, domain, sign


def entries(g):
    return {e["address"]: e for e in g.control("suppression", action="list", filter={}, limit=0)[0]}


@core
def test_a_bounce_is_judged_as_a_live_reply_would_be(gateway):
    g = gateway(policy=POLICY, start=False)
    (v,) = verdicts(g, given=BOUNCE % "ann@example.net")
    (to,) = v["recipients"]
    assert v["kind"] == "bounce" and to["address"] == "ann@example.net" and to["status"] == "5.1.1" and to["code"] == 550
    assert to["verdict"]["fault"] == "recipient" and to["verdict"]["permanent"] is True
    assert to["suppress"] == {"scope": "all", "reason": "bounced: 550 5.1.1 no such user here", "expires_s": 30 * 86400}
    assert v["original"]["id"] == "0065a4f81c008003" and v["original"]["id_host"] == "gate.example.org" and v["authentic"] is None
    full = BOUNCE.replace("5.1.1 no such user here", "5.7.1 blocked, see example").replace("Status: 5.1.1", "Status: 5.7.1") % "ann@example.net"
    (to,) = verdicts(g, given=full)[0]["recipients"]
    assert to["verdict"]["fault"] != "recipient" and "suppress" not in to, "our fault is nobody's end"


def test_the_return_path_names_whom_the_words_do_not(gateway):
    g = gateway(policy=POLICY, start=False)
    words = "From: mailer-daemon@mx.example\r\nTo: <bounces+ann=example.net@example.org>\r\nSubject: Undeliverable mail\r\n\r\n%s\r\n"
    (to,) = verdicts(g, given=words % "550 5.1.1 unknown user")[0]["recipients"]
    assert to["address"] == "ann@example.net" and "guessed" not in to and to["suppress"]["scope"] == "all"
    (to,) = verdicts(g, given=words % "<bob@forwarded.example>: 550 5.1.1 unknown user")[0]["recipients"]
    assert (to["address"], to["final_recipient"]) == ("ann@example.net", "bob@forwarded.example"), "behind a forward"


def test_words_in_any_charset(gateway):
    g = gateway(policy=POLICY, start=False)
    text = "Subject: =?iso-8859-2?q?Zwrot_=B1?=\r\nContent-Type: text/plain; charset=shift_jis\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    text += base64.b64encode("ann@example.net\r\nメールボックスが一杯です\r\n".encode("cp932")).decode() + "\r\n"
    (v,) = verdicts(g, given="From: mailer-daemon@example.net\r\nTo: us@example.org\r\n" + text)
    (to,) = v["recipients"]
    assert v["message"]["subject"] == "Zwrot ą" and to["text"] == "メールボックスが一杯です"
    assert (to["address"], to["status"]) == ("ann@example.net", "5.2.2") and "suppress" not in to


@core
def test_complaints_and_what_is_no_report(gateway):
    g = gateway(policy=POLICY, start=False)
    (v,) = verdicts(g, given=COMPLAINT % "abuse")
    assert v["kind"] == "complaint" and v["feedback"]["source_ip"] == "192.0.2.1"
    assert v["recipients"] == [{"address": "ann@example.net", "suppress": {"scope": "all", "reason": "complained: abuse"}}]
    (v,) = verdicts(g, given=COMPLAINT % "not-spam")
    assert v["kind"] == "complaint" and "suppress" not in v["recipients"][0]
    assert verdicts(g, given=OTHER, code=65)[0]["kind"] == "other"
    assert verdicts(g, given="", code=65)[0]["kind"] == "other"


@core
def test_the_policy_says_what_a_complaint_adds(gateway):
    g = gateway(policy=POLICY.replace("local reply", 'require "returned".rules { complaint = { scope = "stream:news", expires = 60 } }\nlocal reply'), start=False)
    (v,) = verdicts(g, given=COMPLAINT % "abuse")
    assert v["recipients"][0]["suppress"] == {"scope": "stream:news", "reason": "complained: abuse", "expires_s": 60}


def test_nothing_is_suppressed_unless_it_is_believed(signed):
    g, domain, sign = signed
    (v,) = verdicts(g, "--apply", given=BOUNCE % "ann@example.net", code=77)
    assert v["authentic"] is False and v["applied"] == 0 and v["not_believed"] == 1 and not entries(g)
    (v,) = verdicts(g, "--apply", given=sign(BOUNCE % "ann@other.example"), code=77)
    assert v["authentic"] is True and not entries(g), "who signs for himself does not speak for others"
    broken = sign(BOUNCE % "ann@example.net").replace("It did not work", "It did work")
    (v,) = verdicts(g, "--apply", given=broken, code=77)
    assert v["authentic"] is False and "body" in v["authenticity"] and not entries(g)
    stranger = sign((BOUNCE % "ann@example.net").replace("mailer-daemon@example.net", "mailer-daemon@bank.example"))
    assert verdicts(g, "--apply", given=stranger, code=77)[0]["authentic"] is False and not entries(g)
    (v,) = verdicts(g, "--apply", given=sign(BOUNCE % "ann@example.net"))
    assert v["authentic"] is True and v["signed_by"] == domain and v["applied"] == 1
    assert entries(g)[f"ann@{domain}"]["reason"] == "bounced: 550 5.1.1 no such user here"
    (v,) = verdicts(g, "--apply", "--trust", domain, given=sign(BOUNCE % "bob@hosted.example"))
    assert v["applied"] == 1 and "bob@hosted.example" in entries(g)
    (v,) = verdicts(g, "--apply", "--trust", "any", given=COMPLAINT % "abuse")
    assert v["applied"] == 1 and entries(g)["ann@example.net"]["reason"] == "complained: abuse"


@core
def test_many_at_once_and_bytes_of_every_kind(gateway, tmp_path):
    g = gateway(policy=POLICY, start=False)
    box = mailbox.mbox(tmp_path / "box")
    for text in (BOUNCE % "ann@example.net", OTHER, COMPLAINT % "fraud"):
        box.add(text.replace("\r\n", "\n").encode())
    box.close()
    kinds = [v["kind"] for v in verdicts(g, tmp_path / "box", given=None)]
    assert kinds == ["bounce", "other", "complaint"]
    folder = mailbox.Maildir(tmp_path / "maildir")
    folder.add(BOUNCE.encode() % b"ann@example.net")
    folder.add(b"From: a@b.example\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n" + bytes(range(256)) * 4000)
    folder.add(b"\0\0\xff\xfe" * 1000)
    folder.add(b"no header " * 300000)
    folder.add(BOUNCE.encode().replace(b"It did not work.", b"x" * 20_000_000) % b"ann@example.net")
    all = verdicts(g, tmp_path / "maildir", given=None)
    assert sorted(v["kind"] for v in all) == ["bounce", "bounce", "other", "other", "other"]
    assert [v["recipients"][0]["address"] for v in all if v["kind"] == "bounce"] == ["ann@example.net"] * 2, "behind 20 MB too"
    assert g.cli("classify", "/nowhere", check=False).returncode == 66


def test_what_postfix_makes_of_a_refusal(gateway, authority):
    g = gateway(policy=POLICY, start=False)
    home, away = Scripted(), Scripted(name="mx.away.example", rcpt="550 5.2.1 this account is disabled")
    postfix = PostfixRelay(authority, {"away.example": [(away.host, away.port)], "home.example": [(home.host, home.port)]})
    try:
        with smtplib.SMTP(postfix.at["calm"], postfix.port, timeout=60 * ground.PATIENCE) as client:
            client.sendmail("news@home.example", ["ann@away.example"], mail.message("classify", sender="news@home.example", to="ann@away.example"))
        (report,) = ground.until("Postfix reports", lambda: list(home.accepted), 60, log=postfix.log_path())
        (v,) = verdicts(g, given=report.raw.decode())
    finally:
        for server in (postfix, home, away):
            server.stop()
    (to,) = v["recipients"]
    assert v["kind"] == "bounce" and v["form"] == "dsn" and v["original"]["from"]
    assert (to["address"], to["status"], to["code"], to["action"]) == ("ann@away.example", "5.2.1", 550, "failed")
    assert to["verdict"]["fault"] == "recipient" and to["suppress"]["scope"] == "all"


@core
def test_our_own_report(gateway, scripted, word):
    peer = scripted(rcpt="550 5.1.1 no such user")
    way = f'route.relay {{ host = "{peer.host}", port = {peer.port}, tls = "none" }}'
    g = gateway(policy=policies.PRELUDE + f'''
return {{ route = function(m, r)
    if r.domain == "sender.example" then return route.send {{ via = route.capture {{ dir = "in" }} }} end
    return route.send {{ via = {way} }}
end }}''')
    g.submit(word, to=["bob@example.net"])
    g.until_event("bounced")
    (report,) = ground.until("a report is captured", lambda: [p for p in g.folder.rglob("in/**/new/*") if p.is_file()], 20)
    (v,) = verdicts(g, report, given=None)
    (to,) = v["recipients"]
    assert v["kind"] == "bounce" and (to["address"], to["status"], to["code"]) == ("bob@example.net", "5.1.1", 550)
    assert v["original"]["id"] == g.events("bounced")[0]["id"]
