# SPDX-License-Identifier: MIT
"""peers: the servers that are compared, each relaying everything to one sink, with its syncs as shipped.

By the recipient's domain: *.hold.example is accepted and kept, sign.example is signed with one RSA-2048 key, *.mx.example goes where its
MX records say (for which there must be a resolver), all else to the sink without a look at DNS. Nobody asks for a login. What a
server needs for a case beside itself (a milter, an instance set up in another way) starts with the first such case.
"""
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import machine

BENCH = pathlib.Path(__file__).resolve().parent
REPOSITORY = BENCH.parents[1]
sys.path.insert(0, str(REPOSITORY / "tests/integration"))
from lab import ground, servers  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.gateway import lua  # noqa: E402
from lab.sandbox import Sandbox, USERS  # noqa: E402


class Missing(Exception):
    """This server cannot be had here; the words say why."""


@functools.cache
def signing_key():
    """The RSA-2048 key that all sign with, for the domain load.example and the selector s1."""
    file = ground.folder("key") / "s1.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", file, "2048"], check=True, stderr=subprocess.DEVNULL)
    return file


class Peer:
    name, version, note = None, "", ""
    can = frozenset()  # of hold, tls, sign, mx: what a case may want of it

    def __init__(self, sink_port, dns=None):
        """dns: the address of a resolver, port 53."""
        self.host, self.port, self.sink_port, self.dns = "127.0.0.1", ground.free_port(), sink_port, dns
        self.process, self.accounts = None, []
        self.configure()
        self.start()
        self.watch(self.process)

    @property
    def pid(self):
        return self.process.popen.pid

    def watch(self, process):
        self.accounts.append(machine.Account(self.name, process.popen.pid))

    def cpu_s(self):
        return sum(account.cpu_s() for account in self.accounts)

    def written(self):
        return sum(account.written() for account in self.accounts)

    def prepare(self, case):
        """Starts what only such a case needs. The port it is reached at, and the first processes of all that work on it."""
        return self.port, [self.pid]

    def able(self, case):
        return all(word in self.can for word in ("hold", "tls", "sign", "mx") if case.get(word))

    def log_tail(self):
        return self.process.log.read_text(errors="replace")[-2000:]

    def alive(self):
        return self.process is not None and self.process.alive()

    def end(self):
        self.stop()
        for account in self.accounts:
            account.close()


class Tidegate(Peer):
    name = "tidegate"
    can = frozenset(("hold", "tls", "sign", "mx"))
    binary = REPOSITORY / "build/tidegate"
    workers = 2

    POLICY = """
local answer, identity, route = require "answer", require "identity", require "route"
local signer = identity.define {
  name = "signer", helo = "gateway.example",
  dkim = { { domain = "load.example", selector = "s1", key = "%s" } },
}
local sink, direct = route.relay { host = "127.0.0.1", port = %d, tls = "none" }, route.direct {}
local policy = {}
function policy.message(session, message)
  if message.recipients[1]:find("hold.example", 1, true) then return answer.hold("held for the bench") end
  return answer.accept {}
end
function policy.route(message, recipient)
  return route.send {
    via = recipient.domain:find("mx.example", 1, true) and direct or sink, identity = recipient.domain == "sign.example" and signer or nil,
    lane = { connections = 20, per_connection = 1000 }, because = "bench",
  }
end
return policy
"""

    def configure(self):
        self.folder = ground.folder("tidegate")
        for name in ("conf/keys", "scripts", "var"):
            (self.folder / name).mkdir(parents=True)
        shutil.copy(signing_key(), self.folder / "conf/keys/s1.pem")
        certificate = Authority().issue("gateway.example", self.host)
        (self.folder / "conf/tidegate.lua").write_text("return " + lua({
            "hostname": "gateway.example", "log": "warning", "workers": self.workers, "stdlib": REPOSITORY / "stdlib",
            "certificate": certificate.chain, "key": certificate.key,
            "dns": {"servers": [f"{self.dns or '127.0.0.1'}:53"]}, "delivery": {"private_mx": True},
            "listeners": [{"kind": "relay", "address": f"{self.host}:{self.port}", "allow": ["127.0.0.0/8"]}],
            "limits": {"connections": 20000, "connections_per_address": 20000}}) + "\n")
        (self.folder / "scripts/policy.lua").write_text(self.POLICY % (self.folder / "conf/keys/s1.pem", self.sink_port))
        self.version = subprocess.run([self.binary, "version"], capture_output=True, text=True).stdout.strip().split("\n")[0]

    def start(self):
        self.process = ground.Process(self.name, [self.binary, "run", "--conf", self.folder / "conf/tidegate.lua"],
                                      self.folder / "stderr.log", cwd=self.folder)
        self.process.until_listening(self.host, self.port)

    def tool(self, *words):
        return subprocess.run([self.binary, "--conf", self.folder / "conf/tidegate.lua", *words], cwd=self.folder,
                              capture_output=True, text=True, check=True).stdout

    def stop(self):
        code = self.process.stop(30)
        if code != 0:
            raise ground.LabError(f"tidegate ended with {code}\n{self.log_tail()}")


