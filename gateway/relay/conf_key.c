// SPDX-License-Identifier: MIT
#include "relay/conf_key.h"

#include "base/quantity.h"
#include "relay/conf.h"

#include <stdio.h>

#define AT(member) offsetof(struct conf, member), sizeof((struct conf *)0)->member
#define IN(member) offsetof(struct conf_listener, member), sizeof((struct conf_listener *)0)->member
#define KIB ((int64_t)1 << 10)
#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)
#define TIB ((int64_t)1 << 40)
#define DAYS ((int64_t)86400)

// clang-format off
const struct conf_key conf_keys[] = {
    {"hostname", CONF_HOST, AT(hostname), NULL, "the system's name", 0, 0, NULL, false,
     "The name this gateway gives itself: in the banner, in Received, in reports, and in EHLO where an identity has none of its own. It should resolve, forward and back, to the address mail leaves from."},
    {"listeners", CONF_LISTENERS, 0, 0, NULL, "none; at least one is needed", 0, 0, NULL, true,
     "Where mail comes in: a list of tables, whose keys are explained below. Adding or removing one, and changing its kind or address, takes a restart; everything else about it is reloaded."},
    {"certificate", CONF_PATH, AT(certificate), NULL, "none", 0, 0, NULL, false,
     "PEM file: the certificate chain shown to clients, own certificate first. Read again on every reload."},
    {"key", CONF_PATH, AT(key), NULL, "none", 0, 0, NULL, false,
     "PEM file: the private key of the certificate."},
    {"certificates", CONF_PAIRS, AT(certificates), NULL, "none", 0, 0, NULL, false,
     "Further certificates, each with its key: { { certificate = \"a.pem\", key = \"a.key\" }, ... }, up to 1000. A client that says to which name it connects (SNI) is shown the one that has it, by itself or by a wildcard; `certificate` where none has. Read again on every reload."},
    {"ca", CONF_PATH, AT(ca), NULL, "the system's", 0, 0, NULL, false,
     "PEM file: the roots that servers' certificates are verified against when mail is delivered."},
    {"users", CONF_PATH, AT(users), NULL, "none: nobody can log in, unless `authenticate` in the policy says so", 0, 0, NULL, false,
     "The users file: names, password hashes, facts for the policy. `tidegate passwd` writes it."},
    {"user", CONF_TEXT, AT(user), NULL, "stay who started it", 0, 0, NULL, true,
     "The system user to become once the listeners are bound, when started as root."},
    {"workers", CONF_COUNT, AT(workers), "0", NULL, 0, 256, NULL, true,
     "Worker threads; 0: one for each core."},
    {"scripts", CONF_PATH, AT(scripts), "scripts", NULL, 0, 0, NULL, false,
     "The folder of the policy: `policy.lua` and what it requires."},
    {"stdlib", CONF_PATH, AT(stdlib), "stdlib", NULL, 0, 0, NULL, false,
     "The folder of the library that ships with Tidegate."},
    {"control", CONF_PATH, AT(control), "var/control.sock", NULL, 0, 0, NULL, true,
     "The control socket, through which the verbs of `tidegate` talk to the running gateway."},
    {"capture", CONF_PATH, AT(capture), "var/capture", NULL, 0, 0, NULL, false,
     "The Maildir into which `route.capture` delivers when the policy names none."},
    {"events", CONF_PATH, AT(events), "var/events.jsonl", NULL, 0, 0, NULL, true,
     "The file of events: one JSON line for each fate of a message. Opened anew on SIGUSR1 (and on reload), so that it can be rotated."},
    {"log", CONF_LEVEL, AT(log_level), "info", NULL, 0, 0, "error|warning|notice|info|trace", false,
     "How much is said on stderr. What happens to mail is in the events, not here."},

    {"store.path", CONF_PATH, AT(store), "var/queue", NULL, 0, 0, NULL, true,
     "The folder of the queue. On a local disk: a message is acknowledged only once it is synced there."},
    {"store.ceiling", CONF_SIZE, AT(store_ceiling), "0", NULL, 0, 1024 * TIB, NULL, true,
     "The most the queue may take on disk; above it new mail gets 452 4.3.1 until there is room again. 0: what the disk has."},
    {"store.reserve", CONF_SIZE, AT(store_reserve), "128MiB", NULL, MIB, TIB, NULL, true,
     "Free disk space below which no new mail is taken; what is queued goes on leaving out of it."},
    {"store.segment", CONF_SIZE, AT(segment_size), "64MiB", NULL, MIB, 4 * GIB, NULL, true,
     "Size of a file of message bodies."},

    {"journal.max", CONF_NUMBER, AT(journal_max), "200000", NULL, 100, 1000000000, NULL, true,
     "Entries kept of what was decided and what became of it, for `queue show`, `explain` and `replay`; the oldest fall out. A message takes one, and one for each outcome of each recipient: about 1 KiB each."},
    {"journal.keep", CONF_DURATION, AT(journal_keep_s), "7d", NULL, 60, 3650 * DAYS, NULL, true,
     "How long an entry is kept at most, from when its message was received. Addresses stand in entries as they stand in the queue and in the events: a policy decides by them; this is how soon they are forgotten."},
    {"journal.decisions", CONF_BOOL, AT(journal_decisions), "true", NULL, 0, 0, NULL, false,
     "Whether what was decided is kept so that it can be decided again (`replay`): the facts and answers of sender, recipient, message, route and retry, with what they looked up: DNS, limits, suppression list, web. Passwords, bodies and what is sent to web servers never are. false: outcomes alone are kept."},
    {"journal.headers", CONF_FIELDS, AT(journal_headers), "From Sender Reply-To Bcc Date Message-ID List-ID List-Unsubscribe Precedence Auto-Submitted Content-Type", NULL, 0, 0, NULL, false,
     "Header fields kept with a message for `replay`, as a list of names, or \"none\". A script that reads another one cannot be replayed there."},

    {"ledger.redis", CONF_ADDRESS, AT(ledger_redis), NULL, "none: limits are this gateway's own", 0, 0, NULL, true,
     "A Redis in which several gateways share all limits of a minute and more, as \"10.0.0.5:6379\" or \"unix:/run/redis/redis.sock\": together they never spend more than a limit has. It must keep what it is told (`appendonly yes`, `appendfsync always`, `maxmemory-policy noeviction`). While it is out of reach nothing is granted. conf/operations.md says more."},
    {"ledger.password", CONF_PATH, AT(ledger_password), NULL, "none: it asks for none", 0, 0, NULL, true,
     "File with the password for that Redis, or with `USER PASSWORD`, in its first line."},
    {"ledger.tls", CONF_BOOL, AT(ledger_tls), "false", NULL, 0, 0, NULL, true,
     "Whether it is spoken to in TLS. Its certificate must hold."},
    {"ledger.tls_name", CONF_HOST, AT(ledger_tls_name), NULL, "its address", 0, 0, NULL, true,
     "The name that its certificate must have."},
    {"ledger.ca", CONF_PATH, AT(ledger_ca), NULL, "that of `ca`", 0, 0, NULL, true,
     "PEM file: the roots that its certificate is verified against."},

    {"dns.servers", CONF_SERVERS, AT(dns_servers), NULL, "those of /etc/resolv.conf", 0, 0, NULL, true,
     "Resolvers to ask, in this order: a list of addresses, with a port where it is not 53. Best is one on this machine."},
    {"dns.timeout", CONF_MILLIS, AT(dns_timeout_ms), "1s", NULL, 0, 60, NULL, true,
     "How long to wait for the first answer before asking again or elsewhere."},
    {"dns.trust_ad", CONF_BOOL, AT(dns_trust_ad), "false", NULL, 0, 0, NULL, true,
     "Whether to believe the resolver when it says an answer was validated (DNSSEC), as DANE needs. A resolver on loopback is believed only with this, too."},

    {"delivery.expire", CONF_DURATION, AT(expire_s), "5d", NULL, 60, 365 * DAYS, NULL, false,
     "How long a message is tried before it is given up and reported to its sender."},
    {"delivery.report_delay", CONF_DURATION, AT(report_delay_s), "0s", NULL, 0, 365 * DAYS, NULL, false,
     "After how long a sender is told that a message is still waiting. 0: only those who asked for it (RFC 3461), after 4 hours."},
    {"delivery.family", CONF_CHOICE, AT(family), "both", NULL, 0, 0, "both|4|6", false,
     "Which kind of addresses to deliver to: IPv4, IPv6 or both."},
    {"delivery.connections", CONF_COUNT, AT(limits.connections_out), "500", NULL, 1, 100000, NULL, false,
     "Connections out at once, in all. The policy sets those of each lane."},
    {"delivery.in_memory", CONF_COUNT, AT(limits.queue_in_memory), "1000", NULL, 10, 1000000, NULL, false,
     "Deliveries a worker holds in memory at once; all others wait on disk."},
    {"delivery.bodies_in_memory", CONF_SIZE, AT(limits.bodies_in_memory), "64MiB", NULL, 0, TIB, NULL, false,
     "Memory for the bodies of messages that were just accepted, in all, until their first attempt is over, which then need not read them from disk. Beside limits.memory_in_flight; beyond it, and with 0, the disk is read."},
    {"delivery.connect_timeout", CONF_DURATION, AT(connect_timeout_s), "30s", NULL, 1, 600, NULL, false,
     "How long to wait for a connection to one address before the next is tried."},
    {"delivery.timeout", CONF_DURATION, AT(smtp_timeout_s), "0s", NULL, 0, 3600, NULL, false,
     "The longest wait for any reply of a peer. 0: as RFC 5321 4.5.3.2 has it, between 2 and 10 minutes by command."},
    {"delivery.idle", CONF_DURATION, AT(lane_idle_s), "5s", NULL, 0, 300, NULL, false,
     "How long a connection is kept open for the lane's next message. 0: closed at once."},
    {"delivery.port", CONF_COUNT, AT(smtp_port), "25", NULL, 1, 65535, NULL, false,
     "The port of MX hosts: something else than 25 is for a lab."},
    {"delivery.private_mx", CONF_BOOL, AT(private_mx), "false", NULL, 0, 0, NULL, false,
     "Whether to deliver directly to an MX on loopback or a private address. Anyone's DNS could point there: for a lab."},

    {"doctor.probe", CONF_TEXT, AT(doctor_probe), NULL, "none: not tried", 0, 0, NULL, false,
     "A mail server of your own elsewhere, as name or name:port, to which `tidegate doctor` connects to see that port 25 is open on the way out."},
    {"doctor.blocklists", CONF_WEB_HOSTS, AT(doctor_blocklists), NULL, "none", 0, 0, NULL, false,
     "Zones of blocklists, such as \"zen.spamhaus.org\", in which `tidegate doctor` looks for the addresses that mail leaves from. Mind each list's terms of use."},

    {"limits.message_size", CONF_SIZE, AT(limits.message_size), "50MiB", NULL, KIB, 2 * GIB, NULL, false,
     "Largest message, said to clients by SIZE. Beyond it: 552 5.3.4."},
    {"limits.header_size", CONF_SIZE, AT(limits.header_size), "256KiB", NULL, KIB, 16 * MIB, NULL, false,
     "Largest header block of a message. Beyond it: 552 5.3.4."},
    {"limits.line_length", CONF_SIZE, AT(limits.line_length), "1000", NULL, 512, 64 * KIB, NULL, false,
     "Longest command line; AUTH and the parameters of MAIL and RCPT get what their RFCs add. Beyond it: 500 5.5.2."},
    {"limits.text_line_length", CONF_SIZE, AT(limits.text_line_length), "64KiB", NULL, 1000, 64 * MIB, NULL, false,
     "Longest line of a message with its CRLF. RFC 5321 has 1000, but much HTML is longer, and most peers take it. Beyond it: 554 5.6.0."},
    {"limits.recipients", CONF_COUNT, AT(limits.recipients), "1000", NULL, 100, 100000, NULL, false,
     "Recipients of one transaction; RFC 5321 wants at least 100. Beyond it: 452 4.5.3."},
    {"limits.commands", CONF_COUNT, AT(limits.commands), "10000", NULL, 100, 1000000000, NULL, false,
     "Commands of one session. Beyond it: 421 4.7.0."},
    {"limits.errors", CONF_COUNT, AT(limits.errors), "20", NULL, 1, 1000000, NULL, false,
     "Wrong or refused commands of one session. Beyond it: 421 4.7.0."},
    {"limits.login_delay", CONF_DURATION, AT(limits.login_delay_s), "2s", NULL, 0, 10, NULL, false,
     "How long a refused login waits for its answer, so that guessing passwords is slow. 0s: not at all. fail2ban does the rest: conf/operations.md."},
    {"limits.messages", CONF_COUNT, AT(limits.messages), "0", NULL, 0, 1000000000, NULL, false,
     "Messages of one session. Beyond it: 421 4.7.0. 0: any number."},
    {"limits.received", CONF_COUNT, AT(limits.received), "30", NULL, 5, 1000, NULL, false,
     "Received fields in a message; more are a loop: 554 5.4.6."},
    {"limits.idle", CONF_DURATION, AT(limits.idle_s), "5m", NULL, 1, 3600, NULL, false,
     "How long a client may take for its next command, all of it, or be silent within a message. Beyond it: 421 4.4.2."},
    {"limits.session", CONF_DURATION, AT(limits.session_s), "1h", NULL, 10, 7 * DAYS, NULL, false,
     "How long a session may last in all. Beyond it: 421 4.4.2."},
    {"limits.connections", CONF_COUNT, AT(limits.connections), "10000", NULL, 1, 1000000, NULL, false,
     "Clients connected at once. Beyond it: 421 4.7.0."},
    {"limits.connections_per_address", CONF_COUNT, AT(limits.connections_per_address), "100", NULL, 1, 1000000, NULL, false,
     "Clients connected at once from one address (IPv6: one /64). Beyond it: 421 4.7.0."},
    {"limits.memory_in_flight", CONF_SIZE, AT(limits.memory_in_flight), "256MiB", NULL, MIB, TIB, NULL, false,
     "Memory for messages that are just being received, in all. Beyond it: 452 4.3.1."},

    {"hooks.steps", CONF_COUNT, AT(limits.hook_steps), "5000000", NULL, 1000, 2000000000, NULL, false,
     "Lua instructions one hook may take. Beyond it the hook has failed: mail is deferred, never let pass or bounced."},
    {"hooks.time", CONF_DURATION, AT(limits.hook_time_s), "30s", NULL, 1, 600, NULL, false,
     "How long one hook may take, with all its waiting for DNS."},
    {"hooks.memory", CONF_SIZE, AT(limits.script_memory), "64MiB", NULL, 4 * MIB, 64 * GIB, NULL, false,
     "Memory of the scripts, in each worker."},

    {"http.hosts", CONF_WEB_HOSTS, AT(http_hosts), NULL, "nobody", 0, 0, NULL, false,
     "Whom scripts may ask with `http.request`: a list of host names. \"*.example.org\" stands for all below that domain, \"mta-sts.*\" for that name in any domain; a port other than 443 is said: \"api.example.org:8443\". Only https, whatever stands here."},
    {"http.ca", CONF_PATH, AT(http_ca), NULL, "that of `ca`", 0, 0, NULL, true,
     "PEM file: the roots that web servers' certificates are verified against, those that give access tokens (XOAUTH2) included."},
    {"http.private", CONF_BOOL, AT(http_private), "false", NULL, 0, 0, NULL, true,
     "Whether web requests may go to loopback and private addresses. Anyone's DNS could point there: for a lab, or for servers of one's own."},
    {0},
};

