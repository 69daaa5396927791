// SPDX-License-Identifier: MIT
#include "smtp/client.h"

#include "smtp/client_message.h"
#include "smtp/envelope.h"

#include <stdlib.h>

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    AUTH_LINE = 12288, // RFC 4954 section 4
};

static void greeting_said(struct client *c, const struct reply *r);
static void ehlo_said(struct client *c, const struct reply *r);
static void helo_said(struct client *c, const struct reply *r);
static void starttls_said(struct client *c, const struct reply *r);
static void auth_said(struct client *c, const struct reply *r);
static void quit_said(struct client *c, const struct reply *r);

#define TO(state) (1u << (state))
enum { ANYWHERE = TO(AT_DONE) | TO(AT_CLOSING) };
static const struct {
    const char *name;
    enum client_next want; // while nothing has come
    enum client_stage stage;
    int timeout_ms;                                        // RFC 5321 4.5.3.2, where it names one
    void (*said)(struct client *c, const struct reply *r); // what a reply does
    uint32_t edges;                                        // beside ANYWHERE
} table[CLIENT_STATES] = {
    [AT_GREETING] = {"greeting", CLIENT_READ, STAGE_GREETING, 5 * MINUTE, greeting_said, TO(AT_HELLO)},
    [AT_HELLO] = {"hello", CLIENT_READ, STAGE_EHLO, 5 * MINUTE, NULL, TO(AT_EHLO)},
    [AT_EHLO] = {"ehlo", CLIENT_READ, STAGE_EHLO, 5 * MINUTE, ehlo_said,
                 TO(AT_HELO) | TO(AT_STARTTLS) | TO(AT_AUTH) | TO(AT_READY)},
    [AT_HELO] = {"helo", CLIENT_READ, STAGE_EHLO, 5 * MINUTE, helo_said, TO(AT_READY)},
    [AT_STARTTLS] = {"starttls", CLIENT_READ, STAGE_TLS, 5 * MINUTE, starttls_said,
                     TO(AT_TLS) | TO(AT_AUTH) | TO(AT_READY)},
    [AT_TLS] = {"tls", CLIENT_TLS, STAGE_TLS, MINUTE, NULL, TO(AT_HELLO)},
    [AT_AUTH] = {"auth", CLIENT_READ, STAGE_AUTH, 5 * MINUTE, auth_said, TO(AT_READY)},
    [AT_READY] = {"ready", CLIENT_READY, STAGE_MAIL, 0, NULL, TO(AT_ENVELOPE) | TO(AT_QUIT)},
    [AT_ENVELOPE] = {"envelope", CLIENT_READ, STAGE_MAIL, 5 * MINUTE, client_envelope_said,
                     TO(AT_CONTENT) | TO(AT_VERDICT)},
    [AT_CONTENT] = {"content", CLIENT_BODY, STAGE_CONTENT, 3 * MINUTE, NULL, TO(AT_VERDICT)},
    [AT_VERDICT] = {"verdict", CLIENT_READ, STAGE_CONTENT, 10 * MINUTE, client_verdict_said, 0},
    [AT_DONE] = {"done", CLIENT_DONE, STAGE_CONTENT, 0, NULL, TO(AT_READY)},
    [AT_QUIT] = {"quit", CLIENT_READ, STAGE_QUIT, 10 * SECOND, quit_said, 0},
    [AT_CLOSING] = {"closing", CLIENT_CLOSE, STAGE_QUIT, 0, NULL, 0},
};

void client_enter(struct client *c, enum client_state to) {
    bug_if(!((table[c->state].edges | ANYWHERE) & TO(to)));
    log_trace(c->options.log, "smtp client: %s -> %s", table[c->state].name, table[to].name);
    c->state = to;
}

static enum client_stage stage_of(const struct client *c) {
    if (c->state != AT_ENVELOPE) return table[c->state].stage;
    return c->step == STEP_RCPT ? STAGE_RCPT : c->step == STEP_DATA ? STAGE_DATA : STAGE_MAIL;
}

