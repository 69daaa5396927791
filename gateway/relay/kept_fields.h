// SPDX-License-Identifier: MIT
// kept_fields: the header fields that the journal keeps of a message, and taking them out of its head.
//
// Made once of the configuration's names, asked for every message: a field that is none of them costs a look at two of its
// letters. A value; the names and the arena are lent, and outlive it. Pure, any thread.
#pragma once

#include "base/arena.h"

struct kept_fields {
    struct bytes names; // with blanks between them
    uint32_t hash;      // of the names: entries kept by the same ones have the same
    uint64_t letters;   // which pairs of letters a field that is kept may have
    const struct bytes *list;
    size_t count;
};

struct kept_fields kept_fields_of(struct bytes names, struct arena *arena);
bool kept_fields_has(const struct kept_fields *kept, struct bytes name); // in any case of letters
void kept_fields_take(struct buf *out, struct bytes head, const struct kept_fields *kept);
