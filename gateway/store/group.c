// SPDX-License-Identifier: MIT
#include "store/group.h"

#include "base/bug.h"
#include "store/inside.h"
#include "store/shelf.h"
#include "store/suppression.h"
#include "store/tail.h"

#include <string.h>

// So much of the reserve's bytes may stand in redo records that are not committed: the pages they take in the database are found there.
enum { REDO_PER_RESERVE = 4 };

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
    size_t count = g->count - g->kept;
    return count == 0 || (count < GROUP_OPS && g->bytes + body_bytes(op) <= group_bytes_most);
}

void group_add(struct group *g, struct store_op *op) {
    struct group_slot *slot = &g->slots[g->count++];
    slot->op = op;
    slot->has_body = op->part_count || has_file(op);
    slot->out = slot->promised = slot->applied = false;
    slot->why.text[0] = 0;
    if (slot->has_body) g->bytes += body_bytes(op);
    if (g->count == 1) g->since_us = clock_monotonic_us();
}

static void put_out(struct group_slot *slot, const struct err *why) {
    bug_if(slot->promised);
    slot->out = true;
    slot->why = *why;
}

// ---- the transaction ----------------------------------------------------------------------------

static void drop_txn(struct group *g, struct store *s) {
    if (g->open) txn_abort(&s->txn);
    g->open = false;
    for (size_t i = 0; i < g->count; i++)
        g->slots[i].applied = false;
    redo_begin(&g->redo, s->txn.redo_secret); // what was promised before has its record already
}

static bool wants_promise(const struct group *g, const struct group_slot *slot) {
    return g->promises && slot->op->promised && slot->has_body && !slot->promised && !slot->out;
}

static bool apply(struct group *g, struct store *s, struct group_slot *slot, struct err *err) {
    s->txn.redo = wants_promise(g, slot) ? &g->redo : NULL;
    bool applied = slot->op->apply(slot->op, &s->txn, err);
    s->txn.redo = NULL;
    return applied;
}

static bool begin(struct group *g, struct store *s, struct err *err) {
    if (!g->open) g->open = txn_begin(&s->txn, err);
    return g->open;
}

// Until what is still in is applied in the open transaction: all of it, or what was promised and what may be now. An op's own refusal
// puts it out.
static bool apply_in_order(struct group *g, struct store *s, bool all, struct err *err) {
    for (size_t i = 0; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        struct err why = {""};
        if (slot->out || slot->applied || !(all || slot->promised || wants_promise(g, slot))) continue;
        if (!begin(g, s, err)) return false;
        slot->applied = apply(g, s, slot, &why);
        if (slot->applied) continue;
        bool own = db_trouble(s->db) == DB_NO_TROUBLE && !slot->promised;
        drop_txn(g, s);
        if (own) {
            put_out(slot, &why);
            return apply_in_order(g, s, all, err);
        }
        *err = why;
        return false;
    }
    return !all || begin(g, s, err);
}

