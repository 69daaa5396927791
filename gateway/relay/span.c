// SPDX-License-Identifier: MIT
#include "relay/span.h"

#include "base/bytes.h"

#include <stdlib.h>

struct span_moment {
    int64_t at_ms;
    uint64_t n, mark;
};

static struct span_moment *nth(const struct span *s, size_t i) { return &s->ring[(s->first + i) & (s->room - 1)]; }

static void grow(struct span *s) {
    size_t room = s->room ? s->room * 2 : 16;
    struct span_moment *ring = must_alloc(room * sizeof *ring);
    for (size_t i = 0; i < s->count; i++) ring[i] = *nth(s, i);
    free(s->ring);
    s->ring = ring;
    s->room = room;
    s->first = 0;
}

void span_add(struct span *s, int64_t now_ms, uint64_t n, uint64_t mark) {
    struct span_moment *last = s->count ? nth(s, s->count - 1) : NULL;
    s->sum += n;
    if (last && last->at_ms == now_ms && last->mark == mark) {
        last->n += n;
        return;
    }
    if (s->count == s->room) grow(s);
    *nth(s, s->count++) = (struct span_moment){now_ms, n, mark};
}

uint64_t span_sum(struct span *s, int64_t now_ms, int64_t window_ms) {
    while (s->count && nth(s, 0)->at_ms <= now_ms - window_ms) {
        s->sum -= nth(s, 0)->n;
        s->first = (s->first + 1) & (s->room - 1);
        s->count--;
    }
    return s->sum;
}

uint64_t span_most(const struct span *s) {
    uint64_t most = 0;
    for (size_t i = 0; i < s->count; i++)
        if (nth(s, i)->mark > most) most = nth(s, i)->mark;
    return most;
}

void span_release(struct span *s) {
    free(s->ring);
    *s = (struct span){0};
}
