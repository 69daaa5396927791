// SPDX-License-Identifier: MIT
#include "relay/catchup.h"

#include <stdlib.h>

enum { MOST_MS = 500 };

struct catchup {
    struct store_op op; // first; changes nothing, and is not patient: what is under way commits with it
    struct task back;
    struct loop *loop;
    struct timer *most;
    void (*then)(void *arg);
    void *arg;
};

static void go_on(struct catchup *c) {
    void (*then)(void *) = c->then;
    c->then = NULL;
    if (then) then(c->arg);
}

static void on_most(void *arg) { go_on(arg); }

static void come_back(struct task *task) {
    struct catchup *c = (struct catchup *)((char *)task - offsetof(struct catchup, back));
    timer_free(&c->most);
    go_on(c);
    free(c);
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    (void)op, (void)txn, (void)err;
    return true;
}

// A store that cannot commit shows what it showed before.
static void finish(struct store_op *op, bool done, const struct err *why) {
    struct catchup *c = (struct catchup *)op;
    (void)done, (void)why;
    loop_post(c->loop, &c->back);
}

void catchup_wait(struct gateway *g, void (*then)(void *arg), void *arg) {
    struct catchup *c = must_alloc(sizeof *c);
    c->op = (struct store_op){.apply = apply, .finish = finish, .file = -1};
    c->back.run = come_back;
    c->loop = g->loop;
    c->then = then;
    c->arg = arg;
    c->most = timer_new(g->loop, on_most, c);
    timer_set(c->most, MOST_MS);
    store_submit(g->store, &c->op);
}
