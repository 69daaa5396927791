// SPDX-License-Identifier: MIT
// rounds: goes round all places where recipients wait in the store, so that none is forgotten.
//
// Who is parked is due only at his end; what frees room calls him (relay/recall, relay/waiters). That nobody stands in a place that nothing in memory
// knows of is made sure here: every ten minutes each place's lane or limit is reminded of it. Cost follows the number of places, not of those
// who stand there, and is spread over many small steps.
//
// When another policy comes into force, all who are parked under an earlier one are routed again, in the order of their age, some hundred a second: what it
// changes for them becomes so even where they wait for something that never comes. The store remembers how far that has come (by version), so that a
// restart does not forget it, nor begin it in vain.
//
// One a worker, for the places that are its own and for the messages whose id names it.
#pragma once

#include "relay/worker.h"

struct rounds;
struct rounds *rounds_new(struct worker *w);
void rounds_free(struct rounds **r);
void rounds_begin(struct rounds *r); // its worker begins
void rounds_stop(struct rounds *r);
void rounds_policy_changed(struct rounds *r);
