// SPDX-License-Identifier: MIT
#include "relay/canary.h"

#include "relay/reload.h"
#include "relay/rounds.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_MS = 500, WHOLE = 10000, AHEAD_MS = 100, AFTER_S = 5 };

struct canary {
    struct gateway *gateway;
    struct bundle *bundle;        // on trial; NULL: none
    struct canary_wish wish;
    struct timer *timer;
    bool promoting;
    // For workers. A message is of the trial's time when its id is not older than this; 0: there is no trial.
    _Atomic int64_t from_ms, until_ms;
    _Atomic uint32_t share;
    _Atomic uint64_t counts[2][CANARY_COUNTS];
};

static const char *const count_name[CANARY_COUNTS] = {"answered", "refused", "decided", "faults", "delivered", "deferred", "bounced"};

// ---- workers

static bool is_of_trial(const struct canary *c, uint64_t id) {
    if (!c) return false; // a lab's gateway has none
    int64_t from_ms = atomic_load_explicit(&c->from_ms, memory_order_acquire);
    return from_ms && id_ms(id) >= from_ms;
}

struct generation *canary_generation(struct worker *w, uint64_t id) {
    const struct canary *c = w->gateway->canary;
    char be[8];
    if (!w->canary || !is_of_trial(c, id)) return w->generation;
    put_be64(be, id);
    bool chosen = bytes_hash(bytes_range(be, sizeof be)) % WHOLE < atomic_load(&c->share);
    return chosen ? w->canary : w->generation;
}

void canary_tell(struct worker *w, uint64_t id, const struct generation *g, enum canary_count what) {
    struct canary *c = w->gateway->canary;
    if (!is_of_trial(c, id)) return;
    atomic_fetch_add(&c->counts[generation_is_on_trial(g) ? CANARY_NEW : CANARY_OLD][what], 1);
}

int64_t canary_patience_s(struct worker *w) {
    const struct canary *c = w->gateway->canary;
    if (!c) return AFTER_S;
    int64_t left_ms = atomic_load(&c->until_ms) - clock_ms(&w->gateway->clock);
    return (atomic_load(&c->from_ms) && left_ms > 0 ? left_ms / 1000 : 0) + AFTER_S;
}

// ---- is it worse?

static double rate(const struct canary *c, enum canary_side side, enum canary_count of, double all) {
    return all > 0 ? (double)atomic_load(&c->counts[side][of]) / all : 0;
}

static double all_outcomes(const struct canary *c, enum canary_side side) {
    return (double)(atomic_load(&c->counts[side][CANARY_DELIVERED]) + atomic_load(&c->counts[side][CANARY_DEFERRED]) +
                    atomic_load(&c->counts[side][CANARY_BOUNCED]));
}

static bool is_worse(const struct canary *c, char *why, size_t size) {
    static const struct {
        enum canary_count of;
        int all; // CANARY_COUNTS: of all outcomes
    } rates[] = {{CANARY_FAULTS, CANARY_DECIDED}, {CANARY_REFUSED, CANARY_ANSWERED}, {CANARY_DEFERRED, CANARY_COUNTS}, {CANARY_BOUNCED, CANARY_COUNTS}};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        double all[2];
        for (int side = 0; side < 2; side++)
            all[side] = rates[i].all == CANARY_COUNTS ? all_outcomes(c, side) : (double)atomic_load(&c->counts[side][rates[i].all]);
        double is = rate(c, CANARY_NEW, rates[i].of, all[CANARY_NEW]), was = rate(c, CANARY_OLD, rates[i].of, all[CANARY_OLD]);
        if (all[CANARY_NEW] < c->wish.least || is - was <= c->wish.margin) continue;
        snprintf(why, size, "%s: %.1f%% of %.0f, where the policy in force has %.1f%% of %.0f", count_name[rates[i].of], is * 100,
                 all[CANARY_NEW], was * 100, all[CANARY_OLD]);
        return true;
    }
    return false;
}

// ---- its course

static void forget_there(struct worker *w, void *arg) {
    (void)arg;
    generation_free(&w->canary);
    rounds_policy_changed(w->rounds); // those it has parked
}

static void put_counts(const struct canary *c, struct jsonl *j) {
    static const char *const side_name[] = {"in_force", "on_trial"};
    for (int side = 0; side < 2; side++) {
        jsonl_open(j, side_name[side], '{');
        for (int i = 0; i < CANARY_COUNTS; i++) jsonl_int(j, count_name[i], (int64_t)atomic_load(&c->counts[side][i]));
        jsonl_close(j, '}');
    }
}

