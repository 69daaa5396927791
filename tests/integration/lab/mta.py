# SPDX-License-Identifier: MIT
"""mta: real mail servers as destinations and relays: Postfix, OpenSMTPD, Exim, each in its sandbox.

Each accepts mail for every domain and stores it in one Maildir. Each listens on several addresses, all on ground.smtp_port(): `at`
maps what an address is like to it. A local part that begins with "nouser" gets 550 5.1.1, with "tempfail" 450 4.2.0 (not OpenSMTPD),
at RCPT. `name` is the certificate's host name; all its certificates are good for that name and *.example.
"""
import re

from . import ground, servers
from .mail import Maildir
from .sandbox import Sandbox, USERS


class Mta:
    name = None

    def __init__(self, authority):
        self.authority, self.port = authority, ground.smtp_port()
        self.good = authority.issue(self.name, "*.mx.example")
        self.box = Sandbox(self.peer)
        self.inbox = Maildir(self.box.mail / "inbox")
        self.at = {}
        self.configure()
        self.process = self.box.start(self.command)
        for host in self.at.values():
            self.process.until_listening(host, self.port)

    def listener(self, kind):
        self.at[kind] = ground.address()
        return self.at[kind]

    def wait(self, word, count=1, seconds=20):
        return self.inbox.wait(word, count, seconds, log=self.log_path())

    def find(self, word):
        return self.inbox.find(word)

    def log_path(self):
        return self.process.log if self.process else None

    def log(self):
        try:
            return self.log_path().read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def stop(self):
        self.box.stop()


class Postfix(Mta):
    """at: plain (no TLS offered), tls (STARTTLS), smtps (TLS from the first byte), must (refuses MAIL without TLS),
    selfsigned, wrongname, expired (STARTTLS with such certificates), calm (plain, and does not sleep on errors), no8bit (offers neither 8BITMIME nor SMTPUTF8), small (SIZE
    20,000), few (3 recipients a transaction), nopipe (no PIPELINING, no ENHANCEDSTATUSCODES, no CHUNKING), six (::1, STARTTLS)."""
    peer, name = "postfix", "postfix.mx.example"
    command = "exec postfix start-fg"
    has_six = True  # there is one ::1 for all of a run

    def configure(self):
        kinds = {"plain": "smtpd_tls_security_level=none", "calm": "smtpd_tls_security_level=none -o smtpd_error_sleep_time=0", "tls": "", "smtps": "smtpd_tls_wrappermode=yes",
                 "must": "smtpd_tls_security_level=encrypt", "no8bit": "smtpd_discard_ehlo_keywords=8bitmime,smtputf8,chunking",
                 "small": "message_size_limit=20000", "few": "smtpd_recipient_limit=3", "nopipe": "smtpd_discard_ehlo_keywords=pipelining,enhancedstatuscodes,chunking"}
        certificates = {"selfsigned": self.authority.self_signed(self.name), "wrongname": self.authority.issue("somebody-else.test"),
                        "expired": self.authority.issue(self.name, "*.mx.example", days=-1)}
        for kind, certificate in certificates.items():
            self.box.write(f"etc/postfix/{kind}.pem", certificate.both.read_bytes(), 0o600)
            kinds[kind] = f"smtpd_tls_chain_files=/etc/postfix/{kind}.pem"
        services = [f"{self.listener(kind)}:{self.port} inet n - n - - smtpd" + (f" -o {option}" if option else "") for kind, option in kinds.items()]
        if self.has_six:
            self.at["six"] = "::1"
            services.append(f"[::1]:{self.port} inet n - n - - smtpd")
        self.box.write("etc/postfix/recipients", "/^nouser/ 550 5.1.1 no such user here\n/^tempfail/ 450 4.2.0 mailbox busy\n")
        servers.postfix(self.box, self.good, f"""
myhostname = {self.name}
inet_protocols = all
mynetworks = 127.0.0.0/8 [::1]/128
local_transport = error:none
virtual_transport = virtual
virtual_mailbox_domains = static:all
virtual_mailbox_base = /mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:{USERS['vmail']}
virtual_gid_maps = static:{USERS['vmail']}
virtual_alias_maps =
smtpd_recipient_restrictions = check_recipient_access regexp:/etc/postfix/recipients, permit
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_tls_security_level = may
smtpd_tls_session_cache_database =
in_flow_delay = 0
smtputf8_autodetect_classes = sendmail, verify
smtp_dns_support_level = disabled
""", services)

    def log_path(self):
        return self.box.root / "var/log/postfix.log"