static int timeout_of(const struct client *c) {
    int ms = table[c->state].timeout_ms;
    if (c->state == AT_ENVELOPE && c->step == STEP_DATA) ms = 2 * MINUTE;
    return c->options.timeout_ms && ms > c->options.timeout_ms ? c->options.timeout_ms : ms;
}

static void fail(struct client *c, const struct reply *r, bool local) {
    if (c->state == AT_CLOSING || (c->state == AT_DONE && c->failed)) return;
    if (c->state == AT_QUIT) {
        client_enter(c, AT_CLOSING);
        return;
    }
    c->failed = true;
    c->failure = (struct client_result){.reply = *r, .stage = stage_of(c), .local = local};
    buf_reset(&c->queue);
    c->queued = 0;
    if (c->message) {
        client_settle_rest(c, r, stage_of(c), local);
        client_end_message(c);
    } else if (c->state != AT_DONE) {
        client_enter(c, AT_CLOSING);
    }
}

void client_fail_locally(struct client *c, int code, const char *enhanced, const char *why) {
    struct reply r = reply_make(code, enhanced, "%s", why);
    fail(c, &r, true);
}

static void fail_quoting(struct client *c, const char *enhanced, const char *why, const struct reply *r) {
    struct reply ours = reply_make(451, enhanced, "%s: %d%s%s", why, r->code, r->text[0] ? " " : "", r->text);
    fail(c, &ours, true);
}

void client_fail_by_reply(struct client *c, const struct reply *r) {
    if (is_refusal(r)) {
        fail(c, r, false);
        return;
    }
    fail_quoting(c, "4.5.0", "Peer answered out of protocol", r);
}

// ---- the session --------------------------------------------------------------------------------

static void say_hello(struct client *c, const char *verb) {
    struct bytes name = bytes_of(c->options.helo && *c->options.helo ? c->options.helo : "localhost");
    if (!envelope_is_sendable(name)) {
        client_fail_locally(c, 451, "4.3.5", "The HELO name has control characters");
        return;
    }
    buf_addz(&c->queue, verb);
    command_text(c, name);
}

static void greeting_said(struct client *c, const struct reply *r) {
    if (!is_good(r)) {
        client_fail_by_reply(c, r);
        return;
    }
    client_enter(c, AT_HELLO);
}

static void start_auth(struct client *c) {
    client_enter(c, AT_AUTH);
    if (!c->secured && !c->options.login_plaintext_ok) {
        client_fail_locally(
            c, 451, "4.7.11",
            "A login is configured, and the connection is not encrypted: not sent in the clear");
    } else if (credential_begin(&c->credential, &c->offered, &c->queue)) {
        end_command(c);
        if (c->queue.len > AUTH_LINE)
            client_fail_locally(c, 451, "4.5.6", "The login's secret is too long to be sent");
    } else {
        client_fail_locally(c, 451, "4.7.4",
                            "A login is configured, and the peer offers no mechanism for it");
    }
}

// What follows when the name has been said and TLS is as it will be.
static void go_on(struct client *c) {
    if (c->options.login != LOGIN_NONE && !c->authenticated)
        start_auth(c);
    else
        client_enter(c, AT_READY);
}

