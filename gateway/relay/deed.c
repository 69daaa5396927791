// SPDX-License-Identifier: MIT
#include "relay/deed.h"

#include "net/loop.h"

static void come_back(struct task *task) {
    struct deed *e = (struct deed *)((char *)task - offsetof(struct deed, back));
    e->done(e);
}

static void finish(struct store_op *op, bool stored, const struct err *why) {
    struct deed *e = (struct deed *)op;
    e->stored = stored;
    if (why) e->why = *why;
    loop_post(e->loop, &e->back);
}

void deed_run(struct deed *e, struct gateway *g,
              bool (*apply)(struct store_op *op, struct txn *txn, struct err *err),
              void (*done)(struct deed *e)) {
    e->op = (struct store_op){.apply = apply, .finish = finish, .file = -1};
    e->back.run = come_back;
    e->loop = g->loop;
    e->done = done;
    store_submit(g->store, &e->op);
}
