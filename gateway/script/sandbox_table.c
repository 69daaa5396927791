// SPDX-License-Identifier: MIT
// The table `table`: Lua's functions behind a look at what they are given. They are loops in C: the budget does not see
// them, and with an __index of the script's choice they would not end.
#include "script/sandbox.h"

#include "script/frozen.h"
#include "script/lua.h"

static void check_plain(lua_State *l, int i, const char *who) {
    if (frozen_is(l, i)) luaL_error(l, "table.%s: this table is read-only", who);
    luaL_checktype(l, i, LUA_TTABLE);
    static const char *const fields[] = {"__index", "__newindex", "__len"};
    for (int f = 0; f < 3; f++)
        if (luaL_getmetafield(l, i, fields[f]) != LUA_TNIL)
            luaL_error(l, "table.%s: a table with %s is not possible here", who, fields[f]);
}

static int call_original(lua_State *l) {
    lua_pushvalue(l, lua_upvalueindex(1));
    lua_insert(l, 1);
    lua_call(l, lua_gettop(l) - 1, LUA_MULTRET);
    return lua_gettop(l);
}

// Reads only: a read-only table is as good as its content.
static void thaw(lua_State *l, const char *who) {
    if (frozen_is(l, 1)) {
        frozen_push_content(l, 1);
        lua_replace(l, 1);
    }
    check_plain(l, 1, who);
}

static uint64_t span(lua_State *l, int first, int last) {
    lua_Integer from = luaL_optinteger(l, first, 1);
    lua_Integer to = luaL_optinteger(l, last, (lua_Integer)lua_rawlen(l, 1));
    return from > to ? 0 : (uint64_t)to - (uint64_t)from + 1;
}

static int table_concat(lua_State *l) {
    thaw(l, "concat");
    vm_charge(l, span(l, 3, 4)); // absurd spans end here; real ones pay for memory as they grow
    return call_original(l);
}

static int table_unpack(lua_State *l) {
    thaw(l, "unpack");
    vm_charge(l, span(l, 2, 3));
    return call_original(l);
}

static int table_insert(lua_State *l) {
    check_plain(l, 1, "insert");
    if (lua_gettop(l) > 2) vm_charge(l, lua_rawlen(l, 1) / 4);
    return call_original(l);
}

static int table_remove(lua_State *l) {
    check_plain(l, 1, "remove");
    if (lua_gettop(l) > 1) vm_charge(l, lua_rawlen(l, 1) / 4);
    return call_original(l);
}

static int table_move(lua_State *l) {
    check_plain(l, 1, "move");
    if (!lua_isnoneornil(l, 5)) check_plain(l, 5, "move");
    vm_charge(l, span(l, 2, 3));
    return call_original(l);
}

static int table_sort(lua_State *l) {
    check_plain(l, 1, "sort");
    uint64_t n = lua_rawlen(l, 1), work = n;
    for (uint64_t rest = n; rest > 1; rest /= 2)
        work += n;
    vm_charge(l, work / 2);
    return call_original(l);
}

int sandbox_open_table(lua_State *l) {
    static const luaL_Reg own[] = {{"concat", table_concat},
                                   {"unpack", table_unpack},
                                   {"insert", table_insert},
                                   {"remove", table_remove},
                                   {"move", table_move},
                                   {"sort", table_sort},
                                   {NULL, NULL}};
    luaopen_table(l);
    for (const luaL_Reg *f = own; f->name; f++) {
        lua_getfield(l, -1, f->name);
        lua_pushcclosure(l, f->func, 1);
        lua_setfield(l, -2, f->name);
    }
    return 1;
}
