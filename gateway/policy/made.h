// SPDX-License-Identifier: MIT
// made: what the constructors of answers, plans and verdicts make. One typed row for each field, one check for all.
//
// A constructor takes one table of named fields, or arguments in the order of its rows, and gives the script an
// opaque value: checked, and unchangeable from then on. It remembers the script's line that made it. An unknown, missing
// or ill-typed field is an error in words:
//
//     policy.lua:41: route.send: unknown field 'conections' (did you mean 'connections'?)
//
// The wall reads made values by row number. All functions run where a Lua error is caught.
#pragma once

#include "base/bytes.h"
#include "script/vm.h"
#include "smtp/reply.h"

enum made_kind {
    MADE_TEXT,    // UTF-8 without control characters; not empty; of 2,000 bytes at the most, or `max`
    MADE_BYTES,   // any text, of any length, even empty
    MADE_TEXTS,   // one text or a list, which its reader checks
    MADE_INT,     // min..max
    MADE_BOOL,
    MADE_SECONDS, // a number, or words: "90s", "1h30m"; min..max
    MADE_CHOICE,  // one of `choices`
    MADE_REPLY,   // "550 5.7.1 words"; the first digit is one of `choices`' single text: "45"
    MADE_MADE,    // another made value, of one of `groups`
    MADE_LIST,    // a list of made values, min..max of them, each of one of `groups`
    MADE_HANDLE,  // a userdata whose metatable is named `handle`
    MADE_INNER,   // a table with fields of its own: `inner`
    MADE_DATA,    // a table of JSON's kinds
    MADE_TABLE,   // any table: its reader checks it
    MADE_ANY,     // any value but nil: its reader checks it
};

enum made_group { MADE_ANSWER = 1, MADE_PLAN = 2, MADE_VIA = 4, MADE_VERDICT = 8, MADE_LIMIT = 16, MADE_KEEP = 32 };

struct made_row {
    const char *name; // NULL ends the rows
    enum made_kind kind;
    bool required;
    double min, max;
    const char *const *choices; // NULL-terminated
    unsigned groups;
    const char *handle;
    const struct made_shape *inner;
};

struct made_shape {
    const char *name; // "route.send"
    enum made_group group;
    bool positional; // called with arguments in the rows' order; with one table of named fields too, where the first is no table
    const struct made_row *rows;
    void (*check)(lua_State *l, int i); // of the value as a whole, may be NULL; refuses with made_refuse
};

void made_open(lua_State *l); // once for each state
void made_push_constructor(lua_State *l, const struct made_shape *shape); // the shape must outlive the state
// For a constructor of another kind (identity.define): checks the table at `i`, and pushes what it made of it.
void made_check(lua_State *l, const struct made_shape *shape, int i);

// Raises "policy.lua:41: route.send: " and the words, for the value at `i`; does not return.
int made_refuse(lua_State *l, int i, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));

const struct made_shape *made_shape_at(lua_State *l, int i); // NULL: not a made value
const char *made_where(lua_State *l, int i);                 // "policy.lua:41"; as long as the value

// Fields of the made value at `i`. Absent: "" / the default / false. Texts are good as long as the value.
struct bytes made_text(lua_State *l, int i, int row);
int64_t made_int(lua_State *l, int i, int row, int64_t otherwise); // also of seconds, and of a choice its index
bool made_bool(lua_State *l, int i, int row);
struct reply made_reply(lua_State *l, int i, int row); // code 0: absent
bool made_has(lua_State *l, int i, int row);
bool made_push(lua_State *l, int i, int row); // pushes the value; false: absent, nothing is pushed
