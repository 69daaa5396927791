// SPDX-License-Identifier: MIT
// keeping: what an answer asks to be put on the shelf, or taken off, on its way into the store with what else the answer does.
//
// It never stands in the way of mail: what a full shelf does not take is left out, and the log says so, once a minute at the most.
#pragma once

#include "policy/answer.h"
#include "relay/gateway.h"

struct worker;

struct keeping { // a value; all of it in somebody's arena
    const struct keep *keeps;
    size_t count;
    struct bytes source;
};

// Copied into the arena. id: of the message. NULL or a count of 0: nothing.
struct keeping keeping_of(struct arena *arena, const struct keep *keeps, size_t count, uint64_t id, struct bytes where);
// For apply (store.h).
bool must_use keeping_apply(const struct keeping *k, struct gateway *g, struct txn *txn, struct err *err);
// What a plan and its alternatives ask for has no fate to go with yet, so it goes by itself, and the plan is carried out behind it: who is routed
// next finds it. False: nothing is asked for. `done` on the worker's loop, once, later, stored or not.
bool must_use keeping_run(struct worker *w, const struct plan *plan, uint64_t id, void (*done)(void *arg), void *arg);
