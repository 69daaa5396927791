// SPDX-License-Identifier: MIT
#include "base/bytes.h"

#include "base/bug.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

bool bytes_equal(struct bytes a, struct bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool bytes_equal_nocase(struct bytes a, struct bytes b) {
    return a.len == b.len && (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

bool bytes_starts(struct bytes b, struct bytes prefix) {
    return b.len >= prefix.len && bytes_equal(bytes_first(b, prefix.len), prefix);
}

bool bytes_starts_nocase(struct bytes b, struct bytes prefix) {
    return b.len >= prefix.len && bytes_equal_nocase(bytes_first(b, prefix.len), prefix);
}

bool bytes_ends_nocase(struct bytes b, struct bytes suffix) {
    return b.len >= suffix.len && bytes_equal_nocase(bytes_skip(b, b.len - suffix.len), suffix);
}

int bytes_compare(struct bytes a, struct bytes b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.at, b.at, n) : 0;
    if (order) return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

struct bytes bytes_trim(struct bytes b) {
    while (b.len && is_blank(b.at[0])) b = bytes_skip(b, 1);
    while (b.len && is_blank(b.at[b.len - 1])) b.len--;
    return b;
}

ptrdiff_t bytes_find(struct bytes b, char c) {
    const char *p = b.len ? memchr(b.at, c, b.len) : NULL;
    return p ? p - b.at : -1;
}

ptrdiff_t bytes_find_last(struct bytes b, char c) {
    const char *p = b.len ? memrchr(b.at, c, b.len) : NULL;
    return p ? p - b.at : -1;
}

ptrdiff_t bytes_search(struct bytes b, struct bytes needle) {
    if (needle.len == 0) return 0;
    const char *p = b.len ? memmem(b.at, b.len, needle.at, needle.len) : NULL;
    return p ? p - b.at : -1;
}

struct bytes bytes_cut(struct bytes *rest, char c) {
    ptrdiff_t at = bytes_find(*rest, c);
    struct bytes part = *rest;
    if (at < 0) {
        *rest = bytes_skip(*rest, rest->len);
        return part;
    }
    part.len = (size_t)at;
    *rest = bytes_skip(*rest, part.len + 1);
    return part;
}

bool bytes_to_u64(struct bytes b, uint64_t *value) {
    uint64_t v = 0;
    if (b.len == 0) return false;
    for (size_t i = 0; i < b.len; i++) {
        if (b.at[i] < '0' || b.at[i] > '9') return false;
        if (__builtin_mul_overflow(v, 10, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)(b.at[i] - '0'), &v)) return false;
    }
    *value = v;
    return true;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint64_t bytes_hash(struct bytes b) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < b.len; i++) h = (h ^ (uint8_t)b.at[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    return h ^ h >> 33;
}

char *bytes_dupz(struct bytes b) {
    char *z = must_alloc(b.len + 1);
    if (b.len) memcpy(z, b.at, b.len);
    return z;
}

void buf_grow(struct buf *b, size_t more) {
    size_t need;
    bug_if(__builtin_add_overflow(b->len, more, &need));
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need) cap *= 2;
    b->at = must_realloc(b->at, cap);
    b->cap = cap;
}

void buf_addz(struct buf *b, const char *z) { buf_add(b, bytes_of(z)); }

void buf_decimal(struct buf *b, int64_t value) {
    char text[20], *from = text + sizeof text;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do *--from = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0) *--from = '-';
    buf_add(b, bytes_range(from, (size_t)(text + sizeof text - from)));
}

void buf_formatv(struct buf *b, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    buf_reserve(b, 1);
    size_t room = b->cap - b->len;
    int n = vsnprintf(b->at + b->len, room, format, args);
    bug_if(n < 0);
    if ((size_t)n >= room) { // told how long it is
        buf_reserve(b, (size_t)n + 1);
        vsnprintf(b->at + b->len, (size_t)n + 1, format, again);
    }
    va_end(again);
    b->len += (size_t)n;
}

void buf_format(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_formatv(b, format, args);
    va_end(args);
}

void buf_drop(struct buf *b, size_t n) {
    bug_if(n > b->len);
    b->len -= n;
    if (b->len) memmove(b->at, b->at + n, b->len);
}

const char *buf_z(struct buf *b) {
    buf_reserve(b, 1);
    b->at[b->len] = 0;
    return b->at;
}

void buf_reset(struct buf *b) { b->len = 0; }

void buf_release(struct buf *b) {
    free(b->at);
    *b = (struct buf){0};
}

void *must_alloc(size_t size) {
    void *p = calloc(1, size ? size : 1);
    bug_if(!p);
    return p;
}

void *must_realloc(void *old, size_t size) {
    void *p = realloc(old, size ? size : 1);
    bug_if(!p);
    return p;
}
