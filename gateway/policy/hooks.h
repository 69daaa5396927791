// SPDX-License-Identifier: MIT
// hooks: asks the operator's script, gets an answer as data. The wall.
//
// Each function starts the hook in a coroutine. The callback comes later, from the loop, at most once, never before the
// asking call returned; the hook may have waited for DNS meanwhile. A ticket is the asker's: hook_cancel ends the hook
// and no answer comes. A generation lives until its last hook has ended (tickets hold a reference).
// A hook that is not in the policy gives its default (design.md section 6) the same way.
// A fault (error, budget, memory, deadline, nonsense answer) gives the safe answer with origin.fault set, and logs the
// traceback: session hooks 451 4.3.0; route and retry wait, nothing counted.
#pragma once

#include "policy/answer.h"
#include "policy/facts.h"
#include "policy/generation.h"

struct hook_ticket;
typedef void (*answer_fn)(void *arg, const struct answer *answer);
typedef void (*plan_fn)(void *arg, const struct plan *plan); // keep it with plan_ref
typedef void (*verdict_fn)(void *arg, const struct verdict *verdict);

struct hook_ticket *hook_connect(struct generation *g, const struct session_facts *s, answer_fn fn, void *arg);
struct hook_ticket *hook_authenticate(struct generation *g, const struct session_facts *s, const struct login_facts *l, answer_fn fn, void *arg);
struct hook_ticket *hook_sender(struct generation *g, const struct session_facts *s, const struct address_facts *a, answer_fn fn, void *arg);
struct hook_ticket *hook_recipient(struct generation *g, const struct session_facts *s, const struct address_facts *a, answer_fn fn, void *arg);
struct hook_ticket *hook_message(struct generation *g, const struct session_facts *s, const struct message_facts *m, answer_fn fn, void *arg);
struct hook_ticket *hook_route(struct generation *g, const struct message_facts *m, const struct recipient_facts *r, plan_fn fn, void *arg);
struct hook_ticket *hook_retry(struct generation *g, const struct message_facts *m, const struct recipient_facts *r,
                               const struct outcome_facts *o, verdict_fn fn, void *arg);
void hook_settle(struct generation *g, struct bytes event); // JSON object text of the event; told, no answer
// What the scripts know of themselves, for an operator's question: the list that whoever registered for `what` ("warmup") while the scripts
// loaded makes now, as JSON ("[]" where nobody did). It may look at limits and the like, as hooks do; it asks for nothing. `question` is
// JSON. why: it failed, else NULL.
typedef void (*told_fn)(void *arg, struct bytes json, const char *why);
struct hook_ticket *hook_describe(struct generation *g, struct bytes what, struct bytes question, told_fn fn, void *arg);
// Of a hook that is just being answered: during its callback.
struct hook_trace {
    int64_t at_ms;       // when it was asked, by the generation's clock
    struct bytes looked; // what it looked up (policy/lookup.h), where that is kept
};
struct hook_trace hook_trace(const struct hook_ticket *ticket);
void hook_cancel(struct hook_ticket **ticket);              // NULL inside is fine
bool hook_is_defined(const struct generation *g, const char *name); // "settle" is not worth an event's encoding where nobody listens
