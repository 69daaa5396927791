// SPDX-License-Identifier: MIT
// lane: one way out (identity x next hop x TLS demand): its line of attempts, its connections, its rests.
//
// A lane lives on the worker its key hashes to, and only while it has work. It holds a bounded number of attempts, in the order of
// relay/order; what does not fit is parked: the recipient waits in the store under the lane's key, in its turn, and is called back
// when there is room (relay/recall).
// Plans with limits are granted (relay/grant) just before a connection can take them, so that little is held in vain.
//
// What holds it back (rests, narrowness, pace, a pause) is relay/brake's. While it may start nothing, all that comes is parked, and nothing
// is counted against the messages that wait.
#pragma once

#include "base/jsonl.h"
#include "policy/prospect.h"
#include "relay/worker.h"

struct attempt;
struct plan;
struct reaction;
struct pause;
struct lanes;
struct lane;

struct lanes *lanes_new(struct worker *w);
void lanes_free(struct lanes **lanes);
void lanes_offer(struct lanes *lanes, struct attempt *attempt);  // takes it over; it comes back by attempt_return
void lanes_recover(struct lanes *lanes);                         // at start: finds what was parked before
void lanes_stop(struct lanes *lanes);                            // start nothing more, give back what waits
void lanes_look_again(struct lanes *lanes, bool end_rests);     // time has jumped; or the policy changed: rests end now
void lanes_login_back(struct lanes *lanes, struct bytes user); // there is an access token again: those that rest for it go on
bool lanes_has_pause(const struct lanes *lanes, struct bytes lane); // this lane is paused, by whatever name
void lanes_read_pauses(struct lanes *lanes);                    // they have changed in the store
size_t lanes_resume(struct lanes *lanes, const struct pause *p); // those that it names rest no longer; how many did
bool lanes_is_idle(const struct lanes *lanes);
size_t lanes_count(const struct lanes *lanes);
size_t lanes_pauses(struct lanes *lanes); // in force
void lanes_show(struct lanes *lanes, void (*row)(void *arg, struct bytes json), void *arg); // a JSON object a lane

// How it stands with a lane of this worker; false: there is none now.
bool lanes_look(struct lanes *lanes, struct bytes key, struct way_state *out);

// Any thread: recipients now wait in the store under this plan's lane, in its class, in this turn.
void lane_tell_parked(struct gateway *g, const struct plan *plan, struct bytes turn);
// Any thread: a verdict asks this lane to rest or to slow down, for what a peer said.
void lane_react(struct gateway *g, struct bytes key, const struct reaction *r, const struct reply *why, struct bytes because);

// For the courier: --------------------------------------------------------------------------------------------------
struct courier;
struct worker *lane_worker(struct lane *lane);
struct slots *lane_slots(struct lane *lane);
// The next attempt that can go over a connection made for `same`; NULL: none now.
struct attempt *lane_take(struct lane *lane, uint64_t same);
void lane_put_back(struct lane *lane, struct attempt *a);        // to the front of the line
void lane_succeeded(struct lane *lane);                          // a session stands: the way out works
void lane_failed(struct lane *lane, const struct reply *why);    // the way out as such failed
void lane_left(struct lane *lane, struct courier *c);            // the courier has ended
