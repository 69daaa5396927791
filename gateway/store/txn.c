// SPDX-License-Identifier: MIT
#include "store/txn.h"

#include "base/bug.h"

#include <stdio.h>
#include <sys/random.h>

const char meta_held[] = "held";
static const char meta_version[] = "version", meta_id_mark[] = "id_mark", meta_redo_secret[] = "redo_secret", meta_name[] = "name";

static bool put_number(struct txn *t, const char *name, uint64_t value, struct err *err) {
    char be[8];
    put_be64(be, value);
    return db_put(t->db, TABLE_META, bytes_of(name), bytes_range(be, sizeof be), err);
}

static bool get_number(struct txn *t, const char *name, uint64_t *value, bool *found, struct err *err) {
    struct bytes be;
    if (!db_get(t->db, TABLE_META, bytes_of(name), &be, found, err)) return false;
    if (*found && be.len != 8) return err_set(err, "database: meta entry '%s' is damaged", name);
    if (*found) *value = get_be64(be.at);
    return true;
}

// What is drawn by lot when the store is made, and stays.
static bool load_lot(struct txn *t, const char *name, void *lot, size_t len, struct err *err) {
    struct bytes there;
    bool found;
    if (!db_get(t->db, TABLE_META, bytes_of(name), &there, &found, err)) return false;
    if (found && there.len != len) return err_set(err, "database: meta entry '%s' is damaged", name);
    if (found) {
        memcpy(lot, there.at, len);
        return true;
    }
    bug_if(getrandom(lot, len, 0) != (ssize_t)len);
    return db_put(t->db, TABLE_META, bytes_of(name), bytes_range(lot, len), err);
}

static bool load_lots(struct txn *t, struct err *err) {
    char name[8];
    if (!load_lot(t, meta_redo_secret, t->redo_secret, REDO_SECRET, err) || !load_lot(t, meta_name, name, sizeof name, err)) return false;
    snprintf(t->name, sizeof t->name, "%016llx", (unsigned long long)get_be64(name));
    return true;
}

bool txn_load(struct txn *t, bool *is_new, struct err *err) {
    bool found;
    uint64_t version = 0;
    if (!get_number(t, meta_version, &version, &found, err)) return false;
    *is_new = !found;
    if (version > DB_VERSION)
        return err_set(err,
                       "written by a newer tidegate (encoding %llu, this program knows up to %d): "
                       "run that version, or drain the queue with it first",
                       (unsigned long long)version, DB_VERSION);
    if (!get_number(t, meta_held, &t->held_committed, &found, err)) return false;
    if (!get_number(t, meta_id_mark, &t->id_mark_committed, &found, err)) return false;
    t->held = t->held_committed;
    t->id_mark = t->id_mark_committed;
    return load_lots(t, err) && (version == DB_VERSION || put_number(t, meta_version, DB_VERSION, err));
}

bool txn_begin(struct txn *t, struct err *err) {
    t->held = t->held_committed;
    t->id_mark = t->id_mark_committed;
    return db_begin(t->env, &t->db, err);
}

void txn_abort(struct txn *t) {
    segments_rewind(t->segments);
    db_abort(t->db);
    t->db = NULL;
}

static bool save(struct txn *t, struct err *err) {
    if (t->held != t->held_committed && !put_number(t, meta_held, t->held, err)) return false;
    if (t->id_mark != t->id_mark_committed && !put_number(t, meta_id_mark, t->id_mark, err)) return false;
    return segments_save(t->segments, t->db, err);
}

bool txn_commit(struct txn *t, struct txn_counts *counts, struct err *err) {
    if (!save(t, err)) {
        txn_abort(t);
        return false;
    }
    *counts = (struct txn_counts){.messages = db_count(t->db, TABLE_MESSAGE),
                                  .recipients = db_count(t->db, TABLE_RECIPIENT),
                                  .parked = db_count(t->db, TABLE_PLACE),
                                  .held = t->held,
                                  .db_bytes_used = db_bytes_used(t->db)};
    bool done = db_commit(t->db, err);
    t->db = NULL;
    if (!done) {
        segments_rewind(t->segments);
        return false;
    }
    t->held_committed = t->held;
    t->id_mark_committed = t->id_mark;
    segments_settle(t->segments);
    return true;
}

static bool is_kept_in_step(enum table table) {
    return table == TABLE_MESSAGE || table == TABLE_RECIPIENT || table == TABLE_DUE || table == TABLE_PLACE ||
           table == TABLE_SEGMENT || table == TABLE_JOURNAL;
}

bool txn_put(struct txn *t, enum table table, struct bytes key, struct bytes value, struct err *err) {
    bug_if(is_kept_in_step(table) || t->redo);
    return db_put(t->db, table, key, value, err);
}

bool txn_delete(struct txn *t, enum table table, struct bytes key, struct err *err) {
    bug_if(is_kept_in_step(table) || t->redo);
    return db_delete(t->db, table, key, err);
}

bool txn_get(struct txn *t, enum table table, struct bytes key, struct bytes *value, bool *found,
             struct err *err) {
    return db_get(t->db, table, key, value, found, err);
}
