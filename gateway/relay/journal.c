// SPDX-License-Identifier: MIT
#include "relay/journal.h"

#include "policy/decision.h"
#include "relay/packing.h"
#include "script/json.h"
#include "smtp/server.h"

#include <stdio.h>
#include <stdlib.h>

enum { REFUSAL = 1, VERSION = 2 };
// Of a call; the hook stands above them.
enum { CALL_PLAIN = 1, CALL_FAULT = 2, CALL_TAGS = 4 /* those of the message */, CALL_FLAGS = 3 };
// Of an outcome.
enum { HAS_TRANSACTION = 1, SAID_IN_EVENT = 2 /* who decided the route, and why */, HAS_RETRY = 4 };

const char *const journal_hook_name[] = {"connect", "sender", "recipient", "message", "route", "retry"};

// ---- transactions, written

static bool is_plain(const struct answer *a, const struct hook_trace *trace) {
    return a->kind == ANSWER_ACCEPT && !a->origin.where.len && !a->origin.fault && !trace->looked.len;
}

static void put_origin(struct buf *out, const struct origin *o) {
    pack_text(out, o->where);
    pack_text(out, o->because);
}

// What is rare stays JSON text: the members of the decision that are not said otherwise.
static void put_members(struct buf *out, const struct answer *a, bool tags) {
    struct buf text = {0};
    struct jsonl j = {.out = &text};
    struct answer rest = *a;
    if (!tags) rest.tags = BYTES("");
    decision_answer_members(&j, &rest);
    pack_text(out, buf_bytes(&text));
    buf_release(&text);
}

void journal_call(struct buf *calls, enum journal_hook hook, const struct hook_trace *trace, struct bytes subject,
                  const struct answer *a) {
    bool plain = is_plain(a, trace), takes = a->kind == ANSWER_ACCEPT || a->kind == ANSWER_HOLD;
    bool tags = hook == JOURNAL_MESSAGE && takes && a->tags.len; // of a message that is taken they are the message's
    buf_reserve(calls, 60 + subject.len + a->origin.where.len + a->origin.because.len + trace->looked.len);
    pack_number(calls, (unsigned)hook << CALL_FLAGS | (plain ? CALL_PLAIN : 0) | (a->origin.fault ? CALL_FAULT : 0) | (tags ? CALL_TAGS : 0));
    pack_number(calls, (uint64_t)trace->at_ms);
    if (hook != JOURNAL_SENDER) pack_text(calls, subject);
    if (plain) return;
    pack_number(calls, a->kind);
    if (hook == JOURNAL_CONNECT) pack_text(calls, a->origin.version); // the others are the transaction's
    put_origin(calls, &a->origin);
    put_members(calls, a, !tags);
    pack_text(calls, trace->looked);
}

// What a trail begins with: to a reader of version 1, which had no mark, one of which nothing was kept.
static const char trail_mark[] = {JOURNAL_CUT, 0, 0, 0, 0};

static void put_trail(struct buf *out, const struct journal_trail *t) {
    bool cut = t->calls.len > JOURNAL_CALLS_MAX;
    buf_add(out, bytes_range(trail_mark, sizeof trail_mark));
    pack_number(out, VERSION);
    pack_number(out, t->flags | (cut ? JOURNAL_CUT : 0));
    pack_number(out, t->size);
    pack_number(out, t->size_said);
    pack_text(out, t->head);
    pack_text(out, cut ? BYTES("") : t->calls);
}

static size_t trail_room(const struct journal_trail *t) { return 80 + t->head.len + t->calls.len; }

struct bytes journal_trail(struct arena *arena, const struct journal_trail *t) {
    struct buf out = {.at = arena_alloc(arena, trail_room(t)), .cap = trail_room(t)};
    put_trail(&out, t);
    return buf_bytes(&out);
}

// "": none was kept.
static struct journal_trail get_trail(struct bytes text) {
    struct bytes mark = bytes_range(trail_mark, sizeof trail_mark);
    struct journal_trail t = {.head = BYTES(""), .calls = BYTES("")};
    if (!text.len) return t;
    struct unpacking u = {.rest = bytes_skip(text, bytes_starts(text, mark) ? mark.len : text.len)};
    if (unpack_number(&u) != VERSION) {
        t.flags = JOURNAL_FOREIGN;
        return t;
    }
    t.flags = (unsigned)unpack_number(&u) & (JOURNAL_SMTPUTF8 | JOURNAL_CUT | JOURNAL_EDITED);
    t.size = unpack_number(&u);
    t.size_said = unpack_number(&u);
    t.head = unpack_text(&u);
    t.calls = unpack_text(&u);
    if (u.bad) t = (struct journal_trail){.flags = JOURNAL_CUT, .head = BYTES(""), .calls = BYTES("")};
    return t;
}

