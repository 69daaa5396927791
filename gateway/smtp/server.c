// SPDX-License-Identifier: MIT
#include "smtp/server.h"

#include "smtp/server_command.h"
#include "smtp/server_content.h"

#include <stdlib.h>

static const char *const state_names[SERVER_STATES] = {
    "new",      "greeting", "unwanted",  "fresh", "idle",  "mail",    "rcpt", "chunks",  "login",
    "vouching", "sender",   "recipient", "data",  "chunk", "verdict", "tls",  "closing",
};

#define TO(state) (1u << (state))
static const uint32_t edges[SERVER_STATES] = {
    [AT_NEW] = TO(AT_GREETING),
    [AT_GREETING] = TO(AT_FRESH) | TO(AT_UNWANTED),
    [AT_FRESH] = TO(AT_IDLE) | TO(AT_TLS) | TO(AT_CHUNK),
    [AT_IDLE] = TO(AT_LOGIN) | TO(AT_VOUCHING) | TO(AT_SENDER) | TO(AT_TLS) | TO(AT_CHUNK),
    [AT_LOGIN] = TO(AT_IDLE) | TO(AT_VOUCHING),
    [AT_VOUCHING] = TO(AT_IDLE),
    [AT_SENDER] = TO(AT_MAIL) | TO(AT_IDLE),
    [AT_MAIL] = TO(AT_RECIPIENT) | TO(AT_IDLE) | TO(AT_CHUNK),
    [AT_RECIPIENT] = TO(AT_RCPT) | TO(AT_MAIL),
    [AT_RCPT] = TO(AT_RECIPIENT) | TO(AT_DATA) | TO(AT_CHUNK) | TO(AT_IDLE),
    [AT_DATA] = TO(AT_VERDICT) | TO(AT_IDLE),
    [AT_CHUNK] = TO(AT_CHUNKS) | TO(AT_VERDICT) | TO(AT_IDLE) | TO(AT_FRESH) | TO(AT_MAIL),
    [AT_CHUNKS] = TO(AT_CHUNK) | TO(AT_IDLE),
    [AT_VERDICT] = TO(AT_IDLE),
    [AT_TLS] = TO(AT_FRESH),
};

void server_enter(struct server *s, enum server_state to) {
    if (to == s->state) return;
    bug_if(to != AT_CLOSING && !(edges[s->state] & TO(to)));
    log_trace(s->options.log, "smtp server: %s -> %s", state_names[s->state], state_names[to]);
    s->state = to;
}

// ---- life ---------------------------------------------------------------------------------------

struct server *server_new(const struct server_options *options) {
    struct server *s = must_alloc(sizeof *s);
    s->options = *options;
    s->secured = options->secured;
    s->limits = (struct gauge_limits){
        .size = options->size_max,
        .header = (size_t)options->header_max,
        .line = (size_t)options->text_line_max,
        .received = options->received_max,
        .keep_bare = options->bare_newline == SERVER_BARE_KEEP,
    };
    return s;
}

void server_free(struct server **at) {
    struct server *s = *at;
    *at = NULL;
    if (!s) return;
    auth_wipe(&s->auth);
    transaction_release(&s->now);
    buf_release(&s->out);
    buf_release(&s->helo);
    buf_release(&s->user);
    buf_release(&s->farewell);
    free(s);
}

// ---- turns --------------------------------------------------------------------------------------

static bool is_asking(const struct server *s) {
    return s->state == AT_GREETING || s->state == AT_VOUCHING || s->state == AT_SENDER ||
           s->state == AT_RECIPIENT || s->state == AT_VERDICT;
}

