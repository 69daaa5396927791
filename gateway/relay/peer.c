// SPDX-License-Identifier: MIT
#include "relay/peer.h"

#include "base/bug.h"
#include "base/map.h"
#include "relay/job.h"
#include "relay/span.h"

#include <stdio.h>
#include <stdlib.h>

struct tally { // of one who counts: a quota of one identity, connections of one source
    struct span span;
    int64_t open;
};

struct peers {
    struct peers_options options;
    struct map tallies; // "rule number who"
    struct map grey;    // hash of sender, recipient and source -> when it was first tried
};

// dialing -> ready <-> busy -> answered -> ready;  any -> closing
enum state { PEER_DIALING, PEER_READY, PEER_BUSY, PEER_ANSWERED, PEER_CLOSING };

struct peer {
    struct peers *all;
    const struct peer_rule *rule;
    const struct plan *plan;
    enum state state;
    struct timer *timer;
    void (*moved)(void *arg);
    void *arg;
    const struct attempt *attempt;
    struct client_result *results;
    size_t room;
    struct tally *counted;      // where this connection is counted as open
    bool failed, ends;          // ends: closes once the answer has been heard
    struct client_result failure;
};

static int64_t now_ms(const struct peers *all) { return clock_ms(all->options.clock); }

// ---- chance and who it is about

static uint64_t mix(uint64_t h, struct bytes part) { return (h ^ bytes_hash(part)) * 0x9e3779b97f4a7c15u; }

static bool falls(uint64_t h, double share) {
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    h ^= h >> 32;
    return (double)(h >> 11) / 9007199254740992.0 < share;
}

static struct bytes domain_of(struct bytes address) {
    ptrdiff_t at = bytes_find_last(address, '@');
    return at < 0 ? BYTES("") : bytes_skip(address, (size_t)at + 1);
}

static struct bytes who(const struct plan *p, enum peer_per per, const struct attempt *a, char text[ADDR_TEXT]) {
    switch (per) {
    case PER_IDENTITY: return p->identity.name;
    case PER_SOURCE:
        if (!p->identity.source4.len && !p->identity.source6.len) return BYTES("");
        addr_ip_text(p->identity.source4.len ? &p->identity.source4 : &p->identity.source6, text);
        return bytes_of(text);
    case PER_LOGIN: return p->via.user;
    case PER_SENDER_DOMAIN: return a ? domain_of(a->job->message.sender) : BYTES("");
    case PER_ALL: break;
    }
    return BYTES("");
}

static struct tally *tally_of(struct peer *p, const char *what, size_t number, enum peer_per per, const struct attempt *a) {
    char key[600], text[ADDR_TEXT];
    struct bytes name = who(p->plan, per, a, text);
    snprintf(key, sizeof key, "%s %zu %s %.*s", what, number, p->rule->name, BYTES_FMT(name));
    struct tally *t = map_get(&p->all->tallies, bytes_of(key));
    if (t) return t;
    t = must_alloc(sizeof *t);
    map_put(&p->all->tallies, bytes_of(key), t);
    return t;
}

// ---- answers

static const struct peer_spell *spell_at(const struct peer_spell *spells, size_t count, int64_t now) {
    for (size_t i = 0; i < count; i++)
        if (now >= spells[i].from_ms && now < spells[i].to_ms) return &spells[i];
    return NULL;
}

static void say(struct client_result *r, const struct reply *reply, enum client_stage stage) {
    *r = (struct client_result){.reply = *reply, .stage = stage};
}

static void say_all(struct peer *p, const struct reply *reply, enum client_stage stage, bool local) {
    for (size_t i = 0; i < p->attempt->count; i++) {
        say(&p->results[i], reply, stage);
        p->results[i].local = local;
    }
    p->ends = reply->code == 421 || local;
}

static const struct recipient *recipient_of(const struct attempt *a, size_t i) { return &a->job->recipients[a->which[i]].record; }

static bool is_greylisted(struct peer *p, const struct recipient *r, int64_t now) {
    char text[ADDR_TEXT], key[8];
    if (!p->rule->grey_ms) return false;
    uint64_t h = mix(mix(mix(p->all->options.seed, p->attempt->job->message.sender), r->address), who(p->plan, PER_SOURCE, NULL, text));
    if (!falls(h, p->rule->grey_share)) return false;
    put_be64(key, h);
    int64_t first = (int64_t)(intptr_t)map_get(&p->all->grey, bytes_range(key, sizeof key));
    if (first) return now - first < p->rule->grey_ms;
    map_put(&p->all->grey, bytes_range(key, sizeof key), (void *)(intptr_t)now);
    return true;
}

// The first quota with no room for one more, or NULL.
static const struct peer_quota *full_quota(struct peer *p, bool recipients, uint64_t more, int64_t now) {
    for (size_t i = 0; i < p->rule->quota_count; i++) {
        const struct peer_quota *q = &p->rule->quotas[i];
        if (q->recipients != recipients) continue;
        struct tally *t = tally_of(p, "quota", i, q->per, p->attempt);
        if (span_sum(&t->span, now, q->window_ms) + more > (uint64_t)q->most) return q;
    }
    return NULL;
}

static void count_in(struct peer *p, size_t recipients, int64_t now) {
    for (size_t i = 0; i < p->rule->quota_count; i++) {
        const struct peer_quota *q = &p->rule->quotas[i];
        struct tally *t = tally_of(p, "quota", i, q->per, p->attempt);
        span_sum(&t->span, now, q->window_ms);
        span_add(&t->span, now, q->recipients ? recipients : 1, 0);
    }
    if (p->all->options.accepted) p->all->options.accepted(p->all->options.arg, p->plan, recipients);
}

