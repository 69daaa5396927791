// SPDX-License-Identifier: MIT
#include "relay/replay.h"

#include "base/map.h"
#include "policy/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORDS_SHOWN = 3 };

struct entry {
    struct bytes bytes;
    int64_t at_ms;
};

struct replay {
    struct replay_options options;
    struct generation_options usual;
    struct lookup_source source;
    struct lab *lab;
    struct replay_tally tally;
    // Of the message at hand:
    struct arena arena;
    uint64_t id;
    struct entry *entries;
    size_t count, room;
    bool has_transaction;
    struct journal_transaction transaction;
    struct json *session;
    struct bytes tags, head;      // as the candidate leaves them
    bool dropped;                 // by the candidate
    struct map refused, asked;    // addresses that the candidate refuses; how often each question was asked
    // Of the decision at hand:
    struct bytes looked;
    bool unknown;
    struct buf facts, decision;
};

// ---- the world, as it was

// The first time a question is asked it gets the first answer, and so on; the last one stays, but chance does not repeat.
static bool find(void *arg, struct bytes question, struct bytes *answer, int64_t *after_ms) {
    struct replay *r = arg;
    uintptr_t before = (uintptr_t)map_get(&r->asked, question), seen = 0;
    struct bytes rest = r->looked;
    for (struct lookup l; seen <= before && lookup_next(&rest, &l);) {
        if (!bytes_equal(l.question, question)) continue;
        *answer = l.answer;
        *after_ms = l.after_ms;
        seen++;
    }
    map_put(&r->asked, question, (void *)(before + 1)); // NOLINT: a count
    bool chance = bytes_starts(question, BYTES("random ")) || bytes_starts(question, BYTES("math.random"));
    if (seen > before || (seen && !chance)) return true;
    r->unknown = true;
    return false;
}

static bool knows_header(void *arg, struct bytes name) {
    struct replay *r = arg;
    // Kept by other rules than today's: what is there is known, what is not is not.
    bool known = r->transaction.kept == r->options.kept->hash && kept_fields_has(r->options.kept, name);
    if (!known && bytes_search(r->head, name) >= 0) {
        struct buf field = {0};
        struct kept_fields one = kept_fields_of(name, &r->arena);
        kept_fields_take(&field, r->head, &one);
        known = field.len;
        buf_release(&field);
    }
    if (!known) r->unknown = true;
    return known;
}

// ---- life

struct replay *replay_new(const struct replay_options *options, struct err *err) {
    struct replay *r = must_alloc(sizeof *r);
    r->options = *options;
    r->options.bundle = bundle_ref(options->bundle);
    r->source = (struct lookup_source){find, knows_header, r};
    r->usual = *options->usual;
    r->usual.source = &r->source;
    r->lab = lab_new(&(struct lab_options){.usual = &r->usual}, err);
    if (!r->lab || !lab_use(r->lab, r->options.bundle, false, err)) replay_free(&r);
    return r;
}

void replay_free(struct replay **at) {
    struct replay *r = *at;
    *at = NULL;
    if (!r) return;
    lab_free(&r->lab);
    bundle_free(&r->options.bundle);
    json_free(&r->session);
    map_release(&r->refused);
    map_release(&r->asked);
    arena_release(&r->arena);
    buf_release(&r->facts);
    buf_release(&r->decision);
    free(r->entries);
    free(r);
}

const struct replay_tally *replay_result(const struct replay *r) { return &r->tally; }

void replay_add(struct replay_tally *to, const struct replay_tally *from) {
    to->messages += from->messages;
    to->decisions += from->decisions;
    to->incomplete += from->incomplete;
    to->unkept += from->unkept;
    to->foreign += from->foreign;
    to->took_us += from->took_us;
    if (from->longest_us > to->longest_us) to->longest_us = from->longest_us;
    for (int c = 0; c < CONTRASTS; c++) {
        uint64_t room = to->counts[c] < REPLAY_EXAMPLES ? REPLAY_EXAMPLES - to->counts[c] : 0;
        uint64_t there = from->counts[c] < REPLAY_EXAMPLES ? from->counts[c] : REPLAY_EXAMPLES;
        for (uint64_t i = 0; i < there && i < room; i++) to->examples[c][to->counts[c] + i] = from->examples[c][i];
        to->counts[c] += from->counts[c];
    }
}

// ---- facts

static void put_ms(struct jsonl *j, const char *name, int64_t ms) { // scripts have seconds with a fraction
    char text[40];
    int len = snprintf(text, sizeof text, "%lld.%03lld", (long long)(ms / 1000), (long long)(ms % 1000));
    jsonl_raw(j, name, bytes_range(text, (size_t)len));
}

