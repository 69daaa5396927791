// SPDX-License-Identifier: MIT
// grant: the right to send once, asked of every account that a plan spends from: all of them or none.
//
// Asked, answered and settled on one thread, its home; in between it travels to the workers that own the accounts, in the
// plan's order, and gives back what it got where a later one refuses. The answer comes once, from the loop, never before
// grant_ask returned; a refused grant is gone with it.
#pragma once

#include "policy/answer.h"
#include "relay/ledger.h"

typedef void (*grant_fn)(void *arg, const struct refusal *refused); // NULL: granted

// For one transaction with so many recipients of message `id`. from: the place they waited at, "".
struct grant *grant_ask(struct worker *home, const struct plan *plan, size_t recipients, uint64_t id, struct bytes from,
                        grant_fn answer, void *arg);
// The same for limits that no plan holds (policy/spends.h): they are copied. At least one.
struct grant *grant_ask_spends(struct worker *home, const struct spend *spends, size_t count, size_t recipients, grant_fn answer,
                               void *arg);
void grant_cancel(struct grant **g); // not answered yet: no answer comes. NULL inside is fine
// Granted: so many recipients were accepted by the peer, or may have been; of so many it was told. The rest is refunded.
void grant_settle(struct grant **g, size_t accepted, size_t tried);

// For the ledger, on the owner's thread.
void grant_passed(struct leg *leg);
void grant_refused(struct leg *leg, const struct refusal *why);
