// SPDX-License-Identifier: MIT
// fresh: bodies that were just accepted, in memory until their first attempt is over, so that it need not read them from disk.
//
// Never more than a copy of what is synced: to be without one costs a read, nothing else. A body is put here when its message has been synced,
// handed to the job that picks the message up, and goes with that job, whatever became of it: a later attempt reads the disk.
// So what waits costs no memory. Those of all workers together stay below delivery.bodies_in_memory; where there is no room a body is not
// kept, since those that are here already are picked up before it. What nobody picks up (put on hold, deleted) goes after some seconds.
//
// A worker's own, on its thread; the job's body may be read by any thread as long as an attempt of the job is away.
#pragma once

#include "base/map.h"
#include "relay/content.h"

struct fresh_body {
    struct fresh_body *newer, *older; // of those that were not picked up
    uint64_t id;
    int64_t since_ms;
    struct iovec *parts;
    size_t part_count;
    uint64_t memory;                // so much of *total is its
    _Atomic uint64_t *total;
};

struct fresh {
    struct map waiting;             // by id
    struct fresh_body *newest, *oldest;
    _Atomic uint64_t *total;        // of all workers
};

void fresh_init(struct fresh *f, _Atomic uint64_t *total);
void fresh_release(struct fresh *f);
// Takes the body out of the content, and keeps it where *total stays within `most`.
void fresh_keep(struct fresh *f, uint64_t id, struct content *content, uint64_t most, int64_t now_ms);
struct fresh_body *fresh_take(struct fresh *f, uint64_t id); // the caller's from now on; NULL: it is not here
void fresh_forget_old(struct fresh *f, int64_t now_ms);      // what nobody has picked up in time
void fresh_body_free(struct fresh_body **body);              // any thread
