// SPDX-License-Identifier: MIT
#include "relay/exchange.h"

#include "base/bug.h"
#include "mail/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

// In rounds: the next few hosts are asked for when none of those before has an address.
enum { HOSTS_MAX = 5, ROUNDS_MAX = 4, ADDRESSES_MAX = 10, SMTP_PORT = 25, FAILURE_S = 5 };

struct lookup { // the addresses of one family of one host
    struct host *host;
    struct dns_ticket *ticket;
    struct addr *found;
    size_t count;
};

struct host {
    struct exchange_ticket *of;
    const char *name, *canonical;
    int preference;
    uint32_t lot; // decides among equals
    bool authentic, is_us;
    struct lookup six, four;
};

struct exchange_ticket {
    struct dns *dns;
    struct exchange_options options;
    enum exchange_how how;
    struct arena arena;
    const char *what; // lower case, no final dot
    bool bracketed;
    struct dns_ticket *mx;
    struct timer *soon; // where nothing has to be asked
    struct host *hosts; // nearest first
    size_t count, behind; // of this round, and after it
    size_t pending;  // lookups without an answer
    bool temporary;  // one of them failed for now
    bool not_public; // an address was left out for that
    char why[256];   // of the last that failed
    struct exchange_answer answer;
    void (*call)(void *arg, const struct exchange_answer *answer);
    void *arg;
};

void exchange_cancel(struct exchange_ticket **ticket) {
    struct exchange_ticket *t = *ticket;
    *ticket = NULL;
    if (!t) return;
    dns_cancel(&t->mx);
    for (size_t i = 0; i < t->count; i++) {
        dns_cancel(&t->hosts[i].six.ticket);
        dns_cancel(&t->hosts[i].four.ticket);
    }
    timer_free(&t->soon);
    arena_release(&t->arena);
    free(t);
}

// ---- the end

// Only where a question was answered or a timer has fired, never from inside exchange_find.
static void deliver(struct exchange_ticket *t) {
    t->call(t->arg, &t->answer);
    exchange_cancel(&t);
}

static void on_soon(void *arg) {
    deliver(arg);
}

static void fail(struct exchange_ticket *t, int code, const char *enhanced, struct bytes text) {
    // A relay that is not there is a mistake in the policy, and no recipient shall bounce for that.
    bool ours = t->how == EXCHANGE_HOST && !t->bracketed && code >= 500;
    t->answer.failure = reply_make(ours ? 451 : code, ours ? "4.4.4" : enhanced, "%.*s", BYTES_FMT(text));
}

static void fail_and_deliver(struct exchange_ticket *t, int code, const char *enhanced, struct bytes text) {
    fail(t, code, enhanced, text);
    deliver(t);
}

static void fail_for_now(struct exchange_ticket *t) {
    fail(t, 451, "4.4.3", arena_format(&t->arena, "DNS for %s: %s", t->what, t->why));
    if (t->answer.ttl_s > FAILURE_S) t->answer.ttl_s = FAILURE_S;
}

static void live_at_most(struct exchange_ticket *t, uint32_t ttl_s) {
    if (ttl_s < t->answer.ttl_s) t->answer.ttl_s = ttl_s;
}

// RFC 8305 section 4: the families take turns, IPv6 first.
static struct exchange_host interleave(struct exchange_ticket *t, const struct host *h, size_t room) {
    struct addr *list = arena_alloc(&t->arena, room * sizeof *list);
    size_t count = 0, six = 0, four = 0;
    while (count < room && (six < h->six.count || four < h->four.count)) {
        if (six < h->six.count) list[count++] = h->six.found[six++];
        if (count < room && four < h->four.count) list[count++] = h->four.found[four++];
    }
    return (struct exchange_host){h->name, h->preference, h->canonical, h->authentic, list, count};
}

static void fill_answer(struct exchange_ticket *t) {
    struct exchange_host *hosts = arena_alloc(&t->arena, t->count * sizeof *hosts);
    size_t left = t->options.addresses_max;
    for (size_t i = 0; i < t->count && left; i++) {
        // Two for each host that follows: one with ten addresses must not be all there is.
        size_t reserved = 2 * (t->count - i - 1);
        size_t room = left > reserved + 2 ? left - reserved : left < 2 ? left : 2;
        struct exchange_host host = interleave(t, &t->hosts[i], room);
        left -= host.count;
        if (host.count) hosts[t->answer.count++] = host;
    }
    t->answer.hosts = hosts;
}

