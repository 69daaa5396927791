// SPDX-License-Identifier: MIT
// timers: who is called when, for a loop whose time is a clock that it moves itself.
//
// A heap by time; those of one time come in the order in which they were set, so a run with the same calls is the same run.
// An alarm is embedded in its owner; a zeroed one is not set.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alarm {
    int64_t at_ms;
    uint64_t order;
    size_t place; // in the heap, from 1; 0: not set
};

struct timers { // a zeroed one is empty
    struct alarm **heap;
    size_t count, room;
    uint64_t orders;
};

void timers_set(struct timers *t, struct alarm *alarm, int64_t at_ms); // replaces an earlier setting
void timers_drop(struct timers *t, struct alarm *alarm);               // not set is fine
struct alarm *timers_first(const struct timers *t);                    // the next one; NULL: none is set
void timers_release(struct timers *t);
