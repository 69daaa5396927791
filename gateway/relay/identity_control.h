// SPDX-License-Identifier: MIT
// identity_control: all that is known of one identity, and how warmups stand, for an operator.
//
// {"verb":"identity","name":"acme"}: one row: what `identity` lists of it, whether it is paused, its lanes in use, the accounts whose keys
// name it, its warmups. {"verb":"warmup"}, with "name" for one: a row for each and provider, as the policy's own library describes them
// (hook_describe) with the ledger's figures: the core knows nothing of warmups. Nothing is spent or written.
#pragma once

#include "relay/asker.h"

void identity_control_show(struct asker *a, const struct json *request);
void identity_control_warmup(struct asker *a, const struct json *request);
