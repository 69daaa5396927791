// SPDX-License-Identifier: MIT
#include "relay/session.h"

#include "base/bug.h"
#include "policy/hooks.h"
#include "relay/accept.h"
#include "relay/admission.h"
#include "relay/intake.h"
#include "relay/journal.h"
#include "relay/password.h"
#include "relay/trace.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    INPUT_MAX = 64 * 1024,
    OUTPUT_SLOW = 256 * 1024,
    FAREWELL_MS = 5000,
    LEAVE_MS = 10000,     // after session_dismiss a transaction under way has so long to end
    BACKSTOP_MS = 60000,  // behind the limits that are answered with words: the peer does not even read
};

struct session {
    struct worker *worker;
    struct site *site; // the one it began on: options point into its configuration
    const struct conf_listener *listener;
    struct tls_context *tls;
    struct conn *conn;
    struct server *server;
    void (*gone)(void *arg, struct session *s);
    void *arg;

    struct arena arena;             // the session's
    struct session_facts facts;
    struct generation *generation;  // while a transaction, or a question outside of one, runs
    struct hook_ticket *hook;
    struct password_ticket *password;
    struct login_facts login;       // while ASK_LOGIN waits

    struct arena transaction;
    struct asked {                  // what `hook` is about
        enum journal_hook hook;
        struct bytes subject;
    } asked;
    struct bytes sender;            // of the transaction
    uint64_t size_said;
    struct bytes told_head;         // as the message hook saw it, where that was edited
    uint64_t told_size;
    bool smtputf8, refused;         // refused: something of the transaction was
    struct buf connect_call, calls; // for the journal
    struct content *content;        // of `accept`, from the first body byte
    struct accept *accept;          // under way: owned by the session until submitted
    struct admission *admission;    // of limits that the message counts against; asked for, then kept until it is stored
    bool asking;                    // for that
    bool submitted;
    bool spoilt;                    // content could not be kept; the machine swallows the rest
    bool driving, ended;

    struct timer *patience;         // looks from time to time whether a limit of time has passed
    int64_t heard_ms, began_ms;     // loop time
    int64_t leave_by_ms;            // session_dismiss: 0 while nobody asked
    struct reply farewell;
};

static void drive(struct session *s);

// ---- the end ----------------------------------------------------------------------------------------------------

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

static void forget_transaction(struct session *s) {
    if (s->asking) admission_cancel(&s->admission);
    else admission_settle(&s->admission, s->submitted);
    s->asking = false;
    if (s->refused && !s->submitted) keep_refusal(s);
    s->refused = false;
    s->sender = s->told_head = BYTES("");
    buf_release(&s->calls);
    if (s->accept && s->submitted) accept_forget(s->accept);
    else accept_free(&s->accept);
    s->accept = NULL;
    s->content = NULL;
    s->submitted = s->spoilt = false;
    arena_reset(&s->transaction);
    generation_free(&s->generation);
}

void session_free(struct session **at) {
    struct session *s = *at;
    *at = NULL;
    if (!s) return;
    hook_cancel(&s->hook);
    password_cancel(&s->password);
    forget_transaction(s);
    buf_release(&s->connect_call);
    arena_release(&s->transaction);
    timer_free(&s->patience);
    if (s->conn) conn_free(&s->conn);
    server_free(&s->server);
    arena_release(&s->arena);
    site_free(&s->site);
    free(s);
}

static void end(struct session *s) {
    void (*gone)(void *, struct session *) = s->gone;
    void *arg = s->arg;
    gone(arg, s);
    session_free(&s);
}

// ---- answers ----------------------------------------------------------------------------------------------------

static void count_refusal(struct session *s, const struct reply *r) {
    if (r && r->code >= 400) atomic_fetch_add(&s->worker->gateway->counters.refused, 1);
}

