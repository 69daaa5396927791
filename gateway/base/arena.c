// SPDX-License-Identifier: MIT
#include "base/arena.h"

#include "base/bug.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BLOCK = 1024, LARGEST_STEP = 64 * 1024 };

struct arena_block {
    struct arena_block *older;
    size_t size;
    alignas(max_align_t) char data[];
};

static void add_block(struct arena *a, size_t need) {
    size_t size = a->blocks ? a->blocks->size * 2 : FIRST_BLOCK;
    if (size > LARGEST_STEP) size = LARGEST_STEP;
    if (size < need) size = need;
    struct arena_block *block = malloc(sizeof *block + size);
    bug_if(!block);
    block->older = a->blocks;
    block->size = size;
    a->blocks = block;
    a->used = 0;
    a->total += size;
}

void *arena_alloc(struct arena *a, size_t size) {
    size_t step = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!a->blocks || a->blocks->size - a->used < step) add_block(a, step);
    void *p = a->blocks->data + a->used;
    a->used += step;
    return memset(p, 0, size);
}

struct bytes arena_copy(struct arena *a, struct bytes what) {
    char *p = arena_alloc(a, what.len + 1);
    if (what.len) memcpy(p, what.at, what.len);
    return (struct bytes){p, what.len};
}

char *arena_z(struct arena *a, struct bytes what) { return (char *)arena_copy(a, what).at; }

struct bytes arena_format(struct arena *a, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    bug_if(n < 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return (struct bytes){p, (size_t)n};
}

void arena_reset(struct arena *a) {
    if (!a->blocks) return;
    // The newest block is the largest so far: the next round likely fits it.
    for (struct arena_block *b = a->blocks->older, *older; b; b = older) {
        older = b->older;
        a->total -= b->size;
        free(b);
    }
    a->blocks->older = NULL;
    a->used = 0;
}

void arena_release(struct arena *a) {
    for (struct arena_block *b = a->blocks, *older; b; b = older) {
        older = b->older;
        free(b);
    }
    *a = (struct arena){0};
}
