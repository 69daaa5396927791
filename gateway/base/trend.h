// SPDX-License-Identifier: MIT
// trend: how fast something runs out: what was left of it over the last hour, and how long it lasts if it goes on so.
//
// A value; a zeroed one has seen nothing. It keeps one look a minute at the most. Time that goes backwards begins anew: what
// was seen before says nothing of what follows.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { TREND_LOOKS = 60, TREND_EVERY_MS = 60 * 1000, TREND_LEAST_MS = 10 * 60 * 1000 };

struct trend {
    struct {
        int64_t at_ms, left;
    } looks[TREND_LOOKS];
    unsigned count, next;
};

void trend_see(struct trend *t, int64_t at_ms, int64_t left);
// False: it does not run out, nobody has looked for ten minutes yet, or it would take ten years.
bool trend_lasts(const struct trend *t, int64_t now_ms, int64_t left, int64_t *seconds);
