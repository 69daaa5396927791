// SPDX-License-Identifier: MIT
#include "relay/tally.h"

#include "base/map.h"
#include "relay/arrival.h"
#include "relay/rehearsal.h"
#include "relay/span.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t day_ms = 86400 * 1000;

struct pair {
    const char *identity, *provider;
    uint64_t waiting;
    struct tally_cell *days;
};

struct tally {
    const struct peer_rules *rules;
    int64_t start_ms;
    int day_count;
    struct arena arena;
    struct tally_day *days;
    struct map pairs;             // "identity\nprovider"
    struct pair **list;
    size_t count, room;
    bool sorted;
    struct map domains;           // of no rule -> the name they are counted under
    size_t domain_count;
    struct map waiting;           // (id, n) -> pair, of those that had a fate and are in the queue still
    struct map accounts;          // -> span
    struct tally_limits limits;
};

static int day_of(const struct tally *t, int64_t now_ms) {
    int64_t day = (now_ms - t->start_ms) / day_ms;
    return day < 0 ? 0 : day >= t->day_count ? t->day_count - 1 : (int)day;
}

// ---- pairs

static struct bytes domain_of(struct bytes address) {
    ptrdiff_t at = bytes_find_last(address, '@');
    return at < 0 ? BYTES("") : bytes_skip(address, (size_t)at + 1);
}

static const char *provider_of(struct tally *t, struct bytes recipient) {
    struct bytes domain = domain_of(recipient);
    const struct peer_rule *rule = peer_rules_of(t->rules, domain);
    if (rule->name[0]) return rule->name;
    const char *name = map_get(&t->domains, domain);
    if (name) return name;
    name = t->domain_count++ < TALLY_DOMAINS ? arena_z(&t->arena, domain) : "other";
    map_put(&t->domains, domain, (void *)(uintptr_t)name);
    return name;
}

static struct bytes identity_of(const struct plan *p) {
    if (!p || p->kind != PLAN_SEND) return BYTES("-");
    if (p->identity.name.len) return p->identity.name;
    return p->via.kind == VIA_RELAY || p->via.kind == VIA_LMTP ? p->via.host : bytes_of(via_kind_name[p->via.kind]);
}

static struct pair *pair_of(struct tally *t, struct bytes identity, const char *provider) {
    char key[700];
    snprintf(key, sizeof key, "%.*s\n%s", BYTES_FMT(identity), provider);
    struct pair *p = map_get(&t->pairs, bytes_of(key));
    if (p) return p;
    p = arena_alloc(&t->arena, sizeof *p);
    *p = (struct pair){arena_z(&t->arena, identity), arena_z(&t->arena, bytes_of(provider)), 0, arena_alloc(&t->arena, (size_t)t->day_count * sizeof *p->days)};
    map_put(&t->pairs, bytes_of(key), p);
    if (t->count == t->room) {
        t->room = t->room ? t->room * 2 : 16;
        t->list = must_realloc(t->list, t->room * sizeof *t->list);
    }
    t->list[t->count++] = p;
    t->sorted = false;
    return p;
}

// ---- what happens

void tally_arrived(struct tally *t, int64_t now_ms, const struct arrived *a) {
    struct tally_day *d = &t->days[day_of(t, now_ms)];
    d->refused += a->refused;
    d->messages += a->id != 0 || a->discarded;
    if (a->id) d->recipients += a->taken;
}

struct key {
    char at[12];
};

static struct key key_of(const struct rehearsed_fate *f) {
    struct key k;
    put_be64(k.at, f->id);
    put_be32(k.at + 8, f->n);
    return k;
}

static struct pair *leave(struct tally *t, const struct rehearsed_fate *f) {
    struct key k = key_of(f);
    struct pair *was = map_remove(&t->waiting, bytes_range(k.at, sizeof k.at));
    if (was) was->waiting--;
    return was;
}

static void enter(struct tally *t, const struct rehearsed_fate *f, struct pair *p) {
    struct key k = key_of(f);
    map_put(&t->waiting, bytes_range(k.at, sizeof k.at), p);
    p->waiting++;
}

static uint64_t *end_in(struct tally_cell *c, const char *type) {
    if (strcmp(type, "delivered") == 0) return &c->sent;
    if (strcmp(type, "bounced") == 0) return &c->bounced;
    if (strcmp(type, "expired") == 0) return &c->expired;
    if (strcmp(type, "suppressed") == 0) return &c->suppressed;
    return strcmp(type, "discarded") == 0 ? &c->discarded : NULL;
}

