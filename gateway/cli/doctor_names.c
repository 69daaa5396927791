// SPDX-License-Identifier: MIT
// What receivers see before a word of mail: the name of the address, the name in EHLO, and what blocklists
// say.

#include "cli/doctor.h"
#include "mail/address.h"
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { PROBE_MS = 10000 };

static int family_of(const char *source) {
    return strchr(source, ':') ? AF_INET6 : AF_INET;
}

// Does the name resolve to the address? Temporary trouble is DNS_TEMPORARY, another address DNS_NO_DATA.
static enum dns_status leads_to(struct doctor *d, const char *name, const char *source) {
    uint8_t ip[16];
    int family = family_of(source);
    inet_pton(family, source, ip);
    const struct dns_answer *a = lookup_ask(d->lookup, name, family == AF_INET ? DNS_A : DNS_AAAA);
    if (a->status != DNS_OK) return a->status == DNS_TEMPORARY ? DNS_TEMPORARY : DNS_NO_NAME;
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(a->records[i].address.ip, ip, family == AF_INET ? 4 : 16) == 0) return DNS_OK;
    return DNS_NO_DATA;
}

// ---- the address' own name ----------------------------------------------------------------------

// As providers name whole networks of customers: filters give no credit to such a name.
static bool looks_generic(const char *name, const char *source) {
    static const char *const words[] = {"dynamic", "dyn.", "dyn-",      "dhcp",     "pool",
                                        "dialup",  "dsl",  "broadband", "customer", "client"};
    int a, b, c, e;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(name, words[i])) return true;
    if (sscanf(source, "%d.%d.%d.%d", &a, &b, &c, &e) != 4) return false;
    char forward[32], backward[32];
    for (const char *mark = "-."; *mark; mark++) {
        snprintf(forward, sizeof forward, "%d%c%d%c%d", b, *mark, c, *mark, e);
        snprintf(backward, sizeof backward, "%d%c%d%c%d", e, *mark, c, *mark, b);
        if (strstr(name, forward) || strstr(name, backward)) return true;
    }
    return false;
}

static void ptr_fault(struct doctor *d, const struct doctor_identity *who, const char *source,
                      const char *reverse, const char *what) {
    findings_add(&d->findings,
                 &(struct finding){FINDING_FAIL, "ptr", source, what,
                                   "many receivers refuse mail from an address without a confirmed name "
                                   "(Gmail, Microsoft and Yahoo among them)",
                                   "whoever gave you the address (hosting or access provider) sets its PTR; "
                                   "its name must lead back to the address",
                                   doctor_words(d, "%s. PTR %s.\n%s. %s %s", reverse, who->helo, who->helo,
                                                family_of(source) == AF_INET ? "A" : "AAAA", source)});
}

static void check_ptr(struct doctor *d, const struct doctor_identity *who, const char *source) {
    char reverse[ADDR_REVERSE];
    if (!addr_reverse(source, reverse)) return;
    const struct dns_answer *a = lookup_ask(d->lookup, reverse, DNS_PTR);
    if (a->status == DNS_TEMPORARY) {
        findings_add(&d->findings,
                     &(struct finding){FINDING_WARN, "ptr", source,
                                       doctor_words(d, "%s: DNS gives no answer (%s)", reverse, a->why),
                                       "receivers that get none either defer the mail",
                                       "try again; if it stays so, the zone's servers do not answer", NULL});
        return;
    }
    if (a->status != DNS_OK)
        return ptr_fault(d, who, source, reverse, doctor_words(d, "%s has no name: no PTR record", source));
    const char *confirmed = NULL;
    for (size_t i = 0; i < a->count && i < 10; i++)
        if (!confirmed && leads_to(d, a->records[i].name, source) == DNS_OK) confirmed = a->records[i].name;
    if (!confirmed)
        return ptr_fault(d, who, source, reverse,
                         doctor_words(d, "%s is called %s, but that name does not lead back to it", source,
                                      a->records[0].name));
    if (looks_generic(confirmed, source))
        findings_add(
            &d->findings,
            &(struct finding){
                FINDING_WARN, "ptr", source,
                doctor_words(d, "%s is called %s, which looks like any customer's line", source, confirmed),
                "filters treat such names as home computers: more spam folders, some refusals",
                "ask the provider for a name of your own",
                doctor_words(d, "%s. PTR %s.", reverse, who->helo)});
    else
        doctor_well(d, "ptr", source, doctor_words(d, "%s is %s, and back", source, confirmed));
}

// ---- EHLO ---------------------------------------------------------------------------------------

