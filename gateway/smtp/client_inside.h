// SPDX-License-Identifier: MIT
// client_inside: what the rooms of the client machine share: its state. For client and client_message only.
#pragma once

#include "base/arena.h"
#include "base/bug.h"
#include "smtp/client.h"
#include "smtp/credential.h"
#include "smtp/dot.h"

enum client_state {
    AT_GREETING,
    AT_HELLO, // about to say EHLO
    AT_EHLO,
    AT_HELO,
    AT_STARTTLS,
    AT_TLS,
    AT_AUTH,
    AT_READY,
    AT_ENVELOPE,
    AT_CONTENT,
    AT_VERDICT,
    AT_DONE,
    AT_QUIT,
    AT_CLOSING,
    CLIENT_STATES
};

enum { // where the envelope stands: the reply that comes next
    STEP_RSET,
    STEP_MAIL,
    STEP_RCPT,
    STEP_DATA,
};

struct client {
    struct client_options options;
    enum client_state state;
    struct buf out;
    struct buf queue; // commands that leave once nothing is awaited: whoever talks before that is out of turn
    size_t awaiting, queued; // replies owed for what has left; for what is in the queue
    struct reply_reader reader;
    struct capability offered;
    bool secured, authenticated, dirty; // dirty: the last transaction ended in the middle
    struct credential credential;
    bool failed;
    struct client_result failure;
    struct reply ehlo_refusal; // where HELO was said for it

    // The message under way.
    const struct client_message *message;
    struct arena arena;
    const struct client_result **results; // NULL: not settled
    size_t count, unsettled;
    int step;
    size_t at; // the recipient whose reply comes next, in envelope and (LMTP) verdict
    size_t accepted;
    bool sender_refused;
    struct dot_writer dots;
};

void client_enter(struct client *c, enum client_state to); // refuses what is not drawn: a bug
// The session can't go on, and everyone without a fate shares its fate: for a reason of ours; because the peer refuses the
// session, or says what makes no sense here.
void client_fail_locally(struct client *c, int code, const char *enhanced, const char *why);
void client_fail_by_reply(struct client *c, const struct reply *r);

static inline bool is_good(const struct reply *r) {
    return r->code >= 200 && r->code < 300;
}
static inline bool is_refusal(const struct reply *r) {
    return r->code >= 400;
}

// The end of a command that has been put into the queue, but for its CRLF.
static inline void end_command(struct client *c) {
    buf_add(&c->queue, BYTES("\r\n"));
    c->queued++;
}

static inline void command_text(struct client *c, struct bytes text) {
    buf_add(&c->queue, text);
    end_command(c);
}
#define COMMAND(c, literal) command_text((c), BYTES(literal))
