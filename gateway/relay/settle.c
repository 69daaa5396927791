// SPDX-License-Identifier: MIT
#include "relay/settle.h"

#include "mail/canon.h"
#include "relay/runner.h"

#include <stdlib.h>

// A write that the store refuses is made again; one that it refuses though it takes others is made so often and then given up.
enum { AGAIN_MS = 1000, IN_VAIN_MOST = 30 };

struct settle {
    struct store_op op; // first
    struct task back;
    struct gateway *gateway;
    const struct conf *conf;
    struct loop *home;
    struct event_writer *events;
    struct arena arena;
    const struct message *message; // the caller's, alive until done
    struct change *changes;        // those that the report names come last
    size_t count, room;
    size_t begin, end;             // what the op under way writes; what stands before it is on disk
    size_t unreported;             // where those that the report names begin
    // The report, where one is owed: written with the last of the changes.
    struct bytes host;             // ours, and how long it is tried: the conf may be gone when it is built again
    int64_t expire_s;
    struct message report;
    struct recipient reported_to;
    struct buf head, body;
    struct iovec part;
    void (*done)(void *arg, bool stored, const struct err *why);
    void *arg;
    bool stored, sick;             // what became of the op under way; whether the store took nothing at all
    struct err why;
    const struct worker *keeper;   // NULL: one try
    struct timer *again;
    bool unwritten;                // counted in the gateway's
    int in_vain;
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

size_t settle_count(const struct settle *s) { return s->count; }

size_t settle_changed(const struct settle *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) n += !s->changes[i].skipped;
    return n;
}

static void free_settle(struct settle *s) {
    timer_free(&s->again);
    free(s->changes);
    buf_release(&s->head);
    buf_release(&s->body);
    arena_release(&s->arena);
    free(s);
}

void settle_forget(struct settle **at) {
    struct settle *s = *at;
    *at = NULL;
    if (s) free_settle(s);
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
    if (!keeping_apply(&c->keeping, s->gateway, txn, err)) return false;
    if (!c->entry.len) return true;
    return txn_put_journal(txn, id, clock_ms(&s->gateway->clock), c->entry, err);
}

static bool with_report(const struct settle *s) { return s->report.id && s->end == s->count; }

// Whether anybody whom the report is about was still to be settled.
static bool concerns_any(const struct settle *s) {
    for (size_t i = s->unreported; i < s->count; i++)
        if (!s->changes[i].skipped) return true;
    return false;
}

// Somebody it names was settled by others meanwhile; or was not after all, where the commit that did it failed.
static bool is_outdated(const struct settle *s) {
    for (size_t i = s->unreported; i < s->count; i++)
        if (s->changes[i].named == s->changes[i].skipped) return with_report(s) && concerns_any(s);
    return false;
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct settle *s = (struct settle *)op;
    for (size_t i = s->begin; i < s->end; i++)
        if (!write_change(s, &s->changes[i], txn, err)) return false;
    if (!with_report(s) || !concerns_any(s)) return true;
    // Its body is written by now: only the home loop can make another. All of this is undone.
    if (is_outdated(s)) return err_set(err, "the report names a recipient who was settled meanwhile");
    s->report.body = op->place;
    return txn_put_message(txn, &s->report, err) && txn_put_recipient(txn, &s->reported_to, err);
}

// ---- what became of it ----------------------------------------------------------------------------------------------

static void come_back(struct task *task);
static void build_report(struct settle *s);

static void finish(struct store_op *op, bool stored, const struct err *why) {
    struct settle *s = (struct settle *)op;
    s->stored = stored;
    s->sick = !stored && store_is_sick(s->gateway->store);
    if (why) s->why = *why;
    loop_post(s->home, &s->back);
}

static void submit(struct settle *s, size_t end) {
    s->end = end;
    s->op = (struct store_op){.apply = apply, .finish = finish, .file = -1, .patient = true};
    s->back.run = come_back;
    if (with_report(s)) {
        s->part = (struct iovec){s->body.at, s->body.len};
        s->op.parts = &s->part;
        s->op.part_count = 1;
        s->op.body_id = s->report.id;
    }
    store_submit(s->gateway->store, &s->op);
}

static void set_unwritten(struct settle *s, bool unwritten) {
    if (s->unwritten == unwritten) return;
    s->unwritten = unwritten;
    if (unwritten) atomic_fetch_add(&s->gateway->unwritten, 1);
    else atomic_fetch_sub(&s->gateway->unwritten, 1);
}

static void end(struct settle *s) {
    set_unwritten(s, false);
    s->done(s->arg, s->begin == s->count, &s->why);
    free_settle(s);
}

static void tell_written(struct settle *s) {
    for (size_t i = s->begin; i < s->end; i++)
        if (!s->changes[i].skipped && s->changes[i].event.len) event_put(s->events, s->changes[i].event);
    if (with_report(s)) runner_wake_there(gateway_worker_of(s->gateway, s->report.id));
    s->begin = s->end;
    s->in_vain = 0;
}

