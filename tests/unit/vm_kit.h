// SPDX-License-Identifier: MIT
// vm_kit: for tests of script rooms: runs a piece of Lua under a budget.
#pragma once

#include "script/lua.h"
#include "script/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct clock kit_clock = {.frozen_ms = 1763821804678};
static struct log kit_log = {.fd = -1};

struct kit {
    struct vm *vm;
    struct vm_budget budget;
    struct vm_fault fault;
    char result[4096]; // tostring of the first result
};

static inline void kit_open(struct kit *k, uint64_t memory, int64_t steps) {
    memset(k, 0, sizeof *k);
    struct err err = {0};
    k->vm = vm_new(&(struct vm_options){.memory_max = memory, .clock = &kit_clock, .log = &kit_log}, &err);
    if (!k->vm) fail_msg("%s", err.text);
    vm_budget_init(&k->budget, steps);
}

static inline void kit_close(struct kit *k) {
    buf_release(&k->fault.trace);
    vm_free(&k->vm);
}

static inline int kit_load(lua_State *l) {
    const char *text = lua_touserdata(l, 1);
    if (luaL_loadbufferx(l, text, strlen(text), "@policy.lua", "t") != LUA_OK) return lua_error(l);
    lua_call(l, 0, 1);
    luaL_tolstring(l, -1, NULL);
    return 1;
}

static inline enum vm_end kit_run(struct kit *k, const char *text) {
    lua_State *co = vm_take(k->vm);
    assert_non_null(co);
    lua_pushcfunction(co, kit_load);
    lua_pushlightuserdata(co, (void *)text);
    buf_release(&k->fault.trace);
    memset(&k->fault, 0, sizeof k->fault);
    enum vm_end end = vm_resume(k->vm, co, 1, &k->budget, &k->fault);
    if (end == VM_DONE) snprintf(k->result, sizeof k->result, "%s", lua_tostring(co, -1));
    vm_give(k->vm, co, end == VM_DONE);
    return end;
}
