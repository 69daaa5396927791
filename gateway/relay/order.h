// SPDX-License-Identifier: MIT
// order: in which order the attempts of a lane go: urgent ones first, and inside a class the senders in turns.
//
// Three classes. The more urgent one goes first, but a class that waits is passed over ORDER_NORMAL_PASSED times (normal) or
// ORDER_BULK_PASSED times (bulk) at the most: whatever else comes, bulk has one in twenty. Inside a class those whose turn it can be
// (plan.turn; by default the user, else the sender's domain) stand in a ring. One that has sent is passed over as many rounds as its
// message weighed, less one: a recipient weighs 1, and so do each 64 KiB.
//
// A turn is also the lane's memory of what is parked for it in the store (relay/recall): it is there while an attempt of it
// stands in line or recipients of it are known to be parked. Memory is bounded: ORDER_TURNS turns a class, and room for each; a class
// without turns has none, since there may be very many lanes.
#pragma once

#include "base/jsonl.h"
#include "store/store.h"

enum { ORDER_TURNS = 128, ORDER_LEAST = 4, ORDER_NORMAL_PASSED = 9, ORDER_BULK_PASSED = 19 };
enum { ORDER_CLASSES = 3 };

struct attempt;

struct turn {
    struct turn *before, *after; // in the ring, while attempts stand in line
    struct attempt *first, *last;
    size_t waiting;              // recipients
    uint64_t debt;               // rounds to be passed over
    uint64_t hash;               // of the name
    char *name;
    enum priority priority;      // its class
    bool by_age;                 // those parked by a version before turns (store/key.h)
    // What is parked (relay/recall): `parked` while there may be some.
    bool parked;
    struct due after_this;       // up to here they have been called
    size_t called;               // and have not arrived yet
    int64_t called_ms, again_ms; // when last; not before
    size_t taken;                // attempts that went since it has been known
    int64_t held_until_ms, hold_ms; // limits have no room for it: not called before, and then by ones; 0: they have
};

struct class {
    struct turn **turns;
    size_t count, room;
    struct turn *ring;           // the next one in its turn
    size_t waiting, attempts;    // recipients; attempts
    bool unread;                 // turns may be parked that are not known
    struct parked_turn read;     // how far they have been looked at; its name is not kept
};

// How often each class was passed over by more urgent ones since it last had its turn, while it waits.
struct passing {
    unsigned over[ORDER_CLASSES];
};
// The next class of those that have somebody waiting; ORDER_CLASSES: none has.
size_t passing_next(const struct passing *p, const size_t waiting[ORDER_CLASSES]);
void passing_took(struct passing *p, const size_t waiting[ORDER_CLASSES], size_t class);

struct order {
    struct class classes[ORDER_CLASSES];
    struct passing passing;
    size_t waiting, attempts;
};

void order_release(struct order *order); // attempts have been taken out
static inline struct class *order_class(struct order *order, enum priority p) { return &order->classes[p - PRIORITY_URGENT]; }
// NULL: there is none (make: and no room for one).
struct turn *order_turn(struct order *order, enum priority priority, struct bytes name, bool make);
void order_drop_turn(struct order *order, struct turn *turn); // nothing of it stands in line
size_t order_room(const struct class *c, size_t class_room);  // recipients that each of its turns may have in line
bool order_takes(const struct order *order, const struct turn *turn, size_t recipients, size_t class_room);

void order_add(struct order *order, struct turn *turn, struct attempt *a);
void order_add_front(struct order *order, struct turn *turn, struct attempt *a); // part of one that was just taken
struct attempt *order_peek(struct order *order);                                 // the next one; NULL: nobody waits
struct attempt *order_take(struct order *order);
bool order_is_parked(const struct order *order);                                 // some may be in the store
void order_show(const struct order *order, struct jsonl *j);
