// SPDX-License-Identifier: MIT
#include "relay/queue_control.h"

#include "base/nearest.h"
#include "mail/header.h"
#include "relay/deed.h"
#include "relay/journal.h"
#include "relay/lanes.h"
#include "relay/runner.h"
#include "relay/settle.h"
#include "relay/token.h"
#include "relay/worker.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <sysexits.h>

enum { PIECE = 500, LIST_DEFAULT = 100 };
enum { LOOK_MOST = 4000, SLICE_US = 5000, SLICE_EACH = 32, TELL_US = 200000 }; // a look at the time comes with every SLICE_EACHth recipient

enum action { ACTION_LIST, ACTION_SHOW, ACTION_HOLD, ACTION_RELEASE, ACTION_RETRY, ACTION_BOUNCE, ACTION_DELETE, ACTION_COUNT };
static const char *const action_name[] = {"list", "show", "hold", "release", "retry", "bounce", "delete"};

// All that are given must hold.
struct filter {
    bool by_id;
    uint64_t id;
    char *sender, *recipient, *domain, *identity, *lane, *state; // NULL: not given
    int64_t older_than_s;                                       // 0: not given
    struct json *tags;                                          // an object; NULL: not given
};

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
    struct filter filter;
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
    struct filter *f = &w->filter;
    if (w->reader) reader_free(&w->reader);
    free(f->sender);
    free(f->recipient);
    free(f->domain);
    free(f->identity);
    free(f->lane);
    free(f->state);
    json_free(&f->tags);
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

// ---- does it match? ----------------------------------------------------------------------------------------------------------

static struct bytes domain_of(struct bytes address) {
    ptrdiff_t at = bytes_find_last(address, '@');
    return at < 0 ? BYTES("") : bytes_skip(address, (size_t)at + 1);
}

// A whole address, "@domain", or anything with * as wildcard; case does not count.
static bool like(struct bytes address, const char *pattern) {
    if (pattern[0] == '@' && !strchr(pattern, '*')) return bytes_equal_nocase(domain_of(address), bytes_of(pattern + 1));
    if (!strpbrk(pattern, "*?[")) return bytes_equal_nocase(address, bytes_of(pattern));
    char *z = bytes_dupz(address);
    bool hit = fnmatch(pattern, z, FNM_CASEFOLD) == 0;
    free(z);
    return hit;
}

static bool tags_match(const struct json *wanted, struct bytes tags) {
    struct json *has = tags.len ? json_parse(tags, NULL) : NULL;
    bool match = has != NULL;
    void *at = NULL;
    struct bytes name, value, text;
    const struct json *v;
    while (match && json_next(wanted, &at, &name, &v)) {
        char *z = bytes_dupz(name);
        match = json_text(v, &value) && json_text(json_get(has, z), &text) && bytes_equal(value, text);
        free(z);
    }
    json_free(&has);
    return match;
}

static bool load_message(struct walk *w, uint64_t id) {
    if (w->message_id != id) {
        w->message_id = id;
        w->has_message = reader_message(w->reader, id, &w->message);
    }
    return w->has_message;
}

// What stays as it is is not counted, nor told as changed. A hold of what the policy holds is the operator's word on it.
static bool changes(enum action action, enum recipient_state state) {
    bool held = state == RECIPIENT_HELD;
    return action == ACTION_RELEASE ? held : action != ACTION_RETRY || !held;
}

static bool matches(struct walk *w, const struct recipient *r) {
    const struct filter *f = &w->filter;
    if (!changes(w->action, r->state)) return false;
    if (f->by_id && r->id != f->id) return false;
    if (f->state && strcmp(recipient_state_name[r->state], f->state) != 0) return false;
    if (f->recipient && !like(r->address, f->recipient)) return false;
    if (f->domain && !bytes_equal_nocase(domain_of(r->address), bytes_of(f->domain))) return false;
    if (f->lane && !bytes_equal(r->lane, bytes_of(f->lane))) return false;
    if (f->identity) { // a lane's key begins with its identity
        struct bytes lane = r->lane;
        if (!lane.len || !bytes_equal(bytes_cut(&lane, '|'), bytes_of(f->identity))) return false;
    }
    if (!f->sender && !f->older_than_s && !f->tags) return true;
    if (!load_message(w, r->id)) return false;
    if (f->sender && !like(w->message.sender, f->sender)) return false;
    int64_t age = clock_ms(&asker_gateway(w->asker)->clock) - w->message.received_ms;
    if (f->older_than_s && age < f->older_than_s * 1000) return false;
    return !f->tags || tags_match(f->tags, w->message.tags);
}

