// SPDX-License-Identifier: MIT
#include "relay/question.h"

#include "relay/canary.h"
#include "relay/rebuff.h"
#include "relay/session_inside.h"
#include "relay/trace.h"

enum { CALLS_KEPT = 512 }; // bytes that a connection keeps for the next transaction's calls

bool question_is_open(const struct session *s) { return s->hook || s->password || s->penance || s->asking || s->submitted; }

// What was refused and came to no message.
static void keep_refusal(struct session *s) {
    struct buf facts = {0};
    session_facts_encode(&s->facts, &facts);
    struct journal_transaction t = {
        .received_ms = clock_ms(&s->worker->gateway->clock), .sender = s->sender, .session = buf_bytes(&facts),
        .policy = s->generation ? bytes_of(generation_version(s->generation)) : BYTES(""),
        .head = s->content ? buf_bytes(&s->content->head) : BYTES(""),
        .trail = {.flags = s->smtputf8 ? JOURNAL_SMTPUTF8 : 0, .size = s->told_size, .size_said = s->size_said, .calls = buf_bytes(&s->calls)},
    };
    journal_refusal(s->worker, &t);
    buf_release(&facts);
}

void question_drop(struct session *s) {
    if (s->asking) admission_cancel(&s->admission);
    else admission_settle(&s->admission, s->submitted);
    s->asking = false;
    if (s->refused && !s->submitted) keep_refusal(s);
    s->refused = false;
    s->sender = BYTES("");
    s->told_head = (struct bytes){0};
    if (s->calls.cap > CALLS_KEPT) buf_release(&s->calls);
    buf_reset(&s->calls);
    if (s->accept && s->submitted) accept_forget(s->accept);
    else accept_free(&s->accept);
    s->accept = NULL;
    s->content = NULL;
    s->submitted = s->spoilt = false;
    arena_reset(&s->transaction);
    generation_free(&s->generation);
}

void question_cancel(struct session *s) {
    hook_cancel(&s->hook);
    password_cancel(&s->password);
    timer_free(&s->penance);
    question_drop(s);
}

// ---- answers ----------------------------------------------------------------------------------------------------

static void count_refusal(struct session *s, const struct reply *r) {
    if (r && r->code >= 400) atomic_fetch_add(&s->worker->gateway->counters.refused, 1);
}

static void say(struct session *s, const struct reply *reply) {
    count_refusal(s, reply);
    server_answer(s->server, reply);
    session_drive(s);
}

static void tell_fault(struct session *s, const struct origin *origin, const char *hook) {
    atomic_fetch_add(&s->worker->gateway->counters.faults, 1);
    struct jsonl *j = event_begin(s->worker->events, "fault");
    jsonl_textz(j, "hook", hook);
    jsonl_text(j, "session", s->facts.id);
    jsonl_text(j, "where", origin->where);
    jsonl_text(j, "because", origin->because);
    jsonl_text(j, "policy", origin->version);
    event_end(s->worker->events);
}

// Told as long as the transaction stands.
static void tell_refusal(struct session *s, const char *stage, const struct reply *reply, const struct origin *origin) {
    size_t count = server_recipient_count(s->server);
    bool content = s->asked.hook == JOURNAL_MESSAGE;
    struct rebuff r = {.session = &s->facts, .stage = stage, .sender = s->sender, .reply = reply, .origin = origin};
    if (s->asked.hook == JOURNAL_RECIPIENT) r.recipients = &s->asked.subject, r.count = 1;
    struct bytes *taken = content ? arena_alloc(&s->transaction, count * sizeof *taken) : NULL;
    for (size_t i = 0; content && i < count; i++) taken[i] = server_recipient(s->server, i)->address;
    if (content) r.recipients = taken, r.count = count;
    rebuff_tell(s->worker->events, &r);
}

// For the journal. What is behind the first 64 KiB of a transaction is not kept (relay/journal).
static void note_call(struct session *s, const struct answer *a) {
    if (!s->site->conf->journal_decisions || s->calls.len > JOURNAL_CALLS_MAX) return;
    struct hook_trace trace = hook_trace(s->hook);
    if (a->kind == ANSWER_REJECT || a->kind == ANSWER_DEFER || a->kind == ANSWER_DISCARD) s->refused = true;
    journal_call(s->asked.hook == JOURNAL_CONNECT ? &s->connect_call : &s->calls, s->asked.hook, &trace, s->asked.subject, a);
}

