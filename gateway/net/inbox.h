// SPDX-License-Identifier: MIT
// inbox: bytes that have come over a connection and were not taken yet, with an end to how many.
//
// A value of its connection; a zeroed one is empty. What has just come may lie in memory that the loop lends (loop_scratch): it is good
// until inbox_keep, which copies what nobody took. So a connection whose owner takes everything at once never owns a buffer.
#pragma once

#include "base/bytes.h"

struct inbox {
    size_t max;
    struct buf kept;   // kept.at + from: come and not taken
    size_t from;
    struct bytes view; // the same, in what is lent; `kept` is empty then
};

struct bytes inbox_bytes(const struct inbox *i);
size_t inbox_room(const struct inbox *i);
bool inbox_is_lent(const struct inbox *i); // inside inbox_arrived .. inbox_keep
// Where to read to, and how much of it there is. `scratch`, of scratch_size, where little waits (it moves along); else a buffer that grows.
char *inbox_landing(struct inbox *i, char *scratch, size_t scratch_size, size_t *size);
void inbox_arrived(struct inbox *i, char *landing, size_t got); // so much was read there
void inbox_keep(struct inbox *i);                               // the scratch is given back
void inbox_take(struct inbox *i, size_t n);                     // the first n are done with
void inbox_drop(struct inbox *i);                               // all of it; no memory is held
