// SPDX-License-Identifier: MIT
// shelf: values that scripts keep, by key, with an end.
//
// A key is a text of theirs; names of our own in the same table begin with NUL, and no script's key can. A value is JSON text. Entries
// whose time is over are not seen by anyone, and swept out: a few by each put on its way, the others by the writer when it has nothing
// else to do. A shelf that is full takes no new keys until some are over or taken off; what is there can still be changed.
#pragma once

#include "store/store.h"

enum {
    SHELF_KEY = 200,        // bytes
    SHELF_VALUE = 3500,     // of JSON: with it a look-up fits into what is kept for replay (policy/lookup)
    SHELF_SOURCE = 120,
    SHELF_ENTRIES = 100000, // of the whole table
};

struct shelf_entry {
    struct bytes key;
    struct bytes value;  // JSON
    struct bytes source; // who put it there: "operator", or a message's id and the script's line
    int64_t put_ms;
    int64_t until_ms;    // 0: for ever
};

bool shelf_key_is_valid(struct bytes key); // UTF-8 without control characters, of 1 to SHELF_KEY bytes
// What an entry must be, said in words; each put checks it too.
bool must_use shelf_check(const struct shelf_entry *e, struct err *err);

// ---- writing: for apply (store.h)

// *put false: it is full, and nothing was changed.
bool must_use txn_put_shelf(struct txn *t, const struct shelf_entry *e, int64_t now_ms, bool *put, struct err *err);
bool must_use txn_drop_shelf(struct txn *t, struct bytes key, bool *found, struct err *err);
// As txn_sweep_suppressions.
bool must_use txn_sweep_shelf(struct txn *t, int64_t now_ms, size_t *gone, bool *whole, struct err *err);

// ---- reading: within reader_begin..reader_end; what is found points into the map

bool reader_shelf(struct reader *r, struct bytes key, int64_t now_ms, struct shelf_entry *out);
// Those whose keys begin with `prefix`, in the order of keys. Return false from `each` to stop.
void reader_shelf_walk(struct reader *r, struct bytes prefix, int64_t now_ms,
                       bool (*each)(void *arg, const struct shelf_entry *e), void *arg);

// Records, for the store's own rooms (check). False for those under names of our own too.
bool must_use shelf_decode(struct bytes key, struct bytes value, struct shelf_entry *out);
