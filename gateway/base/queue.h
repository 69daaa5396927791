// SPDX-License-Identifier: MIT
// queue: many threads put, one takes. The only way in which threads of this program hand work to each other.
//
// Intrusive and lock-free: the node lives inside what is handed over, and with it goes ownership. The order of
// each single putter is kept. Waking the taker is the caller's affair: queue_put says when it is needed.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct queue_node {
    struct queue_node *next;
};

struct queue {
    _Atomic(struct queue_node *) newest;
};

bool queue_put(struct queue *q, struct queue_node *node); // true when the queue was empty: wake the taker
struct queue_node *queue_take_all(struct queue *q);       // oldest first, linked by next; NULL when empty
static inline bool queue_is_empty(struct queue *q) { return atomic_load(&q->newest) == 0; }
