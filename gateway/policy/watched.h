// SPDX-License-Identifier: MIT
// watched: what scripts make while they load (identities, ways, limits), and whether anything still holds it once they have.
//
// What was made and is held by nothing can never be used: a slip, or what is left of an earlier policy. Only where
// generation_options.watch asks for it; else nothing is noted and nothing costs. The generation's own thread.
#pragma once

#include "policy/generation.h"

typedef struct lua_State lua_State;

struct watched {
    struct watched *next;
    const char *kind;  // "identity", "route.relay", "limit.per_day"
    struct bytes name; // of the identity, the relay's host, the limit's key; ""
    const char *where; // "policy.lua:41"
    bool held;
};

void watched_note(lua_State *l, int i, const char *kind, struct bytes name, const char *where); // for constructors
// In the order in which they were made; lent until the generation ends. NULL: nothing was made, or nobody watches.
const struct watched *generation_watched(struct generation *g);