def stop_box(box):
    # The first process of the sandbox takes all others along. It would outlive its parent: who changes users loses pdeathsig.
    if box.process:
        for pid in machine.children(box.process.popen.pid):
            os.kill(pid, signal.SIGKILL)
    box.stop()


class Sandboxed(Peer):
    def start(self):
        if self.dns:
            self.box.write("etc/resolv.conf", f"nameserver {self.dns}\n")
        self.process = self.box.start(self.command)
        self.process.until_listening(self.host, self.port)

    def stop(self):
        stop_box(self.box)


class Postfix(Sandboxed):
    """As Debian configures it, but for what makes it a relay to the sink. Signing is opendkim's, a milter at a port of its own."""
    name, command, more = "postfix", "exec postfix start-fg", ""
    can = frozenset(("hold", "tls", "sign", "mx"))

    def configure(self):
        self.box, self.signer = Sandbox("postfix"), None
        self.sign_port, self.milter_port = ground.free_port(), ground.free_port()
        self.box.write("etc/postfix/recipients", "/hold\\.example$/ HOLD\n")
        self.box.write("etc/postfix/transport", "/mx\\.example$/ mx:\n")
        servers.postfix(self.box, Authority().issue("postfix.example"), f"""
myhostname = postfix.example
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{self.sink_port}
transport_maps = regexp:/etc/postfix/transport
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_recipient_restrictions = check_recipient_access regexp:/etc/postfix/recipients, permit
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
message_size_limit = 52428800
{self.more}
""", [f"{self.host}:{self.port} inet n - n - - smtpd",
            f"{self.host}:{self.sign_port} inet n - n - - smtpd -o smtpd_milters=inet:127.0.0.1:{self.milter_port}",
            "mx unix - - n - - smtp -o smtp_dns_support_level=enabled"])
        self.version = package_version("postfix")

    def prepare(self, case):
        if not case.get("sign"):
            return self.port, [self.pid]
        if not self.signer:
            self.signer = Sandbox("opendkim")
            self.signer.write("etc/dkimkeys/s1.pem", signing_key().read_bytes(), 0o600)
            self.signer.write("etc/opendkim.conf", f"Mode s\nCanonicalization relaxed/relaxed\nOversignHeaders From\nDomain load.example\n"
                              f"Selector s1\nKeyFile /etc/dkimkeys/s1.pem\nSocket inet:{self.milter_port}@127.0.0.1\nBackground no\n")
            process = self.signer.start("exec opendkim -f -x /etc/opendkim.conf")
            process.until_listening("127.0.0.1", self.milter_port)
            self.watch(process)
        return self.sign_port, [self.pid, self.signer.process.popen.pid]

    def stop(self):
        super().stop()
        if self.signer:
            stop_box(self.signer)


class PostfixTuned(Postfix):
    """What an administrator who wants speed sets."""
    name = "postfix-tuned"
    more = """
in_flow_delay = 0
default_process_limit = 200
qmgr_message_active_limit = 40000
initial_destination_concurrency = 50
default_destination_concurrency_limit = 100
"""


class OpenSmtpd(Sandboxed):
    """Never syncs: its figures are not for durable mail. Without the three settings it relays 20 messages a second to one host."""
    name, command, note = "opensmtpd", "exec smtpd -d -F", "no fsync"
    can = frozenset(("mx",))

    def configure(self):
        self.box = Sandbox("opensmtpd")
        servers.opensmtpd(self.box, f"""
mta limit session-mail-max 100000
mta limit conn-delay-route 0
mta limit conn-delay-relay 0
listen on {self.host} port {self.port} hostname opensmtpd.example
action "mx" relay
action "relay" relay host smtp://127.0.0.1:{self.sink_port}
match from any for rcpt-to regex "mx\\.example$" action "mx"
match from any for any action "relay"
""")
        self.version = package_version("opensmtpd")