static void put_time(struct jsonl *j, const char *name, int64_t ms) {
    if (ms > 0) put_ms(j, name, ms);
}

static void put_map(struct jsonl *j, const char *name, struct bytes text) { jsonl_raw(j, name, text.len ? text : BYTES("{}")); }

// At connect nothing was known of HELO, login and, but on listeners that begin with it, TLS.
static void put_early_session(struct replay *r, struct jsonl *j) {
    void *at = NULL;
    struct bytes name, kind = BYTES("");
    const struct json *value;
    json_text(json_get(r->session, "kind"), &kind);
    bool secured = bytes_equal(kind, BYTES("submissions"));
    jsonl_open(j, "session", '{');
    while (json_next(r->session, &at, &name, &value)) {
        bool tls = bytes_starts(name, BYTES("tls_")) || bytes_equal(name, BYTES("client_certificate"));
        bool later = bytes_equal(name, BYTES("helo")) || bytes_equal(name, BYTES("user")) || bytes_equal(name, BYTES("user_facts"));
        if (later || (tls && !secured)) continue;
        struct buf text = {0};
        json_write(value, &text);
        jsonl_raw(j, arena_z(&r->arena, name), buf_bytes(&text));
        buf_release(&text);
    }
    jsonl_close(j, '}');
}

static void put_id(struct replay *r, struct jsonl *j) {
    char id[ID_TEXT];
    struct bytes user = BYTES("");
    id_text(r->id, id);
    json_text(json_get(r->session, "user"), &user);
    jsonl_textz(j, "id", id);
    jsonl_text(j, "sender", r->transaction.sender);
    jsonl_text(j, "user", user);
}

// The message as its own hook saw it. When it was to expire before that had a say, the record does not tell: it is the usual.
static void put_offered(struct replay *r, struct jsonl *j) {
    const struct journal_transaction *t = &r->transaction;
    struct bytes calls = t->trail.calls;
    jsonl_open(j, "message", '{');
    put_id(r, j);
    jsonl_text(j, "head", t->trail.flags & JOURNAL_EDITED ? t->trail.head : t->head);
    jsonl_int(j, "size", (int64_t)t->trail.size);
    put_time(j, "received_at", t->received_ms);
    put_time(j, "expires_at", t->received_ms + r->options.expire_s * 1000);
    jsonl_open(j, "recipients", '[');
    for (struct journal_called c; journal_next_call(&calls, t, &r->arena, &c);)
        if (c.hook == JOURNAL_RECIPIENT && (c.plain || bytes_search(c.decision, BYTES("\"kind\":\"accept\"")) >= 0)) jsonl_text(j, NULL, c.subject);
    jsonl_close(j, ']');
    jsonl_close(j, '}');
}

static void put_stored(struct replay *r, struct jsonl *j) {
    const struct journal_transaction *t = &r->transaction;
    jsonl_open(j, "message", '{');
    put_id(r, j);
    put_map(j, "session", t->session);
    put_map(j, "tags", r->tags);
    jsonl_text(j, "head", r->head);
    jsonl_int(j, "size", (int64_t)t->size);
    put_time(j, "received_at", t->received_ms);
    put_time(j, "expires_at", t->expires_ms);
    jsonl_int(j, "recipient_count", t->recipients);
    jsonl_bool(j, "is_report", t->flags & JOURNAL_REPORT);
    jsonl_close(j, '}');
}

static void put_recipient(struct jsonl *j, const struct journal_route *o, struct bytes address) {
    jsonl_open(j, "recipient", '{');
    jsonl_text(j, "address", address);
    jsonl_int(j, "number", o->n);
    jsonl_int(j, "attempts", o->attempts);
    put_time(j, "last_at", o->last_ms);
    if (o->last.len) jsonl_raw(j, "last", o->last);
    jsonl_close(j, '}');
}

static void put_outcome(struct jsonl *j, const struct outcome_facts *o) {
    struct buf reply = {0};
    reply_text(&o->reply, &reply);
    jsonl_open(j, "outcome", '{');
    if (o->reply.code) jsonl_text(j, "reply", buf_bytes(&reply));
    jsonl_bool(j, "from_peer", !o->local);
    jsonl_text(j, "stage", o->stage);
    jsonl_text(j, "peer", o->peer);
    jsonl_text(j, "via", o->via);
    jsonl_text(j, "identity", o->identity);
    jsonl_text(j, "lane", o->lane);
    put_map(j, "exhaustible", o->exhaustible);
    jsonl_int(j, "attempt", o->attempt);
    put_ms(j, "age", o->age_ms);
    put_time(j, "expires_at", o->expires_ms);
    jsonl_close(j, '}');
    buf_release(&reply);
}

