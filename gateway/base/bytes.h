// SPDX-License-Identifier: MIT
// bytes: a borrowed run of bytes, and a growing buffer of them.
//
// `struct bytes` owns nothing and is not NUL-terminated; it is good for as long as what it points into.
// `struct buf` owns its memory; a zeroed one is empty and valid. Running out of memory aborts (bug.h).
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const char *at;
    size_t len;
};

#define BYTES(literal) ((struct bytes){(literal), sizeof(literal) - 1})
#define BYTES_FMT(b) (int)(b).len, (b).at // for "%.*s"

static inline struct bytes bytes_of(const char *z) { return (struct bytes){z, z ? strlen(z) : 0}; }
static inline struct bytes bytes_range(const void *at, size_t len) { return (struct bytes){at, len}; }
static inline struct bytes bytes_skip(struct bytes b, size_t n) { return (struct bytes){b.at + n, b.len - n}; }
static inline struct bytes bytes_first(struct bytes b, size_t n) { return (struct bytes){b.at, n < b.len ? n : b.len}; }

bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_equal_nocase(struct bytes a, struct bytes b); // ASCII case only
bool bytes_starts(struct bytes b, struct bytes prefix);
bool bytes_starts_nocase(struct bytes b, struct bytes prefix);
bool bytes_ends_nocase(struct bytes b, struct bytes suffix);
int bytes_compare(struct bytes a, struct bytes b);    // as memcmp, a shorter prefix first
struct bytes bytes_trim(struct bytes b);              // without SP, HT, CR, LF at both ends
ptrdiff_t bytes_find(struct bytes b, char c);         // -1 where there is none
ptrdiff_t bytes_find_last(struct bytes b, char c);
ptrdiff_t bytes_search(struct bytes b, struct bytes needle);
// Cuts the part before the first `c` off `*rest` and returns it; the last part is returned with *rest emptied.
struct bytes bytes_cut(struct bytes *rest, char c);
bool bytes_to_u64(struct bytes b, uint64_t *value);   // decimal digits only, no sign, false on overflow or ""
static inline char byte_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c; } // ASCII only, whatever the locale
int hex_value(char c);                               // of a hexadecimal digit in either case; -1: it is none
uint64_t bytes_hash(struct bytes b);                  // FNV-1a with a finaliser: for lanes and tables of our own names
char *bytes_dupz(struct bytes b);                     // malloc'd, NUL-terminated; free() it

struct buf {
    char *at;
    size_t len, cap;
};

static inline struct bytes buf_bytes(const struct buf *b) { return (struct bytes){b->at, b->len}; }
void buf_grow(struct buf *b, size_t more);            // buf_reserve's rare half
static inline void buf_reserve(struct buf *b, size_t more) { // room for `more` bytes behind len
    if (more > b->cap - b->len) buf_grow(b, more);
}
static inline void buf_add(struct buf *b, struct bytes what) {
    if (what.len == 0) return;
    buf_reserve(b, what.len);
    memcpy(b->at + b->len, what.at, what.len);
    b->len += what.len;
}
void buf_addz(struct buf *b, const char *z);
static inline void buf_byte(struct buf *b, char c) {
    buf_reserve(b, 1);
    b->at[b->len++] = c;
}
void buf_decimal(struct buf *b, int64_t value);       // as "%lld" would, at a tenth of its cost
void buf_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_formatv(struct buf *b, const char *format, va_list args);
void buf_drop(struct buf *b, size_t n);               // removes the first n bytes
const char *buf_z(struct buf *b);                     // NUL-terminated view; len does not count the NUL
void buf_reset(struct buf *b);                        // len = 0, memory kept
void buf_release(struct buf *b);                      // memory given back, zeroed

// Big-endian integers: keys and records on disk.
static inline void put_be16(void *p, uint16_t v) { uint8_t *b = p; b[0] = (uint8_t)(v >> 8); b[1] = (uint8_t)v; }
static inline void put_be32(void *p, uint32_t v) { put_be16(p, (uint16_t)(v >> 16)); put_be16((char *)p + 2, (uint16_t)v); }
static inline void put_be64(void *p, uint64_t v) { put_be32(p, (uint32_t)(v >> 32)); put_be32((char *)p + 4, (uint32_t)v); }
static inline uint16_t get_be16(const void *p) { const uint8_t *b = p; return (uint16_t)(b[0] << 8 | b[1]); }
static inline uint32_t get_be32(const void *p) { return (uint32_t)get_be16(p) << 16 | get_be16((const char *)p + 2); }
static inline uint64_t get_be64(const void *p) { return (uint64_t)get_be32(p) << 32 | get_be32((const char *)p + 4); }

// Memory that is there or the process is not (bug.h).
void *must_alloc(size_t size);                        // zeroed
void *must_realloc(void *p, size_t size);
