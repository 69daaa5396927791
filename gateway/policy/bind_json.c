// SPDX-License-Identifier: MIT
// The table `json`: encode, decode, list, null.
#include "policy/wall.h"
#include "script/marshal.h"

enum { TEXT_MAX = 4 << 20 };

static int encode(lua_State *l) {
    luaL_checkany(l, 1);
    struct buf *out = &generation_of(l)->scratch;
    struct err err = {{0}};
    buf_reset(out);
    if (!marshal_write(l, 1, out, &err)) return luaL_error(l, "json.encode: %s", err.text);
    lua_pushlstring(l, out->at, out->len);
    return 1;
}

// The value; or nil and words: what was decoded came from elsewhere, so a fault in it is no fault of the script.
static int decode(lua_State *l) {
    struct bytes text;
    text.at = luaL_checklstring(l, 1, &text.len);
    luaL_argcheck(l, text.len <= TEXT_MAX, 1, "text too long");
    vm_charge(l, text.len / 4);
    struct err err = {{0}};
    if (marshal_push(l, text, &err)) return 1;
    lua_pushnil(l);
    lua_pushstring(l, err.text);
    return 2;
}

static int list(lua_State *l) {
    if (lua_isnoneornil(l, 1)) {
        lua_settop(l, 0);
        lua_newtable(l);
    }
    luaL_checktype(l, 1, LUA_TTABLE);
    lua_settop(l, 1);
    if (lua_getmetatable(l, 1)) return luaL_error(l, "json.list: a table without a metatable is expected");
    marshal_mark_list(l);
    return 1;
}

int open_json(lua_State *l) {
    static const luaL_Reg functions[] = {
        {"encode", encode}, {"decode", decode}, {"list", list}, {NULL, NULL}};
    luaL_newlib(l, functions);
    marshal_push_null(l);
    lua_setfield(l, -2, "null");
    return 1;
}
