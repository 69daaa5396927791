// SPDX-License-Identifier: MIT
// journal: what was decided and what came of it, by message; a bounded ring. [contract: store.h]
#include "base/bug.h"
#include "store/key.h"
#include "store/txn.h"

// More than one a put, so that a lowered bound is reached after a while.
enum { TRIMMED_A_PUT = 2 };

struct oldest {
    char key[KEY_MAX];
    size_t len; // 0: the journal is empty
};

static void find_oldest(struct txn *t, struct oldest *out) {
    struct db_walk walk = {.txn = t->db, .table = TABLE_JOURNAL};
    bool found = db_seek(&walk, BYTES(""));
    out->len = found ? walk.key.len : 0;
    memcpy(out->key, found ? walk.key.at : "", out->len);
    db_walk_end(&walk);
}

static bool drop(struct txn *t, const struct oldest *o, struct err *err) {
    if (o->len && db_delete(t->db, TABLE_JOURNAL, bytes_range(o->key, o->len), err)) return true;
    return err_set(err, "database: trimming the journal");
}

static bool trim(struct txn *t, struct err *err) {
    struct oldest oldest;
    for (int i = 0; i < TRIMMED_A_PUT && db_count(t->db, TABLE_JOURNAL) > t->journal_max; i++) {
        find_oldest(t, &oldest);
        if (!drop(t, &oldest, err)) return false;
    }
    return true;
}

bool txn_trim_journal(struct txn *t, int64_t before_ms, int most, bool *more, struct err *err) {
    struct oldest oldest;
    uint64_t id;
    int64_t at_ms;
    for (int i = 0; i < most; i++) {
        find_oldest(t, &oldest);
        *more = oldest.len && key_to_journal(bytes_range(oldest.key, oldest.len), &id, &at_ms) && id_ms(id) < before_ms;
        if (!*more) return true;
        if (!drop(t, &oldest, err)) return false;
    }
    return true;
}

bool txn_put_journal(struct txn *t, uint64_t id, int64_t at_ms, struct bytes entry, struct err *err) {
    bool put = false;
    bug_if(t->redo);
    while (!put) { // entries of one message at one millisecond differ in the sequence, which a restart begins
                   // anew
        struct key key = key_journal(id, at_ms, t->journal_seq++);
        if (!db_put_new(t->db, TABLE_JOURNAL, key_bytes(&key), entry, &put, err)) return false;
    }
    return trim(t, err);
}