// ---- list and show --------------------------------------------------------------------------------------------------------------

static void put_recipient(struct jsonl *j, const struct recipient *r) {
    char id[ID_TEXT];
    id_text(r->id, id);
    jsonl_textz(j, "id", id);
    jsonl_int(j, "n", r->n);
    jsonl_textz(j, "state", recipient_state_name[r->state]);
    jsonl_text(j, "recipient", r->address);
    jsonl_time(j, "due", r->due_ms);
    jsonl_int(j, "attempts", r->attempts);
    if (r->last_ms) jsonl_time(j, "last_attempt", r->last_ms);
    jsonl_text(j, "lane", r->lane);
    if (r->decision.len) {
        struct json *d = json_parse(r->decision, NULL);
        struct bytes because = BYTES("");
        json_text(json_get(d, "because"), &because);
        jsonl_text(j, "because", because);
        json_free(&d);
        jsonl_raw(j, "decision", r->decision);
    }
    if (r->outcome.len) jsonl_raw(j, "last", r->outcome);
}

static void show_row(struct walk *w, const struct recipient *r) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    put_recipient(&j, r);
    if (load_message(w, r->id)) {
        jsonl_text(&j, "sender", w->message.sender);
        jsonl_text(&j, "user", w->message.user);
        jsonl_time(&j, "received", w->message.received_ms);
        jsonl_time(&j, "expires", w->message.expires_ms);
        jsonl_int(&j, "size", (int64_t)(w->message.head.len + 2 + w->message.body.length));
        if (w->message.tags.len) jsonl_raw(&j, "tags", w->message.tags);
    }
    jsonl_end(&j);
    asker_row(w->asker, buf_bytes(&out));
    buf_release(&out);
}

static void show_message(struct asker *a, const struct message *m) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    char id[ID_TEXT];
    id_text(m->id, id);
    jsonl_textz(&j, "id", id);
    jsonl_text(&j, "sender", m->sender);
    jsonl_text(&j, "user", m->user);
    jsonl_time(&j, "received", m->received_ms);
    jsonl_time(&j, "expires", m->expires_ms);
    jsonl_int(&j, "size", (int64_t)(m->head.len + 2 + m->body.length));
    jsonl_int(&j, "recipient_count", m->recipients);
    jsonl_text(&j, "policy", m->policy);
    jsonl_bool(&j, "report", m->flags & MESSAGE_REPORT);
    if (m->tags.len) jsonl_raw(&j, "tags", m->tags);
    if (m->facts.len) jsonl_raw(&j, "facts", m->facts);
    jsonl_text(&j, "head", m->head);
    jsonl_end(&j);
    asker_row(a, buf_bytes(&out));
    buf_release(&out);
}

static bool each_recipient(void *arg, const struct recipient *r) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    put_recipient(&j, r);
    jsonl_end(&j);
    asker_row(arg, buf_bytes(&out));
    buf_release(&out);
    return true;
}

static bool each_journal(void *arg, int64_t at_ms, struct bytes entry) {
    struct bytes event = journal_event(entry);
    if (!event.len) return true; // of the session's hooks
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    (void)at_ms;
    jsonl_raw(&j, "journal", event);
    jsonl_end(&j);
    asker_row(((struct walk *)arg)->asker, buf_bytes(&out));
    ((struct walk *)arg)->count++;
    buf_release(&out);
    return true;
}

static void show(struct walk *w) {
    struct message m;
    if (!open_reader(w)) return finish(w);
    reader_begin(w->reader);
    bool queued = reader_message(w->reader, w->filter.id, &m);
    if (queued) {
        show_message(w->asker, &m);
        reader_recipients_of(w->reader, w->filter.id, each_recipient, w->asker);
    }
    reader_journal_of(w->reader, w->filter.id, each_journal, w);
    reader_end(w->reader);
    if (queued || w->count) return finish(w);
    struct asker *a = w->asker;
    char id[ID_TEXT];
    id_text(w->filter.id, id);
    free_walk(w);
    asker_error(a, EX_DATAERR, "%s is neither in the queue nor in the journal", id);
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
};

static void bounced(void *arg, bool good, const struct err *why) {
    struct bounce *b = arg;
    struct walk *w = b->walk;
    arena_release(&b->arena);
    free(b);
    if (good) w->count++;
    else {
        w->failed = true;
        w->failure = *why;
    }
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
        if (!w->count_only) show_row(w, r);
        w->count++;
        w->complete = w->limit && w->count >= w->limit;
        return !w->complete;
    }
    w->picked[w->picked_count++] = (struct picked){.id = r->id, .n = r->n};
    return true;
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

