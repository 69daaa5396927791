// SPDX-License-Identifier: MIT
// txn: the writer's transaction: the database's, and beside it the account of segments and counters that commits with it.
//
// txn_begin .. txn_commit or txn_abort, all on the writer thread; one struct serves them all in turn, and its buffers stay.
// What the rest of the gateway does within one is declared in store.h.
#pragma once

#include "store/key.h"
#include "store/redo.h"
#include "store/segment.h"

enum { STORE_NAME = 16 };

struct txn {
    struct db *env;
    struct segments *segments;
    uint64_t journal_max;
    struct db_txn *db;        // while one is open
    struct buf value;         // encodings
    struct buf *redo;         // where messages and recipients put are taken down too (redo.h), and all else is a mistake; NULL: nowhere
    uint64_t held, held_committed;       // recipients in that state: the one count no table's size gives
    uint64_t id_mark, id_mark_committed; // no id above it was used
    uint32_t journal_seq;
    char redo_secret[REDO_SECRET];
    char name[STORE_NAME + 1]; // store_name
    struct key swept;         // how far the suppression table has been looked through for what is over
    struct key shelf_swept;   // likewise the shelf
};

// Counters as they are in the transaction.
struct txn_counts {
    uint64_t messages, recipients, parked, held, db_bytes_used;
};

bool must_use txn_begin(struct txn *t, struct err *err);
bool must_use txn_commit(struct txn *t, struct txn_counts *counts, struct err *err); // ended either way
void txn_abort(struct txn *t);

// Entries of TABLE_META. The version is that of the database as a whole.
enum { DB_VERSION = 2 /* 1: knew no redo records, so would lose what was promised in them */ };
extern const char meta_held[];
// At open, within a transaction; again after an abort. An older version becomes this one.
bool must_use txn_load(struct txn *t, bool *is_new, struct err *err);
