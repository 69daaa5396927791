// SPDX-License-Identifier: MIT
#include "relay/parking.h"

#include "relay/lane.h"
#include "relay/ledger.h"
#include "relay/waiters.h"

static struct story story_of_plan(const struct plan *p) {
    return (struct story){.plan = p, .because = p->origin.because, .where = p->origin.where, .policy = p->origin.version};
}

// Called back when there is room (relay/recall, relay/waiters), and due by itself only at its end. Once that is past it has had the
// attempt that it was owed (relay/runner), which a due time beyond its end says.
static int64_t end_of(const struct writing *w) {
    int64_t now = clock_ms(&w->job->owner->gateway->clock), end = w->job->message.expires_ms;
    return now < end ? end : now > end ? now : end + 1;
}

static struct bytes place_of(struct writing *w) {
    const struct soonest *s = &w->attempt->soonest;
    char text[WAITERS_PLACE];
    if (!s->spend) return s->plan->lane;
    struct place_of of = waiters_place_of(s->spend);
    return arena_copy(settle_arena(w->settle), waiters_place(&of, text));
}

static bool stands_there(const struct recipient *was, const struct recipient *now) {
    return was->state == RECIPIENT_PARKED && bytes_equal(was->lane, now->lane) && was->priority == now->priority &&
                bytes_equal(was->turn, now->turn) && was->due_ms == now->due_ms;
}

// By the same line of the same policy and for the same reason. What a limit has used meanwhile is no news.
static bool decided_the_same(const struct recipient *was, const struct story *st) {
    struct buf said = {0};
    struct jsonl j = jsonl_begin(&said);
    telling_origin(&j, st);
    jsonl_end(&j);
    struct bytes origin = bytes_skip(bytes_first(buf_bytes(&said), said.len - 1), 1);
    size_t before = was->decision.len - origin.len;
    bool same = was->decision.len > origin.len && bytes_equal(bytes_skip(was->decision, before), origin);
    buf_release(&said);
    return same;
}

// Where nothing changes nothing is written: who is called and finds no room costs no disk, no event and no line of the journal.
static void park(struct writing *w, struct job_recipient *r, struct story *st, struct bytes place) {
    struct recipient now = r->record;
    bool rehearsed = w->job->owner->gateway->rehearsal;
    now.state = RECIPIENT_PARKED;
    now.due_ms = end_of(w);
    now.lane = place;
    now.priority = st->plan->priority;
    now.turn = plan_turn(st->plan, &w->job->message);
    bool stands = stands_there(&r->record, &now);
    if (stands && decided_the_same(&r->record, st)) return;
    struct change *c = settle_add(w->settle);
    c->fate = FATE_STAYS;
    c->record = now;
    c->record.decision = telling_decision(w, st);
    // A lane that is full or rests is no event of its recipients: there may be hundreds of thousands.
    if (rehearsed || (st->limited && !stands)) telling_event(w, r, c, st);
}

void parking_tell(struct writing *w) {
    struct gateway *g = w->job->owner->gateway;
    const struct soonest *s = &w->attempt->soonest;
    char text[WAITERS_PLACE];
    if (!s->spend) return lane_tell_parked(g, s->plan, plan_turn(s->plan, &w->job->message));
    struct place_of of = waiters_place_of(s->spend);
    ledger_tell_parked(g, waiters_place(&of, text));
}

bool parking_write(struct writing *w) {
    const struct soonest *s = &w->attempt->soonest;
    struct story st = story_of_plan(s->plan);
    struct bytes place = place_of(w);
    st.type = s->spend ? "limit" : "parked";
    st.limited = s->spend ? s : NULL;
    st.due_ms = s->until_ms < w->job->message.expires_ms ? s->until_ms : w->job->message.expires_ms;
    for (size_t i = 0; i < w->count; i++) park(w, &w->job->recipients[w->which[i]], &st, place);
    return settle_count(w->settle) > 0;
}