static struct journal_transaction of_record(const struct message *m) {
    return (struct journal_transaction){
        .flags = JOURNAL_STORED | (m->flags & MESSAGE_REPORT ? JOURNAL_REPORT : 0), .received_ms = m->received_ms,
        .expires_ms = m->expires_ms, .size = m->head.len + 2 + m->body.length, .recipients = m->recipients, .policy = m->policy,
        .session = m->facts, .sender = m->sender, .tags = m->tags, .head = m->head,
    };
}

struct journal_transaction journal_of_message(const struct message *m, struct buf *head, const struct kept_fields *kept) {
    struct journal_transaction t = of_record(m);
    t.kept = kept->hash;
    t.trail = get_trail(m->trail);
    kept_fields_take(head, m->head, kept);
    t.head = buf_bytes(head);
    return t;
}

// Of its head what is kept; the trail as it is: of a message's record its own text.
static void put_transaction(struct buf *out, const struct journal_transaction *t, const struct kept_fields *kept, struct bytes trail) {
    buf_reserve(out, 300 + t->session.len + t->sender.len + t->tags.len + trail.len);
    pack_number(out, t->flags);
    pack_number(out, (uint64_t)t->received_ms);
    pack_number(out, (uint64_t)(t->expires_ms - t->received_ms));
    pack_number(out, t->size);
    pack_number(out, t->recipients);
    pack_number(out, kept->hash);
    pack_text(out, t->policy);
    pack_session(out, t->session);
    pack_text(out, t->sender);
    pack_text(out, t->tags);
    size_t head = pack_open(out);
    kept_fields_take(out, t->head, kept);
    pack_close(out, head);
    pack_text(out, trail);
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
    struct buf trail = {0};
    r->id = worker_next_id(w);
    r->at_ms = t->received_ms;
    put_trail(&trail, &t->trail);
    buf_byte(&r->entry, REFUSAL);
    buf_byte(&r->entry, VERSION);
    put_transaction(&r->entry, t, &conf->journal_fields, buf_bytes(&trail));
    buf_release(&trail);
    r->op = (struct store_op){.apply = put_refusal, .finish = refusal_done, .file = -1, .patient = true};
    store_submit(w->gateway->store, &r->op);
}

// ---- outcomes, written

static void put_outcome(struct buf *out, const struct outcome_facts *o) {
    pack_number(out, (uint64_t)o->reply.code);
    for (int i = 0; i < 3; i++) pack_number(out, (uint64_t)o->reply.status[i]);
    pack_text(out, bytes_of(o->reply.text));
    pack_number(out, o->local);
    pack_text(out, o->stage);
    pack_text(out, o->peer);
    pack_text(out, o->via);
    pack_text(out, o->identity);
    pack_text(out, o->exhaustible);
    pack_text(out, o->lane);
    pack_number(out, o->attempt);
    pack_number(out, (uint64_t)o->age_ms);
    pack_number(out, (uint64_t)o->expires_ms);
}

static void put_call(struct buf *out, const struct hook_trace *trace, const struct origin *o, bool said) {
    pack_number(out, o->fault ? CALL_FAULT : 0);
    pack_number(out, (uint64_t)trace->at_ms);
    if (!said) pack_text(out, o->version);
    if (!said) put_origin(out, o);
    pack_text(out, trace->looked);
}

static void put_retry(struct buf *out, const struct journal_retry *retry) {
    struct buf text = {0};
    struct jsonl j = {.out = &text};
    put_call(out, &retry->trace, &retry->verdict->origin, false);
    pack_number(out, retry->verdict->kind);
    decision_verdict_members(&j, retry->verdict);
    pack_text(out, buf_bytes(&text));
    put_outcome(out, retry->outcome);
    buf_release(&text);
}

