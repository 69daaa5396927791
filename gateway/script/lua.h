// SPDX-License-Identifier: MIT
// lua: the door through which Lua's headers come in. [Lua 5.4]
//
// For this folder, and for the rooms of policy/ that show a table to scripts (bind_*) or read one. Whatever may raise
// a Lua error runs below vm_resume or vm_protect: outside of them an error would end the process.
#pragma once

#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>
