// SPDX-License-Identifier: MIT
// lane: one way out (identity x next hop x TLS demand): its line of attempts, its connections, its rests.
//
// A lane lives on the worker its key hashes to (relay/lanes has them all), and only while it has work. It holds a bounded number of
// attempts, in the order of relay/order; what does not fit is parked: the recipient waits in the store under the lane's key, in its
// turn, and is called back when there is room (relay/recall).
// Of a peer that takes so many recipients in a transaction and no more it is remembered how many, for ten minutes, and attempts are divided.
// Plans with limits are granted (relay/grant) just before a connection can take them, so that little is held in vain.
//
// What holds it back (rests, narrowness, pace, a pause) is relay/brake's. While it may start nothing, all that comes is parked, and nothing
// is counted against the messages that wait.
#pragma once

#include "relay/worker.h"

struct attempt;
struct plan;
struct reaction;
struct lane;

// Any thread: recipients now wait in the store under this plan's lane, in its class, in this turn.
void lane_tell_parked(struct gateway *g, const struct plan *plan, struct bytes turn);
// Any thread: a verdict asks this lane to rest or to slow down, for what a peer said.
void lane_react(struct gateway *g, struct bytes key, const struct reaction *r, const struct reply *why, struct bytes because);

// ---- for the courier -------------------------------------------------------------------------------------------------------

struct courier;
struct worker *lane_worker(struct lane *lane);
struct slots *lane_slots(struct lane *lane);
// The next attempt that can go over a connection made for `same`; NULL: none now.
struct attempt *lane_take(struct lane *lane, uint64_t same);
void lane_put_back(struct lane *lane, struct attempt *a);        // to the front of the line
// Whom the peer had no room for in one transaction: next in line, uncounted. It takes `most` at once; 0: that is not known.
void lane_resume(struct lane *lane, struct attempt *a, size_t most);
void lane_succeeded(struct lane *lane);                          // a session stands: the way out works
void lane_failed(struct lane *lane, const struct reply *why);    // the way out as such failed
void lane_left(struct lane *lane, struct courier *c);            // the courier has ended
