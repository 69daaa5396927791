# SPDX-License-Identifier: MIT
"""Foreign programs, kind and hostile. Servers that are strict on purpose: Postfix behind postscreen's deep tests and with all that it can forbid, Exim that checks order,
HELO and client certificates. What the gateway sends passes all of it; what they defer comes back and gets in.
Guessers of passwords are slow, harm nobody else, and are known to fail2ban."""
import base64
import re

import pytest
from lab import ground, mail, policies
from lab.clients import Wire
from lab.mta import Exim, Postfix

pytestmark = pytest.mark.core


class StrictPostfix(Postfix):
    """at["screen"]: postscreen with its tests before the greeting and after it, the log of which names what a client failed at;
    the others: smtpd with everything forbidden that Postfix can forbid."""
    has_six = False

    def configure(self):
        super().configure()
        folder = self.box.root / "etc/postfix"
        with open(folder / "master.cf", "a") as master:
            master.write(f"{self.listener('screen')}:{self.port} inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n"
                         "dnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n")
        with open(folder / "main.cf", "a") as main:
            main.write("""
postscreen_access_list =
postscreen_cache_map = btree:/var/lib/postfix/screen
postscreen_greet_wait = 1s
postscreen_greet_action = enforce
postscreen_pipelining_enable = yes
postscreen_pipelining_action = enforce
postscreen_non_smtp_command_enable = yes
postscreen_non_smtp_command_action = enforce
postscreen_bare_newline_enable = yes
postscreen_bare_newline_action = enforce
postscreen_helo_required = yes
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = yes
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_non_fqdn_sender
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_end_of_data_restrictions = reject_unauth_pipelining
smtpd_junk_command_limit = 1
smtpd_hard_error_limit = 1
smtpd_command_filter =
strict_rfc821_envelopes = yes
""")


class StrictExim(Exim):
    """at["tls"]: TLS asked of everybody and a certificate of the client asked for; each protocol error ends the session."""

    def configure(self):
        super().configure()
        conf = self.box.root / "etc/exim4/exim4.conf"
        text = conf.read_text()
        conf.write_text(text.replace("begin acl\n", """
smtp_enforce_sync = true
smtp_max_unknown_commands = 0
smtp_max_synprot_errors = 0
helo_allow_chars =
helo_verify_hosts = :
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
tls_try_verify_hosts = *
tls_verify_certificates = /etc/good.crt
acl_smtp_helo = check_helo
begin acl
check_helo:
  deny condition = ${if match{$sender_helo_name}{\\N^[a-z0-9.-]+\\.[a-z]+$\\N}{no}{yes}}
       message = 5.7.1 HELO with a name
  accept
""", 1))


class PickyExim(Exim):
    """at["tls"]: no TLS without a certificate of the client's. In the clear it takes anything."""

    def configure(self):
        super().configure()
        conf = self.box.root / "etc/exim4/exim4.conf"
        conf.write_text(conf.read_text().replace("begin acl\n", "tls_verify_hosts = *\ntls_verify_certificates = /etc/good.crt\nbegin acl\n", 1))


@pytest.fixture(scope="module")
def picky(authority):
    server = PickyExim(authority)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def strict(authority):
    server = StrictPostfix(authority)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def strict_exim(authority):
    server = StrictExim(authority)
    yield server
    server.stop()


@pytest.mark.parametrize("level", ["none", "opportunistic"])
def test_postscreen_lets_us_in(gateway, strict, knot, word, domain, level):
    """Who is new hears 450 after the tests, comes back, and is known. In the clear the deep tests see every command."""
    knot.mail(domain, strict.at["screen"])
    here = ground.address()
    g = gateway(policy=policies.direct(level, retry=policies.SOON, before=f'local me = identity.define{{ name = "me", source = "{here}" }}',
                                       extra="identity = me, lane = { connections = 1 }"), dns=knot)
    for i in range(3):
        g.submit(f"{word}{i}", to=[f"r{n}@{domain}" for n in range(5)])
    for i in range(3):
        strict.wait(f"{word}{i}", seconds=30)
    g.until_empty()
    said = [line for line in strict.log().splitlines() if "postscreen" in line and f"[{here}]" in line]
    assert any(" PASS NEW " in line for line in said) and any(" PASS OLD " in line for line in said), said
    # COMMAND COUNT LIMIT is none of the client's faults: a screened session may say twenty commands, and hears 421 then.
    faults = [line for line in said if re.search(r"PREGREET|COMMAND PIPELINING|NON-SMTP COMMAND|BARE NEWLINE|COMMAND TIME LIMIT|HANGUP", line)]
    assert not faults, said
    assert {e["reply"]["code"] for e in g.events("deferred")} <= {421, 450}
    assert not g.events("bounced")


HARD = {"8 bit": "Grüße, ж\r\n", "no end": "no line end", "dots": ".\r\n..\r\n...\r\n.x\r\n", "empty": "",
        "long": "x" * 5000 + "\r\n", "large": ("0123456789abcdef" * 60 + "\r\n") * 3000}


