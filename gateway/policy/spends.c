// SPDX-License-Identifier: MIT
#include "policy/spends.h"

#include <stdio.h>
#include <stdlib.h>

// The order in which they are asked for, the same for everybody: short windows first, which are full most often.
static int by_window(const void *a, const void *b) {
    const struct spend *x = a, *y = b;
    if (x->window_s != y->window_s) return x->window_s < y->window_s ? -1 : 1;
    return bytes_compare(x->key, y->key);
}

struct bytes spend_account(const struct spend *s, char out[SPEND_ACCOUNT_MAX]) {
    int len = snprintf(out, SPEND_ACCOUNT_MAX, "%.*s/%u", BYTES_FMT(s->key), s->window_s);
    return bytes_range(out, (size_t)len);
}

static void unite(struct arena *arena, struct spend *into, const struct spend *s) {
    if (s->cap < into->cap) into->cap = s->cap;
    into->recipients |= s->recipients;
    into->attempts |= s->attempts;
    if (!into->exhausted_by.len) into->exhausted_by = arena_copy(arena, s->exhausted_by);
}

const struct spend *spends_make(struct arena *arena, const struct spend *given, size_t *count) {
    size_t made = 0;
    if (!*count) return NULL;
    struct spend *spends = arena_alloc(arena, *count * sizeof *spends);
    memcpy(spends, given, *count * sizeof *spends);
    qsort(spends, *count, sizeof *spends, by_window);
    for (size_t i = 0; i < *count; i++) {
        struct spend s = spends[i];
        if (made && by_window(&spends[made - 1], &s) == 0) {
            unite(arena, &spends[made - 1], &s);
            continue;
        }
        s.key = arena_copy(arena, s.key);
        s.exhausted_by = arena_copy(arena, s.exhausted_by);
        char account[SPEND_ACCOUNT_MAX];
        s.account = arena_copy(arena, spend_account(&s, account));
        spends[made++] = s;
    }
    *count = made;
    return spends;
}

void spends_put(struct jsonl *j, const struct spend *spends, size_t count) {
    if (!count) return;
    jsonl_open(j, "spend", '[');
    for (size_t i = 0; i < count; i++) {
        const struct spend *s = &spends[i];
        jsonl_open(j, NULL, '{');
        jsonl_text(j, "key", s->key);
        jsonl_int(j, "window_s", s->window_s);
        jsonl_int(j, "cap", (int64_t)s->cap);
        jsonl_textz(j, "per", s->recipients ? "recipient" : "message");
        if (s->attempts) jsonl_textz(j, "count", "attempts");
        if (s->exhausted_by.len) jsonl_text(j, "exhausted_by", s->exhausted_by);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}
