// SPDX-License-Identifier: MIT
#include "relay/journal.h"

#include "mail/header.h"
#include "policy/decision.h"
#include "smtp/server.h"

#include <stdio.h>
#include <stdlib.h>

enum { REFUSAL = 1, VERSION = 1 };
enum { CALL_PLAIN = 1, CALL_FAULT = 2 };

const char *const journal_hook_name[] = {"connect", "sender", "recipient", "message", "route", "retry"};

// ---- numbers of seven bits a byte, the last one without its highest bit; texts behind their length

static void put_number(struct buf *out, uint64_t n) {
    for (; n >= 128; n >>= 7) buf_byte(out, (char)(n | 128));
    buf_byte(out, (char)n);
}

static void put_text(struct buf *out, struct bytes text) {
    put_number(out, text.len);
    buf_add(out, text);
}

struct reading {
    struct bytes rest;
    bool bad;
};

static uint64_t get_number(struct reading *r) {
    uint64_t n = 0;
    for (size_t i = 0; i < 10 && i < r->rest.len; i++) {
        unsigned char c = (unsigned char)r->rest.at[i];
        n |= (uint64_t)(c & 127) << (7 * i);
        if (c >= 128) continue;
        r->rest = bytes_skip(r->rest, i + 1);
        return n;
    }
    r->bad = true;
    return 0;
}

static struct bytes get_text(struct reading *r) {
    uint64_t len = get_number(r);
    if (r->bad || len > r->rest.len) {
        r->bad = true;
        return BYTES("");
    }
    struct bytes text = bytes_first(r->rest, len);
    r->rest = bytes_skip(r->rest, len);
    return text;
}

// ---- transactions, written

static bool is_plain(const struct answer *a, const struct hook_trace *trace) {
    return a->kind == ANSWER_ACCEPT && !a->origin.where.len && !a->origin.fault && !trace->looked.len;
}

void journal_call(struct buf *calls, enum journal_hook hook, const struct hook_trace *trace, struct bytes subject,
                  const struct answer *a) {
    bool plain = is_plain(a, trace);
    put_number(calls, hook);
    put_number(calls, (plain ? CALL_PLAIN : 0) | (a->origin.fault ? CALL_FAULT : 0));
    put_number(calls, (uint64_t)trace->at_ms);
    put_text(calls, subject);
    if (plain) return;
    struct buf text = {0};
    struct jsonl j = jsonl_begin(&text);
    decision_answer(&j, journal_hook_name[hook], a);
    jsonl_close(&j, '}');
    put_text(calls, buf_bytes(&text));
    put_text(calls, trace->looked);
    buf_release(&text);
}

bool journal_is_named(struct bytes names, struct bytes name) {
    while (names.len)
        if (bytes_equal_nocase(bytes_cut(&names, ' '), name)) return true;
    return false;
}

uint32_t journal_names_hash(struct bytes names) {
    return (uint32_t)bytes_hash(names);
}

void journal_keep_fields(struct buf *out, struct bytes head, struct bytes names) {
    struct header_field field;
    while (names.len && header_next(&head, &field))
        if (field.name.len && journal_is_named(names, field.name)) buf_add(out, field.whole);
}

void journal_trail(struct buf *out, const struct journal_trail *t) {
    bool cut = t->calls.len > JOURNAL_CALLS_MAX;
    buf_reserve(out, 40 + t->head.len + t->calls.len);
    put_number(out, t->flags | (cut ? JOURNAL_CUT : 0));
    put_number(out, t->size);
    put_number(out, t->size_said);
    put_text(out, t->head);
    put_text(out, cut ? BYTES("") : t->calls);
}

static void get_trail(struct reading *r, struct journal_trail *t) {
    t->flags = (unsigned)get_number(r);
    t->size = get_number(r);
    t->size_said = get_number(r);
    t->head = get_text(r);
    t->calls = get_text(r);
}

struct journal_transaction journal_of_message(const struct message *m, struct buf *head, struct bytes names) {
    struct reading trail = {.rest = m->trail};
    struct journal_transaction t = {
        .flags = JOURNAL_STORED | (m->flags & MESSAGE_REPORT ? JOURNAL_REPORT : 0), .received_ms = m->received_ms,
        .expires_ms = m->expires_ms, .size = m->head.len + 2 + m->body.length, .recipients = m->recipients, .policy = m->policy,
        .session = m->facts, .sender = m->sender, .tags = m->tags, .kept = journal_names_hash(names),
    };
    journal_keep_fields(head, m->head, names);
    t.head = buf_bytes(head);
    if (m->trail.len) get_trail(&trail, &t.trail);
    if (trail.bad) t.trail = (struct journal_trail){.flags = JOURNAL_CUT};
    return t;
}

