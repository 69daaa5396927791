// SPDX-License-Identifier: MIT
#include "net/dns.h"

#include <arpa/nameser.h>
#include <stdio.h>
#include <strings.h>

enum {
    RECORDS_MAX = 500, // in a message: each name can cost a walk through all of it (15 ms for the worst 32 KiB)
    CHAIN_MAX = 12,     // CNAMEs in a row
    NAME_MAX_TEXT = NS_MAXDNAME,
    OPTION_EDE = 15, // RFC 8914
};

// A record of the answer section that could matter: of the type asked for, or a CNAME.
struct found {
    const char *owner;
    uint16_t type;
    uint32_t ttl_s;
    const uint8_t *data;
    size_t len;
};

struct parse {
    struct arena *arena;
    ns_msg msg;
    ns_rr rr; // the one being looked at: too large to have many of
    struct found *found;
    size_t count;
    struct dns_answer *out;
};

static bool fail(struct parse *p, const char *why) {
    p->out->status = DNS_TEMPORARY;
    p->out->count = 0;
    p->out->records = NULL;
    p->out->ttl_s = 0;
    p->out->why = why;
    return false;
}

// RFC 2181 section 8: a TTL with the highest bit set is taken as zero.
static uint32_t sane_ttl(uint32_t ttl_s) {
    return ttl_s & 0x80000000u ? 0 : ttl_s;
}

static bool same_name(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n && a[n - 1] == '.') n--;
    if (m && b[m - 1] == '.') m--;
    return n == m && strncasecmp(a, b, n) == 0;
}

// The name in wire form at `at` must fill exactly `len` bytes of the record. "" is the root. NULL: malformed.
static const char *read_name(struct parse *p, const uint8_t *at, size_t len) {
    char text[NAME_MAX_TEXT];
    int used = ns_name_uncompress(ns_msg_base(p->msg), ns_msg_end(p->msg), at, text, sizeof text);
    if (used < 0 || (size_t)used != len) return NULL;
    if (strcmp(text, ".") == 0) text[0] = '\0';
    for (char *c = text; *c; c++)
        *c = byte_lower(*c);
    return arena_z(p->arena, bytes_of(text));
}

static bool next_record(struct parse *p, ns_sect section, int i) {
    if (ns_parserr(&p->msg, section, i, &p->rr) == 0) return true;
    return fail(p, "malformed record in the answer");
}

// Why the resolver failed, in its own words where it gives them (RFC 8914).
static const char *extended_error(struct parse *p) {
    static const struct {
        uint16_t code;
        const char *text;
    } known[] = {{6, "DNSSEC bogus"},
                 {7, "DNSSEC signature expired"},
                 {8, "DNSSEC signature not yet valid"},
                 {9, "DNSKEY missing"},
                 {10, "RRSIGs missing"},
                 {12, "NSEC missing"},
                 {13, "cached error"},
                 {14, "resolver not ready"},
                 {15, "blocked"},
                 {16, "censored"},
                 {17, "filtered"},
                 {18, "prohibited"},
                 {20, "not authoritative"},
                 {22, "no reachable authority"},
                 {23, "network error"}};
    for (int i = 0; i < ns_msg_count(p->msg, ns_s_ar); i++) {
        if (ns_parserr(&p->msg, ns_s_ar, i, &p->rr) < 0) return "";
        if (ns_rr_type(p->rr) != ns_t_opt) continue;
        struct bytes rest = bytes_range(ns_rr_rdata(p->rr), ns_rr_rdlen(p->rr));
        while (rest.len >= 4) {
            size_t len = get_be16(rest.at + 2);
            if (len > rest.len - 4) break;
            if (get_be16(rest.at) == OPTION_EDE && len >= 2)
                for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
                    if (known[k].code == get_be16(rest.at + 4)) return known[k].text;
            rest = bytes_skip(rest, 4 + len);
        }
    }
    return "";
}

