# SPDX-License-Identifier: MIT
"""tidegate doctor: each finding once as it should be and once as it should not, against a real name server."""
import functools
import itertools
import json
import os
import re
import shutil
import smtplib
import subprocess
import sys

import dnslib
import pytest
from lab import ground, policies
from lab.names import PocketDns

core = pytest.mark.core
numbers = itertools.count(10)

POLICY = policies.PRELUDE + '''
local acme = identity.define { name = "acme", source = "%(ip)s", helo = "%(helo)s", %(return_path)s
    dkim = { { domain = "%(domain)s", selector = "s1", key = "keys/acme.pem" } } }
return { route = function(m, r) return route.send { via = route.capture {}, identity = acme } end }
'''


@functools.cache
def rsa_key(bits):
    return subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"], check=True, capture_output=True).stdout


class Patient:
    """A gateway with one identity, and the records that should be published for it, to be spoilt by the test."""

    def __init__(self, gateway, knot, domain, bits=2048, **conf):
        self.knot, self.domain, self.ip = knot, domain, f"203.0.113.{next(numbers)}"
        self.helo, self.return_path = f"mail.{domain}", ""
        self.g = gateway(start=False, dns=knot, **conf)
        (self.g.folder / "keys").mkdir(exist_ok=True)
        self.key = self.g.folder / "keys/acme.pem"
        self.key.write_bytes(rsa_key(bits))
        published = self.g.cli("key", "show", "--domain", domain, "--selector", "s1", "--json", self.key).stdout
        self.record = json.loads(published)["record"]
        self.records = {
            "ptr": [f"{self.reverse()}.in-addr.arpa PTR {self.helo}"],
            "helo": [f"{self.helo} A {self.ip}"],
            "spf": [f'{domain} TXT "v=spf1 ip4:{self.ip} -all"'],
            "dkim": [f'{json.loads(published)["name"]} TXT "{self.record}"'],
            "dmarc": [f'_dmarc.{domain} TXT "v=DMARC1; p=reject; rua=mailto:postmaster@{domain}"'],
        }

    def reverse(self, ip=None):
        return ".".join(reversed((ip or self.ip).split(".")))

    def publish(self, **spoilt):
        # The key comes last: its letters may spell any of the words.
        key = self.record.split(";", 1)[1].strip()
        words = {"DOMAIN": self.domain, "REVERSE": self.reverse(), "IP": self.ip, "KEY": key}
        for check, records in spoilt.items():
            for word, value in words.items():
                records = [r.replace(word, value) for r in records]
            self.records[check] = records
        self.knot.add(*[r for rs in self.records.values() for r in rs])
        return self

    def visit(self, *arguments, code=None, environment=None):
        """All findings, by check."""
        self.g.write_scripts({"policy.lua": POLICY % {"ip": self.ip, "helo": self.helo, "domain": self.domain, "return_path": self.return_path}})
        self.g.environment = environment or {}
        done = self.g.cli("doctor", "--json", *arguments, check=False)
        assert done.returncode in (0, 1, 2) and (code is None or done.returncode == code), done.stdout + done.stderr
        self.findings = [json.loads(line) for line in done.stdout.splitlines()]
        worst = max(["ok", "warn", "fail"].index(f["level"]) for f in self.findings)
        assert done.returncode == worst, "the exit code is that of the worst finding"
        for f in self.findings:
            assert f["level"] == "ok" or (f["follows"] and f["fix"]), f
        return self

    def says(self, check, level, words="", record=None):
        found = [f for f in self.findings if f["check"] == check]
        fits = [f for f in found if f["level"] == level and words in f["what"]]
        assert fits, f"{check} should be {level} ({words}): {json.dumps(found, indent=1)}"
        if record:
            assert record in fits[0]["record"], fits[0]
        return fits[0]


@pytest.fixture
def patient(gateway, knot, domain):
    return lambda **options: Patient(gateway, knot, domain, **options)


def test_all_well(patient):
    p = patient().publish().visit()
    for check in ("ptr", "helo", "spf", "dkim", "dmarc"):
        p.says(check, "ok")
    assert not [f for f in p.findings if f["section"].startswith("identity") and f["level"] != "ok"]
    assert "DKIM and SPF" in p.says("dmarc", "ok")["what"]


@core
def test_people_can_read_it(patient):
    p = patient().publish(spf=[])
    p.visit()
    said = p.g.cli("doctor", check=False)
    assert said.returncode == 2 and re.search(r"(?m)^  FAIL  spf ", said.stdout)
    assert f'{p.domain}. TXT "v=spf1 ip4:{p.ip} -all"' in said.stdout, "a line to copy"
    assert re.search(r"\d+ ok, \d+ to look at, \d+ wrong", said.stdout)


