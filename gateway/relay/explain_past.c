// SPDX-License-Identifier: MIT
#include "relay/explain_past.h"

#include "base/jsonl.h"
#include "policy/lookup.h"
#include "relay/journal.h"
#include "relay/waiters.h"
#include "script/json.h"

struct telling {
    uint64_t id;
    int64_t n;
    const struct prospect_eyes *eyes;
    int64_t now_ms;
    void (*row)(void *arg, struct bytes json);
    void *arg;
    struct arena arena;
    struct recipient *recipients; // copies: looks are made when the store is not being read
    size_t count;
    bool found, transaction; // what the session's hooks said has been told
};

static void give(struct telling *t, struct jsonl *j, struct buf *out) {
    jsonl_close(j, '}');
    t->row(t->arg, buf_bytes(out));
    buf_release(out);
}

static void tell_message(struct telling *t, const struct message *m) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    char id[ID_TEXT];
    id_text(m->id, id);
    jsonl_textz(&j, "step", "message");
    jsonl_textz(&j, "id", id);
    jsonl_text(&j, "sender", m->sender);
    jsonl_text(&j, "user", m->user);
    jsonl_time(&j, "received", m->received_ms);
    jsonl_time(&j, "expires", m->expires_ms);
    jsonl_int(&j, "size", (int64_t)(m->head.len + 2 + m->body.length));
    jsonl_int(&j, "recipients", m->recipients);
    if (m->tags.len) jsonl_raw(&j, "tags", m->tags);
    jsonl_text(&j, "policy", m->policy);
    if (m->facts.len) jsonl_raw(&j, "session", m->facts);
    give(t, &j, &out);
}

static void tell_calls(struct telling *t, const struct journal_transaction *of);

// As long as recipient 0 has no outcome the message's record has them.
static void tell_trail(struct telling *t, const struct message *m) {
    struct buf head = {0};
    struct journal_transaction transaction = journal_of_message(m, &head, &(struct kept_fields){.names = BYTES("")});
    tell_calls(t, &transaction);
    t->transaction = transaction.trail.calls.len;
    buf_release(&head);
}

// ---- what was decided

static void put_looked(struct jsonl *j, struct bytes kept) {
    struct lookup l;
    if (!kept.len) return;
    jsonl_open(j, "looked", '[');
    while (lookup_next(&kept, &l)) {
        jsonl_open(j, NULL, '{');
        jsonl_text(j, "question", l.question);
        jsonl_raw(j, "answer", l.answer);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}

static void put_said(struct jsonl *j, const struct journal_called *c, const struct json *decision) {
    struct bytes text;
    if (json_text(json_get(decision, c->hook == JOURNAL_ROUTE ? "do" : "kind"), &text)) jsonl_text(j, "kind", text);
    jsonl_raw(j, "decision", c->decision);
    // Route and retry have these apart, the others in the decision.
    struct {
        const char *name;
        struct bytes said;
    } parts[] = {{"where", c->where}, {"because", c->because}, {"policy", c->policy}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].said.len || json_text(json_get(decision, parts[i].name), &parts[i].said)) jsonl_text(j, parts[i].name, parts[i].said);
}

static void tell_call(struct telling *t, const struct journal_called *c) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    struct json *decision = c->decision.len ? json_parse(c->decision, NULL) : NULL;
    jsonl_textz(&j, "step", "decided");
    jsonl_textz(&j, "hook", journal_hook_name[c->hook]);
    if (c->subject.len) jsonl_text(&j, "of", c->subject);
    if (c->at_ms) jsonl_time(&j, "at", c->at_ms);
    if (decision) put_said(&j, c, decision);
    else jsonl_textz(&j, "kind", "accept");
    if (c->plain) jsonl_textz(&j, "because", "the policy had no such hook");
    if (c->fault) jsonl_bool(&j, "fault", true);
    put_looked(&j, c->looked);
    json_free(&decision);
    give(t, &j, &out);
}

static void tell_calls(struct telling *t, const struct journal_transaction *of) {
    struct bytes calls = of->trail.calls;
    struct journal_called c;
    while (journal_next_call(&calls, of, &t->arena, &c)) tell_call(t, &c);
}

static bool is_wanted(const struct telling *t, const struct json *event) {
    int64_t n;
    return t->n == EXPLAIN_ALL || !json_int(json_get(event, "n"), &n) || n == t->n;
}

static void tell_event(struct telling *t, struct bytes event, bool foreign) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    jsonl_textz(&j, "step", "journal");
    jsonl_raw(&j, "event", event);
    if (foreign) jsonl_bool(&j, "foreign", true);
    give(t, &j, &out);
}

static bool each_journal(void *arg, int64_t at_ms, struct bytes entry) {
    struct telling *t = arg;
    struct bytes line = journal_event(entry);
    struct json *event = line.len ? json_parse(line, NULL) : NULL;
    struct journal_transaction transaction;
    struct journal_read_outcome outcome;
    (void)at_ms;
    t->found = true;
    if (!t->transaction && journal_read_transaction(entry, &t->arena, &transaction)) tell_calls(t, &transaction);
    if (event && is_wanted(t, event)) {
        bool kept = journal_read_outcome(entry, &t->arena, &outcome);
        if (kept) tell_call(t, &outcome.routed);
        tell_event(t, line, journal_is_foreign(entry));
        if (kept && outcome.has_retry) tell_call(t, &outcome.retried);
    }
    json_free(&event);
    return true;
}