static bool check_rcode(struct parse *p) {
    static const char *const names[] = {[1] = "FORMERR", [2] = "SERVFAIL", [4] = "NOTIMP", [5] = "REFUSED"};
    unsigned rcode = (unsigned)ns_msg_getflag(p->msg, ns_f_rcode);
    if (rcode == ns_r_noerror || rcode == ns_r_nxdomain) return true;
    const char *more = extended_error(p);
    char number[16];
    snprintf(number, sizeof number, "rcode %u", rcode);
    const char *name = rcode < sizeof names / sizeof names[0] && names[rcode] ? names[rcode] : number;
    struct bytes text = arena_format(p->arena, "the server answered %s%s%s%s", name, *more ? " (" : "", more,
                                     *more ? ")" : "");
    return fail(p, text.at);
}

static bool check_question(struct parse *p, const char *name, enum dns_type type) {
    if (!ns_msg_getflag(p->msg, ns_f_qr) || ns_msg_getflag(p->msg, ns_f_opcode) != ns_o_query)
        return fail(p, "what came is not an answer");
    if (ns_msg_count(p->msg, ns_s_qd) != 1) return fail(p, "the answer does not repeat the question");
    if (!next_record(p, ns_s_qd, 0)) return false;
    if (ns_rr_type(p->rr) != (unsigned)type || ns_rr_class(p->rr) != ns_c_in ||
        !same_name(ns_rr_name(p->rr), name))
        return fail(p, "the answer is to another question");
    if (ns_msg_getflag(p->msg, ns_f_tc)) return fail(p, "the answer is cut short");
    return true;
}

static bool gather(struct parse *p, enum dns_type type) {
    int count = ns_msg_count(p->msg, ns_s_an);
    if (count + ns_msg_count(p->msg, ns_s_ns) + ns_msg_count(p->msg, ns_s_ar) > RECORDS_MAX)
        return fail(p, "the answer has too many records");
    p->found = arena_alloc(p->arena, (size_t)(count ? count : 1) * sizeof *p->found);
    for (int i = 0; i < count; i++) {
        if (!next_record(p, ns_s_an, i)) return false;
        uint16_t is = ns_rr_type(p->rr);
        if (ns_rr_class(p->rr) != ns_c_in || (is != type && is != DNS_CNAME)) continue;
        const char *owner = arena_z(p->arena, bytes_of(ns_rr_name(p->rr)));
        p->found[p->count++] =
            (struct found){owner, is, sane_ttl(ns_rr_ttl(p->rr)), ns_rr_rdata(p->rr), ns_rr_rdlen(p->rr)};
    }
    return true;
}

static bool read_text(struct parse *p, const struct found *f, struct dns_record *r) {
    char *joined = arena_alloc(p->arena, f->len + 1);
    size_t len = 0;
    for (size_t at = 0; at < f->len;) {
        size_t n = f->data[at++];
        if (n > f->len - at) return false;
        memcpy(joined + len, f->data + at, n);
        len += n;
        at += n;
    }
    r->text = bytes_range(joined, len);
    return f->len > 0;
}

static bool read_record(struct parse *p, const struct found *f, struct dns_record *r) {
    switch ((enum dns_type)f->type) {
    case DNS_A:
    case DNS_AAAA:
        r->address.family = f->type == DNS_A ? AF_INET : AF_INET6;
        if (f->len != (f->type == DNS_A ? 4u : 16u)) return false;
        memcpy(r->address.ip, f->data, f->len);
        return true;
    case DNS_MX:
        if (f->len < 3) return false;
        r->mx.preference = get_be16(f->data);
        return (r->mx.host = read_name(p, f->data + 2, f->len - 2)) != NULL;
    case DNS_CNAME:
    case DNS_PTR:
        return (r->name = read_name(p, f->data, f->len)) != NULL;
    case DNS_TXT:
        return read_text(p, f, r);
    case DNS_TLSA:
        if (f->len < 4) return false;
        r->tlsa.usage = f->data[0];
        r->tlsa.selector = f->data[1];
        r->tlsa.matching = f->data[2];
        r->tlsa.data = arena_copy(p->arena, bytes_range(f->data + 3, f->len - 3));
        return true;
    }
    return false;
}

