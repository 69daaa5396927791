// SPDX-License-Identifier: MIT
#include "script/sandbox.h"

#include "script/frozen.h"
#include "script/lua.h"
#include "script/marshal.h"

// ---- protected calls: never swallow the end of the run

static int after_pcall(lua_State *l, int status, intptr_t context) {
    (void)context;
    if (vm_is_dead(l)) return vm_raise_dead(l);
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(l); // true is at the bottom
    lua_pushboolean(l, 0);
    lua_insert(l, -2);
    return 2;
}

// Out of memory is the end of a run too: going on would only mean one full collection after the other.
static void mind_memory(lua_State *l, int status) {
    if (status == LUA_ERRMEM) vm_kill_memory(l);
}

static int safe_pcall(lua_State *l) {
    luaL_checkany(l, 1);
    lua_pushboolean(l, 1);
    lua_insert(l, 1);
    int status = lua_pcallk(l, lua_gettop(l) - 2, LUA_MULTRET, 0, 0, after_pcall);
    mind_memory(l, status);
    return after_pcall(l, status, 0);
}

// Stack: handler, true, function, arguments. Lua would run the handler where the error is; here the stack is unwound
// first, because a handler called from the budget's own error would run unwatched.
static int after_xpcall(lua_State *l, int status, intptr_t context) {
    (void)context;
    if (vm_is_dead(l)) return vm_raise_dead(l);
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(l) - 1;
    lua_pushvalue(l, 1);
    lua_insert(l, -2);
    status = lua_pcall(l, 1, 1, 0);
    mind_memory(l, status);
    if (vm_is_dead(l)) return vm_raise_dead(l);
    lua_pushboolean(l, 0);
    lua_insert(l, -2);
    return 2;
}

static int safe_xpcall(lua_State *l) {
    luaL_checktype(l, 2, LUA_TFUNCTION);
    lua_pushvalue(l, 2);
    lua_pushboolean(l, 1);
    lua_pushvalue(l, 1);
    lua_rotate(l, 3, 3); // function, handler, | handler, true, function | arguments
    lua_remove(l, 1);
    lua_remove(l, 1);
    int status = lua_pcallk(l, lua_gettop(l) - 3, LUA_MULTRET, 0, 0, after_xpcall);
    mind_memory(l, status);
    return after_xpcall(l, status, 0);
}

// ---- metatables, load

static int safe_setmetatable(lua_State *l) {
    luaL_checktype(l, 1, LUA_TTABLE);
    luaL_argexpected(l, lua_isnoneornil(l, 2) || lua_istable(l, 2), 2, "nil or table");
    static const char *const refused[] = {"__gc", "__close"};
    for (int i = 0; i < 2 && lua_istable(l, 2); i++) {
        lua_pushstring(l, refused[i]);
        if (lua_rawget(l, 2) != LUA_TNIL)
            return luaL_error(l, "setmetatable: %s is not available here", refused[i]);
        lua_pop(l, 1);
    }
    if (luaL_getmetafield(l, 1, "__metatable") != LUA_TNIL)
        return luaL_error(l, "setmetatable: this metatable is protected");
    lua_settop(l, 2);
    lua_setmetatable(l, 1);
    return 1;
}

static int safe_rawset(lua_State *l) {
    luaL_checktype(l, 1, LUA_TTABLE);
    luaL_checkany(l, 3);
    if (luaL_getmetafield(l, 1, "__metatable") != LUA_TNIL)
        return luaL_error(l, "rawset: this table is protected");
    lua_settop(l, 3);
    lua_rawset(l, 1);
    return 1;
}

// load(text [, name [, ignored mode [, environment]]])
static int safe_load(lua_State *l) {
    size_t len;
    const char *text = luaL_checklstring(l, 1, &len);
    const char *name =
        lua_pushfstring(l, "=%s", luaL_optstring(l, 2, "(load)")); // never the name of a file of ours
    lua_replace(l, 2);
    vm_charge(l, len);
    if (luaL_loadbufferx(l, text, len, name, "t") != LUA_OK) {
        if (vm_is_dead(l)) return vm_raise_dead(l);
        lua_pushnil(l);
        lua_insert(l, -2);
        return 2;
    }
    if (!lua_isnone(l, 4)) {
        lua_pushvalue(l, 4);
        if (!lua_setupvalue(l, -2, 1)) lua_pop(l, 1);
    }
    return 1;
}

// ---- time

static int os_time(lua_State *l) {
    if (lua_isnoneornil(l, 1)) {
        lua_pushinteger(l, vm_now(vm_of(l)) / 1000);
        return 1;
    }
    lua_pushvalue(l, lua_upvalueindex(1));
    lua_pushvalue(l, 1);
    lua_call(l, 1, 1);
    return 1;
}

static int os_date(lua_State *l) {
    lua_settop(l, 2);
    size_t len = 0;
    luaL_optlstring(l, 1, "", &len);
    luaL_argcheck(l, len <= 200, 1, "format too long");
    lua_pushvalue(l, lua_upvalueindex(1));
    if (lua_isnil(l, 1))
        lua_pushliteral(l, "%c");
    else
        lua_pushvalue(l, 1);
    if (lua_isnil(l, 2)) {
        lua_pushinteger(l, vm_now(vm_of(l)) / 1000);
    } else {
        lua_pushvalue(l, 2);
        if (lua_type(l, 2) == LUA_TNUMBER) { // times have a fraction here (clock.now), which Lua's own would not take
            lua_pushinteger(l, 1);
            lua_arith(l, LUA_OPIDIV);
        }
    }
    lua_call(l, 2, 1);
    return 1;
}

// ---- globals