static int step(struct server *s, struct bytes *input, struct server_want *want) {
    switch (s->state) {
    case AT_NEW:
        s->early = input->len > 0;
        return ask(s, want, ASK_CONNECT, AT_GREETING);
    case AT_FRESH:
    case AT_UNWANTED:
        if (!s->greeted && input->len) s->early = true;
        s->greeted = true;
        return server_read_command(s, input, want);
    case AT_IDLE:
    case AT_MAIL:
    case AT_RCPT:
    case AT_CHUNKS:
        return server_read_command(s, input, want);
    case AT_LOGIN:
        return server_read_login(s, input, want);
    case AT_DATA:
        return server_read_content(s, input, want);
    case AT_CHUNK:
        return server_read_chunk(s, input, want);
    case AT_TLS:
        return SERVER_TLS;
    case AT_CLOSING:
        return SERVER_CLOSE;
    default:
        return SERVER_READ; // a question is open
    }
}

enum server_next server_next(struct server *s, struct bytes *input, struct server_want *want) {
    memset(want, 0, sizeof *want);
    while (!is_asking(s)) {
        if (s->reset_due) {
            s->reset_due = false;
            transaction_forget(&s->now);
            return SERVER_RESET;
        }
        if (s->state != AT_CLOSING && s->farewell.len)
            finish(s, buf_bytes(&s->farewell), SERVER_END_DISMISSED);
        if (s->state != AT_CLOSING && s->options.errors_max && s->errors > s->options.errors_max)
            FINISH(s, "421 4.7.0 Too many errors", SERVER_END_ERRORS);
        int next = step(s, input, want);
        if (next == GO_ON) continue;
        if (next == SERVER_READ) want->timeout_ms = s->options.idle_ms;
        return (enum server_next)next;
    }
    return SERVER_READ;
}

// ---- answers ------------------------------------------------------------------------------------

// Says the reply of the policy, or the default words where it has none of its own. True: go on.
static bool say_answer(struct server *s, const struct reply *reply, struct bytes otherwise) {
    bool good = !reply || reply->code < 400;
    if (good && (!reply || reply->code < 200 || reply->code >= 300))
        say(s, otherwise);
    else
        reply_write(&s->out, reply, true);
    s->errors += !good && reply->code >= 500;
    return good;
}

static void greet(struct server *s, const struct reply *reply) {
    if (reply && reply->code >= 400) {
        reply_write(&s->out, reply, true);
        s->end = SERVER_END_REFUSED;
        server_enter(s, AT_UNWANTED); // RFC 5321 3.1: until its QUIT, it may talk to a wall
        return;
    }
    const char *words = s->options.greeting ? s->options.greeting : "";
    buf_format(&s->out, "220 %s %s%s%s\r\n", s->options.hostname, is_lmtp(s) ? "LMTP" : "ESMTP",
               *words ? " " : "", words);
    server_enter(s, AT_FRESH);
}

static void vouch(struct server *s, const struct reply *reply) {
    struct bytes ok = BYTES("235 2.7.0 Authentication succeeded\r\n");
    if (reply && reply->code >= 200 && reply->code < 300) reply = NULL;
    if (say_answer(s, reply, ok)) buf_add(&s->user, s->auth.login.user);
    auth_wipe(&s->auth);
    server_enter(s, AT_IDLE);
}

static void open_transaction(struct server *s, const struct reply *reply) {
    if (!say_answer(s, reply, BYTES("250 2.1.0 Ok\r\n"))) {
        server_end_transaction(s);
        return;
    }
    transaction_open(&s->now);
    server_enter(s, AT_MAIL);
}

static void answer_recipient(struct server *s, const struct reply *reply) {
    // Who is named twice gets one copy; but LMTP owes a verdict for each 250.
    if (!say_answer(s, reply, BYTES("250 2.1.5 Ok\r\n")))
        s->now.refused_recipient = true;
    else if (is_lmtp(s) || !transaction_has(&s->now))
        transaction_add(&s->now);
    server_enter(s, s->now.count ? AT_RCPT : AT_MAIL);
}

