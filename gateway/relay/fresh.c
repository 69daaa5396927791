// SPDX-License-Identifier: MIT
#include "relay/fresh.h"

#include <stdlib.h>

enum { PICKED_UP_WITHIN_MS = 10000 };

void fresh_init(struct fresh *f, _Atomic uint64_t *total) { *f = (struct fresh){.total = total}; }

void fresh_body_free(struct fresh_body **at) {
    struct fresh_body *b = *at;
    *at = NULL;
    if (!b) return;
    atomic_fetch_sub_explicit(b->total, b->memory, memory_order_relaxed);
    for (size_t i = 0; i < b->part_count; i++) free(b->parts[i].iov_base);
    free(b->parts);
    free(b);
}

struct key {
    char at[8];
};

static struct key key_of(uint64_t id) {
    struct key k;
    put_be64(k.at, id);
    return k;
}

static struct bytes key_bytes(const struct key *k) { return bytes_range(k->at, sizeof k->at); }

static void unlink_body(struct fresh *f, struct fresh_body *b) {
    *(b->newer ? &b->newer->older : &f->newest) = b->older;
    *(b->older ? &b->older->newer : &f->oldest) = b->newer;
    b->newer = b->older = NULL;
}

struct fresh_body *fresh_take(struct fresh *f, uint64_t id) {
    struct key k = key_of(id);
    struct fresh_body *b = map_remove(&f->waiting, key_bytes(&k));
    if (b) unlink_body(f, b);
    return b;
}

void fresh_forget_old(struct fresh *f, int64_t now_ms) {
    while (f->oldest && now_ms - f->oldest->since_ms >= PICKED_UP_WITHIN_MS) {
        struct fresh_body *b = fresh_take(f, f->oldest->id);
        fresh_body_free(&b);
    }
}

void fresh_release(struct fresh *f) {
    while (f->oldest) {
        struct fresh_body *b = fresh_take(f, f->oldest->id);
        fresh_body_free(&b);
    }
    map_release(&f->waiting);
}

void fresh_keep(struct fresh *f, uint64_t id, struct content *content, uint64_t most, int64_t now_ms) {
    struct fresh_body *b = must_alloc(sizeof *b);
    *b = (struct fresh_body){.older = f->newest, .id = id, .since_ms = now_ms, .total = f->total};
    b->memory = content_hand_over(content, &b->parts, &b->part_count);
    uint64_t before = atomic_fetch_add_explicit(f->total, b->memory, memory_order_relaxed);
    if (!b->memory || before + b->memory > most) return fresh_body_free(&b);
    *(f->newest ? &f->newest->newer : &f->oldest) = b;
    f->newest = b;
    struct key k = key_of(id);
    map_put(&f->waiting, key_bytes(&k), b);
}