static int no_new_global(lua_State *l) {
    const char *name = lua_type(l, 2) == LUA_TSTRING ? lua_tostring(l, 2) : "?";
    const char *kind = lua_isfunction(l, 3) ? "local function " : "local ";
    return luaL_error(l, "global '%s' cannot be set: scripts have no globals (write '%s%s')", name, kind,
                      name);
}

static int no_such_global(lua_State *l) {
    const char *name = lua_type(l, 2) == LUA_TSTRING ? lua_tostring(l, 2) : "?";
    static const char *const library[] = {"answer", "header", "identity", "pool",        "provider", "relays", "reply",
                                          "retry",  "route",  "shaping",  "suppression", "users",    "warmup", NULL};
    for (const char *const *m = library; *m; m++)
        if (strcmp(*m, name) == 0)
            return luaL_error(l, "global '%s' is not there (write 'local %s = require \"%s\"')", name, name,
                              name);
    static const char *const gone[] = {"io",       "debug",          "package", "dofile",
                                       "loadfile", "collectgarbage", "_G",      NULL};
    for (const char *const *g = gone; *g; g++)
        if (strcmp(*g, name) == 0) return luaL_error(l, "'%s' is not available to scripts", name);
    if (strcmp(name, "print") == 0)
        return luaL_error(l, "'print' is not available to scripts (use log.info)");
    return luaL_error(l, "global '%s' is not there (a missing 'local', or a slip in the name?)", name);
}

static int no_new_field(lua_State *l) {
    return luaL_error(l, "this table is not the script's to change");
}

void sandbox_lock(lua_State *l) {
    lua_newtable(l);
    lua_createtable(l, 0, 3);
    lua_rotate(l, -3, -1);
    lua_setfield(l, -2, "__index");
    lua_pushcfunction(l, no_new_field);
    lua_setfield(l, -2, "__newindex");
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_setmetatable(l, -2);
}

void sandbox_set_global(lua_State *l, const char *name) {
    sandbox_lock(l);
    lua_rawgeti(l, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_insert(l, -2);
    lua_pushstring(l, name);
    lua_insert(l, -2);
    lua_rawset(l, -3);
    lua_pop(l, 1);
}

static int charged(lua_State *l) {
    size_t work = 0;
    for (int i = lua_gettop(l); i > 0; i--)
        if (lua_type(l, i) == LUA_TSTRING) work += lua_rawlen(l, i);
    vm_charge(l, work / 32);
    lua_pushvalue(l, lua_upvalueindex(1));
    lua_insert(l, 1);
    lua_call(l, lua_gettop(l) - 1, LUA_MULTRET);
    return lua_gettop(l);
}

void sandbox_charge_texts(lua_State *l) {
    lua_pushcclosure(l, charged, 1);
}

// Copies the named functions of the table at the top into a new one, which takes its place.
static void keep_only(lua_State *l, const char *const *names, bool charge) {
    lua_newtable(l);
    for (; *names; names++) {
        lua_getfield(l, -2, *names);
        if (charge && lua_isfunction(l, -1)) sandbox_charge_texts(l);
        lua_setfield(l, -2, *names);
    }
    lua_remove(l, -2);
}

static void open_base(lua_State *l) {
    static const char *const kept[] = {"assert",   "error",    "getmetatable", "ipairs", "next",
                                       "pairs",    "rawequal", "rawget",       "rawlen", "select",
                                       "tostring", "type",     "_VERSION",     NULL};
    static const luaL_Reg own[] = {
        {"pcall", safe_pcall},   {"xpcall", safe_xpcall}, {"setmetatable", safe_setmetatable},
        {"rawset", safe_rawset}, {"load", safe_load},     {NULL, NULL}};
    luaL_requiref(l, "_G", luaopen_base, 0);
    lua_getfield(l, -1, "tonumber");
    sandbox_charge_texts(l);
    lua_insert(l, -2);
    keep_only(l, kept, false);
    luaL_setfuncs(l, own, 0);
    lua_insert(l, -2);
    lua_setfield(l, -2, "tonumber");
    lua_rawseti(l, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

static void open_os(lua_State *l) {
    static const char *const kept[] = {"clock", "difftime", NULL};
    luaopen_os(l);
    lua_getfield(l, -1, "time");
    lua_pushcclosure(l, os_time, 1);
    lua_getfield(l, -2, "date");
    lua_pushcclosure(l, os_date, 1);
    lua_rotate(l, -3, 2); // time, date, os
    keep_only(l, kept, false);
    lua_insert(l, -3); // os, time, date
    lua_setfield(l, -3, "date");
    lua_setfield(l, -2, "time");
    sandbox_set_global(l, "os");
}

int sandbox_open(lua_State *l) {
    static const char *const utf8_kept[] = {"char", "charpattern", "codepoint", "codes",
                                            "len",  "offset",      NULL};
    open_base(l);
    frozen_open(l);
    marshal_open(l);
    open_os(l);
    luaopen_math(l);
    sandbox_set_global(l, "math");
    luaopen_utf8(l);
    keep_only(l, utf8_kept, true);
    sandbox_set_global(l, "utf8");
    sandbox_open_coroutine(l);
    sandbox_set_global(l, "coroutine");
    sandbox_open_string(l);
    sandbox_set_global(l, "string");
    sandbox_open_table(l);
    sandbox_set_global(l, "table");
    lua_rawgeti(l, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_createtable(l, 0, 3);
    lua_pushcfunction(l, no_new_global);
    lua_setfield(l, -2, "__newindex");
    lua_pushcfunction(l, no_such_global);
    lua_setfield(l, -2, "__index");
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_setmetatable(l, -2);
    return 0;
}
