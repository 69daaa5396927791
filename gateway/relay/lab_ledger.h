// SPDX-License-Identifier: MIT
// lab_ledger: the ledger of a lab: the gateway's accounts (relay/account.h), in memory, on whatever clock the
// lab has.
//
// What the ledger does for workers, commits and crashes is not here; how much fits, and when, is the same
// arithmetic. One thread.
#pragma once

#include "policy/lab.h"

struct lab_ledger;
struct lab_ledger *lab_ledger_new(void);
void lab_ledger_free(struct lab_ledger **ledger);
struct lab_limits
lab_ledger_limits(struct lab_ledger *ledger); // for lab_options and story_options; as long as the ledger
