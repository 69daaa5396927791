# SPDX-License-Identifier: MIT
"""DANE (RFC 7672): what a domain publishes of its mail hosts' certificates decides, and nothing that a thief of the way can turn off."""
import hashlib
import smtplib
import ssl

import pytest
from lab import policies

pytestmark = pytest.mark.core

SECRET = "00" * 32


def shown(host, port):
    """SHA-256 of the certificate that a server shows: the data of a TLSA record 3 0 1."""
    with smtplib.SMTP(host, port) as smtp:
        smtp.starttls(context=ssl._create_unverified_context())
        return hashlib.sha256(smtp.sock.getpeercert(True)).hexdigest()


# What the host is like, what is published (DIGEST: of the certificate it shows), who signed -> how it is delivered, proven or not, under "dane" and
# under "dane_or_verify"; None: it waits.
PROVEN, UNPROVEN, CLEAR = ("tls", True), ("tls", False), ("clear", False)
CASES = {
    "its certificate, known to nobody else": ("selfsigned", "3 0 1 DIGEST", True, PROVEN, PROVEN),
    "an expired one, and another name in it": ("expired", "3 0 1 DIGEST", True, PROVEN, PROVEN),
    "one of several records": ("tls", f"3 0 1 {SECRET}|3 0 1 DIGEST", True, PROVEN, PROVEN),
    "another certificate, though one the system trusts": ("tls", f"3 0 1 {SECRET}", True, None, None),
    "TLS is no longer offered": ("plain", f"3 0 1 {SECRET}", True, None, None),
    "records of no use to mail: TLS, whatever the certificate": ("selfsigned", f"1 0 1 {SECRET}", True, UNPROVEN, None),
    "the same with a certificate that holds": ("tls", f"1 0 1 {SECRET}", True, PROVEN, PROVEN),
    "the same without TLS": ("plain", f"1 0 1 {SECRET}", True, None, None),
    "nothing published, nothing offered": ("plain", "", True, CLEAR, None),
    "nothing published": ("selfsigned", "", True, UNPROVEN, None),
    "nothing published, and a certificate that holds": ("tls", "", True, PROVEN, PROVEN),
    "not signed": ("selfsigned", f"3 0 1 {SECRET}", False, UNPROVEN, None),
    "not signed, and a certificate that holds": ("tls", f"3 0 1 {SECRET}", False, PROVEN, PROVEN),
    "the question fails": ("tls", "servfail", True, None, None),
}


@pytest.mark.parametrize("level", ["dane", "dane_or_verify"])
@pytest.mark.parametrize("case", CASES)
def test_published(gateway, postfix, pocket_dns, word, domain, case, level):
    kind, published, signed, *expected = CASES[case]
    expected = expected[level == "dane_or_verify"]
    at, host = postfix.at[kind], f"{word}.mx.example"
    name = f"_{postfix.port}._tcp.{host}"
    records = published if published == "servfail" else [f"{name}. 60 TLSA {r}" for r in published.split("|") if r]
    if "DIGEST" in published:
        records = [r.replace("DIGEST", shown(at, postfix.port)) for r in records]
    dns = pocket_dns({(domain, "MX"): [f"{domain}. 60 MX 10 {host}."], (host, "A"): [f"{host}. 60 A {at}"], (name, "TLSA"): records}, authentic=signed)
    g = gateway(policy=policies.direct(level), dns=dns, workers=1, start=False)
    g.configure(dns={"trust_ad": True})
    g.start()
    g.submit(word, to=f"bob@{domain}")
    if expected is None:
        event = g.until_event("deferred", recipient=f"bob@{domain}")
        assert (event["reply"]["code"], event["stage"]) == (451, "tls") or event["stage"] == "ehlo", event
        assert not postfix.find(word)
        return
    how, proven = expected
    stored = postfix.wait(word)
    assert ("TLSv1" in stored.fields("Received")[0]) == (how == "tls")
    assert g.until_event("delivered", recipient=f"bob@{domain}")["tls_verified"] == proven


