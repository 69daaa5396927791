# SPDX-License-Identifier: MIT
"""Mail as other people's programs make it, from files: a client sends it, by DATA or in pieces, and what arrives at a bare peer and at real servers is
what was sent, put right only where it has to be, with two signatures that a foreign verifier accepts. What may not be passed on is refused.

TIDEGATE_CORPUS=FOLDER takes every file there too, with its line ends made CRLF and again as it lies there."""
import os
import pathlib
import re

import dkim
from lab import ground, policies
from test_internet import below_our_fields, ehlo, keys, say, signed  # noqa: F401

TOP = b"From: \"Ann, of A\" <ann@a.example>\r\nTo: bob@b.example\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n"
OWN = {
    "parts within parts": TOP + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"=_a b\"\r\n\r\npreamble\r\n--=_a b  \r\n"
    b"Content-Type: multipart/alternative; boundary==_a\r\n\r\n--=_a\r\n\r\nx\r\n--=_a--\r\n--=_a b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n--=_a b--\r\nepilogue\r\n",
    "a boundary that is never closed": TOP + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n",
    "parameters in pieces": TOP + b"Content-Type: text/plain; name*0*=utf-8'de'%C3%A4;\r\n name*1=\"b;c\"; charset=\"x-unknown\"\r\n\r\ntext\r\n",
    "raw octets in words": TOP + b"Subject: gr\xfc\xdfe =?utf-8?q?=C3?= =?utf-8?b?gA==?= =?broken?\r\nX-\xe4: no name\r\n\r\nx\r\n",
    "white space before the colon": TOP + b"Subject : s\r\nX-A\t: b\r\n\r\nx\r\n",
    "folded by tabs, at every place": TOP + b"Subject:\r\n\t\r\n\ta\r\n\t\tb\r\nReferences: <a@b>\r\n\t<c@d>\t\r\n\t<e@f> \r\n\r\nx\r\n",
    "several of each": TOP + TOP + b"Subject: a\r\nSUBJECT: b\r\nsubject:c\r\n\r\nx\r\n",
    "signed by somebody before": b"DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=x; h=from; bh=AAAA;\r\n b=BBBB\r\nARC-Seal: i=1; cv=none\r\n" + TOP + b"\r\nx\r\n",
    "from a mailbox file": b"From ann@a.example Mon Nov  2 10:00:00 2026\r\n" + TOP + b"\r\n>From here\r\nFrom there\r\n",
    "fields that end in something else": TOP + b"Subject: s\r\nthis is text\r\n\r\nand more\r\n",
    "no empty line": TOP + b"Subject: s",
    "text alone": b"just text\r\nwithout fields\r\n",
    "an empty line first": b"\r\n" + TOP + b"\r\nx\r\n",
    "white space first": b" \t\r\n" + TOP + b"\r\nx\r\n",
    "lone LF": TOP.replace(b"\r\n", b"\n") + b"\nx\n",
    "lone CR": TOP + b"Subject: a\rb\r\n\r\nx\r\n",
    "UTF-16": (TOP + b"\r\nx\r\n").decode().encode("utf-16-le"),
    "form feeds and escapes": TOP + b"Subject: a\x0cb\x1b[0m\r\n\r\n\x0c\r\n\x1b]0;x\x07\r\n\x1a\r\n",
    "trailing white space everywhere": TOP + b"Subject: s  \t\r\n\r\n \t \r\nx \t\r\n\t\r\n\r\n \r\n",
}
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


def made_crlf(raw):
    return re.sub(rb"\r\n|\r|\n", b"\r\n", raw)


def as_it_arrives(raw):
    """What a peer gets below our own fields, by the rules of gateway/README.md; None: nothing that could be signed; else the refusal."""
    if b"\0" in raw or re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        return "550 5.6.0"
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    if re.match(rb">?From ", raw):
        raw = raw[raw.index(b"\r\n") + 2:]
    at = 0
    while raw[at:at + 2] != b"\r\n":
        line = raw[at:raw.find(b"\r\n", at) + 2]
        if not line or not (FIELD.match(line) or (at and line[:1] in b" \t")):
            raw = raw[:at] + b"\r\n" + raw[at:]
            break
        at += len(line)
    return raw if re.search(rb"(?im)^From[ \t]*:", raw[:at]) else None


def corpus():
    cases = dict(OWN)
    folder = os.environ.get("TIDEGATE_CORPUS")
    for path in sorted(pathlib.Path(folder).iterdir()) if folder else []:
        raw = path.read_bytes()
        cases[path.name] = made_crlf(raw)
        cases[f"{path.name}, as it lies there"] = raw
    return cases


