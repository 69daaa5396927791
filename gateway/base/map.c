// SPDX-License-Identifier: MIT
#include "base/map.h"

#include <stdlib.h>
#include <sys/random.h>

struct map_slot {
    char *key; // NULL: never used; GRAVE: removed
    size_t len;
    uint64_t hash;
    void *value;
};

static const char grave = 0; // only its address counts
#define GRAVE ((void *)&grave)

// A product of two 64-bit words folded into one: each bit of either reaches every bit of the result.
static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// The seed goes into every step, so that which names collide cannot be known without it.
static uint64_t hash_of(const struct map *m, struct bytes key) {
    const uint64_t odd = 0x9e3779b97f4a7c15u, other = m->seed ^ 0xc4ceb9fe1a85ec53u;
    uint64_t h = m->seed ^ key.len * odd, word;
    for (; key.len >= 8; key = bytes_skip(key, 8)) {
        memcpy(&word, key.at, 8);
        h = fold(h ^ word, other);
    }
    word = 0;
    if (key.len) memcpy(&word, key.at, key.len);
    return fold(fold(h ^ word, other), m->seed | 1);
}

static bool is_live(const struct map_slot *s) { return s->key && s->key != GRAVE; }

static struct map_slot *find(const struct map *m, struct bytes key, uint64_t hash) {
    if (!m->cap) return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];
        if (!s->key) return NULL;
        if (s->key != GRAVE && s->hash == hash && bytes_equal(bytes_range(s->key, s->len), key)) return s;
    }
}

static struct map_slot *vacant(struct map *m, uint64_t hash) {
    size_t i = hash & (m->cap - 1);
    while (is_live(&m->slots[i])) i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void grow(struct map *m) {
    struct map old = *m;
    if (!m->cap && getrandom(&m->seed, sizeof m->seed, 0) != (ssize_t)sizeof m->seed) m->seed = (uintptr_t)m;
    m->cap = m->count * 4 > 16 ? m->cap * (m->count * 2 >= m->cap ? 2 : 1) : 16;
    m->slots = must_alloc(m->cap * sizeof *m->slots);
    m->used = m->count;
    for (size_t i = 0; i < old.cap; i++)
        if (is_live(&old.slots[i])) *vacant(m, old.slots[i].hash) = old.slots[i];
    free(old.slots);
}

void *map_get(const struct map *m, struct bytes key) {
    struct map_slot *s = m->cap ? find(m, key, hash_of(m, key)) : NULL;
    return s ? s->value : NULL;
}

void *map_put(struct map *m, struct bytes key, void *value) {
    if ((m->used + 1) * 4 > m->cap * 3) grow(m);
    uint64_t hash = hash_of(m, key);
    struct map_slot *s = find(m, key, hash);
    if (s) {
        void *was = s->value;
        s->value = value;
        return was;
    }
    s = vacant(m, hash);
    if (!s->key) m->used++;
    *s = (struct map_slot){bytes_dupz(key), key.len, hash, value};
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, struct bytes key) {
    struct map_slot *s = m->cap ? find(m, key, hash_of(m, key)) : NULL;
    if (!s) return NULL;
    free(s->key);
    s->key = GRAVE;
    m->count--;
    return s->value;
}

bool map_next(const struct map *m, size_t *at, struct bytes *key, void **value) {
    while (*at < m->cap) {
        const struct map_slot *s = &m->slots[(*at)++];
        if (!is_live(s)) continue;
        if (key) *key = bytes_range(s->key, s->len);
        if (value) *value = s->value;
        return true;
    }
    return false;
}

void map_release(struct map *m) {
    for (size_t i = 0; i < m->cap; i++)
        if (is_live(&m->slots[i])) free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){0};
}
