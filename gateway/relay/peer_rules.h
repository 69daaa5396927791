// SPDX-License-Identifier: MIT
// peer_rules: what the world's servers do in a simulation, as the peers file says it. [scripts/README.md has the format]
//
// One immutable value. A rule is a group of domains (recipients', for mail that goes straight to them) and hosts (relays by
// name) that behave alike; what no rule names takes everything.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "smtp/reply.h"

enum peer_per { PER_IDENTITY, PER_SOURCE, PER_LOGIN, PER_SENDER_DOMAIN, PER_ALL };

struct peer_quota {         // a sliding window
    enum peer_per per;
    int64_t most, window_ms;
    bool recipients;        // counts them, not messages
    struct reply reply;
};

struct peer_spell {         // a time in which something is so
    int64_t from_ms, to_ms;
    double share;           // of messages: a storm
    struct reply reply;
};

struct peer_rule {
    const char *name;
    struct bytes *domains, *hosts; // "*.example.net": all below it
    size_t domain_count, host_count;
    struct bytes mx;        // what dns.mx says of its domains; ""
    int64_t connect_ms, latency_ms;
    double bounce, defer;   // shares: of addresses that do not exist, of attempts that are put off
    struct reply bounce_reply, defer_reply;
    int64_t grey_ms;        // 0: no greylisting; else so long after the first try it passes
    double grey_share;      // of first tries
    struct reply grey_reply;
    struct peer_quota *quotas;
    size_t quota_count;
    struct peer_spell *storms, *downs;
    size_t storm_count, down_count;
    int64_t connections;    // at once; 0: any
    enum peer_per connections_per;
    struct reply connections_reply;
};

struct peer_rules {
    struct arena arena;
    struct peer_rule *rules;   // in order of name
    size_t count;
    struct peer_rule usual;    // of all others
    struct map *places;        // domain or host -> rule
};

// `text` is the file's content, a Lua table of plain values; times in it that are durations count from start_ms.
struct peer_rules *peer_rules_read(struct bytes text, const char *file, int64_t start_ms, struct err *err);
struct peer_rules *peer_rules_usual(void); // everybody takes everything
void peer_rules_free(struct peer_rules **rules);
const struct peer_rule *peer_rules_of(const struct peer_rules *rules, struct bytes place); // a domain or host in lower case