static void check_helo(struct doctor *d, const struct doctor_identity *who, const char *source) {
    const char *kind = family_of(source) == AF_INET ? "A" : "AAAA";
    struct finding f = {FINDING_FAIL,
                        "helo",
                        who->helo,
                        NULL,
                        "receivers that check EHLO refuse or mark the mail (RFC 5321 4.1.4)",
                        "give the name an address record, or say another one (helo of the identity, hostname "
                        "in the configuration)",
                        doctor_words(d, "%s. %s %s", who->helo, kind, source)};
    if (!strchr(who->helo, '.')) {
        f.what = doctor_words(d, "'%s' is no name with a domain", who->helo);
        f.fix = "say a whole name: helo of the identity, or hostname in the configuration";
        f.record = NULL;
        findings_add(&d->findings, &f);
        return;
    }
    switch (leads_to(d, who->helo, source)) {
    case DNS_OK:
        doctor_well(d, "helo", who->helo, doctor_words(d, "%s leads to %s", who->helo, source));
        return;
    case DNS_TEMPORARY:
        f.level = FINDING_WARN;
        f.what = doctor_words(d, "%s: DNS gives no answer", who->helo);
        f.fix = "try again; if it stays so, the zone's servers do not answer";
        f.record = NULL;
        break;
    case DNS_NO_DATA:
        f.level = FINDING_WARN;
        f.what = doctor_words(d, "%s leads elsewhere than to %s", who->helo, source);
        f.follows = "some filters count it against you";
        break;
    default:
        f.what = doctor_words(d, "%s has no %s record", who->helo, kind);
    }
    findings_add(&d->findings, &f);
}

// ---- blocklists (RFC 5782) ----------------------------------------------------------------------

// "10.2.0.192.zen.example": the address turned round, as for PTR, in front of the zone.
static void list_name(const char *source, const char *zone, char *out, size_t size) {
    char reverse[ADDR_REVERSE];
    addr_reverse(source, reverse);
    char *end = strstr(reverse, family_of(source) == AF_INET ? "in-addr.arpa" : "ip6.arpa");
    if (end) *end = 0;
    snprintf(out, size, "%s%s", reverse, zone);
}

static const struct dns_answer *ask_list(struct doctor *d, const char *source, const char *zone) {
    char name[400];
    list_name(source, zone, name, sizeof name);
    return lookup_ask(d->lookup, name, DNS_A);
}

// A list that refuses to answer says so with an address, as if all the world were listed.
static bool is_refusal(const uint8_t *ip) {
    return ip[0] == 127 && ip[1] == 255 && ip[2] == 255;
}

static void list_fault(struct doctor *d, enum finding_level level, const char *zone, const char *what,
                       const char *follows, const char *fix) {
    findings_add(&d->findings, &(struct finding){level, "blocklist", zone, what, follows, fix, NULL});
}

// Every list has 127.0.0.2 on it and never 127.0.0.1: else it is dead, or answers for everything.
static bool list_works(struct doctor *d, const char *zone) {
    const struct dns_answer *always = ask_list(d, "127.0.0.2", zone), *never = ask_list(d, "127.0.0.1", zone);
    if (always->status == DNS_OK && is_refusal(always->records[0].address.ip)) {
        list_fault(d, FINDING_WARN, zone, doctor_words(d, "%s refuses to answer your resolver", zone),
                   "nothing is known from it",
                   "ask it through a resolver of your own, not a public one, and heed its terms of use");
        return false;
    }
    if (always->status == DNS_OK && never->status != DNS_OK) return true;
    list_fault(d, FINDING_WARN, zone, doctor_words(d, "%s does not answer as a blocklist does", zone),
               "nothing is known from it", "take it out of doctor.blocklists if it has ended");
    return false;
}

static void check_list(struct doctor *d, const char *source, const char *zone) {
    char name[400];
    if (!list_works(d, zone)) return;
    const struct dns_answer *a = ask_list(d, source, zone);
    if (a->status == DNS_NO_NAME || a->status == DNS_NO_DATA)
        return doctor_well(d, "blocklist", zone, doctor_words(d, "%s is not on %s", source, zone));
    if (a->status != DNS_OK || a->records[0].address.ip[0] != 127 || is_refusal(a->records[0].address.ip))
        return list_fault(d, FINDING_WARN, zone,
                          doctor_words(d, "%s gives no usable answer about %s", zone, source),
                          "nothing is known from it", "try again later");
    const uint8_t *ip = a->records[0].address.ip;
    list_name(source, zone, name, sizeof name);
    const struct dns_answer *why = lookup_ask(d->lookup, name, DNS_TXT);
    struct bytes words = why->count ? bytes_first(why->records[0].text, 200) : BYTES("");
    list_fault(d, FINDING_FAIL, zone,
               doctor_words(d, "%s is listed by %s (127.%d.%d.%d)%s%.*s", source, zone, ip[1], ip[2], ip[3],
                            words.len ? ": " : "", BYTES_FMT(words)),
               "receivers that use this list refuse the mail",
               "find and end the cause, then ask the list for removal");
}

