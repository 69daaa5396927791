// SPDX-License-Identifier: MIT
#include "policy/hooks.h"

#include "base/bug.h"
#include "policy/plan.h"
#include "policy/wall.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAULT_WAIT_S = 300, DEADLINE_WORDS = 100, KEEP_MAX = 16 * 1024, DESCRIBE_TIMES = 10 };

// ---- tickets

static struct hook_ticket *ticket_new(struct generation *g, enum hook hook) {
    struct hook_ticket *t = g->idle;
    if (t)
        g->idle = t->next;
    else
        t = must_alloc(sizeof *t);
    t->next = NULL;
    t->g = generation_ref(g);
    t->hook = hook;
    t->state = TICKET_RUNNING;
    t->plan = NULL;
    t->dns_answer = NULL;
    t->fetch_answer = NULL;
    t->co = NULL;
    t->arg = NULL;
    t->on_answer = NULL;
    memset(&t->facts, 0, sizeof t->facts);
    buf_reset(&t->looked);
    t->began_ms = g->options.clock ? clock_ms(g->options.clock) : 0;
    g->stats.hooks++;
    return t;
}

static void ticket_release(struct hook_ticket *t) {
    struct generation *g = t->g;
    plan_free(&t->plan);
    if (t->looked.cap > KEEP_MAX) buf_release(&t->looked);
    if (t->arena.total > KEEP_MAX)
        arena_release(&t->arena); // a large header block was copied
    else
        arena_reset(&t->arena);
    t->serial++; // handles of facts that a script has kept are stale from here
    t->state = TICKET_IDLE;
    t->g = NULL;
    t->next = g->idle;
    g->idle = t;
    generation_free(&g); // the last one out closes the state, with this ticket in it
}

void ticket_release_memory(struct hook_ticket *t) {
    timer_free(&t->timer);
    arena_release(&t->arena);
    buf_release(&t->looked);
    free(t);
}

static void forget_questions(struct hook_ticket *t) {
    dns_cancel(&t->dns);
    fetch_cancel(&t->fetch);
    if (t->limit) t->g->options.limit_cancel(&t->limit);
}

void ticket_before_wait(lua_State *l, const char *who, uint64_t steps) {
    if (!vm_can_wait(l)) luaL_error(l, "%s: waiting is not possible within table.sort, string.gsub, tostring or require", who);
    vm_charge(l, steps);
    forget_questions(ticket_of(l)); // of a coroutine that was left alone
}

// What the run held is given back; the answer is in the ticket.
static void ticket_finish(struct hook_ticket *t, bool clean) {
    forget_questions(t);
    if (t->timer) timer_stop(t->timer);
    if (t->co) vm_give(t->g->vm, t->co, clean);
    t->co = NULL;
    if (t->hook == HOOK_SETTLE) {
        ticket_release(t);
        return;
    }
    t->state = TICKET_DONE;
    t->next = NULL;
    *t->g->done_end = t;
    t->g->done_end = &t->next;
    generation_post(t->g);
}

static void tell(struct hook_ticket *t) {
    if (t->hook == HOOK_ROUTE)
        t->on_plan(t->arg, t->plan);
    else if (t->hook == HOOK_RETRY)
        t->on_verdict(t->arg, &t->verdict);
    else if (t->hook == HOOK_DESCRIBE)
        t->on_told(t->arg, t->told, t->answer.origin.fault ? t->answer.origin.because.at : NULL);
    else
        t->on_answer(t->arg, &t->answer);
}

void tickets_tell(struct generation *g) {
    // Those that get done meanwhile are for the next turn of the loop.
    struct hook_ticket *last =
        g->done ? (struct hook_ticket *)((char *)g->done_end - offsetof(struct hook_ticket, next)) : NULL;
    for (bool more = last; more;) {
        struct hook_ticket *t = g->done;
        more = t != last;
        g->done = t->next;
        if (!g->done) g->done_end = &g->done;
        if (t->state == TICKET_DONE) { // not cancelled
            t->state = TICKET_TELLING;
            tell(t);
        }
        ticket_release(t);
    }
    if (g->done) generation_post(g);
}

struct hook_ticket *ticket_of(lua_State *l) {
    struct hook_ticket *t = vm_run(vm_of(l));
    if (!t) luaL_error(l, "only within a hook, not while the scripts load");
    return t;
}

struct hook_trace hook_trace(const struct hook_ticket *t) {
    return (struct hook_trace){t->began_ms, buf_bytes(&t->looked)};
}

