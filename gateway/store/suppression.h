// SPDX-License-Identifier: MIT
// suppression: who must not be written to, by address and scope, with a reason and an end.
//
// An address is given in the form by which lists know it (mail/address: address_listed); the store compares
// bytes.
// "@example.net" is an entry for everybody of that domain. Entries whose time is over are not seen by anyone,
// and swept out: a few by each put on its way, the others by the writer when it has nothing else to do. A
// look-up costs two point reads for each scope asked for, however long the list is.
#pragma once

#include "store/store.h"

enum {
    SUPPRESSION_SCOPE = 120, // bytes of a scope at most
    SUPPRESSION_WORDS = 200, // of a reason, of a source
    SUPPRESSION_ADDRESS = 1000,
};

struct suppression {
    struct bytes address; // "bob@example.net", or "@example.net"
    struct bytes scope;   // "all", "stream:NAME", "identity:NAME"
    struct bytes reason;  // one line for people, as "hard bounce: 550 5.1.1 ..."
    struct bytes source;  // who put it there: "operator", "import", a message's id
    int64_t added_ms;
    int64_t until_ms; // 0: for ever
};

bool suppression_scope_is_valid(
    struct bytes scope); // "all", or a known kind with a name of printable characters
// What an entry must be, said in words; each put checks it too.
bool must_use suppression_check(const struct suppression *s, struct err *err);

// ---- writing: for apply (store.h)

enum suppression_put {
    SUPPRESSION_REPLACE,  // this is how it shall be: an operator's word
    SUPPRESSION_LENGTHEN, // an entry that lasts as long or longer stays as it is: what rules add
};
bool must_use txn_put_suppression(struct txn *t, const struct suppression *s, enum suppression_put how,
                                  int64_t now_ms, struct err *err);
// scope "": in every scope. *count: how many went.
bool must_use txn_drop_suppression(struct txn *t, struct bytes address, struct bytes scope, uint64_t *count,
                                   struct err *err);
// Goes over the next entries of the table. *gone: how many were over; *whole: that was the last of it, the
// next call begins anew.
bool must_use txn_sweep_suppressions(struct txn *t, int64_t now_ms, size_t *gone, bool *whole,
                                     struct err *err);

// ---- reading: within reader_begin..reader_end; what is found points into the map

// The first entry in force for this address or its domain, in the order of the scopes. A damaged one is in
// force.
bool reader_suppressed(struct reader *r, const struct bytes *scopes, size_t count, struct bytes address,
                       int64_t now_ms, struct suppression *out);
// All entries in force, in the order of addresses. `after` is where an earlier walk stopped: the last entry
// it saw, NULL to begin. Return false from `each` to stop; false where it was stopped.
bool reader_suppressions(struct reader *r, const struct suppression *after, int64_t now_ms,
                         bool (*each)(void *arg, const struct suppression *s), void *arg);
// Those of one address, or of one domain ("@example.net"), in all scopes.
bool reader_suppressions_of(struct reader *r, struct bytes address, int64_t now_ms,
                            bool (*each)(void *arg, const struct suppression *s), void *arg);

// Records, for the store's own rooms (check).
void suppression_encode(const struct suppression *s, struct buf *out);
bool must_use suppression_decode(struct bytes key, struct bytes value, struct suppression *out,
                                 struct err *err);