static void tell(struct canary *c, const char *action, const char *because) {
    struct gateway *g = c->gateway;
    struct jsonl *j = event_begin(g->event_writer, "canary");
    jsonl_textz(j, "action", action);
    jsonl_textz(j, "policy", bundle_version(c->bundle));
    jsonl_textz(j, "was", bundle_version(g->bundle));
    jsonl_textz(j, "because", because);
    put_counts(c, j);
    event_end(g->event_writer);
    if (strcmp(action, "withdrawn") == 0) log_fault(&g->log, "canary: policy %s is taken back: %s", bundle_version(c->bundle), because);
    else log_note(&g->log, "canary: policy %s: %s: %s", bundle_version(c->bundle), action, because);
}

bool canary_is(const struct canary *c, const struct bundle *bundle) {
    return c->bundle && strcmp(bundle_version(c->bundle), bundle_version(bundle)) == 0;
}

void canary_end(struct canary *c, const char *action, const char *because) {
    struct gateway *g = c->gateway;
    if (!c->bundle) return;
    tell(c, action, because);
    atomic_store(&c->from_ms, 0);
    timer_stop(c->timer);
    c->promoting = false;
    bundle_free(&c->bundle);
    for (int i = 0; i < g->worker_count; i++) worker_post(g->workers[i], forget_there, NULL);
}

static void look(void *arg) {
    struct canary *c = arg;
    char why[300];
    struct err err;
    bool over = clock_ms(&c->gateway->clock) >= atomic_load(&c->until_ms);
    bool enough = atomic_load(&c->counts[CANARY_NEW][CANARY_DECIDED]) >= c->wish.least;
    if (c->gateway->reload) return timer_set(c->timer, LOOK_MS); // which may end the trial, one way or the other
    if (is_worse(c, why, sizeof why)) return canary_end(c, "withdrawn", why);
    if (over && enough && !c->gateway->stopping && !canary_promote(c, &err))
        return canary_end(c, "withdrawn", err.text);
    timer_set(c->timer, LOOK_MS);
}

void canary_start(struct canary *c, struct bundle *bundle, const struct canary_wish *wish) {
    int64_t now = clock_ms(&c->gateway->clock);
    char words[120];
    c->bundle = bundle_ref(bundle);
    c->wish = *wish;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < CANARY_COUNTS; i++) atomic_store(&c->counts[side][i], 0);
    snprintf(words, sizeof words, "%.2f%% of new messages for %lld s", wish->share / 100.0, (long long)wish->for_s);
    tell(c, "started", words);
    atomic_store(&c->share, wish->share);
    atomic_store(&c->until_ms, now + wish->for_s * 1000);
    // A little ahead: every worker knows of it before the first message that it concerns gets its id.
    atomic_store_explicit(&c->from_ms, now + AHEAD_MS, memory_order_release);
    timer_set(c->timer, LOOK_MS);
}

bool canary_withdraw(struct canary *c, const char *because, struct err *err) {
    if (!c->bundle) return err_set(err, "there is no policy on trial");
    // Told as withdrawn it would be in force a moment later.
    if (c->promoting) return err_set(err, "policy %s is being promoted; `tidegate rollback` goes back", bundle_version(c->bundle));
    if (c->gateway->reload) return err_set(err, "a reload is under way and may end the trial; try again in a moment");
    canary_end(c, "withdrawn", because);
    return true;
}

// From the main loop, when the reload is done.
static void promoted(void *arg, const struct reload_result *r) {
    struct canary *c = arg;
    if (!r->done) canary_end(c, "withdrawn", r->why.text);
}

bool canary_promote(struct canary *c, struct err *err) {
    if (!c->bundle) return err_set(err, "there is no policy on trial");
    if (!reload_to(c->gateway, c->bundle, promoted, c, err)) return false;
    c->promoting = true;
    return true;
}

void canary_show(const struct canary *c, struct jsonl *j) {
    if (!c->bundle) return;
    jsonl_open(j, "canary", '{');
    jsonl_textz(j, "policy", bundle_version(c->bundle));
    jsonl_real(j, "share", c->wish.share / 100.0);
    jsonl_time(j, "until", atomic_load(&c->until_ms));
    jsonl_real(j, "margin", c->wish.margin * 100);
    jsonl_int(j, "least", c->wish.least);
    put_counts(c, j);
    jsonl_close(j, '}');
}

struct canary *canary_new(struct gateway *g) {
    struct canary *c = must_alloc(sizeof *c);
    c->gateway = g;
    c->timer = timer_new(g->loop, look, c);
    return c;
}

void canary_free(struct canary **at) {
    struct canary *c = *at;
    *at = NULL;
    if (!c) return;
    timer_free(&c->timer);
    bundle_free(&c->bundle);
    free(c);
}
