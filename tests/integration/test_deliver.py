# SPDX-License-Identifier: MIT
"""Delivering: to real servers, by DNS, with several recipients, over kept connections, from an identity."""
import re

import pytest
from lab import ground, mail, policies
from lab.dkim_check import DkimKey, verify
from lab.scripted import Close

pytestmark = [pytest.mark.core, pytest.mark.threads]


def body_of(word):
    return mail.message(word).encode().split(b"\r\n\r\n", 1)[1]


# ---- to each real server, signed with both kinds of keys

@pytest.fixture(scope="module")
def keys():
    return [DkimKey("sender.example", "rsa1", "rsa"), DkimKey("sender.example", "ed1", "ed25519")]


def check_signed(stored, keys, word):
    assert stored.field("X-Token") == word
    assert stored.body() == body_of(word)
    assert verify(stored.raw, *keys) == [(k.domain, k.selector, f"{k.kind}-sha256") for k in keys]


def test_direct_to_postfix(gateway, knot, postfix, word, domain, keys):
    knot.mail(domain, (f"{word}.mx.example", postfix.at["tls"]))
    g = gateway(policy=policies.direct("verify", before=policies.signing(keys), extra="identity = acme"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    stored = postfix.wait(word)
    check_signed(stored, keys, word)
    assert stored.field("Return-Path") == "<alice@sender.example>"
    assert stored.field("Delivered-To") == f"bob@{domain}"
    assert "TLSv1.3" in stored.fields("Received")[0]
    event = g.until_event("delivered", recipient=f"bob@{domain}")
    assert event["tls_verified"] is True and event["tls"].startswith("TLSv1.3") and event["identity"] == "acme"
    assert event["peer"].startswith(f"{word}.mx.example [{postfix.at['tls']}]") and event["attempt"] == 1
    g.until_empty()


def test_relay_with_login_to_exim(gateway, exim, knot, word, keys):
    knot.add(f"{word}.mx.example A {exim.at['auth']}")
    g = gateway(policy=policies.relay(f"{word}.mx.example", exim.port, level="verify", user=exim.user, password=exim.password,
                                      before=policies.signing(keys), extra="identity = acme"), dns=knot)
    g.submit(word)
    stored = exim.wait(word)
    check_signed(stored, keys, word)
    assert "with esmtpsa" in stored.fields("Received")[0]


def test_relay_to_opensmtpd(gateway, opensmtpd, word, keys):
    g = gateway(policy=policies.relay(opensmtpd.at["plain"], opensmtpd.port, tls="none", before=policies.signing(keys), extra="identity = acme"))
    g.submit(word)
    check_signed(opensmtpd.wait(word), keys, word)


def test_signature_survives_what_comes_in(gateway, postfix, knot, word, domain, keys):
    """Headers folded oddly, trailing white space, empty lines at the end, a header edit: the signature is made of what is sent."""
    knot.mail(domain, postfix.at["plain"])
    more = 'message = function() return answer.accept{ headers = { { set = "Subject", value = "edited" }, { add = "X-Added", value = "yes" }, { remove = "X-Private" } } } end,'
    g = gateway(policy=policies.direct("none", before=policies.signing(keys), extra="identity = acme", more=more), dns=knot)
    raw = mail.message(word, body="line with space \t \r\n\r\n  \r\nlast\r\n\r\n\r\n", extra="X-Private: secret\r\nX-Folded: one\r\n\ttwo \r\n   three\r\nSUBJECT: second\r\n")
    g.submit(word, to=f"bob@{domain}", text=raw)
    stored = postfix.wait(word)
    assert verify(stored.raw, *keys) == [(k.domain, k.selector, f"{k.kind}-sha256") for k in keys]
    assert stored.fields("Subject") == ["edited"] and stored.field("X-Added") == "yes" and stored.field("X-Private") is None


def test_nothing_can_be_added_to_a_signed_message(gateway, scripted, word, keys):
    peer = scripted()
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", before=policies.signing(keys), extra="identity = acme"))
    g.submit(word)
    raw = peer.wait(word).raw
    assert len(verify(raw, *keys)) == 2
    for field in ("From: <boss@sender.example>", "Subject: pay at once", "To: <all@example.net>", "Reply-To: <thief@example.net>"):
        with pytest.raises(ground.LabError):
            verify(field.encode() + b"\r\n" + raw, *keys)


# ---- where to

def test_implicit_mx(gateway, knot, postfix, word, domain):
    knot.add(f"{domain} A {postfix.at['plain']}")
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    postfix.wait(word)


def test_ipv6(gateway, knot, postfix, word, domain):
    knot.mail(domain, postfix.at["six"])
    g = gateway(policy=policies.direct("opportunistic"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    assert "IPv6:::1" in postfix.wait(word).fields("Received")[0]


def test_mx_by_cname(gateway, knot, postfix, word, domain):
    knot.add(f"{domain} MX 10 alias.{domain}", f"alias.{domain} CNAME real.{domain}", f"real.{domain} A {postfix.at['plain']}")
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    postfix.wait(word)


def test_second_mx_when_the_first_is_dead(gateway, knot, scripted, word, domain):
    second = scripted()
    knot.mail(domain, ground.address(), second.host)
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    second.wait(word)
    assert g.until_event("delivered")["attempt"] == 1


@pytest.mark.parametrize("fault", ["greeting", "ehlo", "close", "reset"])
def test_second_mx_when_the_first_turns_us_away(gateway, knot, scripted, word, domain, fault):
    from lab.scripted import Reset
    first = scripted(**{"greeting": {"greeting": "421 4.3.2 too busy"}, "ehlo": {"ehlo": "421 4.3.2 no"}, "close": {"greeting": Close()}, "reset": {"greeting": Reset()}}[fault])
    second = scripted()
    knot.mail(domain, first.host, second.host)
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    second.wait(word)
    assert first.sessions and not first.accepted


def test_equal_mx_share(gateway, knot, scripted, word, domain):
    peers = [scripted(), scripted(), scripted()]
    knot.add(*[r for i, p in enumerate(peers) for r in (f"{domain} MX 10 m{i}.{domain}", f"m{i}.{domain} A {p.host}")])
    g = gateway(policy=policies.direct("none", extra="lane = { connections = 6, per_connection = 1 }"), dns=knot)
    for i in range(40):
        g.submit(f"{word}n{i}", to=f"bob@{domain}")
    ground.until("all 40 arrive", lambda: sum(len(p.accepted) for p in peers) == 40)
    assert all(len(p.accepted) >= 2 for p in peers), [len(p.accepted) for p in peers]


def bounced(g, recipient, *codes):
    event = g.until_event("bounced", recipient=recipient)
    assert (event["reply"]["code"], event["reply"].get("status")) in codes, event
    return event


def test_null_mx(gateway, knot, word, domain):
    knot.add(f"{domain} MX 0 .")
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}", sender="")
    assert bounced(g, f"bob@{domain}", (556, "5.1.10"))["stage"] == "dns"
    g.until_empty()


def test_domain_that_does_not_exist(gateway, knot, word, domain):
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}", sender="")
    bounced(g, f"bob@{domain}", (550, "5.1.2"))


def test_domain_without_any_address(gateway, knot, word, domain):
    knot.add(f"{domain} MX 10 mx1.{domain}", f"mx1.{domain} TXT \"no address here\"")
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}", sender="")
    bounced(g, f"bob@{domain}", (550, "5.4.4"))


def test_mx_that_points_home_is_a_loop(gateway, knot, word, domain):
    knot.add(f"{domain} MX 10 gateway.example", f"gateway.example A {ground.address()}")
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}", sender="")
    bounced(g, f"bob@{domain}", (554, "5.4.6"))


