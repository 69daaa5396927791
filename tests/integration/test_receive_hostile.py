# SPDX-License-Identifier: MIT
"""Receiving from those who mean harm: smuggling, injection, nonsense. Nothing gets through and everyone else is served."""
import os
import random
import socket

import pytest
from lab import ground, mail, policies
from lab.clients import Wire

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def box(authority):
    from lab.gateway import Gateway
    g = Gateway(authority, policy=policies.capture(), limits={"connections_per_address": 500})
    yield g
    g.stop()


def hello(box):
    w = Wire(box.host, box.RELAY)
    w.say("EHLO client.example", "250")
    return w


def begin(w):
    w.say("MAIL FROM:<a@sender.example>", "250")
    w.say("RCPT TO:<b@example.net>", "250")
    w.say("DATA", "354")


ENDS = {"LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CRLF": b"\r.\r\n", "CRLF.CR": b"\r\n.\r", "CR.CR": b"\r.\r", "LF.CR": b"\n.\r",
        "NUL.CRLF": b"\r\n\0.\r\n", "CRLF.NUL": b"\r\n.\0\r\n", "CRCRLF.CRLF": b"\r\r\n.\r\n"[:-2] + b"\r\r\n", "LFCR.LFCR": b"\n\r.\n\r", "FF": b"\r\n.\x0c\r\n"}


@pytest.mark.parametrize("end", ENDS)
def test_smuggling(box, word, end):
    """The second message inside the first must not come to be, whatever the first's fate."""
    inside = f"smuggled{word}"
    with hello(box) as w:
        begin(w)
        w.send(mail.message(word, body="before").encode() + ENDS[end] + b"MAIL FROM:<admin@sender.example>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n" +
               mail.message(inside).encode() + b".\r\n")
        reply = w.expect("250", "550 5.6.0")
        assert w.is_quiet(), "the message was taken for two"
        w.say("RSET", "250")
    with hello(box) as w:  # a third that shows all before it has been dealt with
        begin(w)
        w.send(mail.message(word + "last") + ".\r\n")
        w.expect("250")
    box.captured.wait(word + "last")
    assert not [e for e in box.events("received") if e["sender"] == "admin@sender.example"]
    if "F" in end or "CR" in end and end not in ("NUL.CRLF", "CRLF.NUL"):
        assert reply.startswith("550 5.6.0") or end == "FF", reply
    for m in box.captured.find(inside):  # kept as content of the first: allowed, as it is one message
        assert word in m.raw.decode("utf-8", "replace")


@pytest.mark.parametrize("line", [b"NO\0OP\r\n", b"NOOP\nNOOP\r\n", b"NO\rOP\r\n", b"MAIL FROM:<a@b\0.example>\r\n", b"\xff\xfe\xfd\r\n", b"\r\n", b"NOOP\r\r\n", b"MAIL FROM:<a\nb@c.example>\r\n"])
def test_control_characters_in_commands(box, line):
    with hello(box) as w:
        w.send(line + b"NOOP\r\n")
        w.expect("500", "501", "555")
        said = w.reply()
        while not said.startswith("250"):
            said = w.reply()
        assert w.is_quiet()


@pytest.mark.parametrize("split", [False, True])
def test_nothing_survives_starttls(box, authority, split):
    """CVE-2011-0411: what comes in the clear behind STARTTLS is never taken as said inside TLS."""
    with Wire(box.host, box.SUBMISSION) as w:
        w.say("EHLO client.example", "250")
        w.send(b"STARTTLS\r\nEHLO injected.example\r\n" if not split else b"STARTTLS\r\n")
        if split:
            w.send(b"EHLO injected.example\r\n")
        said = w.until_closed()
        assert said.count("250") == 0 and "injected" not in said, said
    assert box.alive()


def test_starttls_forgets_what_was_said_before(box, authority):
    with Wire(box.host, box.SUBMISSION) as w:
        w.say("EHLO client.example", "250")
        w.starttls(authority)
        w.say("MAIL FROM:<a@sender.example>", "503", "530")
        w.say("STARTTLS", "503", "502", "554")
        assert "STARTTLS" not in w.say("EHLO client.example", "250")


