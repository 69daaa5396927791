// SPDX-License-Identifier: MIT
// map: from a name to a pointer.
//
// Keys are copied; values are the caller's. Open addressing, grows by doubling, order is not kept. A zeroed map
// is empty and valid. Hashing is seeded per map from the system's random source, so a peer that chooses
// the names cannot choose the collisions.
#pragma once

#include "base/bytes.h"

struct map_slot;

struct map {
    struct map_slot *slots;
    size_t count, used, cap; // used counts the graves of removed keys too
    uint64_t seed;
};

void *map_get(const struct map *m, struct bytes key);              // NULL where there is none
void *map_put(struct map *m, struct bytes key, void *value);       // returns the value that was there, or NULL
void *map_remove(struct map *m, struct bytes key);                 // returns the value that was there, or NULL
// Walks: start with *at = 0; false when done. Removing the key just returned is allowed, putting is not.
bool map_next(const struct map *m, size_t *at, struct bytes *key, void **value);
void map_release(struct map *m);
