// SPDX-License-Identifier: MIT
// families: the rows of verbs that stand below another verb (`tidegate queue list`), each family with its options.
//
// Constant data; cli/verbs.c hangs each under its own verb.
#pragma once

#include "cli/options.h"

#define FAMILY_SCOPES "all, stream:NAME or identity:NAME" // whose mail an entry of the suppression list can stop

extern const struct verb queue_verbs[];
extern const struct verb lane_verbs[];
extern const struct verb identity_verbs[];
extern const struct verb suppression_verbs[];
extern const struct verb shelf_verbs[];
extern const struct verb key_verbs[];

extern const int exits_control[]; // of every verb that asks the running gateway and can fail by nothing else
extern const int exits_of_one[]; // the same, of one that has a name: there may be none
extern const int exits_key[];