const struct conf_key conf_listener_keys[] = {
    {"kind", CONF_LISTENER_KIND, IN(kind), NULL, "must be said", 0, 0, "submission|submissions|relay|lmtp", true,
     "submission (587): people and programs that log in, TLS by STARTTLS. submissions (465): the same with TLS from the start. relay (25): machines known by their address. lmtp: RFC 2033."},
    {"address", CONF_ADDRESS, IN(address), NULL, "must be said", 0, 0, NULL, true,
     "Where to listen: \"127.0.0.1:2587\", \"[::]:25\", \"unix:/run/tidegate/lmtp\"."},
    {"name", CONF_TEXT, IN(name), NULL, "the kind and a number: submission-1", 0, 0, NULL, true,
     "What the policy, the events and `status` call it."},
    {"certificate", CONF_PATH, IN(certificate), NULL, "the common `certificate`", 0, 0, NULL, false,
     "PEM file: a certificate chain of its own."},
    {"key", CONF_PATH, IN(key), NULL, "the common `key`", 0, 0, NULL, false,
     "PEM file: the private key of its own certificate."},
    {"certificates", CONF_PAIRS, IN(certificates), NULL, "the common `certificates`", 0, 0, NULL, false,
     "Further certificates of its own, in the place of the common ones."},
    {"client_ca", CONF_PATH, IN(client_ca), NULL, "none: clients are not asked", 0, 0, NULL, false,
     "PEM file: clients are asked for a certificate signed by one of these; the policy sees what came of it."},
    {"greeting", CONF_TEXT, IN(greeting), "", NULL, 0, 0, NULL, false,
     "Text behind the name in the banner."},
    {"allow", CONF_NETWORKS, IN(allow), NULL, "nobody", 0, 0, NULL, false,
     "Clients trusted without AUTH: a list of networks. They may send to anyone unless the policy says otherwise."},
    {"proxy_from", CONF_NETWORKS, IN(proxy_from), NULL, "nobody", 0, 0, NULL, false,
     "Proxies: connections from these networks begin with a PROXY protocol header (v1 or v2), which says who the client is; all others must not."},
    {"auth_required", CONF_BOOL, IN(auth_required), NULL, "true for submission and submissions", 0, 0, NULL, false,
     "Whether MAIL needs AUTH before it, from clients that `allow` names as well."},
    {"tls_required", CONF_BOOL, IN(tls_required), NULL, "true for submission", 0, 0, NULL, false,
     "Whether MAIL needs TLS before it. AUTH always does."},
    {"size_max", CONF_SIZE, IN(size_max), "0", NULL, 0, 2 * GIB, NULL, false,
     "Largest message on this listener. 0: `limits.message_size`."},
    {0},
};
// clang-format on

