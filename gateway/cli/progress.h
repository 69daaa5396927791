// SPDX-License-Identifier: MIT
// progress: one line on the terminal that says how far a long task is, and goes away when it is done.
//
// On stderr, and only where that is a terminal; drawn ten times a second at the most.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; // "importing"
    uint64_t total;   // 0: not known
    int64_t began_us, drawn_us;
    bool on;
};

struct progress progress_begin(const char *what, uint64_t total);
void progress_at(struct progress *p, uint64_t at, uint64_t count,
                 const char *things); // of total; and how many "entries" that is
void progress_end(struct progress *p);
