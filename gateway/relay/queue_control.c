// SPDX-License-Identifier: MIT
#include "relay/queue_control.h"

#include "relay/deed.h"
#include "relay/lanes.h"
#include "relay/queue_filter.h"
#include "relay/queue_show.h"
#include "relay/runner.h"
#include "relay/settle.h"
#include "relay/token.h"
#include "relay/worker.h"

#include <stdlib.h>
#include <sysexits.h>

enum { PIECE = 500, LIST_DEFAULT = 100 };
enum { LOOK_MOST = 4000, SLICE_US = 5000, SLICE_EACH = 32, TELL_US = 200000 }; // a look at the time comes with every SLICE_EACHth recipient

enum action { ACTION_LIST, ACTION_SHOW, ACTION_HOLD, ACTION_RELEASE, ACTION_RETRY, ACTION_BOUNCE, ACTION_DELETE, ACTION_COUNT };
static const char *const action_name[] = {"list", "show", "hold", "release", "retry", "bounce", "delete"};

struct picked {
    uint64_t id;
    uint32_t n;
    bool changed;
};

struct walk {
    struct deed deed; // first: the change under way
    struct asker *asker;
    struct reader *reader;
    enum action action;
    struct queue_filter filter;
    bool count_only, tells;   // tells: rows of how far it is, now and then
    uint64_t looked;          // at so many, so far
    int64_t began_us, told_us; // this piece; the last of these rows
    uint64_t limit, count;    // 0: no limit; how many matched (and were changed)
    uint64_t next_id;         // where the next piece begins
    uint32_t next_n;
    size_t seen;              // in this piece
    bool complete;
    // The message of the recipient under the cursor.
    uint64_t message_id;
    struct message message;
    bool has_message;
    struct picked picked[PIECE];
    size_t picked_count;
    struct task go_on;
    struct err failure;
    bool failed;
    size_t outstanding;       // bounces
};

static void step(struct walk *w);

// For one turn at a time: none is open while a walk waits, as the store may close before the one it waits for is there.
static bool open_reader(struct walk *w) {
    w->reader = reader_new(asker_gateway(w->asker)->store, &w->failure);
    w->failed = !w->reader;
    return w->reader;
}

static void free_walk(struct walk *w) {
    if (w->reader) reader_free(&w->reader);
    queue_filter_release(&w->filter);
    free(w);
}

static void finish(struct walk *w) {
    struct asker *a = w->asker;
    uint64_t count = w->count;
    bool failed = w->failed;
    struct err failure = w->failure;
    free_walk(w);
    if (failed) return asker_error(a, EX_IOERR, "stopped after %llu: %s", (unsigned long long)count, failure.text);
    struct jsonl *j = asker_done_begin(a);
    jsonl_int(j, "count", (int64_t)count);
    asker_done_end(a);
}

// ---- is it meant? ------------------------------------------------------------------------------------------------------------

static const struct message *load_message(void *arg, uint64_t id) {
    struct walk *w = arg;
    if (w->message_id != id) {
        w->message_id = id;
        w->has_message = reader_message(w->reader, id, &w->message);
    }
    return w->has_message ? &w->message : NULL;
}

// What stays as it is is not counted, nor told as changed. A hold of what the policy holds is the operator's word on it.
static bool changes(enum action action, enum recipient_state state) {
    bool held = state == RECIPIENT_HELD;
    return action == ACTION_RELEASE ? held : action != ACTION_RETRY || !held;
}

static bool matches(struct walk *w, const struct recipient *r) {
    int64_t now = clock_ms(&asker_gateway(w->asker)->clock);
    return changes(w->action, r->state) && queue_filter_matches(&w->filter, r, now, load_message, w);
}

// ---- changes --------------------------------------------------------------------------------------------------------------------------

