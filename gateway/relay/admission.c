// SPDX-License-Identifier: MIT
#include "relay/admission.h"

#include "base/quantity.h"
#include "relay/grant.h"

#include <inttypes.h>
#include <stdlib.h>

struct admission {
    struct worker *worker;
    struct admission_of of;
    struct arena arena;
    struct origin origin;
    size_t recipients;
    struct grant *grant;
    void (*done)(void *arg, const struct reply *refused);
    void *arg;
};

static void forget(struct admission *a) {
    arena_release(&a->arena);
    free(a);
}

static int64_t now_ms(const struct admission *a) { return clock_ms(&a->worker->gateway->clock); }

static void tell(const struct admission *a, const struct refusal *r) {
    struct jsonl *j = event_begin(a->worker->events, "limit");
    jsonl_text(j, "session", a->of.session);
    jsonl_text(j, "sender", a->of.sender);
    jsonl_text(j, "user", a->of.user);
    ledger_put_refusal(j, r);
    jsonl_text(j, "policy", a->origin.version);
    jsonl_text(j, "where", a->origin.where);
    jsonl_text(j, "because", a->origin.because);
    event_end(a->worker->events);
}

// X.7.1 as everybody uses it for what policy does not allow (RFC 3463 3.8); X.5.3 is "too many recipients" (3.6).
struct reply admission_refusal(const struct spend *s, size_t recipients, int64_t until_ms, int64_t now) {
    char window[QUANTITY_TEXT], wait[QUANTITY_TEXT];
    if (!s) return reply_make(451, "4.3.0", "The limit cannot be recorded now, try again later");
    const char *what = s->recipients ? "recipients" : "messages";
    quantity_duration_text(s->window_s, window);
    // No waiting makes room for it: its client should hear so now, and not in five days.
    if (s->recipients && recipients > s->cap)
        return reply_make(550, "5.5.3", "%zu recipients are more than the limit of %" PRIu64 " in %s", recipients, s->cap, window);
    if (s->cap == 0) return reply_make(550, "5.7.1", "The limit is 0 %s in %s", what, window);
    int64_t left_s = (until_ms - now + 999) / 1000;
    quantity_duration_human(left_s > 1 ? left_s : 1, wait);
    return reply_make(452, "4.7.1", "Over the limit of %" PRIu64 " %s in %s, try again in %s", s->cap, what, window, wait);
}

static void answered(void *arg, const struct refusal *refused) {
    struct admission *a = arg;
    void (*done)(void *, const struct reply *) = a->done;
    if (!refused) return done(a->arg, NULL);
    if (refused->spend) tell(a, refused);
    struct reply reply = admission_refusal(refused->unreachable ? NULL : refused->spend, a->recipients, refused->until_ms, now_ms(a));
    arg = a->arg;
    forget(a);
    done(arg, &reply);
}

struct admission *admission_ask(struct worker *w, const struct answer *answer, size_t recipients, const struct admission_of *of,
                                void (*done)(void *arg, const struct reply *refused), void *arg) {
    struct admission *a = must_alloc(sizeof *a);
    a->worker = w;
    a->of = *of;
    a->recipients = recipients;
    a->origin = answer->origin;
    a->origin.version = arena_copy(&a->arena, answer->origin.version);
    a->origin.where = arena_copy(&a->arena, answer->origin.where);
    a->origin.because = arena_copy(&a->arena, answer->origin.because);
    a->done = done;
    a->arg = arg;
    a->grant = grant_ask_spends(w, answer->spends, answer->spend_count, recipients, answered, a);
    return a;
}

void admission_settle(struct admission **at, bool stored) {
    struct admission *a = *at;
    *at = NULL;
    if (!a) return;
    grant_settle(&a->grant, stored ? a->recipients : 0, a->recipients);
    forget(a);
}

void admission_cancel(struct admission **at) {
    struct admission *a = *at;
    *at = NULL;
    if (!a) return;
    grant_cancel(&a->grant);
    forget(a);
}
