// SPDX-License-Identifier: MIT
// session_inside: what session and question share: one client's connection. For these two rooms only.
#pragma once

#include "net/conn.h"
#include "policy/hooks.h"
#include "relay/accept.h"
#include "relay/admission.h"
#include "relay/journal.h"
#include "relay/password.h"
#include "relay/session.h"
#include "smtp/server.h"

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
    struct timer *penance;          // a wrong login waits for its answer `late`, in `transaction`
    const struct reply *late;

    struct arena transaction;
    struct asked {                  // what `hook` is about
        enum journal_hook hook;
        struct bytes subject;
    } asked;
    uint64_t id;                    // of the transaction, and of the message it becomes
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
    int64_t heard_ms, began_ms;     // loop time; heard: what the machine could use, no piece of a line (RFC 5321 4.5.3.2.7)
    int64_t leave_by_ms;            // session_dismiss: 0 while nobody asked
    struct reply farewell;
};

void session_drive(struct session *s); // the machine goes on: after an answer, or when there is input