const char *conf_kind_words(const struct conf_key *key) {
    switch (key->kind) {
    case CONF_TEXT:
        return "a text";
    case CONF_PATH:
        return "a path, as text";
    case CONF_HOST:
        return "the name of a host, as text";
    case CONF_BOOL:
        return "true or false";
    case CONF_COUNT:
    case CONF_NUMBER:
        return "a whole number";
    case CONF_SIZE:
        return "a size: a number of bytes, or a text such as \"50MiB\"";
    case CONF_DURATION:
    case CONF_MILLIS:
        return "a duration: a number of seconds, or a text such as \"90s\", \"30m\", \"2h\", \"5d\"";
    case CONF_CHOICE:
    case CONF_LEVEL:
    case CONF_LISTENER_KIND:
        return key->choices;
    case CONF_SERVERS:
        return "a list of addresses, as texts";
    case CONF_FIELDS:
        return "a list of names of header fields, as texts: { \"From\", \"List-ID\" }, or \"none\"";
    case CONF_WEB_HOSTS:
        return "a list of hosts, as texts: { \"api.example.com\", \"*.example.org\", \"10.0.0.1:8443\" }";
    case CONF_ADDRESS:
        return "an address with a port, as text";
    case CONF_NETWORKS:
        return "a list of networks, as texts: { \"10.0.0.0/8\", \"::1\" }";
    case CONF_PAIRS:
        return "a list of up to 1000 tables: { { certificate = \"a.pem\", key = \"a.key\" } }";
    case CONF_LISTENERS:
        return "a list of tables: { { kind = \"submission\", address = \"127.0.0.1:2587\" } }";
    }
    return "";
}

