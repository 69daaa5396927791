// SPDX-License-Identifier: MIT
// outcome: the one place that writes a recipient's fate: from an attempt's results, or a plan that sends nothing, through
// the `retry` hook into the store.
#pragma once

#include "relay/job.h"

// An attempt has come home: settles each of its recipients and frees it.
void outcome_take(struct attempt *a);
// route said something other than send (wait, hold, suppress, fail, discard), or the message has expired (plan NULL).
void outcome_of_plan(struct job *job, size_t i);
void outcome_expired(struct job *job, size_t i);
