// SPDX-License-Identifier: MIT
// journal: what was decided and what came of it, by message; a bounded ring. [contract: store.h]
#include "store/key.h"
#include "store/txn.h"

// More than one a put, so that a lowered bound is reached after a while.
enum { TRIMMED_A_PUT = 2 };

static bool trim(struct txn *t, struct err *err) {
    for (int i = 0; i < TRIMMED_A_PUT && db_count(t->db, TABLE_JOURNAL) > t->journal_max; i++) {
        struct db_walk walk = {.txn = t->db, .table = TABLE_JOURNAL};
        char oldest[KEY_MAX];
        bool found = db_seek(&walk, BYTES(""));
        size_t len = found ? walk.key.len : 0;
        memcpy(oldest, found ? walk.key.at : "", len);
        db_walk_end(&walk);
        if (!found || !db_delete(t->db, TABLE_JOURNAL, bytes_range(oldest, len), err))
            return err_set(err, "database: trimming the journal");
    }
    return true;
}

bool txn_put_journal(struct txn *t, uint64_t id, int64_t at_ms, struct bytes entry, struct err *err) {
    bool put = false;
    while (!put) { // entries of one message at one millisecond differ in the sequence, which a restart begins
                   // anew
        struct key key = key_journal(id, at_ms, t->journal_seq++);
        if (!db_put_new(t->db, TABLE_JOURNAL, key_bytes(&key), entry, &put, err)) return false;
    }
    return trim(t, err);
}
