// SPDX-License-Identifier: MIT
#include "relay/rounds.h"

#include "relay/lanes.h"
#include "relay/ledger.h"
#include "relay/runner.h"
#include "relay/waiters.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PLACES_MS = 10 * 60 * 1000, // from the end of one round to the next
    PLACES_STEP = 200,          // places looked at together
    STEP_MS = 200,
    LOOK_STEP = 512,            // recipients looked at together
    CALL_STEP = 64,             // and of these routed again
};

struct rounds {
    struct worker *worker;
    struct timer *timer;
    struct buf place;        // up to here places have been looked at; "": from the start
    int64_t places_ms;       // when their next step is
    bool rerouting;          // recipients are gone through: up to this one
    uint64_t id;
    uint32_t n;
    bool begun;
};

// In TABLE_POLICY: the version by which all who are parked have been routed.
static const struct bytes routed_key = {"routed", 6};

static int64_t now_ms(const struct rounds *r) { return clock_ms(&r->worker->gateway->clock); }

// ---- places

struct places {
    struct rounds *rounds;
    size_t count;
};

static bool remind(void *arg, struct bytes place) {
    struct places *p = arg;
    struct worker *w = p->rounds->worker;
    struct place_of of;
    bool limit = waiters_place_read(place, &of);
    buf_reset(&p->rounds->place);
    buf_add(&p->rounds->place, place);
    if (gateway_worker_of_lane(w->gateway, limit ? of.account : place) == w) {
        if (limit) ledger_tell_parked(w->gateway, place);
        else lanes_remind(w->lanes, place);
    }
    return ++p->count < PLACES_STEP;
}

static void go_round(struct rounds *r) {
    struct places p = {.rounds = r};
    struct buf from = {0};
    buf_add(&from, buf_bytes(&r->place));
    reader_begin(r->worker->reader);
    bool all = reader_parked_lanes(r->worker->reader, buf_bytes(&from), remind, &p);
    reader_end(r->worker->reader);
    buf_release(&from);
    if (all) buf_reset(&r->place);
    r->places_ms = now_ms(r) + (all ? PLACES_MS : STEP_MS);
}

// ---- recipients

struct looking {
    struct rounds *rounds;
    struct bytes version;    // "policy":"...": what decisions of the policy in force have
    struct due found[CALL_STEP];
    size_t looked, count;
};

static bool look(void *arg, const struct recipient *rec) {
    struct looking *l = arg;
    struct rounds *r = l->rounds;
    if (r->begun && rec->id == r->id && rec->n <= r->n) return true;
    r->begun = true;
    r->id = rec->id;
    r->n = rec->n;
    bool ours = rec->state == RECIPIENT_PARKED && gateway_worker_of(r->worker->gateway, rec->id) == r->worker;
    if (ours && bytes_search(rec->decision, l->version) < 0) l->found[l->count++] = (struct due){.id = rec->id, .n = rec->n};
    return ++l->looked < LOOK_STEP && l->count < CALL_STEP;
}

struct routed {
    struct store_op op; // first
    char version[64];
};

static bool put_routed(struct store_op *op, struct txn *txn, struct err *err) {
    return txn_put(txn, TABLE_POLICY, routed_key, bytes_of(((struct routed *)op)->version), err);
}

static void routed_kept(struct store_op *op, bool done, const struct err *why) {
    (void)done, (void)why; // not kept: the next start goes through them once more
    free(op);
}

static void start_rerouting(struct rounds *r) {
    if (!r->rerouting) atomic_fetch_add(&r->worker->gateway->rerouting, 1);
    r->rerouting = true;
    r->begun = false; // from the first one on: those who have been routed by it already are passed over
    timer_set(r->timer, STEP_MS);
}

static void end_rerouting(struct rounds *r) {
    struct gateway *g = r->worker->gateway;
    r->rerouting = false;
    if (atomic_fetch_sub(&g->rerouting, 1) > 1) return; // another worker is not through
    struct routed *routed = must_alloc(sizeof *routed);
    routed->op = (struct store_op){.apply = put_routed, .finish = routed_kept, .file = -1};
    snprintf(routed->version, sizeof routed->version, "%s", generation_version(r->worker->generation));
    store_submit(g->store, &routed->op);
}

static void reroute(struct rounds *r) {
    struct worker *w = r->worker;
    char version[64];
    snprintf(version, sizeof version, "\"policy\":\"%s\"", generation_version(w->generation));
    struct looking l = {.rounds = r, .version = bytes_of(version)};
    // The room in memory is for those who can go.
    if (!gateway_may_send(w->gateway) || runner_in_memory(w->runner) * 2 > (size_t)w->site->conf->limits.queue_in_memory) return;
    reader_begin(w->reader);
    bool all = reader_recipients(w->reader, r->begun ? r->id : 0, look, &l);
    reader_end(w->reader);
    if (all) end_rerouting(r);
    if (l.count) runner_call(w->gateway, BYTES(""), l.found, l.count);
}

static void on_timer(void *arg) {
    struct rounds *r = arg;
    if (now_ms(r) >= r->places_ms || r->places_ms - now_ms(r) > PLACES_MS) go_round(r);
    if (r->rerouting) reroute(r);
    timer_set(r->timer, r->rerouting ? STEP_MS : r->places_ms - now_ms(r));
}

void rounds_policy_changed(struct rounds *r) { start_rerouting(r); }

void rounds_begin(struct rounds *r) {
    struct worker *w = r->worker;
    struct bytes version;
    reader_begin(w->reader);
    bool known = reader_get(w->reader, TABLE_POLICY, routed_key, &version) && bytes_equal(version, bytes_of(generation_version(w->generation)));
    reader_end(w->reader);
    if (!known && !w->gateway->rehearsal) start_rerouting(r);
}

struct rounds *rounds_new(struct worker *w) {
    struct rounds *r = must_alloc(sizeof *r);
    r->worker = w;
    r->timer = timer_new(w->loop, on_timer, r);
    r->places_ms = now_ms(r) + PLACES_MS;
    timer_set(r->timer, PLACES_MS);
    return r;
}

void rounds_stop(struct rounds *r) { timer_stop(r->timer); }

void rounds_free(struct rounds **at) {
    struct rounds *r = *at;
    *at = NULL;
    if (!r) return;
    timer_free(&r->timer);
    buf_release(&r->place);
    free(r);
}