static void tell_canary(struct session *s, const struct answer *a) {
    bool refused = a->kind == ANSWER_REJECT || a->kind == ANSWER_DEFER || a->kind == ANSWER_DISCARD;
    canary_tell(s->worker, s->id, s->generation, CANARY_ANSWERED);
    canary_tell(s->worker, s->id, s->generation, CANARY_DECIDED);
    if (refused) canary_tell(s->worker, s->id, s->generation, CANARY_REFUSED);
    if (a->origin.fault) canary_tell(s->worker, s->id, s->generation, CANARY_FAULTS);
}

// What cannot be undone is not done on the word of a version on trial (relay/canary).
static struct reply refusal_of(const struct session *s, const struct answer *a) {
    bool trial = s->generation && generation_is_on_trial(s->generation);
    if (trial && (a->kind == ANSWER_DISCARD || reply_is_permanent(&a->reply))) return reply_make(451, "4.7.1", "Please try again later");
    return a->reply;
}

static const char *const stage_asked[] = {[JOURNAL_CONNECT] = "connect", [JOURNAL_SENDER] = "mail", [JOURNAL_RECIPIENT] = "rcpt"};

// What connect, sender and recipient have in common: accept goes on with the machine's own words.
static void answered(void *arg, const struct answer *a) {
    struct session *s = arg;
    note_call(s, a);
    s->hook = NULL;
    if (a->origin.fault) tell_fault(s, &a->origin, "session");
    bool good = a->kind == ANSWER_ACCEPT || a->kind == ANSWER_HOLD || a->kind == ANSWER_DISCARD;
    struct reply refusal = refusal_of(s, a);
    if (s->asked.hook != JOURNAL_CONNECT) tell_canary(s, a);
    if (!good) tell_refusal(s, stage_asked[s->asked.hook], &refusal, &a->origin);
    say(s, good ? NULL : &refusal);
}

static void current_generation(struct session *s) {
    if (!s->generation) s->generation = generation_ref(s->worker->generation);
}

static struct address_facts address_facts(struct session *s, const struct server_path *path) {
    struct address_facts f = {.address = path->address, .size = path->size, .smtputf8 = path->smtputf8};
    facts_split_address(path->address, &s->transaction, &f.local, &f.domain);
    return f;
}

static void ask_sender(struct session *s, const struct server_path *path) {
    struct gateway *g = s->worker->gateway;
    question_drop(s);
    s->id = worker_next_id(s->worker); // which says by which version its hooks are answered
    s->generation = generation_ref(canary_generation(s->worker, s->id));
    if (g->draining || s->worker->stopping) {
        struct reply r = reply_make(421, "4.3.2", "%s is being drained, try again later", s->site->conf->hostname);
        return say(s, &r);
    }
    if (!store_has_room(g->store)) {
        struct reply r = reply_make(452, "4.3.1", "Insufficient system storage, try again later");
        return say(s, &r);
    }
    struct address_facts facts = address_facts(s, path);
    s->sender = arena_copy(&s->transaction, path->address);
    s->size_said = path->size;
    s->smtputf8 = path->smtputf8;
    s->asked = (struct asked){JOURNAL_SENDER, s->sender};
    buf_add(&s->calls, buf_bytes(&s->connect_call));
    s->hook = hook_sender(s->generation, &s->facts, &facts, answered, s);
}

static void ask_recipient(struct session *s, const struct server_path *path) {
    struct address_facts facts = address_facts(s, path);
    s->asked = (struct asked){JOURNAL_RECIPIENT, arena_copy(&s->transaction, path->address)};
    s->hook = hook_recipient(s->generation, &s->facts, &facts, answered, s);
}

// ---- AUTH -------------------------------------------------------------------------------------------------------

static void say_late(void *arg) {
    struct session *s = arg;
    timer_free(&s->penance);
    say(s, s->late);
}

// Late, or passwords could be tried as fast as crypt(3) goes, and everybody else's login would wait behind them.
static void refuse_login(struct session *s, const struct reply *reply) {
    int delay_s = s->site->conf->limits.login_delay_s;
    if (!delay_s) return say(s, reply);
    struct reply *late = arena_alloc(&s->transaction, sizeof *late);
    *late = *reply;
    s->late = late;
    s->penance = timer_new(s->worker->loop, say_late, s);
    timer_set(s->penance, (int64_t)delay_s * 1000);
}

