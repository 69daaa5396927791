// SPDX-License-Identifier: MIT
// arena: memory with one lifetime: a session, a transaction, an attempt, a generation.
//
// Allocations are freed together, by arena_release or arena_reset; there is no free of one. A zeroed arena is
// empty and valid. Memory comes zeroed and aligned for any type. Not shared between threads.
#pragma once

#include "base/bytes.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; // newest first
    size_t used;                // bytes taken from the newest block
    size_t total;               // bytes held in all blocks, for ceilings
};

void *arena_alloc(struct arena *a, size_t size);
struct bytes arena_copy(struct arena *a, struct bytes what); // the copy is NUL-terminated behind its length
char *arena_z(struct arena *a, struct bytes what);
struct bytes arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *a);   // forgets all, keeps one block for the next round
void arena_release(struct arena *a); // gives all memory back
