// SPDX-License-Identifier: MIT
#include "base/quantity.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *name;
    uint64_t bytes;
} sizes[] = {
    {"", 1},
    {"B", 1},
    {"K", 1 << 10},
    {"KiB", 1 << 10},
    {"kB", 1000},
    {"M", 1 << 20},
    {"MiB", 1 << 20},
    {"MB", 1000000},
    {"G", 1 << 30},
    {"GiB", 1 << 30},
    {"GB", 1000000000},
    {"T", 1ull << 40},
    {"TiB", 1ull << 40},
    {"TB", 1000000000000},
};

static const struct {
    char name;
    int64_t seconds;
} units[] = {{'w', 7 * 86400}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
enum { UNITS = sizeof units / sizeof *units };

static struct bytes take_digits(struct bytes *text) {
    size_t n = 0;
    while (n < text->len && text->at[n] >= '0' && text->at[n] <= '9')
        n++;
    struct bytes digits = bytes_first(*text, n);
    *text = bytes_skip(*text, n);
    return digits;
}

bool quantity_size(struct bytes text, uint64_t *bytes) {
    struct bytes unit = bytes_trim(text);
    uint64_t n;
    if (!bytes_to_u64(take_digits(&unit), &n)) return false;
    unit = bytes_trim(unit);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!bytes_equal_nocase(unit, bytes_of(sizes[i].name))) continue;
        return !__builtin_mul_overflow(n, sizes[i].bytes, bytes) && *bytes <= INT64_MAX;
    }
    return false;
}

bool quantity_duration(struct bytes text, int64_t *seconds) {
    text = bytes_trim(text);
    int64_t total = 0;
    int next_unit = 0;
    do {
        uint64_t n;
        if (!bytes_to_u64(take_digits(&text), &n) || n > INT64_MAX / 2) return false;
        if (text.len == 0 && next_unit > 0) return false; // "1h30": thirty of what?
        char name = text.len ? text.at[0] : 's';
        while (next_unit < UNITS && units[next_unit].name != name)
            next_unit++;
        if (next_unit == UNITS) return false;
        int64_t part;
        if (__builtin_mul_overflow((int64_t)n, units[next_unit++].seconds, &part)) return false;
        if (__builtin_add_overflow(total, part, &total)) return false;
        if (text.len) text = bytes_skip(text, 1);
    } while (text.len);
    *seconds = total;
    return true;
}

void quantity_size_text(uint64_t bytes, char out[QUANTITY_TEXT]) {
    static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    while (bytes && bytes % 1024 == 0 && i + 1 < sizeof names / sizeof *names) {
        bytes /= 1024;
        i++;
    }
    snprintf(out, QUANTITY_TEXT, "%" PRIu64 "%s", bytes, names[i]);
}

void quantity_duration_text(int64_t seconds, char out[QUANTITY_TEXT]) {
    size_t used = 0;
    if (seconds <= 0) {
        snprintf(out, QUANTITY_TEXT, "%" PRId64 "s", seconds);
        return;
    }
    for (int i = 1; i < UNITS; i++) { // weeks are for reading only
        int64_t n = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (n) used += (size_t)snprintf(out + used, QUANTITY_TEXT - used, "%" PRId64 "%c", n, units[i].name);
    }
}

void quantity_size_human(uint64_t bytes, char out[QUANTITY_TEXT]) {
    static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, QUANTITY_TEXT, "%" PRIu64 " B", bytes);
        return;
    }
    double n = (double)bytes / 1024;
    size_t i = 0;
    while (n >= 1023.95 && i + 1 < sizeof names / sizeof *names) {
        n /= 1024;
        i++;
    }
    snprintf(out, QUANTITY_TEXT, n < 99.95 ? "%.1f %s" : "%.0f %s", n, names[i]);
}

void quantity_duration_human(int64_t seconds, char out[QUANTITY_TEXT]) {
    uint64_t left = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds;
    const char *sign = seconds < 0 ? "-" : "";
    int i = 1; // from days
    while (i < UNITS - 1 && left < (uint64_t)units[i].seconds)
        i++;
    uint64_t n = left / (uint64_t)units[i].seconds, rest = left % (uint64_t)units[i].seconds;
    uint64_t smaller = i < UNITS - 1 ? rest / (uint64_t)units[i + 1].seconds : 0;
    if (smaller && n < 100)
        snprintf(out, QUANTITY_TEXT, "%s%" PRIu64 "%c %" PRIu64 "%c", sign, n, units[i].name, smaller,
                 units[i + 1].name);
    else
        snprintf(out, QUANTITY_TEXT, "%s%" PRIu64 "%c", sign, n, units[i].name);
}
