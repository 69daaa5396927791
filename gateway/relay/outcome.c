// SPDX-License-Identifier: MIT
#include "relay/outcome.h"

#include "base/bug.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "relay/canary.h"
#include "relay/journal.h"
#include "relay/lane.h"
#include "relay/lanes.h"
#include "relay/lane_control.h"
#include "relay/ledger.h"
#include "relay/parking.h"
#include "relay/runner.h"
#include "script/json.h"
#include "smtp/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DELAY_DEFAULT_S = 4 * 3600 };
enum { NOTIFY_DELAY_SAID = 1 << 16 }; // kept in recipient.notify: the delay report has gone out

struct asked {
    struct writing *writing;
    size_t at; // index into which
    struct hook_ticket *hook;
    struct outcome_facts facts;
};

// ---- the fates ------------------------------------------------------------------------------------------------------

// What the policy asked for as an entry of the list. A recipient whose address is none (a bare postmaster) cannot be on it.
static void suppress(struct writing *w, struct change *c, const struct job_recipient *r, const struct story *st) {
    const struct suppress *wish = st->suppress;
    struct arena *arena = settle_arena(w->settle);
    struct buf address = {0};
    int64_t now = clock_ms(&w->job->owner->gateway->clock);
    if (!wish || !wish->scope.len) return;
    if (address_listed(r->record.address, &address, NULL))
        c->suppress = (struct suppression){
            .address = arena_copy(arena, buf_bytes(&address)), .scope = arena_copy(arena, wish->scope),
            .reason = arena_copy(arena, utf8_first(wish->reason.len ? wish->reason : st->because, SUPPRESSION_WORDS)),
            .source = arena_format(arena, "%s %.*s", w->job->id_text, BYTES_FMT(st->where)), .added_ms = now,
            .until_ms = wish->expires_s ? now + wish->expires_s * 1000 : 0,
        };
    buf_release(&address);
}

static struct change *add(struct writing *w, struct job_recipient *r, const struct story *st, enum fate fate) {
    struct change *c = settle_add(w->settle);
    c->fate = fate;
    c->record = r->record;
    suppress(w, c, r, st);
    if (st->keeps) c->keeping = keeping_of(settle_arena(w->settle), st->keeps->keeps, st->keeps->keep_count, w->job->message.id, st->where);
    telling_event(w, r, c, st);
    if (fate == FATE_GONE) return c; // no record is left to say more in
    c->record.decision = telling_decision(w, st);
    if (st->result) c->record.outcome = telling_outcome(w, st);
    if (st->plan && st->plan->kind == PLAN_SEND) c->record.lane = st->plan->lane;
    return c;
}

static _Atomic uint64_t *counter_of(struct counters *c, const char *type) {
    if (strcmp(type, "delivered") == 0) return &c->delivered;
    if (strcmp(type, "deferred") == 0) return &c->deferred;
    if (strcmp(type, "expired") == 0) return &c->expired;
    if (strcmp(type, "suppressed") == 0) return &c->suppressed;
    return &c->bounced;
}

static void tell_canary(struct writing *w, enum canary_count what) {
    canary_tell(w->job->owner, w->job->message.id, w->job->generation, what);
}

static void count(struct writing *w, const char *type) {
    atomic_fetch_add(counter_of(&w->job->owner->gateway->counters, type), 1);
    if (strcmp(type, "expired") == 0) return; // no version's doing
    tell_canary(w, strcmp(type, "delivered") == 0 ? CANARY_DELIVERED : strcmp(type, "deferred") == 0 ? CANARY_DEFERRED : CANARY_BOUNCED);
}

static void delivered(struct writing *w, struct job_recipient *r, struct story *st) {
    st->type = "delivered";
    count(w, st->type);
    struct change *c = add(w, r, st, FATE_GONE);
    // The peer did not take over NOTIFY=SUCCESS: say that it was relayed to where such reports are not known (RFC 3461 6.2.7.2).
    // What is captured has arrived; where to is for the operator.
    bool wanted = (r->record.notify & NOTIFY_SUCCESS) && !st->attempt->peer_has_dsn;
    if (wanted && st->plan->via.kind == VIA_CAPTURE) telling_report(w, c, r, st, REPORT_DELIVERED, NULL);
    else if (wanted) telling_report(w, c, r, st, REPORT_RELAYED, &st->result->reply);
}

