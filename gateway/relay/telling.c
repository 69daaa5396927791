// SPDX-License-Identifier: MIT
#include "relay/telling.h"

#include "relay/journal.h"
#include "relay/rehearsal.h"

enum { TELLING_KEPT = 64 * 1024 }; // bytes that a worker keeps to make the next event in

static void put_result(struct jsonl *j, const struct story *st) {
    event_put_reply(j, &st->result->reply);
    jsonl_textz(j, "stage", client_stage_name(st->result->stage));
    jsonl_bool(j, "local", st->result->local);
    if (st->attempt && st->attempt->peer[0]) jsonl_textz(j, "peer", st->attempt->peer);
}

static void put_verdict(struct jsonl *j, const struct about *a) {
    jsonl_open(j, "verdict", '{');
    jsonl_text(j, "fault", a->fault);
    if (a->class.len) jsonl_text(j, "class", a->class);
    jsonl_close(j, '}');
}

static void put_limited(struct jsonl *j, const struct soonest *s) {
    ledger_put_refusal(j, &(struct refusal){.spend = s->spend, .used = s->used, .until_ms = s->until_ms, .unreachable = s->unreachable});
}

static void put_suppress(struct jsonl *j, const struct suppression *s) {
    jsonl_open(j, "suppress", '{');
    jsonl_text(j, "address", s->address);
    jsonl_text(j, "scope", s->scope);
    jsonl_text(j, "reason", s->reason);
    if (s->until_ms) jsonl_time(j, "until", s->until_ms);
    jsonl_close(j, '}');
}

// With the first outcome of recipient 0: as long as it has none the message is there to ask.
static bool carries_transaction(const struct job_recipient *r) { return r->record.n == 0 && !r->record.last_ms; }

void telling_event(struct writing *w, const struct job_recipient *r, struct change *c, const struct story *st) {
    struct job *job = w->job;
    struct buf *out = &job->owner->telling;
    int64_t now = clock_ms(&job->owner->gateway->clock);
    if (job->owner->gateway->rehearsal) {
        const struct plan *before = st->attempt ? st->attempt->soonest.plan : NULL;
        rehearsal_tell(job->owner->gateway->rehearsal, &(struct rehearsed_fate){
            .type = st->type, .id = job->message.id, .n = r->record.n, .recipient = r->record.address, .plan = st->plan,
            .instead_of = before != st->plan ? before : NULL, .code = st->result ? st->result->reply.code : 0});
        return; // no event file, no journal
    }
    buf_reset(out);
    struct jsonl j = event_start(out, &job->owner->gateway->clock, st->type);
    jsonl_textz(&j, "id", job->id_text);
    jsonl_int(&j, "n", r->record.n);
    jsonl_text(&j, "sender", job->message.sender);
    jsonl_text(&j, "recipient", r->record.address);
    jsonl_text(&j, "user", job->message.user);
    if (job->message.tags.len) jsonl_raw(&j, "tags", job->message.tags);
    if (st->plan && st->plan->kind == PLAN_SEND) {
        jsonl_text(&j, "identity", st->plan->identity.name);
        jsonl_text(&j, "lane", st->plan->lane);
    }
    if (st->limited) put_limited(&j, st->limited);
    if (st->result) put_result(&j, st);
    if (st->verdict && st->verdict->about.fault.len) put_verdict(&j, &st->verdict->about);
    if (st->attempt) {
        jsonl_textz(&j, "tls", st->attempt->tls);
        jsonl_bool(&j, "tls_verified", st->attempt->tls_verified);
        jsonl_int(&j, "connect_ms", st->attempt->connect_ms);
        jsonl_int(&j, "transfer_ms", st->attempt->transfer_ms);
    }
    jsonl_int(&j, "attempt", r->record.attempts + (st->attempt ? 1 : 0));
    jsonl_int(&j, "queue_ms", now - job->message.received_ms);
    if (st->due_ms) jsonl_time(&j, "due", st->due_ms);
    if (c->suppress.scope.len) put_suppress(&j, &c->suppress);
    telling_origin(&j, st);
    jsonl_end(&j);
    size_t line = out->len;
    if (r->routed && st->plan) {
        const struct origin *o = &r->routed->origin;
        bool said = bytes_equal(o->where, st->where) && bytes_equal(o->because, st->because) && bytes_equal(o->version, st->policy);
        journal_outcome(out, &(struct journal_route){r->record.n, r->record.attempts, r->record.last_ms, r->record.outcome, r->routed, r->trace, said},
                        st->retry, carries_transaction(r) ? &job->message : NULL, &job->owner->site->conf->journal_fields);
    }
    c->entry = arena_copy(settle_arena(w->settle), buf_bytes(out));
    c->event = bytes_first(c->entry, line);
    if (out->cap > TELLING_KEPT) buf_release(out);
}

struct bytes telling_outcome(struct writing *w, const struct story *st) {
    if (!st->result) return BYTES("");
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    put_result(&j, st);
    if (st->attempt) jsonl_text(&j, "identity", st->attempt->plan->identity.name);
    jsonl_end(&j);
    struct bytes text = arena_copy(settle_arena(w->settle), bytes_first(buf_bytes(&out), out.len - 1));
    buf_release(&out);
    return text;
}

void telling_origin(struct jsonl *j, const struct story *st) {
    jsonl_text(j, "policy", st->policy);
    jsonl_text(j, "where", st->where);
    jsonl_text(j, "because", st->because);
}

struct bytes telling_decision(struct writing *w, const struct story *st) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    if (st->plan) jsonl_raw(&j, "plan", st->plan->json);
    if (st->limited) put_limited(&j, st->limited);
    telling_origin(&j, st);
    jsonl_end(&j);
    struct bytes text = arena_copy(settle_arena(w->settle), bytes_first(buf_bytes(&out), out.len - 1));
    buf_release(&out);
    return text;
}

static struct bytes status_text(struct writing *w, const struct reply *r, const char *other) {
    char status[REPLY_STATUS];
    if (!r || !r->status[0]) return bytes_of(other);
    return arena_copy(settle_arena(w->settle), bytes_of(reply_status(r, status)));
}

// What a report may name: senders know no folder and no socket of this machine.
static struct bytes remote_of(const struct attempt *a) {
    return a && !strchr(a->peer, '/') ? bytes_of(a->peer) : BYTES("");
}

void telling_report(struct writing *w, struct change *c, const struct job_recipient *r, const struct story *st,
                           enum report_action action, const struct reply *reply) {
    static const char *const other[] = {[REPORT_FAILED] = "5.0.0", [REPORT_DELAYED] = "4.0.0", [REPORT_DELIVERED] = "2.0.0",
                                        [REPORT_RELAYED] = "2.0.0"};
    struct buf text = {0};
    if (reply) reply_text(reply, &text);
    c->report = true;
    c->reported = (struct report_recipient){
        .address = r->record.address, .orcpt = r->record.orcpt, .action = action,
        .status = status_text(w, reply, other[action]),
        .diagnostic = arena_copy(settle_arena(w->settle), buf_bytes(&text)),
        .from_peer = st->result && !st->result->local,
        .remote = remote_of(st->attempt),
        .last_attempt_ms = st->attempt ? clock_ms(&w->job->owner->gateway->clock) : r->record.last_ms,
        .will_retry_until_ms = action == REPORT_DELAYED ? w->job->message.expires_ms : 0,
    };
    buf_release(&text);
}