def test_private_mx_is_not_followed(gateway, knot, scripted, word, domain):
    """Anyone's DNS may point at our loopback: nothing is connected to."""
    peer = scripted()
    knot.mail(domain, peer.host)
    g = gateway(policy=policies.direct("none"), dns=knot, delivery={"private_mx": False})
    g.submit(word, to=f"bob@{domain}", sender="")
    g.until_event("bounced", recipient=f"bob@{domain}")
    assert not peer.sessions


def test_address_literal_is_refused(gateway, knot, scripted, word):
    """Whoever writes to an address instead of a name goes round every policy by domain: route.direct does not follow (design.md 13)."""
    peer = scripted()
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@[{peer.host}]", sender="")
    assert g.until_event("bounced")["local"] is True
    assert not peer.sessions


# ---- DNS in bad days

@pytest.mark.parametrize("lie", ["silence", "servfail", "refused", "garbage", "wrongid", "wrongquestion", "half", "loop"])
def test_dns_trouble_is_temporary(gateway, pocket_dns, word, domain, lie):
    server = pocket_dns({(domain, "*"): lie})
    g = gateway(policy=policies.direct("none"), dns=server)
    g.submit(word, to=f"bob@{domain}")
    event = g.until_event("deferred", recipient=f"bob@{domain}", seconds=40)
    assert event["stage"] == "dns" and event["reply"]["code"] == 451 and event["local"] is True
    assert not g.events("bounced")
    row, = g.queue()
    assert row["recipient"] == f"bob@{domain}"