// What an operator did is part of the message's past.
static bool note(struct walk *w, struct txn *txn, struct picked p, const char *type, struct err *err) {
    struct gateway *g = asker_gateway(w->asker);
    struct buf entry = {0};
    char id[ID_TEXT];
    id_text(p.id, id);
    struct jsonl j = event_start(&entry, &g->clock, type);
    jsonl_textz(&j, "id", id);
    jsonl_int(&j, "n", p.n);
    jsonl_textz(&j, "because", "by an operator");
    jsonl_end(&j);
    bool good = txn_put_journal(txn, p.id, clock_ms(&g->clock), bytes_first(buf_bytes(&entry), entry.len - 1), err);
    buf_release(&entry);
    return good;
}

static bool change_one(struct walk *w, struct txn *txn, struct picked *picked, struct err *err) {
    struct picked p = *picked;
    struct recipient r;
    struct message m;
    bool found, last;
    if (!txn_get_recipient(txn, p.id, p.n, &r, &found, err)) return false;
    picked->changed = found && changes(w->action, r.state);
    if (!picked->changed) return true; // delivered meanwhile, or held or released by somebody else
    if (w->action == ACTION_DELETE) {
        return txn_drop_recipient(txn, p.id, p.n, &last, err) && note(w, txn, p, "deleted", err);
    }
    if (w->action == ACTION_HOLD) {
        if (!txn_get_message(txn, p.id, &m, &found, err)) return false;
        r.state = RECIPIENT_HELD;
        r.due_ms = found ? m.expires_ms : r.due_ms;
    } else {
        r.state = RECIPIENT_DUE;
        r.due_ms = clock_ms(&asker_gateway(w->asker)->clock);
    }
    // What r points to lies in the transaction's pages, which the put may move: it needs a copy of its own.
    struct arena arena = {0};
    struct recipient changed;
    recipient_copy(&arena, &r, &changed);
    bool good = txn_put_recipient(txn, &changed, err);
    arena_release(&arena);
    if (w->action == ACTION_HOLD) return good && note(w, txn, p, "held", err);
    return good && (w->action != ACTION_RELEASE || note(w, txn, p, "released", err));
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct walk *w = (struct walk *)op;
    for (size_t i = 0; i < w->picked_count; i++)
        if (!change_one(w, txn, &w->picked[i], err)) return false;
    return true;
}

// "Now" means the way out, too: a lane that rests looks again.
static void wake_lanes(struct worker *worker, void *arg) {
    (void)arg;
    tokens_look_again(worker->tokens, true);
    lanes_look_again(worker->lanes, true);
    runner_wake(worker->runner);
}

static void tell_changes(struct walk *w) {
    struct gateway *g = asker_gateway(w->asker);
    for (int i = 0; i < g->worker_count; i++)
        if (w->action == ACTION_RETRY) worker_post(g->workers[i], wake_lanes, NULL);
        else if (w->action == ACTION_RELEASE) runner_wake_there(g->workers[i]);
    static const char *const event[] = {[ACTION_HOLD] = "held", [ACTION_RELEASE] = "released", [ACTION_DELETE] = "deleted"};
    if (w->action != ACTION_HOLD && w->action != ACTION_RELEASE && w->action != ACTION_DELETE) return;
    for (size_t i = 0; i < w->picked_count; i++) {
        char id[ID_TEXT];
        if (!w->picked[i].changed) continue;
        id_text(w->picked[i].id, id);
        struct jsonl *j = event_begin(g->event_writer, event[w->action]);
        jsonl_textz(j, "id", id);
        jsonl_int(j, "n", w->picked[i].n);
        jsonl_textz(j, "because", "by an operator");
        event_end(g->event_writer);
    }
}

static void come_back(struct deed *deed) {
    struct walk *w = (struct walk *)deed;
    w->failed = !deed->stored;
    if (w->failed) w->failure = deed->why;
    if (w->failed) return finish(w);
    tell_changes(w);
    for (size_t i = 0; i < w->picked_count; i++) w->count += w->picked[i].changed;
    step(w);
}