// ---- the reference page -------------------------------------------------------------------------

static void put_cell(struct buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '|') buf_byte(out, '\\');
        buf_byte(out, *text);
    }
}

static void bound_text(const struct conf_key *key, int64_t bound, char out[QUANTITY_TEXT]) {
    if (key->kind == CONF_SIZE)
        quantity_size_text((uint64_t)bound, out);
    else if (key->kind == CONF_DURATION || key->kind == CONF_MILLIS)
        quantity_duration_text(bound, out);
    else
        snprintf(out, QUANTITY_TEXT, "%lld", (long long)bound);
}

void conf_key_kind(const struct conf_key *key, struct buf *out) {
    static const char *const names[] = {
        [CONF_TEXT] = "text",           [CONF_PATH] = "path",         [CONF_HOST] = "host",
        [CONF_BOOL] = "true or false",  [CONF_COUNT] = "number",      [CONF_NUMBER] = "number",
        [CONF_SIZE] = "size",           [CONF_DURATION] = "duration", [CONF_MILLIS] = "duration",
        [CONF_SERVERS] = "addresses",   [CONF_ADDRESS] = "address",   [CONF_NETWORKS] = "networks",
        [CONF_LISTENERS] = "listeners", [CONF_WEB_HOSTS] = "hosts",
        [CONF_FIELDS] = "names",        [CONF_PAIRS] = "certificates",
    };
    buf_addz(out, key->choices ? key->choices : names[key->kind]);
    if (!key->min && !key->max) return;
    char least[QUANTITY_TEXT], most[QUANTITY_TEXT];
    bound_text(key, key->min, least);
    bound_text(key, key->max, most);
    buf_format(out, ", %s to %s", least, most);
}