static bool put_bodies_out(struct group *g, const struct err *why) {
    bool any = false;
    for (size_t i = 0; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        if (!slot->has_body || slot->out || slot->promised) continue;
        put_out(slot, why);
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

static bool commit_open(struct group *g, struct store *s, struct txn_counts *counts, struct err *err) {
    g->open = false; // either way
    for (size_t i = 0; i < g->count; i++)
        g->slots[i].applied = false;
    return txn_commit(&s->txn, counts, err);
}

// What a round applies is applied; or, where `counts` asks for those of a commit, all that are still in, and committed. False: the
// store is sick, there is no transaction, and all are out that were not promised.
static bool carry_out(struct group *g, struct store *s, struct txn_counts *counts) {
    struct err why = {""};
    while (!apply_in_order(g, s, counts, &why) || (counts && !commit_open(g, s, counts, &why))) {
        // On a full disk what frees room goes first, and what takes room is the first to be refused.
        if (db_trouble(s->db) == DB_FULL && (space_give_reserve(s->space) || put_bodies_out(g, &why))) continue;
        for (size_t i = 0; i < g->count; i++)
            if (!g->slots[i].out && !g->slots[i].promised) put_out(&g->slots[i], &why);
        set_sick(s, true, &why);
        return false;
    }
    if (counts) set_sick(s, false, NULL);
    return true;
}

// ---- telling ------------------------------------------------------------------------------------

// Hands those back that are out, and where `done` all others; what is left stands at the front.
static void finish(struct group *g, struct store *s, bool done) {
    size_t left = 0;
    for (size_t i = 0; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        if (slot->out || done)
            slot->op->finish(slot->op, !slot->out, slot->out ? &slot->why : NULL);
        else if (left++ != i)
            g->slots[left - 1] = *slot;
    }
    g->count = g->seen = left;
    if (left == 0) g->bytes = 0;
    if (g->open && left == 0) drop_txn(g, s); // none that is out was ever in it
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

static void commit_since(struct group *g, struct store *s, int64_t began_us) {
    struct txn_counts counts;
    bool done = carry_out(g, s, &counts);
    if (done) tell(g, s, &counts, began_us);
    finish(g, s, done);
    g->kept = g->count;
    g->bytes = g->redo_bytes = 0;
}

void group_commit(struct group *g, struct store *s) {
    commit_since(g, s, clock_monotonic_us());
}

// ---- a round ------------------------------------------------------------------------------------

// Returns whether something was appended.
static bool write_bodies(struct group *g, struct store *s, size_t from) {
    struct err why;
    bool any = false;
    tail_begin(&s->segments);
    for (size_t i = from; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        struct store_op *op = slot->op;
        if (!slot->has_body) continue;
        struct tail_body body = {.id = op->body_id,
                                 .parts = op->parts,
                                 .part_count = op->part_count,
                                 .file = has_file(op) ? op->file : -1,
                                 .file_length = op->file_length,
                                 .codec = SEGMENT_CODEC_PLAIN};
        any = true;
        if (!tail_append(&s->segments, SEGMENT_HOT, &body, &op->place, &why)) put_out(slot, &why);
    }
    return any;
}

// Not for a store that is not to last, nor one that is not well; and never more than can be committed on a disk that fills up meanwhile.
static bool may_promise(const struct group *g, const struct store *s) {
    return !s->fleeting && !g->kept && !atomic_load(&s->told.sick) && s->space->has_reserve;
}

// The round's record, behind its bodies in the same segment. False: there is none, and the round is promised nothing.
static bool write_redo(struct group *g, struct store *s) {
    struct iovec part = {g->redo.at, g->redo.len};
    struct tail_body record = {.parts = &part, .part_count = 1, .file = -1, .codec = SEGMENT_CODEC_REDO};
    struct place place;
    struct err why;
    if (redo_is_empty(&g->redo) || g->redo_bytes + g->redo.len > s->space->reserve_bytes / REDO_PER_RESERVE) return false;
    if (!tail_goes_on(&s->segments, g->redo.len)) return false;
    if (!tail_append(&s->segments, SEGMENT_HOT, &record, &place, &why)) return false;
    g->redo_bytes += g->redo.len;
    return true;
}

static void promise(struct group *g, size_t from) {
    for (size_t i = from; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        if (!wants_promise(g, slot)) continue;
        slot->promised = true;
        slot->op->promised(slot->op);
    }
}

static void put_unsynced_out(struct group *g, struct store *s, size_t from, const struct err *why) {
    for (size_t i = from; i < g->count; i++) {
        struct group_slot *slot = &g->slots[i];
        if (slot->has_body && !slot->out && !tail_holds(&s->segments, &slot->op->place)) put_out(slot, why);
    }
}

static bool is_urgent(const struct group *g) {
    for (size_t i = 0; i < g->count; i++)
        if (!g->slots[i].out && !g->slots[i].promised && !g->slots[i].op->patient) return true;
    return g->kept;
}

void group_round(struct group *g, struct store *s) {
    int64_t began_us = clock_monotonic_us();
    size_t from = g->seen;
    struct err why;
    g->promises = may_promise(g, s);
    redo_begin(&g->redo, s->txn.redo_secret);
    bool written = write_bodies(g, s, from);
    bool in = carry_out(g, s, NULL);
    bool recorded = in && write_redo(g, s);
    if (written && !tail_sync(&s->segments, &why)) {
        // Of those applied, some have no body now.
        recorded = false;
        put_unsynced_out(g, s, from, &why);
        drop_txn(g, s);
        in = in && carry_out(g, s, NULL);
    }
    if (recorded) promise(g, from);
    g->promises = false;
    if (in && is_urgent(g)) return commit_since(g, s, began_us);
    finish(g, s, false);
    if (!in) g->kept = g->count;
}

bool group_is_open(const struct group *g) {
    return g->count > g->kept;
}

// ---- between groups -----------------------------------------------------------------------------

void group_probe(struct group *g, struct store *s) {
    struct txn_counts counts;
    struct err why;
    if (g->kept) return group_commit(g, s);
    if (!txn_begin(&s->txn, &why)) return;
    char be[8];
    put_be64(be, (uint64_t)clock_ms(s->clock));
    if (!txn_put(&s->txn, TABLE_META, BYTES("probe"), bytes_range(be, sizeof be), &why))
        txn_abort(&s->txn);
    else if (txn_commit(&s->txn, &counts, &why))
        set_sick(s, false, NULL);
}

void group_release(struct group *g) {
    struct err why;
    err_set(&why, "the store was closed before it could be committed; it is in the log, for the next start");
    for (size_t i = 0; i < g->count; i++)
        g->slots[i].op->finish(g->slots[i].op, false, &why);
    g->count = g->kept = 0;
    buf_release(&g->redo);
}

bool group_sweep(struct store *s) {
    struct txn_counts counts;
    struct err why;
    size_t gone, off_shelf;
    bool whole = true, all_of_shelf = true;
    if (!txn_begin(&s->txn, &why)) return true;
    if (!txn_sweep_suppressions(&s->txn, clock_ms(s->clock), &gone, &whole, &why) ||
        !txn_sweep_shelf(&s->txn, clock_ms(s->clock), &off_shelf, &all_of_shelf, &why) || !(gone + off_shelf))
        txn_abort(&s->txn);
    else if (txn_commit(&s->txn, &counts, &why))
        store_tell_counts(s, &counts);
    else
        return true; // there is time
    return whole && all_of_shelf;
}