// ---- bounce: a report is owed, so it goes through settle ---------------------------------------------------------------------------------

struct bounce {
    struct walk *walk;
    struct arena arena;
    struct message message;
    const struct settle *settle;
};

static void bounced(void *arg, bool good, const struct err *why) {
    struct bounce *b = arg;
    struct walk *w = b->walk;
    if (good) w->count += settle_changed(b->settle);
    else {
        w->failed = true;
        w->failure = *why;
    }
    arena_release(&b->arena);
    free(b);
    if (--w->outstanding) return;
    if (w->failed) finish(w);
    else step(w);
}

static void bounce_one(struct walk *w, const struct message *m, const struct recipient *r) {
    struct gateway *g = asker_gateway(w->asker);
    struct bounce *b = must_alloc(sizeof *b);
    b->walk = w;
    message_copy(&b->arena, m, &b->message);
    struct settle *s = settle_new(g, g->site->conf, g->loop, g->event_writer, &b->message);
    struct change *c = settle_add(s);
    c->fate = FATE_GONE;
    recipient_copy(settle_arena(s), r, &c->record);
    struct buf line = {0};
    char id[ID_TEXT];
    id_text(m->id, id);
    struct jsonl j = event_start(&line, &g->clock, "bounced");
    jsonl_textz(&j, "id", id);
    jsonl_int(&j, "n", r->n);
    jsonl_text(&j, "sender", m->sender);
    jsonl_text(&j, "recipient", r->address);
    jsonl_textz(&j, "because", "by an operator");
    jsonl_end(&j);
    c->event = c->entry = arena_copy(settle_arena(s), buf_bytes(&line));
    buf_release(&line);
    c->report = r->notify == 0 || (r->notify & NOTIFY_FAILURE);
    c->reported = (struct report_recipient){.address = c->record.address, .orcpt = c->record.orcpt, .action = REPORT_FAILED,
                                            .status = BYTES("5.7.0"), .diagnostic = BYTES("550 5.7.0 given up by the operator"),
                                            .last_attempt_ms = r->last_ms};
    b->settle = s;
    w->outstanding++;
    settle_submit(s, NULL, bounced, b);
}

static void bounce_picked(struct walk *w) {
    if (!open_reader(w)) return finish(w);
    w->outstanding = 1; // ours, until all have been given out
    reader_begin(w->reader);
    for (size_t i = 0; i < w->picked_count; i++) {
        struct message m;
        struct recipient r;
        if (reader_message(w->reader, w->picked[i].id, &m) && reader_recipient(w->reader, w->picked[i].id, w->picked[i].n, &r))
            bounce_one(w, &m, &r);
    }
    reader_end(w->reader);
    reader_free(&w->reader);
    if (--w->outstanding == 0) step(w);
}

// ---- the walk ----------------------------------------------------------------------------------------------------------------------------

static bool visit(void *arg, const struct recipient *r) {
    struct walk *w = arg;
    if (r->id == w->next_id && r->n < w->next_n) return true;
    bool late = ++w->seen % SLICE_EACH == 0 && clock_monotonic_us() - w->began_us > SLICE_US;
    if (late || w->seen > LOOK_MOST || w->picked_count == PIECE || (w->action == ACTION_LIST && asker_is_full(w->asker))) {
        w->next_id = r->id;
        w->next_n = r->n;
        return false;
    }
    if (w->filter.by_id && r->id != w->filter.id) { // keys are in order of id: there is no more
        w->complete = true;
        return false;
    }
    w->looked++;
    if (!matches(w, r)) return true;
    if (w->action == ACTION_LIST || w->count_only) {
        if (!w->count_only) queue_show_recipient(w->asker, r, load_message(w, r->id));
        w->count++;
        w->complete = w->limit && w->count >= w->limit;
        return !w->complete;
    }
    w->picked[w->picked_count++] = (struct picked){.id = r->id, .n = r->n};
    w->complete = w->limit && w->count + w->picked_count >= w->limit;
    return !w->complete;
}

