// SPDX-License-Identifier: MIT
// nearest: which known name a wrong one was probably meant to be, for "did you mean 'connections'?".
//
// Offer every known name, then ask. Case does not count; a swap of two neighbours is one mistake. A name that is
// further off than a typing mistake (about a third of its letters) is no answer. Names beyond 64 bytes are never near.
//
//     struct nearest n = nearest_to(wrong);
//     for (...) nearest_offer(&n, known[i]);
//     if (n.name) ... "(did you mean '%s'?)"
#pragma once

#include "base/bytes.h"

struct nearest {
    struct bytes wanted;
    const char *name; // borrowed from what was offered; NULL: none is near
    int distance;
};

struct nearest nearest_to(struct bytes wanted);
void nearest_offer(struct nearest *n, const char *name);
// Appends " (did you mean 'name'?)", or nothing.
void nearest_hint(const struct nearest *n, struct buf *out);
