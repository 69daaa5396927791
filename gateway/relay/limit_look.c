// SPDX-License-Identifier: MIT
#include "relay/limit_look.h"

#include "policy/spends.h"
#include "relay/ledger.h"

#include <stdlib.h>

struct limit_look {
    struct task task; // first
    struct worker *home, *there;
    uint64_t used;
    bool cancelled;
    void (*answer)(void *arg, uint64_t used);
    void *arg;
    struct bytes account;
    char text[SPEND_ACCOUNT_MAX];
};

static void come_home(struct task *task) {
    struct limit_look *l = (struct limit_look *)task;
    l->home->grants--;
    if (!l->cancelled) l->answer(l->arg, l->used);
    free(l);
}

static void visit(struct task *task) {
    struct limit_look *l = (struct limit_look *)task;
    l->used = ledger_used(l->there->ledger, l->account);
    l->task.run = come_home;
    loop_post(l->home->loop, &l->task);
}

bool limit_look_used(void *worker, const struct spend *spend, uint64_t *used, void (*answer)(void *arg, uint64_t used), void *arg,
                     struct limit_look **look) {
    struct limit_look *l = must_alloc(sizeof *l);
    l->home = worker;
    l->account = spend_account(spend, l->text);
    l->there = gateway_worker_of_lane(l->home->gateway, l->account);
    if (l->there == l->home) {
        *used = ledger_used(l->home->ledger, l->account);
        free(l);
        return true;
    }
    l->answer = answer;
    l->arg = arg;
    l->task.run = visit;
    l->home->grants++; // on its way: nobody stops before it is back
    loop_post(l->there->loop, &l->task);
    *look = l;
    return false;
}

void limit_look_cancel(struct limit_look **look) {
    if (*look) (*look)->cancelled = true;
    *look = NULL;
}
