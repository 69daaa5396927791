// SPDX-License-Identifier: MIT
// server_inside: what the rooms of the server machine share: its state. For server, server_command and server_content only.
#pragma once

#include "base/bug.h"
#include "smtp/auth.h"
#include "smtp/line.h"
#include "smtp/server.h"
#include "smtp/transaction.h"

enum { GO_ON = -1 }; // beside enum server_next: nothing to want yet

// As drawn in server.h. From AT_FRESH to AT_CHUNKS commands are read, and the order is that of a
// transaction: a row of the table (server_command.c) names the first and the last state where its verb is
// legal.
enum server_state {
    AT_NEW,
    AT_GREETING, // asked: connect
    AT_UNWANTED,
    AT_FRESH,
    AT_IDLE,
    AT_MAIL,
    AT_RCPT,
    AT_CHUNKS,
    AT_LOGIN,
    AT_VOUCHING,  // asked: login
    AT_SENDER,    // asked
    AT_RECIPIENT, // asked
    AT_DATA,
    AT_CHUNK,
    AT_VERDICT, // asked: message
    AT_TLS,
    AT_CLOSING,
    SERVER_STATES
};

struct server {
    struct server_options options;
    struct gauge_limits limits;
    enum server_state state;
    struct buf out;
    bool secured, esmtp, greeted, early;
    enum server_end end;
    struct buf helo, user;
    struct buf farewell; // from server_dismiss, as it goes out
    int errors, commands, messages;
    struct line_reader lines;
    struct auth auth;

    struct transaction now;
    bool reset_due; // its end has not been told yet

    // BDAT.
    uint64_t chunk_left;
    bool chunk_last;
    struct bytes chunk_refused;   // said once the chunk has been swallowed
    enum server_state chunk_back; // where it leads back to then
};

void server_enter(struct server *s, enum server_state to); // refuses what is not drawn: a bug

static inline void say(struct server *s, struct bytes line) {
    buf_add(&s->out, line);
}
#define SAY(s, literal) say((s), BYTES(literal "\r\n"))

static inline int complain(struct server *s, struct bytes line) {
    s->errors++;
    say(s, line);
    return GO_ON;
}
#define COMPLAIN(s, literal) complain((s), BYTES(literal "\r\n"))

static inline int finish(struct server *s, struct bytes line, enum server_end end) {
    say(s, line);
    if (s->end == SERVER_END_NONE) s->end = end;
    server_enter(s, AT_CLOSING);
    return GO_ON;
}
#define FINISH(s, literal, end) finish((s), BYTES(literal "\r\n"), (end))

static inline int ask(struct server *s, struct server_want *want, enum server_ask question,
                      enum server_state to) {
    server_enter(s, to);
    want->ask = question;
    return SERVER_ASK;
}

static inline bool is_lmtp(const struct server *s) {
    return s->options.protocol == SERVER_LMTP;
}
