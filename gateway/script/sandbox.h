// SPDX-License-Identifier: MIT
// sandbox: what of Lua's own library a script gets, and how each way out of the budget is shut.
//
//   no           io, debug, package, dofile, loadfile, collectgarbage, string.dump/pack/unpack, coroutine.close/running,
//                os but time, date, clock, difftime; load takes text only
//   pcall, xpcall  raise again once the run is dead; xpcall's handler runs behind the error, not within it
//   setmetatable   refuses __gc (runs without hooks) and __close (so do closings after an error)
//   coroutine.*    a script's own coroutines share the budget, and pass on what waits (dns.*) to the run
//   string.*       patterns run on a matcher that counts (pattern.h); work on long texts is charged
//   table.*        plain tables only, charged by length
//   globals        may not be set, and reading one that is not there is an error that names it
//
// os.time() and os.date() tell the gateway's clock.
#pragma once

#include "script/vm.h"

int sandbox_open(lua_State *l); // for vm_protect: fills an empty state

// The parts, each leaves its table on the stack.
int sandbox_open_coroutine(lua_State *l);
int sandbox_open_string(lua_State *l);
int sandbox_open_table(lua_State *l);

// The table at the top becomes one that looks the same and cannot be changed.
void sandbox_lock(lua_State *l);
// Takes the table at the top, locks it and makes it the global `name` (modules of ours; scripts cannot).
void sandbox_set_global(lua_State *l, const char *name);
// For a gsub: what its function or table gave for `match` is at the top and goes into `out`; nil or false leaves the match as it was.
// `who` is for words.
struct luaL_Buffer;
void sandbox_add_replacement(lua_State *l, struct luaL_Buffer *out, struct bytes match, const char *who);
// A function at the top becomes one that first charges for the length of its text arguments.
void sandbox_charge_texts(lua_State *l);