// RFC 5321 section 5.1: we and all that are not nearer than we are would only send it back.
static size_t nearer_than_us(const struct exchange_ticket *t) {
    size_t i = 0;
    while (i < t->count && !t->hosts[i].is_us)
        i++;
    if (i == t->count) return i;
    int own = t->hosts[i].preference;
    while (i > 0 && t->hosts[i - 1].preference == own)
        i--;
    return i;
}

static void fail_as_loop(struct exchange_ticket *t) {
    fail(t, 554, "5.4.6", arena_format(&t->arena, "mail for %s loops back to this host", t->what));
}

static void host_ask(struct host *h);

static void next_round(struct exchange_ticket *t) {
    t->hosts += t->count;
    t->count = t->behind < t->options.hosts_max ? t->behind : t->options.hosts_max;
    t->behind -= t->count;
    for (size_t i = 0; i < t->count; i++) host_ask(&t->hosts[i]);
}

static bool conclude_round(struct exchange_ticket *t) {
    size_t nearer = t->how == EXCHANGE_MX ? nearer_than_us(t) : t->count;
    if (!nearer && t->count) {
        fail_as_loop(t);
        return true;
    }
    if (nearer < t->count) t->behind = 0;
    t->count = nearer;
    fill_answer(t);
    return t->answer.count > 0;
}

// False: it goes on with the hosts behind these.
static bool conclude(struct exchange_ticket *t) {
    if (conclude_round(t)) return true;
    if (t->behind) {
        next_round(t);
        return false;
    }
    const char *family = t->options.family == AF_INET    ? "IPv4 "
                         : t->options.family == AF_INET6 ? "IPv6 "
                                                         : "";
    if (t->temporary)
        fail_for_now(t);
    else
        fail(t, 550, "5.4.4",
             arena_format(&t->arena, "no %s%saddress for %s", t->not_public ? "public " : "", family,
                          t->what));
    return true;
}

// ---- addresses

static bool is_ours(const struct exchange_ticket *t, const struct addr *a) {
    for (size_t i = 0; i < t->options.own_address_count; i++) {
        const struct addr *own = &t->options.own_addresses[i];
        if (addr_same_ip(own, a) && (!addr_port(own) || addr_port(own) == addr_port(a))) return true;
    }
    return false;
}

static bool is_our_name(const struct exchange_ticket *t, const char *name) {
    for (size_t i = 0; i < t->options.own_name_count; i++)
        if (strcasecmp(t->options.own_names[i], name) == 0) return true;
    return false;
}

// All addresses are looked at, to know ourselves, before only so many are kept.
static void lookup_add(struct lookup *l, const struct addr *a) {
    struct exchange_ticket *t = l->host->of;
    if (is_ours(t, a)) l->host->is_us = true;
    if (!l->found) l->found = arena_alloc(&t->arena, t->options.addresses_max * sizeof *l->found);
    if (t->options.public_only && !addr_is_public(a))
        t->not_public = true;
    else if (l->count < t->options.addresses_max)
        l->found[l->count++] = *a;
}

static void on_addresses(void *arg, const struct dns_answer *a) {
    struct lookup *l = arg;
    struct exchange_ticket *t = l->host->of;
    l->ticket = NULL;
    live_at_most(t, a->ttl_s);
    if (a->status == DNS_OK && !a->authentic) l->host->authentic = false;
    if (a->status == DNS_OK && a->canonical) l->host->canonical = arena_z(&t->arena, bytes_of(a->canonical));
    for (size_t i = 0; i < a->count; i++) {
        struct addr address;
        if (addr_from_ip(a->records[i].address.family, a->records[i].address.ip, t->options.port, &address))
            lookup_add(l, &address);
    }
    if (a->status == DNS_TEMPORARY) {
        t->temporary = true;
        snprintf(t->why, sizeof t->why, "%s", a->why);
    }
    if (--t->pending) return;
    if (conclude(t)) deliver(t);
}

static void host_ask(struct host *h) {
    struct exchange_ticket *t = h->of;
    h->six.host = h->four.host = h;
    if (t->options.family != AF_INET) {
        t->pending++;
        h->six.ticket = dns_ask(t->dns, h->name, DNS_AAAA, on_addresses, &h->six);
    }
    if (t->options.family != AF_INET6) {
        t->pending++;
        h->four.ticket = dns_ask(t->dns, h->name, DNS_A, on_addresses, &h->four);
    }
}