static void login_decided(void *arg, const struct answer *a) {
    struct session *s = arg;
    s->hook = NULL;
    generation_free(&s->generation);
    if (a->origin.fault) tell_fault(s, &a->origin, "authenticate");
    if (a->kind == ANSWER_ACCEPT) {
        s->facts.user = arena_copy(&s->arena, s->login.user);
        s->facts.user_facts = arena_copy(&s->arena, a->user_facts);
        struct reply ok = reply_make(235, "2.7.0", "Authentication succeeded");
        return say(s, &ok);
    }
    log_note(&s->worker->gateway->log, "%.*s: login of '%.*s' from %.*s refused: %s", BYTES_FMT(s->facts.id),
             BYTES_FMT(s->login.user), BYTES_FMT(s->facts.client_ip), a->reply.text);
    rebuff_tell(s->worker->events, &(struct rebuff){.session = &s->facts, .stage = "auth", .login = s->login.user, .reply = &a->reply, .origin = &a->origin});
    refuse_login(s, &a->reply);
}

static void password_checked(void *arg, enum password_result result) {
    struct session *s = arg;
    s->password = NULL;
    if (result == PASSWORD_BUSY) {
        struct reply busy = reply_make(454, "4.7.0", "Too many logins at once, try again later");
        return say(s, &busy);
    }
    s->login.password_matches = result == PASSWORD_RIGHT;
    current_generation(s);
    s->hook = hook_authenticate(s->generation, &s->facts, &s->login, login_decided, s);
}

static void ask_login(struct session *s, const struct server_login *l) {
    question_drop(s);
    s->login = (struct login_facts){
        .mechanism = bytes_of(l->mechanism),
        .user = arena_copy(&s->transaction, l->user),
        .password = arena_copy(&s->transaction, l->password),
        .authzid = arena_copy(&s->transaction, l->authzid),
    };
    const char *hash = users_hash(s->site->users, l->user, &s->login.known);
    s->password = password_check(s->worker->gateway->passwords, s->worker->loop, hash, s->login.password,
                                 password_checked, s);
}

// ---- the message ------------------------------------------------------------------------------------------------

static void start_content(struct session *s) {
    struct gateway *g = s->worker->gateway;
    s->accept = accept_new(s->worker);
    s->content = accept_content(s->accept);
    content_init(s->content, s->site->conf->store, &g->counters.memory_in_flight);
}

static void spoil(struct session *s, const struct reply *reply) {
    s->spoilt = true;
    accept_free(&s->accept);
    s->content = NULL;
    count_refusal(s, reply);
    server_spoil(s->server, reply);
}

void question_keep(struct session *s, struct bytes piece) {
    struct gateway *g = s->worker->gateway;
    struct err err;
    if (s->spoilt) return;
    if (!s->accept) start_content(s);
    if (atomic_load_explicit(&g->counters.memory_in_flight, memory_order_relaxed) > s->site->conf->limits.memory_in_flight) {
        struct reply r = reply_make(452, "4.3.1", "Too much mail at once, try again later");
        return spoil(s, &r);
    }
    if (!content_add(s->content, piece, &err)) {
        log_warn(&g->log, "%.*s: %s", BYTES_FMT(s->facts.id), err.text);
        struct reply r = reply_make(452, "4.3.1", "Insufficient system storage, try again later");
        spoil(s, &r);
    }
}

static void stored(void *arg, bool good, const struct err *why) {
    struct session *s = arg;
    struct worker *w = s->worker;
    const struct accept *accept = s->accept;
    const struct message *m = accept_message(s->accept);
    size_t asked_for = server_recipient_count(s->server);
    char id[ID_TEXT];
    id_text(m->id, id);
    s->accept = NULL; // frees itself after this
    s->submitted = false;
    admission_settle(&s->admission, good);
    if (!good) {
        log_warn(&w->gateway->log, "%.*s: message %s could not be stored: %s", BYTES_FMT(s->facts.id), id, why->text);
        struct reply r = reply_make(452, "4.3.1", "Insufficient system storage, try again later");
        question_drop(s);
        return say(s, &r);
    }
    atomic_fetch_add(&w->gateway->counters.accepted, 1);
    struct jsonl *j = event_begin(w->events, "received");
    jsonl_textz(j, "id", id);
    jsonl_text(j, "sender", m->sender);
    jsonl_open(j, "recipients", '[');
    for (size_t i = 0; i < asked_for && i < 100; i++) jsonl_text(j, NULL, accept_address(accept, i));
    jsonl_close(j, ']');
    if (m->recipients > asked_for) jsonl_open(j, "copies", '[');
    for (size_t i = asked_for; i < m->recipients; i++) jsonl_text(j, NULL, accept_address(accept, i));
    if (m->recipients > asked_for) jsonl_close(j, ']');
    jsonl_int(j, "recipient_count", m->recipients);
    jsonl_text(j, "user", m->user);
    jsonl_text(j, "listener", s->facts.listener);
    jsonl_text(j, "client_ip", s->facts.client_ip);
    jsonl_text(j, "session", s->facts.id);
    jsonl_int(j, "size", (int64_t)(m->head.len + 2 + m->body.length));
    if (m->tags.len) jsonl_raw(j, "tags", m->tags);
    jsonl_text(j, "tls", s->facts.tls_version);
    jsonl_text(j, "policy", m->policy);
    event_end(w->events);
    question_drop(s);
    struct reply ok = reply_make(250, "2.0.0", "Ok: queued as %s", id);
    say(s, &ok);
}