static bool read_text(const struct json *filter, const char *name, char **out) {
    struct bytes text;
    const struct json *v = json_get(filter, name);
    if (!v) return true;
    if (!json_text(v, &text)) return false;
    *out = bytes_dupz(text);
    return true;
}

static bool is_state(const char *name) {
    for (int s = RECIPIENT_DUE; s <= RECIPIENT_HELD; s++)
        if (strcmp(recipient_state_name[s], name) == 0) return true;
    return false;
}

static bool read_filter(const struct json *request, struct filter *f, struct err *err) {
    static const char *const known[] = {"id", "sender", "recipient", "domain", "identity", "lane", "state", "older_than", "tag"};
    const struct json *filter = json_get(request, "filter");
    void *at = NULL;
    struct bytes name, text;
    const struct json *value;
    // Something else taken for an empty filter would mean the whole queue.
    if (filter && json_kind(filter) != JSON_MAP) return err_set(err, "filter is an object");
    while (json_next(filter, &at, &name, &value)) {
        struct nearest near = nearest_to(name);
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            nearest_offer(&near, known[i]);
            found = found || bytes_equal(name, bytes_of(known[i]));
        }
        if (found) continue;
        struct buf hint = {0};
        nearest_hint(&near, &hint);
        err_set(err, "unknown filter '%.*s'%s", BYTES_FMT(name), buf_z(&hint));
        buf_release(&hint);
        return false;
    }
    const struct json *id = json_get(request, "id") ? json_get(request, "id") : json_get(filter, "id");
    if (id) {
        f->by_id = true;
        if (!json_text(id, &text) || !id_parse(text, &f->id)) return err_set(err, "id: a message id is 16 hex digits");
    }
    if (!read_text(filter, "sender", &f->sender) || !read_text(filter, "recipient", &f->recipient) ||
        !read_text(filter, "domain", &f->domain) || !read_text(filter, "identity", &f->identity) ||
        !read_text(filter, "lane", &f->lane) || !read_text(filter, "state", &f->state))
        return err_set(err, "sender, recipient, domain, identity, lane and state are texts");
    if (f->state && !is_state(f->state)) return err_set(err, "state: '%s' is none of due, parked, held", f->state);
    const struct json *older = json_get(filter, "older_than");
    if (older && !json_int(older, &f->older_than_s)) return err_set(err, "older_than is a number of seconds");
    const struct json *tags = json_get(filter, "tag");
    if (!tags) return true;
    struct buf copy = {0};
    json_write(tags, &copy);
    f->tags = json_kind(tags) == JSON_MAP ? json_parse(buf_bytes(&copy), NULL) : NULL;
    buf_release(&copy);
    return f->tags || err_set(err, "tag is an object of names and texts");
}

static enum action read_action(const struct json *request) {
    struct bytes name;
    if (!json_text(json_get(request, "action"), &name)) return ACTION_COUNT;
    for (int i = 0; i < ACTION_COUNT; i++)
        if (bytes_equal(name, bytes_of(action_name[i]))) return (enum action)i;
    return ACTION_COUNT;
}

void queue_control(struct asker *a, const struct json *request) {
    struct err err;
    struct walk *w = must_alloc(sizeof *w);
    int64_t limit = -1;
    w->asker = a;
    w->action = read_action(request);
    if (w->action == ACTION_COUNT) {
        free_walk(w);
        return asker_error(a, EX_USAGE, "queue: action is one of list, show, hold, release, retry, bounce, delete");
    }
    if (!read_filter(request, &w->filter, &err)) {
        free_walk(w);
        return asker_error(a, EX_USAGE, "queue: %s", err.text);
    }
    json_bool(json_get(request, "count_only"), &w->count_only);
    json_bool(json_get(request, "progress"), &w->tells);
    json_int(json_get(request, "limit"), &limit);
    w->limit = limit >= 0 ? (uint64_t)limit : w->action == ACTION_LIST && !w->count_only ? LIST_DEFAULT : 0;
    if (w->filter.by_id) w->next_id = w->filter.id;
    if (w->action != ACTION_SHOW) return step(w);
    if (w->filter.by_id) return show(w);
    free_walk(w);
    asker_error(a, EX_USAGE, "queue show: which message? give its id");
}
