// SPDX-License-Identifier: MIT
#include "relay/job.h"

#include "base/bug.h"
#include "relay/canary.h"
#include "relay/grant.h"
#include "relay/lanes.h"
#include "relay/outcome.h"
#include "relay/runner.h"
#include "relay/waiters.h"

#include <stdlib.h>

struct job *job_new(struct worker *owner, const struct message *m) {
    struct job *job = must_alloc(sizeof *job);
    job->owner = owner;
    job->fresh = fresh_take(&owner->fresh, m->id);
    message_copy(&job->arena, m, &job->message);
    job->picked_ms = clock_ms(&owner->gateway->clock);
    job->generation = generation_ref(canary_generation(owner, m->id));
    id_text(m->id, job->id_text);
    job->facts = (struct message_facts){
        .id = m->id, .id_text = bytes_of(job->id_text), .sender = job->message.sender, .user = job->message.user,
        .session = job->message.facts, .tags = job->message.tags, .head = job->message.head,
        .size = m->head.len + 2 + m->body.length, .received_ms = m->received_ms, .expires_ms = m->expires_ms,
        .recipient_count = m->recipients, .is_report = m->flags & MESSAGE_REPORT,
    };
    return job;
}

static void fill_facts(struct job *job, struct job_recipient *r) {
    r->facts = (struct recipient_facts){.address = r->record.address, .n = r->record.n, .attempts = r->record.attempts,
                                        .last_ms = r->record.last_ms, .last_outcome = r->record.outcome};
    facts_split_address(r->record.address, &job->arena, &r->facts.local, &r->facts.domain);
}

void job_add(struct job *job, const struct recipient *record) {
    if ((job->count & (job->count - 1)) == 0)
        job->recipients = must_realloc(job->recipients, (job->count ? job->count * 2 : 1) * sizeof *job->recipients);
    struct job_recipient *r = &job->recipients[job->count++];
    *r = (struct job_recipient){.open = true};
    recipient_copy(&job->arena, record, &r->record);
    fill_facts(job, r);
    job->open++;
}

void job_close(struct job *job, size_t i) {
    bug_if(!job->recipients[i].open);
    job->recipients[i].open = false;
    runner_done(job->owner->runner, job->message.id, job->recipients[i].record.n);
    if (--job->open == 0) job_free(&job);
}

static bool spends_from(const struct plan *p, struct bytes account) {
    for (; p && p->kind == PLAN_SEND; p = p->otherwise)
        for (size_t i = 0; i < p->spend_count; i++)
            if (bytes_equal(p->spends[i].account, account)) return true;
    return false;
}

// Those who waited for a limit were called: who called them waits to hear that they are done with, whatever became of them.
static void tell_who_called(const struct job *job) {
    struct bytes told = BYTES("");
    for (size_t i = 0; i < job->count; i++) {
        const struct job_recipient *r = &job->recipients[i];
        struct place_of of;
        if (r->record.state != RECIPIENT_PARKED || bytes_equal(r->record.lane, told) || !waiters_place_read(r->record.lane, &of)) continue;
        ledger_tell_back(job->owner->gateway, of.account, job->message.id, r->plan && !spends_from(r->plan, of.account));
        told = r->record.lane;
    }
}

void job_free(struct job **at) {
    struct job *job = *at;
    *at = NULL;
    if (!job) return;
    tell_who_called(job);
    for (size_t i = 0; i < job->count; i++) {
        hook_cancel(&job->recipients[i].hook);
        plan_free(&job->recipients[i].plan);
        plan_free(&job->recipients[i].routed);
    }
    free(job->recipients);
    fresh_body_free(&job->fresh);
    generation_free(&job->generation);
    arena_release(&job->arena);
    free(job);
}

struct attempt *attempt_new(struct job *job, const struct plan *plan, const size_t *which, size_t count) {
    struct attempt *a = must_alloc(sizeof *a);
    a->job = job;
    a->plan = plan_ref(plan);
    a->which = must_alloc(count * sizeof *a->which);
    memcpy(a->which, which, count * sizeof *which);
    a->count = count;
    a->results = must_alloc(count * sizeof *a->results);
    return a;
}

