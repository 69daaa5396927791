# SPDX-License-Identifier: MIT
"""The lab tests itself: without the gateway, every peer takes mail from a foreign client and tells the truth about it."""
import smtplib

import dkim
import dnslib
import pytest
from lab import clients, ground, mail
from lab.dkim_check import DkimKey, verify


def deliver(server, kind, word, to=None):
    client = (smtplib.SMTP_SSL if kind == "smtps" else smtplib.SMTP)(server.at[kind], server.port, timeout=20)
    with client as s:
        s.ehlo()
        if kind not in ("broken", "smtps") and s.has_extn("starttls"):
            s.starttls()
            s.ehlo()
        if s.has_extn("auth"):
            s.login(server.user, server.password)
        s.sendmail("a@b.example", [to or f"{word}@example.net"], mail.message(word))


@pytest.mark.parametrize("kind", ["plain", "tls", "smtps", "must", "no8bit", "small", "nopipe", "selfsigned", "wrongname", "expired", "six"])
def test_postfix(postfix, kind, word):
    deliver(postfix, kind, word)
    stored = postfix.wait(word)
    assert stored.field("Return-Path") == "<a@b.example>"
    assert ("TLSv1.3" in stored.fields("Received")[0]) == (kind not in ("plain",))


@pytest.mark.parametrize("kind", ["plain", "broken"])
def test_opensmtpd(opensmtpd, kind, word):
    deliver(opensmtpd, kind, word)
    assert opensmtpd.wait(word).field("Subject") == f"about {word}"


@pytest.mark.parametrize("kind", ["plain", "tls", "auth"])
def test_exim(exim, kind, word):
    deliver(exim, kind, word)
    with_what = {"plain": "with esmtp ", "tls": "with esmtps ", "auth": "with esmtpsa "}[kind]
    assert with_what in exim.wait(word).fields("Received")[0]


def test_peers_refuse(postfix, exim, word):
    for server, beginning, code in ((postfix, "nouser", 550), (postfix, "tempfail", 450), (exim, "nouser", 550), (exim, "tempfail", 451)):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            deliver(server, "plain", word, f"{beginning}@example.net")
        assert [r[0] for r in refused.value.recipients.values()] == [code]


def test_swaks_into_postfix(postfix, word):
    done = clients.swaks(postfix.at["tls"], postfix.port, word, "--tls")
    assert done.returncode == 0, done.stdout
    assert postfix.wait(word).field("X-Token") == word


def test_knot_and_dkim(knot, word):
    keys = [DkimKey(f"{word}.example", "s1", "rsa"), DkimKey(f"{word}.example", "s2", "ed25519")]
    knot.add(f"{word}.example MX 10 mx1.{word}.example", f"mx1.{word}.example A 127.0.0.5", *[f"{k.name} TXT {k.record}" for k in keys])
    answer = dnslib.DNSRecord.parse(dnslib.DNSRecord.question(f"{word}.example", "MX").send(knot.host, knot.port))
    assert str(answer.rr[0].rdata) == f"10 mx1.{word}.example."
    raw = mail.message(word).encode()
    signed = dkim.sign(raw, b"s1", f"{word}.example".encode(), keys[0].path.read_bytes(), canonicalize=(b"relaxed", b"relaxed")) + raw
    assert verify(signed, *keys) == [(f"{word}.example", "s1", "rsa-sha256")]
    with pytest.raises(ground.LabError):
        verify(signed + b"more", *keys)


def test_pocket_dns_lies(pocket_dns):
    server = pocket_dns({("a.example", "A"): ["a.example. 60 A 127.0.0.9"], ("b.example", "*"): "servfail"})
    ask = lambda name: dnslib.DNSRecord.parse(dnslib.DNSRecord.question(name, "A").send(server.host, server.port, timeout=5))  # noqa: E731
    assert str(ask("a.example").rr[0].rdata) == "127.0.0.9"
    assert ask("b.example").header.rcode == dnslib.RCODE.SERVFAIL
    assert ask("c.example").header.rcode == dnslib.RCODE.NXDOMAIN
    assert server.count("a.example", "A") == 1


def test_scripted(scripted, authority, word):
    server = scripted(certificate=authority.issue("scripted.mx.example"), users={"u": "p"}, rcpt={"no": "550 5.1.1 no"}, dot=["450 4.0.0 later", "250 ok"])
    with smtplib.SMTP(server.host, server.port, timeout=20) as s:
        s.starttls()
        s.login("u", "p")
        with pytest.raises(smtplib.SMTPDataError):
            s.sendmail("a@b.example", ["yes@x.example"], mail.message(word))
        refused = s.sendmail("a@b.example", ["no@x.example", "yes@x.example"], mail.message(word))
    assert list(refused) == ["no@x.example"]
    kept, = server.find(word)
    assert (kept.recipients, kept.user, kept.tls) == (["yes@x.example"], "u", "TLSv1.3")
    assert kept.raw == mail.message(word).encode()