static void gone_for_good(struct writing *w, struct job_recipient *r, struct story *st, const struct reply *reply) {
    count(w, st->type);
    struct change *c = add(w, r, st, FATE_GONE);
    bool wanted = r->record.notify == 0 || (r->record.notify & NOTIFY_FAILURE);
    if (wanted) telling_report(w, c, r, st, REPORT_FAILED, reply);
}

static void maybe_report_delay(struct writing *w, struct change *c, struct job_recipient *r, struct story *st) {
    int64_t after_s = w->job->owner->site->conf->report_delay_s;
    bool asked = r->record.notify & NOTIFY_DELAY;
    if (!after_s && asked) after_s = DELAY_DEFAULT_S;
    bool wanted = asked || r->record.notify == 0;
    int64_t age_s = (clock_ms(&w->job->owner->gateway->clock) - w->job->message.received_ms) / 1000;
    if (!wanted || !after_s || age_s < after_s || (r->record.notify & NOTIFY_DELAY_SAID)) return;
    // notify 0 means "not given": written out as RFC 3461 4.1's default, so that the new bit can stand beside it.
    if (!c->record.notify) c->record.notify = NOTIFY_FAILURE | NOTIFY_DELAY;
    c->record.notify |= NOTIFY_DELAY_SAID;
    telling_report(w, c, r, st, REPORT_DELAYED, st->result ? &st->result->reply : NULL);
}

static void deferred(struct writing *w, struct job_recipient *r, struct story *st, int64_t wait_s, bool counts) {
    int64_t now = clock_ms(&w->job->owner->gateway->clock);
    st->type = "deferred";
    count(w, st->type);
    st->due_ms = now + (wait_s > 0 ? wait_s * 1000 : 0);
    if (st->due_ms > w->job->message.expires_ms) st->due_ms = w->job->message.expires_ms;
    struct change *c = add(w, r, st, FATE_STAYS);
    c->record.state = RECIPIENT_DUE;
    c->record.due_ms = st->due_ms;
    if (st->attempt) c->record.last_ms = now;
    if (counts) c->record.attempts++;
    maybe_report_delay(w, c, r, st);
}

// What a version on trial would end for good: it waits until the trial is over (relay/canary), and nothing is counted.
static void put_off(struct writing *w, struct job_recipient *r, struct story *st) {
    int64_t now = clock_ms(&w->job->owner->gateway->clock), due = now + canary_patience_s(w->job->owner) * 1000;
    st->type = "deferred";
    st->suppress = NULL;
    st->because = arena_format(settle_arena(w->settle), "decided when the trial is over: %.*s", BYTES_FMT(st->because));
    st->due_ms = due < w->job->message.expires_ms ? due : w->job->message.expires_ms;
    tell_canary(w, CANARY_BOUNCED);
    struct change *c = add(w, r, st, FATE_STAYS);
    c->record.state = RECIPIENT_DUE;
    c->record.due_ms = st->due_ms;
    if (st->attempt) c->record.last_ms = now;
}

// ---- into the store ---------------------------------------------------------------------------------------------------

static void free_writing(struct writing *w) {
    attempt_free(&w->attempt);
    buf_release(&w->exhaustible);
    free(w->asked);
    free(w->which);
    free(w);
}

static struct writing *start(struct job *job, const size_t *which, size_t n) {
    struct worker *o = job->owner;
    struct writing *w = must_alloc(sizeof *w);
    w->job = job;
    w->settle = settle_new(o->gateway, o->site->conf, o->loop, o->events, &job->message);
    w->which = must_alloc(n * sizeof *which);
    memcpy(w->which, which, n * sizeof *which);
    w->count = n;
    return w;
}

static void written(void *arg, bool stored, const struct err *why) {
    struct writing *w = arg;
    struct job *job = w->job;
    struct worker *o = job->owner;
    if (w->parking && stored) parking_tell(w);
    // The store still has them as they were: what a peer has accepted is then sent a second time, by the next start or, where the
    // store never took it, by this one. That is the one duplicate that cannot be avoided.
    if (!stored) log_fault(&o->gateway->log, "%s: outcome could not be stored, will be tried again: %s", job->id_text, why->text);
    for (size_t i = 0, n = w->count; i < n; i++) job_close(job, w->which[i]); // the last one frees the job
    free_writing(w);
    runner_wake(o->runner);
}

static void submit(struct writing *w) { settle_submit(w->settle, w->job->owner, written, w); }

// ---- retry ------------------------------------------------------------------------------------------------------------