// Takes the records of `name` that are of the type asked for.
static bool take(struct parse *p, const char *name, enum dns_type type) {
    struct dns_answer *out = p->out;
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++)
        count += p->found[i].type == type && same_name(p->found[i].owner, name);
    if (!count) return true;
    struct dns_record *records = arena_alloc(p->arena, count * sizeof *records);
    for (size_t i = 0; i < p->count; i++) {
        const struct found *f = &p->found[i];
        if (f->type != type || !same_name(f->owner, name)) continue;
        if (!read_record(p, f, &records[out->count++])) return fail(p, "malformed record in the answer");
        if (f->ttl_s < out->ttl_s) out->ttl_s = f->ttl_s;
    }
    out->records = records;
    out->status = DNS_OK;
    return true;
}

// RFC 1034 section 3.6.2: from alias to alias within this message, until the records asked for turn up.
static bool follow(struct parse *p, const char *name, enum dns_type type) {
    for (int hops = 0; hops <= CHAIN_MAX; hops++) {
        if (!take(p, name, type)) return false;
        if (p->out->count || type == DNS_CNAME) return true;
        const struct found *alias = NULL;
        for (size_t i = 0; i < p->count && !alias; i++)
            if (p->found[i].type == DNS_CNAME && same_name(p->found[i].owner, name)) alias = &p->found[i];
        if (!alias) return true;
        if (alias->ttl_s < p->out->ttl_s) p->out->ttl_s = alias->ttl_s;
        name = read_name(p, alias->data, alias->len);
        if (!name) return fail(p, "malformed CNAME in the answer");
        p->out->canonical = name;
    }
    return fail(p, "the name is an alias of an alias without end");
}

// RFC 2308: how long the absence of a name or type holds. NS without SOA is a referral: the server was asked
// to recurse and did not, which says nothing about the name.
static bool absence(struct parse *p) {
    bool soa = false, ns = false;
    uint32_t ttl_s = 0;
    for (int i = 0; i < ns_msg_count(p->msg, ns_s_ns); i++) {
        if (!next_record(p, ns_s_ns, i)) return false;
        if (ns_rr_type(p->rr) == ns_t_ns) ns = true;
        if (ns_rr_type(p->rr) != ns_t_soa || ns_rr_rdlen(p->rr) < 22) continue;
        soa = true;
        ttl_s = sane_ttl(get_be32(ns_rr_rdata(p->rr) + ns_rr_rdlen(p->rr) - 4));
        if (sane_ttl(ns_rr_ttl(p->rr)) < ttl_s) ttl_s = sane_ttl(ns_rr_ttl(p->rr));
    }
    bool nxdomain = ns_msg_getflag(p->msg, ns_f_rcode) == ns_r_nxdomain;
    if (ns && !soa && !nxdomain && !p->count && !ns_msg_getflag(p->msg, ns_f_aa))
        return fail(p, "the server only refers to others: it does not resolve for us");
    if (ttl_s < p->out->ttl_s) p->out->ttl_s = ttl_s;
    p->out->status = nxdomain ? DNS_NO_NAME : DNS_NO_DATA;
    return true;
}

void dns_parse(struct arena *arena, struct bytes message, const char *name, enum dns_type type,
               struct dns_answer *out) {
    *out = (struct dns_answer){.ttl_s = INT32_MAX, .why = ""};
    struct parse *p = arena_alloc(arena, sizeof *p);
    p->arena = arena;
    p->out = out;
    if (message.len > UINT16_MAX ||
        ns_initparse((const uint8_t *)message.at, (int)message.len, &p->msg) < 0) {
        fail(p, "what came is not a DNS message");
        return;
    }
    if (!check_question(p, name, type) || !check_rcode(p) || !gather(p, type)) return;
    out->authentic = ns_msg_getflag(p->msg, ns_f_ad);
    if (!follow(p, name, type)) return;
    if (!out->count) absence(p);
}
