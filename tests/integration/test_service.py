# SPDX-License-Identifier: MIT
"""The gateway as a service: as `make run` starts it, as systemd watches it, without root's rights, with certificates of clients."""
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
from lab import ground, mail, policies
from lab.dkim_check import verify

pytestmark = pytest.mark.core


# ---- as make run starts it: the checkout's own configuration, scripts and library

class Checkout:
    """What `make run` sees, in a folder of its own; only the address is another, so that a running demo is not in the way."""

    def __init__(self):
        self.folder, self.host, self.process = ground.folder("checkout"), ground.address(), None
        for name in ("conf", "scripts", "stdlib"):
            shutil.copytree(ground.REPOSITORY / name, self.folder / name)
        (self.folder / "build").mkdir()
        (self.folder / "build/tidegate").symlink_to(ground.BINARY)
        conf = self.folder / "conf/tidegate.lua"
        text, count = re.subn(r'address = "127\.0\.0\.1:(2587|2465|2525)"', rf'address = "{self.host}:\1"', conf.read_text())
        assert count >= 3, "the demo listens on 2587, 2465 and 2525"
        conf.write_text(text)
        self.environment = {k: v for k, v in os.environ.items() if k != "TIDEGATE_CONF"}

    def first_run(self):
        return subprocess.run([ground.REPOSITORY / "tests/setup/first-run"], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True).stdout

    def start(self):
        self.process = ground.Process("tidegate", ["build/tidegate", "run"], self.folder / "stderr.log", env=self.environment, cwd=self.folder)
        self.process.until_listening(self.host, 2587)

    def tool(self, *arguments):
        done = subprocess.run(["build/tidegate", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60 * ground.PATIENCE)
        assert done.returncode == 0, f"tidegate {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.process.said()}"
        return done.stdout


@pytest.fixture
def checkout():
    c = Checkout()
    yield c
    if c.process and c.process.alive():
        c.process.kill()


class Published:
    """The demo's DKIM key as DNS would have it."""
    domain, selector, kind, name = "example.org", "demo", "rsa", "demo._domainkey.example.org"

    def __init__(self, path):
        import base64
        public = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        self.record = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()


def test_first_run(checkout, word):
    """A message is accepted, decided, signed and delivered, and the store remembers why."""
    said = checkout.first_run()
    assert "2587" in said and "build/tidegate send" in said
    checkout.start()
    sent = checkout.tool("send", "--server", f"{checkout.host}:2587", "--insecure", "--from", "demo@example.org", "--to", "you@example.net", "--user", "demo", "--password", "demo",
                         "--subject", f"about {word}")
    id = re.search(r"\b[0-9a-f]{16}\b", sent).group(0)
    stored = mail.Maildir(checkout.folder / "var/capture").wait(word)
    assert verify(stored.raw, Published(checkout.folder / "var/dkim/demo.pem")) == [("example.org", "demo", "rsa-sha256")]
    # The file is there before the outcome is committed and told.
    shown = ground.until("the delivery is in the journal", lambda: "delivered" in (text := checkout.tool("queue", "show", id)) and text)
    assert "policy.lua:" in shown
    assert id in checkout.tool("log") and checkout.tool("status")
    # What the shipped policy asks of a message is what the journal keeps by itself: it can be decided again, all of it.
    assert "unknown" not in checkout.tool("replay", "--since", "1h", "--fail-if", "changed > 0 or unknown > 0")
    # Only below var/ has anything been written.
    assert {p.name for p in checkout.folder.iterdir()} == {"conf", "scripts", "stdlib", "build", "var", "stderr.log"}
    checkout.process.signal(signal.SIGINT)
    assert checkout.process.wait(20) == 0, checkout.process.said()


def test_second_run_goes_on(checkout, word):
    checkout.first_run()
    policy = checkout.folder / "scripts/policy.lua"
    shipped = policy.read_text()
    policy.write_text(policies.policy('route = function() return route.hold("wait for it") end'))
    checkout.start()
    checkout.tool("send", "--server", f"{checkout.host}:2525", "--tls", "none", "--from", "a@example.org", "--to", "b@example.net", "--subject", f"about {word}")
    assert checkout.tool("queue", "list", "--count").strip() == "1"
    checkout.process.signal(signal.SIGINT)
    assert checkout.process.wait(20) == 0
    policy.write_text(shipped)
    assert "made" not in checkout.first_run(), "the second run makes nothing anew"
    checkout.start()
    checkout.tool("queue", "release", "--all", "--yes")
    mail.Maildir(checkout.folder / "var/capture").wait(word)
    checkout.process.signal(signal.SIGINT)
    assert checkout.process.wait(20) == 0


# ---- systemd

def test_notify(gateway):
    """READY when it takes mail, RELOADING and READY again, STOPPING, and the watchdog's pings."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = ground.folder("notify") / "s"
    listener.bind(str(path))
    listener.settimeout(10 * ground.PATIENCE)
    seen = []

    def hear(word):
        while not any(word in s for s in seen):
            seen.append(listener.recv(4096).decode())
        seen.clear()
    g = gateway(policy=policies.capture(), start=False, environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"})
    g.start()
    hear("READY=1")
    hear("WATCHDOG=1")
    hear("WATCHDOG=1")
    g.disconnect()
    g.process.signal(signal.SIGHUP)
    hear("RELOADING=1")
    hear("READY=1")
    g.process.signal(signal.SIGTERM)
    hear("STOPPING=1")
    assert g.process.wait(10) == 0
    g.process = None
    listener.close()


# ---- rights

@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_root_is_given_up(gateway, word):
    import pwd
    nobody = pwd.getpwnam("nobody")
    g = gateway(policy=policies.capture(), start=False)
    g.configure(user="nobody", listeners=[{"name": "relay", "kind": "relay", "address": f"{g.host}:25", "allow": ["127.0.0.0/8"]}])
    os.chown(g.folder / "var", nobody.pw_uid, nobody.pw_gid)
    for path in (g.folder / "conf/users", g.certificate.chain, g.certificate.key):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    for parent in (g.folder, g.folder.parent, g.certificate.chain.parent):
        parent.chmod(0o755)
    g.start()
    pid = g.status()["pid"]
    fields = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {str(nobody.pw_uid)} and set(fields["Gid"].split()) == {str(nobody.pw_gid)}
    assert int(fields["CapEff"], 16) == 0
    assert all(os.stat(f"/proc/{pid}/task/{t}").st_uid == nobody.pw_uid for t in os.listdir(f"/proc/{pid}/task"))
    with g.smtp(25) as s:
        s.sendmail("a@sender.example", ["b@example.net"], mail.message(word))
    g.captured.wait(word)
    g.reload()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_whose_rights_are_wanting(gateway):
    g = gateway(policy=policies.capture(), start=False)
    g.configure(user="nobody")
    done = g.cli("run", check=False)
    assert done.returncode and "/var: Permission denied (the gateway is user 'nobody' by now, who needs the right to it)" in done.stderr


def test_control_socket_is_private(gateway):
    g = gateway(policy=policies.capture())
    assert (g.folder / "var/control.sock").stat().st_mode & 0o777 == 0o660
    assert (g.folder / "var/queue").stat().st_mode & 0o077 == 0


# ---- certificates of clients

def test_client_certificates(gateway, authority, word):
    g = gateway(policy=policies.PRELUDE + '''
return {
    recipient = function(s, a)
        if s.client_certificate == "" then return answer.reject("550 5.7.1 no certificate") end
        return answer.accept{}
    end,
    message = function(s, m) return answer.accept{ tags = { certificate = s.client_certificate } } end,
    route = function() return route.send{ via = route.capture{ dir = "in" } } end,
}
''', start=False)
    listeners = g.default_listeners()
    listeners[1].update(client_ca=str(authority.file), auth_required=False)
    g.configure(listeners=listeners)
    g.start()
    mine, foreign = authority.issue("device.example", client=True), type(authority)("somebody else").issue("device.example", client=True)

    def send(certificate):
        import smtplib
        context = g.client_context()
        if certificate:
            context.load_cert_chain(certificate.chain, certificate.key)
        with smtplib.SMTP_SSL(g.host, g.SUBMISSIONS, local_hostname="client.example", timeout=20, context=context) as s:
            return s.sendmail("a@sender.example", ["b@example.net"], mail.message(word))
    assert send(mine) == {}
    import hashlib
    der = ssl.PEM_cert_to_DER_cert(mine.chain.read_text())
    assert g.until_event("received")["tags"]["certificate"] == hashlib.sha256(der).hexdigest()
    for other in (None, foreign):
        with pytest.raises((OSError, Exception)) as refused:
            send(other)
        assert not isinstance(refused.value, AssertionError)
    assert len(g.events("received")) == 1


# ---- what it takes of the machine

@pytest.mark.parametrize("small_disk", ["96m"], indirect=True)
def test_status_tells_of_disk_and_memory(gateway, small_disk, word):
    """What is taken and left, and how long that lasts when mail comes in faster than it goes out."""
    g = gateway(policy=policies.relay("127.0.0.1", 1, tls="none"), store={"path": str(small_disk / "queue"), "segment": "1MiB", "reserve": "4MiB"})
    first = g.status()
    assert "lasts_s" not in first["disk"], "nothing has been seen to fill yet"
    disk = os.statvfs(small_disk)
    assert first["disk"]["whole_bytes"] == 96 << 20 == disk.f_blocks * disk.f_frsize
    assert abs(first["disk"]["free_bytes"] - disk.f_bavail * disk.f_frsize) < 2 << 20
    for i in range(20):
        g.submit(f"{word}n{i}", text=mail.message(f"{word}n{i}", body=("w" * 70 + "\r\n") * 7000))
    g.advance_clock(1800)
    second = g.status()
    lost = first["disk"]["free_bytes"] - second["disk"]["free_bytes"]
    assert lost > 8 << 20 and second["disk"]["bodies_bytes"] - first["disk"]["bodies_bytes"] > 8 << 20
    left = second["disk"]["free_bytes"] - (4 << 20)
    assert second["disk"]["lasts_s"] == pytest.approx(left * 1800 / lost, rel=0.1), "as fast as it has filled for half an hour"
    assert second["disk"]["journal_entries"] <= second["disk"]["journal_most"] and second["disk"]["journal_bytes"] < second["disk"]["database_bytes"]
    assert 0 < second["disk"]["events_bytes"] <= (g.folder / "var/events.jsonl").stat().st_size
    assert 1 << 20 < second["memory"]["resident_bytes"] <= second["memory"]["peak_bytes"] < second["memory"]["most_bytes"]
    assert 0 < second["limits"]["files_open"] < second["limits"]["files"] and second["limits"]["connections"] >= second["connections"]
    said = g.cli("status").stdout
    assert re.search(r"(?m)^disk +/.*/queue, [0-9.]+ MiB of 96.0 MiB free, full in \d.* as it fills now, no new mail below 4.0 MiB$", said), said
    assert "no room for new mail in 4h" in g.cli("doctor", "--offline", check=False).stdout
    assert re.search(r"(?m)^limits .*\(\d+ open\)$", said), said
