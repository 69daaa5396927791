// SPDX-License-Identifier: MIT
#include "cli/progress.h"

#include "base/clock.h"
#include "base/quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { WIDTH = 30, EVERY_US = 100000 };

struct progress progress_begin(const char *what, uint64_t total) {
    return (struct progress){
        .what = what, .total = total, .began_us = clock_monotonic_us(), .on = isatty(STDERR_FILENO)};
}

static void draw_bar(uint64_t at, uint64_t total) {
    static const char full[] = "##############################", none[] = "..............................";
    int done = at >= total ? WIDTH : (int)((double)at / (double)total * WIDTH);
    fprintf(stderr, " [%.*s%.*s] %3d%%", done, full, WIDTH - done, none, done * 100 / WIDTH);
}

void progress_at(struct progress *p, uint64_t at, uint64_t count, const char *things) {
    int64_t now = clock_monotonic_us(), took = now - p->began_us;
    if (!p->on || now - p->drawn_us < EVERY_US) return;
    p->drawn_us = now;
    fprintf(stderr, "\r%s", p->what);
    if (p->total) draw_bar(at, p->total);
    fprintf(stderr, "  %" PRIu64 " %s", count, things);
    if (took > 0) fprintf(stderr, ", %.0f/s", (double)count * 1e6 / (double)took);
    if (p->total && at && at < p->total && took > 1000000) {
        char left[QUANTITY_TEXT];
        quantity_duration_human((int64_t)((double)took / (double)at * (double)(p->total - at) / 1e6), left);
        fprintf(stderr, ", %s left", left);
    }
    fputs("\033[K", stderr);
    fflush(stderr);
}

void progress_end(struct progress *p) {
    if (p->on && p->drawn_us) fputs("\r\033[K", stderr);
    p->on = false;
}