static void on_again(void *arg) {
    struct settle *s = arg;
    submit(s, s->count);
}

// After a stop there is one more try, and then the recipients are as the store has them.
static void try_later(struct settle *s) {
    // A body finds no room on a disk where all else can be written: that must not keep other mail from leaving.
    set_unwritten(s, s->sick);
    if (!s->sick && !with_report(s)) s->in_vain++;
    if (!s->keeper || s->keeper->stopping || s->in_vain > IN_VAIN_MOST) return end(s);
    if (!s->again) {
        log_fault(&s->gateway->log, "%016llx: what became of it cannot be stored yet, and is kept: %s", (unsigned long long)s->message->id,
                  s->why.text);
        s->again = timer_new(s->home, on_again, s);
    }
    timer_set(s->again, AGAIN_MS);
}

// A full disk still takes settlements, but no new bodies: what the report does not name is written without it.
static void come_back(struct task *task) {
    struct settle *s = (struct settle *)((char *)task - offsetof(struct settle, back));
    if (s->stored) tell_written(s);
    if (s->begin == s->count) return end(s);
    if (!s->stored && is_outdated(s)) {
        build_report(s);
        return submit(s, s->count);
    }
    if (!s->stored && with_report(s) && s->begin < s->unreported) return submit(s, s->unreported);
    try_later(s);
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

// All but those who were found settled. To be freed.
static struct report_recipient *name_concerned(struct settle *s, size_t *count) {
    struct report_recipient *named = must_alloc((s->count - s->unreported + 1) * sizeof *named);
    *count = 0;
    for (size_t i = s->unreported; i < s->count; i++) {
        struct change *c = &s->changes[i];
        c->named = !c->skipped;
        if (c->named) named[(*count)++] = c->reported;
    }
    return named;
}

static void build_report(struct settle *s) {
    const struct message *m = s->message;
    struct gateway *g = s->gateway;
    struct buf original = {0};
    size_t count;
    struct report_recipient *named = name_concerned(s, &count);
    bool utf8, eight, full = m->flags & MESSAGE_RET_FULL;
    if (full && m->body.length <= REPORT_BODY_MAX) load_body(s, &original);
    struct report_in in = {
        .host = s->host, .sender = m->sender, .envelope_id = m->envid, .id = m->id,
        .arrived_ms = m->received_ms, .now_ms = clock_ms(&g->clock), .head = m->head, .body = buf_bytes(&original),
        .return_full = full && original.len, .recipients = named, .count = count,
    };
    s->head.len = s->body.len = 0;
    report_build(&s->head, &s->body, &in, &utf8, &eight);
    buf_release(&original);
    free(named);

    struct canon_body canon;
    canon_body_init(&canon);
    canon_body_add(&canon, buf_bytes(&s->body));
    struct worker *owner = gateway_worker_of(g, m->id);
    s->report = (struct message){
        .id = worker_next_id(owner), .received_ms = in.now_ms, .expires_ms = in.now_ms + s->expire_s * 1000,
        .flags = MESSAGE_REPORT | (eight ? MESSAGE_8BIT : 0) | (utf8 ? MESSAGE_SMTPUTF8 : 0), .sender = BYTES(""),
        .policy = m->policy, .tags = m->tags, .head = buf_bytes(&s->head), .recipients = 1,
    };
    canon_body_finish(&canon, s->report.body_hash, NULL);
    s->reported_to = (struct recipient){.id = s->report.id, .state = RECIPIENT_DUE, .due_ms = in.now_ms, .address = m->sender,
                                        .notify = NOTIFY_NEVER};
}

static void name_last(struct settle *s) {
    struct change *ordered = must_alloc((s->count + 1) * sizeof *ordered);
    size_t at = 0;
    for (size_t i = 0; i < s->count; i++)
        if (!s->changes[i].report) ordered[at++] = s->changes[i];
    s->unreported = at;
    for (size_t i = 0; i < s->count; i++)
        if (s->changes[i].report) ordered[at++] = s->changes[i];
    free(s->changes);
    s->changes = ordered;
}

void settle_submit(struct settle *s, const struct worker *keeper, void (*done)(void *arg, bool stored, const struct err *why), void *arg) {
    name_last(s);
    // Never a report about a report, nor to the null sender: that is how mail loops begin (RFC 5321 4.5.5).
    if (s->unreported < s->count && s->message->sender.len) {
        s->host = arena_copy(&s->arena, bytes_of(s->conf->hostname));
        s->expire_s = s->conf->expire_s;
        build_report(s);
    }
    s->keeper = keeper;
    s->done = done;
    s->arg = arg;
    submit(s, s->count);
}
