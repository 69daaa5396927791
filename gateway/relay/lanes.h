// SPDX-License-Identifier: MIT
// lanes: all lanes of a worker (relay/lane): finds the one an attempt goes to, tells them what has changed, and shows them.
//
// The worker's thread only. A lane is made when something comes for it, and goes when it has no work and nothing that is known of it
// counts any more. One that only waits (it rests, it is paused, recipients are parked for it) is remembered by relay/asleep, and is woken
// when it may go on: not all at once where there are many.
#pragma once

#include "base/jsonl.h"
#include "policy/prospect.h"
#include "relay/worker.h"

struct attempt;
struct pause;
struct lanes;

struct lanes *lanes_new(struct worker *w);
void lanes_free(struct lanes **lanes);
void lanes_offer(struct lanes *lanes, struct attempt *attempt);    // takes it over; it comes back by attempt_return
void lanes_recover(struct lanes *lanes);                           // at start: finds what was parked before
void lanes_remind(struct lanes *lanes, struct bytes key);          // some are parked there, for all that is known
void lanes_stop(struct lanes *lanes);                              // start nothing more, give back what waits
void lanes_look_again(struct lanes *lanes, bool end_rests);        // time has jumped; or the policy changed: rests end now
void lanes_login_back(struct lanes *lanes, struct bytes user);     // there is an access token again: those that rest for it go on
bool lanes_has_pause(const struct lanes *lanes, struct bytes lane); // this lane is paused, by whatever name
void lanes_read_pauses(struct lanes *lanes);                       // they have changed in the store
size_t lanes_resume(struct lanes *lanes, const struct pause *p);   // those that it names rest no longer; how many did
bool lanes_is_idle(const struct lanes *lanes);
size_t lanes_count(const struct lanes *lanes);
size_t lanes_pauses(struct lanes *lanes);                          // in force
void lanes_show(struct lanes *lanes, void (*row)(void *arg, struct bytes json), void *arg); // a JSON object a lane

// How it stands with a lane of this worker; false: there is none now.
bool lanes_look(struct lanes *lanes, struct bytes key, struct way_state *out);
