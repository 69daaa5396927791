// SPDX-License-Identifier: MIT
// commons: what several gateways have spent of the limits that they share, in one Redis. [design: section 9, law 4]
//
// Each gateway keeps its own row of an account (relay/account's encoding, the same as in its store) in the hash "tidegate:ACCOUNT",
// under its own name: host name and store. A row is put there as a claim: Redis takes it only if, with it, no more than the cap is spent by
// all, in one step with looking (commons.lua). So two gateways never hold the same token, whatever is lost on the way: a claim whose
// answer is lost may stand, and then counts as spent, like those of a gateway that has died, until they are old.
// A row is always all that its gateway has spent, so to put it again is harmless: when the connection has opened, every row is.
//
// Who cannot be asked grants nothing (COMMONS_SILENT). A worker's own; nothing calls back from inside these functions.
#pragma once

#include "relay/account.h"
#include "relay/worker.h"

struct commons;

// NULL where the configuration names no Redis. in_reach: it is there again after it was not.
struct commons *commons_new(struct worker *w, void (*in_reach)(void *arg), void *arg);
void commons_begin(struct commons *commons); // on its worker's thread: tells what this gateway has spent so far. NULL is fine
void commons_free(struct commons **commons); // who asked hears nothing any more
bool commons_is_in_reach(const struct commons *commons); // true until it is known not to be

enum commons_said {
    COMMONS_TAKEN, // the row stands there
    COMMONS_FULL,  // it does not: the others have too much
    COMMONS_SILENT // nobody knows
};
// others: what all other gateways have spent, turned to now; not when SILENT.
typedef void (*commons_fn)(void *arg, enum commons_said said, const struct account *others);

enum { COMMONS_ANY = -1, COMMONS_LOOK = -2 }; // as cap: the row is put whatever the others have; none is put
void commons_ask(struct commons *commons, struct bytes account, struct bytes row, int64_t cap, commons_fn answer, void *arg);
