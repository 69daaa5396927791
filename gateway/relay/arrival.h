// SPDX-License-Identifier: MIT
// arrival: a message of a rehearsal comes in: asked about and taken as one that a client sends (relay/session), without the client.
//
// The same hooks in the same order: connect, authenticate (the password was right), sender, recipient for each, message; then the
// limits it counts against, then the store. Its body is only told to be so long.
#pragma once

#include "relay/worker.h"

struct arrival {               // texts live until `done`
    struct bytes sender, user; // user "": nobody logged in
    struct bytes client_ip;
    bool trusted;              // from a network in a listener's `allow`
    struct bytes head;         // fields with their CRLFs
    struct bytes tags;         // JSON object text: stands in where the policy gives none; ""
    uint64_t size;             // of the body
    const struct bytes *recipients;
    size_t count;
};

struct arrived {
    uint64_t id;               // 0: not taken
    size_t taken, refused;     // recipients
    struct reply reply;        // the last refusal; code 0: there was none
    bool discarded;            // taken, and thrown away by the policy
};

// `done` is called later, on the worker, once.
void arrival_start(struct worker *w, const struct arrival *a, void (*done)(void *arg, const struct arrived *what), void *arg);
