// SPDX-License-Identifier: MIT
// sweep: takes the rows of accounts out of the store in which nothing counts any more.
//
// An account with something in memory looks after its own row (relay/ledger); these are the others, which nobody would ever
// touch again. Once at start all are looked at, then a part of them every few seconds, each in its turn. A worker's own.
#pragma once

#include "relay/worker.h"

struct sweep;

// is_in_memory: the account has somebody who looks after it.
struct sweep *sweep_new(struct worker *w, bool (*is_in_memory)(void *arg, struct bytes account), void *arg);
void sweep_start(struct sweep *s);
void sweep_stop(struct sweep *s);
void sweep_free(struct sweep **s);
