// SPDX-License-Identifier: MIT
// span: how much came within a window that slides, to the millisecond: what a peer that counts would say.
//
// Unlike the ledger's accounts, which are made of buckets, this keeps every moment: memory follows what the window holds.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct span_moment;

struct span { // a zeroed one is empty
    struct span_moment *ring;
    size_t first, count, room;
    uint64_t sum;
};

// Times do not go back. The window is (now - window_ms, now].
void span_add(struct span *s, int64_t now_ms, uint64_t n, uint64_t mark);
uint64_t span_sum(struct span *s, int64_t now_ms, int64_t window_ms); // forgets what is older
uint64_t span_most(const struct span *s);                             // the highest mark among what it holds; 0
void span_release(struct span *s);
