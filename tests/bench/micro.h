// SPDX-License-Identifier: MIT
// micro: how long one call of a thing takes, on this thread's CPU clock.
//
// A case is run in rounds of at least 50 ms and its best round counts: what disturbs only ever makes it
// slower. Results are JSON, a line each, on stdout.
#pragma once

#include "base/bug.h"
#include "base/bytes.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double micro_cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

// Microseconds of CPU of one call; `bytes` is what a call works through, 0 where that means nothing.
static inline double micro_run(const char *bench, const char *name, size_t bytes, void (*call)(void *arg),
                               void *arg) {
    double best = 1e18;
    uint64_t count = 1;
    for (int round = 0; round < 5;) {
        double began = micro_cpu_us();
        for (uint64_t i = 0; i < count; i++)
            call(arg);
        double took = micro_cpu_us() - began;
        if (took < 50000) {
            count *= 2;
            continue;
        }
        round++;
        if (took / (double)count < best) best = took / (double)count;
    }
    printf("{\"bench\": \"%s\", \"case\": \"%s\", \"us\": %.3f, \"per_s\": %.0f", bench, name, best,
           1e6 / best);
    if (bytes) printf(", \"MB_per_s\": %.0f", (double)bytes / best);
    puts("}");
    fflush(stdout);
    return best;
}

// How long each of many calls took, where the disk has a say.
struct micro_times { // zeroed: none; micro_times_release
    double *us;
    size_t count, room;
};

static inline void micro_times_add(struct micro_times *t, double us) {
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 1024;
        t->us = realloc(t->us, t->room * sizeof *t->us);
        bug_if(!t->us);
    }
    t->us[t->count++] = us;
}

static inline int micro_by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Sorted by the first look; at least one must be there.
static inline double micro_times_at(struct micro_times *t, double share) {
    qsort(t->us, t->count, sizeof *t->us, micro_by_size);
    return t->us[(size_t)((double)(t->count - 1) * share)];
}

static inline void micro_times_release(struct micro_times *t) {
    free(t->us);
    *t = (struct micro_times){0};
}

// Content as mail has it: lines of text of 76 characters, one in sixteen beginning with a dot.
static inline void micro_text(struct buf *out, size_t size) {
    for (size_t i = 0; out->len + 2 < size; i++) {
        size_t column = i % 78;
        if (column == 76)
            buf_addz(out, "\r\n");
        else if (column < 76)
            buf_byte(out, column == 0 && i / 78 % 16 == 3 ? '.' : (char)('a' + (i * 7 + i / 78) % 26));
    }
    buf_addz(out, "\r\n");
}
