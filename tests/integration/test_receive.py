# SPDX-License-Identifier: MIT
"""Receiving: foreign clients, authentication, the extensions, and each limit with its reply."""
import base64
import re
import smtplib
import time

import pytest
from lab import clients, ground, mail, policies
from lab.clients import Wire

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def box(authority):
    """One gateway for tests that only send to it: everything goes into its capture."""
    from lab.gateway import Gateway
    g = Gateway(authority, policy=policies.capture(), users={"demo": "demo secret", "o'hara": "pässwört \" \\ '"})
    yield g
    g.stop()


def arrived(box, word):
    return box.captured.wait(word, log=box.log)


def body_of(word):
    return mail.message(word).encode().split(b"\r\n\r\n", 1)[1]


# ---- clients

@pytest.mark.parametrize("how", ["relay", "starttls-plain", "starttls-login", "implicit"])
def test_swaks(box, word, how):
    login = ["--auth-user", box.USER, "--auth-password", box.PASSWORD]
    port, options = {"relay": (box.RELAY, []), "starttls-plain": (box.SUBMISSION, ["--tls", "--auth", "PLAIN", *login]),
                     "starttls-login": (box.SUBMISSION, ["--tls", "--auth", "LOGIN", *login]),
                     "implicit": (box.SUBMISSIONS, ["--tls-on-connect", "--auth", "PLAIN", *login])}[how]
    done = clients.swaks(box.host, port, word, *options)
    assert done.returncode == 0, done.stdout
    got = arrived(box, word)
    assert ("with ESMTPSA" if how != "relay" else "with ESMTP") in got.fields("Received")[0]
    assert f"this is {word}".encode() in got.body()


@pytest.mark.parametrize("tls", ["starttls", "implicit", None])
def test_msmtp(box, authority, word, tls):
    port = {"starttls": box.SUBMISSION, "implicit": box.SUBMISSIONS, None: box.RELAY}[tls]
    done = clients.msmtp(box.host, port, word, authority, tls=tls,
                         **({"user": box.USER, "password": box.PASSWORD} if tls else {}))
    assert done.returncode == 0, done.stderr
    assert arrived(box, word).body() == body_of(word)


@pytest.mark.parametrize("url,options", [("smtp://{0.host}:2587/client.example", ["--ssl-reqd"]), ("smtps://{0.host}:2465/client.example", []),
                                         ("smtp://{0.host}:2525/client.example", [])])
def test_curl(box, authority, word, url, options):
    login = ["--user", f"{box.USER}:{box.PASSWORD}"] if "2525" not in url else []
    done = clients.curl(url.format(box), word, authority, *options, *login)
    assert done.returncode == 0, done.stderr
    assert arrived(box, word).body() == body_of(word)


def test_python(box, word):
    with box.login() as s:
        assert s.sendmail("alice@sender.example", ["bob@example.net"], mail.message(word).encode()) == {}
    got = arrived(box, word)
    assert got.body() == body_of(word)
    received = got.fields("Received")[0]
    assert "client.example" in received and "by gateway.example" in received and "for <bob@example.net>" in received
    event = box.until_event("received", sender="alice@sender.example", user=box.USER, listener="submission")
    assert event["tls"].startswith("TLSv1.")


