// SPDX-License-Identifier: MIT
#include "net/timers.h"

#include "base/bytes.h"

#include <stdlib.h>

static bool is_before(const struct alarm *a, const struct alarm *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void put(struct timers *t, size_t place, struct alarm *alarm) {
    t->heap[place - 1] = alarm;
    alarm->place = place;
}

static void rise(struct timers *t, size_t place, struct alarm *alarm) {
    for (; place > 1 && is_before(alarm, t->heap[place / 2 - 1]); place /= 2) put(t, place, t->heap[place / 2 - 1]);
    put(t, place, alarm);
}

static void sink(struct timers *t, size_t place, struct alarm *alarm) {
    for (size_t child; (child = place * 2) <= t->count; place = child) {
        if (child < t->count && is_before(t->heap[child], t->heap[child - 1])) child++;
        if (!is_before(t->heap[child - 1], alarm)) break;
        put(t, place, t->heap[child - 1]);
    }
    put(t, place, alarm);
}

void timers_drop(struct timers *t, struct alarm *alarm) {
    size_t place = alarm->place;
    if (!place) return;
    alarm->place = 0;
    struct alarm *last = t->heap[--t->count];
    if (last == alarm) return;
    if (place > 1 && is_before(last, t->heap[place / 2 - 1])) rise(t, place, last);
    else sink(t, place, last);
}

void timers_set(struct timers *t, struct alarm *alarm, int64_t at_ms) {
    timers_drop(t, alarm);
    alarm->at_ms = at_ms;
    alarm->order = ++t->orders;
    if (t->count == t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->heap = must_realloc(t->heap, t->room * sizeof *t->heap);
    }
    rise(t, ++t->count, alarm);
}

struct alarm *timers_first(const struct timers *t) { return t->count ? t->heap[0] : NULL; }

void timers_release(struct timers *t) {
    for (size_t i = 0; i < t->count; i++) t->heap[i]->place = 0;
    free(t->heap);
    *t = (struct timers){0};
}