// The trail as it is: of a message's record its own text, else made here.
static void put_transaction(struct buf *out, const struct journal_transaction *t, struct bytes trail) {
    put_number(out, t->flags);
    put_number(out, (uint64_t)t->received_ms);
    put_number(out, (uint64_t)t->expires_ms);
    put_number(out, t->size);
    put_number(out, t->recipients);
    put_number(out, t->kept);
    put_text(out, t->policy);
    put_text(out, t->session);
    put_text(out, t->sender);
    put_text(out, t->tags);
    put_text(out, t->head);
    put_text(out, trail);
}

// ---- refusals

struct refusal {
    struct store_op op; // first
    uint64_t id;
    int64_t at_ms;
    struct buf entry;
};

static bool put_refusal(struct store_op *op, struct txn *txn, struct err *err) {
    struct refusal *r = (struct refusal *)op;
    return txn_put_journal(txn, r->id, r->at_ms, buf_bytes(&r->entry), err);
}

// Not on disk: it was a record of nothing that has to last.
static void refusal_done(struct store_op *op, bool done, const struct err *why) {
    struct refusal *r = (struct refusal *)op;
    (void)done;
    (void)why;
    buf_release(&r->entry);
    free(r);
}

// An hour's share at once, filled again over the hour.
static bool may_refuse(struct worker *w, int64_t now) {
    struct journal_share *s = &w->journal_share;
    double hour = (double)w->site->conf->journal_max / 8 / 24 / w->gateway->worker_count;
    if (hour < 1) hour = 1;
    if (!s->looked_ms) s->left = hour;
    if (now > s->looked_ms && s->looked_ms) s->left += hour * (double)(now - s->looked_ms) / 3600e3;
    if (s->left > hour) s->left = hour;
    s->looked_ms = now;
    if (s->left < 1) return false;
    s->left -= 1;
    return true;
}

void journal_refusal(struct worker *w, struct journal_transaction *t) {
    const struct conf *conf = w->site->conf;
    if (!conf->journal_decisions || !may_refuse(w, t->received_ms)) return;
    struct refusal *r = must_alloc(sizeof *r);
    struct buf head = {0}, trail = {0};
    struct bytes names = bytes_of(conf->journal_headers);
    r->id = worker_next_id(w);
    r->at_ms = t->received_ms;
    journal_keep_fields(&head, t->head, names);
    t->head = buf_bytes(&head);
    t->kept = journal_names_hash(names);
    journal_trail(&trail, &t->trail);
    buf_byte(&r->entry, REFUSAL);
    buf_byte(&r->entry, VERSION);
    put_transaction(&r->entry, t, buf_bytes(&trail));
    buf_release(&head);
    buf_release(&trail);
    r->op = (struct store_op){.apply = put_refusal, .finish = refusal_done, .file = -1, .patient = true};
    store_submit(w->gateway->store, &r->op);
}

// ---- outcomes, written

static void put_outcome(struct buf *out, const struct outcome_facts *o) {
    put_number(out, (uint64_t)o->reply.code);
    for (int i = 0; i < 3; i++) put_number(out, (uint64_t)o->reply.status[i]);
    put_text(out, bytes_of(o->reply.text));
    put_number(out, o->local);
    put_text(out, o->stage);
    put_text(out, o->peer);
    put_text(out, o->via);
    put_text(out, o->identity);
    put_text(out, o->exhaustible);
    put_text(out, o->lane);
    put_number(out, o->attempt);
    put_number(out, (uint64_t)o->age_ms);
    put_number(out, (uint64_t)o->expires_ms);
}

static void put_call(struct buf *out, const struct hook_trace *trace, const struct origin *o, struct bytes decision) {
    put_number(out, o->fault ? CALL_FAULT : 0);
    put_number(out, (uint64_t)trace->at_ms);
    put_text(out, o->version);
    put_text(out, o->where);
    put_text(out, o->because);
    put_text(out, decision);
    put_text(out, trace->looked);
}

