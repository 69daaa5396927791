// SPDX-License-Identifier: MIT
// slots: the right to one connection out, of those that the configuration allows all workers together.
//
// Each worker has its own; what they share is two counters. Where all slots are taken, connections that only wait for their lane's next
// message make way, the longest idle first, and a lane that has none at all stands in line for the next one. While lanes stand
// in line, who had a slot for SLOT_TURN_MS gives it up after the message in hand (slot_is_due).
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOT_TURN_MS = 2000 };

struct slots_shared { // by all workers; zeroed
    _Atomic uint64_t taken, wanted;
};

// Of a connection, zeroed before it is seated; its owner's memory.
struct slot {
    struct slot *before, *after; // among the idle ones
    enum { SLOT_NONE, SLOT_BUSY, SLOT_IDLE, SLOT_LEAVING } state;
    int64_t since_ms;            // monotonic
    void *owner;
};

// Of a lane, zeroed at first; its owner's memory.
struct slot_wish {
    struct slot_wish *before, *after;
    bool waits;
    void *owner;
};

struct slots_events {
    void (*make_way)(void *owner);  // of a slot that is idle: end soon
    void (*come_again)(void *owner); // of a wish: there may be a slot now
    void (*ask_others)(void *arg);  // call slots_make_way on all other workers
    void (*tell_others)(void *arg); // call slots_look on all other workers
    void *arg;
};

struct slots;
struct slots *slots_new(struct slots_shared *shared, const struct slots_events *events);
void slots_free(struct slots **slots);

// May a lane open one more connection? True: a slot is taken for it, to be seated at once. False: not now; with `wait` come_again is
// called, once, when it is worth asking again.
bool slots_ask(struct slots *s, struct slot_wish *wish, uint64_t most, bool wait);
void slots_forget(struct slots *s, struct slot_wish *wish); // it waits no longer
void slots_seat(struct slots *s, struct slot *slot, void *owner);
void slots_leave(struct slots *s, struct slot *slot);
void slots_idle(struct slots *s, struct slot *slot);
void slots_busy(struct slots *s, struct slot *slot);
bool slots_are_wanted(const struct slots *s);                   // somebody waits: who has nothing to do need not stay
bool slot_is_due(const struct slots *s, const struct slot *slot); // somebody has waited long enough for it
void slots_make_way(struct slots *s);                             // another worker's lane waits
void slots_look(struct slots *s);                                 // there may be a slot
