# SPDX-License-Identifier: MIT
"""TLS and logins on the way out: each level against each kind of peer, and never a quiet step down."""
import pytest
from lab import ground, mail, policies

pytestmark = pytest.mark.core

# level x what the peer is like -> delivered in TLS, delivered in the clear, or deferred
EXPECTED = {
    "none": dict(plain="clear", tls="clear", selfsigned="clear", wrongname="clear", expired="clear", broken="clear"),
    "opportunistic": dict(plain="clear", tls="tls", selfsigned="tls", wrongname="tls", expired="tls", broken="clear"),
    "encrypt": dict(plain="deferred", tls="tls", selfsigned="tls", wrongname="tls", expired="tls", broken="deferred"),
    "verify": dict(plain="deferred", tls="tls", selfsigned="deferred", wrongname="deferred", expired="deferred", broken="deferred"),
}


@pytest.mark.parametrize("level,kind", [(level, kind) for level, row in EXPECTED.items() for kind in row])
def test_levels(gateway, knot, postfix, opensmtpd, word, domain, level, kind):
    server = opensmtpd if kind == "broken" else postfix
    knot.mail(domain, (f"{word}.mx.example", server.at[kind]))
    g = gateway(policy=policies.direct(level), dns=knot, workers=1)
    g.submit(word, to=f"bob@{domain}")
    if EXPECTED[level][kind] == "deferred":
        event = g.until_event("deferred", recipient=f"bob@{domain}")
        assert event["reply"]["code"] == 451 or event["reply"]["code"] == 454, event
        assert event["stage"] in ("tls", "ehlo"), event
        assert not server.find(word)
        return
    stored = server.wait(word)
    assert ("TLSv1" in stored.fields("Received")[0]) == (EXPECTED[level][kind] == "tls")
    event = g.until_event("delivered", recipient=f"bob@{domain}")
    assert (event["tls"] != "") == (EXPECTED[level][kind] == "tls")
    assert event["tls_verified"] == (kind == "tls" and event["tls"] != "")


def test_implicit_tls_relay(gateway, knot, postfix, word):
    knot.add(f"{word}.mx.example A {postfix.at['smtps']}")
    g = gateway(policy=policies.relay(f"{word}.mx.example", postfix.port, tls="implicit"), dns=knot)
    g.submit(word)
    assert "TLSv1.3" in postfix.wait(word).fields("Received")[0]
    assert g.until_event("delivered")["tls_verified"] is True


def test_peer_that_demands_tls(gateway, knot, postfix, word, domain):
    knot.mail(domain, (f"{word}.mx.example", postfix.at["must"]))
    g = gateway(policy=policies.direct("opportunistic"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    postfix.wait(word)


def test_bytes_behind_the_answer_to_starttls(gateway, scripted, authority, word):
    """The counterpart of the injection: what a man in the middle adds in the clear is not taken as said inside TLS."""
    from lab.scripted import Raw
    peer = scripted(certificate=authority.issue("scripted.mx.example"), starttls=(Raw(b"220 go\r\n250-scripted\r\n250 AUTH PLAIN\r\n"),))
    g = gateway(policy=policies.relay(peer.host, peer.port, level="encrypt"))
    g.submit(word)
    event = g.until_event("deferred")
    assert event["stage"] == "tls", event
    assert not peer.accepted and not any(line.startswith(("MAIL", "AUTH")) for line in peer.lines)


def test_starttls_refused(gateway, scripted, authority, word):
    peer = scripted(certificate=authority.issue("scripted.mx.example"), starttls="454 4.7.0 not now")
    g = gateway(policy=policies.relay(peer.host, peer.port, level="encrypt"))
    g.submit(word)
    assert g.until_event("deferred")["stage"] == "tls"
    assert not any(line.startswith("MAIL") for line in peer.lines)


# ---- logins

@pytest.mark.parametrize("mechanisms,login,kind", [("PLAIN LOGIN", {"user": "u", "password": "p w"}, "PLAIN"), ("LOGIN", {"user": "u", "password": "p w"}, "LOGIN"),
                                                   ("XOAUTH2 PLAIN", {"user": "u", "token": "ya29.token"}, "XOAUTH2")])
def test_mechanisms(gateway, scripted, authority, word, mechanisms, login, kind):
    peer = scripted(certificate=authority.issue("scripted.mx.example", "127.0.0.1"), users={"u": login.get("password") or login["token"]})
    peer.auth_offer = mechanisms
    g = gateway(policy=policies.relay(peer.host, peer.port, level="encrypt", login=login))
    g.submit(word)
    kept = peer.wait(word)
    assert kept.user == "u" and kept.tls
    assert any(line.startswith(f"AUTH {kind}") for line in peer.lines)


def test_wrong_password_is_our_fault(gateway, scripted, authority, word):
    """A refused login says nothing about the recipient: mail waits."""
    peer = scripted(certificate=authority.issue("scripted.mx.example"), users={"u": "right"})
    g = gateway(policy=policies.relay(peer.host, peer.port, level="encrypt", user="u", password="wrong"))
    g.submit(word)
    event = g.until_event("deferred")
    assert event["stage"] == "auth"
    assert not any(line.startswith("MAIL") for line in peer.lines) and not g.events("bounced")


def test_login_that_is_not_offered(gateway, scripted, authority, word):
    peer = scripted(certificate=authority.issue("scripted.mx.example"))
    g = gateway(policy=policies.relay(peer.host, peer.port, level="encrypt", user="u", password="p"))
    g.submit(word)
    assert g.until_event("deferred")["stage"] == "auth"
    assert not any(line.startswith("MAIL") for line in peer.lines)


def test_password_never_goes_in_the_clear(gateway, scripted, word):
    peer = scripted(users={"u": "secret"})
    g = gateway(policy=policies.relay(peer.host, peer.port, level="encrypt", user="u", password="secret"))
    g.submit(word)
    g.until_event("deferred")
    assert not any(line.startswith("AUTH") for line in peer.lines)
    shown = str(g.queue("show", id=g.queue()[0]["id"])) + g.said() + str(g.events())
    assert "secret" not in shown


def test_plaintext_login_only_when_the_script_says_so(gateway, scripted, word):
    peer = scripted(users={"u": "p"})
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", login={"user": "u", "password": "p", "plaintext": True}))
    g.submit(word)
    assert peer.wait(word).user == "u"