SPOILT = [
    # check, level, words, records
    ("ptr", "fail", "has no name", {"ptr": []}),
    ("ptr", "fail", "does not lead back", {"ptr": ["REVERSE.in-addr.arpa PTR other.DOMAIN"]}),
    ("ptr", "warn", "any customer", {"ptr": ["REVERSE.in-addr.arpa PTR dyn-7.DOMAIN", "dyn-7.DOMAIN A IP"]}),
    ("helo", "fail", "no A record", {"helo": [], "ptr": []}),
    ("helo", "warn", "elsewhere", {"helo": ["mail.DOMAIN A 203.0.113.254"]}),
    ("spf", "fail", "no SPF record", {"spf": []}),
    ("spf", "fail", "fail by -all", {"spf": ['DOMAIN TXT "v=spf1 ip4:192.0.2.1 -all"']}),
    ("spf", "fail", "softfail by ~all of other.DOMAIN", {"spf": ['DOMAIN TXT "v=spf1 redirect=other.DOMAIN"', 'other.DOMAIN TXT "v=spf1 ~all"']}),
    ("spf", "warn", "neutral", {"spf": ['DOMAIN TXT "v=spf1 ip4:192.0.2.1"']}),
    ("spf", "fail", "more than one", {"spf": ['DOMAIN TXT "v=spf1 -all"', 'DOMAIN TXT "v=spf1 +all"']}),
    ("spf", "fail", "more than 10", {"spf": ['DOMAIN TXT "v=spf1 include:DOMAIN -all"']}),
    ("spf", "warn", "whole world", {"spf": ['DOMAIN TXT "v=spf1 +all"']}),
    ("spf", "warn", "after 9 of the 10", {"spf": ['DOMAIN TXT "v=spf1 a:m.DOMAIN a:m.DOMAIN a:m.DOMAIN a:m.DOMAIN a:m.DOMAIN a:m.DOMAIN a:m.DOMAIN a:m.DOMAIN a:mail.DOMAIN -all"', "m.DOMAIN A 192.0.2.1"]}),
    ("spf", "warn", "EHLO name", {"helo": ["mail.DOMAIN A IP", 'mail.DOMAIN TXT "v=spf1 -all"']}),
    ("dkim", "fail", "no such record", {"dkim": []}),
    ("dkim", "fail", "another key", {"dkim": ['s1._domainkey.DOMAIN TXT "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB"']}),
    ("dkim", "fail", "revoked", {"dkim": ['s1._domainkey.DOMAIN TXT "v=DKIM1; p="']}),
    ("dkim", "fail", "no DKIM key", {"dkim": ['s1._domainkey.DOMAIN TXT "v=spf1 -all"']}),
    ("dkim", "fail", "2 records", {"dkim": ['s1._domainkey.DOMAIN TXT "KEY"', 's1._domainkey.DOMAIN TXT "p=AAAA"']}),
    ("dkim", "fail", "sha256", {"dkim": ['s1._domainkey.DOMAIN TXT "h=sha1; KEY"']}),
    ("dkim", "warn", "still testing", {"dkim": ['s1._domainkey.DOMAIN TXT "KEY; t=y"']}),
    ("dmarc", "warn", "no DMARC policy", {"dmarc": []}),
    ("dmarc", "fail", "cannot be understood", {"dmarc": ['_dmarc.DOMAIN TXT "v=DMARC1; p=block"']}),
    ("dmarc", "fail", "more than one", {"dmarc": ['_dmarc.DOMAIN TXT "v=DMARC1; p=none"', '_dmarc.DOMAIN TXT "v=DMARC1; p=reject"']}),
    ("dmarc", "fail", "neither DKIM nor SPF", {"dkim": [], "spf": []}),
    ("dmarc", "warn", "neither DKIM nor SPF", {"dkim": [], "spf": [], "dmarc": ['_dmarc.DOMAIN TXT "v=DMARC1; p=none"']}),
    ("dmarc", "warn", "only SPF", {"dkim": []}),
]


@pytest.mark.parametrize("check,level,words,records", SPOILT, ids=[f"{c}-{w}" for c, _, w, _ in SPOILT])
def test_what_is_published(patient, check, level, words, records):
    p = patient()
    p.publish(**records)
    p.visit(code=2 if level == "fail" else None)
    p.says(check, level, words.replace("DOMAIN", p.domain))


