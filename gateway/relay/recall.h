// SPDX-License-Identifier: MIT
// recall: calls back the recipients that are parked for a lane, so that each class and each turn has some in its line.
//
// What is parked stays in the store, in the order of turns (store/key.h). A turn is asked for more when half of its room in the
// line is empty; turns that are not known yet are looked up by skipping from turn to turn. So one's backlog, however long, is
// never walked over to find the other's, and the cost follows what is called. Those called go through `route` again.
//
// Where limits had no room for one of a turn they would have none for the next: it is then called by ones, more and more seldom, until one is granted.
#pragma once

#include "relay/order.h"
#include "relay/worker.h"

// At most once in RECALL_PAUSE_MS. Gives when to come again, in ms from now; 0: nothing is parked, or it is worth asking
// again only when something has gone.
enum { RECALL_PAUSE_MS = 20 };
int64_t recall_some(struct order *order, struct worker *w, struct bytes lane, size_t class_room, int64_t now_ms);

// While the lane may start nothing: the oldest are routed again now and then, and more and more where that takes them another way (an
// alternative of theirs goes again, a policy has changed).
struct probe { // zeroed when the lane closes
    int64_t at_ms, wait_ms; // the next; 0: not yet said
    struct due first;       // the oldest of those called; id 0: none is
    size_t most;            // so many were
};
void recall_probe(struct probe *p, struct worker *w, struct bytes lane, int64_t now_ms);
void recall_probe_soon(struct probe *p);
void recall_all_unread(struct order *order);                                            // at start: some may be there
void recall_look(struct order *order, struct worker *w, struct bytes lane);               // whose are there, some of each class: to be shown
void recall_note(struct order *order, enum priority priority, struct bytes turn);       // one is parked there now
void recall_arrived(struct turn *turn, size_t recipients);                            // some that were called
void recall_limited(struct turn *turn, int64_t now_ms);                               // a limit had no room for one of these
void recall_granted(struct turn *turn);                                               // or it had
