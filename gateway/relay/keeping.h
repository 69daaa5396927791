// SPDX-License-Identifier: MIT
// keeping: what an answer asks to be put on the shelf, or taken off, on its way into the store with what else the answer does.
//
// It never stands in the way of mail: what a full shelf does not take is left out, and the log says so, once a minute at the most.
#pragma once

#include "policy/answer.h"
#include "relay/gateway.h"

struct keeping { // a value; all of it in somebody's arena
    const struct keep *keeps;
    size_t count;
    struct bytes source;
};

// Copied into the arena. id: of the message. NULL or a count of 0: nothing.
struct keeping keeping_of(struct arena *arena, const struct keep *keeps, size_t count, uint64_t id, struct bytes where);
// For apply (store.h).
bool must_use keeping_apply(const struct keeping *k, struct gateway *g, struct txn *txn, struct err *err);