class Exim(Sandboxed):
    """With what it needs to take this load at all, and without the re-exec for each delivery."""
    name, command = "exim", "exec /usr/sbin/exim4 -bdf -q1m"
    can = frozenset(("hold", "sign", "mx"))

    def configure(self):
        self.box = Sandbox("exim")
        key = self.box.write("etc/s1.pem", signing_key().read_bytes(), 0o640)
        ground.os.chown(key, 0, USERS["Debian-exim"])
        sink = f"  driver = manualroute\n  route_list = * 127.0.0.1::{self.sink_port} byname\n  self = send\n"
        servers.exim(self.box, "exim.example", (self.host,), self.port, f"""
tls_advertise_hosts =
smtp_accept_max = 1200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 200
split_spool_directory
deliver_drop_privilege
begin acl
check_rcpt:
  accept domains = *hold.example
         control = queue_only
  accept
begin routers
mx:
  driver = dnslookup
  domains = *mx.example
  transport = out
  self = send
held:
  driver = redirect
  domains = *hold.example
  allow_defer
  data = :defer: held for the bench
signed:
{sink}  domains = *sign.example
  transport = signed
all:
{sink}  transport = out
begin transports
out:
  driver = smtp
  hosts_try_fastopen =
signed:
  driver = smtp
  hosts_try_fastopen =
  dkim_domain = load.example
  dkim_selector = s1
  dkim_private_key = /etc/s1.pem
  dkim_canon = relaxed
begin retry
* * F,1h,1h
""")
        self.version = package_version("exim")


class Haraka(Peer):
    """One process on node with its own outbound queue, from npm. Cases of other settings have an instance each."""
    name, package = "haraka", "Haraka@3.3.4"
    can = frozenset(("hold", "sign", "mx"))
    PLUGIN = """
exports.register = function () {
    this.register_hook('rcpt', 'rcpt');
    this.register_hook('get_mx', 'get_mx');
};
exports.rcpt = (next, connection) => { connection.relaying = true; next(OK); };
exports.get_mx = (next, hmail, domain) => domain.endsWith('mx.example') ? next() : next(OK, { priority: 0, exchange: '127.0.0.1', port: %d });
"""

    def configure(self):
        self.home, self.others = self.fetch(), {}
        self.version = subprocess.run(["node", "-p", "require('./node_modules/Haraka/package.json').version"], cwd=self.home,
                                      capture_output=True, text=True).stdout.strip()

    @classmethod
    def fetch(cls):
        home = ground.PEERS / "haraka"
        if not shutil.which("node"):
            raise Missing("node is not installed")
        if not (home / ".done").exists():
            if not shutil.which("npm"):
                raise Missing("npm is not installed")
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            done = subprocess.run(["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", home, cls.package],
                                  stdin=subprocess.DEVNULL)
            if done.returncode:
                raise Missing(f"npm could not install {cls.package}")
            (home / ".done").touch()
        return home

    def launch(self, port, outbound="", plugins=()):
        folder = ground.folder("haraka")
        for name in ("config/dkim/load.example", "plugins", "queue"):
            (folder / name).mkdir(parents=True)
        shutil.copy(signing_key(), folder / "config/dkim/load.example/private")
        for name, text in {
                "config/smtp.ini": f"listen={self.host}:{port}\n[headers]\nshow_version=false\n", "config/me": "haraka.example\n",
                "config/plugins": "".join(f"{name}\n" for name in (*plugins, "bench_relay")),
                "config/outbound.ini": f"enable_tls=false\nlocal_mx_ok=true\nconcurrency_max=200\n{outbound}",
                "config/log.ini": "[main]\nlevel=NOTICE\n",
                "config/connection.ini": "[max]\nbytes=60000000\n[message]\ngreeting[]=bench\n[headers]\n[uuid]\n[haproxy]\n",
                "config/dkim.ini": "[sign]\nenabled=true\ndomain=load.example\nselector=s1\n[canon]\nbody=relaxed\n[verify]\nenabled=false\n",
                "config/dkim/load.example/selector": "s1\n",
                "plugins/bench_relay.js": self.PLUGIN % self.sink_port}.items():
            (folder / name).write_text(text)
        command = ["node", self.home / "node_modules/Haraka/bin/haraka", "-c", folder]
        if self.dns:  # it asks whom the machine asks, so it gets a view of the machine of its own
            (folder / "resolv.conf").write_text(f"nameserver {self.dns}\n")
            command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', folder / "resolv.conf", *command]
        process = ground.Process(self.name, command, folder / "output.log", cwd=folder)
        process.until_listening(self.host, port)
        return process

    def start(self):
        self.process = self.launch(self.port)

    def prepare(self, case):
        kind = "hold" if case.get("hold") else "sign" if case.get("sign") else None
        if not kind:
            return self.port, [self.pid]
        if kind not in self.others:
            port = ground.free_port()
            process = self.launch(port, "disabled=true\n") if kind == "hold" else self.launch(port, "", ("dkim",))
            self.others[kind] = port, process
            self.watch(process)
        port, process = self.others[kind]
        return port, [process.popen.pid]

    def stop(self):
        for process in (self.process, *(process for _, process in self.others.values())):
            process.stop(20)


def package_version(package):
    words = subprocess.run(["apt-cache", "policy", {"exim": "exim4-daemon-light"}.get(package, package)], capture_output=True,
                           text=True).stdout.split()
    return words[words.index("Candidate:") + 1] if "Candidate:" in words else ""


KINDS = {kind.name: kind for kind in (Tidegate, Postfix, PostfixTuned, OpenSmtpd, Exim, Haraka)}