static void put_message(struct buf *out, const struct message *m, struct bytes names) {
    struct buf head = {0};
    struct journal_transaction t = journal_of_message(m, &head, names);
    put_transaction(out, &t, m->trail);
    buf_release(&head);
}

void journal_outcome(struct buf *out, const struct journal_route *r, const struct journal_retry *retry, const struct message *m,
                     struct bytes names) {
    put_number(out, VERSION);
    put_number(out, m != NULL);
    if (m) put_message(out, m, names);
    put_number(out, r->n);
    put_number(out, r->attempts);
    put_number(out, (uint64_t)r->last_ms);
    put_text(out, r->last);
    put_call(out, &r->trace, &r->plan->origin, r->plan->json);
    put_number(out, retry != NULL);
    if (!retry) return;
    struct buf text = {0};
    struct jsonl j = jsonl_begin(&text);
    decision_verdict(&j, retry->verdict);
    jsonl_close(&j, '}');
    put_call(out, &retry->trace, &retry->verdict->origin, buf_bytes(&text));
    put_outcome(out, retry->outcome);
    buf_release(&text);
}

// ---- reading

struct bytes journal_event(struct bytes entry) {
    ptrdiff_t end = bytes_find(entry, '\n');
    if (!bytes_starts(entry, BYTES("{"))) return BYTES("");
    return end < 0 ? entry : bytes_first(entry, (size_t)end);
}

static void get_transaction(struct reading *r, struct journal_transaction *out) {
    *out = (struct journal_transaction){.flags = (unsigned)get_number(r)};
    out->received_ms = (int64_t)get_number(r);
    out->expires_ms = (int64_t)get_number(r);
    out->size = get_number(r);
    out->recipients = (uint32_t)get_number(r);
    out->kept = (uint32_t)get_number(r);
    out->policy = get_text(r);
    out->session = get_text(r);
    out->sender = get_text(r);
    out->tags = get_text(r);
    out->head = get_text(r);
    struct reading trail = {.rest = get_text(r)};
    if (trail.rest.len) get_trail(&trail, &out->trail);
    r->bad = r->bad || trail.bad;
}

// Behind an event's line; false: there is nothing, or of another version.
static bool begin_outcome(struct bytes entry, struct reading *r) {
    struct bytes event = journal_event(entry);
    if (!event.len || entry.len <= event.len + 1) return false;
    *r = (struct reading){.rest = bytes_skip(entry, event.len + 1)};
    return get_number(r) == VERSION && !r->bad;
}

bool journal_read_transaction(struct bytes entry, struct journal_transaction *out) {
    struct reading r;
    if (entry.len >= 2 && entry.at[0] == REFUSAL && entry.at[1] == VERSION) r = (struct reading){.rest = bytes_skip(entry, 2)};
    else if (!begin_outcome(entry, &r) || !get_number(&r)) return false;
    get_transaction(&r, out);
    return !r.bad;
}

bool journal_next_call(struct bytes *calls, struct journal_called *out) {
    struct reading r = {.rest = *calls};
    if (!calls->len) return false;
    *out = (struct journal_called){.decision = BYTES(""), .where = BYTES(""), .because = BYTES(""), .policy = BYTES(""), .looked = BYTES("")};
    uint64_t hook = get_number(&r), flags = get_number(&r);
    out->hook = (enum journal_hook)hook;
    out->plain = flags & CALL_PLAIN;
    out->fault = flags & CALL_FAULT;
    out->at_ms = (int64_t)get_number(&r);
    out->subject = get_text(&r);
    if (!out->plain) out->decision = get_text(&r);
    if (!out->plain) out->looked = get_text(&r);
    *calls = r.bad ? BYTES("") : r.rest;
    return !r.bad && hook <= JOURNAL_MESSAGE;
}

static struct journal_called get_call(struct reading *r, enum journal_hook hook) {
    struct journal_called c = {.hook = hook, .subject = BYTES("")};
    c.fault = get_number(r) & CALL_FAULT;
    c.at_ms = (int64_t)get_number(r);
    c.policy = get_text(r);
    c.where = get_text(r);
    c.because = get_text(r);
    c.decision = get_text(r);
    c.looked = get_text(r);
    return c;
}

