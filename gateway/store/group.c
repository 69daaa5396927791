// SPDX-License-Identifier: MIT
#include "store/group.h"

#include "store/inside.h"
#include "store/suppression.h"
#include "store/tail.h"

static bool has_file(const struct store_op *op) {
    return op->file >= 0 && op->file_length;
}

static uint64_t body_bytes(const struct store_op *op) {
    uint64_t bytes = has_file(op) ? op->file_length : 0;
    for (size_t i = 0; i < op->part_count; i++)
        bytes += op->parts[i].iov_len;
    return bytes;
}

bool group_has_room(const struct group *g, const struct store_op *op) {
    return g->count == 0 || (g->count < GROUP_OPS && g->bytes + body_bytes(op) <= group_bytes_most);
}

void group_add(struct group *g, struct store_op *op) {
    struct group_slot *slot = &g->slots[g->count++];
    slot->op = op;
    slot->has_body = op->part_count || has_file(op);
    slot->out = false;
    slot->why.text[0] = 0;
    if (slot->has_body) g->bytes += body_bytes(op);
}

static void put_out(struct group_slot *slot, const struct err *why) {
    slot->out = true;
    slot->why = *why;
}

static void write_bodies(struct group *g, struct store *s) {
    struct err why;
    bool any = false;
    tail_begin(&s->segments);
    for (size_t i = 0; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        struct store_op *op = slot->op;
        if (!slot->has_body) continue;
        struct tail_body body = {.id = op->body_id,
                                 .parts = op->parts,
                                 .part_count = op->part_count,
                                 .file = has_file(op) ? op->file : -1,
                                 .file_length = op->file_length};
        any = true;
        if (!tail_append(&s->segments, SEGMENT_HOT, &body, &op->place, &why)) put_out(slot, &why);
    }
    if (!any || tail_sync(&s->segments, &why)) return;
    for (size_t i = 0; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        if (slot->has_body && !slot->out && !tail_holds(&s->segments, &slot->op->place)) put_out(slot, &why);
    }
}

// One transaction over all that are still in. `*again` where one op's own refusal, now put out, was all that
// stood in the way.
static bool attempt(struct group *g, struct store *s, struct txn_counts *counts, bool *again,
                    struct err *err) {
    *again = false;
    if (!txn_begin(&s->txn, err)) return false;
    for (size_t i = 0; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        struct err why = {""};
        if (slot->out || slot->op->apply(slot->op, &s->txn, &why)) continue;
        *again = db_trouble(s->db) == DB_NO_TROUBLE;
        txn_abort(&s->txn);
        if (*again)
            put_out(slot, &why);
        else
            *err = why;
        return false;
    }
    return txn_commit(&s->txn, counts, err);
}

static bool put_bodies_out(struct group *g, const struct err *why) {
    bool any = false;
    for (size_t i = 0; i < g->count; i++) {
        if (!g->slots[i].has_body || g->slots[i].out) continue;
        put_out(&g->slots[i], why);
        any = true;
    }
    return any;
}

static void set_sick(struct store *s, bool sick, const struct err *why) {
    if (atomic_exchange(&s->told.sick, sick) == sick) return;
    if (sick)
        log_fault(s->log, "store: cannot commit, delivery and intake wait: %s", why->text);
    else
        log_note(s->log, "store: commits work again");
}

static bool commit(struct group *g, struct store *s, struct txn_counts *counts) {
    struct err why = {""};
    bool again;
    while (!attempt(g, s, counts, &again, &why)) {
        if (again) continue;
        // On a full disk what frees room goes first, and what takes room is the first to be refused.
        if (db_trouble(s->db) == DB_FULL && (space_give_reserve(s->space) || put_bodies_out(g, &why)))
            continue;
        for (size_t i = 0; i < g->count; i++)
            if (!g->slots[i].out) put_out(&g->slots[i], &why);
        set_sick(s, true, &why);
        return false;
    }
    set_sick(s, false, NULL);
    return true;
}

static void tell(const struct group *g, struct store *s, const struct txn_counts *counts, int64_t began_us) {
    uint64_t took = (uint64_t)(clock_monotonic_us() - began_us);
    atomic_fetch_add(&s->told.commits, 1);
    atomic_fetch_add(&s->told.ops, g->count);
    atomic_fetch_add(&s->told.bytes_written, g->bytes);
    atomic_store(&s->told.commit_us_last, took);
    if (took > atomic_load(&s->told.commit_us_max)) atomic_store(&s->told.commit_us_max, took);
    store_tell_counts(s, counts);
}

void group_run(struct group *g, struct store *s) {
    struct txn_counts counts;
    int64_t began_us = clock_monotonic_us();
    write_bodies(g, s);
    if (commit(g, s, &counts)) tell(g, s, &counts, began_us);
    for (size_t i = 0; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        slot->op->finish(slot->op, !slot->out, slot->out ? &slot->why : NULL);
    }
    g->count = 0;
    g->bytes = 0;
}

void group_probe(struct store *s) {
    struct txn_counts counts;
    struct err why;
    if (!txn_begin(&s->txn, &why)) return;
    char be[8];
    put_be64(be, (uint64_t)clock_ms(s->clock));
    if (!txn_put(&s->txn, TABLE_META, BYTES("probe"), bytes_range(be, sizeof be), &why))
        txn_abort(&s->txn);
    else if (txn_commit(&s->txn, &counts, &why))
        set_sick(s, false, NULL);
}

bool group_sweep(struct store *s) {
    struct txn_counts counts;
    struct err why;
    size_t gone;
    bool whole = true;
    if (!txn_begin(&s->txn, &why)) return true;
    if (!txn_sweep_suppressions(&s->txn, clock_ms(s->clock), &gone, &whole, &why) || !gone)
        txn_abort(&s->txn);
    else if (txn_commit(&s->txn, &counts, &why))
        store_tell_counts(s, &counts);
    else
        whole = true; // there is time
    return whole;
}
