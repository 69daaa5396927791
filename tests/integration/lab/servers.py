# SPDX-License-Identifier: MIT
"""servers: what Postfix, OpenSMTPD and Exim need to run in a sandbox at all. Who uses them (mta.py, tests/bench) adds what they are for.

Postfix runs as Debian configures it, but not chrooted: the sandbox is one already.
"""
from . import ground
from .sandbox import USERS

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mydestination =
alias_maps =
alias_database =
smtpd_tls_chain_files = /etc/postfix/good.pem
tls_random_source = dev:/dev/urandom
maillog_file = /var/log/postfix.log
"""
POSTFIX_SERVICES = """
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
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def postfix(box, certificate, main, services):
    """main: lines of main.cf beside those above; services: lines of master.cf, the listeners first of all."""
    for file in (box.tree / "usr/share/postfix", box.tree / "etc/postfix"):
        for source in file.iterdir():
            if source.is_file():
                box.write(f"etc/postfix/{source.name}", source.read_bytes(), source.stat().st_mode & 0o777)
    box.write("etc/postfix/good.pem", certificate.both.read_bytes(), 0o600)
    box.write("etc/postfix/main.cf", POSTFIX_MAIN + main)
    box.write("etc/postfix/master.cf", "\n".join(services) + POSTFIX_SERVICES)
    for name, uid in (("var/spool/postfix", 0), ("var/lib/postfix", USERS["postfix"])):
        (box.root / name).mkdir()
        ground.os.chown(box.root / name, uid, uid)


def opensmtpd(box, conf):
    box.write("etc/smtpd.conf", "smtp max-message-size 60M\n" + conf)
    spool = box.root / "var/spool/smtpd"
    spool.mkdir(mode=0o711)
    spool.chmod(0o711)
    (box.root / "var/lib/opensmtpd/empty").mkdir(parents=True)


def exim(box, hostname, hosts, port, conf):
    """hosts: the addresses it listens on. conf: main options, then the sections."""
    box.write("etc/exim4/exim4.conf", f"""
primary_hostname = {hostname}
keep_environment =
local_interfaces = {' : '.join(hosts)}
daemon_smtp_ports = {port}
spool_directory = /var/spool/exim
log_file_path = /var/log/exim/%slog
never_users =
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept
message_size_limit = 60M
""" + conf, 0o644)
    for name in ("var/spool/exim", "var/log/exim"):
        (box.root / name).mkdir()
        ground.os.chown(box.root / name, USERS["Debian-exim"], USERS["Debian-exim"])
