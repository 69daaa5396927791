// SPDX-License-Identifier: MIT
#include "relay/keeping.h"

#include "relay/worker.h"
#include "store/shelf.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TELL_MS = 60000 };

struct keeping keeping_of(struct arena *arena, const struct keep *keeps, size_t count, uint64_t id, struct bytes where) {
    struct keeping k = {.count = count, .source = BYTES("")};
    if (!count) return k;
    struct keep *copies = arena_alloc(arena, count * sizeof *copies);
    for (size_t i = 0; i < count; i++)
        copies[i] = (struct keep){arena_copy(arena, keeps[i].key), arena_copy(arena, keeps[i].value), keeps[i].expires_s};
    k.keeps = copies;
    k.source = arena_format(arena, "%016" PRIx64 " %.*s", id, BYTES_FMT(where));
    return k;
}

static void tell_full(struct gateway *g, int64_t now_ms, const struct keep *keep) {
    int64_t last_ms = atomic_load(&g->counters.shelf_full_ms);
    if (last_ms && now_ms - last_ms < TELL_MS) return;
    if (!atomic_compare_exchange_strong(&g->counters.shelf_full_ms, &last_ms, now_ms)) return;
    log_warn(&g->log, "the shelf is full (%d entries): '%.*s' and what else is new is not kept; `tidegate shelf list`, `tidegate shelf delete`",
             SHELF_ENTRIES, BYTES_FMT(keep->key));
}

bool keeping_apply(const struct keeping *k, struct gateway *g, struct txn *txn, struct err *err) {
    int64_t now_ms = k->count ? clock_ms(&g->clock) : 0;
    for (size_t i = 0; i < k->count; i++) {
        const struct keep *keep = &k->keeps[i];
        struct shelf_entry e = {.key = keep->key, .value = keep->value, .source = k->source, .put_ms = now_ms,
                                .until_ms = keep->expires_s ? now_ms + keep->expires_s * 1000 : 0};
        bool done = true;
        if (!keep->value.len) {
            if (!txn_drop_shelf(txn, keep->key, &done, err)) return false;
        } else if (shelf_check(&e, NULL)) {
            if (!txn_put_shelf(txn, &e, now_ms, &done, err)) return false;
            if (!done) tell_full(g, now_ms, keep);
        }
    }
    return true;
}

// ---- of a plan

struct trip {
    struct store_op op; // first
    struct task back;
    struct worker *worker;
    struct arena arena;
    struct keeping keeping;
    void (*done)(void *arg);
    void *arg;
};

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct trip *e = (struct trip *)op;
    return keeping_apply(&e->keeping, e->worker->gateway, txn, err);
}

static void come_back(struct task *task) {
    struct trip *e = (struct trip *)((char *)task - offsetof(struct trip, back));
    e->done(e->arg);
    arena_release(&e->arena);
    free(e);
}

// A store that takes nothing says so by itself, and what was learnt will be learnt again.
static void finish(struct store_op *op, bool stored, const struct err *why) {
    (void)stored, (void)why;
    struct trip *e = (struct trip *)op;
    loop_post(e->worker->loop, &e->back);
}

bool keeping_run(struct worker *w, const struct plan *plan, uint64_t id, void (*done)(void *arg), void *arg) {
    size_t count = 0, n = 0;
    for (const struct plan *p = plan; p; p = p->otherwise) count += p->keep_count;
    if (!count) return false;
    struct trip *e = must_alloc(sizeof *e);
    *e = (struct trip){.op = {.apply = apply, .finish = finish, .file = -1}, .back = {.run = come_back}, .worker = w, .done = done, .arg = arg};
    struct keep *all = arena_alloc(&e->arena, count * sizeof *all);
    for (const struct plan *p = plan; p; p = p->otherwise)
        for (size_t i = 0; i < p->keep_count; i++) all[n++] = p->keeps[i];
    e->keeping = keeping_of(&e->arena, all, count, id, plan->origin.where);
    store_submit(w->gateway->store, &e->op);
    return true;
}
