// SPDX-License-Identifier: MIT
// core.describe: what the shipped library can tell an operator of what the policy has made with it. For the library only.
#include "policy/wall.h"

#include "script/marshal.h"

static const char describers[] = "describers by kind"; // registry

enum { TOLD_MAX = 16 << 20 };

// loading(): only what is made then lasts, and is worth keeping a list of.
static int is_loading(lua_State *l) {
    lua_pushboolean(l, generation_of(l)->loading);
    return 1;
}

// add(kind, function(question)): the function returns a list of plain tables. Of what is loaded late, in a hook, nothing is told.
static int add(lua_State *l) {
    luaL_checkstring(l, 1);
    luaL_checktype(l, 2, LUA_TFUNCTION);
    lua_settop(l, 2);
    if (!generation_of(l)->loading) return 0;
    luaL_getsubtable(l, LUA_REGISTRYINDEX, describers);
    lua_insert(l, 1);
    lua_rawset(l, 1);
    return 0;
}

bool describe_push(lua_State *l, struct hook_ticket *t) {
    struct err err;
    luaL_getsubtable(l, LUA_REGISTRYINDEX, describers);
    lua_pushlstring(l, t->facts.described.at, t->facts.described.len);
    bool there = lua_rawget(l, -2) == LUA_TFUNCTION;
    lua_remove(l, -2);
    if (!there) lua_pop(l, 1);
    if (there && !marshal_push(l, t->facts.event, &err)) luaL_error(l, "%s", err.text);
    return there;
}

void describe_read(lua_State *l, struct hook_ticket *t) {
    struct err err = {{0}};
    struct buf *out = &t->g->scratch;
    buf_reset(out);
    if (!lua_istable(l, -1)) luaL_error(l, "a list is expected, not a %s", luaL_typename(l, -1));
    if (!marshal_write(l, -1, out, &err)) luaL_error(l, "%s", err.text);
    if (out->len > TOLD_MAX) luaL_error(l, "too much to tell");
    t->told = arena_copy(&t->arena, buf_bytes(out));
    if (bytes_equal(t->told, BYTES("{}"))) t->told = BYTES("[]");
}

int open_describe(lua_State *l) {
    static const luaL_Reg functions[] = {{"add", add}, {"loading", is_loading}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
