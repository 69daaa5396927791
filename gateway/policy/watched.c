// SPDX-License-Identifier: MIT
#include "policy/watched.h"

#include "policy/wall.h"

static const char table[] = "what scripts made while they loaded"; // registry: value -> struct watched, its keys weak

void watched_note(lua_State *l, int i, const char *kind, struct bytes name, const char *where) {
    struct generation *g = generation_of(l);
    if (!g->options.watch || !g->loading) return;
    struct watched *w = arena_alloc(&g->arena, sizeof *w);
    *w = (struct watched){.kind = kind, .name = arena_copy(&g->arena, name), .where = arena_z(&g->arena, bytes_of(where))};
    *g->watched_end = w;
    g->watched_end = &w->next;
    i = lua_absindex(l, i);
    luaL_checkstack(l, 5, NULL);
    if (!luaL_getsubtable(l, LUA_REGISTRYINDEX, table)) {
        lua_newtable(l);
        lua_pushliteral(l, "k");
        lua_setfield(l, -2, "__mode");
        lua_setmetatable(l, -2);
    }
    lua_pushvalue(l, i);
    lua_pushlightuserdata(l, w);
    lua_rawset(l, -3);
    lua_pop(l, 1);
}

const struct watched *generation_watched(struct generation *g) {
    if (!g->watched) return NULL;
    lua_State *l = vm_take(g->vm);
    lua_gc(l, LUA_GCCOLLECT); // twice: what has a finaliser is gone from the table one round later
    lua_gc(l, LUA_GCCOLLECT);
    luaL_getsubtable(l, LUA_REGISTRYINDEX, table);
    for (lua_pushnil(l); lua_next(l, -2); lua_pop(l, 1)) ((struct watched *)lua_touserdata(l, -1))->held = true;
    lua_pop(l, 1);
    vm_give(g->vm, l, true);
    return g->watched;
}
