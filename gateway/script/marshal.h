// SPDX-License-Identifier: MIT
// marshal: Lua values to JSON text and back. Integers stay integers, lists stay lists, null is a value.
//
// A table is a list when its keys are 1..n, or when it came from a JSON list (or json.list made it) and is empty; a
// map when its keys are all texts. Anything else, and what JSON has no word for (functions, NaN, bytes that are not
// UTF-8, a table within itself), is an error that names the place: "tags.x[2]: a function has no JSON form".
// Names are sorted, so equal values give equal text.
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "script/vm.h"

enum { MARSHAL_DEPTH = 32 };

void marshal_open(lua_State *l);                    // once for each state
bool marshal_push(lua_State *l, struct bytes text, struct err *err); // pushes one value; false: nothing is pushed
bool marshal_write(lua_State *l, int i, struct buf *out, struct err *err);
void marshal_push_null(lua_State *l);               // json.null
void marshal_mark_list(lua_State *l);               // the table at the top is a list, even when empty
