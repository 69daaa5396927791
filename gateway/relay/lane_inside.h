// SPDX-License-Identifier: MIT
// lane_inside: what lane and lanes share: one lane, and all of a worker. For these two rooms only.
#pragma once

#include "base/map.h"
#include "relay/asleep.h"
#include "relay/brake.h"
#include "relay/job.h"
#include "relay/lane.h"
#include "relay/lanes.h"
#include "relay/order.h"
#include "relay/recall.h"
#include "relay/pause.h"
#include "relay/slots.h"

struct fifo {
    struct attempt *first, *last;
};

struct lane {
    struct lanes *lanes;
    struct lane *dirty_next;
    bool dirty;
    char *key;
    const struct plan *plan; // the latest one offered; NULL while it only calls back what is parked
    struct brake brake;
    struct order order;      // who waits, in order
    struct fifo asking;      // chosen, and asks for a grant first
    struct fifo ready;       // chosen: may go
    size_t granted, asked;   // attempts among `ready` with a grant; that ask for one
    size_t chosen;           // recipients in both
    struct courier **couriers;
    size_t courier_count, courier_room;
    size_t most;             // recipients that the peer takes in one transaction; 0: as many as there are
    int64_t most_until_ms;   // believed so long
    struct probe probe;      // while it is closed
    int64_t recalled_ms;     // when those in the store were looked at last
    uint64_t taken;          // attempts given to couriers, ever
    int64_t second_ms;       // since then
    uint64_t went, went_before; // ... so many recipients went; in the second before it
    struct timer *timer;
    struct slot_wish wish;   // for a connection, where all are taken
};

struct lanes {
    struct worker *worker;
    struct slots *slots;
    struct pauses pauses;
    struct map by_key;       // those that are awake
    struct asleep asleep;
    struct timer *alarm;     // the next of them
    size_t waiting;          // recipients in all lines
    struct lane *dirty;
    struct task soon;
    bool scheduled, stopped, freed;
};

static inline int64_t lane_now_ms(const struct lane *lane) { return clock_ms(&lane->lanes->worker->gateway->clock); }

// Of lanes.c:
struct lane *lanes_get(struct lanes *ls, struct bytes key); // made where there is none
void lane_touch(struct lane *lane);                         // something happened to it: lane_step follows, soon and once
void lanes_read_pause(struct lanes *ls, struct brake *brake, const char *key); // the brake as the pauses have it
void lanes_lull(struct lane *lane, int64_t until_ms);       // it only waits, until then: frees it, and remembers what counts

// Of lane.c:
struct lane *lane_new(struct lanes *ls, struct bytes key);
void lane_free(struct lane *lane);                          // at once, with its couriers; its lines must be empty
void lane_step(struct lane *lane);                          // does what can be done now; may free it
void lane_offer(struct lane *lane, struct attempt *a);
void lane_empty(struct lane *lane, enum attempt_end end);   // its lines; those that ask for a grant go when they are answered
bool lane_has_work(const struct lane *lane);
size_t lane_waiting(const struct lane *lane);               // recipients
size_t lane_connections_allowed(struct lane *lane);
int64_t lane_closed_until(struct lane *lane);