@core
def test_records_to_paste(patient):
    """What doctor says to publish is what makes it content."""
    p = patient().publish(ptr=[], helo=[], spf=['DOMAIN TXT "v=spf1 include:other.DOMAIN ~all"', 'other.DOMAIN TXT "v=spf1 ip4:192.0.2.1 -all"'], dkim=[], dmarc=[]).visit()
    pasted = {}
    for check in ("ptr", "helo", "spf", "dkim", "dmarc"):
        level = "warn" if check == "dmarc" else "fail"
        for line in p.says(check, level)["record"].splitlines():
            name, kind, value = line.split(" ", 2)
            pasted[f"{name} {kind}"] = f"{name} {kind} " + (f'"{"".join(re.findall(chr(34) + "([^" + chr(34) + "]*)", value)[::2])}"' if kind == "TXT" else value)
    assert f"v=spf1 ip4:{p.ip} include:other.{p.domain} ~all" in pasted[f"{p.domain}. TXT"], "what was there is kept"
    p.knot.records = [r for r in p.knot.records if not r.startswith(f"{p.domain}. TXT")]
    p.knot.add(*pasted.values())
    p.visit()
    assert not [f for f in p.findings if f["section"].startswith("identity") and f["level"] != "ok"], p.findings


def test_alignment_within_an_organisation(patient):
    """Relaxed alignment reaches subdomains, strict does not; sp= is theirs; another domain is not vouched for."""
    p = patient().publish()
    p.knot.add(f'strict.{p.domain} A 192.0.2.1', f'_dmarc.strict.{p.domain} TXT "v=DMARC1; p=reject; adkim=s; aspf=s"', f'_dmarc.else-{p.domain} TXT "v=DMARC1; p=quarantine"')
    p.knot.add(f'_dmarc.own.{p.domain} TXT "v=DMARC1; p=reject"')
    p.visit("--from", f"a.own.{p.domain}", "--from", f"news.{p.domain}", "--from", f"strict.{p.domain}", "--from", f"else-{p.domain}")
    p.says("dmarc", "ok", f"From: news.{p.domain} is vouched for by DKIM")
    p.says("dmarc", "ok", f"From: a.own.{p.domain} is vouched for by DKIM and SPF; own.{p.domain} says p=reject")
    p.says("dmarc", "fail", f"From: strict.{p.domain}")
    p.says("dmarc", "fail", f"From: else-{p.domain}")


def test_return_path_decides_about_spf(patient):
    p = patient()
    p.return_path = f'return_path = "bounces@bounce.{p.domain}",'
    p.publish().visit()
    p.says("spf", "fail", f"bounce.{p.domain} has no SPF record")
    p.says("dmarc", "ok", "vouched for by DKIM;")


def test_weak_keys_and_bare_names(patient):
    p = patient(bits=1024)
    p.helo = "mailhost"
    p.publish().visit()
    p.says("dkim", "warn", "1024 bits")
    p.says("helo", "fail", "no name with a domain")


def test_no_identity_and_private_addresses(gateway, knot):
    g = gateway(start=False, dns=knot, policy="return {}\n")
    done = [json.loads(line) for line in g.cli("doctor", "--json", "--source", "192.168.1.1", check=False).stdout.splitlines()]
    assert [f for f in done if f["check"] == "source" and f["level"] == "warn" and "private" in f["what"]]
    assert [f for f in done if f["check"] == "dkim" and f["level"] == "warn" and "not signed" in f["what"]]
    assert g.cli("doctor", "--identity", "nobody", check=False).returncode == 65
    assert g.cli("doctor", "--source", "here", check=False).returncode == 64
    assert g.cli("doctor", "--from", "no domain", check=False).returncode == 64


def test_behind_nat(patient):
    p = patient().publish()
    outside = p.ip
    p.ip = "10.1.2.3"
    p.visit("--source", outside)
    for check in ("ptr", "helo", "spf"):
        p.says(check, "ok", outside)


def test_through_a_relay(patient):
    """What the relay's address is called and may do is not ours to publish; our signature is."""
    p = patient().publish(ptr=[], helo=[], spf=[]).visit("--relayed")
    assert not [f for f in p.findings if f["check"] in ("ptr", "helo", "spf", "source")]
    p.says("dkim", "ok")
    p.says("dmarc", "ok", "vouched for by DKIM;")


