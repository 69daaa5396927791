// SPDX-License-Identifier: MIT
#include "script/frozen.h"

#include "script/lua.h"

static const char kind[] = "read-only table";

// The value at the top, as a script may have it. Parts are wrapped anew each time: cheaper than to keep them all.
static void wrap(lua_State *l) {
    if (lua_istable(l, -1)) frozen_push(l);
}

static int get(lua_State *l) {
    lua_getiuservalue(l, 1, 1);
    lua_pushvalue(l, 2);
    lua_rawget(l, -2);
    wrap(l);
    return 1;
}

static int set(lua_State *l) {
    return luaL_error(l, "facts are read-only");
}

static int length(lua_State *l) {
    lua_getiuservalue(l, 1, 1);
    lua_pushinteger(l, (lua_Integer)lua_rawlen(l, -1));
    return 1;
}

static int step(lua_State *l) {
    luaL_checkudata(l, 1, kind);
    lua_settop(l, 2);
    lua_getiuservalue(l, 1, 1);
    lua_insert(l, 2); // self, table, key
    if (!lua_next(l, 2)) return 0;
    wrap(l);
    return 2;
}

static int walk(lua_State *l) {
    lua_pushcfunction(l, step);
    lua_pushvalue(l, 1);
    return 2;
}

void frozen_open(lua_State *l) {
    static const luaL_Reg meta[] = {
        {"__index", get}, {"__newindex", set}, {"__len", length}, {"__pairs", walk}, {NULL, NULL}};
    luaL_newmetatable(l, kind);
    luaL_setfuncs(l, meta, 0);
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_pop(l, 1);
}

void frozen_push(lua_State *l) {
    lua_newuserdatauv(l, 0, 1);
    lua_insert(l, -2);
    lua_setiuservalue(l, -2, 1);
    luaL_setmetatable(l, kind);
}

bool frozen_is(lua_State *l, int i) {
    return luaL_testudata(l, i, kind);
}

void frozen_push_content(lua_State *l, int i) {
    lua_getiuservalue(l, i, 1);
}
