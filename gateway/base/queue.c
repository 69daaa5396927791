// SPDX-License-Identifier: MIT
#include "base/queue.h"

#include <stddef.h>

bool queue_put(struct queue *q, struct queue_node *node) {
    struct queue_node *was = atomic_load_explicit(&q->newest, memory_order_relaxed);
    do node->next = was;
    while (!atomic_compare_exchange_weak_explicit(&q->newest, &was, node, memory_order_release,
                                                  memory_order_relaxed));
    return was == NULL;
}

struct queue_node *queue_take_all(struct queue *q) {
    struct queue_node *newest = atomic_exchange_explicit(&q->newest, NULL, memory_order_acquire);
    struct queue_node *oldest = NULL;
    while (newest) {
        struct queue_node *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