// ---- one decision

static void take_text(char *out, size_t size, struct bytes text) {
    snprintf(out, size, "%.*s", BYTES_FMT(bytes_first(text, size - 1)));
}

static void note(struct replay *r, enum contrast c, const struct journal_called *was, struct bytes subject, const struct json *before,
                 const struct json *after, struct bytes because) {
    uint64_t n = r->tally.counts[c]++;
    if (c == CONTRAST_NONE || n >= REPLAY_EXAMPLES) return;
    struct replay_example *e = &r->tally.examples[c][n];
    struct bytes where = BYTES("");
    struct buf words = {0};
    *e = (struct replay_example){.contrast = c, .hook = was->hook, .id = r->id};
    json_text(json_get(after, "where"), &where);
    take_text(e->where, sizeof e->where, where);
    struct bytes was_where = was->where;
    if (!was_where.len) json_text(json_get(before, "where"), &was_where);
    take_text(e->was_where, sizeof e->was_where, was_where);
    take_text(e->subject, sizeof e->subject, subject);
    if (c == CONTRAST_FAULT || c == CONTRAST_UNKNOWN) buf_add(&words, because);
    else contrast_words(before, was->hook == JOURNAL_ROUTE ? json_get(after, "plan") : after, WORDS_SHOWN, &words);
    take_text(e->words, sizeof e->words, buf_bytes(&words));
    buf_release(&words);
}

// Of this thread: a busy machine is not the candidate's fault.
static int64_t cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// Asks the candidate, counts how that compares, and gives its decision; NULL: there is none to go on with.
static struct json *decide(struct replay *r, const struct journal_called *was, struct bytes subject) {
    static const char plain[] = "{\"kind\":\"accept\"}";
    struct err err = {{0}};
    bool fault = false;
    r->looked = was->looked;
    r->unknown = false;
    map_release(&r->asked);
    lab_clock(r->lab)->frozen_ms = was->at_ms;
    buf_reset(&r->decision);
    int64_t began_us = cpu_us();
    bool asked = lab_ask(r->lab, journal_hook_name[was->hook], buf_bytes(&r->facts), &r->decision, &err);
    int64_t took_us = cpu_us() - began_us;
    struct json *after = asked ? json_parse(buf_bytes(&r->decision), &err) : NULL;
    struct json *before = json_parse(was->plain ? bytes_of(plain) : was->decision, &err);
    r->tally.decisions++;
    r->tally.took_us += took_us;
    if (took_us > r->tally.longest_us) r->tally.longest_us = took_us;
    struct bytes because = bytes_of(err.text);
    json_text(json_get(after, "because"), &because);
    json_bool(json_get(after, "fault"), &fault);
    enum contrast c;
    if (!after || !before || r->unknown) c = CONTRAST_UNKNOWN;
    else if (fault && !was->fault) c = CONTRAST_FAULT;
    else c = contrast_of(was->hook, before, was->hook == JOURNAL_ROUTE ? json_get(after, "plan") : after);
    note(r, c, was, subject, before, after, because);
    json_free(&before);
    if (c == CONTRAST_UNKNOWN) json_free(&after);
    return after;
}

static bool is_accepted(const struct json *decision) {
    struct bytes kind = BYTES("");
    json_text(json_get(decision, "kind"), &kind);
    return bytes_equal(kind, BYTES("accept")) || bytes_equal(kind, BYTES("hold"));
}

// ---- the session

static void follow_message(struct replay *r, const struct json *after) {
    struct buf tags = {0};
    struct bytes head;
    if (json_get(after, "tags")) json_write(json_get(after, "tags"), &tags);
    r->tags = arena_copy(&r->arena, buf_bytes(&tags));
    if (json_text(json_get(after, "head"), &head)) r->head = arena_copy(&r->arena, head);
    buf_release(&tags);
}

static void replay_call(struct replay *r, const struct journal_called *was) {
    const struct journal_trail *trail = &r->transaction.trail;
    buf_reset(&r->facts);
    struct jsonl j = jsonl_begin(&r->facts);
    if (was->hook == JOURNAL_CONNECT) put_early_session(r, &j);
    else put_map(&j, "session", r->transaction.session);
    if (was->hook == JOURNAL_SENDER || was->hook == JOURNAL_RECIPIENT) {
        jsonl_open(&j, "address", '{');
        jsonl_text(&j, "address", was->subject);
        if (was->hook == JOURNAL_SENDER) jsonl_int(&j, "size", (int64_t)trail->size_said);
        if (was->hook == JOURNAL_SENDER) jsonl_bool(&j, "smtputf8", trail->flags & JOURNAL_SMTPUTF8);
        jsonl_close(&j, '}');
    }
    if (was->hook == JOURNAL_MESSAGE) put_offered(r, &j);
    jsonl_close(&j, '}');
    struct bytes kept_head = r->head;
    if (was->hook == JOURNAL_MESSAGE && trail->flags & JOURNAL_EDITED) r->head = trail->head;
    struct json *after = decide(r, was, was->subject);
    r->head = kept_head;
    bool accepted = !after || is_accepted(after);
    if (!accepted && was->hook == JOURNAL_RECIPIENT) map_put(&r->refused, was->subject, r);
    if (!accepted && was->hook != JOURNAL_RECIPIENT) r->dropped = true;
    if (after && accepted && was->hook == JOURNAL_MESSAGE) follow_message(r, after);
    json_free(&after);
}