// "Elsewhere" is asked for because another way is there; a policy that names the same one again must not spin.
static int64_t elsewhere_wait_s(const struct job_recipient *r) {
    uint32_t doublings = r->record.attempts < 8 ? r->record.attempts : 8;
    return 1 << doublings;
}

static bool is_exhausted(const struct spend *s, const struct verdict *v) {
    return v->exhaust.by.len && bytes_equal(s->exhausted_by, v->exhaust.by);
}

// The accounts hear of it at once: other messages have their couriers already.
static void exhaust(struct writing *w, const struct verdict *v) {
    struct gateway *g = w->job->owner->gateway;
    const struct plan *p = w->attempt->plan;
    int64_t until_ms = clock_ms(&g->clock) + v->exhaust.seconds * 1000;
    for (size_t i = 0; i < p->spend_count; i++) {
        if (!is_exhausted(&p->spends[i], v)) continue;
        log_warn(&g->log, "limit %.*s has no room for %" PRId64 " s: %s said: %.*s", BYTES_FMT(p->spends[i].key), v->exhaust.seconds,
                 w->attempt->peer, BYTES_FMT(v->origin.because));
        ledger_exhaust(g, p->spends[i].account, until_ms);
    }
}

static void tally(struct gateway *g, const struct verdict *v) {
    for (size_t i = 0; i < v->tally_count; i++) ledger_count(g, v->tally[i].account, 1);
}

static void react(struct writing *w, size_t at, const struct verdict *v) {
    if (!v->lane.seconds) return;
    lane_react(w->job->owner->gateway, w->attempt->plan->lane, &v->lane, &w->attempt->results[at].reply, v->origin.because);
}

// What the world thinks of an identity is not mended by sending more of it. Many messages may say so at once: one is enough.
static void pause_identity(struct writing *w, const struct verdict *v) {
    struct worker *o = w->job->owner;
    const struct plan *p = w->attempt->plan;
    if (!v->pause_s || !p->identity.name.len || p->identity.name.len > PAUSE_NAME || lanes_has_pause(o->lanes, p->lane)) return;
    int64_t now = clock_ms(&o->gateway->clock);
    log_warn(&o->gateway->log, "identity %.*s is paused for %" PRId64 " s: %s said: %.*s", BYTES_FMT(p->identity.name), v->pause_s,
             w->attempt->peer, BYTES_FMT(v->origin.because));
    lane_control_pause(o->gateway, &(struct pause){.kind = PAUSE_IDENTITY, .name = p->identity.name, .because = v->origin.because,
                                                   .since_ms = now, .until_ms = now + v->pause_s * 1000});
}

// Its last attempt came after its end (relay/runner): "give up" then means that time has run out, which the next pick-up says.
static bool has_expired(const struct writing *w, const struct reply *said) {
    return said->code / 100 == 4 && clock_ms(&w->job->owner->gateway->clock) >= w->job->message.expires_ms;
}

static void decide(struct writing *w, size_t at, const struct verdict *v, const struct journal_retry *retry) {
    struct attempt *a = w->attempt;
    struct job_recipient *r = &w->job->recipients[w->which[at]];
    struct story st = {.attempt = a, .result = &a->results[at], .plan = a->plan, .verdict = v, .retry = retry, .because = v->origin.because,
                       .where = v->origin.where, .policy = v->origin.version, .suppress = &v->suppress, .keeps = v};
    struct reply final = v->reply.code ? v->reply : st.result->reply;
    react(w, at, v);
    bool trial = generation_is_on_trial(w->job->generation), gives_up = v->kind == VERDICT_GIVE_UP && !has_expired(w, &final);
    if (!trial) pause_identity(w, v);
    tell_canary(w, CANARY_DECIDED);
    if (v->origin.fault) tell_canary(w, CANARY_FAULTS);
    if (trial) st.suppress = NULL;
    if (trial) st.keeps = NULL;
    if (gives_up && trial) {
        put_off(w, r, &st);
    } else if (gives_up) {
        st.type = "bounced";
        tally(w->job->owner->gateway, v);
        gone_for_good(w, r, &st, &final);
    } else {
        int64_t wait_s = v->kind == VERDICT_WAIT ? v->wait_s : elsewhere_wait_s(r);
        exhaust(w, v);
        deferred(w, r, &st, wait_s, v->counts && !v->origin.fault);
    }
}

