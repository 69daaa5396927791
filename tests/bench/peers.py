# SPDX-License-Identifier: MIT
"""peers: the servers that are compared, each relaying everything to one sink, with its syncs as shipped.

Mail for *.hold.example is accepted and kept. Nobody looks anything up in DNS, nobody asks for a login.
"""
import os
import pathlib
import signal
import subprocess
import sys

import machine

BENCH = pathlib.Path(__file__).resolve().parent
REPOSITORY = BENCH.parents[1]
sys.path.insert(0, str(REPOSITORY / "tests/integration"))
from lab import ground  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.gateway import lua  # noqa: E402
from lab.sandbox import Sandbox, USERS  # noqa: E402


class Peer:
    name, version, note = None, "", ""
    can_hold = can_tls = can_sign = False

    def __init__(self, sink_port):
        self.host, self.port, self.sink_port = "127.0.0.1", ground.free_port(), sink_port
        self.process = None
        self.configure()
        self.start()
        self.account = machine.Account(self.name, self.pid)

    @property
    def pid(self):
        return self.process.popen.pid

    def log_tail(self):
        return self.process.log.read_text(errors="replace")[-2000:]

    def alive(self):
        return self.process is not None and self.process.alive()


class Tidegate(Peer):
    name = "tidegate"
    can_hold = can_tls = can_sign = True
    binary = REPOSITORY / "build/tidegate"
    workers = 2

    POLICY = """
local answer, identity, route = require "answer", require "identity", require "route"
local signer = identity.define {
  name = "signer", helo = "gateway.example",
  dkim = { { domain = "load.example", selector = "s1", key = "%s" } },
}
local sink = route.relay { host = "127.0.0.1", port = %d, tls = "none" }
local policy = {}
function policy.message(session, message)
  if message.recipients[1]:find("hold.example", 1, true) then return answer.hold("held for the bench") end
  return answer.accept {}
end
function policy.route(message, recipient)
  return route.send {
    via = sink, identity = recipient.domain == "sign.example" and signer or nil,
    lane = { connections = 20, per_connection = 1000 }, because = "bench",
  }
end
return policy
"""

    def configure(self):
        self.folder = ground.folder("tidegate")
        for name in ("conf/keys", "scripts", "var"):
            (self.folder / name).mkdir(parents=True)
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-quiet",
                        "-out", self.folder / "conf/keys/s1.pem"], check=True, stderr=subprocess.DEVNULL)
        certificate = Authority().issue("gateway.example", self.host)
        (self.folder / "conf/tidegate.lua").write_text("return " + lua({
            "hostname": "gateway.example", "log": "warning", "workers": self.workers, "stdlib": REPOSITORY / "stdlib",
            "certificate": certificate.chain, "key": certificate.key,
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


class Sandboxed(Peer):
    def start(self):
        self.process = self.box.start(self.command)
        self.process.until_listening(self.host, self.port)

    def stop(self):
        # The first process of the sandbox takes all others along. It would outlive its parent: who changes users loses pdeathsig.
        for pid in machine.children(self.pid):
            os.kill(pid, signal.SIGKILL)
        self.box.stop()


class Postfix(Sandboxed):
    """As Debian configures it, but for what makes it a relay to the sink. Its processes are not chrooted: that costs nothing here."""
    name, command, more = "postfix", "exec postfix start-fg", ""
    can_hold = can_tls = True

    def configure(self):
        self.box = Sandbox("postfix")
        for file in (self.box.tree / "usr/share/postfix", self.box.tree / "etc/postfix"):
            for source in file.iterdir():
                if source.is_file():
                    self.box.write(f"etc/postfix/{source.name}", source.read_bytes(), source.stat().st_mode & 0o777)
        certificate = Authority().issue("postfix.example")
        self.box.write("etc/postfix/good.pem", certificate.both.read_bytes(), 0o600)
        self.box.write("etc/postfix/recipients", "/hold\\.example$/ HOLD\n")
        self.box.write("etc/postfix/main.cf", f"""
compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
myhostname = postfix.example
mydestination =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{self.sink_port}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_recipient_restrictions = check_recipient_access regexp:/etc/postfix/recipients, permit
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_chain_files = /etc/postfix/good.pem
tls_random_source = dev:/dev/urandom
message_size_limit = 52428800
maillog_file = /var/log/postfix.log
{self.more}
""")
        self.box.write("etc/postfix/master.cf", f"""
{self.host}:{self.port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
""")
        for name, uid in (("var/spool/postfix", 0), ("var/lib/postfix", USERS["postfix"])):
            (self.box.root / name).mkdir()
            ground.os.chown(self.box.root / name, uid, uid)
        self.version = package_version("postfix")


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

    def configure(self):
        self.box = Sandbox("opensmtpd")
        self.box.write("etc/smtpd.conf", f"""
smtp max-message-size 60M
mta limit session-mail-max 100000
mta limit conn-delay-route 0
mta limit conn-delay-relay 0
listen on {self.host} port {self.port} hostname opensmtpd.example
action "relay" relay host smtp://127.0.0.1:{self.sink_port}
match from any for any action "relay"
""")
        spool = self.box.root / "var/spool/smtpd"
        spool.mkdir(mode=0o711)
        spool.chmod(0o711)
        (self.box.root / "var/lib/opensmtpd/empty").mkdir(parents=True)
        self.version = package_version("opensmtpd")


class Exim(Sandboxed):
    """With what it needs to take this load at all, and without the re-exec for each delivery."""
    name, command = "exim", "exec /usr/sbin/exim4 -bdf -q1m"
    can_hold = True

    def configure(self):
        self.box = Sandbox("exim")
        self.box.write("etc/exim4/exim4.conf", f"""
primary_hostname = exim.example
keep_environment =
local_interfaces = {self.host}
daemon_smtp_ports = {self.port}
spool_directory = /var/spool/exim
log_file_path = /var/log/exim/%slog
never_users =
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept
message_size_limit = 60M
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
all:
  driver = manualroute
  domains = ! *hold.example
  transport = out
  route_list = * 127.0.0.1::{self.sink_port} byname
  self = send
held:
  driver = redirect
  allow_defer
  data = :defer: held for the bench
begin transports
out:
  driver = smtp
  hosts_try_fastopen =
begin retry
* * F,1h,1h
""", 0o644)
        for name in ("var/spool/exim", "var/log/exim"):
            (self.box.root / name).mkdir()
            ground.os.chown(self.box.root / name, USERS["Debian-exim"], USERS["Debian-exim"])
        self.version = package_version("exim")


class Haraka(Peer):
    """One process on node, its own outbound queue. From npm, below build/peers/haraka."""
    name = "haraka"
    package = "Haraka@3.3.4"

    def configure(self):
        home = ground.PEERS / "haraka"
        if not (home / "node_modules/Haraka/bin/haraka").exists():
            home.mkdir(parents=True, exist_ok=True)
            subprocess.run(["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", home, self.package], check=True)
        self.home, self.folder = home, ground.folder("haraka")
        for name in ("config", "plugins", "queue"):
            (self.folder / name).mkdir()
        write = {
            "config/smtp.ini": f"listen={self.host}:{self.port}\n[headers]\nshow_version=false\n", "config/me": "haraka.example\n",
            "config/plugins": "bench_relay\n", "config/outbound.ini": "enable_tls=false\nlocal_mx_ok=true\nconcurrency_max=200\n",
            "config/log.ini": "[main]\nlevel=NOTICE\n", "config/connection.ini": "[max]\nbytes=60000000\n[message]\ngreeting[]=bench\n[headers]\n[uuid]\n[haproxy]\n",
            "plugins/bench_relay.js": """
exports.register = function () {
    this.register_hook('rcpt', 'rcpt');
    this.register_hook('get_mx', 'get_mx');
};
exports.rcpt = (next, connection) => { connection.relaying = true; next(OK); };
exports.get_mx = (next) => next(OK, { priority: 0, exchange: '127.0.0.1', port: %d });
""" % self.sink_port}
        for name, text in write.items():
            (self.folder / name).write_text(text)
        self.version = subprocess.run(["node", "-p", "require('./node_modules/Haraka/package.json').version"], cwd=home,
                                      capture_output=True, text=True).stdout.strip()

    def start(self):
        self.process = ground.Process(self.name, ["node", self.home / "node_modules/Haraka/bin/haraka", "-c", self.folder],
                                      self.folder / "output.log", cwd=self.folder)
        self.process.until_listening(self.host, self.port)

    def stop(self):
        self.process.stop(20)


def package_version(package):
    words = subprocess.run(["apt-cache", "policy", {"exim": "exim4-daemon-light"}.get(package, package)], capture_output=True,
                           text=True).stdout.split()
    return words[words.index("Candidate:") + 1] if "Candidate:" in words else ""


KINDS = {kind.name: kind for kind in (Tidegate, Postfix, PostfixTuned, OpenSmtpd, Exim, Haraka)}