// The one host that there is: without an MX record, or because it was asked for by name.
static struct host *only_host(struct exchange_ticket *t, bool authentic) {
    t->hosts = arena_alloc(&t->arena, sizeof *t->hosts);
    t->count = 1;
    t->hosts[0] = (struct host){.of = t, .name = t->what, .authentic = authentic};
    t->hosts[0].six.host = t->hosts[0].four.host = t->hosts;
    return t->hosts;
}

// ---- MX

static int by_distance(const void *a, const void *b) {
    const struct host *x = a, *y = b;
    if (x->preference != y->preference) return x->preference < y->preference ? -1 : 1;
    return x->lot < y->lot ? -1 : x->lot > y->lot;
}

// An IP address in the place of a name is a mistake that some zones make (RFC 5321 section 5.1 wants a name).
static bool is_host_name(const char *name) {
    uint8_t ip[16];
    return domain_is_valid(bytes_of(name)) && inet_pton(AF_INET, name, ip) != 1;
}

static bool has_host(const struct exchange_ticket *t, const char *name) {
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->hosts[i].name, name) == 0) return true;
    return false;
}

static uint32_t lot(uint64_t seed, const char *name) {
    return (uint32_t)((bytes_hash(bytes_of(name)) ^ seed) * 0x9e3779b97f4a7c15u >> 32);
}

// All usable targets in the order of RFC 5321 section 5.1.
static struct host *sorted_targets(struct exchange_ticket *t, const struct dns_answer *a, size_t *count) {
    struct host *all = arena_alloc(&t->arena, a->count * sizeof *all);
    uint64_t seed;
    bug_if(getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed);
    *count = 0;
    for (size_t i = 0; i < a->count; i++) {
        const char *name = a->records[i].mx.host;
        if (!is_host_name(name)) continue;
        all[(*count)++] = (struct host){.of = t,
                                        .name = arena_z(&t->arena, bytes_of(name)),
                                        .preference = a->records[i].mx.preference,
                                        .lot = lot(seed, name),
                                        .authentic = a->authentic,
                                        .is_us = is_our_name(t, name)};
    }
    qsort(all, *count, sizeof *all, by_distance);
    return all;
}

bool exchange_allows(struct bytes allowed, const char *host) {
    struct bytes name = bytes_of(host), parent = name;
    bytes_cut(&parent, '.');
    while (allowed.len) {
        struct bytes one = bytes_cut(&allowed, ' ');
        bool below = bytes_starts(one, BYTES("*."));
        if (bytes_equal_nocase(below ? bytes_skip(one, 2) : one, below ? parent : name)) return true;
    }
    return false;
}

// For people: one that does not fit, and what would.
static void fail_as_strange(struct exchange_ticket *t, const char *host) {
    struct bytes first = t->options.allowed;
    first = bytes_cut(&first, ' ');
    fail_and_deliver(t, 451, "4.7.5", arena_format(&t->arena, "no MX of %s is one that the plan allows: %s is not (mx = %.*s%s)", t->what, host,
                                                   BYTES_FMT(first), first.len < t->options.allowed.len ? ", ..." : ""));
}

static bool is_allowed(const struct exchange_ticket *t, const char *host) {
    return !t->options.allowed.len || exchange_allows(t->options.allowed, host);
}

static bool is_null_mx(const struct dns_answer *a) {
    for (size_t i = 0; i < a->count; i++)
        if (a->records[i].mx.host[0]) return false;
    return true;
}

static void ask_exchanges(struct exchange_ticket *t, const struct dns_answer *a) {
    if (is_null_mx(a)) {
        fail_and_deliver(t, 556, "5.1.10", arena_format(&t->arena, "%s takes no mail (null MX)", t->what));
        return;
    }
    size_t all = 0;
    t->hosts = sorted_targets(t, a, &all);
    if (!all) {
        fail_and_deliver(t, 550, "5.4.4", arena_format(&t->arena, "the MX of %s name no host", t->what));
        return;
    }
    t->count = all;
    size_t nearer = nearer_than_us(t);
    if (!nearer) {
        fail_as_loop(t);
        deliver(t);
        return;
    }
    t->count = 0;
    const char *nearest = t->hosts[0].name;
    for (size_t i = 0; i < nearer && t->count < t->options.hosts_max * ROUNDS_MAX; i++)
        if (is_allowed(t, t->hosts[i].name) && !has_host(t, t->hosts[i].name)) t->hosts[t->count++] = t->hosts[i];
    if (!t->count) {
        fail_as_strange(t, nearest);
        return;
    }
    t->behind = t->count;
    t->count = 0;
    next_round(t);
}

