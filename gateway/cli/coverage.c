// SPDX-License-Identifier: MIT
#include "cli/coverage.h"

#include "base/arena.h"
#include "base/map.h"
#include "script/lines.h"

#include <stdlib.h>

struct file {
    struct bytes name;
    bool *code, *ran; // by line
    size_t count;
};

struct coverage {
    struct arena arena;
    struct file *files;
    size_t count;
    struct map by_name;
    struct buf never;
};

static void add(struct coverage *c, struct bytes name, struct bytes text) {
    struct file *f = &c->files[c->count];
    f->count = lines_with_code(text, &f->code, NULL);
    if (!f->count) return; // no Lua: it is not what the policy consists of, or it would not have loaded
    f->name = arena_copy(&c->arena, name);
    f->ran = must_alloc(f->count * sizeof *f->ran);
    map_put(&c->by_name, f->name, f);
    c->count++;
}

struct coverage *coverage_new(const struct bundle *b) {
    struct coverage *c = must_alloc(sizeof *c);
    struct bytes name, text;
    size_t n = 0;
    while (bundle_at(b, n, &name, &text))
        n++;
    c->files = must_alloc((n + 1) * sizeof *c->files);
    for (size_t i = 0; bundle_at(b, i, &name, &text); i++)
        if (!bytes_starts(name, BYTES("stdlib/"))) add(c, name, text);
    return c;
}

void coverage_free(struct coverage **at) {
    struct coverage *c = *at;
    *at = NULL;
    if (!c) return;
    for (size_t i = 0; i < c->count; i++) {
        free(c->files[i].code);
        free(c->files[i].ran);
    }
    free(c->files);
    map_release(&c->by_name);
    arena_release(&c->arena);
    buf_release(&c->never);
    free(c);
}

void coverage_mark(struct coverage *c, const char *file, int line) {
    struct file *f = map_get(&c->by_name, bytes_of(file));
    if (f && line > 0 && (size_t)line < f->count) f->ran[line] = true;
}

static bool is_missed(const struct file *f, size_t line) {
    return f->code[line] && !f->ran[line];
}

// Lines without code in between do not break a run of missed ones.
static void put_missed(struct coverage *c, const struct file *f) {
    for (size_t i = 1; i < f->count; i++) {
        if (!is_missed(f, i)) continue;
        size_t last = i, k = i;
        for (; k < f->count && (is_missed(f, k) || !f->code[k]); k++)
            if (is_missed(f, k)) last = k;
        if (c->never.len) buf_addz(&c->never, ", ");
        buf_format(&c->never, last > i ? "%zu-%zu" : "%zu", i, last);
        i = k - 1;
    }
}

bool coverage_at(struct coverage *c, size_t i, struct coverage_file *out) {
    if (i >= c->count) return false;
    const struct file *f = &c->files[i];
    *out = (struct coverage_file){.name = f->name};
    for (size_t line = 1; line < f->count; line++) {
        out->lines += f->code[line];
        out->ran += f->code[line] && f->ran[line];
    }
    buf_reset(&c->never);
    put_missed(c, f);
    out->never = buf_bytes(&c->never);
    return true;
}
