// SPDX-License-Identifier: MIT
// lookup: what a hook learns from the world while it runs, kept as text, and given back when it is asked again.
//
// A question is a text ("mx example.net", "limit acme/86400", "random 16"), its answer one JSON value: that is all a hook
// has seen of DNS, ledger, suppression list, web and chance. Live it is gathered in the hook's ticket
// (generation_options.keep_lookups) and read by its asker (hook_trace). Where a generation has a `source`, the world is not
// asked at all: the source answers, and what it does not know fails the hook, and is told to the source as a question it
// could not answer. Kept: pieces of LOOKUP_MAX bytes, LOOKUPS_MAX for one hook; what is beyond them is not kept.
//
// For bindings: each tells what it asked behind the answer (lookup_keep), and asks lookup_again before it asks the world.
#pragma once

#include "policy/generation.h"

typedef struct lua_State lua_State;
struct hook_ticket;

enum { LOOKUP_MAX = 4096, LOOKUPS_MAX = 16 * 1024, LOOKUP_QUESTION = 700 };

// One answer of those kept, in the order in which they came. False: there are no more, or what follows is damaged.
struct lookup {
    int64_t after_ms; // since the hook began
    struct bytes question, answer;
};
bool lookup_next(struct bytes *kept, struct lookup *out);

// For this folder's bindings. `question` may be as long as it likes: LOOKUP_QUESTION bytes of it count.
void lookup_keep(lua_State *l, struct bytes question, int i); // the value at i is the answer; nil and false are fine
// Pushes the answer where there is a source; false: there is none, ask the world.
bool lookup_again(lua_State *l, struct bytes question);
// What failed is nil, words, and whether to ask again, as dns.* and http.request have it: the three are at the top, and stay.
void lookup_keep_failure(lua_State *l, struct bytes question);
int lookup_push_failure(lua_State *l); // behind lookup_again: how many values the binding returns
void lookup_check_header(lua_State *l, struct bytes name); // raises where the source does not know of this field
void lookup_open(lua_State *l);                            // math.random by way of here
