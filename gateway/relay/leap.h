// SPDX-License-Identifier: MIT
// leap: has the wall clock been set? Seen by how far it has moved against the one that only goes forward.
//
// A value, zeroed at first: the first look learns. Small corrections, as of a time daemon, are no leap.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LEAP_LEAST_MS = 5000 };

struct leap {
    bool known;
    int64_t apart_ms; // wall clock less monotonic clock, at the last look
};

// By how much it has leapt since the last look, negative: backwards; 0: it has not.
int64_t leap_look(struct leap *l, int64_t wall_ms, int64_t monotonic_ms);
