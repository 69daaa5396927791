// SPDX-License-Identifier: MIT
#include "relay/grant.h"

#include "base/bug.h"
#include "policy/plan.h"
#include "policy/spends.h"
#include "relay/waiters.h"

#include <stdlib.h>

// asking -> granted -> settling;  asking -> giving back -> refused
enum phase { GRANT_ASKING, GRANT_GIVING_BACK, GRANT_REFUSED, GRANT_GRANTED, GRANT_SETTLING };

struct grant {
    struct task task; // first
    struct worker *home;
    const struct plan *plan; // who holds the spends; NULL: the arena does
    struct arena arena;
    enum phase phase;
    size_t at, count;
    bool cancelled;
    struct refusal refused;
    grant_fn answer;
    void *arg;
    char from[WAITERS_PLACE];
    struct leg legs[];
};

static void visit(struct task *task);
static void come_home(struct task *task);

static void travel(struct grant *g) {
    struct worker *there = gateway_worker_of_lane(g->home->gateway, g->legs[g->at].spend->account);
    g->task.run = visit;
    loop_post(there->loop, &g->task);
}

static void go_home(struct grant *g) {
    g->task.run = come_home;
    loop_post(g->home->loop, &g->task);
}

static void go_back(struct grant *g) {
    g->phase = g->at == 0 ? GRANT_REFUSED : GRANT_GIVING_BACK;
    if (g->at == 0) return go_home(g);
    g->at--;
    travel(g);
}

static void go_on(struct grant *g) {
    if (++g->at < g->count) return travel(g);
    if (g->phase == GRANT_ASKING) g->phase = GRANT_GRANTED;
    go_home(g);
}

void grant_passed(struct leg *leg) { go_on(leg->grant); }

void grant_refused(struct leg *leg, const struct refusal *why) {
    leg->grant->refused = *why;
    go_back(leg->grant);
}

static void visit(struct task *task) {
    struct grant *g = (struct grant *)task;
    struct leg *leg = &g->legs[g->at];
    struct worker *here = gateway_worker_of_lane(g->home->gateway, leg->spend->account);
    if (g->phase == GRANT_ASKING) return ledger_take(here->ledger, leg, bytes_of(g->from));
    ledger_settle(leg);
    if (g->phase == GRANT_SETTLING) go_on(g);
    else go_back(g);
}

// ---- at home

static void end(struct grant *g) {
    g->home->grants--;
    plan_free(&g->plan);
    arena_release(&g->arena);
    free(g);
}

static void come_home(struct task *task) {
    struct grant *g = (struct grant *)task;
    bool granted = g->phase == GRANT_GRANTED;
    if (g->phase == GRANT_SETTLING) return end(g);
    if (g->cancelled) {
        if (granted) return grant_settle(&g, 0, 0);
        return end(g);
    }
    g->answer(g->arg, granted ? NULL : &g->refused);
    if (!granted) end(g);
}

static struct grant *make(struct worker *home, size_t count, grant_fn answer, void *arg) {
    struct grant *g = must_alloc(sizeof *g + count * sizeof *g->legs);
    bug_if(count == 0);
    g->home = home;
    g->count = count;
    g->answer = answer;
    g->arg = arg;
    return g;
}

static struct grant *start(struct grant *g, const struct spend *spends, size_t recipients, uint64_t id) {
    for (size_t i = 0; i < g->count; i++)
        g->legs[i] = (struct leg){.grant = g, .spend = &spends[i], .n = spends[i].recipients ? recipients : 1, .id = id, .bucket = -1};
    g->home->grants++;
    travel(g);
    return g;
}

struct grant *grant_ask(struct worker *home, const struct plan *plan, size_t recipients, uint64_t id, struct bytes from,
                        grant_fn answer, void *arg) {
    struct grant *g = make(home, plan->spend_count, answer, arg);
    g->plan = plan_ref(plan);
    memcpy(g->from, from.at, from.len < sizeof g->from ? from.len : 0);
    return start(g, plan->spends, recipients, id);
}

struct grant *grant_ask_spends(struct worker *home, const struct spend *spends, size_t count, size_t recipients, grant_fn answer,
                               void *arg) {
    struct grant *g = make(home, count, answer, arg);
    return start(g, spends_make(&g->arena, spends, &g->count), recipients, 0);
}

void grant_cancel(struct grant **at) {
    struct grant *g = *at;
    *at = NULL;
    if (g) g->cancelled = true;
}

void grant_settle(struct grant **at, size_t accepted, size_t tried) {
    struct grant *g = *at;
    *at = NULL;
    for (size_t i = 0; i < g->count; i++) {
        struct leg *leg = &g->legs[i];
        size_t counts = leg->spend->attempts ? tried : accepted;
        leg->counted = leg->spend->recipients ? counts : counts > 0;
        bug_if(leg->counted > leg->n);
    }
    g->phase = GRANT_SETTLING;
    g->at = 0;
    travel(g);
}
