// SPDX-License-Identifier: MIT
// explain: a message that nobody sends, put to every hook as a session and the runner would put it, and what would become of it.
//
// The facts are made as live mail has them (relay/session, relay/job), the hooks are asked in a lab (policy/lab.h) that stands on the
// gateway's own world (relay/explain_control.h) or on what offline knows. Blocking; the thread of the lab. Nothing is spent or written.
#pragma once

#include "policy/lab.h"
#include "relay/conf.h"
#include "relay/users.h"
#include "store/record.h"

enum { EXPLAIN_RECIPIENTS = 50 };

struct explain_ask { // all lent; texts that are not given are ""
    struct bytes sender;
    const struct bytes *recipients; // 1 to EXPLAIN_RECIPIENTS
    size_t recipient_count;
    struct bytes user;     // has logged in: with the right password, where the users file knows the name
    struct bytes client;   // an IP address; "": 127.0.0.1
    struct bytes helo;     // "": the client's address
    struct bytes listener; // its name; "": the first for submission where there is a user, else the first of kind relay, else the first
    struct bytes head;     // header block, with CRLF
    uint64_t body_size;
    uint64_t id;           // as which message; 0: one of now
};

struct explain_place {
    struct lab *lab; // has a policy, and its clock is set
    const struct conf *conf;
    const struct users *users;
    const struct reply *closed; // no mail is taken now: what MAIL is answered with; NULL: it is taken
};

// Gives rows as JSON objects, in the order of what happens:
//     {"step":"hook","hook":"sender","of":"ann@example.org","facts":{...},"decision":{...}}         decision: policy/decision.h, policy/lab.h
//     {"step":"refused","by":"MAIL","reply":"530 5.7.0 ...","because":...}                            what the protocol says by itself
//     {"step":"fate","recipient":...,"fate":"sends"|"waits"|"holds"|"bounces"|"suppressed"|"discarded"|"refused","because","where", and
//      where it has them "identity","lane","tls","way","ways","pause_ms","until","waits_s","waits_for","reply"}    one a recipient, the last word
// False with words where it cannot be put: an address that is none, an unknown listener, or the lab was abandoned.
must_use bool explain_message(const struct explain_place *place, const struct explain_ask *ask, void (*row)(void *arg, struct bytes json),
                              void *arg, struct err *err);

// Of a message that is queued: what route would say of this recipient now. One hook row and one fate.
must_use bool explain_queued(const struct explain_place *place, const struct message *m, const struct recipient *r,
                             void (*row)(void *arg, struct bytes json), void *arg, struct err *err);
