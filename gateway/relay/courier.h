// SPDX-License-Identifier: MIT
// courier: one connection out and what it carries: resolves, connects, drives the client machine (smtp/client), streams
// content, reports what became of each attempt. Captures to a Maildir are couriers without a connection.
//
// Belongs to a lane and its worker. Takes attempts from the lane one after the other, up to plan.per_connection, as
// long as they were planned alike (plan.same: same login, TLS, source; how wide the lane is may differ), and waits lane_idle_s for the next.
#pragma once

#include "relay/lane.h"

struct courier;
struct courier *courier_new(struct lane *lane, struct attempt *first); // starts soon; ends with lane_left
void courier_wake(struct courier *c);        // an idle one: the lane has work
bool courier_is_idle(const struct courier *c);
bool courier_stands(const struct courier *c); // a session is established
uint64_t courier_same(const struct courier *c);
void courier_dismiss(struct courier *c);     // ends after what it is doing; an idle one says QUIT now
void courier_stop(struct courier *c);        // ends after a message the peer has begun to hear; at once where it has not
void courier_free(struct courier **c);       // at once; what it carried goes back untried (lane_left is not called)
