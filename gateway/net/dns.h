// SPDX-License-Identifier: MIT
// dns: questions to the configured resolvers, with a cache that honours TTLs. [c-ares, libresolv's ns_* parser]
//
// The servers must be near, best on loopback: 16 bits of id and one port are all that tells their answers from forged
// ones. A server that is silent or refuses is passed over while another works.
//
// One per worker, on its loop. Questions for the same name and type that are in flight are merged. Answers come
// as an event, also from the cache; never before dns_ask has returned. Negative answers are cached by the SOA
// minimum (RFC 2308), failures for a few seconds so that a broken zone cannot be asked thousands of times.
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/loop.h"

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };

enum dns_status {
    DNS_OK,        // at least one record
    DNS_NO_DATA,   // the name is there, this type is not
    DNS_NO_NAME,   // NXDOMAIN
    DNS_BAD_NAME,  // not a name DNS can carry (ASCII, no escapes); nothing was asked
    DNS_TEMPORARY, // timeout, SERVFAIL, REFUSED, garbage: try later
};

struct dns_record { // names in lower case, without a final dot
    union {
        struct { uint16_t preference; const char *host; } mx; // host "" is the null MX's root (RFC 7505)
        struct { int family; uint8_t ip[16]; } address;
        const char *name;                                     // CNAME, PTR
        struct bytes text;                                    // TXT, its strings joined
        struct { uint8_t usage, selector, matching; struct bytes data; } tlsa;
    };
};

struct dns_answer {         // lent for the duration of the callback
    enum dns_status status;
    bool authentic;         // the resolver set AD (and is trusted to)
    uint32_t ttl_s;         // lowest of the records, CNAMEs included, at most a day; left to live when from the cache
    size_t count;
    const struct dns_record *records;
    const char *canonical;  // what CNAMEs have led to; NULL: the name is no alias
    const char *why;        // for DNS_TEMPORARY and DNS_BAD_NAME, a person's words; "" otherwise
};

struct dns_options {
    const char *servers; // "127.0.0.1:53,[::1]:5353"; NULL or "": /etc/resolv.conf
    int timeout_ms;      // of the first try, 1000 by default (0); doubles with each further one to the same server
    int tries;           // of each server, 0: 3
    size_t cache_max;    // answers kept; 0: 10,000
    bool trust_ad;       // the way to the servers is safe (loopback) and they validate
    bool offline;        // asks nobody: what dns_teach did not tell is not there (tests of a policy, simulations)
    const struct clock *clock;
    const struct log *log;
};

struct dns;
struct dns_ticket; // owned by who asked; dead after the answer

struct dns *dns_new(struct loop *loop, const struct dns_options *options, struct err *err);
struct loop *dns_loop(const struct dns *dns);
struct dns_ticket *dns_ask(struct dns *dns, const char *name, enum dns_type type,
                           void (*answer)(void *arg, const struct dns_answer *answer), void *arg);
void dns_cancel(struct dns_ticket **ticket); // no answer will come; NULL inside is fine
void dns_flush(struct dns *dns);             // forgets the cache
// This is the answer from now on, however much time goes by, until dns_flush or the next lesson. Not OK: what `answer` says
// of the name. Goes the way of any answer: the name is checked when it is asked for, and the asker hears of it by event.
must_use bool dns_teach(struct dns *dns, const char *name, enum dns_type type, const struct dns_answer *answer,
                        struct err *err);
// Outstanding questions are dropped without an answer, their tickets are dead. Not from inside an answer.
void dns_free(struct dns **dns);

// The parser on its own, for the fuzzer and for tests: a whole DNS message into an answer whose memory is the arena's.
// Checks: it is a response to (name, type), CNAME chain followed within the message, bounded.
void dns_parse(struct arena *arena, struct bytes message, const char *name, enum dns_type type, struct dns_answer *out);
