// SPDX-License-Identifier: MIT
// packing: numbers, texts and what the journal has most of, in few bytes.
//
// Numbers are of variable length, texts stand behind their length. Of a session's facts (JSON text of a fixed shape) the values
// alone are kept; a text of another shape is kept as it is, so what is unpacked is always what was packed, byte by byte.
// Unpacking is for foreign bytes: it stays within them, and what does not fit makes the whole `bad`. Pure, any thread.
#pragma once

#include "base/arena.h"
#include "base/err.h"

void pack_long_number(struct buf *out, uint64_t n); // pack_number's rarer half
static inline void pack_number(struct buf *out, uint64_t n) {
    if (n < 128) buf_byte(out, (char)n);
    else pack_long_number(out, n);
}
void pack_text(struct buf *out, struct bytes text);
// A text that is written as it is made: what is added between the two, below 256 MiB.
size_t must_use pack_open(struct buf *out);
void pack_close(struct buf *out, size_t text);
void pack_session(struct buf *out, struct bytes facts); // JSON object text (policy/facts.h), or any other text

struct unpacking {
    struct bytes rest;
    bool bad; // from there on all numbers are 0, all texts ""
};
uint64_t unpack_number(struct unpacking *u);
struct bytes unpack_text(struct unpacking *u); // points into what is unpacked
struct bytes unpack_session(struct unpacking *u, struct arena *arena);