static void answer_message(struct server *s, const struct reply *reply) {
    struct buf line = {0};
    if (reply && (reply->code < 200 || reply->code / 100 == 3)) reply = NULL;
    if (reply)
        reply_write(&line, reply, true);
    else
        buf_addz(&line, "250 2.0.0 Ok\r\n");
    server_say_verdict(s, buf_bytes(&line));
    buf_release(&line);
    s->messages++;
    if (!reply || reply->code < 300)
        s->errors = s->commands = 0;
    else if (reply->code >= 500)
        s->errors++;
    server_end_transaction(s);
}

void server_answer(struct server *s, const struct reply *reply) {
    switch (s->state) {
    case AT_GREETING:
        greet(s, reply);
        break;
    case AT_VOUCHING:
        vouch(s, reply);
        break;
    case AT_SENDER:
        open_transaction(s, reply);
        break;
    case AT_RECIPIENT:
        answer_recipient(s, reply);
        break;
    case AT_VERDICT:
        answer_message(s, reply);
        break;
    default:
        bug_if("server_answer without a question" && true);
    }
    if (!reply || (reply->code != 421 && reply->code != 521)) return;
    s->end = SERVER_END_REFUSED;
    server_enter(s, AT_CLOSING);
}

// ---- the face -----------------------------------------------------------------------------------

void server_secured(struct server *s) {
    bug_if(s->state != AT_TLS);
    s->secured = true;
    s->esmtp = false; // RFC 3207 4.2: what was said before does not count any more
    buf_reset(&s->helo);
    buf_reset(&s->user);
    server_enter(s, AT_FRESH);
}

void server_spoil(struct server *s, const struct reply *reply) {
    if (s->now.spoilt.len == 0) reply_write(&s->now.spoilt, reply, true);
}

void server_dismiss(struct server *s, const struct reply *reply) {
    if (s->farewell.len == 0) reply_write(&s->farewell, reply, true);
}

struct buf *server_output(struct server *s) {
    return &s->out;
}

bool server_is_between(const struct server *s) {
    return s->state == AT_FRESH || s->state == AT_IDLE || s->state == AT_UNWANTED || s->state == AT_LOGIN;
}

bool server_is_esmtp(const struct server *s) {
    return s->esmtp;
}
struct bytes server_helo(const struct server *s) {
    return buf_bytes(&s->helo);
}
bool server_is_secured(const struct server *s) {
    return s->secured;
}
struct bytes server_user(const struct server *s) {
    return buf_bytes(&s->user);
}
const struct server_path *server_sender(const struct server *s) {
    return &s->now.sender;
}
size_t server_recipient_count(const struct server *s) {
    return s->now.count;
}
const struct gauge *server_gauge(const struct server *s) {
    return &s->now.gauge;
}
bool server_spoke_early(const struct server *s) {
    return s->early;
}
enum server_end server_end(const struct server *s) {
    return s->end;
}

const struct server_path *server_recipient(const struct server *s, size_t i) {
    bug_if(i >= s->now.count);
    return &s->now.recipients[i];
}

const char *server_end_name(enum server_end end) {
    static const char *const names[] = {"none",   "quit",      "refused",  "dismissed",
                                        "errors", "commands",  "messages", "injection",
                                        "http",   "tls-hello", "bdat",     "endless-line"};
    return names[end];
}

// RFC 3848; RFC 6531 4.3 for transactions with SMTPUTF8. HELO gives plain SMTP, whatever lies below.
const char *server_protocol_name(const struct server *s) {
    static const char *const names[4][4] = {
        {"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"},
        {"LMTP", "LMTPA", "LMTPS", "LMTPSA"},
        {"UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"},
        {"UTF8LMTP", "UTF8LMTPA", "UTF8LMTPS", "UTF8LMTPSA"},
    };
    if (!s->esmtp) return "SMTP";
    return names[is_lmtp(s) + 2 * s->now.sender.smtputf8][(s->user.len > 0) + 2 * s->secured];
}
