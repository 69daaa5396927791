// SPDX-License-Identifier: MIT
// The table `clock`: now.
#include "policy/wall.h"

static int now(lua_State *l) {
    lua_pushnumber(l, (double)vm_now(vm_of(l)) / 1000);
    return 1;
}

int open_clock(lua_State *l) {
    static const luaL_Reg functions[] = {{"now", now}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
