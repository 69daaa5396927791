// SPDX-License-Identifier: MIT
// spends: the limits that something counts against, in one order and each account once.
//
// What a plan spends when a message goes, and what an accept spends when one comes, is the same kind of thing.
#pragma once

#include "base/jsonl.h"
#include "policy/answer.h"

// Of `given` limits, in any order: as they are asked for, with their accounts, in the arena. One account named twice
// becomes the stricter of the two. *count: of those given, then of those that there are.
const struct spend *spends_make(struct arena *arena, const struct spend *given, size_t *count);

// The name of its account, "KEY/SECONDS", in out.
struct bytes spend_account(const struct spend *s, char out[SPEND_ACCOUNT_MAX]);

// Writes "spend":[{"key":...,"window_s":...,"cap":...,"per":...},...]; nothing for none.
void spends_put(struct jsonl *j, const struct spend *spends, size_t count);