static struct bytes trail_of(struct session *s, struct arena *arena) {
    if (!s->site->conf->journal_decisions) return BYTES("");
    return journal_trail(arena, &(struct journal_trail){.size = s->told_size, .size_said = s->size_said,
                                                        .flags = (s->smtputf8 ? JOURNAL_SMTPUTF8 : 0) | (s->told_head.at ? JOURNAL_EDITED : 0),
                                                        .head = s->told_head, .calls = buf_bytes(&s->calls)});
}

static void complete(struct session *s, const struct answer *a) {
    struct arena *arena = accept_arena(s->accept);
    struct message *m = accept_message(s->accept);
    struct buf facts = {0};
    int64_t life_s = a->expires_s ? a->expires_s : s->site->conf->expire_s;
    m->expires_ms = m->received_ms + life_s * 1000;
    m->tags = arena_copy(arena, a->tags);
    m->policy = arena_copy(arena, a->origin.version);
    struct keeping keeping = keeping_of(arena, a->keeps, generation_is_on_trial(s->generation) ? 0 : a->keep_count, m->id, a->origin.where);
    accept_keep(s->accept, &keeping);
    m->user = arena_copy(arena, s->facts.user);
    session_facts_encode(&s->facts, &facts);
    m->facts = arena_copy(arena, buf_bytes(&facts));
    buf_release(&facts);
    m->trail = trail_of(s, arena);
    s->refused = false; // it is kept with the message
    for (size_t i = 0; i < server_recipient_count(s->server); i++) {
        const struct server_path *p = server_recipient(s->server, i);
        struct recipient r = {.address = arena_copy(arena, p->address), .notify = p->notify,
                              .orcpt = arena_copy(arena, p->orcpt)};
        accept_recipient(s->accept, &r);
    }
    accept_copies(s->accept, a);
}

static void submit(struct session *s, bool held) {
    s->content = NULL;
    s->submitted = true;
    accept_submit(s->accept, held, stored, s);
}

static void admitted(void *arg, const struct reply *refused) {
    struct session *s = arg;
    s->asking = false;
    if (!refused) return submit(s, false);
    s->admission = NULL; // gone with its answer
    struct reply r = *refused;
    question_drop(s);
    say(s, &r);
}

// As the hook saw it, before its edits; of that the journal keeps what it keeps.
static void keep_told_head(struct session *s) {
    struct buf kept = {0};
    kept_fields_take(&kept, buf_bytes(&s->content->head), &s->site->conf->journal_fields);
    s->told_head = arena_copy(&s->transaction, buf_bytes(&kept));
    buf_release(&kept);
}