def test_dns_truncation_goes_to_tcp(gateway, pocket_dns, scripted, word, domain):
    peer = scripted()
    server = pocket_dns({})
    records = {"MX": [f"{domain}. 60 MX 10 mx.{domain}."], "A": [f"mx.{domain}. 60 A {peer.host}"]}
    server.answer.update({(domain, "MX"): records["MX"], (f"mx.{domain}", "A"): records["A"], (f"mx.{domain}", "AAAA"): []})
    import dnslib
    real = server._reply

    def truncating(packet, tcp):
        reply = real(packet, tcp)
        if reply and not tcp:
            parsed = dnslib.DNSRecord.parse(reply)
            parsed.header.tc, parsed.rr = 1, []
            return parsed.pack()
        return reply
    server._reply = truncating
    g = gateway(policy=policies.direct("none"), dns=server)
    g.submit(word, to=f"bob@{domain}")
    peer.wait(word)


def test_dns_answers_are_kept_for_their_ttl(gateway, pocket_dns, scripted, word, domain):
    peer = scripted()
    server = pocket_dns({(domain, "MX"): [f"{domain}. 300 MX 10 mx.{domain}."], (f"mx.{domain}", "A"): [f"mx.{domain}. 300 A {peer.host}"], (f"mx.{domain}", "AAAA"): []})
    g = gateway(policy=policies.direct("none", extra="lane = { connections = 1, per_connection = 1 }"), dns=server, workers=1)
    for i in range(5):
        g.submit(f"{word}n{i}", to=f"bob@{domain}")
    ground.until("all arrive", lambda: len(peer.accepted) == 5)
    assert len(peer.sessions) == 5 and server.count(domain, "MX") == 1
    g.advance_clock(400)
    g.submit(f"{word}late", to=f"bob@{domain}")
    peer.wait(f"{word}late")
    assert server.count(domain, "MX") == 2


# ---- envelopes

def test_recipients_share_a_transaction(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    to = [f"r{i}@example.net" for i in range(50)]
    g.submit(word, to=to)
    kept = peer.wait(word)
    assert kept.recipients == to and len(peer.accepted) == 1 and len(peer.sessions) == 1
    assert len(g.until_event("delivered", 50)) == 50


def test_partial_acceptance(gateway, knot, postfix, word, domain):
    knot.mail(domain, postfix.at["plain"])
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=[f"good@{domain}", f"nouser@{domain}", f"tempfail@{domain}", f"fine@{domain}"], sender="")
    assert {m.field("Delivered-To") for m in postfix.wait(word, 2)} == {f"good@{domain}", f"fine@{domain}"}
    event = bounced(g, f"nouser@{domain}", (550, "5.1.1"))
    assert event["local"] is False and event["stage"] == "rcpt"
    assert g.until_event("deferred", recipient=f"tempfail@{domain}")["reply"]["code"] == 450
    row, = g.queue()
    assert row["recipient"] == f"tempfail@{domain}" and row["attempts"] == 1


def test_a_peer_that_takes_few_at_once(gateway, knot, postfix, word, domain):
    """As many transactions as it takes, one behind the other, nobody deferred; who comes next is not sent into the same wall."""
    knot.mail(domain, postfix.at["few"])
    g = gateway(policy=policies.direct("none", extra='lane = { connections = 1 }, spend = { require "limit".per_day("all", 6) }'), dns=knot, workers=1)
    g.submit(word, to=[f"r{i}@{domain}" for i in range(8)])
    assert {m.field("Delivered-To") for m in postfix.wait(word, 8)} == {f"r{i}@{domain}" for i in range(8)}
    told = g.until_event("attempted")
    assert (told["left"], told["reply"]["status"], told["stage"]) == (5, "4.5.3", "rcpt"), told
    g.submit(word + "x", to=[f"r{i}@{domain}" for i in range(7)])
    postfix.wait(word + "x", 7)
    assert {d["attempt"] for d in g.until_event("delivered", 15)} == {1}
    assert len(g.events("attempted")) == 1 and not g.events("deferred") and not g.events("limit")
    row, = [r for r in g.control("limit")[0] if r["key"] == "all"]
    assert row["used"] == 6 # each transaction is a message