@core
def test_blocklists(patient):
    p = patient(doctor={"blocklists": ["listed.example", "clean.example"]}).publish()
    p.knot.add("2.0.0.127.listed.example A 127.0.0.2", f"{p.reverse()}.listed.example A 127.0.0.4", f'{p.reverse()}.listed.example TXT "spam seen today"',
               "2.0.0.127.clean.example A 127.0.0.2", "2.0.0.127.refusing.example A 127.255.255.254",
               "2.0.0.127.parked.example A 192.0.2.7", "1.0.0.127.parked.example A 192.0.2.7")
    p.visit("--blocklist", "refusing.example", "--blocklist", "parked.example", "--blocklist", "gone.example")
    p.says("blocklist", "fail", "listed.example (127.0.0.4): spam seen today")
    p.says("blocklist", "ok", "clean.example")
    p.says("blocklist", "warn", "refusing.example refuses")
    p.says("blocklist", "warn", "parked.example does not answer as")
    p.says("blocklist", "warn", "gone.example does not answer as")


@core
def test_port(patient, scripted):
    p = patient().publish()
    server = scripted()
    p.visit("--probe", f"{server.host}:{server.port}").says("port", "ok")
    p.visit("--probe", f"{ground.address()}:{server.port}").says("port", "fail", "refused")
    p.knot.add(f"probe.{p.domain} A {server.host}")
    p.visit("--probe", f"probe.{p.domain}:{server.port}").says("port", "ok")
    assert not [f for f in p.visit().findings if f["check"] == "port"], "off unless asked for"


@core
def test_dns_without_answers(patient, pocket_dns):
    """A broken zone is a warning: receivers get no answer either."""
    p = patient()
    dns = pocket_dns({("iana.org", "A"): ["iana.org. 60 A 192.0.2.1"], ("*", "*"): "servfail"})
    p.g.configure(dns={"servers": [dns.server]})
    p.visit(code=1)
    for check in ("ptr", "helo", "spf", "dkim", "dmarc"):
        p.says(check, "warn")


def signed(query):
    reply = query.reply()
    reply.header.ad = 1
    reply.add_answer(*dnslib.RR.fromZone("iana.org. 60 A 192.0.2.1"))
    return reply.pack()


def test_resolver(patient, pocket_dns):
    p = patient().publish()
    p.visit().says("resolver", "ok")
    p.says("dnssec", "warn")
    p.g.configure(dns={"trust_ad": True})
    p.visit().says("dnssec", "fail", "does not validate")
    p.g.configure(dns={"servers": [pocket_dns({("iana.org", "A"): signed}).server]})
    p.visit().says("dnssec", "ok")
    p.g.configure(dns={"servers": ["127.0.0.1:9"], "timeout": 0.2})
    p.visit(code=2).says("resolver", "fail")
    assert not [f for f in p.findings if f["check"] == "spf"], "nothing is said of what could not be asked"
    assert not [f for f in p.visit("--offline").findings if f["check"] in ("resolver", "ptr", "spf")]


@pytest.mark.skipif(os.geteuid() != 0, reason="an address that is not loopback needs a network namespace")
def test_resolver_elsewhere(patient):
    p = patient()
    p.g.configure(dns={"servers": ["203.0.113.53:5353"], "trust_ad": True})
    p.g.write_scripts({"policy.lua": "return {}\n"})
    inside = ("import sys, subprocess; sys.path.insert(0, sys.argv[1]); from lab.names import PocketDns; "
              "dns = PocketDns({('iana.org', 'A'): ['iana.org. 60 A 192.0.2.1']}, host='203.0.113.53'); sys.exit(subprocess.call(sys.argv[2:]))")
    done = subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up && ip addr add 203.0.113.53/32 dev lo && exec "$@"', "sh", sys.executable, "-c", inside,
                           str(ground.REPOSITORY / "tests/integration"), ground.BINARY, "doctor", "--json"], env=p.g.environ(), capture_output=True, text=True, timeout=60 * ground.PATIENCE)
    p.findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert p.findings, done.stderr
    p.says("resolver", "warn", "not on this machine")
    p.says("dnssec", "fail", "not on this machine")


@core
def test_certificates(patient, authority):
    p = patient()
    known = {"SSL_CERT_FILE": str(authority.file)}

    def look(certificate, environment=known):
        p.g.configure(certificate=certificate.chain, key=certificate.key)
        return p.visit("--offline", environment=environment)
    look(authority.issue("gateway.example")).says("tls", "ok")
    look(authority.issue("old.example", "gateway.example")).says("tls", "ok")
    look(authority.issue("gateway.example", days=-1)).says("tls", "fail", "expired")
    look(authority.issue("gateway.example", days=9)).says("tls", "warn", "expires in")
    look(authority.issue("other.example")).says("tls", "warn", "is for other.example, not for gateway.example")
    look(authority.self_signed("gateway.example")).says("tls", "warn", "self-signed")
    look(authority.issue("gateway.example"), {"SSL_CERT_FILE": "/dev/null"}).says("tls", "warn", "no trusted root")
    p.g.configure(certificate="missing.pem")
    p.visit("--offline").says("tls", "fail", "missing.pem")


