// SPDX-License-Identifier: MIT
// limit_look: a script's question how much of a limit is used, taken to the worker that knows.
#pragma once

#include "policy/generation.h"
#include "relay/worker.h"

// For generation_options: told at once where the account lives here (true), else later; arg is the worker.
bool limit_look_used(void *worker, const struct spend *spend, uint64_t *used, void (*answer)(void *arg, uint64_t used), void *arg,
                     struct limit_look **look);
void limit_look_cancel(struct limit_look **look);