static void on_go_on(struct task *task) { step((struct walk *)((char *)task - offsetof(struct walk, go_on))); }
static void on_ready(void *arg) { step(arg); }

static void carry_out(struct walk *w) {
    if (w->action == ACTION_BOUNCE) return bounce_picked(w);
    deed_run(&w->deed, asker_gateway(w->asker), apply, come_back);
}

// A million recipients take their time: who asked sees that it goes on.
static void tell_progress(struct walk *w) {
    int64_t now = clock_monotonic_us();
    if (!w->tells || now - w->told_us < TELL_US || asker_is_full(w->asker)) return;
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    w->told_us = now;
    jsonl_open(&j, "progress", '{');
    jsonl_int(&j, "looked", (int64_t)w->looked);
    jsonl_int(&j, "count", (int64_t)w->count);
    jsonl_close(&j, '}');
    jsonl_end(&j);
    asker_row(w->asker, buf_bytes(&out));
    buf_release(&out);
}

// One piece of the queue, some milliseconds at the most, then back to the loop.
static void step(struct walk *w) {
    if (asker_is_gone(w->asker) || w->complete) return finish(w);
    w->seen = w->picked_count = 0;
    w->message_id = 0;
    w->began_us = clock_monotonic_us();
    tell_progress(w);
    if (!open_reader(w)) return finish(w);
    reader_begin(w->reader);
    bool all = reader_recipients(w->reader, w->next_id, visit, w);
    reader_end(w->reader);
    reader_free(&w->reader);
    if (all) w->complete = true;
    if (w->picked_count) return carry_out(w);
    if (asker_is_full(w->asker)) return asker_when_ready(w->asker, on_ready, w);
    w->go_on.run = on_go_on;
    loop_post(asker_gateway(w->asker)->loop, &w->go_on);
}

// ---- reading the request --------------------------------------------------------------------------------------------------------------------

static enum action read_action(const struct json *request) {
    struct bytes name;
    if (!json_text(json_get(request, "action"), &name)) return ACTION_COUNT;
    for (int i = 0; i < ACTION_COUNT; i++)
        if (bytes_equal(name, bytes_of(action_name[i]))) return (enum action)i;
    return ACTION_COUNT;
}

// What is there and is something else is refused: a count_only taken for false would delete what was to be counted.
static bool read_options(const struct json *request, struct walk *w, struct err *err) {
    const struct json *limit = json_get(request, "limit"), *only = json_get(request, "count_only"), *tells = json_get(request, "progress");
    int64_t most = 0;
    if (limit && (!json_int(limit, &most) || most < 0)) return err_set(err, "limit is a number of recipients, 0 for all");
    if ((only && !json_bool(only, &w->count_only)) || (tells && !json_bool(tells, &w->tells)))
        return err_set(err, "count_only and progress are true or false");
    w->limit = limit ? (uint64_t)most : w->action == ACTION_LIST && !w->count_only ? LIST_DEFAULT : 0;
    return true;
}

static void refuse(struct walk *w, const char *why) {
    struct asker *a = w->asker;
    free_walk(w);
    asker_error(a, EX_USAGE, "queue: %s", why);
}

void queue_control(struct asker *a, const struct json *request) {
    struct err err;
    struct walk *w = must_alloc(sizeof *w);
    w->asker = a;
    w->action = read_action(request);
    if (w->action == ACTION_COUNT) return refuse(w, "action is one of list, show, hold, release, retry, bounce, delete");
    if (!queue_filter_read(request, &w->filter, &err) || !read_options(request, w, &err)) return refuse(w, err.text);
    if (w->filter.by_id) w->next_id = w->filter.id;
    if (w->action != ACTION_SHOW) return step(w);
    if (!w->filter.by_id) return refuse(w, "show: which message? give its id");
    uint64_t id = w->filter.id;
    free_walk(w);
    queue_show(a, id);
}