def test_the_next_host_may_do(gateway, postfix, pocket_dns, word, domain):
    """A host whose records cannot be had is out; the one behind it in the MX set is not."""
    first, second = f"{word}1.mx.example", f"{word}2.mx.example"
    dns = pocket_dns({(domain, "MX"): [f"{domain}. 60 MX 10 {first}.", f"{domain}. 60 MX 20 {second}."],
                      (first, "A"): [f"{first}. 60 A {postfix.at['tls']}"], (second, "A"): [f"{second}. 60 A {postfix.at['selfsigned']}"],
                      (f"_{postfix.port}._tcp.{first}", "TLSA"): "servfail",
                      (f"_{postfix.port}._tcp.{second}", "TLSA"): [f"_{postfix.port}._tcp.{second}. 60 TLSA 3 0 1 {shown(postfix.at['selfsigned'], postfix.port)}"]},
                     authentic=True)
    g = gateway(policy=policies.direct("dane"), dns=dns, start=False)
    g.configure(dns={"trust_ad": True})
    g.start()
    g.submit(word, to=f"bob@{domain}")
    postfix.wait(word)
    event = g.until_event("delivered")
    assert second in event["peer"] and event["tls_verified"]
    assert "DANE" in g.until_event("attempted")["reply"]["text"]


@pytest.mark.parametrize("published", ["right", "wrong"])
def test_an_mx_that_is_an_alias_counts_as_what_it_leads_to(gateway, postfix, pocket_dns, word, domain, published):
    """A host with a name of its own in each of its customers' zones publishes its certificate once, under the name that all of them lead to."""
    alias, host, at = f"mx.{domain}", f"{word}.mx.example", postfix.at["selfsigned"]
    name, digest = f"_{postfix.port}._tcp.{host}", shown(at, postfix.port) if published == "right" else SECRET
    dns = pocket_dns({(domain, "MX"): [f"{domain}. 60 MX 10 {alias}."], (alias, "A"): [f"{alias}. 60 CNAME {host}.", f"{host}. 60 A {at}"],
                      (name, "TLSA"): [f"{name}. 60 TLSA 3 0 1 {digest}"]}, authentic=True)
    g = gateway(policy=policies.direct("dane"), dns=dns, start=False)
    g.configure(dns={"trust_ad": True})
    g.start()
    for i in range(2 if published == "right" else 1):  # from the cache too; what fails has the lane rest
        g.submit(f"{word}{i}", to=f"bob{i}@{domain}")
        event = g.until_event("delivered" if published == "right" else "deferred", recipient=f"bob{i}@{domain}")
        assert event["tls_verified"] if published == "right" else (event["stage"], event["reply"]["status"]) == ("tls", "4.7.5"), event


def test_without_a_resolver_that_is_believed_it_waits(gateway, postfix, knot, word, domain):
    """It would be opportunistic for everybody without a word."""
    knot.mail(domain, (f"{word}.mx.example", postfix.at["tls"]))
    g = gateway(policy=policies.direct("dane"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    assert "dns.trust_ad" in g.until_event("deferred")["reply"]["text"]
    assert not postfix.find(word)


def test_without_one_a_certificate_does(gateway, postfix, knot, word, domain):
    knot.mail(domain, (f"{word}.mx.example", postfix.at["tls"]))
    g = gateway(policy=policies.direct("dane_or_verify"), dns=knot)
    g.submit(word, to=f"bob@{domain}")
    postfix.wait(word)
    assert g.until_event("delivered")["tls_verified"] is True


@pytest.mark.parametrize("level", ["dane", "dane_or_verify"])
def test_not_for_a_host_by_name(gateway, level):
    g = gateway(policy=policies.relay("relay.example", 587, level=level))
    done = g.cli("check", check=False)
    assert done.returncode != 0 and "is for route.direct" in done.stdout + done.stderr
