// SPDX-License-Identifier: MIT
// explain_control: what the running gateway would do with a message, and why one waits: relay/explain and relay/explain_past on the live state.
//
// Each question has a thread and a lab of its own, in which the policy in force is loaded once more; a few at a time. Its eyes are the
// gateway's: the resolvers of the configuration, the suppression list, the ledger and the lanes (asked of the workers they live on, which
// answer between two events). It writes nothing, spends nothing, and no worker ever waits for it.
#pragma once

#include "relay/asker.h"

// {"verb":"explain","from":...,"to":[...],"user","client","helo","listener","head","body_size","at_ms","id"} or {"verb":"explain","id":...,"n":...}
void explain_control(struct asker *a, const struct json *request);

// Main thread, while the workers' loops still turn: gives up what is being asked, and waits for its threads.
void explain_control_stop(struct gateway *g);
