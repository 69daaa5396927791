// SPDX-License-Identifier: MIT
#include "relay/slots.h"

#include "base/bug.h"
#include "base/bytes.h"
#include "base/clock.h"

#include <stdlib.h>

struct slots {
    struct slots_shared *shared;
    struct slots_events events;
    struct slot *oldest, *newest;     // idle
    struct slot_wish *first, *last;   // who waits, in the order of asking
    size_t waiting, leaving;
    bool others_turn;
};

struct slots *slots_new(struct slots_shared *shared, const struct slots_events *events) {
    struct slots *s = must_alloc(sizeof *s);
    s->shared = shared;
    s->events = *events;
    return s;
}

void slots_free(struct slots **at) {
    struct slots *s = *at;
    *at = NULL;
    if (s) atomic_fetch_sub(&s->shared->wanted, s->waiting);
    free(s);
}

// ---- who waits

static void stand_in_line(struct slots *s, struct slot_wish *wish) {
    if (wish->waits) return;
    *wish = (struct slot_wish){.before = s->last, .waits = true, .owner = wish->owner};
    *(s->last ? &s->last->after : &s->first) = wish;
    s->last = wish;
    s->waiting++;
    atomic_fetch_add(&s->shared->wanted, 1);
}

void slots_forget(struct slots *s, struct slot_wish *wish) {
    if (!wish->waits) return;
    wish->waits = false;
    *(wish->before ? &wish->before->after : &s->first) = wish->after;
    *(wish->after ? &wish->after->before : &s->last) = wish->before;
    s->waiting--;
    atomic_fetch_sub(&s->shared->wanted, 1);
}

// The first in line asks again. It stands there until it has a slot, so nobody gets in before it.
void slots_look(struct slots *s) {
    if (s->first) s->events.come_again(s->first->owner);
}

// ---- who is idle

static void take_out(struct slots *s, struct slot *slot) {
    *(slot->before ? &slot->before->after : &s->oldest) = slot->after;
    *(slot->after ? &slot->after->before : &s->newest) = slot->before;
    slot->before = slot->after = NULL;
}

void slots_idle(struct slots *s, struct slot *slot) {
    if (slot->state != SLOT_BUSY) return;
    slot->state = SLOT_IDLE;
    slot->before = s->newest;
    *(s->newest ? &s->newest->after : &s->oldest) = slot;
    s->newest = slot;
}

void slots_busy(struct slots *s, struct slot *slot) {
    if (slot->state != SLOT_IDLE) return;
    take_out(s, slot);
    slot->state = SLOT_BUSY;
}

void slots_make_way(struct slots *s) {
    struct slot *slot = s->oldest;
    if (!slot) return;
    take_out(s, slot);
    slot->state = SLOT_LEAVING;
    s->leaving++;
    s->events.make_way(slot->owner);
}

bool slots_are_wanted(const struct slots *s) { return atomic_load(&s->shared->wanted) > s->leaving; }

bool slot_is_due(const struct slots *s, const struct slot *slot) {
    return atomic_load(&s->shared->wanted) && clock_monotonic_us() / 1000 - slot->since_ms >= SLOT_TURN_MS;
}

// ---- taking and giving

static bool take(struct slots *s, uint64_t most) {
    uint64_t taken = atomic_load(&s->shared->taken);
    while (taken < most)
        if (atomic_compare_exchange_weak(&s->shared->taken, &taken, taken + 1)) return true;
    return false;
}

bool slots_ask(struct slots *s, struct slot_wish *wish, uint64_t most, bool wait) {
    bool fresh = wait && !wish->waits, its_turn = !s->first || s->first == wish;
    if (fresh) stand_in_line(s, wish); // before the look at what is taken: who gives one back then sees us, or we see it
    if (its_turn && take(s, most)) {
        slots_forget(s, wish);
        // There may be more than one: the next in line finds out.
        if (s->first && atomic_load(&s->shared->taken) < most) slots_look(s);
        return true;
    }
    if (s->leaving >= s->waiting + !wish->waits) return false;
    if (s->oldest) slots_make_way(s);
    else if (fresh) s->events.ask_others(s->events.arg);
    return false;
}

void slots_seat(struct slots *s, struct slot *slot, void *owner) {
    (void)s;
    bug_if(slot->state != SLOT_NONE);
    *slot = (struct slot){.state = SLOT_BUSY, .owner = owner, .since_ms = clock_monotonic_us() / 1000};
}

void slots_leave(struct slots *s, struct slot *slot) {
    if (slot->state == SLOT_NONE) return;
    if (slot->state == SLOT_IDLE) take_out(s, slot);
    if (slot->state == SLOT_LEAVING) s->leaving--;
    slot->state = SLOT_NONE;
    atomic_fetch_sub(&s->shared->taken, 1);
    bool others = atomic_load(&s->shared->wanted) > s->waiting;
    // In turns, so that a busy worker does not keep the others out.
    s->others_turn = !s->others_turn;
    if (others && (s->others_turn || !s->first)) s->events.tell_others(s->events.arg);
    else slots_look(s);
}
