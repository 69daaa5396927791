// SPDX-License-Identifier: MIT
#include "relay/catchup.h"

#include "relay/deed.h"

#include <stdlib.h>

enum { MOST_MS = 500 };

struct catchup {
    struct deed deed; // first; changes nothing, and is not patient: what is under way commits with it
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

// A store that cannot commit shows what it showed before.
static void done(struct deed *e) {
    struct catchup *c = (struct catchup *)e;
    timer_free(&c->most);
    go_on(c);
    free(c);
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    (void)op, (void)txn, (void)err;
    return true;
}

void catchup_wait(struct gateway *g, void (*then)(void *arg), void *arg) {
    struct catchup *c = must_alloc(sizeof *c);
    c->then = then;
    c->arg = arg;
    c->most = timer_new(g->loop, on_most, c);
    timer_set(c->most, MOST_MS);
    deed_run(&c->deed, g, apply, done);
}