void attempt_free(struct attempt **at) {
    struct attempt *a = *at;
    *at = NULL;
    if (!a) return;
    plan_free(&a->plan);
    free(a->which);
    free(a->results);
    free(a);
}

struct bytes plan_turn(const struct plan *plan, const struct message *m) {
    if (plan->turn.len) return plan->turn;
    if (m->user.len) return bytes_first(m->user, TURN_MAX);
    if (!m->sender.len) return BYTES("<>");
    return bytes_first(bytes_skip(m->sender, (size_t)(bytes_find_last(m->sender, '@') + 1)), TURN_MAX);
}

struct attempt *attempt_split(struct attempt *a, size_t n) {
    bug_if(n == 0 || n >= a->count || a->grant);
    struct attempt *rest = attempt_new(a->job, a->plan, a->which + n, a->count - n);
    rest->soonest = a->soonest;
    a->count = n;
    return rest;
}

// RFC 3463 3.6 has a status for it; of old it was code 452, which is said of full disks and mailboxes as well.
static bool is_one_too_many(const struct client_result *r) {
    static const int too_many[3] = {4, 5, 3};
    if (r->local || r->stage != STAGE_RCPT) return false;
    return r->reply.status[0] ? memcmp(r->reply.status, too_many, sizeof too_many) == 0 : r->reply.code == 452;
}

struct attempt *attempt_left_over(struct attempt *a, size_t *most) {
    size_t taken = 0, taken_first = 0, left = 0, kept = 0;
    *most = 0;
    for (size_t i = 0; i < a->count; i++) {
        taken += reply_is_positive(&a->results[i].reply);
        if (left == 0) taken_first = taken;
        left += is_one_too_many(&a->results[i]);
    }
    // Who is refused where nobody is taken may hear the same for ever.
    if (taken == 0 || left == 0) return NULL;
    if (taken == taken_first) *most = taken;
    struct attempt *rest = attempt_new(a->job, a->plan, a->which, left);
    rest->soonest = a->soonest;
    for (size_t i = 0; i < a->count; i++) {
        bool stays = is_one_too_many(&a->results[i]);
        struct attempt *to = stays ? rest : a;
        size_t at = stays ? i - kept : kept++;
        to->which[at] = a->which[i];
        to->results[at] = a->results[i];
    }
    a->count = kept;
    return rest;
}

void attempt_fill(struct attempt *a, const struct reply *reply, enum client_stage stage, bool local) {
    for (size_t i = 0; i < a->count; i++)
        a->results[i] = (struct client_result){.reply = *reply, .stage = stage, .local = local};
}

static void arrive(struct task *task) {
    struct attempt *a = (struct attempt *)task;
    lanes_offer(gateway_worker_of_lane(a->job->owner->gateway, a->plan->lane)->lanes, a);
}

void attempt_go(struct attempt *a) {
    struct worker *there = gateway_worker_of_lane(a->job->owner->gateway, a->plan->lane);
    if (there == a->job->owner) return lanes_offer(there->lanes, a);
    a->task.run = arrive;
    loop_post(there->loop, &a->task);
}

static void come_home(struct task *task) { outcome_take((struct attempt *)task); }

// A recipient counts at the peer when its message was accepted, or may have been: the content was out and no refusal came back.
static bool may_count(const struct client_result *r) {
    if (reply_is_positive(&r->reply)) return true;
    return r->stage == STAGE_CONTENT && (r->local || r->reply.code < 400);
}

static bool was_said(const struct client_result *r) { return r->stage > STAGE_MAIL || (r->stage == STAGE_MAIL && !r->local); }

static void settle_grant(struct attempt *a) {
    size_t accepted = 0, said = 0;
    bool went = a->end == ATTEMPT_TRIED && a->begun;
    for (size_t i = 0; went && i < a->count; i++) {
        accepted += may_count(&a->results[i]);
        said += was_said(&a->results[i]);
    }
    grant_settle(&a->grant, accepted, said);
}

void attempt_return(struct attempt *a) {
    if (a->grant) settle_grant(a);
    // Posted even when it is at home already: the lane that returns it may be in the middle of its own work.
    a->task.run = come_home;
    loop_post(a->job->owner->loop, &a->task);
}
