// SPDX-License-Identifier: MIT
#include "relay/leap.h"

int64_t leap_look(struct leap *l, int64_t wall_ms, int64_t monotonic_ms) {
    int64_t apart_ms = wall_ms - monotonic_ms, by = apart_ms - l->apart_ms;
    bool leapt = l->known && (by >= LEAP_LEAST_MS || by <= -LEAP_LEAST_MS);
    // Small steps are learnt as well: they must not add up to what looks like a leap.
    *l = (struct leap){.known = true, .apart_ms = apart_ms};
    return leapt ? by : 0;
}
