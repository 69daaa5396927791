// SPDX-License-Identifier: MIT
// runner: walks what is due, asks `route`, hands each plan to its lane. One a worker, for the messages whose id names it.
//
// Picks up at most limits.queue_in_memory recipients at a time; the rest stay in the store, at no cost. What it picked up
// stays in the store too, until its outcome commits (relay/outcome).
#pragma once

#include "relay/worker.h"

struct runner;
struct runner *runner_new(struct worker *w);
void runner_free(struct runner **r);
// A message that was just promised and is not committed yet is picked up from memory: the commit comes before its outcome's, or with it.
// False: it waits for its commit and the scan that follows.
bool runner_take(struct runner *r, const struct message *m, const struct recipient *recipients, size_t count);
void runner_wake(struct runner *r);  // look at the due index soon
void runner_wake_there(struct worker *w); // any thread: the same, there
void runner_stop(struct runner *r);  // pick up nothing more
bool runner_is_idle(const struct runner *r);
// There is room again: pick up these parked ones soon, whatever their due time says, those of one message together. Any thread.
// account: who calls (relay/waiters), to be told of each message that is done with; "": a lane.
void runner_call(struct gateway *g, struct bytes account, const struct due *parked, size_t count);
size_t runner_in_memory(const struct runner *r);
// For outcome: this recipient's fate is on disk; it may be picked up again.
void runner_done(struct runner *r, uint64_t id, uint32_t n);