static void on_verdict(void *arg, const struct verdict *v) {
    struct asked *asked = arg;
    struct writing *w = asked->writing;
    struct journal_retry retry = {&asked->facts, v, hook_trace(asked->hook)};
    asked->hook = NULL;
    decide(w, asked->at, v, &retry);
    if (--w->asking == 0) submit(w);
}

static struct bytes exhaustible_of(const struct plan *p, struct buf *out) {
    if (out->len) return buf_bytes(out);
    struct jsonl j = jsonl_begin(out);
    for (size_t i = 0; i < p->spend_count; i++) {
        struct bytes by = p->spends[i].exhausted_by;
        bool again = false;
        for (size_t k = 0; k < i; k++) again |= bytes_equal(p->spends[k].exhausted_by, by);
        char name[40]; // a word (policy/bind_limit)
        if (!by.len || again) continue;
        snprintf(name, sizeof name, "%.*s", BYTES_FMT(by));
        jsonl_bool(&j, name, true);
    }
    jsonl_close(&j, '}');
    return buf_bytes(out);
}

static void ask_retry(struct writing *w, size_t at) {
    struct attempt *a = w->attempt;
    struct job *job = w->job;
    struct job_recipient *r = &job->recipients[w->which[at]];
    struct asked *asked = &w->asked[at];
    *asked = (struct asked){.writing = w, .at = at};
    asked->facts = (struct outcome_facts){
        .reply = a->results[at].reply, .local = a->results[at].local, .stage = bytes_of(client_stage_name(a->results[at].stage)),
        .peer = bytes_of(a->peer), .via = bytes_of(via_kind_name[a->plan->via.kind]), .identity = a->plan->identity.name, .lane = a->plan->lane,
        .exhaustible = exhaustible_of(a->plan, &w->exhaustible),
        .attempt = r->record.attempts + 1,
        .age_ms = clock_ms(&job->owner->gateway->clock) - job->message.received_ms, .expires_ms = job->message.expires_ms,
    };
    w->asking++;
    asked->hook = hook_retry(job->generation, &job->facts, &r->facts, &asked->facts, on_verdict, asked);
}

static void settle_tried(struct writing *w) {
    struct attempt *a = w->attempt;
    w->asked = must_alloc(a->count * sizeof *w->asked);
    for (size_t i = 0; i < a->count; i++) {
        struct job_recipient *r = &w->job->recipients[w->which[i]];
        struct story st = {.attempt = a, .result = &a->results[i], .plan = a->plan, .because = a->plan->origin.because,
                           .where = a->plan->origin.where, .policy = a->plan->origin.version};
        if (reply_is_positive(&a->results[i].reply)) delivered(w, r, &st);
        else ask_retry(w, i);
    }
    if (!w->asking) submit(w);
}

// ---- no room ----------------------------------------------------------------------------------------------------------

static void settle_parked(struct writing *w) {
    w->parking = parking_write(w);
    if (w->parking) return submit(w);
    settle_forget(&w->settle);
    written(w, true, NULL);
}

// The plan's alternative, if it has one, is next. True: the attempt is done with.
static bool try_otherwise(struct attempt *a) {
    const struct plan *next = a->plan->otherwise;
    struct job *job = a->job;
    if (!next) return false;
    if (next->kind == PLAN_SEND) {
        struct attempt *again = attempt_new(job, next, a->which, a->count);
        again->soonest = a->soonest;
        attempt_go(again);
    }
    for (size_t i = 0, n = a->count; next->kind != PLAN_SEND && i < n; i++) {
        struct job_recipient *r = &job->recipients[a->which[i]];
        const struct plan *was = r->plan;
        r->plan = plan_ref(next);
        plan_free(&was);
        outcome_of_plan(job, a->which[i]);
    }
    attempt_free(&a);
    return true;
}

static void no_room(struct attempt *a) {
    bool limited = a->end == ATTEMPT_LIMITED, full = !limited && !a->rest_until_ms;
    int64_t until = limited ? a->limited.until_ms : a->rest_until_ms;
    if (!a->soonest.plan || full || until < a->soonest.until_ms)
        a->soonest = (struct soonest){a->plan, until, limited ? a->limited.spend : NULL, a->limited.used, limited && a->limited.unreachable};
    if (!full && try_otherwise(a)) return; // a lane that is full is a way that works
    struct writing *w = start(a->job, a->which, a->count);
    w->attempt = a;
    settle_parked(w);
}