def test_quiet_client_that_says_helo(box, word):
    with Wire(box.host, box.RELAY) as w:
        assert "\n" not in w.say("HELO client.example", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("RCPT TO:<b@example.net>", "250")
        w.say("DATA", "354")
        w.send(mail.message(word) + ".\r\n")
        w.expect("250")
        w.say("QUIT", "221")
    assert "with SMTP id" in arrived(box, word).fields("Received")[0]


def test_everything_in_one_write(box, word):
    with Wire(box.host, box.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.send("MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n")
        for code in ("250", "250", "250", "354"):
            w.expect(code)
        w.send(mail.message(word) + ".\r\nNOOP\r\nQUIT\r\n")
        for code in ("250 2.0.0", "250", "221"):
            w.expect(code)
    assert len(box.captured.wait(word, 2)) == 2


# ---- who may

@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("user,password", [("demo", "wrong"), ("nobody", "demo secret"), ("demo", "")])
def test_wrong_login(box, authority, mechanism, user, password):
    with box.smtp(box.SUBMISSION) as s:
        s.starttls(context=box.client_context())
        s.ehlo()
        s.user, s.password = user, password
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            s.auth(mechanism, s.auth_plain if mechanism == "PLAIN" else s.auth_login)
        assert refused.value.smtp_code == 535 or (password == "" and refused.value.smtp_code == 501)  # RFC 4616: at least one character
        assert s.mail("a@sender.example")[0] == 530


def test_login_with_a_password_of_all_kinds(box):
    with box.smtp(box.SUBMISSION) as s:
        s.starttls(context=box.client_context())
        s.ehlo()
        import base64
        secret = base64.b64encode("\0o'hara\0pässwört \" \\ '".encode()).decode()
        assert s.docmd("AUTH", "PLAIN " + secret)[0] == 235
        assert s.docmd("AUTH", "PLAIN " + secret)[0] == 503


def test_no_password_without_tls(box, authority):
    with Wire(box.host, box.SUBMISSION) as w:
        assert "AUTH" not in w.say("EHLO client.example", "250")
        w.say("AUTH PLAIN AGRlbW8AZGVtbyBzZWNyZXQ=", "538 5.7.11", "530 5.7.0", "502")
        w.say("MAIL FROM:<a@sender.example>", "530 5.7.0")
        w.starttls(authority)
        assert re.search(r"250[ -]AUTH PLAIN LOGIN", w.say("EHLO client.example", "250"))
        w.say("MAIL FROM:<a@sender.example>", "530 5.7.0")
        w.say("AUTH PLAIN AGRlbW8AZGVtbyBzZWNyZXQ=", "235")
        w.say("MAIL FROM:<a@sender.example>", "250")


def test_auth_misuse(box, authority):
    with Wire(box.host, box.SUBMISSIONS, banner=False) as w:
        w.secure(authority).expect("220")
        w.say("EHLO client.example", "250")
        w.say("AUTH CRAM-MD5", "504 5.5.4")
        w.say("AUTH PLAIN !!!", "501 5.5.2")
        w.say("AUTH PLAIN", "334")
        w.say("*", "501 5.7.0")
        w.say("AUTH LOGIN", "334")
        w.say("ZGVtbw==", "334")
        w.say("not base64!", "501")
        w.say("AUTH PLAIN " + "A" * 20000, "500", "501")
        w.say("AUTH PLAIN " + base64.b64encode(b"admin\0demo\0demo secret").decode(), "535 5.7.8")  # to act as another (RFC 4616)
        w.say("AUTH PLAIN AGRlbW8AZGVtbyBzZWNyZXQ=", "235 2.7.0")


def test_never_an_open_relay(gateway):
    g = gateway(policy=policies.capture(), start=False)
    g.configure(listeners=[{"name": "mx", "kind": "relay", "address": f"{g.host}:{g.RELAY}"}])
    g.start()
    with Wire(g.host, g.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("RCPT TO:<b@example.net>", "550 5.7.1")
        w.say("DATA", "554", "503")


# ---- extensions

def test_size(gateway, word):
    g = gateway(policy=policies.capture(), limits={"message_size": 100000, "header_size": "32KiB"})
    with Wire(g.host, g.RELAY) as w:
        assert "SIZE 100000" in w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example> SIZE=100001", "552 5.3.4")
        w.say("MAIL FROM:<a@sender.example> SIZE=99000", "250")
        w.say("RCPT TO:<b@example.net>", "250")
        w.say("DATA", "354")
        w.send(mail.message(word, body=("x" * 70 + "\r\n") * 2000) + ".\r\n")
        w.expect("552 5.3.4")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("RCPT TO:<b@example.net>", "250")
        w.say("DATA", "354")
        w.send(mail.message(word, body=("x" * 70 + "\r\n") * 1300) + ".\r\n")
        w.expect("250 2.0.0")
    assert len(g.captured.wait(word).body()) == 72 * 1300


def test_large_message_is_whole(box, word):
    body = "".join(f"{i:06d} " + "." * (i % 60) + "\r\n" for i in range(150000))
    box.submit(word, text=mail.message(word, body=body))
    assert arrived(box, word).body() == body.encode()


def test_8bit_and_utf8(box, word):
    with box.smtp() as s:
        s.ehlo()
        text = mail.message(word, subject="Größe ✓", body="Привет, мир\r\n").encode()
        assert s.sendmail("älice@sender.example", ["bób@exämple.net"], text, ["SMTPUTF8", "BODY=8BITMIME"]) == {}
    got = arrived(box, word)
    assert got.body() == "Привет, мир\r\n".encode()
    assert "with UTF8SMTP" in got.fields("Received")[0]


def test_utf8_address_needs_the_parameter(box):
    with Wire(box.host, box.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<älice@sender.example>", "553 5.6.7", "501", "550")


def test_chunking(box, word):
    raw = mail.message(word, body="one\r\n.\r\n.two\r\n..\r\n").encode()
    with Wire(box.host, box.RELAY) as w:
        assert "CHUNKING" in w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("RCPT TO:<b@example.net>", "250")
        w.send(b"BDAT 7\r\n" + raw[:7])
        w.expect("250")
        w.send(b"BDAT 0\r\nBDAT %d\r\n" % 20 + raw[7:27] + b"BDAT %d LAST\r\n" % (len(raw) - 27) + raw[27:])
        for _ in range(2):
            w.expect("250")
        w.expect("250 2.0.0 Ok: queued")
    assert arrived(box, word).body() == b"one\r\n.\r\n.two\r\n..\r\n"


def test_bdat_misuse(box):
    with Wire(box.host, box.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.send(b"BDAT 10\r\n0123456789NOOP\r\n")
        w.expect("503 5.5.1")
        w.expect("250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.send(b"BDAT 10 LAST\r\n01234567\r\n")
        w.expect("503 5.5.1", "554 5.5.1")
    for wrong in ("BDAT", "BDAT -1", "BDAT x", "BDAT 5 FIRST"):  # how much of what follows is content, nobody can tell
        with Wire(box.host, box.RELAY) as w:
            w.say("EHLO client.example", "250")
            w.say(wrong, "501")
            w.until_closed()
    with Wire(box.host, box.RELAY) as w:  # a chunk that nobody would want to swallow
        w.say("EHLO client.example", "250")
        w.say("BDAT 99999999999", "552")
        w.until_closed()


def test_bdat_then_data(box):
    with Wire(box.host, box.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("RCPT TO:<b@example.net>", "250")
        w.send(b"BDAT 6\r\nabcd\r\n")
        w.expect("250")
        w.say("DATA", "503 5.5.1")
        w.say("RCPT TO:<c@example.net>", "503 5.5.1")
        w.say("RSET", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")


def test_dsn_parameters(box):
    with Wire(box.host, box.RELAY) as w:
        assert "DSN" in w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example> RET=HDRS ENVID=QQ314159", "250")
        w.say("RCPT TO:<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@example.net", "250")
        w.say("RCPT TO:<b@example.net> NOTIFY=NEVER,SUCCESS", "501 5.5.4")
        w.say("RCPT TO:<b@example.net> NOTIFY=SOMETIMES", "501 5.5.4")
        w.say("RCPT TO:<b@example.net> FOO=BAR", "555 5.5.4")
        w.say("RSET", "250")
        w.say("MAIL FROM:<a@sender.example> RET=SOME", "501 5.5.4")


# ---- PROXY protocol

def proxied(gateway):
    g = gateway(policy=policies.capture(), start=False)
    listeners = g.default_listeners()
    listeners[2].update(proxy_from=["127.0.0.0/8"], allow=["192.0.2.0/24"])
    g.configure(listeners=listeners)
    return g.start()


def v2(source, port=4000, local=False):
    import socket
    import struct
    if local:
        return b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", 12) + socket.inet_aton(source) + socket.inet_aton("192.0.2.200") + struct.pack("!HH", port, 25)


def test_proxy_protocol(gateway, word):
    g = proxied(gateway)
    for header, code in ((b"PROXY TCP4 192.0.2.7 192.0.2.200 4000 25\r\n", "250"), (v2("192.0.2.8"), "250"),
                         (b"PROXY TCP4 198.51.100.9 192.0.2.200 4000 25\r\n", "550 5.7.1"), (v2("127.0.0.1"), "550 5.7.1"), (v2("", local=True), "550 5.7.1")):
        with Wire(g.host, g.RELAY, banner=False) as w:
            w.send(header)
            w.expect("220")
            w.say("EHLO client.example", "250")
            w.say("MAIL FROM:<a@sender.example>", "250")
            w.say("RCPT TO:<b@example.net>", code)
            if code == "250":
                w.say("DATA", "354")
                w.send(mail.message(word) + ".\r\n")
                w.expect("250")
    assert {e["client_ip"] for e in g.until_event("received", 2)} == {"192.0.2.7", "192.0.2.8"}
    assert any("192.0.2.7" in m.fields("Received")[0] for m in g.captured.wait(word, 2))


@pytest.mark.parametrize("header", [b"EHLO client.example\r\n", b"PROXY TCP4 999.1.1.1 1.1.1.1 1 1\r\n", b"PROXY " + b"x" * 200, b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + bytes(12),
                                    b"PROXY TCP4 192.0.2.7 192.0.2.200 4000 25"])
def test_wrong_proxy_header_gets_nothing(gateway, header):
    g = proxied(gateway)
    with Wire(g.host, g.RELAY, banner=False) as w:
        w.send(header)
        assert w.until_closed(14) == ""


def test_proxy_header_from_others_is_no_command(box):
    with Wire(box.host, box.RELAY) as w:
        w.say("PROXY TCP4 192.0.2.7 192.0.2.200 4000 25", "500")


# ---- limits, each with its reply

@pytest.fixture(scope="module")
def tight(authority):
    from lab.gateway import Gateway
    g = Gateway(authority, policy=policies.capture(), limits={
        "header_size": "8KiB", "recipients": 100, "commands": 150, "errors": 5, "messages": 3, "received": 5, "idle": "2s", "session": "10s",
        "connections_per_address": 8, "memory_in_flight": "1MiB", "text_line_length": 1000})
    yield g
    g.stop()


def transaction(w, raw, *codes):
    w.say("MAIL FROM:<a@sender.example>", "250")
    w.say("RCPT TO:<b@example.net>", "250")
    w.say("DATA", "354")
    w.send((raw if isinstance(raw, bytes) else raw.encode()) + b".\r\n")
    return w.expect(*codes)


def test_limit_of_the_command_line(tight):
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.say("NOOP " + "x" * 3000, "500 5.5.2")
        w.say("NOOP", "250")


def test_limit_of_an_endless_line(tight):
    with Wire(tight.host, tight.RELAY) as w:
        try:
            for _ in range(2000):
                w.send(b"x" * 8192)
        except OSError:
            pass
        assert "500" in (said := w.until_closed()) or "421" in said or said == ""
    assert tight.alive()


def test_limit_of_the_header(tight, word):
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        transaction(w, mail.message(word, extra="X-Long: " + "y" * 900 + "\r\n") .replace("X-Long", "X-L") , "250")
        transaction(w, mail.message(word, extra="".join(f"X-{i}: {'y' * 900}\r\n" for i in range(10))), "552 5.3.4")


def test_limit_of_a_text_line(tight, word):
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        transaction(w, mail.message(word, body="x" * 998 + "\r\n"), "250")
        transaction(w, mail.message(word, body="x" * 5000 + "\r\n"), "554 5.6.0")


def test_limit_of_recipients(tight, word):
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.send("".join(f"RCPT TO:<r{i}@example.net>\r\n" for i in range(103)))
        assert [w.reply()[:9] for _ in range(103)] == ["250 2.1.5"] * 100 + ["452 4.5.3"] * 3
        w.say("DATA", "354")
        w.send(mail.message(word) + ".\r\n")
        w.expect("250")
    assert len(tight.captured.wait(word, 100)) == 100


def test_limit_of_commands(tight):
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        w.send("NOOP\r\n" * 200)
        replies = w.until_closed().split("\r\n")
        assert 130 < sum(r.startswith("250") for r in replies) <= 150
        assert replies[-2].startswith("421 4.7.0")


def test_limit_of_errors(tight):
    with Wire(tight.host, tight.RELAY) as w:
        w.send("WHAT\r\n" * 20)
        said = w.until_closed().split("\r\n")
        assert [r[:3] for r in said if r][-1] == "421"
        assert sum(r.startswith("500") for r in said) in (5, 6)


def test_limit_of_messages(tight, word):
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        for _ in range(3):
            transaction(w, mail.message(word), "250")
        w.say("MAIL FROM:<a@sender.example>", "421 4.7.0")
        w.until_closed()


def test_limit_of_loops(tight, word):
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        received = "Received: from a by b; Sun, 22 Nov 2026 12:00:00 +0000\r\n"
        transaction(w, mail.message(word, extra=received * 4), "250")
        transaction(w, mail.message(word, extra=received * 6), "554 5.4.6")


def test_limit_of_idleness(tight):
    began = time.monotonic()
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        assert w.until_closed(8).startswith("421 4.4.2")
    assert time.monotonic() - began > 1.5


def test_a_command_that_never_ends_is_idleness(tight):
    """A byte now and then is no reason to keep a connection: the next command as a whole has limits.idle (RFC 5321 4.5.3.2.7)."""
    with Wire(tight.host, tight.RELAY) as w:
        w.say("EHLO client.example", "250")
        began = time.monotonic()
        while w.is_quiet(0.25) and time.monotonic() - began < 7 * ground.PATIENCE:
            w.send("N")
        assert w.input.startswith(b"421 4.4.2 Idle"), w.input


def test_limit_of_connections_from_one_address(tight):
    wires = [Wire(tight.host, tight.RELAY) for _ in range(8)]
    with Wire(tight.host, tight.RELAY, banner=False) as w:
        w.expect("421 4.7.0")
        w.until_closed()
    with Wire(tight.host, tight.RELAY, source="127.0.0.77") as other:
        other.say("NOOP", "250")
    for w in wires:
        w.close()
    ground.until("room for another connection", lambda: room(tight))


def room(g):
    try:
        with Wire(g.host, g.RELAY):
            return True
    except ground.LabError:
        return False


def test_limit_of_memory_in_flight(tight, word):
    """A message that is sent halfway fills the memory; what comes is told to wait, and it is taken once that one is gone."""
    with Wire(tight.host, tight.RELAY, source="127.0.0.78") as half:
        half.say("EHLO client.example", "250")
        half.say("MAIL FROM:<a@sender.example>", "250")
        half.say("RCPT TO:<b@example.net>", "250")
        half.say("DATA", "354")
        half.send(mail.message(word, body=("z" * 70 + "\r\n") * 12000))
        ground.until("the half message is in memory", lambda: tight.status()["memory_in_flight"] > 700000, log=tight.log)
        with Wire(tight.host, tight.RELAY, source="127.0.0.79") as w:
            w.say("EHLO client.example", "250")
            transaction(w, mail.message(word, body=("z" * 70 + "\r\n") * 9000), "452 4.3.1")

    def taken():
        with Wire(tight.host, tight.RELAY, source="127.0.0.80") as w:
            w.say("EHLO client.example", "250")
            return transaction(w, mail.message(word), "250", "452 4.3.1").startswith("250")
    ground.until("the memory is free again", taken)


def test_slow_sender_is_bounded(tight, word):
    """A client that says one byte at a time holds its place for the session's time, not for ever."""
    began = time.monotonic()
    with Wire(tight.host, tight.RELAY, source="127.0.0.81") as w:
        w.say("EHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("RCPT TO:<b@example.net>", "250")
        w.say("DATA", "354")
        try:
            while time.monotonic() - began < 20 * ground.PATIENCE:
                w.socket.sendall(b"N")
                if not w.is_quiet(0.5):
                    break
        except OSError:
            pass
        assert time.monotonic() - began < 14 * ground.PATIENCE
        assert "421 4.4.2 The session" in w.input.decode() + w.until_closed()


# ---- certificates

def served(g, port):
    import socket
    import ssl
    context = g.client_context(verify=False)
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((g.host, port), 10) as s, context.wrap_socket(s) as t:
        return t.getpeercert(binary_form=True)


def test_certificate_is_read_again_on_reload(gateway, authority, word):
    g = gateway(policy=policies.capture())
    first = served(g, g.SUBMISSIONS)
    old = g.login()
    renewed = authority.issue("gateway.example", g.host)
    g.certificate.chain.write_bytes(renewed.chain.read_bytes())
    g.certificate.key.write_bytes(renewed.key.read_bytes())
    assert served(g, g.SUBMISSIONS) == first
    g.reload()
    assert served(g, g.SUBMISSIONS) != first
    assert old.sendmail("a@sender.example", ["b@example.net"], mail.message(word).encode()) == {}
    old.quit()
    g.captured.wait(word)


def test_old_tls_is_refused(box):
    import socket
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection((box.host, box.SUBMISSIONS), 10) as s, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(s)
    box.login().quit()


# ---- LMTP

def test_lmtp_in(gateway, word):
    g = gateway(policy=policies.capture('recipient = function(s, a) if a.local_part == "no" then return answer.reject("550 5.1.1 no") end return answer.accept{} end,'), start=False)
    g.configure(listeners=[{"name": "lmtp", "kind": "lmtp", "address": f"{g.host}:{g.LMTP}", "allow": ["127.0.0.0/8"]}])
    g.start()
    with Wire(g.host, g.LMTP) as w:
        w.say("EHLO client.example", "500")
        w.say("LHLO client.example", "250")
        w.say("MAIL FROM:<a@sender.example>", "250")
        w.say("RCPT TO:<one@example.net>", "250")
        w.say("RCPT TO:<no@example.net>", "550 5.1.1")
        w.say("RCPT TO:<two@example.net>", "250")
        w.say("DATA", "354")
        w.send(mail.message(word) + ".\r\n")
        w.expect("250")
        w.expect("250")
        assert w.is_quiet()
    assert len(g.captured.wait(word, 2)) == 2
    assert "with LMTP" in g.captured.find(word)[0].fields("Received")[0]