void hook_cancel(struct hook_ticket **ticket) {
    struct hook_ticket *t = *ticket;
    *ticket = NULL;
    if (!t) return;
    bug_if(t->state != TICKET_WAITING && t->state != TICKET_DONE);
    if (t->state == TICKET_WAITING) {
        t->g->stats.waiting--;
        ticket_finish(t, false);
    }
    t->state = TICKET_TELLING; // stays in the list of the done, nobody is told
}

// ---- answers without a script

static struct origin origin_of(struct hook_ticket *t, const char *because) {
    return (struct origin){.version = bytes_of(bundle_version(t->g->bundle)),
                           .where = BYTES(""),
                           .because = arena_copy(&t->arena, bytes_of(because))};
}

static void answer_plainly(struct hook_ticket *t, enum answer_kind kind, struct reply reply,
                           const char *because) {
    t->answer = (struct answer){.kind = kind,
                                .origin = origin_of(t, because),
                                .reply = reply,
                                .user_facts = BYTES(""),
                                .tags = BYTES("")};
}

static const struct reply no_reply = {0};

// RFC 4616 section 2: an authorization identity that is not its own needs a right, and only a policy can know of one.
static bool acts_for_another(const struct login_facts *login) {
    return login->authzid.len && !bytes_equal(login->authzid, login->user);
}

// design.md section 6: what a hook answers that the policy does not have.
static void answer_default(struct hook_ticket *t) {
    const struct session_facts *s = &t->facts.session;
    switch (t->hook) {
    case HOOK_AUTHENTICATE:
        if (!t->facts.login.password_matches || acts_for_another(&t->facts.login)) {
            answer_plainly(t, ANSWER_REJECT, reply_make(535, "5.7.8", "authentication failed"),
                           t->facts.login.password_matches ? "would act as another user (authzid)"
                                                           : "user unknown or wrong password");
            return;
        }
        answer_plainly(t, ANSWER_ACCEPT, no_reply, "in the users file");
        t->answer.user_facts = arena_copy(&t->arena, t->facts.login.known);
        return;
    case HOOK_RECIPIENT:
        if (s->user.len)
            answer_plainly(t, ANSWER_ACCEPT, no_reply, "the client has logged in");
        else if (s->trusted_network)
            answer_plainly(t, ANSWER_ACCEPT, no_reply, "the client is in an allowed network");
        else
            answer_plainly(t, ANSWER_REJECT, reply_make(550, "5.7.1", "relaying denied"),
                           "the client has not logged in and is in no allowed network");
        return;
    case HOOK_ROUTE: {
        struct plan hold = {.kind = PLAN_HOLD, .origin = origin_of(t, "no route in the policy")};
        t->plan = plan_make(&hold, BYTES(""));
        return;
    }
    default:
        answer_plainly(t, ANSWER_ACCEPT, no_reply, "the policy has no such hook");
        return;
    }
}

// "policy.lua:41" off the front of "policy.lua:41: words".
static struct bytes place_of(struct bytes words) {
    ptrdiff_t colon = bytes_find(words, ':');
    if (colon < 1) return BYTES("");
    size_t end = (size_t)colon + 1;
    while (end < words.len && words.at[end] >= '0' && words.at[end] <= '9')
        end++;
    return end > (size_t)colon + 1 && end < words.len && words.at[end] == ':' ? bytes_first(words, end)
                                                                              : BYTES("");
}

// Law 5: a temporary failure, never "let it pass" and never a bounce.
static void answer_fault(struct hook_ticket *t, const char *first, const char *trace) {
    t->g->stats.faults++;
    if (t->g->options.log)
        log_fault(t->g->options.log, "policy %s: %s: %s", bundle_version(t->g->bundle),
                  t->hook == HOOK_DESCRIBE ? "describe" : hook_name[t->hook], trace);
    plan_free(&t->plan);
    answer_plainly(t, ANSWER_DEFER, reply_make(451, "4.3.0", "temporary failure of the mail policy"), first);
    struct origin origin = t->answer.origin;
    origin.fault = true;
    origin.where = place_of(origin.because);
    t->answer.origin = origin;
    if (t->hook == HOOK_ROUTE) {
        struct plan wait = {.kind = PLAN_WAIT, .origin = origin, .wait_s = FAULT_WAIT_S};
        t->plan = plan_make(&wait, BYTES(""));
    } else if (t->hook == HOOK_RETRY) {
        t->verdict = (struct verdict){.kind = VERDICT_WAIT, .origin = origin, .wait_s = FAULT_WAIT_S};
    }
}

