// SPDX-License-Identifier: MIT
// frozen: a table that a script can read and not change: what JSON facts become.
//
// For the script a userdata that behaves like a table: t.name, t[1], #t, pairs, ipairs; assignment raises. Tables
// within are frozen when they are looked at. table.concat, table.unpack and json.encode take it for its content.
#pragma once

#include "script/vm.h"

void frozen_open(lua_State *l);               // once for each state
void frozen_push(lua_State *l);               // the table at the top becomes a frozen one
bool frozen_is(lua_State *l, int i);
void frozen_push_content(lua_State *l, int i); // the table inside: not for scripts
