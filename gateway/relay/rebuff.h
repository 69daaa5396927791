// SPDX-License-Identifier: MIT
// rebuff: the event `refused`: a client was not let in, or its mail not taken, with who it was, at what, in which words and why
//
// Only what a hook or the users file decided; what the protocol itself forbids is between the machine and its client. All is lent for the call.
#pragma once

#include "policy/answer.h"
#include "policy/facts.h"
#include "relay/event.h"

struct rebuff {
    const struct session_facts *session;
    const char *stage;              // "connect", "auth", "mail", "rcpt", "content": as in outcomes
    struct bytes login;             // the name that was tried, at "auth"
    struct bytes sender;            // from "mail" on
    const struct bytes *recipients; // at "rcpt" one, at "content" those that were taken before
    size_t count;
    const struct reply *reply;      // what the client heard
    const struct origin *origin;
};

void rebuff_tell(struct event_writer *w, const struct rebuff *r);
