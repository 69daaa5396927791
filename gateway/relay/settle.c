// SPDX-License-Identifier: MIT
#include "relay/settle.h"

#include "base/bug.h"
#include "mail/canon.h"
#include "relay/runner.h"

#include <stdlib.h>

struct settle {
    struct store_op op; // first
    struct task back;
    struct gateway *gateway;
    const struct conf *conf;
    struct loop *home;
    struct event_writer *events;
    struct arena arena;
    const struct message *message; // the caller's, alive until done
    struct change *changes;
    size_t count, room;
    // The report, where one is owed.
    struct message report;
    struct recipient reported_to;
    struct buf head, body;
    struct iovec part;
    void (*done)(void *arg, bool stored, const struct err *why);
    void *arg;
    bool stored;
    bool without_report; // second try: the report did not fit on the disk
    struct err why;
};

struct settle *settle_new(struct gateway *g, const struct conf *conf, struct loop *home, struct event_writer *events,
                          const struct message *message) {
    struct settle *s = must_alloc(sizeof *s);
    s->gateway = g;
    s->conf = conf;
    s->home = home;
    s->events = events;
    s->message = message;
    return s;
}

struct arena *settle_arena(struct settle *s) { return &s->arena; }

struct change *settle_add(struct settle *s) {
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 1;
        s->changes = must_realloc(s->changes, s->room * sizeof *s->changes);
    }
    s->changes[s->count] = (struct change){0};
    return &s->changes[s->count++];
}

static bool write_change(struct settle *s, struct change *c, struct txn *txn, struct err *err) {
    struct recipient now;
    bool found, last;
    uint64_t id = s->message->id;
    if (!txn_get_recipient(txn, id, c->record.n, &now, &found, err)) return false;
    c->skipped = !found;
    if (!found) return true;
    if (c->fate == FATE_GONE) {
        if (!txn_drop_recipient(txn, id, c->record.n, &last, err)) return false;
    } else {
        struct recipient record = c->record;
        if (now.state == RECIPIENT_HELD) { // an operator's hold outranks what we had in mind
            record.state = RECIPIENT_HELD;
            record.due_ms = now.due_ms;
        }
        if (!txn_put_recipient(txn, &record, err)) return false;
    }
    if (c->suppress.scope.len &&
        !txn_put_suppression(txn, &c->suppress, SUPPRESSION_LENGTHEN, c->suppress.added_ms, err))
        return false;
    if (!c->event.len) return true;
    return txn_put_journal(txn, id, clock_ms(&s->gateway->clock), bytes_first(c->event, c->event.len - 1), err);
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct settle *s = (struct settle *)op;
    for (size_t i = 0; i < s->count; i++)
        if (!write_change(s, &s->changes[i], txn, err)) return false;
    if (!s->report.id) return true;
    s->report.body = op->place;
    return txn_put_message(txn, &s->report, err) && txn_put_recipient(txn, &s->reported_to, err);
}

static void wake_runner(struct worker *w, void *arg) {
    (void)arg;
    runner_wake(w->runner);
}

// A full disk still takes settlements, but no new bodies. What was delivered must be written down now or it is sent again; those
// who are owed a report stay queued, and are settled when there is room for it.
static bool try_without_report(struct settle *s) {
    if (s->stored || !s->report.id || s->without_report) return false;
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++)
        if (!s->changes[i].report) s->changes[kept++] = s->changes[i];
    s->count = kept;
    s->without_report = true;
    s->report.id = 0;
    s->op.parts = NULL;
    s->op.part_count = 0;
    if (kept) store_submit(s->gateway->store, &s->op);
    return kept > 0;
}

static void come_back(struct task *task) {
    struct settle *s = (struct settle *)((char *)task - offsetof(struct settle, back));
    if (try_without_report(s)) return;
    for (size_t i = 0; s->stored && i < s->count; i++)
        if (!s->changes[i].skipped && s->changes[i].event.len) event_put(s->events, s->changes[i].event);
    if (s->stored && s->report.id) worker_post(gateway_worker_of(s->gateway, s->report.id), wake_runner, NULL);
    s->done(s->arg, s->stored && !s->without_report, &s->why);
    free(s->changes);
    buf_release(&s->head);
    buf_release(&s->body);
    arena_release(&s->arena);
    free(s);
}

static void finish(struct store_op *op, bool stored, const struct err *why) {
    struct settle *s = (struct settle *)op;
    s->stored = stored;
    if (why) s->why = *why;
    loop_post(s->home, &s->back);
}

// ---- the report (RFC 3464) ------------------------------------------------------------------------------------------

static void load_body(struct settle *s, struct buf *out) {
    struct err err;
    struct body *body = body_open(s->gateway->store, s->message->id, &s->message->body, &err);
    if (!body) return; // the report then goes with the header alone
    size_t got;
    buf_reserve(out, s->message->body.length);
    if (s->message->body.length && body_read(body, 0, out->at, s->message->body.length, &got, &err)) out->len = got;
    body_close(&body);
}

static void build_report(struct settle *s, struct report_recipient *named, size_t count) {
    const struct message *m = s->message;
    struct gateway *g = s->gateway;
    struct buf original = {0};
    bool utf8, eight, full = m->flags & MESSAGE_RET_FULL;
    if (full && m->body.length <= REPORT_BODY_MAX) load_body(s, &original);
    struct report_in in = {
        .host = bytes_of(s->conf->hostname), .sender = m->sender, .envelope_id = m->envid, .id = m->id,
        .arrived_ms = m->received_ms, .now_ms = clock_ms(&g->clock), .head = m->head, .body = buf_bytes(&original),
        .return_full = full && original.len, .recipients = named, .count = count,
    };
    report_build(&s->head, &s->body, &in, &utf8, &eight);
    buf_release(&original);

    struct canon_body canon;
    canon_body_init(&canon);
    canon_body_add(&canon, buf_bytes(&s->body));
    struct worker *owner = gateway_worker_of(g, m->id);
    s->report = (struct message){
        .id = worker_next_id(owner), .received_ms = in.now_ms, .expires_ms = in.now_ms + s->conf->expire_s * 1000,
        .flags = MESSAGE_REPORT | (eight ? MESSAGE_8BIT : 0) | (utf8 ? MESSAGE_SMTPUTF8 : 0), .sender = BYTES(""),
        .policy = m->policy, .tags = m->tags, .head = buf_bytes(&s->head), .recipients = 1,
    };
    canon_body_finish(&canon, s->report.body_hash, NULL);
    s->reported_to = (struct recipient){.id = s->report.id, .state = RECIPIENT_DUE, .due_ms = in.now_ms, .address = m->sender,
                                        .notify = NOTIFY_NEVER};
    s->part = (struct iovec){s->body.at, s->body.len};
    s->op.parts = &s->part;
    s->op.part_count = 1;
    s->op.body_id = s->report.id;
}

void settle_submit(struct settle *s, void (*done)(void *arg, bool stored, const struct err *why), void *arg) {
    struct report_recipient *named = arena_alloc(&s->arena, (s->count + 1) * sizeof *named);
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->changes[i].report) named[count++] = s->changes[i].reported;
    s->op = (struct store_op){.apply = apply, .finish = finish, .file = -1};
    // Never a report about a report, nor to the null sender: that is how mail loops begin (RFC 5321 4.5.5).
    if (count && s->message->sender.len) build_report(s, named, count);
    s->back.run = come_back;
    s->done = done;
    s->arg = arg;
    store_submit(s->gateway->store, &s->op);
}
