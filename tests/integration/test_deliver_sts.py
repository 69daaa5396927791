# SPDX-License-Identifier: MIT
"""MTA-STS (RFC 8461): what a domain's web server says of its mail hosts decides, and keeps deciding while web and DNS are silent."""
import json
import threading

import pytest
from lab import policies
from lab.web import Web

pytestmark = pytest.mark.core

POLICY = policies.PRELUDE + """
local sts = require "sts"
return { route = function(message, recipient)
    local said = sts.of(recipient.domain)
    return route.send { via = route.direct { mx = said.mx }, tls = said.tls, shelf = said.shelf, because = said.because }
end }
"""


class Published:
    """A domain with its records and its policy, on a real web server at port 443 of its own address."""

    def __init__(self, authority, pocket_dns, domain, word, at, mode="enforce", mx="*.mx.example", certified=True):
        self.domain, self.host = domain, f"{word}.mx.example"
        name = f"mta-sts.{domain}"
        text = f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 604800\r\n"
        self.web = Web(authority, {"/.well-known/mta-sts.txt": (200, {"Content-Type": "text/plain"}, text)}, names=[name] if certified else [], port=443)
        self.dns = pocket_dns({(domain, "MX"): [f"{domain}. 0 MX 10 {self.host}."], (self.host, "A"): [f"{self.host}. 0 A {at}"],
                               (f"_mta-sts.{domain}", "TXT"): [f'_mta-sts.{domain}. 0 TXT "v=STSv1; id=20261101;"'],
                               (name, "A"): [f"{name}. 0 A {self.web.host}"]})

    def stolen(self, host, at):
        """Somebody on the way answers for the domain's DNS."""
        self.dns.answer = {(self.domain, "MX"): [f"{self.domain}. 0 MX 10 {host}."], (host, "A"): [f"{host}. 0 A {at}"]}


@pytest.fixture
def published(authority, pocket_dns, domain, word, postfix):
    made = []

    def make(kind="tls", **how):
        try:
            made.append(Published(authority, pocket_dns, domain, word, postfix.at[kind], **how))
        except PermissionError:
            pytest.skip("port 443 needs root")
        return made[-1]
    yield make
    for p in made:
        p.web.stop()


@pytest.fixture
def sts(gateway):
    return lambda p: gateway(policy=POLICY, dns=p.dns, workers=1, http={"hosts": ["mta-sts.*"], "private": True})


def test_enforced_and_kept(published, sts, postfix, word, domain):
    """Fetched once, on disk before the mail goes, and in force after a restart when a thief answers for DNS and the web server is gone."""
    p = published()
    g = sts(p)
    g.submit(word, to=f"bob@{domain}")
    postfix.wait(word)
    event = g.until_event("delivered")
    assert event["tls_verified"] is True
    assert g.until_event("routed")["because"] == "MTA-STS enforce (fetched)"
    entry = json.loads(g.cli("shelf", "get", f"mta-sts/{domain}", "--json").stdout.splitlines()[0])
    assert entry["value"]["mode"] == "enforce" and entry["value"]["mx"] == ["*.mx.example"]
    assert [a.path for a in p.web.asked] == ["/.well-known/mta-sts.txt"]
    assert "(only *.mx.example)" in g.cli("explain", "--from", "a@b.example", "--to", f"bob@{domain}").stdout

    g.stop()
    p.stolen("thief.example", postfix.at["tls"])
    g.start()
    g.submit(word + "x", to=f"bob@{domain}")
    event = g.until_event("deferred")
    assert (event["reply"]["code"], event["stage"]) == (451, "dns") and "thief.example is not" in event["reply"]["text"], event
    assert not postfix.find(word + "x")
    assert len(p.web.asked) == 1


def test_many_at_once_fetch_once(published, sts, postfix, word, domain):
    """A mailing to a domain that nobody knows yet asks its web server once, not once a message."""
    p, say = published(), threading.Event()
    place = "/.well-known/mta-sts.txt"
    policy = p.web.answer[place]
    p.web.answer[place] = lambda asked: say.wait(8) and policy
    g = sts(p)
    for i in range(20):
        g.submit(word, to=f"b{i}@{domain}")
    p.web.until_asked(1)
    say.set()
    postfix.wait(word, 20)
    assert {e["because"] for e in g.until_event("routed", 20)} <= {"MTA-STS enforce (fetched)", "MTA-STS enforce (kept)"}
    assert len(p.web.asked) <= 2  # who asks between the answer and its place on the shelf asks again


@pytest.mark.parametrize("kind", ["selfsigned", "plain", "wrongname"])
def test_a_host_of_the_list_has_to_prove_itself(published, sts, postfix, word, domain, kind):
    g = sts(published(kind))
    g.submit(word, to=f"bob@{domain}")
    event = g.until_event("deferred")
    assert event["stage"] in ("tls", "ehlo"), event
    assert not postfix.find(word)


def test_dane_is_not_overruled(published, sts, postfix, word, domain):
    """A host of the list, with a certificate that holds, which is not the one that its domain has signed (RFC 8461 2)."""
    p = published()
    name = f"_{postfix.port}._tcp.{p.host}"
    p.dns.authentic = True
    p.dns.answer[name, "TLSA"] = [f"{name}. 0 TLSA 3 0 1 {'00' * 32}"]
    g = sts(p)
    g.stop()
    g.configure(dns={"trust_ad": True})
    g.start()
    g.submit(word, to=f"bob@{domain}")
    event = g.until_event("deferred")
    assert event["stage"] == "tls", event
    assert g.until_event("routed")["because"] == "MTA-STS enforce (fetched)"
    assert not postfix.find(word)


@pytest.mark.parametrize("how,because", [({"mode": "testing", "mx": "other.example"}, "MTA-STS testing (fetched)"),
                                         ({"mode": "none"}, "MTA-STS none (fetched)"),
                                         ({"certified": False}, "MTA-STS: a policy that cannot be had: ")])
def test_nothing_is_demanded(published, sts, postfix, word, domain, how, because):
    """Testing and none; and a policy from a server that cannot prove its name is none."""
    g = sts(published("selfsigned", **how))
    g.submit(word, to=f"bob@{domain}")
    postfix.wait(word)
    assert g.until_event("routed")["because"].startswith(because)
    assert g.until_event("delivered")["tls_verified"] is False


def test_without_leave_to_ask_it_does_not_load(gateway):
    g = gateway(policy=POLICY, start=False)
    done = g.cli("check", check=False)
    assert done.returncode != 0 and 'hosts = { "mta-sts.*" }' in done.stdout + done.stderr
    g.configure(http={"hosts": ["mta-sts.*"]})
    assert "good" in g.cli("check").stdout
    g.cli("test")