def without(raw, names):
    head, body = (raw[:(at := raw.find(b"\r\n\r\n") + 2)], raw[at:])
    return re.sub(rb"(?im)^(?:" + names + rb")[ \t]*:.*\r\n(?:[ \t].*\r\n)*", b"", head) + body


def has(raw, name):
    return re.search(rb"(?im)^" + name + rb"[ \t]*:", raw[:raw.find(b"\r\n\r\n")])


def alike(came, wanted):
    """Both without what real servers take away, and without what they add where it is missing. None of it may break a signature."""
    gone = rb"Return-Path|Bcc|Resent-Bcc|Content-Length|Delivery-Date|Envelope-To" + b"".join(b"|" + n for n in (b"Date", b"Message-Id") if not has(wanted, n))
    return without(came, gone), without(wanted, gone)


def is_complete(raw):
    """Its addresses have domains: a real server puts its own where there is none, and no signature of From outlives that."""
    head = raw[:raw.find(b"\r\n\r\n") + 2]
    return not re.search(rb"(?im)^(?:From|To|Cc|Reply-To)[ \t]*:[^@\r\n]*\r\n(?![ \t])|\.@", head)


def fault_of(raw, wanted, published):
    came, wanted = alike(below_our_fields(raw), wanted)
    if came != wanted:
        at = max(0, len(os.path.commonprefix([came, wanted])) - 60)
        return f"from octet {at} on wanted {wanted[at:at + 160]!r}, came {came[at:at + 160]!r}"
    # python3-dkim reads no field with white space before its colon (RFC 5322 4.5.8 has it so), and takes nothing apart that has one.
    if re.search(rb"(?m)^[!-9;-~]+[ \t]+:", raw[:raw.index(b"\r\n\r\n")]):
        return None
    verifier = dkim.DKIM(raw, minkey=1024)
    for i in range(2):
        try:
            if not verifier.verify(idx=i, dnsfunc=lambda name, timeout=5: published.get(name.decode().rstrip("."))):
                return f"signature {i} does not hold"
        except dkim.DKIMException as e:
            return f"signature {i}: {e}"
    return None


def test_mail_from_files(gateway, scripted, postfix, exim, opensmtpd, keys, word):  # noqa: F811
    peer = scripted()
    servers = {"postfix.test": postfix, "exim.test": exim, "opensmtpd.test": opensmtpd}
    ways = {"x.example": (peer.host, peer.port)} | {domain: (s.at["plain"], s.port) for domain, s in servers.items()}
    g = gateway(policy=signed(ways, keys))
    published = {key.name: key.record.encode() for key in keys}
    faults, arrive, unsigned = [], {}, 0
    with ehlo(g) as wire:
        for n, (name, raw) in enumerate(corpus().items()):
            wanted = as_it_arrives(raw)
            for how, domain in ((0, "x.example"), (1 + len(raw) // 3, "x.example"), (0, list(servers)[n % 3])):
                if domain in servers and isinstance(wanted, bytes) and not is_complete(wanted):
                    continue
                to = f"{word}n{n}b{min(how, 1)}@{domain}"
                reply = say(wire, raw, [to], how)
                if not reply.startswith(wanted if isinstance(wanted, str) else "250"):
                    faults.append(f"{name}, {how}: {reply}")
                if not reply.startswith("250"):
                    wire.say("RSET", "250")
                elif isinstance(wanted, bytes):
                    arrive[to] = (name, wanted)
                else:
                    unsigned += 1
    at_peer = {to for to in arrive if to.endswith("@x.example")}
    ground.until("all arrive at the peer", lambda: len(peer.accepted) >= len(at_peer), seconds=120, log=g.log)
    for message in peer.accepted:
        name, wanted = arrive[message.recipients[0]]
        fault = fault_of(message.raw, wanted, published)
        if fault:
            faults.append(f"{name}: {fault}")
    ground.until("all are through", lambda: {e["recipient"] for e in g.events("delivered")} >= set(arrive), seconds=120, log=g.log)
    # Nobody can sign for a mail without From: its sender hears of it at once.
    ground.until("what cannot be signed is back", lambda: len(g.events("bounced")) >= unsigned, log=g.log)
    assert [(e["reply"]["code"], e["reply"]["status"]) for e in g.events("bounced")] == [(550, "5.6.0")] * unsigned
    for to in set(arrive) - at_peer:
        name, wanted = arrive[to]
        fault = fault_of(servers[to.split("@")[1]].wait(to).raw, wanted, published)
        if fault:
            faults.append(f"{name} at {to}: {fault}")
    assert not faults, "\n".join(faults)