static void replay_session(struct replay *r) {
    struct bytes calls = r->transaction.trail.calls;
    if (r->transaction.trail.flags & JOURNAL_CUT) r->tally.unkept++;
    for (struct journal_called c; !r->dropped && journal_next_call(&calls, &r->transaction, &r->arena, &c);) replay_call(r, &c);
}

// ---- outcomes

static struct bytes recipient_of(struct replay *r, struct bytes event) {
    struct err err;
    struct bytes text = BYTES("");
    struct json *j = json_parse(event, &err);
    json_text(json_get(j, "recipient"), &text);
    text = arena_copy(&r->arena, text);
    json_free(&j);
    return text;
}

static void replay_outcome(struct replay *r, struct bytes entry) {
    struct journal_read_outcome o;
    if (!journal_read_outcome(entry, &r->arena, &o)) return;
    struct bytes address = recipient_of(r, journal_event(entry));
    if (map_get(&r->refused, address)) return;
    buf_reset(&r->facts);
    struct jsonl j = jsonl_begin(&r->facts);
    put_stored(r, &j);
    put_recipient(&j, &o.route, address);
    jsonl_close(&j, '}');
    struct json *after = decide(r, &o.routed, address);
    json_free(&after);
    if (!o.has_retry) return;
    r->facts.len--; // its "}": the outcome stands beside
    put_outcome(&j, &o.outcome);
    jsonl_close(&j, '}');
    after = decide(r, &o.retried, address);
    json_free(&after);
}

// ---- a message

static bool take_entry(void *arg, uint64_t id, int64_t at_ms, struct bytes entry) {
    struct replay *r = arg;
    if (id != r->id) return false;
    if (r->count == r->room) {
        r->room = r->room ? r->room * 2 : 8;
        r->entries = must_realloc(r->entries, r->room * sizeof *r->entries);
    }
    r->entries[r->count++] = (struct entry){arena_copy(&r->arena, entry), at_ms};
    return true;
}

static void find_transaction(struct replay *r, struct reader *reader) {
    struct message m, *kept = arena_alloc(&r->arena, sizeof *kept);
    for (size_t i = 0; i < r->count && !r->has_transaction; i++)
        r->has_transaction = journal_read_transaction(r->entries[i].bytes, &r->arena, &r->transaction);
    if (r->has_transaction || !reader_message(reader, r->id, &m)) return;
    struct buf head = {0};
    message_copy(&r->arena, &m, kept);
    r->transaction = journal_of_message(kept, &head, r->options.kept);
    r->transaction.head = arena_copy(&r->arena, buf_bytes(&head));
    r->has_transaction = true;
    buf_release(&head);
}

static bool has_foreign(const struct replay *r) {
    bool foreign = r->has_transaction && r->transaction.trail.flags & JOURNAL_FOREIGN;
    for (size_t i = 0; i < r->count && !foreign; i++) foreign = journal_is_foreign(r->entries[i].bytes);
    return foreign;
}

void replay_message(struct replay *r, struct reader *reader, uint64_t id) {
    struct err err;
    arena_reset(&r->arena);
    map_release(&r->refused);
    r->id = id;
    r->count = 0;
    r->has_transaction = r->dropped = false;
    reader_begin(reader);
    reader_journal(reader, id, take_entry, r);
    find_transaction(r, reader);
    reader_end(reader);
    r->tally.messages++;
    bool foreign = has_foreign(r);
    if (foreign) r->tally.foreign++;
    if (!r->has_transaction) {
        if (!foreign) r->tally.incomplete++;
        return;
    }
    json_free(&r->session);
    r->session = r->transaction.session.len ? json_parse(r->transaction.session, &err) : NULL;
    r->tags = r->transaction.tags;
    r->head = r->transaction.head;
    replay_session(r);
    for (size_t i = 0; i < r->count && !r->dropped; i++) replay_outcome(r, r->entries[i].bytes);
}
