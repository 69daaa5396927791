// SPDX-License-Identifier: MIT
// The table `network`: of, which makes a function that says whether an address is in one of some networks.
#include "net/addr.h"
#include "policy/wall.h"

enum { NETWORKS_MAX = 10000, COST = 4 }; // networks looked at for a step

struct networks {
    size_t count;
    struct network at[];
};

static int inside(lua_State *l) {
    const struct networks *n = lua_touserdata(l, lua_upvalueindex(1));
    struct bytes text;
    struct addr a;
    struct err err;
    text.at = luaL_checklstring(l, 1, &text.len);
    vm_charge(l, 5 + n->count / COST);
    bool found = false;
    if (addr_parse(text, &a, &err))
        for (size_t i = 0; i < n->count && !found; i++) found = network_has(&n->at[i], &a);
    lua_pushboolean(l, found);
    return 1;
}

// network.of{ "10.0.0.0/8", "fd00::/8" } or network.of(text): a function of an address
static int of(lua_State *l) {
    if (lua_type(l, 1) == LUA_TSTRING) {
        lua_createtable(l, 1, 0);
        lua_pushvalue(l, 1);
        lua_rawseti(l, -2, 1);
        lua_replace(l, 1);
    }
    luaL_checktype(l, 1, LUA_TTABLE);
    size_t count = lua_rawlen(l, 1);
    luaL_argcheck(l, count >= 1 && count <= NETWORKS_MAX, 1, "1 to 10000 networks are possible");
    vm_charge(l, count);
    struct networks *n = lua_newuserdatauv(l, sizeof *n + count * sizeof *n->at, 0);
    n->count = count;
    for (size_t i = 0; i < count; i++) {
        struct err err;
        struct bytes text;
        if (lua_rawgeti(l, 1, (lua_Integer)i + 1) != LUA_TSTRING) return luaL_error(l, "network.of: number %d is no text", (int)i + 1);
        text.at = lua_tolstring(l, -1, &text.len);
        if (!network_parse(text, &n->at[i], &err)) return luaL_error(l, "network.of: %s", err.text);
        lua_pop(l, 1);
    }
    lua_pushcclosure(l, inside, 1);
    return 1;
}

int open_network(lua_State *l) {
    static const luaL_Reg functions[] = {{"of", of}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