static void ehlo_said(struct client *c, const struct reply *r) {
    if (is_good(r)) {
        if (c->secured || c->options.tls == CLIENT_TLS_NONE ||
            (!c->offered.starttls && c->options.tls == CLIENT_TLS_MAY)) {
            go_on(c);
        } else if (c->offered.starttls) {
            COMMAND(c, "STARTTLS");
            client_enter(c, AT_STARTTLS);
        } else {
            client_fail_locally(c, 451, "4.7.10", "TLS is demanded, and the peer does not offer STARTTLS");
        }
        return;
    }
    c->offered = (struct capability){0};
    bool old_peer = reply_is_permanent(r) && !c->options.lmtp;
    if (!old_peer) {
        client_fail_by_reply(c, r);
    } else if (c->options.tls == CLIENT_TLS_MUST && !c->secured) {
        client_fail_locally(c, 451, "4.7.10", "TLS is demanded, and the peer refused EHLO");
    } else if (c->options.login != LOGIN_NONE) {
        client_fail_locally(c, 451, "4.7.4", "A login is configured, and the peer refused EHLO");
    } else {
        c->ehlo_refusal = *r;
        say_hello(c, "HELO ");
        if (!c->failed) client_enter(c, AT_HELO);
    }
}

static void helo_said(struct client *c, const struct reply *r) {
    if (is_good(r))
        client_enter(c, AT_READY);
    else
        client_fail_by_reply(c, r);
}

static void starttls_said(struct client *c, const struct reply *r) {
    if (r->code == 220) {
        client_enter(c, AT_TLS);
    } else if (is_refusal(r) && r->code != 421 && c->options.tls == CLIENT_TLS_MAY) {
        go_on(c);
    } else if (is_refusal(r) && c->options.tls == CLIENT_TLS_MUST) {
        fail_quoting(c, "4.7.10", "TLS is demanded, and the peer refused STARTTLS", r);
    } else {
        client_fail_by_reply(c, r);
    }
}

static void answer_challenge(struct client *c) {
    if (credential_answer(&c->credential, &c->queue))
        end_command(c);
    else
        client_fail_locally(c, 451, "4.5.0", "Peer asks for more than its AUTH mechanism has");
}

static void auth_said(struct client *c, const struct reply *r) {
    if (r->code == 334) {
        answer_challenge(c);
    } else if (is_good(r)) {
        c->authenticated = true;
        client_enter(c, AT_READY);
    } else {
        client_fail_by_reply(c, r);
    }
}

static void quit_said(struct client *c, const struct reply *r) {
    (void)r;
    client_enter(c, AT_CLOSING);
}

// ---- turns --------------------------------------------------------------------------------------

static bool has_input(const struct client *c, struct bytes input) {
    return input.len || c->reader.lines;
}

// Nothing was asked, and the peer speaks. True: it has been dealt with; false: not all of it is there.
static bool hear_unasked(struct client *c, struct bytes *input) {
    enum reply_result result = reply_read(&c->reader, input, NULL, NULL);
    if (result == REPLY_MORE) return false;
    const struct reply *r = &c->reader.reply;
    bool believed = result == REPLY_DONE && (c->state == AT_CONTENT ? is_refusal(r) : reply_is_temporary(r));
    if (believed)
        fail(c, r, false);
    else
        client_fail_locally(c, 451, "4.5.0", "Peer spoke out of turn");
    return true;
}

// Lets the queue go: every reply that was owed is in, so nothing of the peer may lie around.
static void release_queue(struct client *c, struct bytes *input) {
    if (has_input(c, *input)) {
        if (!hear_unasked(c, input)) client_fail_locally(c, 451, "4.5.0", "Peer spoke out of turn");
        return;
    }
    buf_add(&c->out, buf_bytes(&c->queue));
    buf_reset(&c->queue);
    c->awaiting = c->queued;
    c->queued = 0;
}

// True: something changed. False: it waits for what the table says.
static bool hear(struct client *c, struct bytes *input) {
    if (c->awaiting == 0) {
        bool listens = c->state == AT_READY || c->state == AT_CONTENT;
        return listens && has_input(c, *input) && hear_unasked(c, input);
    }
    bool hello = c->state == AT_EHLO;
    switch (reply_read(&c->reader, input, hello ? capability_line : NULL, hello ? &c->offered : NULL)) {
    case REPLY_MORE:
        return false;
    case REPLY_BAD:
        client_fail_locally(c, 451, "4.5.0", "Peer's answer is not SMTP, or endless");
        return true;
    case REPLY_DONE:
        break;
    }
    c->awaiting--;
    if (c->reader.reply.code == 421 && c->state != AT_QUIT)
        fail(c, &c->reader.reply, false);
    else
        table[c->state].said(c, &c->reader.reply);
    return true;
}