void journal_outcome(struct buf *out, const struct journal_route *r, const struct journal_retry *retry, const struct message *m,
                     const struct kept_fields *kept) {
    bool said = r->said && !r->plan->origin.fault;
    pack_number(out, VERSION);
    pack_number(out, (m ? HAS_TRANSACTION : 0) | (said ? SAID_IN_EVENT : 0) | (retry ? HAS_RETRY : 0));
    if (m) {
        struct journal_transaction t = of_record(m);
        put_transaction(out, &t, kept, m->trail);
    }
    pack_number(out, r->n);
    pack_number(out, r->attempts);
    pack_number(out, (uint64_t)r->last_ms);
    pack_text(out, r->last);
    put_call(out, &r->trace, &r->plan->origin, said);
    pack_text(out, r->plan->json);
    if (retry) put_retry(out, retry);
}

// ---- reading

struct bytes journal_event(struct bytes entry) {
    ptrdiff_t end = bytes_find(entry, '\n');
    if (!bytes_starts(entry, BYTES("{"))) return BYTES("");
    return end < 0 ? entry : bytes_first(entry, (size_t)end);
}

static void get_transaction(struct unpacking *u, struct arena *arena, struct journal_transaction *out) {
    *out = (struct journal_transaction){.flags = (unsigned)unpack_number(u)};
    out->received_ms = (int64_t)unpack_number(u);
    out->expires_ms = (int64_t)((uint64_t)out->received_ms + unpack_number(u));
    out->size = unpack_number(u);
    out->recipients = (uint32_t)unpack_number(u);
    out->kept = (uint32_t)unpack_number(u);
    out->policy = unpack_text(u);
    out->session = unpack_session(u, arena);
    out->sender = unpack_text(u);
    out->tags = unpack_text(u);
    out->head = unpack_text(u);
    out->trail = get_trail(unpack_text(u));
}

// What is kept behind an event's line, or of a refusal; *version 0: nothing is.
static struct unpacking begin(struct bytes entry, uint64_t *version) {
    struct bytes event = journal_event(entry);
    struct unpacking u = {.rest = BYTES("")};
    if (entry.len && entry.at[0] == REFUSAL) u.rest = bytes_skip(entry, 1);
    else if (event.len && entry.len > event.len + 1) u.rest = bytes_skip(entry, event.len + 1);
    *version = unpack_number(&u);
    return u;
}

bool journal_is_foreign(struct bytes entry) {
    uint64_t version;
    begin(entry, &version);
    return version && version != VERSION;
}

bool journal_read_transaction(struct bytes entry, struct arena *arena, struct journal_transaction *out) {
    uint64_t version;
    struct unpacking u = begin(entry, &version);
    bool refusal = entry.len && entry.at[0] == REFUSAL;
    if (version != VERSION || (!refusal && !(unpack_number(&u) & HAS_TRANSACTION))) return false;
    get_transaction(&u, arena, out);
    return !u.bad;
}

// A decision as policy/decision.h has it, of its parts.
static void make_decision(struct journal_called *c, const char *kind, struct bytes tags, struct bytes members, struct arena *arena) {
    struct buf text = {0};
    struct jsonl j = jsonl_begin(&text);
    decision_begin(&j, journal_hook_name[c->hook], kind);
    if (tags.len) jsonl_raw(&j, "tags", tags);
    if (members.len) jsonl_raw(&j, NULL, members);
    decision_end(&j, &(struct origin){.version = c->policy, .where = c->where, .because = c->because, .fault = c->fault});
    jsonl_close(&j, '}');
    c->decision = arena_copy(arena, buf_bytes(&text));
    buf_release(&text);
}

static void get_origin(struct unpacking *u, struct journal_called *c) {
    c->where = unpack_text(u);
    c->because = unpack_text(u);
}

static void get_answer(struct unpacking *u, struct journal_called *c, const struct journal_transaction *of, bool tags, struct arena *arena) {
    uint64_t kind = unpack_number(u);
    c->policy = c->hook == JOURNAL_CONNECT ? unpack_text(u) : of->policy;
    get_origin(u, c);
    struct bytes members = unpack_text(u);
    c->looked = unpack_text(u);
    u->bad = u->bad || kind > ANSWER_DISCARD;
    if (!u->bad) make_decision(c, answer_kind_name[kind], tags ? of->tags : BYTES(""), members, arena);
}

static struct journal_called nothing_of(enum journal_hook hook) {
    return (struct journal_called){.hook = hook, .subject = BYTES(""), .decision = BYTES(""), .where = BYTES(""), .because = BYTES(""),
                                   .policy = BYTES(""), .looked = BYTES("")};
}

