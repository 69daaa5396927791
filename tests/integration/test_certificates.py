# SPDX-License-Identifier: MIT
"""Certificates by name (SNI): each client is shown the one that fits the name it connects to; `check` says what clients will not like."""
import subprocess

import pytest
from lab import clients

pytestmark = pytest.mark.core


def shown(g, port, name, *options):
    """The subject of the certificate that openssl is shown, and whether it held for the name."""
    said = ["-servername", name] if name else ["-noservername"]
    done = subprocess.run(["openssl", "s_client", "-connect", f"{g.host}:{port}", *said, "-verify_hostname", name or "gateway.example", "-CAfile",
                           str(g.authority.file), *options], input="QUIT\r\n", capture_output=True, text=True, timeout=30)
    subject = next(line for line in done.stdout.splitlines() if line.startswith("subject="))
    return subject.split("CN = ")[-1].split("CN=")[-1], "Verify return code: 0 (ok)" in done.stdout


def pair(certificate):
    return {"certificate": certificate.chain, "key": certificate.key}


@pytest.fixture
def named(gateway, authority):
    g = gateway(start=False)
    g.ann, g.wild = authority.issue("smtp.ann.example"), authority.issue("*.shared.example", "smtp.bob.example")
    g.configure(certificates=[pair(g.ann), pair(g.wild)])
    return g.start()


def test_each_is_shown_its_own(named):
    for port, options in ((named.SUBMISSIONS, ()), (named.SUBMISSION, ("-starttls", "smtp")), (named.RELAY, ("-starttls", "smtp", "-tls1_2"))):
        assert shown(named, port, "smtp.ann.example", *options) == ("smtp.ann.example", True)
        assert shown(named, port, "SMTP.Bob.Example", *options) == ("*.shared.example", True)
        assert shown(named, port, "x.shared.example", *options) == ("*.shared.example", True)
        assert shown(named, port, "gateway.example", *options) == ("gateway.example", True)
        assert shown(named, port, None, *options) == ("gateway.example", True)
        assert shown(named, port, "stranger.example", *options) == ("gateway.example", False)


def test_mail_comes_in_under_it(named, word):
    done = clients.swaks(named.host, named.SUBMISSION, word, "--tls", "--tls-sni", "smtp.ann.example", "--auth", "PLAIN", "--auth-user", named.USER, "--auth-password", named.PASSWORD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "smtp.ann.example" in done.stdout
    named.until_event("received")


def test_a_reload_reads_them_again(named, authority):
    """Renewed in place, and a listener with a list of its own; what does not fit changes nothing."""
    fresh = authority.issue("smtp.ann.example", "new.ann.example")
    for old, new in ((named.ann.chain, fresh.chain), (named.ann.key, fresh.key)):
        old.write_bytes(new.read_bytes())
    listeners = [{**one, "certificates": [pair(named.wild)]} if one["name"] == "submissions" else one for one in named.conf["listeners"]]
    named.configure(listeners=listeners)
    named.reload()
    assert shown(named, named.SUBMISSION, "new.ann.example", "-starttls", "smtp") == ("smtp.ann.example", True)
    assert shown(named, named.SUBMISSIONS, "new.ann.example") == ("gateway.example", False)
    named.ann.key.write_bytes(named.wild.key.read_bytes())
    done = named.cli("reload", check=False)
    assert done.returncode != 0 and f"is not the key of the certificate {named.ann.chain}" in done.stdout + done.stderr
    assert shown(named, named.SUBMISSION, "new.ann.example", "-starttls", "smtp") == ("smtp.ann.example", True)


def test_check_says_what_clients_will_not_like(gateway, authority):
    g = gateway(start=False)
    old, twice, nobody = authority.issue("old.example", days=-1), authority.issue("a.example", "old.example"), authority.issue("192.0.2.1")
    g.configure(certificates=[pair(old), pair(twice), pair(nobody)])
    said = g.cli("check").stdout
    assert f"warning: {old.chain}: expired 1 days ago" in said
    assert f"warning: {twice.chain}: old.example is in {old.chain}, too" in said
    assert f"warning: {nobody.chain}: has no name of a host in it" in said
    assert said.count("warning: ") == 3
    g.configure(certificates=[{"certificate": old.chain, "key": twice.key}])
    done = g.cli("check", check=False)
    assert done.returncode != 0 and f"{twice.key}: is not the key of the certificate {old.chain}" in done.stdout + done.stderr