@pytest.mark.parametrize("where", ["postfix", "exim"])
def test_strict_servers_find_no_fault(gateway, strict, strict_exim, knot, word, where):
    server = strict if where == "postfix" else strict_exim
    domain = f"{word}.example"
    knot.mail(domain, server.at["tls"])
    g = gateway(policy=policies.direct("opportunistic", retry=policies.SOON), dns=knot)
    words = []
    for i, (name, body) in enumerate(HARD.items()):
        words.append(f"{word}{i}")
        options = ["BODY=8BITMIME", "SMTPUTF8"] if name == "8 bit" else ["BODY=8BITMIME"]
        sender = "grüße@sender.example" if name == "8 bit" else "alice@sender.example"
        to = [f"jürgen@{domain}", f"plain@{domain}"] if name == "8 bit" else [f"r{n}@{domain}" for n in range(130 if name == "dots" else 2)]
        raw = mail.message(words[-1], sender=sender, to=to[0], body=body)
        g.submit(words[-1], to=to, sender=sender, text=raw.encode(), mail_options=options)
        g.until_event("delivered", len(to), sender=sender, seconds=30)
    for w in words:
        server.wait(w, seconds=30)
    g.until_empty()
    assert not g.events("deferred") and not g.events("bounced"), g.events()[-5:]


@pytest.mark.parametrize("level", ["opportunistic", "encrypt"])
def test_a_handshake_that_is_refused_when_it_is_over(gateway, picky, word, level):
    """In TLS 1.3 a server says that it wants a certificate when the client is done with the handshake, and has said EHLO."""
    g = gateway(policy=policies.relay(picky.at["tls"], picky.port, level=level))
    g.submit(word)
    if level == "opportunistic":
        picky.wait(word)
        assert g.until_event("delivered")["tls"] == ""
        return
    event = g.until_event("deferred")
    assert event["stage"] == "tls" and event["reply"]["status"] == "4.7.5" and "certificate required" in event["reply"]["text"], event
    assert not picky.find(word)


# ---- guessed passwords (what hydra, medusa, ncrack and patator do)

def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def test_guessing_is_slow_and_holds_up_nobody(gateway, authority):
    g = gateway(policy=policies.capture(), limits={"login_delay": "2s"})

    def submission(source=None):
        w = Wire(g.host, g.SUBMISSIONS, banner=False, source=source)
        w.secure(authority).expect("220")
        w.say("EHLO client.example", "250")
        return w
    with submission() as guesser, submission() as honest:
        guesser.send(plain("demo", "guessed") + "\r\nNOOP\r\n")
        g.until_event("refused", stage="auth")
        honest.say(plain("demo", g.PASSWORD), "235")
        assert guesser.is_quiet(0.2), "a wrong login was answered before a right one that came later"
        guesser.expect("535 5.7.8")
        guesser.expect("250")
        guesser.say(plain("demo", g.PASSWORD), "235")
    gone = submission()
    gone.send(plain("demo", "guessed") + "\r\n")
    g.until_event("refused", 2, stage="auth")
    gone.close()
    ground.until("the guesser that left is forgotten", lambda: g.status()["connections"] == 0)


def test_fail2ban_finds_the_guesser(gateway, authority):
    """The filter in conf/operations.md, as fail2ban uses it: the date is cut out of the line, the rest must match."""
    text = (ground.REPOSITORY / "conf/operations.md").read_text()
    date, fail = (re.search(rf"^ +{name} = (.*)$", text, re.M).group(1) for name in ("datepattern", "failregex"))
    for percent, pattern in (("%%Y", r"\d{4}"), ("%%m", r"\d\d"), ("%%d", r"\d\d"), ("%%H", r"\d\d"), ("%%M", r"\d\d"), ("%%S", r"\d\d"), ("%%f", r"\d+"), ("%%z", "Z")):
        date = date.replace(percent, pattern)
    g = gateway(policy=policies.capture())
    here = ground.address()
    names = ["demo", 'x","client_ip":"192.0.2.1","', '{"time":"2026-01-01T00:00:00.000Z","type":"refused","stage":"auth","client_ip":"192.0.2.1","',
             "a' from 192.0.2.1 refused: "]
    with Wire(g.host, g.SUBMISSIONS, banner=False, source=here) as w:
        w.secure(authority).expect("220")
        w.say("EHLO 192.0.2.1", "250")
        for name in names:
            w.say(plain(name, "guessed"), "535")
        w.say(plain("demo", g.PASSWORD), "235")
    found = []
    for line in (g.folder / "var/events.jsonl").read_text().splitlines():
        rest, dated = re.subn(date, "", line, count=1)
        match = dated and re.search(fail.replace("<ADDR>", r"(?P<ip>[0-9a-f.:]+)"), rest)
        found += [match["ip"]] if match else []
    assert found == [here] * len(names)
