// SPDX-License-Identifier: MIT
#include "relay/simulation.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum { HOUR_MS = 3600 * 1000, HOURS = 24, DOMAINS_MOST = 100000 };

struct simulation {
    const struct simulation_options *options;
    struct rehearsal *rehearsal;
    struct tally *tally;
    struct timer *next;      // when the next message comes
    struct coming *coming;   // that message
    struct coming *spare;    // a ring of none: used ones
    struct map known;        // domains that DNS has
    uint64_t messages;
    int64_t until_ms;
};

struct coming {
    struct coming *after;
    struct simulation *of;
    struct arena arena;
    int64_t at_ms;
    struct arrival arrival;
};

static void on_fate(void *arg, const struct rehearsed_fate *f) {
    struct simulation *s = arg;
    tally_fate(s->tally, rehearsal_now(s->rehearsal), f);
}

static void on_accepted(void *arg, const struct plan *plan, size_t recipients) {
    struct simulation *s = arg;
    tally_accepted(s->tally, rehearsal_now(s->rehearsal), plan, recipients);
}

// ---- what comes

static void on_arrived(void *arg, const struct arrived *a) {
    struct coming *c = arg;
    struct simulation *s = c->of;
    tally_arrived(s->tally, rehearsal_now(s->rehearsal), a);
    arena_reset(&c->arena);
    c->after = s->spare;
    s->spare = c;
}

// Mail for a domain of the traffic finds it in DNS: the peers file's MX, or one of its own.
static void teach(struct simulation *s, struct bytes recipient) {
    ptrdiff_t at = bytes_find_last(recipient, '@');
    char own[300];
    if (at < 0) return;
    struct bytes domain = bytes_skip(recipient, (size_t)at + 1);
    if (map_get(&s->known, domain) || s->known.count >= DOMAINS_MOST) return;
    map_put(&s->known, domain, s);
    struct bytes mx = peer_rules_of(s->options->rehearsal.rules, domain)->mx;
    snprintf(own, sizeof own, "mx.%.*s", BYTES_FMT(domain));
    rehearsal_teach_mx(s->rehearsal, domain, mx.len ? mx : bytes_of(own));
}

static void plan_next(struct simulation *s) {
    struct coming *c = s->spare;
    if (c) s->spare = c->after;
    else c = must_alloc(sizeof *c);
    c->of = s;
    traffic_next(s->options->traffic, &c->arena, &c->at_ms, &c->arrival);
    s->coming = c;
    int64_t now = rehearsal_now(s->rehearsal);
    if (c->at_ms < s->until_ms) timer_set(s->next, c->at_ms - now);
}

static void on_next(void *arg) {
    struct simulation *s = arg;
    struct coming *c = s->coming;
    for (size_t i = 0; i < c->arrival.count; i++) teach(s, c->arrival.recipients[i]);
    s->messages++;
    arrival_start(rehearsal_worker(s->rehearsal), &c->arrival, on_arrived, c);
    plan_next(s);
}

// ---- the days

static void run_days(struct simulation *s) {
    const struct simulation_options *o = s->options;
    s->next = timer_new(rehearsal_worker(s->rehearsal)->loop, on_next, s);
    plan_next(s);
    for (int hour = 1; hour <= o->days * HOURS; hour++) {
        rehearsal_run(s->rehearsal, o->rehearsal.start_ms + (int64_t)hour * HOUR_MS);
        if (hour % HOURS == 0) tally_day_ends(s->tally, hour / HOURS - 1);
        if (o->progress) o->progress(o->arg, rehearsal_now(s->rehearsal), s->messages);
    }
    timer_free(&s->next);
}

static void free_spare(struct simulation *s) {
    if (s->coming) {
        s->coming->after = s->spare;
        s->spare = s->coming;
    }
    for (struct coming *c = s->spare, *after; c; c = after) {
        after = c->after;
        arena_release(&c->arena);
        free(c);
    }
}

struct tally *simulation_run(const struct simulation_options *options, struct err *err) {
    struct simulation s = {.options = options};
    struct rehearsal_options rehearsal = options->rehearsal;
    rehearsal.fate = on_fate;
    rehearsal.accepted = on_accepted;
    rehearsal.arg = &s;
    s.until_ms = rehearsal.start_ms + (int64_t)options->days * HOURS * HOUR_MS;
    s.rehearsal = rehearsal_open(&rehearsal, err);
    if (!s.rehearsal) return NULL;
    s.tally = tally_new(rehearsal.rules, rehearsal.start_ms, options->days);
    run_days(&s);
    rehearsal_close(&s.rehearsal);
    free_spare(&s);
    map_release(&s.known);
    return s.tally;
}