static const struct reply *refusal_of(struct peer *p, const struct recipient *r, size_t accepted, int64_t now) {
    uint64_t seed = p->all->options.seed, address = mix(seed, r->address);
    char moment[8];
    put_be64(moment, (uint64_t)now ^ p->attempt->job->message.id);
    if (is_greylisted(p, r, now)) return &p->rule->grey_reply;
    if (falls(address ^ 0x626f756e63650000u, p->rule->bounce)) return &p->rule->bounce_reply;
    if (falls(mix(address, bytes_range(moment, sizeof moment)), p->rule->defer)) return &p->rule->defer_reply;
    const struct peer_quota *full = p->rule->quota_count ? full_quota(p, true, accepted + 1, now) : NULL;
    return full ? &full->reply : NULL;
}

static void answer(struct peer *p) {
    static const struct reply taken = {.code = 250, .status = {2, 0, 0}, .text = "Ok: queued"};
    const struct attempt *a = p->attempt;
    int64_t now = now_ms(p->all);
    char id[8];
    size_t accepted = 0;
    if (spell_at(p->rule->downs, p->rule->down_count, now)) {
        struct reply lost = reply_make(451, "4.4.2", "connection lost");
        return say_all(p, &lost, STAGE_MAIL, true);
    }
    put_be64(id, a->job->message.id ^ (uint64_t)now);
    const struct peer_spell *storm = spell_at(p->rule->storms, p->rule->storm_count, now);
    if (storm && falls(mix(p->all->options.seed ^ 0x73746f726dull, bytes_range(id, sizeof id)), storm->share))
        return say_all(p, &storm->reply, STAGE_MAIL, false);
    const struct peer_quota *full = p->rule->quota_count ? full_quota(p, false, 1, now) : NULL;
    if (full) return say_all(p, &full->reply, STAGE_MAIL, false);
    for (size_t i = 0; i < a->count; i++) {
        const struct reply *no = refusal_of(p, recipient_of(a, i), accepted, now);
        accepted += !no;
        say(&p->results[i], no ? no : &taken, no ? STAGE_RCPT : STAGE_CONTENT);
    }
    if (accepted) count_in(p, accepted, now);
}

// ---- the connection

static void fail(struct peer *p, const struct reply *why, enum client_stage stage, bool local) {
    p->failed = true;
    p->failure = (struct client_result){.reply = *why, .stage = stage, .local = local};
    p->state = PEER_CLOSING;
}

static void greet(struct peer *p) {
    const struct peer_rule *rule = p->rule;
    p->state = PEER_READY;
    if (spell_at(rule->downs, rule->down_count, now_ms(p->all))) {
        struct reply refused = reply_make(451, "4.4.1", "connection refused");
        return fail(p, &refused, STAGE_CONNECT, true);
    }
    struct tally *t = rule->connections ? tally_of(p, "connections", 0, rule->connections_per, p->attempt) : NULL;
    if (t && t->open >= rule->connections) return fail(p, &rule->connections_reply, STAGE_GREETING, false);
    if (t) t->open++;
    p->counted = t;
}

static void on_timer(void *arg) {
    struct peer *p = arg;
    if (p->state == PEER_DIALING) {
        greet(p);
    } else {
        bug_if(p->state != PEER_BUSY);
        answer(p);
        p->state = PEER_ANSWERED;
    }
    p->moved(p->arg);
}

struct peer *peer_dial(struct peers *all, const struct plan *plan, struct bytes domain, void (*moved)(void *arg), void *arg) {
    struct peer *p = must_alloc(sizeof *p);
    p->all = all;
    p->rule = peer_rules_of(all->options.rules, plan->via.kind == VIA_DIRECT ? domain : plan->via.host);
    p->plan = plan;
    p->moved = moved;
    p->arg = arg;
    p->timer = timer_new(all->options.loop, on_timer, p);
    timer_set(p->timer, p->rule->connect_ms);
    return p;
}

enum client_next peer_next(struct peer *p) {
    switch (p->state) {
    case PEER_DIALING:
    case PEER_BUSY: return CLIENT_READ;
    case PEER_READY: return CLIENT_READY;
    case PEER_ANSWERED:
        p->state = p->ends ? PEER_CLOSING : PEER_READY;
        return CLIENT_DONE;
    case PEER_CLOSING: break;
    }
    return CLIENT_CLOSE;
}

void peer_send(struct peer *p, const struct attempt *a) {
    bug_if(p->state != PEER_READY);
    if (a->count > p->room) {
        p->results = must_realloc(p->results, a->count * sizeof *p->results);
        p->room = a->count;
    }
    p->attempt = a;
    p->state = PEER_BUSY;
    timer_set(p->timer, p->rule->latency_ms);
}

const struct client_result *peer_result(const struct peer *p, size_t i) { return &p->results[i]; }
const struct client_result *peer_failure(const struct peer *p) { return p->failed ? &p->failure : NULL; }

void peer_quit(struct peer *p) { p->state = PEER_CLOSING; }

void peer_free(struct peer **at) {
    struct peer *p = *at;
    *at = NULL;
    if (!p) return;
    if (p->counted) p->counted->open--;
    timer_free(&p->timer);
    free(p->results);
    free(p);
}

// ---- all of them

struct peers *peers_new(const struct peers_options *options) {
    struct peers *all = must_alloc(sizeof *all);
    all->options = *options;
    return all;
}

void peers_free(struct peers **at) {
    struct peers *all = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!all) return;
    while (map_next(&all->tallies, &i, NULL, &value)) {
        span_release(&((struct tally *)value)->span);
        free(value);
    }
    map_release(&all->tallies);
    map_release(&all->grey);
    free(all);
}