void tally_fate(struct tally *t, int64_t now_ms, const struct rehearsed_fate *f) {
    int day = day_of(t, now_ms);
    struct pair *was = leave(t, f);
    struct pair *p = f->plan && f->plan->kind == PLAN_SEND ? pair_of(t, identity_of(f->plan), provider_of(t, f->recipient)) : was;
    if (!p) p = pair_of(t, BYTES("-"), provider_of(t, f->recipient));
    struct tally_cell *c = &p->days[day];
    uint64_t *end = end_in(c, f->type);
    if (end) {
        (*end)++;
        c->elsewhere += end == &c->sent && f->instead_of;
        return;
    }
    c->deferred += strcmp(f->type, "deferred") == 0;
    // Who is called to see whether there is room, and finds none, has waited all the time.
    c->waited += strcmp(f->type, "limit") == 0 && !was;
    enter(t, f, p);
}

void tally_accepted(struct tally *t, int64_t now_ms, const struct plan *plan, size_t recipients) {
    for (size_t i = 0; i < plan->spend_count; i++) {
        const struct spend *s = &plan->spends[i];
        struct span *span = map_get(&t->accounts, s->account);
        if (!span) {
            span = must_alloc(sizeof *span);
            map_put(&t->accounts, s->account, span);
            t->limits.accounts++;
        }
        span_sum(span, now_ms, (int64_t)s->window_s * 1000);
        span_add(span, now_ms, s->recipients ? recipients : 1, s->cap);
        t->limits.checked++;
        uint64_t sum = span_sum(span, now_ms, (int64_t)s->window_s * 1000);
        // A cap that has come down meanwhile does not take back what was sent under it.
        if (sum <= s->cap || sum <= span_most(span)) continue;
        if (!t->limits.broken++)
            snprintf(t->limits.worst, sizeof t->limits.worst, "%.*s: %llu in %u s, of %llu", BYTES_FMT(s->key), (unsigned long long)sum,
                     s->window_s, (unsigned long long)s->cap);
    }
}

void tally_day_ends(struct tally *t, int day) {
    for (size_t i = 0; i < t->count; i++) t->list[i]->days[day].waiting = t->list[i]->waiting;
}

// ---- the result

int tally_days(const struct tally *t) { return t->day_count; }
const struct tally_day *tally_day(const struct tally *t, int day) { return &t->days[day]; }
struct tally_limits tally_limits(const struct tally *t) { return t->limits; }

static int by_name(const void *a, const void *b) {
    const struct pair *x = *(struct pair *const *)a, *y = *(struct pair *const *)b;
    int order = strcmp(x->identity, y->identity);
    return order ? order : strcmp(x->provider, y->provider);
}

bool tally_pair(struct tally *t, size_t i, const char **identity, const char **provider, const struct tally_cell **days) {
    if (i >= t->count) return false;
    if (!t->sorted) qsort(t->list, t->count, sizeof *t->list, by_name);
    t->sorted = true;
    *identity = t->list[i]->identity;
    *provider = t->list[i]->provider;
    *days = t->list[i]->days;
    return true;
}

void tally_add(struct tally_cell *sum, const struct tally_cell *more) {
    sum->sent += more->sent;
    sum->deferred += more->deferred;
    sum->bounced += more->bounced;
    sum->expired += more->expired;
    sum->suppressed += more->suppressed;
    sum->discarded += more->discarded;
    sum->waited += more->waited;
    sum->elsewhere += more->elsewhere;
}

struct tally *tally_new(const struct peer_rules *rules, int64_t start_ms, int days) {
    struct tally *t = must_alloc(sizeof *t);
    t->rules = rules;
    t->start_ms = start_ms;
    t->day_count = days;
    t->days = arena_alloc(&t->arena, (size_t)days * sizeof *t->days);
    return t;
}

void tally_free(struct tally **at) {
    struct tally *t = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!t) return;
    while (map_next(&t->accounts, &i, NULL, &value)) {
        span_release(value);
        free(value);
    }
    map_release(&t->accounts);
    map_release(&t->pairs);
    map_release(&t->domains);
    map_release(&t->waiting);
    free(t->list);
    arena_release(&t->arena);
    free(t);
}