static void check_lists(struct doctor *d, const char *source) {
    for (struct bytes rest = bytes_of(d->conf->doctor_blocklists ? d->conf->doctor_blocklists : "");
         rest.len;)
        check_list(d, source, arena_z(&d->arena, bytes_cut(&rest, ',')));
    for (int i = 0; call_nth(d->call, "blocklist", i); i++)
        check_list(d, source, call_nth(d->call, "blocklist", i));
}

void doctor_names(struct doctor *d, const struct doctor_identity *who) {
    if (!d->lookup || call_has(d->call, "relayed")) return;
    if (!who->source_count)
        findings_add(&d->findings, &(struct finding){FINDING_WARN, "source", who->name,
                                                     "there is no address that mail would leave from",
                                                     "nothing leaves, and nothing about it can be checked",
                                                     "say source in the identity, or --source here", NULL});
    for (size_t i = 0; i < who->source_count; i++) {
        struct addr a;
        struct err err;
        if (!addr_parse(bytes_of(who->sources[i]), &a, &err)) continue;
        if (!addr_is_public(&a)) {
            findings_add(&d->findings,
                         &(struct finding){FINDING_WARN, "source", who->sources[i],
                                           doctor_words(d, "%s is a private address: the world sees another",
                                                        who->sources[i]),
                                           "what receivers see cannot be checked",
                                           "say the address that the world sees: --source ADDRESS", NULL});
            continue;
        }
        check_ptr(d, who, who->sources[i]);
        check_helo(d, who, who->sources[i]);
        check_lists(d, who->sources[i]);
    }
}

// ---- port 25 on the way out ---------------------------------------------------------------------

// Waits for a connection and the greeting. NULL: "220" came.
static const char *greeted(int fd, const struct addr *to) {
    struct pollfd p = {fd, POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    char line[64];
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) != 0 && errno != EINPROGRESS)
        return strerror(errno);
    if (poll(&p, 1, PROBE_MS) != 1) return "no connection within 10 seconds";
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error)
        return strerror(error ? error : errno);
    p.events = POLLIN;
    if (poll(&p, 1, PROBE_MS) != 1) return "connected, but no greeting within 10 seconds";
    ssize_t n = read(fd, line, sizeof line);
    return n >= 3 && memcmp(line, "220", 3) == 0 ? NULL
                                                 : "what answers there does not greet as a mail server";
}

static const char *try_probe(const struct addr *to, const char *source) {
    struct addr from;
    struct err err;
    int fd = socket(addr_family(to), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return strerror(errno);
    const char *why = NULL;
    if (addr_parse(bytes_of(source), &from, &err) && bind(fd, (struct sockaddr *)&from.sa, from.len) != 0 &&
        errno != EADDRNOTAVAIL)
        why = strerror(errno);
    if (!why) why = greeted(fd, to);
    close(fd);
    return why;
}

// A name or an address, with or without port. False: it does not resolve.
static bool find_probe(struct doctor *d, const char *probe, int family, struct addr *to) {
    struct err err;
    if (addr_parse(bytes_of(probe), to, &err)) {
        if (!addr_port(to)) addr_set_port(to, 25);
        return addr_family(to) == family;
    }
    struct bytes rest = bytes_of(probe);
    const char *host = arena_z(&d->arena, bytes_cut(&rest, ':'));
    uint64_t port = 25;
    if (rest.len && (!bytes_to_u64(rest, &port) || port > 65535)) return false;
    const struct dns_answer *a = lookup_ask(d->lookup, host, family == AF_INET ? DNS_A : DNS_AAAA);
    return a->status == DNS_OK && addr_from_ip(family, a->records[0].address.ip, (uint16_t)port, to);
}

void doctor_port(struct doctor *d, const struct doctor_identity *who) {
    const char *probe = call_text(d->call, "probe");
    if (!probe) probe = d->conf->doctor_probe;
    if (!probe || !d->lookup) return;
    for (size_t i = 0; i < who->source_count; i++) {
        struct addr to;
        if (!find_probe(d, probe, family_of(who->sources[i]), &to)) continue;
        const char *why = try_probe(&to, who->sources[i]);
        if (!why) {
            doctor_well(d, "port", probe, doctor_words(d, "%s answers %s", probe, who->sources[i]));
            continue;
        }
        findings_add(
            &d->findings,
            &(struct finding){
                FINDING_FAIL, "port", probe,
                doctor_words(d, "%s cannot be reached from %s: %s", probe, who->sources[i], why),
                "no mail leaves from here; many providers close port 25 until they are asked",
                "ask the provider to open outbound port 25, or deliver through a relay on 587 (route.relay)",
                NULL});
    }
}
