// SPDX-License-Identifier: MIT
#include "relay/sweep.h"

#include "relay/account.h"

#include <stdlib.h>

enum { PERIOD_MS = 10 * 1000, ROWS_MAX = 256 };

struct sweep {
    struct worker *worker;
    bool (*is_in_memory)(void *arg, struct bytes account);
    void *arg;
    struct timer *timer;
    unsigned char next; // rows whose names begin with this byte are looked at next
    int64_t now_ms;     // of the walk under way
    size_t gone;
};

struct removal {
    struct store_op op; // first
    uint32_t window_s;
    int64_t now_ms;
    struct bytes name;
    char text[];
};

static bool is_old(struct bytes row, uint32_t window_s, int64_t now) { return account_encoded_end(row, window_s) <= now; }

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct removal *r = (struct removal *)op;
    struct bytes row;
    bool found;
    if (!txn_get(txn, TABLE_LEDGER, r->name, &row, &found, err)) return false;
    // Looked at again: its owner may have written it meanwhile.
    return !found || !is_old(row, r->window_s, r->now_ms) || txn_delete(txn, TABLE_LEDGER, r->name, err);
}

static void finish(struct store_op *op, bool done, const struct err *why) {
    (void)done, (void)why; // the store has said it, and the row comes round again
    free(op);
}

static bool look_at(void *arg, struct bytes name, struct bytes row) {
    struct sweep *s = arg;
    struct gateway *g = s->worker->gateway;
    uint32_t window_s;
    bool ours = account_window(name, &window_s) && gateway_worker_of_lane(g, name) == s->worker;
    if (!ours || s->is_in_memory(s->arg, name) || !is_old(row, window_s, s->now_ms)) return true;
    struct removal *r = must_alloc(sizeof *r + name.len);
    r->op = (struct store_op){.apply = apply, .finish = finish, .file = -1};
    r->window_s = window_s;
    r->now_ms = s->now_ms;
    memcpy(r->text, name.at, name.len);
    r->name = bytes_range(r->text, name.len);
    store_submit(g->store, &r->op);
    return ++s->gone < ROWS_MAX;
}

static void walk(struct sweep *s, struct bytes prefix) {
    struct reader *reader = s->worker->reader;
    s->now_ms = clock_ms(&s->worker->gateway->clock);
    s->gone = 0;
    reader_begin(reader);
    reader_walk(reader, TABLE_LEDGER, prefix, look_at, s);
    reader_end(reader);
    timer_set(s->timer, PERIOD_MS);
}

static void on_timer(void *arg) {
    struct sweep *s = arg;
    char first = (char)s->next++;
    walk(s, bytes_range(&first, 1));
}

struct sweep *sweep_new(struct worker *w, bool (*is_in_memory)(void *arg, struct bytes account), void *arg) {
    struct sweep *s = must_alloc(sizeof *s);
    s->worker = w;
    s->is_in_memory = is_in_memory;
    s->arg = arg;
    s->timer = timer_new(w->loop, on_timer, s);
    return s;
}

void sweep_start(struct sweep *s) { walk(s, BYTES("")); }
void sweep_stop(struct sweep *s) { timer_stop(s->timer); }

void sweep_free(struct sweep **at) {
    struct sweep *s = *at;
    *at = NULL;
    if (!s) return;
    timer_free(&s->timer);
    free(s);
}