void outcome_take(struct attempt *a) {
    if (a->end == ATTEMPT_PARK || a->end == ATTEMPT_LIMITED) return no_room(a);
    if (a->end == ATTEMPT_BACK) { // nothing happened: the store's record is still right
        struct job *job = a->job;
        for (size_t i = 0, n = a->count; i < n; i++) job_close(job, a->which[i]);
        return attempt_free(&a);
    }
    struct writing *w = start(a->job, a->which, a->count);
    w->attempt = a;
    settle_tried(w);
}

// ---- plans that send nothing --------------------------------------------------------------------------------------------

static void hold(struct writing *w, struct job_recipient *r, struct story *st) {
    st->type = "held";
    struct change *c = add(w, r, st, FATE_STAYS);
    c->record.state = RECIPIENT_HELD;
    c->record.due_ms = w->job->message.expires_ms;
}

static void wait(struct writing *w, struct job_recipient *r, struct story *st) {
    const struct plan *p = st->plan;
    // A fault in the policy says wait too: it is an event of its own kind, so that it is not lost among limits.
    if (p->origin.fault) atomic_fetch_add(&w->job->owner->gateway->counters.faults, 1);
    int64_t due = clock_ms(&w->job->owner->gateway->clock) + p->wait_s * 1000;
    st->due_ms = due < w->job->message.expires_ms ? due : w->job->message.expires_ms;
    st->type = p->origin.fault ? "fault" : "waiting";
    struct change *c = add(w, r, st, FATE_STAYS);
    c->record.state = RECIPIENT_DUE;
    c->record.due_ms = st->due_ms;
}

void outcome_of_plan(struct job *job, size_t i) {
    struct writing *w = start(job, &i, 1);
    struct job_recipient *r = &job->recipients[i];
    const struct plan *p = r->plan;
    struct story st = {.plan = p, .because = p->origin.because, .where = p->origin.where, .policy = p->origin.version};
    bool ends = p->kind == PLAN_DISCARD || p->kind == PLAN_SUPPRESS || p->kind == PLAN_FAIL;
    if (ends && generation_is_on_trial(job->generation)) {
        put_off(w, r, &st);
        return submit(w);
    }
    switch (p->kind) {
    case PLAN_SEND: bug_if(true); break;
    case PLAN_WAIT: wait(w, r, &st); break;
    case PLAN_HOLD: hold(w, r, &st); break;
    case PLAN_DISCARD:
        st.type = "discarded";
        add(w, r, &st, FATE_GONE);
        break;
    case PLAN_SUPPRESS:
    case PLAN_FAIL: {
        struct client_result said = {.reply = p->reply, .stage = STAGE_CONNECT, .local = true};
        st.type = p->kind == PLAN_FAIL ? "bounced" : "suppressed";
        st.suppress = &p->suppress;
        st.result = &said;
        gone_for_good(w, r, &st, &p->reply);
        break;
    }
    }
    submit(w);
}

// What a peer said last tells the sender more than that time ran out.
static void add_last_reply(struct reply *reply, struct bytes outcome) {
    struct json *last = outcome.len ? json_parse(outcome, NULL) : NULL;
    const struct json *said = json_get(last, "reply");
    struct bytes status = BYTES(""), text = BYTES("");
    int64_t code = 0;
    json_text(json_get(said, "status"), &status);
    json_text(json_get(said, "text"), &text);
    if (json_int(json_get(said, "code"), &code)) {
        size_t at = strlen(reply->text);
        snprintf(reply->text + at, sizeof reply->text - at, "; the last answer was: %lld%s%.*s %.*s", (long long)code,
                 status.len ? " " : "", BYTES_FMT(status), BYTES_FMT(text));
    }
    json_free(&last);
}

void outcome_expired(struct job *job, size_t i) {
    struct writing *w = start(job, &i, 1);
    struct job_recipient *r = &job->recipients[i];
    struct reply reply = reply_make(550, "5.4.7", "Message expired: not delivered within %lld hours",
                                    (long long)((job->message.expires_ms - job->message.received_ms) / 3600000));
    add_last_reply(&reply, r->record.outcome);
    struct client_result said = {.reply = reply, .stage = STAGE_CONNECT, .local = true};
    struct story st = {.type = "expired", .result = &said, .because = BYTES("expired"), .where = BYTES(""),
                       .policy = bytes_of(generation_version(job->generation))};
    gone_for_good(w, r, &st, &reply);
    submit(w);
}