void conf_key_default(const struct conf_key *key, struct buf *out) {
    buf_addz(out, !key->unset ? key->unset_words : key->unset[0] ? key->unset : "empty");
}

static void put_row(struct buf *out, const struct conf_key *key) {
    struct buf kind = {0}, unset = {0};
    conf_key_kind(key, &kind);
    conf_key_default(key, &unset);
    buf_format(out, "| `%s` | ", key->name);
    put_cell(out, buf_z(&kind));
    buf_addz(out, key->unset && key->unset[0] ? " | `" : " | ");
    put_cell(out, buf_z(&unset));
    buf_format(out, "%s | %s | ", key->unset && key->unset[0] ? "`" : "", key->fixed ? "restart" : "reload");
    put_cell(out, key->help);
    buf_addz(out, " |\n");
    buf_release(&kind);
    buf_release(&unset);
}

static const char table_head[] = "| key | kind | default | takes | meaning |\n|---|---|---|---|---|\n";

// "store" of "store.path"; "" of "users".
static struct bytes section_of(const struct conf_key *key) {
    struct bytes name = bytes_of(key->name);
    ptrdiff_t dot = bytes_find(name, '.');
    return bytes_first(name, dot < 0 ? 0 : (size_t)dot);
}

void conf_reference(struct buf *out) {
    buf_addz(out, "# conf: every key of `tidegate.lua`\n\n"
                  "The file returns one Lua table of values. It runs in an empty environment: nothing can be "
                  "called, so it stays what it looks like. "
                  "A key that is not on this page, a value of the wrong kind or out of bounds is a fault; "
                  "`tidegate check` lists all of them.\n\n"
                  "Sizes are numbers of bytes or texts (`\"50MiB\"`, `\"1GB\"`), durations numbers of "
                  "seconds or texts (`\"90s\"`, `\"1h30m\"`, `\"5d\"`). "
                  "Relative paths start at the folder that holds `conf/`, or the file's own folder where "
                  "that is not called `conf`. "
                  "*Takes* says whether `tidegate reload` applies a change or it takes a restart.\n\n"
                  "This page is made from the table in `gateway/relay/conf_key.c`: `tidegate check --keys > "
                  "conf/README.md`.\n\n"
                  "## The gateway\n\n");
    buf_addz(out, table_head);
    struct bytes section = BYTES("");
    for (const struct conf_key *key = conf_keys; key->name; key++) {
        struct bytes own = section_of(key);
        if (!bytes_equal(own, section))
            buf_format(out, "\n## %.*s = { ... }\n\n%s", BYTES_FMT(own), table_head);
        section = own;
        put_row(out, key);
    }
    buf_format(out, "\n## Each of listeners = { { ... }, ... }\n\n%s", table_head);
    for (const struct conf_key *key = conf_listener_keys; key->name; key++)
        put_row(out, key);
}