def test_disk_and_descriptors(patient):
    p = patient()
    p.visit("--offline").says("disk", "ok")
    available = shutil.disk_usage(p.g.folder).free
    p.g.configure(store={"reserve": available * 7 // 10})
    p.visit("--offline").says("disk", "warn")
    p.g.configure(store={"reserve": "1TiB"})
    p.visit("--offline").says("disk", "fail", "less than store.reserve")
    p.g.configure(limits={"connections": 100}, delivery={"connections": 100})
    p.visit("--offline").says("files", "ok")
    few = subprocess.run(["prlimit", "--nofile=400:400", ground.BINARY, "doctor", "--json", "--offline"], env=p.g.environ(), capture_output=True, text=True)
    p.findings = [json.loads(line) for line in few.stdout.splitlines()]
    p.says("files", "warn", "400 open files")


@core
def test_running_gateway(gateway, knot):
    policy = policies.PRELUDE + '''
return { route = function(m, r)
    if r.local_part == "later" then return route.wait("5d", "wait") end
    return route.send { via = route.capture {}, spend = { limit.per_day("acme", 100) } }
end }
'''
    g = gateway(policy=policy, dns=knot)

    def visit():
        found = [json.loads(line) for line in g.cli("doctor", "--json", "--offline", check=False).stdout.splitlines()]
        return {f["check"]: (f["level"], f["what"]) for f in found}
    first = visit()
    assert first["gateway"][0] == first["store"][0] == first["queue"][0] == first["suppressed"][0] == "ok" and first["limits"][0] == "warn"
    g.submit("one", to="now@b.example")
    g.until_event("delivered")
    assert visit()["limits"] == ("ok", "limits in use: 1")
    g.cli("suppression", "add", "x@y.example")
    assert visit()["suppressed"] == ("ok", "addresses on the suppression list: 1")
    # Received by a clock that is behind by so long.
    g.advance_clock(-6 * 3600)
    g.submit("two", to="later@b.example")
    assert visit()["queue"][0] == "warn" and "6h" in visit()["queue"][1]
    g.cli("queue", "delete", "--all", "--yes")
    g.advance_clock(-100 * 3600)
    g.submit("three", to="later@b.example")
    assert visit()["queue"][0] == "fail" and "given up" in visit()["queue"][1]
    g.stop()
    assert visit()["gateway"][0] == "warn"


def test_full_store(gateway, knot):
    g = gateway(policy=policies.PRELUDE + 'return { route = function() return route.hold("here") end }', dns=knot, store={"segment": "1MiB", "ceiling": "4MiB"})

    def refused():
        try:
            with g.smtp() as s:
                s.sendmail("a@b.example", ["c@d.example"], "Subject: long\r\n\r\n" + "x" * 70 + ("\r\n" + "y" * 70) * 5000)
        except smtplib.SMTPException as e:
            return "452" in str(e)
    ground.until("the store is full", refused)
    found = [json.loads(line) for line in g.cli("doctor", "--json", "--offline", check=False).stdout.splitlines()]
    assert [f for f in found if f["check"] == "store" and f["level"] == "fail" and "full" in f["what"]], found


def test_keys_are_made_once_and_for_their_folder(gateway):
    g = gateway(start=False)
    path = g.folder / "conf/dkim/new.pem"  # in a folder that nobody has made yet
    for kind, words in (("rsa2048", "k=rsa"), ("ed25519", "k=ed25519")):
        path.unlink(missing_ok=True)
        made = g.cli("key", "new", "--domain", "a.example", "--selector", "s9", "--output", path, "--kind", kind)
        assert made.stdout.startswith('s9._domainkey.a.example. TXT "v=DKIM1; ') and words in made.stdout
        assert g.cli("key", "show", "--domain", "a.example", "--selector", "s9", path).stdout == made.stdout
        assert path.stat().st_mode & 0o777 == 0o640
    before = path.read_bytes()
    assert g.cli("key", "new", "--domain", "a.example", "--selector", "s9", "--output", path, check=False).returncode == 73
    assert path.read_bytes() == before
    assert g.cli("key", "show", "--domain", "a.example", "--selector", "s9", g.folder / "none.pem", check=False).returncode == 66
    assert g.cli("key", "new", "--selector", "s9", "--output", path, check=False).returncode == 64