def test_every_recipient_refused_sends_no_content(gateway, scripted, word):
    peer = scripted(rcpt="550 5.1.1 nobody", extensions=["PIPELINING", "8BITMIME"])
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word, to=["a@example.net", "b@example.net"], sender="")
    g.until_event("bounced", 2)
    assert not peer.accepted


def test_connections_are_kept_and_changed(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", extra="lane = { connections = 1, per_connection = 5 }"), delivery={"idle": "3s"})
    for i in range(12):
        g.submit(f"{word}n{i}")
    ground.until("all 12 arrive", lambda: len(peer.accepted) == 12)
    assert peer.most_open == 1
    assert sorted((s.transactions for s in peer.sessions), reverse=True) == [5, 5, 2]
    ground.until("an idle connection is ended with QUIT", lambda: peer.sessions[-1].lines[-1] == "QUIT")


def test_lane_has_no_more_connections_than_planned(gateway, scripted, word):
    from lab.scripted import SlowRead
    peer = scripted(mail=(SlowRead(0.05), "250 ok"))
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", extra="lane = { connections = 3, per_connection = 2 }"))
    for i in range(30):
        g.submit(f"{word}n{i}")
    ground.until("all 30 arrive", lambda: len(peer.accepted) == 30)
    assert peer.most_open <= 3
    assert max(s.transactions for s in peer.sessions) <= 2


def test_identity_has_its_own_address_and_names(gateway, scripted, word):
    peer = scripted()
    source = ground.address()
    before = f'local acme = identity.define{{ name = "acme", source = "{source}", helo = "out.acme.example", return_path = "bounces+1@acme.example" }}'
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", before=before, extra="identity = acme"))
    g.submit(word)
    kept = peer.wait(word)
    assert kept.session.peer[0] == source and kept.helo == "out.acme.example" and kept.sender == "bounces+1@acme.example"
    g.submit(word + "null", sender="")
    assert peer.wait(word + "null").sender == ""


def test_dsn_parameters_go_on(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    with g.smtp() as s:
        s.ehlo()
        s.sendmail("a@sender.example", ["b@example.net"], mail.message(word).encode(), ["RET=HDRS", "ENVID=abc123"], ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;orig@example.net"])
    kept = peer.wait(word)
    assert "RET=HDRS" in kept.mail_line and "ENVID=abc123" in kept.mail_line
    assert re.search("NOTIFY=(FAILURE,DELAY|DELAY,FAILURE)", kept.rcpt_lines[0]) and "ORCPT=rfc822;orig@example.net" in kept.rcpt_lines[0]


# ---- what a peer cannot take

def submit_utf8(g, word, sender, to, text, options):
    with g.smtp() as s:
        s.ehlo()
        assert s.sendmail(sender, [to], text, options) == {}


def test_8bit_by_order_to_a_peer_without_8bitmime(gateway, scripted, word):
    peer = scripted(extensions=["PIPELINING"])
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", extra=" send_8bit = true,"))
    submit_utf8(g, word, "", "bob@example.net", mail.message(word, body="ä\r\n").encode(), ["BODY=8BITMIME"])
    kept = peer.wait(word)
    assert "ä".encode() in kept.raw and "BODY=" not in "".join(line for line in peer.lines if line.startswith("MAIL"))


def test_8bit_to_a_peer_without_8bitmime(gateway, knot, postfix, word, domain):
    knot.mail(domain, postfix.at["no8bit"])
    g = gateway(policy=policies.direct("none"), dns=knot)
    submit_utf8(g, word, "", f"bob@{domain}", mail.message(word, body="ä\r\n").encode(), ["BODY=8BITMIME"])
    assert bounced(g, f"bob@{domain}", (554, "5.6.3"))["local"] is True


def test_utf8_address_to_a_peer_without_smtputf8(gateway, knot, postfix, word, domain):
    knot.mail(domain, postfix.at["no8bit"])
    g = gateway(policy=policies.direct("none"), dns=knot)
    submit_utf8(g, word, "", f"bób@{domain}", mail.message(word).encode(), ["SMTPUTF8"])
    bounced(g, f"bób@{domain}", (553, "5.6.7"))


def test_utf8_to_a_peer_with_smtputf8(gateway, knot, postfix, word, domain):
    knot.mail(domain, postfix.at["plain"])
    g = gateway(policy=policies.direct("none"), dns=knot)
    submit_utf8(g, word, "älice@sender.example", f"bób@{domain}", mail.message(word, subject="Größe", body="Привет\r\n").encode(), ["SMTPUTF8", "BODY=8BITMIME"])
    assert postfix.wait(word).body() == "Привет\r\n".encode()


def test_too_large_for_the_peer(gateway, knot, postfix, word, domain):
    knot.mail(domain, postfix.at["small"])
    g = gateway(policy=policies.direct("none"), dns=knot)
    g.submit(word, to=f"bob@{domain}", sender="", text=mail.message(word, body=("x" * 70 + "\r\n") * 400))
    assert bounced(g, f"bob@{domain}", (552, "5.3.4"))["local"] is True


@pytest.mark.parametrize("kind", ["nopipe", "plain"])
def test_large_with_and_without_pipelining(gateway, knot, postfix, word, domain, kind):
    knot.mail(domain, postfix.at[kind])
    g = gateway(policy=policies.direct("none"), dns=knot)
    body = "".join(f".{i:06d} " + "y" * (i % 70) + "\r\n" for i in range(60000))
    g.submit(word, to=[f"a@{domain}", f"b@{domain}"], text=mail.message(word, body=body))
    for m in postfix.wait(word, 2):
        assert m.body() == body.encode()


# ---- LMTP, capture

def test_lmtp_out(gateway, scripted, word):
    """Each recipient has its own reply after the content."""
    peer = scripted(lmtp=True, dot={"full": "452 4.2.2 over quota", "gone": "550 5.2.1 gone", "*": "250 2.0.0 kept"})
    policy = policies.routed(f'via = route.lmtp{{ host = "{peer.host}", port = {peer.port} }}')
    g = gateway(policy=policy)
    g.submit(word, to=["good@example.net", "full@example.net", "gone@example.net"], sender="")
    g.until_event("delivered", recipient="good@example.net")
    g.until_event("deferred", recipient="full@example.net")
    bounced(g, "gone@example.net", (550, "5.2.1"))
    assert len(peer.find(word)) == 1 and "LHLO gateway.example" in peer.lines


def test_lmtp_out_over_a_unix_socket_and_aiosmtpd(gateway, word):
    from aiosmtpd.controller import UnixSocketController
    from aiosmtpd.lmtp import LMTP
    got = []

    class Keep:
        async def handle_DATA(self, server, session, envelope):
            got.append(envelope)
            return "\r\n".join(["250 2.0.0 kept"] * len(envelope.rcpt_tos))

    class Lmtp(UnixSocketController):
        def factory(self):
            return LMTP(self.handler, enable_SMTPUTF8=True)
    path = ground.folder("lmtp") / "s"
    server = Lmtp(Keep(), unix_socket=str(path))
    server.start()
    try:
        g = gateway(policy=policies.routed(f'via = route.lmtp{{ host = "unix:{path}" }}'))
        g.submit(word, to=["one@example.net", "two@example.net"])
        ground.until("the message arrives by LMTP", lambda: got)
        assert got[0].rcpt_tos == ["one@example.net", "two@example.net"]
        assert got[0].content.endswith(body_of(word))
        g.until_event("delivered", 2)
    finally:
        server.stop()


def test_capture(gateway, word):
    g = gateway(policy=policies.routed('via = route.capture{ dir = "a/b" }'))
    g.submit(word, to=["one@example.net", "two@example.net"])
    box = mail.Maildir(g.folder / "var/capture/a/b")
    got = box.wait(word, 2)
    assert {m.field("Delivered-To") for m in got} == {"one@example.net", "two@example.net"}
    assert all(m.field("Return-Path") == "<alice@sender.example>" for m in got)