static void message_decided(void *arg, const struct answer *a) {
    struct session *s = arg;
    struct err err;
    note_call(s, a);
    s->hook = NULL;
    if (a->origin.fault) tell_fault(s, &a->origin, "message");
    tell_canary(s, a);
    bool trial = generation_is_on_trial(s->generation);
    if (a->kind == ANSWER_REJECT || a->kind == ANSWER_DEFER || (trial && a->kind == ANSWER_DISCARD)) {
        struct reply r = refusal_of(s, a);
        tell_refusal(s, "content", &r, &a->origin);
        question_drop(s);
        return say(s, &r);
    }
    if (a->kind == ANSWER_DISCARD) {
        struct jsonl *j = event_begin(s->worker->events, "discarded");
        jsonl_text(j, "sender", server_sender(s->server)->address);
        jsonl_text(j, "session", s->facts.id);
        jsonl_text(j, "where", a->origin.where);
        jsonl_text(j, "because", a->origin.because);
        jsonl_text(j, "policy", a->origin.version);
        event_end(s->worker->events);
        question_drop(s);
        struct reply r = reply_make(250, "2.0.0", "Ok");
        return say(s, &r);
    }
    if (a->edit_count) keep_told_head(s);
    if (!answer_edit(a, &s->content->head, &err)) {
        log_fault(&s->worker->gateway->log, "%.*s: header edit by %.*s: %s", BYTES_FMT(s->facts.id),
                  BYTES_FMT(a->origin.where), err.text);
        question_drop(s);
        struct reply r = reply_make(451, "4.3.0", "Local policy error, try again later");
        return say(s, &r);
    }
    complete(s, a);
    if (!a->spend_count) return submit(s, a->kind == ANSWER_HOLD);
    struct admission_of of = {.session = s->facts.id, .sender = accept_message(s->accept)->sender, .user = s->facts.user};
    s->asking = true;
    s->admission = admission_ask(s->worker, a, server_recipient_count(s->server), &of, admitted, s);
}

static void fill_message(struct session *s, struct message *m) {
    struct arena *arena = accept_arena(s->accept);
    const struct server_path *sender = server_sender(s->server);
    m->id = s->id;
    m->received_ms = clock_ms(&s->worker->gateway->clock);
    m->sender = arena_copy(arena, sender->address);
    m->envid = arena_copy(arena, sender->envid);
    if (sender->smtputf8) m->flags |= MESSAGE_SMTPUTF8;
    if (server_gauge(s->server)->dots.eight) m->flags |= MESSAGE_8BIT;
    if (sender->ret == 1) m->flags |= MESSAGE_RET_FULL;
    if (sender->ret == 2) m->flags |= MESSAGE_RET_HDRS;
}

static void ask_message(struct session *s) {
    struct err err;
    if (!s->accept) start_content(s); // empty content
    if (!content_finish(s->content, &err)) {
        log_warn(&s->worker->gateway->log, "%.*s: %s", BYTES_FMT(s->facts.id), err.text);
        struct reply r = reply_make(452, "4.3.1", "Insufficient system storage, try again later");
        question_drop(s);
        return say(s, &r);
    }
    struct message *m = accept_message(s->accept);
    fill_message(s, m);

    char id[ID_TEXT];
    id_text(m->id, id);
    size_t count = server_recipient_count(s->server);
    struct bytes *recipients = arena_alloc(&s->transaction, count * sizeof *recipients);
    for (size_t i = 0; i < count; i++) recipients[i] = server_recipient(s->server, i)->address;

    struct buf received = {0};
    trace_received(&received, &s->facts, server_protocol_name(s->server), s->site->conf->hostname, bytes_of(id),
                   count == 1 ? recipients[0] : BYTES(""), m->received_ms);
    buf_add(&received, buf_bytes(&s->content->head));
    buf_release(&s->content->head);
    s->content->head = received;

    struct message_facts facts = {
        .id = m->id, .id_text = bytes_of(id), .sender = m->sender, .user = s->facts.user,
        .head = buf_bytes(&s->content->head), .size = s->content->head.len + 2 + s->content->body_length,
        .received_ms = m->received_ms, .expires_ms = m->received_ms + s->site->conf->expire_s * 1000,
        .recipient_count = count, .recipients = recipients,
    };
    s->told_size = facts.size;
    s->asked = (struct asked){JOURNAL_MESSAGE, BYTES("")};
    s->hook = hook_message(s->generation, &s->facts, &facts, message_decided, s);
}

// ---- asking ------------------------------------------------------------------------------------------------------

void question_ask(struct session *s, const struct server_want *want) {
    s->facts.helo = server_helo(s->server); // the machine keeps it until the next EHLO, and asks again after that
    switch (want->ask) {
    case ASK_CONNECT:
        current_generation(s);
        s->asked = (struct asked){JOURNAL_CONNECT, BYTES("")};
        s->hook = hook_connect(s->generation, &s->facts, answered, s);
        return;
    case ASK_LOGIN: ask_login(s, &want->login); return;
    case ASK_SENDER: ask_sender(s, &want->path); return;
    case ASK_RECIPIENT: ask_recipient(s, &want->path); return;
    case ASK_MESSAGE: ask_message(s); return;
    }
}
