// SPDX-License-Identifier: MIT
#include "base/trend.h"

static const int64_t longest_s = INT64_C(10) * 365 * 86400;

static unsigned place_of(const struct trend *t, unsigned back) { return (t->next + TREND_LOOKS - 1 - back) % TREND_LOOKS; }

void trend_see(struct trend *t, int64_t at_ms, int64_t left) {
    if (t->count) {
        int64_t since_ms = at_ms - t->looks[place_of(t, 0)].at_ms;
        if (since_ms < 0) t->count = 0;
        else if (since_ms < TREND_EVERY_MS) return;
    }
    t->looks[t->next].at_ms = at_ms;
    t->looks[t->next].left = left;
    t->next = (t->next + 1) % TREND_LOOKS;
    if (t->count < TREND_LOOKS) t->count++;
}

// The oldest look of the last hour counts, however far apart looks are.
static bool find_first(const struct trend *t, int64_t now_ms, int64_t *at_ms, int64_t *left) {
    bool found = false;
    for (unsigned back = 0; back < t->count; back++) {
        unsigned at = place_of(t, back);
        if (found && now_ms - t->looks[at].at_ms > (int64_t)TREND_LOOKS * TREND_EVERY_MS) break;
        *at_ms = t->looks[at].at_ms;
        *left = t->looks[at].left;
        found = true;
    }
    return found;
}

bool trend_lasts(const struct trend *t, int64_t now_ms, int64_t left, int64_t *seconds) {
    int64_t began_ms, had;
    if (!find_first(t, now_ms, &began_ms, &had) || now_ms - began_ms < TREND_LEAST_MS || had <= left) return false;
    double lasts = (double)(left > 0 ? left : 0) * (double)(now_ms - began_ms) / (double)(had - left) / 1000;
    if (lasts > (double)longest_s) return false;
    *seconds = (int64_t)lasts;
    return true;
}
