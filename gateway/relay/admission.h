// SPDX-License-Identifier: MIT
// admission: a message that counts against limits as it comes in: their grant, and what the client hears when there is none.
//
// What `answer.accept{ spend = ... }` says. Asked for when the message is whole and before it is stored; spent once it is. A
// client that vanishes in between has spent it if the store took the message.
#pragma once

#include "policy/answer.h"
#include "relay/worker.h"

struct admission;
// Whose mail it is: for the event of a refusal. Lent for the admission's life.
struct admission_of {
    struct bytes session, sender, user;
};

// A grant, asked of the ledger. `done` is called once, from the loop: with NULL when the message may come in, or with what to
// say to the client; the admission is gone then.
struct admission *admission_ask(struct worker *w, const struct answer *a, size_t recipients, const struct admission_of *of,
                                void (*done)(void *arg, const struct reply *refused), void *arg);
// What a client hears whose message finds no room before until_ms; spend NULL: the limit cannot be recorded now.
struct reply admission_refusal(const struct spend *spend, size_t recipients, int64_t until_ms, int64_t now_ms);
void admission_settle(struct admission **a, bool stored); // granted: this became of the message. NULL inside is fine
void admission_cancel(struct admission **a);              // not answered yet: done is not called. NULL inside is fine