static void say(struct session *s, const struct reply *reply) {
    count_refusal(s, reply);
    server_answer(s->server, reply);
    drive(s);
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

// For the journal. What is behind the first 64 KiB of a transaction is not kept (relay/journal).
static void note_call(struct session *s, const struct answer *a) {
    if (!s->site->conf->journal_decisions || s->calls.len > JOURNAL_CALLS_MAX) return;
    struct hook_trace trace = hook_trace(s->hook);
    if (a->kind == ANSWER_REJECT || a->kind == ANSWER_DEFER || a->kind == ANSWER_DISCARD) s->refused = true;
    journal_call(s->asked.hook == JOURNAL_CONNECT ? &s->connect_call : &s->calls, s->asked.hook, &trace, s->asked.subject, a);
}

// What connect, sender and recipient have in common: accept goes on with the machine's own words.
static void answered(void *arg, const struct answer *a) {
    struct session *s = arg;
    note_call(s, a);
    s->hook = NULL;
    if (a->origin.fault) tell_fault(s, &a->origin, "session");
    bool good = a->kind == ANSWER_ACCEPT || a->kind == ANSWER_HOLD || a->kind == ANSWER_DISCARD;
    say(s, good ? NULL : &a->reply);
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
    forget_transaction(s);
    current_generation(s);
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
    say(s, &a->reply);
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
    forget_transaction(s);
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

static void keep(struct session *s, struct bytes piece) {
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
    const struct message *m = accept_message(s->accept);
    char id[ID_TEXT];
    id_text(m->id, id);
    s->accept = NULL; // frees itself after this
    s->submitted = false;
    admission_settle(&s->admission, good);
    if (!good) {
        log_warn(&w->gateway->log, "%.*s: message %s could not be stored: %s", BYTES_FMT(s->facts.id), id, why->text);
        struct reply r = reply_make(452, "4.3.1", "Insufficient system storage, try again later");
        forget_transaction(s);
        return say(s, &r);
    }
    atomic_fetch_add(&w->gateway->counters.accepted, 1);
    struct jsonl *j = event_begin(w->events, "received");
    jsonl_textz(j, "id", id);
    jsonl_text(j, "sender", m->sender);
    jsonl_open(j, "recipients", '[');
    for (size_t i = 0; i < m->recipients && i < 100; i++) jsonl_text(j, NULL, server_recipient(s->server, i)->address);
    jsonl_close(j, ']');
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
    forget_transaction(s);
    struct reply ok = reply_make(250, "2.0.0", "Ok: queued as %s", id);
    say(s, &ok);
}

static struct bytes trail_of(struct session *s, struct arena *arena) {
    struct buf trail = {0};
    if (!s->site->conf->journal_decisions) return BYTES("");
    journal_trail(&trail, &(struct journal_trail){.size = s->told_size, .size_said = s->size_said, .flags = s->smtputf8 ? JOURNAL_SMTPUTF8 : 0,
                                                  .head = s->told_head, .calls = buf_bytes(&s->calls)});
    struct bytes kept = arena_copy(arena, buf_bytes(&trail));
    buf_release(&trail);
    return kept;
}

static void complete(struct session *s, const struct answer *a) {
    struct arena *arena = accept_arena(s->accept);
    struct message *m = accept_message(s->accept);
    struct buf facts = {0};
    int64_t life_s = a->expires_s ? a->expires_s : s->site->conf->expire_s;
    m->expires_ms = m->received_ms + life_s * 1000;
    m->tags = arena_copy(arena, a->tags);
    m->policy = arena_copy(arena, a->origin.version);
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
    forget_transaction(s);
    say(s, &r);
}

// As the hook saw it, before its edits; of that the journal keeps what it keeps.
static void keep_told_head(struct session *s) {
    struct buf kept = {0};
    journal_keep_fields(&kept, buf_bytes(&s->content->head), bytes_of(s->site->conf->journal_headers));
    s->told_head = arena_copy(&s->transaction, buf_bytes(&kept));
    buf_release(&kept);
}

static void message_decided(void *arg, const struct answer *a) {
    struct session *s = arg;
    struct err err;
    note_call(s, a);
    s->hook = NULL;
    if (a->origin.fault) tell_fault(s, &a->origin, "message");
    if (a->kind == ANSWER_REJECT || a->kind == ANSWER_DEFER) {
        struct reply r = a->reply;
        forget_transaction(s);
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
        forget_transaction(s);
        struct reply r = reply_make(250, "2.0.0", "Ok");
        return say(s, &r);
    }
    if (a->edit_count) keep_told_head(s);
    if (!answer_edit(a, &s->content->head, &err)) {
        log_fault(&s->worker->gateway->log, "%.*s: header edit by %.*s: %s", BYTES_FMT(s->facts.id),
                  BYTES_FMT(a->origin.where), err.text);
        forget_transaction(s);
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
    m->id = worker_next_id(s->worker);
    m->received_ms = clock_ms(&s->worker->gateway->clock);
    m->sender = arena_copy(arena, sender->address);
    m->envid = arena_copy(arena, sender->envid);
    if (sender->smtputf8) m->flags |= MESSAGE_SMTPUTF8;
    if (sender->ret == 1) m->flags |= MESSAGE_RET_FULL;
    if (sender->ret == 2) m->flags |= MESSAGE_RET_HDRS;
}

static void ask_message(struct session *s) {
    struct err err;
    if (!s->accept) start_content(s); // empty content
    if (!content_finish(s->content, &err)) {
        log_warn(&s->worker->gateway->log, "%.*s: %s", BYTES_FMT(s->facts.id), err.text);
        struct reply r = reply_make(452, "4.3.1", "Insufficient system storage, try again later");
        forget_transaction(s);
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

// ---- driving the machine ------------------------------------------------------------------------------------------

static void ask(struct session *s, const struct server_want *want) {
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

static void write_output(struct session *s) {
    struct buf *out = server_output(s->server);
    if (out->len) conn_write(s->conn, buf_bytes(out));
    buf_reset(out);
    if (out->cap > 16 * 1024) buf_release(out);
}

static void start_tls(struct session *s) {
    conn_flush(s->conn);
    // The machine has refused what was pipelined behind STARTTLS in the same read; this catches what came since.
    if (!s->tls || !conn_secure_server(s->conn, s->tls)) {
        log_note(&s->worker->gateway->log, "%.*s: bytes from %.*s behind STARTTLS in the clear: closed",
                 BYTES_FMT(s->facts.id), BYTES_FMT(s->facts.client_ip));
        s->ended = true;
    }
}

// For an answer: of a hook, the password check, the ledger or the store.
static bool is_waiting(const struct session *s) { return s->hook || s->password || s->asking || s->submitted; }

// One want of the machine. True: ask it for the next.
static bool obey(struct session *s, enum server_next next, const struct server_want *want) {
    switch (next) {
    case SERVER_BODY: keep(s, want->bytes); return true;
    case SERVER_RESET: forget_transaction(s); return true;
    case SERVER_READ:
        write_output(s);
        if (server_is_between(s->server) && !s->accept) {
            generation_free(&s->generation);
            if (s->leave_by_ms) {
                server_dismiss(s->server, &s->farewell);
                s->leave_by_ms = 0;
                return true;
            }
        }
        // A client that sends commands and never reads the replies gets no more read from it until it does.
        conn_pause(s->conn, conn_unsent(s->conn) > OUTPUT_SLOW);
        return false;
    case SERVER_ASK:
        write_output(s);
        ask(s, want);
        // A client that says all it has and half-closes still hears its 250: its end is noticed after the answer.
        if (is_waiting(s)) conn_pause(s->conn, true);
        return false;
    case SERVER_TLS:
        write_output(s);
        start_tls(s);
        return false;
    case SERVER_CLOSE:
        write_output(s);
        conn_finish(&s->conn, FAREWELL_MS);
        s->ended = true;
        return false;
    }
    return false;
}

static void drive(struct session *s) {
    if (s->driving) return; // an answer given from within: the outer loop goes on with it
    s->driving = true;
    bool more = true;
    while (more && !s->ended && !is_waiting(s)) {
        struct server_want want;
        struct bytes input = conn_peek(s->conn);
        size_t had = input.len;
        enum server_next next = server_next(s->server, &input, &want);
        // The path, login and body bytes of `want` may point into the input: take it only when they were used.
        if (next == SERVER_BODY) {
            more = obey(s, next, &want);
            conn_take(s->conn, had - input.len);
        } else {
            conn_take(s->conn, had - input.len);
            more = obey(s, next, &want) || (next == SERVER_ASK && !is_waiting(s));
        }
    }
    s->driving = false;
    if (s->ended) end(s);
}

// ---- events of the connection -------------------------------------------------------------------------------------

static void on_readable(void *arg) {
    struct session *s = arg;
    s->heard_ms = loop_now_ms(s->worker->loop);
    if (is_waiting(s)) return; // it waits in the buffer until the answer is there
    drive(s);
}

static void on_drained(void *arg) {
    struct session *s = arg;
    if (is_waiting(s)) return;
    conn_pause(s->conn, false);
    drive(s);
}

// ---- limits of time ------------------------------------------------------------------------------------------------

// One timer that looks rather than one that is set anew with every byte.
static void look_later(struct session *s) {
    const struct conf_limits *l = &s->site->conf->limits;
    int64_t now = loop_now_ms(s->worker->loop);
    int64_t next = s->heard_ms + (int64_t)l->idle_s * 1000;
    int64_t total = s->began_ms + (int64_t)l->session_s * 1000;
    if (total < next) next = total;
    if (s->leave_by_ms && s->leave_by_ms < next) next = s->leave_by_ms;
    timer_set(s->patience, next > now ? next - now : 100);
}

static void on_patience(void *arg) {
    struct session *s = arg;
    const struct conf_limits *l = &s->site->conf->limits;
    int64_t now = loop_now_ms(s->worker->loop);
    struct reply why = {0};
    if (s->leave_by_ms && now >= s->leave_by_ms) why = s->farewell;
    else if (now - s->began_ms >= (int64_t)l->session_s * 1000) why = reply_make(421, "4.4.2", "The session has taken too long");
    else if (now - s->heard_ms >= (int64_t)l->idle_s * 1000) why = reply_make(421, "4.4.2", "Idle for too long");
    if (!why.code || is_waiting(s)) return look_later(s);
    log_info(&s->worker->gateway->log, "%.*s: %.*s: %s", BYTES_FMT(s->facts.id), BYTES_FMT(s->facts.client_ip), why.text);
    if (!s->server) { // still in its first handshake
        s->ended = true;
        return end(s);
    }
    server_dismiss(s->server, &why);
    drive(s);
}

static void read_tls_facts(struct session *s) {
    const struct tls_facts *t = conn_tls_facts(s->conn);
    s->facts.tls_version = arena_copy(&s->arena, bytes_of(t->version));
    s->facts.tls_cipher = arena_copy(&s->arena, bytes_of(t->cipher));
    if (t->verified) s->facts.client_certificate = arena_copy(&s->arena, bytes_of(t->peer_sha256));
}

static void start_server(struct session *s, bool secured);

static void on_secured(void *arg) {
    struct session *s = arg;
    read_tls_facts(s);
    if (s->server) server_secured(s->server);
    else start_server(s, true);
    drive(s);
}

static void on_closed(void *arg, enum conn_end how, const struct err *why) {
    struct session *s = arg;
    log_trace(&s->worker->gateway->log, "%.*s: closed: %s", BYTES_FMT(s->facts.id), why ? why->text : "");
    if (how == CONN_TIMEOUT && s->server && !server_is_between(s->server))
        log_info(&s->worker->gateway->log, "%.*s: %.*s timed out in a transaction", BYTES_FMT(s->facts.id),
                 BYTES_FMT(s->facts.client_ip));
    end(s);
}

static const struct conn_events session_events = {
    .readable = on_readable, .drained = on_drained, .secured = on_secured, .closed = on_closed};

// ---- the beginning --------------------------------------------------------------------------------------------------

static bool is_submission(const struct conf_listener *l) {
    return l->kind == LISTENER_SUBMISSION || l->kind == LISTENER_SUBMISSIONS;
}

static void start_server(struct session *s, bool secured) {
    const struct conf *conf = s->site->conf;
    const struct conf_limits *limits = &conf->limits;
    const struct conf_listener *l = s->listener;
    struct server_options options = {
        .protocol = l->kind == LISTENER_LMTP ? SERVER_LMTP : SERVER_SMTP,
        .hostname = conf->hostname,
        .greeting = l->greeting ? l->greeting : "",
        .starttls = s->tls && !secured,
        .auth = is_submission(l) || l->auth_required,
        .auth_required = l->auth_required,
        .tls_required = l->tls_required,
        .secured = secured,
        .size_max = l->size_max ? l->size_max : limits->message_size,
        .line_max = limits->line_length,
        .text_line_max = limits->text_line_length,
        .header_max = limits->header_size,
        .recipients_max = limits->recipients,
        .commands_max = limits->commands,
        .errors_max = limits->errors,
        .messages_max = limits->messages,
        .received_max = limits->received,
        .idle_ms = limits->idle_s * 1000,
    };
    s->server = server_new(&options);
}

static bool is_trusted(const struct conf_listener *l, const struct addr *peer) {
    for (size_t i = 0; i < l->allow_count; i++)
        if (network_has(&l->allow[i], peer)) return true;
    return false;
}

static void start_facts(struct session *s, const struct addr *peer, const struct addr *local) {
    uint64_t number = atomic_fetch_add(&s->worker->gateway->counters.connections_in, 1) + 1;
    char text[ADDR_TEXT];
    s->facts.id = arena_format(&s->arena, "c-%" PRIx64, number);
    s->facts.listener = bytes_of(s->listener->name);
    s->facts.kind = bytes_of(listener_kind_name[s->listener->kind]);
    addr_ip_text(peer, text);
    s->facts.client_ip = arena_copy(&s->arena, bytes_of(text));
    s->facts.client_port = addr_port(peer);
    addr_ip_text(local, text);
    s->facts.local_ip = arena_copy(&s->arena, bytes_of(text));
    s->facts.local_port = addr_port(local);
    s->facts.trusted_network = is_trusted(s->listener, peer);
}

struct session *session_new(struct worker *w, int fd, const struct addr *peer, const struct addr *local, size_t listener,
                            void (*gone)(void *arg, struct session *s), void *arg) {
    struct session *s = must_alloc(sizeof *s);
    s->worker = w;
    s->site = site_ref(w->site);
    s->listener = &s->site->conf->listeners[listener];
    s->tls = s->site->server_tls[listener];
    s->gone = gone;
    s->arg = arg;
    start_facts(s, peer, local);
    s->conn = conn_adopt(w->loop, fd, INPUT_MAX, &session_events, s);
    conn_deadline(s->conn, (int64_t)s->site->conf->limits.session_s * 1000 + BACKSTOP_MS);
    conn_idle_limit(s->conn, (int64_t)s->site->conf->limits.idle_s * 1000 + BACKSTOP_MS);
    s->patience = timer_new(w->loop, on_patience, s);
    s->began_ms = s->heard_ms = loop_now_ms(w->loop);
    look_later(s);
    if (s->listener->kind == LISTENER_SUBMISSIONS) {
        bug_if(!conn_secure_server(s->conn, s->tls)); // nothing has been read yet
        return s;
    }
    start_server(s, false);
    drive(s);
    return s;
}

void session_dismiss(struct session *s, const struct reply *reply) {
    if (!s->server) {
        s->ended = true; // still in its first handshake
        return end(s);
    }
    s->farewell = *reply;
    if (server_is_between(s->server) && !is_waiting(s)) {
        server_dismiss(s->server, reply);
        return drive(s);
    }
    s->leave_by_ms = loop_now_ms(s->worker->loop) + LEAVE_MS;
    look_later(s);
}