class PostfixRelay(Postfix):
    """Takes mail from loopback and relays it: `ways` maps a domain to (host, port) pairs, the first the way, the others what Postfix falls back on."""
    has_six = False

    def __init__(self, authority, ways):
        self.ways = ways
        super().__init__(authority)

    def configure(self):
        super().configure()
        folder = self.box.root / "etc/postfix"
        with open(folder / "main.cf", "a") as main:
            main.write("virtual_mailbox_domains =\nsmtpd_relay_restrictions = permit_mynetworks, reject\ntransport_maps = texthash:/etc/postfix/ways\n")
        with open(folder / "master.cf", "a") as master, open(folder / "ways", "w") as ways:
            for i, (domain, (first, *others)) in enumerate(self.ways.items()):
                ways.write(f"{domain} way{i}:[{first[0]}]:{first[1]}\n")
                fallback = ",".join(f"[{host}]:{port}" for host, port in others)
                master.write(f"way{i} unix - - n - - smtp" + (f" -o smtp_fallback_relay={fallback}" if fallback else "") + "\n")

    def fates(self):
        """What became of each recipient's last try: {address: "sent" | "bounced" | "deferred"}."""
        return dict(re.findall(r"to=<(.*?)>, .*status=(\w+)", self.log()))


class OpenSmtpd(Mta):
    """at: plain; broken: offers STARTTLS, but Debian 12's build cannot use a key with OpenSSL 3, so that every handshake fails. A
    real peer of the kind that delivery must live with."""
    peer, name = "opensmtpd", "opensmtpd.mx.example"
    command = "exec smtpd -d -F"

    def configure(self):
        self.box.write("etc/good.crt", self.good.chain.read_bytes())
        self.box.write("etc/good.key", self.good.key.read_bytes(), 0o600)
        servers.opensmtpd(self.box, f"""
pki lab cert "/etc/good.crt"
pki lab key "/etc/good.key"
table everybody {{ "@" = "vmail" }}
listen on {self.listener('plain')} port {self.port} hostname {self.name}
listen on {self.listener('broken')} port {self.port} tls pki lab hostname {self.name}
action "store" maildir "/mail/inbox" virtual <everybody>
match from any for rcpt-to regex "^nouser" reject
match from any for any action "store"
""")


class Exim(Mta):
    """at: plain, tls (STARTTLS), auth (STARTTLS, then PLAIN or LOGIN; MAIL needs both). Login: relay / secret. It offers CHUNKING,
    DSN, SMTPUTF8 and PIPELINING."""
    peer, name = "exim", "exim.mx.example"
    command = "exec /usr/sbin/exim4 -bdf -q1m"
    user, password = "relay", "secret"

    def configure(self):
        self.box.write("etc/good.crt", self.good.chain.read_bytes())
        self.box.write("etc/good.key", self.good.key.read_bytes(), 0o640)
        ground.os.chown(self.box.root / "etc/good.key", 0, USERS["Debian-exim"])
        plain, tls, auth = self.listener("plain"), self.listener("tls"), self.listener("auth")
        servers.exim(self.box, self.name, (plain, tls, auth), self.port, f"""
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
tls_advertise_hosts = ${{if eq{{$received_ip_address}}{{{plain}}}{{:}}{{*}}}}
tls_certificate = /etc/good.crt
tls_privatekey = /etc/good.key
auth_advertise_hosts = ${{if and{{{{eq{{$received_ip_address}}{{{auth}}}}}{{def:tls_in_cipher}}}}{{*}}{{:}}}}
log_selector = +smtp_connection +tls_cipher +received_recipients +smtp_protocol_error
acl_smtp_mail = check_mail
smtp_accept_max = 200
begin acl
check_mail:
  deny condition = ${{if eq{{$received_ip_address}}{{{auth}}}}}
       !authenticated = *
       message = 5.7.0 log in first
  accept
check_rcpt:
  deny local_parts = ^nouser
       message = 5.1.1 no such user here
  defer local_parts = ^tempfail
       message = 4.2.0 mailbox busy
  accept
begin routers
everybody:
  driver = accept
  transport = store
begin transports
store:
  driver = appendfile
  directory = /mail/inbox
  maildir_format
  user = vmail
  group = vmail
  envelope_to_add
  delivery_date_add
  return_path_add
begin retry
* * F,1h,5s
begin rewrite
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{self.user}}}}}{{eq{{$auth3}}{{{self.password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{self.user}}}}}{{eq{{$auth2}}{{{self.password}}}}}}}}}
  server_set_id = $auth1
""")

    def log_path(self):
        return self.box.root / "var/log/exim/mainlog"
