# SPDX-License-Identifier: MIT
"""A small internet: odd but legal mail through the gateway to real servers, over domains of every make. What arrives is what was sent, to the byte,
below our own fields; a foreign verifier accepts the signatures; who cannot be reached comes back in a report that Python's parser finds nothing wrong with.

TIDEGATE_INTERNET=N sends N random messages instead of a few dozen."""
import email
import email.policy
import os
import random
import re

import pytest
from lab import ground, mail, policies
from lab.clients import Wire
from lab.dkim_check import DkimKey, verify
from lab.scripted import Close

FIELDS = (b"From: <a@sender.example>\r\nTo: <b@x.example>\r\nSubject: s\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
          b"Message-ID: <m@sender.example>\r\n")
EIGHT = bytes(range(128, 256))

# What arrives as it was sent.
WHOLE = {
    "plain": FIELDS + b"\r\nhello\r\n",
    "no body": FIELDS + b"\r\n",
    "dots": FIELDS + b"\r\n.\r\n..\r\n...\r\n.x\r\n. \r\n",
    "a field that begins with a dot": b".X: y\r\n" + FIELDS + b"\r\nx\r\n",
    "lines of 998 octets": FIELDS + b"X-Long: " + b"x" * 990 + b"\r\n\r\n" + b"x" * 998 + b"\r\n." + b"y" * 997 + b"\r\n",
    "longer than it may be": FIELDS + b"\r\n" + b"y" * 5000 + b"\r\n",
    "a long field": FIELDS + b"X-Long: " + b"x" * 3000 + b"\r\n\r\nx\r\n",
    "five hundred folds": FIELDS + b"X-Fold: a\r\n" + b"\tb\r\n" * 500 + b"\r\nx\r\n",
    "folds of white space": FIELDS + b"X-Fold: a\r\n  \r\n\t\r\n b\r\n\r\nx\r\n",
    "empty fields": FIELDS + b"X-Empty:\r\nX-Space: \r\n\r\nx\r\n",
    "a tab behind the colon": FIELDS.replace(b"Subject: ", b"Subject:\t") + b"\r\nx\r\n",
    "nine hundred fields": FIELDS + b"".join(b"X-%d: v\r\n" % i for i in range(900)) + b"\r\nx\r\n",
    "every octet above 127": FIELDS + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + EIGHT + b"\r\n",
    "octets above 127 in a field": FIELDS + b"X-Eight: h\xe9llo " + EIGHT + b"\r\n\r\nx\r\n",
    "control characters": FIELDS + b"\r\n" + bytes(i for i in range(1, 32) if i not in (10, 13)) + b"\x7f\r\n",
    "white space and empty lines at the end": FIELDS + b"\r\nx  \t\r\n\r\n \r\n\r\n\r\n\r\n",
    "nothing but empty lines": FIELDS + b"\r\n" + b"\r\n" * 3000,
    "lines that begin with From": FIELDS + b"\r\nFrom here on\r\n>From there\r\n",
    "two of a kind": FIELDS + b"From: <c@other.example>\r\nSubject: t\r\n\r\nx\r\n",
    "what others put on top": b"Return-Path: <evil@x.example>\r\nReceived: from a by b; Sun, 22 Nov 2026 12:00:00 +0000\r\n" + FIELDS + b"\r\nx\r\n",
    "a body that looks like fields": FIELDS + b"\r\nFrom: <not@this.example>\r\nDKIM-Signature: v=1\r\n\r\n",
    "five thousand lines": FIELDS + b"\r\n" + b"0123456789abcdef" * 4 + b"\r\n" + b"z\r\n" * 5000,
}
# What has to be put right on the way: as sent, as it arrives.
MENDED = {
    "fields without an end": (FIELDS, FIELDS + b"\r\n"),
    "no end of the last line": (FIELDS + b"\r\nno end", FIELDS + b"\r\nno end\r\n"),
    "the first line of a mailbox file": (b"From ann@example.org Mon Nov 22 12:00:00 2026\r\n" + FIELDS + b"\r\nx\r\n", FIELDS + b"\r\nx\r\n"),
    "a line that is no field": (FIELDS + b"no field\r\nX-After: y\r\n\r\nx\r\n", FIELDS + b"\r\nno field\r\nX-After: y\r\n\r\nx\r\n"),
}
REFUSED = {
    "NUL": (FIELDS + b"\r\na\0b\r\n", "550 5.6.0"), "NUL in a field": (FIELDS + b"X-N: a\0b\r\n\r\nx\r\n", "550 5.6.0"),
    "LF": (FIELDS + b"\r\na\nb\r\n", "550 5.6.0"), "CR": (FIELDS + b"\r\na\rb\r\n", "550 5.6.0"), "CR CR LF": (FIELDS + b"\r\na\r\r\n", "550 5.6.0"),
    "LF . CR LF": (FIELDS + b"\r\na\n.\r\nb\r\n", "550 5.6.0"), "an endless line": (FIELDS + b"\r\n" + b"y" * 200000 + b"\r\n", "554 5.6.0"),
    "a loop": (b"Received: from a by b; Sun, 22 Nov 2026 12:00:00 +0000\r\n" * 101 + FIELDS + b"\r\nx\r\n", "554 5.4.6"),
}