static void on_mx(void *arg, const struct dns_answer *a) {
    struct exchange_ticket *t = arg;
    t->mx = NULL;
    live_at_most(t, a->ttl_s);
    t->answer.authentic = a->authentic;
    switch (a->status) {
    case DNS_OK:
        ask_exchanges(t, a);
        break;
    case DNS_NO_DATA: // RFC 5321 section 5.1: the implicit MX
        t->answer.implicit = true;
        if (is_our_name(t, t->what)) {
            fail_as_loop(t);
            deliver(t);
            return;
        }
        if (!is_allowed(t, t->what)) {
            fail_as_strange(t, t->what);
            return;
        }
        host_ask(only_host(t, a->authentic));
        break;
    case DNS_NO_NAME:
        fail_and_deliver(t, 550, "5.1.2", arena_format(&t->arena, "the domain %s does not exist", t->what));
        break;
    case DNS_BAD_NAME:
        fail_and_deliver(t, 550, "5.1.2", arena_format(&t->arena, "%s is no domain: %s", t->what, a->why));
        break;
    case DNS_TEMPORARY:
        snprintf(t->why, sizeof t->why, "%s", a->why);
        fail_for_now(t);
        deliver(t);
        break;
    }
}

// ---- one host

static bool fits_family(const struct exchange_ticket *t, const struct addr *a) {
    return !t->options.family || addr_family(a) == AF_UNIX || addr_family(a) == t->options.family;
}

static void add_literal(struct exchange_ticket *t, struct addr *a) {
    struct host *h = &t->hosts[0];
    if (addr_family(a) != AF_UNIX && !addr_port(a)) addr_set_port(a, t->options.port);
    if (!fits_family(t, a)) return;
    struct lookup *l = addr_family(a) == AF_INET6 ? &h->six : &h->four;
    lookup_add(l, a);
    if (addr_family(a) == AF_UNIX && !l->count) l->found[l->count++] = *a; // neither public nor not
}

// Addresses that need no question; false where it is a name to be asked for.
static bool take_literal(struct exchange_ticket *t, struct bytes text) {
    struct addr a;
    int family;
    uint8_t ip[16];
    t->bracketed = domain_literal_ip(text, &family, ip);
    if (t->bracketed ? addr_from_ip(family, ip, 0, &a) : addr_parse(text, &a, NULL)) {
        char name[ADDR_TEXT];
        addr_ip_text(&a, name);
        t->hosts[0].name = arena_z(&t->arena, bytes_of(name));
        add_literal(t, &a);
    } else if (bytes_equal_nocase(text, BYTES("localhost"))) { // RFC 6761 section 6.3
        struct in_addr four = {htonl(INADDR_LOOPBACK)};
        if (addr_from_ip(AF_INET6, &in6addr_loopback, 0, &a)) add_literal(t, &a);
        if (addr_from_ip(AF_INET, &four, 0, &a)) add_literal(t, &a);
    } else {
        return false;
    }
    return true;
}

static void find_host(struct exchange_ticket *t, struct bytes text) {
    struct host *h = only_host(t, true);
    if (take_literal(t, text)) {
        conclude(t);
        t->soon = timer_new(dns_loop(t->dns), on_soon, t);
        timer_set(t->soon, 0);
    } else {
        host_ask(h);
    }
}

static const char *folded(struct arena *arena, struct bytes text) {
    if (text.len && text.at[text.len - 1] == '.') text.len--;
    char *z = arena_z(arena, text);
    for (char *c = z; *c; c++)
        *c = byte_lower(*c);
    return z;
}

struct exchange_ticket *exchange_find(struct dns *dns, const char *domain_or_host, enum exchange_how how,
                                      const struct exchange_options *options,
                                      void (*answer)(void *arg, const struct exchange_answer *answer),
                                      void *arg) {
    struct exchange_ticket *t = must_alloc(sizeof *t);
    *t = (struct exchange_ticket){.dns = dns, .options = *options, .how = how, .call = answer, .arg = arg};
    if (!t->options.port) t->options.port = SMTP_PORT;
    if (!t->options.hosts_max) t->options.hosts_max = HOSTS_MAX;
    if (!t->options.addresses_max) t->options.addresses_max = ADDRESSES_MAX;
    t->answer.ttl_s = UINT32_MAX;
    t->what = folded(&t->arena, bytes_of(domain_or_host));
    if (how == EXCHANGE_MX)
        t->mx = dns_ask(dns, t->what, DNS_MX, on_mx, t);
    else
        find_host(t, bytes_of(domain_or_host));
    return t;
}
