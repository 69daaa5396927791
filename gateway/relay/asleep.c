// SPDX-License-Identifier: MIT
#include "relay/asleep.h"

#include "base/bug.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

// The tree holds the keys inside the sleepers: a map (base/map.h) would have a copy of each.
static int compare(const void *a, const void *b) { return strcmp(a, b); }

static struct sleeper *sleeper_of(char *key) { return (struct sleeper *)(key - offsetof(struct sleeper, key)); }

struct sleeper *asleep_find(const struct asleep *a, struct bytes key) {
    if (!a->by_key) return NULL;
    char *z = bytes_dupz(key), **node = tfind(z, &a->by_key, compare);
    free(z);
    return node ? sleeper_of(*node) : NULL;
}

struct sleeper *asleep_add(struct asleep *a, struct bytes key, int64_t at_ms) {
    struct sleeper *s = must_alloc(sizeof *s + key.len + 1);
    memcpy(s->key, key.at, key.len);
    char **node = tsearch(s->key, &a->by_key, compare);
    bug_if(!node || *node != s->key);
    timers_set(&a->alarms, &s->alarm, at_ms);
    return s;
}

void asleep_until(struct asleep *a, struct sleeper *s, int64_t at_ms) { timers_set(&a->alarms, &s->alarm, at_ms); }

struct sleeper *asleep_due(const struct asleep *a, int64_t now_ms) {
    struct alarm *first = timers_first(&a->alarms);
    return first && first->at_ms <= now_ms ? (struct sleeper *)first : NULL;
}

int64_t asleep_next(const struct asleep *a) {
    const struct alarm *first = timers_first(&a->alarms);
    return first ? first->at_ms : INT64_MAX;
}

void asleep_drop(struct asleep *a, struct sleeper *s) {
    timers_drop(&a->alarms, &s->alarm);
    tdelete(s->key, &a->by_key, compare);
    brake_release(&s->brake);
    free(s);
}

void asleep_each(struct asleep *a, void (*each)(void *arg, struct sleeper *s), void *arg) {
    size_t count = asleep_count(a);
    struct sleeper **all = must_alloc((count + 1) * sizeof *all); // setting an alarm moves others in the heap
    for (size_t i = 0; i < count; i++) all[i] = (struct sleeper *)a->alarms.heap[i];
    for (size_t i = 0; i < count; i++) each(arg, all[i]);
    free(all);
}

void asleep_release(struct asleep *a) {
    while (asleep_count(a)) asleep_drop(a, (struct sleeper *)timers_first(&a->alarms));
    timers_release(&a->alarms);
}