ORDERS = [("RCPT TO:<b@example.net>", "503"), ("DATA", "503"), ("BDAT 0 LAST", "503"), ("MAIL", "501"), ("MAIL FROM:", "501"), ("MAIL FROM:<a@>", "501"),
          ("MAIL FROM:<" + "a" * 300 + "@b.example>", "501"), ("MAIL TO:<a@b.example>", "501"), ("MAIL FROM:<a@b.example> SIZE=x", "501"), ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "501"),
          ("MAIL FROM:<a@b.example> AUTH=<>", "250"), ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555", "501", "504"), ("RSET x", "501"), ("VRFY root", "252"), ("EXPN list", "502"),
          ("HELP", "214"), ("TURN", "500", "502"), ("XCLIENT ADDR=1.2.3.4", "500"), ("STARTTLS x", "501"), ("EHLO", "501"), ("DATA x", "501", "503")]


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: o[0][:24])
def test_wrong_words_and_orders(box, order):
    with hello(box) as w:
        w.say(order[0], *order[1:])
        w.say("NOOP", "250")


def test_wrong_order_inside_a_transaction(box):
    with hello(box) as w:
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("MAIL FROM:<a@sender.example>", "503")
        w.say("DATA", "503", "554")
        w.say("RCPT TO:<>", "501", "550", "553")
        w.say("RCPT TO:<@relay.example:b@example.net>", "250")
        w.say("RCPT TO:<postmaster>", "250", "501", "550")
        w.say("EHLO client.example", "250")
        w.say("DATA", "503")


def test_foreign_protocols(box):
    for bytes_ in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nEHLO x\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"SSH-2.0-x\r\n"):
        with Wire(box.host, box.RELAY) as w:
            w.send(bytes_)
            said = w.reply()
            assert said.startswith(("554", "500", "502")), said
    with Wire(box.host, box.SUBMISSIONS, banner=False) as w:
        w.send(b"EHLO client.example\r\n")
        assert "250" not in w.until_closed()


def test_client_that_goes_away_at_each_stage(box, word):
    steps = ["EHLO client.example\r\n", "MAIL FROM:<a@sender.example>\r\n", "RCPT TO:<b@example.net>\r\n", "DATA\r\n", mail.message(word), ".\r\n"]
    for n in range(len(steps)):
        for reset in (False, True):
            w = Wire(box.host, box.RELAY)
            for step in steps[:n]:
                w.send(step)
                if step.endswith("\r\n") and step != steps[4]:
                    w.reply()
            w.send(steps[n][:-1])
            if reset:
                w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            w.close()
    box.submit(word + "after")
    box.captured.wait(word + "after")
    assert not box.captured.find(word)
    ground.until("all sessions are gone", lambda: box.status()["connections"] == 0)


def test_client_that_never_reads(box, word):
    """Replies nobody reads must not pile up in memory."""
    s = socket.create_connection((box.host, box.RELAY), 10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(1)
    sent = 0
    try:
        for _ in range(4000):
            sent += s.send(b"EHLO client.example\r\n" * 400)
    except OSError:
        pass
    assert sent < 20 << 20, "it goes on taking commands from a client that reads no replies"
    box.submit(word)
    box.captured.wait(word)
    s.close()


def test_nonsense(box, word):
    """Random bytes and shuffled pieces of dialogue: whatever is said back, the gateway lives and serves."""
    chance = random.Random(7)
    pieces = [b"EHLO x\r\n", b"HELO\r\n", b"MAIL FROM:<a@b.example>", b" SIZE=1", b"\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n", b".\r\n", b"\r\n.\r\n", b"BDAT 5\r\n", b"hello",
              b"BDAT 3 LAST\r\n", b"RSET\r\n", b"AUTH PLAIN ", b"STARTTLS\r\n", b"\0", b"\n", b"\r", b"QUIT", b"Subject: x\r\n", b"<", b">", b"\xc3\xa4", b"NOOP\r\n", b"VRFY x\r\n"]
    for round in range(60):
        with Wire(box.host, box.RELAY, banner=False) as w:
            w.socket.settimeout(0.02)
            try:
                for _ in range(chance.randrange(1, 30)):
                    w.socket.sendall(chance.choice(pieces) if chance.random() < 0.9 else os.urandom(chance.randrange(1, 300)))
                    if chance.random() < 0.2:
                        w.socket.recv(65536)
            except OSError:
                pass
    box.submit(word)
    box.captured.wait(word)