bool journal_next_call(struct bytes *calls, const struct journal_transaction *of, struct arena *arena, struct journal_called *out) {
    struct unpacking u = {.rest = *calls};
    if (!calls->len) return false;
    uint64_t head = unpack_number(&u), hook = head >> CALL_FLAGS;
    *out = nothing_of(hook <= JOURNAL_MESSAGE ? (enum journal_hook)hook : JOURNAL_CONNECT);
    out->plain = head & CALL_PLAIN;
    out->fault = head & CALL_FAULT;
    out->at_ms = (int64_t)unpack_number(&u);
    out->subject = out->hook == JOURNAL_SENDER ? of->sender : unpack_text(&u);
    if (!out->plain) get_answer(&u, out, of, head & CALL_TAGS, arena);
    bool good = !u.bad && hook <= JOURNAL_MESSAGE;
    *calls = good ? u.rest : BYTES("");
    return good;
}

// The words of an event that a call need not say again.
static void take_said(struct bytes entry, struct journal_called *c, struct arena *arena) {
    struct json *event = json_parse(journal_event(entry), NULL);
    struct {
        const char *name;
        struct bytes *to;
    } said[] = {{"policy", &c->policy}, {"where", &c->where}, {"because", &c->because}};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (json_text(json_get(event, said[i].name), said[i].to)) *said[i].to = arena_copy(arena, *said[i].to);
    json_free(&event);
}

static struct journal_called get_call(struct unpacking *u, enum journal_hook hook, bool said) {
    struct journal_called c = nothing_of(hook);
    c.fault = unpack_number(u) & CALL_FAULT;
    c.at_ms = (int64_t)unpack_number(u);
    if (!said) c.policy = unpack_text(u);
    if (!said) get_origin(u, &c);
    c.looked = unpack_text(u);
    return c;
}

static void get_outcome(struct unpacking *u, struct outcome_facts *o) {
    o->reply.code = (int)(unpack_number(u) % 1000);
    for (int i = 0; i < 3; i++) o->reply.status[i] = (int)(unpack_number(u) % 1000);
    struct bytes words = unpack_text(u);
    snprintf(o->reply.text, sizeof o->reply.text, "%.*s", BYTES_FMT(bytes_first(words, sizeof o->reply.text - 1)));
    o->local = unpack_number(u);
    o->stage = unpack_text(u);
    o->peer = unpack_text(u);
    o->via = unpack_text(u);
    o->identity = unpack_text(u);
    o->exhaustible = unpack_text(u);
    o->lane = unpack_text(u);
    o->attempt = (uint32_t)unpack_number(u);
    o->age_ms = (int64_t)unpack_number(u);
    o->expires_ms = (int64_t)unpack_number(u);
}

static void get_retry(struct unpacking *u, struct arena *arena, struct journal_read_outcome *out) {
    out->retried = get_call(u, JOURNAL_RETRY, false);
    uint64_t kind = unpack_number(u);
    struct bytes members = unpack_text(u);
    get_outcome(u, &out->outcome);
    u->bad = u->bad || kind > VERDICT_GIVE_UP;
    if (!u->bad) make_decision(&out->retried, verdict_kind_name[kind], BYTES(""), members, arena);
}

bool journal_read_outcome(struct bytes entry, struct arena *arena, struct journal_read_outcome *out) {
    uint64_t version;
    struct unpacking u = begin(entry, &version);
    struct journal_transaction passed_over;
    if (version != VERSION || !journal_event(entry).len) return false;
    uint64_t flags = unpack_number(&u);
    if (flags & HAS_TRANSACTION) get_transaction(&u, arena, &passed_over);
    *out = (struct journal_read_outcome){.has_retry = flags & HAS_RETRY};
    out->route.n = (uint32_t)unpack_number(&u);
    out->route.attempts = (uint32_t)unpack_number(&u);
    out->route.last_ms = (int64_t)unpack_number(&u);
    out->route.last = unpack_text(&u);
    out->routed = get_call(&u, JOURNAL_ROUTE, flags & SAID_IN_EVENT);
    out->routed.decision = unpack_text(&u);
    if (out->has_retry) get_retry(&u, arena, out);
    if (!u.bad && flags & SAID_IN_EVENT) take_said(entry, &out->routed, arena);
    return !u.bad;
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