@pytest.fixture(scope="module")
def keys():
    return [DkimKey("sender.example", "rsa1", "rsa"), DkimKey("sender.example", "ed1", "ed25519")]


def signed(ways, keys, other='route.direct {}, tls = "opportunistic"', retry="return retry.wait(1, 'soon')"):
    """A policy that signs as acme and knows a way for some domains: {domain: (host, port)}."""
    table = "".join(f'["{domain}"] = route.relay {{ host = "{host}", port = {port}, tls = "none" }},\n' for domain, (host, port) in ways.items())
    return policies.policy(f"""{policies.signing(keys)}
local ways = {{ {table} }}
--
route = function(message, recipient)
    -- Exim delivers only the first ten of a connection at once.
    if ways[recipient.domain] then return route.send {{ via = ways[recipient.domain], identity = acme, lane = {{ per_connection = 8 }} }} end
    return route.send {{ via = {other}, identity = acme }}
end,
retry = function(message, recipient, outcome)
    if outcome.code >= 500 then return retry.give_up("for good") end
    {retry}
end,
""")


def say(wire, raw, recipients, how, sender="a@sender.example", options=""):
    """One transaction; the reply to its content. how: 0 for DATA, else the size of the chunks of BDAT."""
    wire.say(f"MAIL FROM:<{sender}>{options}", "250")
    for recipient in recipients:
        wire.say(f"RCPT TO:<{recipient}>", "250")
    if not how:
        wire.say("DATA", "354")
        wire.socket.sendall(re.sub(rb"(\A|\r\n)\.", rb"\1..", raw) + (b"" if raw.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return wire.reply()
    for at in range(0, len(raw), how):
        piece = raw[at:at + how]
        wire.send(b"BDAT %d\r\n" % len(piece) + piece)
        reply = wire.reply()
        if not reply.startswith("250"):
            return reply
    return wire.say("BDAT 0 LAST")


def ehlo(g):
    wire = Wire(g.host, g.RELAY)
    wire.say("EHLO client.example", "250")
    return wire


def below_our_fields(raw):
    """What follows the fields that the gateway, and who came after it, put on top."""
    at = raw.index(b"Received: from client.example")
    return re.sub(rb"\A[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", b"", raw[at:])


def check(name, raw, wanted, keys, faults):
    try:
        came = below_our_fields(raw)
        if came != wanted:
            at = max(0, len(os.path.commonprefix([came, wanted])) - 60)
            faults.append(f"{name}: from octet {at} on sent {wanted[at:at + 200]!r}, came {came[at:at + 200]!r}")
        if len(verify(raw, *keys)) != 2:
            faults.append(f"{name}: not signed twice")
    except (ground.LabError, ValueError) as e:
        faults.append(f"{name}: {e}")


def test_what_arrives_is_what_was_sent(gateway, scripted, keys):
    peer = scripted()
    g = gateway(policy=signed({"x.example": (peer.host, peer.port)}, keys))
    wanted = {}
    cases = [(name, raw, raw) for name, raw in WHOLE.items()] + [(name, *pair) for name, pair in MENDED.items()]
    with ehlo(g) as wire:
        for how in (0, 7, 5000):
            for name, raw, after in cases:
                if how != 7 or len(raw) < 2000:
                    assert say(wire, raw, [f"n{len(wanted)}@x.example"], how).startswith("250"), name
                    wanted[f"n{len(wanted)}@x.example"] = (f"{name}, by {'BDAT ' + str(how) if how else 'DATA'}", after)
    ground.until("all arrive", lambda: len(peer.accepted) == len(wanted), log=g.log)
    faults = []
    for message in peer.accepted:
        name, after = wanted[message.recipients[0]]
        check(name, message.raw, after, keys, faults)
    assert not faults, "\n".join(faults)


def test_what_no_server_may_pass_on_is_refused(gateway):
    g = gateway(policy=policies.capture())
    with ehlo(g) as wire:
        for how in (0, 7000):
            for name, (raw, words) in REFUSED.items():
                assert say(wire, raw, ["b@x.example"], how).startswith(words), name
                wire.say("RSET", "250")
    assert not g.events("received") and not g.queue()


def odd_message(rng, word):
    fields = [FIELDS]
    for _ in range(rng.randrange(12)):
        name = bytes(rng.choice(b"ABCdef-_!#$%'*+.^`|~09") for _ in range(rng.randint(1, 30)))
        value = bytes(rng.choice(b"abc \t;=\"<>()@,\\" + EIGHT) for _ in range(rng.randrange(120)))
        # A last line of nothing but white space is what Exim takes away.
        folds = b"".join(b"\r\n" + rng.choice([b" ", b"\t", b"  \t"]) + bytes(rng.choice(b"xyz. ") for _ in range(rng.randint(1, 60))) + b"x" for _ in range(rng.choice([0, 0, 1, 5])))
        fields.append(b"X" + name + b":" + value + folds + b"\r\n")
    octets = [i for i in range(1, 256) if i not in (10, 13)]
    lines = [bytes(rng.choices(octets, k=rng.choice([0, 1, 2, 70, 998]))) for _ in range(rng.randrange(40))]
    lines = [rng.choice([b"", b".", b"..", b" "]) + line[:990] for line in lines]
    return b"".join(fields) + b"X-Word: " + word.encode() + b"\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)


def test_odd_mail_to_real_servers(gateway, postfix, exim, opensmtpd, keys, word):
    servers = {"postfix.test": postfix, "exim.test": exim, "opensmtpd.test": opensmtpd}
    g = gateway(policy=signed({domain: (s.at["plain"], s.port) for domain, s in servers.items()}, keys))
    count = ground.amount("INTERNET", 45, 20)
    rng = random.Random(count)
    sent = {}
    with ehlo(g) as wire:
        for i in range(count):
            domain = rng.choice(list(servers))
            raw = odd_message(rng, f"{word}n{i}")
            assert say(wire, raw, [f"b{i}@{domain}"], rng.choice([0, 0, 1 + len(raw) // 3, 100])).startswith("250"), raw
            sent[f"{word}n{i}"] = (domain, raw)
    faults = []
    for token, (domain, raw) in sent.items():
        check(f"{token} at {domain}", servers[domain].wait(token, seconds=60).raw, raw, keys, faults)
    assert not faults, "\n".join(faults)


# ---- domains of every make

@pytest.fixture
def internet(knot, postfix, exim, opensmtpd, scripted, word):
    """{recipient: (where it is delivered, or the code and status it comes back with)}, in names of this test's own."""
    grey = scripted(rcpt=["450 4.7.1 greylisted, come back", "250 ok"])
    busy, rude = scripted(greeting="421 4.3.2 overloaded"), scripted(greeting=Close())
    z = f"{word}.example"
    dead = [ground.address() for _ in range(5)]
    knot.add(
        f"pref.{z} MX 10 dead.{z}", f"pref.{z} MX 20 tls.{z}", f"dead.{z} A {dead[0]}", f"tls.{z} A {postfix.at['tls']}",
        f"null.{z} MX 0 .", f"six.{z} MX 10 m6.{z}", f"m6.{z} AAAA ::1",
        f"cname.{z} MX 10 c.{z}", f"c.{z} CNAME r.{z}", f"r.{z} A {exim.at['tls']}",
        f"alias.{z} CNAME target.{z}", f"target.{z} MX 10 o.{z}", f"o.{z} A {opensmtpd.at['plain']}",
        f"*.wild.{z} MX 10 plain.{z}", f"plain.{z} A {postfix.at['plain']}", f"implicit.{z} A {exim.at['plain']}",
        *(f"stale.{z} MX {i} gone{i}.{z}" for i in range(11)), f"stale.{z} MX 20 plain.{z}",
        f"many.{z} MX 5 plain.{z}", *(f"many.{z} MX {10 + i} gone{i}.{z}" for i in range(40)),
        f"grey.{z} MX 10 grey-mx.{z}", f"grey-mx.{z} A {grey.host}",
        f"busy.{z} MX 10 busy-mx.{z}", f"busy.{z} MX 10 rude-mx.{z}", f"busy.{z} MX 20 r.{z}", f"busy-mx.{z} A {busy.host}", f"rude-mx.{z} A {rude.host}",
        f"must.{z} MX 10 must-mx.{z}", f"must-mx.{z} A {postfix.at['must']}", f"expired.{z} MX 10 ex-mx.{z}", f"ex-mx.{z} A {postfix.at['expired']}",
        f"broken.{z} MX 10 broken-mx.{z}", f"broken-mx.{z} A {opensmtpd.at['broken']}", f"xn--bcher-kva.{z} MX 10 plain.{z}",
        f"no8.{z} MX 10 no8-mx.{z}", f"no8-mx.{z} A {postfix.at['no8bit']}", f"two.{z} MX 10 two-mx.{z}", f"two-mx.{z} A {dead[1]}", f"two-mx.{z} A {exim.at['plain']}",
        f"ip.{z} MX 10 192.0.2.1", f"gone.{z} MX 10 nowhere.{z}", f"home.{z} MX 10 gateway.example", f"text.{z} TXT nothing", f"under_score.{z} MX 10 plain.{z}")
    return {
        f"a@pref.{z}": "postfix", f"a@six.{z}": "postfix", f"a@cname.{z}": "exim", f"a@alias.{z}": "opensmtpd", f"a@x.y.wild.{z}": "postfix",
        f"a@implicit.{z}": "exim", f"a@stale.{z}": "postfix", f"a@many.{z}": "postfix", f"a@grey.{z}": grey, f"a@busy.{z}": "exim",
        f"a@must.{z}": "postfix", f"a@expired.{z}": "postfix", f"a@broken.{z}": "opensmtpd", f"a@bücher.{z}": "postfix", f"b@BÜCHER.{z}": "postfix",
        f"a@two.{z}": "exim", f"a@under_score.{z}": "postfix", f'"q q"@PREF.{z}': "postfix", f"{'l' * 64}@pref.{z}": "postfix",
        f"a@null.{z}": (556, "5.1.10"), f"a@ip.{z}": (550, "5.4.4"), f"a@gone.{z}": (550, "5.4.4"), f"a@text.{z}": (550, "5.4.4"),
        f"a@home.{z}": (554, "5.4.6"), f"a@nowhere.{z}": (550, "5.1.2"), "a@[127.0.0.1]": (550, "5.1.2"), f"nouser@pref.{z}": (550, "5.1.1"),
        f"ü@no8.{z}": (553, "5.6.7"),
    }


def check_report(raw, recipient, status):
    report = email.message_from_bytes(raw, policy=email.policy.default.clone(utf8=True))
    parts = list(report.walk())
    assert not [d for part in parts for d in part.defects], (recipient, [part.defects for part in parts])
    assert report.get_content_type() == "multipart/report" and report["Auto-Submitted"] == "auto-replied" and report["From"] and report["Date"]
    fields = next(p for p in parts if p.get_content_type() in ("message/delivery-status", "message/global-delivery-status")).get_payload()[1]
    assert fields["Status"] == status and fields["Action"] == "failed", fields.items()
    kind, said = fields["Final-Recipient"].split(";")
    said = re.sub(r"\\x\{([0-9A-F]+)\}", lambda m: chr(int(m[1], 16)), said.strip())
    assert (kind, said) == ("utf-8" if "ü" in recipient else "rfc822", recipient)


def test_domains_of_every_make(gateway, knot, postfix, exim, opensmtpd, scripted, internet, keys, word):
    home = scripted()
    g = gateway(policy=signed({"home.example": (home.host, home.port)}, keys), dns=knot)
    raw = {}
    for i, (recipient, where) in enumerate(internet.items()):
        raw[recipient] = FIELDS + f"\r\nthis is {word}n{i}\r\n".encode()
        with ehlo(g) as wire:
            assert say(wire, raw[recipient], [recipient], 0, f"s{i}@home.example", "" if recipient.isascii() else " SMTPUTF8").startswith("250")
    servers = {"postfix": postfix, "exim": exim, "opensmtpd": opensmtpd}
    faults = []
    for i, (recipient, where) in enumerate(internet.items()):
        if isinstance(where, tuple):
            event = g.until_event("bounced", recipient=recipient)
            assert (event["reply"]["code"], event["reply"]["status"]) == where, event
            report = ground.until(f"the report for {recipient}", lambda: next((m for m in list(home.accepted) if m.recipients == [f"s{i}@home.example"]), None), log=g.log)
            assert report.sender == "" and report.mail_line.startswith("MAIL FROM:<>")
            check_report(report.raw, recipient, where[1])
        else:
            arrived = (servers[where] if isinstance(where, str) else where).wait(f"{word}n{i}")
            check(recipient, arrived.raw, raw[recipient], keys, faults)
    assert not faults, "\n".join(faults)
    g.until_empty()


# ---- envelopes

def test_who_is_named_twice_gets_one_copy(gateway, scripted, keys):
    peer = scripted()
    g = gateway(policy=signed({"x.example": (peer.host, peer.port)}, keys))
    with ehlo(g) as wire:
        wire.say("MAIL FROM:<A.b@Sender.EXAMPLE>", "250")
        for i, to in enumerate(["b@x.example", "B@x.example", "b@X.Example", "b@x.example", '"b"@x.example', "@relay.example:b@x.example"] + [f"r{i % 400}@x.example" for i in range(800)]):
            wire.say(f"RCPT TO:<{to}>" + (" NOTIFY=NEVER" if i == 3 else ""), "250")
        wire.say("DATA", "354")
        wire.send(FIELDS + b"\r\nx\r\n.\r\n")
        wire.expect("250")
    g.until_empty()
    named = [to for message in peer.accepted for to in message.recipients]
    assert sorted(named) == sorted(["b@x.example", "B@x.example", "b@x.example", '"b"@x.example'] + [f"r{i}@x.example" for i in range(400)])
    assert {message.sender for message in peer.accepted} == {"A.b@Sender.EXAMPLE"}
    assert g.events("received")[0]["recipient_count"] == 404


def test_postmaster_alone_is_ours(gateway, scripted, keys):
    peer = scripted()
    g = gateway(policy=signed({"gateway.example": (peer.host, peer.port)}, keys))
    with ehlo(g) as wire:
        assert say(wire, FIELDS + b"\r\nx\r\n", ["Postmaster"], 0).startswith("250")
    assert g.until_event("delivered")["recipient"] == "Postmaster@gateway.example"


def test_without_from_there_is_nothing_to_sign(gateway, scripted, keys, word):
    """It could wait for ever: so its sender hears of it at once."""
    peer = scripted()
    g = gateway(policy=signed({"x.example": (peer.host, peer.port), "sender.example": (peer.host, peer.port)}, keys))
    for raw in (b"", b"\r\n", b"just text\r\n", b"Subject: s\r\n\r\nx\r\n", b" From: <a@b.example>\r\n\r\nx\r\n"):
        with ehlo(g) as wire:
            assert say(wire, raw, ["b@x.example"], 0).startswith("250")
    for event in g.until_event("bounced", 5):
        assert (event["reply"]["code"], event["reply"]["status"], event["attempt"]) == (550, "5.6.0", 1)
    g.until_empty()
    assert [m.sender for m in peer.accepted] == [""] * 5
    for report in peer.accepted:
        check_report(report.raw, "b@x.example", "5.6.0")
