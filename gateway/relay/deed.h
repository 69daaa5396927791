// SPDX-License-Identifier: MIT
// deed: one change of the store that the main loop wants, and hears of once it is committed, or cannot be.
//
// Whoever wants it has it first in a struct of its own, and both to itself again from `done` on, which may
// free them.
#pragma once

#include "relay/gateway.h"
#include "store/store.h"

struct deed {
    struct store_op op; // first
    struct task back;
    struct loop *loop;
    void (*done)(struct deed *e);
    bool stored;
    struct err why; // where it is not
};

// `apply` as the store has it (store.h): on the writer's thread, perhaps more than once. `done` on the main
// loop, once, later.
void deed_run(struct deed *e, struct gateway *g,
              bool (*apply)(struct store_op *op, struct txn *txn, struct err *err),
              void (*done)(struct deed *e));
