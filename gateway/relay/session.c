// SPDX-License-Identifier: MIT
#include "relay/session.h"

#include "base/bug.h"
#include "relay/question.h"
#include "relay/session_inside.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    INPUT_MAX = 64 * 1024,
    OUTPUT_SLOW = 256 * 1024,
    FAREWELL_MS = 5000,
    LEAVE_MS = 10000,     // after session_dismiss a transaction under way has so long to end
    BACKSTOP_MS = 60000,  // behind the limits that are answered with words: the peer does not even read
};

// ---- the end ----------------------------------------------------------------------------------------------------

void session_free(struct session **at) {
    struct session *s = *at;
    *at = NULL;
    if (!s) return;
    question_cancel(s);
    buf_release(&s->connect_call);
    buf_release(&s->calls);
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

// ---- driving the machine ------------------------------------------------------------------------------------------

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

// One want of the machine. True: ask it for the next.
static bool obey(struct session *s, enum server_next next, const struct server_want *want) {
    switch (next) {
    case SERVER_BODY: question_keep(s, want->bytes); return true;
    case SERVER_RESET: question_drop(s); return true;
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
        question_ask(s, want);
        // A client that says all it has and half-closes still hears its 250: its end is noticed after the answer.
        if (question_is_open(s)) conn_pause(s->conn, true);
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

void session_drive(struct session *s) {
    if (s->driving) return; // an answer given from within: the outer loop goes on with it
    s->driving = true;
    bool more = true;
    while (more && !s->ended && !question_is_open(s)) {
        struct server_want want;
        struct bytes input = conn_peek(s->conn);
        size_t had = input.len;
        enum server_next next = server_next(s->server, &input, &want);
        if (input.len < had) s->heard_ms = loop_now_ms(s->worker->loop);
        // The path, login and body bytes of `want` may point into the input: take it only when they were used.
        if (next == SERVER_BODY) {
            more = obey(s, next, &want);
            conn_take(s->conn, had - input.len);
        } else {
            conn_take(s->conn, had - input.len);
            more = obey(s, next, &want) || (next == SERVER_ASK && !question_is_open(s));
        }
    }
    s->driving = false;
    if (s->ended) end(s);
}

// ---- events of the connection -------------------------------------------------------------------------------------

static void on_readable(void *arg) {
    struct session *s = arg;
    if (question_is_open(s)) return; // it waits in the buffer until the answer is there
    session_drive(s);
}

static void on_drained(void *arg) {
    struct session *s = arg;
    if (question_is_open(s)) return;
    conn_pause(s->conn, false);
    session_drive(s);
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
    if (!why.code || question_is_open(s)) return look_later(s);
    log_info(&s->worker->gateway->log, "%.*s: %.*s: %s", BYTES_FMT(s->facts.id), BYTES_FMT(s->facts.client_ip), why.text);
    if (!s->server) { // still in its first handshake
        s->ended = true;
        return end(s);
    }
    server_dismiss(s->server, &why);
    session_drive(s);
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
    session_drive(s);
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
    session_drive(s);
    return s;
}

void session_dismiss(struct session *s, const struct reply *reply) {
    if (!s->server) {
        s->ended = true; // still in its first handshake
        return end(s);
    }
    s->farewell = *reply;
    if (server_is_between(s->server) && !question_is_open(s)) {
        server_dismiss(s->server, reply);
        return session_drive(s);
    }
    s->leave_by_ms = loop_now_ms(s->worker->loop) + LEAVE_MS;
    look_later(s);
}
