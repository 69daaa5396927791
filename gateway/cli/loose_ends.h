// SPDX-License-Identifier: MIT
// loose_ends: what a policy makes and never uses, asks for and never spends, or names and nobody knows. No faults: warnings.
//
// Told of a trial's decisions (cli/trial) and of a generation that was watched while it loaded (policy/watched), it says:
//
//     an identity, or a way to a host, that nothing holds once the scripts have loaded
//     a line that asks how much is left of limits of which no plan, answer or verdict of the trial spends any
//     a limit of "identity/NAME" or "user/NAME" (as the shipped policy has them) where there is no such identity or user
//     a user whose line names an identity that the policy does not define, or limits that are not spent where he sends
#pragma once

#include "policy/generation.h"
#include "relay/users.h"
#include "script/json.h"

struct loose_ends;
struct loose_ends *loose_ends_new(void);
void loose_ends_free(struct loose_ends **ends);
void loose_ends_decided(struct loose_ends *ends, const struct json *decision); // as trial_eyes has it
// `login`: who logged in for the trial, "". `warn` gets each with its file and line: "policy.lua:41: ...".
void loose_ends_tell(struct loose_ends *ends, struct generation *g, const struct users *users, const char *users_file, struct bytes login,
                     void (*warn)(void *arg, const char *text), void *arg);