// ---- running

static void push_facts(lua_State *l, struct hook_ticket *t) {
    switch (t->hook) {
    case HOOK_CONNECT:
        facts_push_session(l, t);
        break;
    case HOOK_AUTHENTICATE:
        facts_push_session(l, t);
        facts_push_login(l, t);
        break;
    case HOOK_SENDER:
    case HOOK_RECIPIENT:
        facts_push_session(l, t);
        facts_push_address(l, t);
        break;
    case HOOK_MESSAGE:
        facts_push_session(l, t);
        facts_push_message(l, t);
        break;
    case HOOK_ROUTE:
        facts_push_message(l, t);
        facts_push_recipient(l, t);
        break;
    case HOOK_RETRY:
        facts_push_message(l, t);
        facts_push_recipient(l, t);
        facts_push_outcome(l, t);
        break;
    case HOOK_SETTLE:
        facts_push_event(l, t);
        break;
    case HOOK_DESCRIBE: // brings its own
        break;
    case QUESTIONS:
        break;
    }
}

static int read_answer(lua_State *l, int status, intptr_t context) {
    (void)status;
    struct hook_ticket *t = (struct hook_ticket *)context;
    if (t->hook == HOOK_ROUTE)
        plan_read(l, t);
    else if (t->hook == HOOK_RETRY)
        verdict_read(l, t);
    else if (t->hook == HOOK_DESCRIBE)
        describe_read(l, t);
    else if (t->hook != HOOK_SETTLE)
        answer_read(l, t);
    return 0;
}

static int enter(lua_State *l) {
    struct hook_ticket *t = lua_touserdata(l, 1);
    if (t->hook == HOOK_DESCRIBE && !describe_push(l, t)) return 0;
    if (t->hook != HOOK_DESCRIBE) lua_rawgeti(l, LUA_REGISTRYINDEX, t->g->hooks[t->hook]);
    int function = t->hook == HOOK_DESCRIBE ? lua_gettop(l) - 1 : lua_gettop(l);
    push_facts(l, t);
    lua_callk(l, lua_gettop(l) - function, 1, (lua_KContext)t, read_answer);
    return read_answer(l, LUA_OK, (lua_KContext)t);
}

static void on_deadline(void *arg) {
    struct hook_ticket *t = arg;
    char words[DEADLINE_WORDS];
    snprintf(words, sizeof words, "stopped: it waited for longer than %" PRId64 " ms",
             t->g->options.time_max_ms);
    t->g->stats.waiting--;
    answer_fault(t, words, words);
    ticket_finish(t, false);
}

static void start_waiting(struct hook_ticket *t) {
    t->state = TICKET_WAITING;
    t->g->stats.waiting++;
    int64_t left_ms = (t->deadline_us - clock_monotonic_us()) / 1000;
    if (!t->timer) t->timer = timer_new(t->g->options.loop, on_deadline, t);
    timer_set(t->timer, left_ms > 0 ? left_ms : 0);
}

// Runs t until it waits or ends.
static void run(struct hook_ticket *t, int arguments) {
    struct vm *vm = t->g->vm;
    struct vm_fault fault;
    fault.trace = (struct buf){0};
    t->state = TICKET_RUNNING;
    void *outer = vm_run(vm);
    vm_set_run(vm, t);
    vm_set_now(vm, t->now_ms);
    enum vm_end end = vm_resume(vm, t->co, arguments, &t->budget, &fault);
    vm_set_run(vm, outer);
    vm_set_now(vm, outer ? ((struct hook_ticket *)outer)->now_ms : 0);
    t->dns_answer = NULL;
    t->fetch_answer = NULL;
    t->limit_there = false;
    if (end == VM_WAITING) {
        start_waiting(t);
        return;
    }
    if (end == VM_FAULT) answer_fault(t, fault.first, buf_z(&fault.trace));
    buf_release(&fault.trace);
    ticket_finish(t, end == VM_DONE);
}

void ticket_go_on(struct hook_ticket *t) {
    t->g->stats.waiting--;
    t->now_ms = clock_ms(t->g->options.clock);
    run(t, 0);
}

