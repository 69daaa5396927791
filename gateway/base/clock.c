// SPDX-License-Identifier: MIT
#include "base/clock.h"

#include "base/bug.h"

#include <string.h>
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
    if (atomic_load(&clock->frozen_ms))
        atomic_fetch_add(&clock->frozen_ms, ms);
    else
        atomic_fetch_add(&clock->shift_ms, ms);
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

static char *put_digits(char *at, int value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value /= 10) at[i] = (char)('0' + value % 10);
    return at + digits;
}

// Both by hand: every event and every log line has the one, every message the other, and snprintf would be most of their cost.
void clock_iso(int64_t ms, char out[25]) {
    struct tm tm = utc(ms);
    const struct {
        int value, digits;
        char behind;
    } parts[] = {{tm.tm_year + 1900, 4, '-'}, {tm.tm_mon + 1, 2, '-'}, {tm.tm_mday, 2, 'T'}, {tm.tm_hour, 2, ':'},
                 {tm.tm_min, 2, ':'}, {tm.tm_sec, 2, '.'}, {(int)(ms % 1000), 3, 'Z'}};
    char *at = out;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        at = put_digits(at, parts[i].value, parts[i].digits);
        *at++ = parts[i].behind;
    }
    *at = 0;
}

void clock_rfc5322(int64_t ms, char out[32]) {
    // Not strftime: %a and %b follow the locale, and RFC 5322 section 3.3 does not.
    static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = utc(ms);
    char *at = stpcpy(stpcpy(out, day[tm.tm_wday]), ", ");
    at = put_digits(at, tm.tm_mday, tm.tm_mday < 10 ? 1 : 2);
    at = stpcpy(stpcpy(stpcpy(at, " "), month[tm.tm_mon]), " ");
    at = stpcpy(put_digits(at, tm.tm_year + 1900, 4), " ");
    at = stpcpy(put_digits(at, tm.tm_hour, 2), ":");
    at = stpcpy(put_digits(at, tm.tm_min, 2), ":");
    stpcpy(put_digits(at, tm.tm_sec, 2), " +0000");
}

// `n` digits and what must stand before them (0: nothing), from `least` to `most`.
static bool take(struct bytes *text, char before, size_t n, int least, int most, int *value) {
    uint64_t v;
    if (before) {
        if (!text->len || text->at[0] != before) return false;
        *text = bytes_skip(*text, 1);
    }
    if (text->len < n || !bytes_to_u64(bytes_first(*text, n), &v)) return false;
    *value = (int)v;
    *text = bytes_skip(*text, n);
    return *value >= least && *value <= most;
}

static bool take_time(struct bytes *text, struct tm *tm, int *millis) {
    if (!take(text, 0, 2, 0, 23, &tm->tm_hour) || !take(text, ':', 2, 0, 59, &tm->tm_min)) return false;
    if (!text->len || text->at[0] != ':') return true;
    if (!take(text, ':', 2, 0, 59, &tm->tm_sec)) return false;
    if (!text->len || text->at[0] != '.') return true;
    return take(text, '.', 3, 0, 999, millis);
}

static bool take_zone(struct bytes *text, int *minutes) {
    int hours, rest;
    if (bytes_equal(*text, BYTES("Z"))) *text = bytes_skip(*text, 1);
    if (!text->len) return true;
    char sign = text->at[0];
    if (sign != '+' && sign != '-') return false;
    if (!take(text, sign, 2, 0, 14, &hours) || !take(text, ':', 2, 0, 59, &rest)) return false;
    *minutes = (hours * 60 + rest) * (sign == '+' ? 1 : -1);
    return !text->len;
}

bool clock_from_iso(struct bytes text, int64_t *ms) {
    struct tm tm = {0};
    int millis = 0, minutes = 0;
    if (!take(&text, 0, 4, 1970, 9999, &tm.tm_year) || !take(&text, '-', 2, 1, 12, &tm.tm_mon) ||
        !take(&text, '-', 2, 1, 31, &tm.tm_mday))
        return false;
    if (text.len) {
        if (text.at[0] != 'T' && text.at[0] != ' ') return false;
        text = bytes_skip(text, 1);
        if (!take_time(&text, &tm, &millis) || !take_zone(&text, &minutes)) return false;
    }
    int day = tm.tm_mday;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t seconds = (int64_t)timegm(&tm);
    if (tm.tm_mday != day) return false; // there was no 30th of February
    *ms = (seconds - minutes * 60) * 1000 + millis;
    return true;
}