static void hello(struct client *c) {
    c->offered = (struct capability){0};
    say_hello(c, c->options.lmtp ? "LHLO " : "EHLO ");
    if (!c->failed) client_enter(c, AT_EHLO);
}

enum client_next client_next(struct client *c, struct bytes *input, struct client_want *want) {
    for (;;) {
        if (c->state == AT_HELLO) hello(c);
        if (c->state == AT_TLS && has_input(c, *input))
            client_fail_locally(c, 451, "4.7.0", "Peer sent bytes between STARTTLS and the handshake");
        if (c->queued && c->awaiting == 0) release_queue(c, input);
        if (c->state == AT_CLOSING || c->state == AT_DONE || !hear(c, input)) break;
    }
    want->timeout_ms = timeout_of(c);
    if (c->state != AT_DONE) return table[c->state].want;
    client_enter(c, c->failed ? AT_CLOSING : AT_READY);
    return CLIENT_DONE;
}

// ---- the face -----------------------------------------------------------------------------------

struct client *client_new(const struct client_options *options) {
    struct client *c = must_alloc(sizeof *c);
    c->options = *options;
    c->secured = options->secured;
    c->awaiting = 1; // the greeting
    c->credential = (struct credential){.kind = options->login,
                                        .user = options->user ? options->user : "",
                                        .secret = options->secret ? options->secret : ""};
    return c;
}

void client_free(struct client **at) {
    struct client *c = *at;
    *at = NULL;
    if (!c) return;
    buf_release(&c->queue);
    buf_release(&c->out);
    arena_release(&c->arena);
    free(c->results);
    free(c);
}

void client_secured(struct client *c) {
    bug_if(c->state != AT_TLS);
    c->secured = true;
    c->reader = (struct reply_reader){0};
    client_enter(c, AT_HELLO);
}

void client_lost(struct client *c, const struct reply *why) {
    const struct reply *refusal = &c->ehlo_refusal;
    if (c->state != AT_HELO) {
        fail(c, why, true);
        return;
    }
    // Who says at EHLO that we are not wanted may hang up at once. An old server might too: it is not believed for good.
    struct reply both = reply_make(451, "4.4.2", "%s, having refused EHLO: %d %s", why->text, refusal->code, refusal->text);
    fail(c, &both, true);
}

void client_body_fail(struct client *c, const struct reply *why) {
    if (c->state == AT_CONTENT) fail(c, why, true);
}

void client_quit(struct client *c) {
    if (c->state == AT_READY) {
        COMMAND(c, "QUIT");
        client_enter(c, AT_QUIT);
    } else if (c->state != AT_CLOSING) {
        client_enter(c, AT_CLOSING);
    }
}

struct buf *client_output(struct client *c) {
    return &c->out;
}
const struct client_result *client_failure(const struct client *c) {
    return c->failed ? &c->failure : NULL;
}

bool client_has_dsn(const struct client *c) {
    return c->offered.dsn;
}

const char *client_stage_name(enum client_stage stage) {
    static const char *const names[] = {
        [STAGE_DNS] = "dns",         [STAGE_CONNECT] = "connect", [STAGE_GREETING] = "greeting",
        [STAGE_EHLO] = "ehlo",       [STAGE_TLS] = "tls",         [STAGE_AUTH] = "auth",
        [STAGE_MAIL] = "mail",       [STAGE_RCPT] = "rcpt",       [STAGE_DATA] = "data",
        [STAGE_CONTENT] = "content", [STAGE_QUIT] = "quit",
    };
    return names[stage];
}
