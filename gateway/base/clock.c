// SPDX-License-Identifier: MIT
#include "base/clock.h"

#include "base/bug.h"

#include <stdio.h>
#include <time.h>

int64_t clock_ms(const struct clock *clock) {
    int64_t frozen = atomic_load_explicit(&clock->frozen_ms, memory_order_relaxed);
    if (frozen) return frozen;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
           atomic_load_explicit(&clock->shift_ms, memory_order_relaxed);
}

void clock_shift(struct clock *clock, int64_t ms) {
    if (atomic_load(&clock->frozen_ms)) atomic_fetch_add(&clock->frozen_ms, ms);
    else atomic_fetch_add(&clock->shift_ms, ms);
}

int64_t clock_monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct tm utc(int64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    bug_if(!gmtime_r(&seconds, &tm));
    return tm;
}

void clock_iso(int64_t ms, char out[25]) {
    struct tm tm = utc(ms);
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
    snprintf(out, 25, "%.24s", text);
}

void clock_rfc5322(int64_t ms, char out[32]) {
    // Not strftime: %a and %b follow the locale, and RFC 5322 section 3.3 does not.
    static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = utc(ms);
    char text[96];
    snprintf(text, sizeof text, "%s, %d %s %04d %02d:%02d:%02d +0000", day[tm.tm_wday], tm.tm_mday,
             month[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    snprintf(out, 32, "%.31s", text);
}
