// SPDX-License-Identifier: MIT
// asleep: lanes that only wait, and what must be remembered of them: until when, why, and that recipients are parked for them.
//
// There may be as many as there are next hops in the queue, so each takes a few hundred bytes: no line, no turns, no plan, no timer of
// its own. Each has an alarm, always; the owner looks at those that are due. One a worker, the worker's thread only.
#pragma once

#include "net/timers.h"
#include "relay/brake.h"
#include "relay/recall.h"

struct sleeper {
    struct alarm alarm; // first
    struct brake brake;
    struct probe probe;
    uint64_t taken;     // attempts it has given to couriers
    uint32_t planned;   // connections
    bool parked;        // some may be in the store
    char key[];
};

struct asleep { // a zeroed one is empty
    struct timers alarms;
    void *by_key;
};

struct sleeper *asleep_find(const struct asleep *a, struct bytes key);       // NULL: it is awake, or nothing is known of it
struct sleeper *asleep_add(struct asleep *a, struct bytes key, int64_t at_ms); // there must be none of that key
void asleep_until(struct asleep *a, struct sleeper *s, int64_t at_ms);        // its alarm
struct sleeper *asleep_due(const struct asleep *a, int64_t now_ms);           // the first whose alarm has come; NULL: none
int64_t asleep_next(const struct asleep *a);                                  // the next alarm; INT64_MAX: none
void asleep_drop(struct asleep *a, struct sleeper *s);                        // frees it, with its brake's words
// `each` may set alarms, and must neither add nor drop.
void asleep_each(struct asleep *a, void (*each)(void *arg, struct sleeper *s), void *arg);
static inline size_t asleep_count(const struct asleep *a) { return a->alarms.count; }
void asleep_release(struct asleep *a);
