// SPDX-License-Identifier: MIT
// The table `coroutine`: create, wrap, resume, yield, status, isyieldable.
#include "script/sandbox.h"

#include "script/lua.h"

static lua_State *check_coroutine(lua_State *l) {
    lua_State *co = lua_tothread(l, 1);
    luaL_argexpected(l, co, 1, "coroutine");
    return co;
}

static int go_on(lua_State *l, lua_State *co, int arguments, bool wrapped);
static int after_wait(lua_State *l, int status, intptr_t context) {
    (void)status;
    bool wrapped = context;
    lua_State *co = lua_tothread(l, wrapped ? lua_upvalueindex(1) : 1);
    return go_on(l, co, 0, wrapped); // what it waited for is with its own continuation
}

static int failed(lua_State *l, lua_State *co, bool wrapped) {
    lua_xmove(co, l, 1);
    if (wrapped) {
        if (lua_type(l, -1) == LUA_TSTRING) {
            luaL_where(l, 1);
            lua_insert(l, -2);
            lua_concat(l, 2);
        }
        return lua_error(l);
    }
    lua_pushboolean(l, 0);
    lua_insert(l, -2);
    return 2;
}

static int go_on(lua_State *l, lua_State *co, int arguments, bool wrapped) {
    struct vm *vm = vm_of(l);
    int results = 0;
    int status = lua_resume(co, l, arguments, &results);
    if (vm_is_dead(l)) return vm_raise_dead(l);
    if (status == LUA_ERRMEM) vm_kill_memory(l);
    if (status == LUA_YIELD && vm_is_waiting(vm)) {
        // The run as a whole waits; when it goes on, so does this coroutine.
        if (lua_isyieldable(l)) return lua_yieldk(l, 0, wrapped, after_wait);
        vm_forget_wait(vm);
        return luaL_error(
            l, "a coroutine that waits cannot be resumed in a callback of table.sort or string.gsub");
    }
    if (status != LUA_OK && status != LUA_YIELD) return failed(l, co, wrapped);
    if (!lua_checkstack(l, results + 1)) {
        lua_pop(co, results);
        return luaL_error(l, "too many results to resume");
    }
    if (!wrapped) lua_pushboolean(l, 1);
    lua_xmove(co, l, results);
    return results + !wrapped;
}

static const char *obstacle(lua_State *l, lua_State *co) {
    if (co == l) return "cannot resume non-suspended coroutine";
    if (lua_status(co) > LUA_YIELD || (lua_status(co) == LUA_OK && lua_gettop(co) == 0))
        return "cannot resume dead coroutine";
    return NULL;
}

static int start(lua_State *l, lua_State *co, int arguments, bool wrapped) {
    const char *why_not = obstacle(l, co);
    if (why_not) {
        if (wrapped) return luaL_error(l, "%s", why_not);
        lua_pushboolean(l, 0);
        lua_pushstring(l, why_not);
        return 2;
    }
    if (!lua_checkstack(co, arguments)) return luaL_error(l, "too many arguments to resume");
    lua_xmove(l, co, arguments);
    return go_on(l, co, arguments, wrapped);
}

static int co_resume(lua_State *l) {
    lua_State *co = check_coroutine(l);
    return start(l, co, lua_gettop(l) - 1, false);
}

static int wrapper(lua_State *l) {
    return start(l, lua_tothread(l, lua_upvalueindex(1)), lua_gettop(l), true);
}

static int co_create(lua_State *l) {
    luaL_checktype(l, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(l); // with our hook
    lua_pushvalue(l, 1);
    lua_xmove(l, co, 1);
    return 1;
}

static int co_wrap(lua_State *l) {
    co_create(l);
    lua_pushcclosure(l, wrapper, 1);
    return 1;
}

static int co_yield (lua_State *l) {
    if (l == vm_base(vm_of(l))) return luaL_error(l, "coroutine.yield: not in a coroutine");
    return lua_yield(l, lua_gettop(l));
}

static int co_isyieldable(lua_State *l) {
    lua_pushboolean(l, l != vm_base(vm_of(l)) && lua_isyieldable(l));
    return 1;
}

static int co_status(lua_State *l) {
    lua_State *co = check_coroutine(l);
    lua_Debug ar;
    const char *status = "dead";
    if (co == l)
        status = "running";
    else if (lua_status(co) == LUA_YIELD)
        status = "suspended";
    else if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar))
        status = "normal";
    else if (lua_status(co) == LUA_OK && lua_gettop(co) > 0)
        status = "suspended";
    lua_pushstring(l, status);
    return 1;
}

int sandbox_open_coroutine(lua_State *l) {
    static const luaL_Reg functions[] = {{"create", co_create}, {"wrap", co_wrap},
                                         {"resume", co_resume}, {"yield", co_yield },
                                         {"status", co_status}, {"isyieldable", co_isyieldable},
                                         {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
