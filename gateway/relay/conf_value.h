// SPDX-License-Identifier: MIT
// conf_value: one value of the configuration, read into the member its row names.
//
// Texts are copied into the arena of the place. Strict: a value of another kind, or outside its row's bounds, is refused. Any thread.
#pragma once

#include "base/arena.h"
#include "relay/conf_key.h"
#include "script/json.h"

struct conf_place { // where values go, and what they need
    struct arena *arena;
    const char *base; // for CONF_PATH
    void *object;     // struct conf or struct conf_listener
};

// False: `fault` says what the value is and what it must be.
must_use bool conf_value_read(const struct conf_place *place, const struct conf_key *key,
                              const struct json *value, struct err *fault);
void conf_value_unset(const struct conf_place *place,
                      const struct conf_key *key); // its default, where the row has one
bool conf_value_same(const struct conf_key *key, const void *a,
                     const void *b); // of two objects; not for CONF_LISTENERS