static struct hook_ticket *start(struct hook_ticket *t) {
    struct generation *g = t->g;
    bug_if(!g->options.loop);
    t->now_ms = t->began_ms;
    if (g->hooks[t->hook] == LUA_NOREF) {
        answer_default(t);
        ticket_finish(t, true);
        return t;
    }
    t->co = vm_take(g->vm);
    if (!t->co) {
        static const char words[] = "stopped: no memory to start with";
        answer_fault(t, words, words);
        ticket_finish(t, false);
        return t;
    }
    vm_budget_init(&t->budget, (int64_t)g->options.steps_max * (t->hook == HOOK_DESCRIBE ? DESCRIBE_TIMES : 1));
    t->deadline_us = clock_monotonic_us() + g->options.time_max_ms * 1000;
    lua_pushcfunction(t->co, enter);
    lua_pushlightuserdata(t->co, t);
    run(t, 1);
    if (t->state == TICKET_WAITING) facts_keep(&t->facts, &t->arena);
    return t;
}

// ---- the hooks

static struct hook_ticket *ask_session(struct generation *g, enum hook hook, const struct session_facts *s,
                                       answer_fn fn, void *arg) {
    struct hook_ticket *t = ticket_new(g, hook);
    t->facts.session = *s;
    t->facts.has_session = true;
    t->on_answer = fn;
    t->arg = arg;
    return t;
}

struct hook_ticket *hook_connect(struct generation *g, const struct session_facts *s, answer_fn fn,
                                 void *arg) {
    return start(ask_session(g, HOOK_CONNECT, s, fn, arg));
}

struct hook_ticket *hook_authenticate(struct generation *g, const struct session_facts *s,
                                      const struct login_facts *l, answer_fn fn, void *arg) {
    struct hook_ticket *t = ask_session(g, HOOK_AUTHENTICATE, s, fn, arg);
    t->facts.login = *l;
    return start(t);
}

struct hook_ticket *hook_sender(struct generation *g, const struct session_facts *s,
                                const struct address_facts *a, answer_fn fn, void *arg) {
    struct hook_ticket *t = ask_session(g, HOOK_SENDER, s, fn, arg);
    t->facts.address = *a;
    return start(t);
}

struct hook_ticket *hook_recipient(struct generation *g, const struct session_facts *s,
                                   const struct address_facts *a, answer_fn fn, void *arg) {
    struct hook_ticket *t = ask_session(g, HOOK_RECIPIENT, s, fn, arg);
    t->facts.address = *a;
    return start(t);
}

struct hook_ticket *hook_message(struct generation *g, const struct session_facts *s,
                                 const struct message_facts *m, answer_fn fn, void *arg) {
    struct hook_ticket *t = ask_session(g, HOOK_MESSAGE, s, fn, arg);
    t->facts.message = *m;
    t->facts.has_message = true;
    return start(t);
}

static struct hook_ticket *ask_message(struct generation *g, enum hook hook, const struct message_facts *m,
                                       const struct recipient_facts *r, void *arg) {
    struct hook_ticket *t = ticket_new(g, hook);
    t->facts.message = *m;
    t->facts.has_message = true;
    t->facts.recipient = *r;
    t->arg = arg;
    return t;
}

struct hook_ticket *hook_route(struct generation *g, const struct message_facts *m,
                               const struct recipient_facts *r, plan_fn fn, void *arg) {
    struct hook_ticket *t = ask_message(g, HOOK_ROUTE, m, r, arg);
    t->on_plan = fn;
    return start(t);
}

struct hook_ticket *hook_retry(struct generation *g, const struct message_facts *m,
                               const struct recipient_facts *r, const struct outcome_facts *o, verdict_fn fn,
                               void *arg) {
    struct hook_ticket *t = ask_message(g, HOOK_RETRY, m, r, arg);
    t->facts.outcome = *o;
    t->on_verdict = fn;
    return start(t);
}

void hook_settle(struct generation *g, struct bytes event) {
    if (g->hooks[HOOK_SETTLE] == LUA_NOREF) return;
    struct hook_ticket *t = ticket_new(g, HOOK_SETTLE);
    t->facts.event = event;
    start(t);
}

struct hook_ticket *hook_describe(struct generation *g, struct bytes what, struct bytes question, told_fn fn, void *arg) {
    struct hook_ticket *t = ticket_new(g, HOOK_DESCRIBE);
    t->facts.described = what;
    t->facts.event = question;
    t->on_told = fn;
    t->arg = arg;
    t->told = BYTES("[]");
    answer_plainly(t, ANSWER_ACCEPT, no_reply, "");
    return start(t);
}