static bool each_recipient(void *arg, const struct recipient *r) {
    struct telling *t = arg;
    if (t->n != EXPLAIN_ALL && t->n != r->n) return true;
    struct recipient *more = arena_alloc(&t->arena, (t->count + 1) * sizeof *more);
    if (t->count) memcpy(more, t->recipients, t->count * sizeof *more);
    recipient_copy(&t->arena, r, &more[t->count++]);
    t->recipients = more;
    return true;
}

// ---- why it waits

static void tell_limit(struct telling *t, struct jsonl *j, const struct recipient *r, const struct json *decision) {
    struct limit_state state = {0};
    struct place_of of;
    uint64_t window_s = 0;
    if (!waiters_place_read(r->lane, &of)) return;
    ptrdiff_t slash = bytes_find_last(of.account, '/');
    if (slash < 0 || !bytes_to_u64(bytes_skip(of.account, (size_t)slash + 1), &window_s)) return;
    struct spend s = {.key = bytes_first(of.account, (size_t)slash), .window_s = (uint32_t)window_s, .cap = of.cap, .recipients = of.recipients};
    bool known = t->eyes && t->eyes->limit && t->eyes->limit(t->eyes->arg, &s, 1, &state);
    jsonl_open(j, "limit", '{');
    jsonl_text(j, "key", s.key);
    jsonl_int(j, "window_s", s.window_s);
    jsonl_int(j, "cap", (int64_t)of.cap);
    jsonl_textz(j, "per", s.recipients ? "recipient" : "message");
    if (known) {
        jsonl_int(j, "used", (int64_t)state.used);
        jsonl_int(j, "left", state.used < of.cap && !state.full_until_ms ? (int64_t)(of.cap - state.used) : 0);
        jsonl_bool(j, "room", !state.room_at_ms);
        if (state.room_at_ms) jsonl_time(j, "room_at", state.room_at_ms);
        if (state.next_free_ms) jsonl_time(j, "next_free", state.next_free_ms);
        if (state.full_until_ms) jsonl_time(j, "full_until", state.full_until_ms);
    }
    jsonl_close(j, '}');
    if (known) {
        jsonl_time(j, "until", state.room_at_ms > t->now_ms ? state.room_at_ms : t->now_ms);
        return;
    }
    const struct json *was = json_get(json_get(decision, "limit"), "until");
    struct bytes until;
    if (json_text(was, &until)) jsonl_text(j, "until", until);
}

static void tell_lane(struct telling *t, struct jsonl *j, const struct recipient *r) {
    struct way_state state = {0};
    jsonl_text(j, "lane", r->lane);
    bool known = t->eyes && t->eyes->way && t->eyes->way(t->eyes->arg, r->lane, &state);
    if (known && state.why[0]) jsonl_textz(j, "rests_because", state.why);
    if (known && state.rests_until_ms == INT64_MAX) {
        jsonl_bool(j, "paused", true);
        return;
    }
    int64_t until_ms = known && state.rests_until_ms ? state.rests_until_ms : known ? t->now_ms : r->due_ms;
    if (known && state.rests_until_ms) jsonl_time(j, "rests_until", state.rests_until_ms);
    jsonl_time(j, "until", until_ms);
}

static void tell_reason(struct telling *t, struct jsonl *j, const struct recipient *r, const struct json *decision) {
    bool at_limit = r->state == RECIPIENT_PARKED && waiters_place_is(r->lane);
    const char *what = r->state == RECIPIENT_HELD     ? "operator"
                       : at_limit                     ? "limit"
                       : r->state == RECIPIENT_PARKED ? "lane"
                       : r->due_ms > t->now_ms        ? "time"
                                                      : "work";
    jsonl_textz(j, "for", what);
    if (at_limit) tell_limit(t, j, r, decision);
    else if (r->state == RECIPIENT_PARKED) tell_lane(t, j, r);
    else jsonl_time(j, "until", r->due_ms); // HELD: its expiry
}

static void copy_any(struct jsonl *j, const struct json *from, const char *name) {
    const struct json *value = json_get(from, name);
    struct buf text = {0};
    if (!value) return;
    json_write(value, &text);
    jsonl_raw(j, name, buf_bytes(&text));
    buf_release(&text);
}

static void tell_recipient(struct telling *t, const struct recipient *r) {
    static const char *const said[] = {"plan", "policy", "where", "because"};
    struct json *decision = r->decision.len ? json_parse(r->decision, NULL) : NULL;
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    jsonl_textz(&j, "step", "waits");
    jsonl_int(&j, "n", r->n);
    jsonl_text(&j, "recipient", r->address);
    jsonl_textz(&j, "state", recipient_state_name[r->state]);
    jsonl_int(&j, "attempts", r->attempts);
    if (r->last_ms) jsonl_time(&j, "last_attempt", r->last_ms);
    tell_reason(t, &j, r, decision);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) copy_any(&j, decision, said[i]);
    if (r->outcome.len) jsonl_raw(&j, "last", r->outcome);
    json_free(&decision);
    give(t, &j, &out);
}

bool explain_past(struct reader *reader, uint64_t id, int64_t n, const struct prospect_eyes *eyes, int64_t now_ms,
                  void (*row)(void *arg, struct bytes json), void *arg) {
    struct telling t = {.id = id, .n = n, .eyes = eyes, .now_ms = now_ms, .row = row, .arg = arg};
    struct message m;
    reader_begin(reader);
    if (reader_message(reader, id, &m)) {
        t.found = true;
        tell_message(&t, &m);
        tell_trail(&t, &m);
        reader_recipients_of(reader, id, each_recipient, &t);
    }
    reader_journal_of(reader, id, each_journal, &t);
    reader_end(reader);
    for (size_t i = 0; i < t.count; i++) tell_recipient(&t, &t.recipients[i]);
    arena_release(&t.arena);
    return t.found;
}