static void get_outcome(struct reading *r, struct outcome_facts *o) {
    o->reply.code = (int)(get_number(r) % 1000);
    for (int i = 0; i < 3; i++) o->reply.status[i] = (int)(get_number(r) % 1000);
    struct bytes words = get_text(r);
    snprintf(o->reply.text, sizeof o->reply.text, "%.*s", BYTES_FMT(words));
    o->local = get_number(r);
    o->stage = get_text(r);
    o->peer = get_text(r);
    o->via = get_text(r);
    o->identity = get_text(r);
    o->exhaustible = get_text(r);
    o->lane = get_text(r);
    o->attempt = (uint32_t)get_number(r);
    o->age_ms = (int64_t)get_number(r);
    o->expires_ms = (int64_t)get_number(r);
}

bool journal_read_outcome(struct bytes entry, struct journal_read_outcome *out) {
    struct reading r;
    struct journal_transaction passed_over;
    if (!begin_outcome(entry, &r)) return false;
    if (get_number(&r)) get_transaction(&r, &passed_over);
    *out = (struct journal_read_outcome){0};
    out->route.n = (uint32_t)get_number(&r);
    out->route.attempts = (uint32_t)get_number(&r);
    out->route.last_ms = (int64_t)get_number(&r);
    out->route.last = get_text(&r);
    out->routed = get_call(&r, JOURNAL_ROUTE);
    out->has_retry = get_number(&r);
    if (!out->has_retry) return !r.bad;
    out->retried = get_call(&r, JOURNAL_RETRY);
    get_outcome(&r, &out->outcome);
    return !r.bad;
}

// ---- forgetting

enum { LOOK_MS = 60 * 1000, SOON_MS = 50, SWEPT_AT_ONCE = 2000 };

struct journal_broom {
    struct store_op op; // first
    struct task back;
    struct gateway *gateway;
    struct timer *timer;
    int64_t before_ms;
    bool sweeping, more, freed;
};

static bool sweep(struct store_op *op, struct txn *txn, struct err *err) {
    struct journal_broom *b = (struct journal_broom *)op;
    return txn_trim_journal(txn, b->before_ms, SWEPT_AT_ONCE, &b->more, err);
}

static void swept(struct store_op *op, bool done, const struct err *why) {
    struct journal_broom *b = (struct journal_broom *)op;
    (void)why;
    if (!done) b->more = false; // a store in trouble says so itself
    loop_post(b->gateway->loop, &b->back);
}

static void come_back(struct task *task) {
    struct journal_broom *b = (struct journal_broom *)((char *)task - offsetof(struct journal_broom, back));
    b->sweeping = false;
    if (b->freed) return free(b);
    timer_set(b->timer, b->more ? SOON_MS : LOOK_MS);
}

static bool see_oldest(void *arg, uint64_t id, int64_t at_ms, struct bytes entry) {
    (void)at_ms;
    (void)entry;
    *(int64_t *)arg = id_ms(id);
    return false;
}

// A commit a minute for nothing would keep a disk awake: it looks first.
static void look(void *arg) {
    struct journal_broom *b = arg;
    struct gateway *g = b->gateway;
    struct err err;
    int64_t oldest_ms = INT64_MAX;
    b->before_ms = clock_ms(&g->clock) - g->site->conf->journal_keep_s * 1000;
    struct reader *reader = reader_new(g->store, &err);
    if (reader) {
        reader_begin(reader);
        reader_journal(reader, 0, see_oldest, &oldest_ms);
        reader_end(reader);
        reader_free(&reader);
    }
    if (oldest_ms >= b->before_ms || store_is_sick(g->store)) return timer_set(b->timer, LOOK_MS);
    b->sweeping = true;
    b->op = (struct store_op){.apply = sweep, .finish = swept, .file = -1, .patient = true};
    store_submit(g->store, &b->op);
}

struct journal_broom *journal_broom_new(struct gateway *g) {
    struct journal_broom *b = must_alloc(sizeof *b);
    b->gateway = g;
    b->back.run = come_back;
    b->timer = timer_new(g->loop, look, b);
    timer_set(b->timer, LOOK_MS);
    return b;
}

void journal_broom_free(struct journal_broom **at) {
    struct journal_broom *b = *at;
    *at = NULL;
    if (!b) return;
    timer_free(&b->timer);
    if (b->sweeping) b->freed = true;
    else free(b);
}
