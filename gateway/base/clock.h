// SPDX-License-Identifier: MIT
// clock: what time it is, for everything that is decided or stored by time.
//
// Milliseconds since 1970 UTC. A clock can be shifted ahead, so that tests see days pass without waiting; the
// process then behaves as if that time had come. Any thread may read and shift. Socket timeouts are not on it
// (they are the loop's), and neither is CPU time.
#pragma once

#include "base/bytes.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct clock {
    _Atomic int64_t shift_ms;  // added to the machine's time
    _Atomic int64_t frozen_ms; // when not 0, this is the time and shift_ms is not looked at
};

int64_t clock_ms(const struct clock *clock);
void clock_shift(struct clock *clock, int64_t ms); // adds to the shift, or to the frozen time
int64_t clock_monotonic_us(void);                  // for durations; never shifted

// "2026-11-22T15:04:05.678Z" into out[25]; RFC 5322 date "Sun, 22 Nov 2026 15:04:05 +0000" into out[32].
void clock_iso(int64_t ms, char out[25]);
void clock_rfc5322(int64_t ms, char out[32]);

// Reads what people and programs write as a time: "2026-11-22" (its beginning), "2026-11-22T15:04Z", "2026-11-22 15:04:05.678Z",
// "2026-11-22T16:04:05+01:00"; without a zone it is UTC. Years 1970 to 9999.
bool clock_from_iso(struct bytes text, int64_t *ms);
