// SPDX-License-Identifier: MIT
#include "policy/generation.h"

#include "base/bug.h"
#include "base/nearest.h"
#include "policy/lookup.h"
#include "policy/made.h"
#include "policy/wall.h"
#include "script/sandbox.h"

#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

const char *const hook_name[HOOKS + 1] = {[HOOK_CONNECT] = "connect", [HOOK_AUTHENTICATE] = "authenticate",
                                          [HOOK_SENDER] = "sender",   [HOOK_RECIPIENT] = "recipient",
                                          [HOOK_MESSAGE] = "message", [HOOK_ROUTE] = "route",
                                          [HOOK_RETRY] = "retry",     [HOOK_SETTLE] = "settle"};

static const char loaded[] = "modules by file"; // registry

// Modules written in C. Those without a dot are globals too.
static const luaL_Reg modules[] = {
    {"clock", open_clock},
    {"crypto", open_crypto},
    {"dns", open_dns},
    {"http", open_http},
    {"json", open_json},
    {"limit", open_limit},
    {"log", open_log},
    {"network", open_network},
    {"re", open_re},
    {"shelf", open_shelf},
    {"core.answer", open_answer},
    {"core.describe", open_describe},
    {"core.identity", open_identity},
    {"core.note", open_note},
    {"core.retry", open_retry},
    {"core.route", open_route},   {"core.suppression", open_suppression},
    {NULL, NULL},
};

struct generation *generation_of(lua_State *l) {
    return vm_owner(vm_of(l));
}

// ---- require

static bool find_file(struct generation *g, const char *module, char file[128], struct bytes *text) {
    static const char prefix[] = "stdlib.";
    bool shipped = strncmp(module, prefix, strlen(prefix)) == 0;
    char path[100];
    snprintf(path, sizeof path, "%s", shipped ? module + strlen(prefix) : module);
    for (char *c = path; *c; c++)
        if (*c == '.') *c = '/';
    snprintf(file, 128, "%s.lua", path);
    if (!shipped && bundle_find(g->bundle, file, text)) return true;
    snprintf(file, 128, "stdlib/%s.lua", path);
    return bundle_find(g->bundle, file, text);
}

static bool is_module_name(const char *name) {
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-./", *c)) return false;
    return *name && strlen(name) < 90;
}

// Runs a file of the bundle and leaves what it returned, once for each file.
static void run_file(lua_State *l, const char *file, struct bytes text) {
    luaL_getsubtable(l, LUA_REGISTRYINDEX, loaded);
    int type = lua_getfield(l, -1, file);
    if (type == LUA_TBOOLEAN) luaL_error(l, "require: %s requires itself, by way of others", file);
    if (type != LUA_TNIL) {
        lua_remove(l, -2);
        return;
    }
    lua_pop(l, 1);
    lua_pushboolean(l, 0); // being loaded
    lua_setfield(l, -2, file);
    char chunk[160];
    snprintf(chunk, sizeof chunk, "@%s", file);
    vm_charge(l, text.len);
    if (bytes_starts(text, BYTES("\xef\xbb\xbf")))
        text = bytes_skip(text, 3); // some editors begin with a mark
    if (bytes_starts(text, BYTES("\033"))) luaL_error(l, "%s: a binary chunk; scripts are text", file);
    if (luaL_loadbufferx(l, text.at, text.len, chunk, "t") != LUA_OK) lua_error(l);
    lua_call(l, 0, 1);
    if (lua_isnil(l, -1) || lua_isboolean(l, -1))
        luaL_error(l, "%s: the file returns nothing; end it with 'return' and the name of its table", file);
    lua_pushvalue(l, -1);
    lua_setfield(l, -3, file);
    lua_remove(l, -2);
}

static int require(lua_State *l) {
    const char *name = luaL_checkstring(l, 1);
    char file[128];
    struct bytes text;
    if (!is_module_name(name)) return luaL_error(l, "require: '%s' is no module name", name);
    if (find_file(generation_of(l), name, file, &text)) {
        run_file(l, file, text);
        return 1;
    }
    luaL_getsubtable(l, LUA_REGISTRYINDEX, loaded);
    if (lua_getfield(l, -1, name) != LUA_TNIL) return 1; // in C
    const char *path = luaL_gsub(l, name, ".", "/");
    return luaL_error(l, "require: there is no module '%s' (no %s.lua in the scripts folder, none in stdlib)", name, path);
}

// ---- loading

void module_add(lua_State *l, const char *name, int (*open)(lua_State *l)) {
    luaL_getsubtable(l, LUA_REGISTRYINDEX, loaded);
    open(l);
    if (!strchr(name, '.')) {
        lua_pushvalue(l, -1);
        sandbox_set_global(l, name);
    }
    sandbox_lock(l);
    lua_setfield(l, -2, name);
    lua_pop(l, 1);
}

static void open_modules(lua_State *l) {
    for (const luaL_Reg *m = modules; m->name; m++)
        module_add(l, m->name, m->func);
    lookup_open(l);
    lua_rawgeti(l, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushliteral(l, "require");
    lua_pushcfunction(l, require);
    lua_rawset(l, -3);
    lua_pop(l, 1);
}

static int find_hook(lua_State *l, const char *name) {
    struct nearest near = nearest_to(bytes_of(name));
    for (int h = 0; h < HOOKS; h++) {
        if (strcmp(hook_name[h], name) == 0) return h;
        nearest_offer(&near, hook_name[h]);
    }
    if (near.name)
        return luaL_error(l, "policy.lua: there is no hook '%s' (did you mean '%s'?)", name, near.name);
    return luaL_error(l, "policy.lua: there is no hook '%s'", name);
}

// The table that policy.lua returned is at the top.
static void take_hooks(lua_State *l, struct generation *g) {
    if (!lua_istable(l, -1))
        luaL_error(l, "policy.lua: returns a %s; a table of hooks is expected", luaL_typename(l, -1));
    for (lua_pushnil(l); lua_next(l, -2);) {
        if (lua_type(l, -2) != LUA_TSTRING)
            luaL_error(l, "policy.lua: hooks have names: return { route = route, ... }");
        int hook = find_hook(l, lua_tostring(l, -2));
        if (!lua_isfunction(l, -1))
            luaL_error(l, "policy.lua: hook '%s' is a %s; a function is expected", hook_name[hook],
                       luaL_typename(l, -1));
        g->hooks[hook] = luaL_ref(l, LUA_REGISTRYINDEX);
        g->defined[hook] = true;
    }
}

static void take_default_retry(lua_State *l, struct generation *g) {
    char file[128];
    struct bytes text;
    if (!find_file(g, "stdlib.retry", file, &text)) luaL_error(l, "stdlib/retry.lua is not there");
    run_file(l, file, text);
    if (!lua_istable(l, -1) || lua_getfield(l, -1, "default") != LUA_TFUNCTION)
        luaL_error(l, "stdlib/retry.lua: has no function 'default'");
    g->hooks[HOOK_RETRY] = luaL_ref(l, LUA_REGISTRYINDEX);
}

static int load_all(lua_State *l) {
    struct generation *g = lua_touserdata(l, 1);
    made_open(l);
    facts_open(l);
    open_modules(l);
    struct bytes text;
    bool there = bundle_find(g->bundle, "policy.lua", &text);
    bug_if(!there);
    run_file(l, "policy.lua", text);
    take_hooks(l, g);
    if (!g->defined[HOOK_RETRY]) take_default_retry(l, g);
    return 0;
}

bool generation_load(struct generation *g, int (*work)(lua_State *l), void *arg, struct vm_fault *fault) {
    *fault = (struct vm_fault){.first = ""};
    lua_State *co = vm_take(g->vm);
    if (!co) {
        snprintf(fault->first, sizeof fault->first, "scripts: no memory to start with");
        return false;
    }
    struct vm_budget budget;
    vm_budget_init(&budget, g->options.load_steps_max);
    lua_pushcfunction(co, work);
    lua_pushlightuserdata(co, arg);
    g->loading = true;
    enum vm_end end = vm_resume(g->vm, co, 1, &budget, fault);
    g->loading = false;
    bug_if(end == VM_WAITING); // what waits needs a ticket
    vm_give(g->vm, co, end == VM_DONE);
    return end == VM_DONE;
}

static bool load(struct generation *g, struct err *err) {
    struct vm_fault fault;
    bool good = generation_load(g, load_all, g, &fault);
    buf_release(&fault.trace);
    return good || err_set(err, "%s", fault.first);
}

// ---- life

static const char *keep(struct generation *g, const char *text, const char *otherwise) {
    return arena_z(&g->arena, bytes_of(text ? text : otherwise));
}

static void tell_all(struct task *task);

struct generation *generation_new(struct bundle *b, const struct generation_options *options,
                                  struct err *err) {
    struct generation *g = must_alloc(sizeof *g);
    g->refs = 1;
    g->bundle = bundle_ref(b);
    g->options = *options;
    if (!g->options.memory_max) g->options.memory_max = 64 << 20;
    if (!g->options.steps_max) g->options.steps_max = 5 * 1000 * 1000;
    if (!g->options.time_max_ms) g->options.time_max_ms = 30 * 1000;
    if (!g->options.load_steps_max) g->options.load_steps_max = 100 * 1000 * 1000;
    g->options.key_dir = keep(g, options->key_dir, ".");
    g->options.hostname = keep(g, options->hostname, "");
    g->options.http_hosts = keep(g, options->http_hosts, "");
    g->done_end = &g->done;
    g->watched_end = &g->watched;
    g->task.run = tell_all;
    for (int h = 0; h < HOOKS; h++)
        g->hooks[h] = LUA_NOREF;
    g->hooks[HOOK_DESCRIBE] = LUA_REFNIL; // describe_push knows
    const struct witness *witness = options->witness;
    g->vm = vm_new(&(struct vm_options){.memory_max = g->options.memory_max,
                                        .owner = g,
                                        .clock = options->clock,
                                        .log = options->log,
                                        .on_line = witness ? witness->on_line : NULL,
                                        .on_line_arg = witness ? witness->arg : NULL},
                   err);
    if (!g->vm || !load(g, err)) generation_free(&g);
    return g;
}

struct generation *generation_ref(struct generation *g) {
    g->refs++;
    return g;
}

void generation_free(struct generation **g) {
    struct generation *gone = *g;
    *g = NULL;
    if (!gone || --gone->refs > 0) return;
    vm_free(&gone->vm);
    for (struct hook_ticket *t = gone->idle, *next; t; t = next) {
        next = t->next;
        ticket_release_memory(t);
    }
    bundle_free(&gone->bundle);
    buf_release(&gone->scratch);
    buf_release(&gone->scratch_answer);
    buf_release(&gone->identities);
    arena_release(&gone->arena);
    free(gone);
}

void generation_path(const struct generation *g, const char *file, char path[]) {
    bool whole = *file == '/';
    snprintf(path, PATH_MAX, "%s%s%s", whole ? "" : g->options.key_dir, whole ? "" : "/", file);
}

void generation_try(struct generation *g) {
    g->on_trial = true;
}
bool generation_is_on_trial(const struct generation *g) {
    return g->on_trial;
}

const char *generation_version(const struct generation *g) {
    return bundle_version(g->bundle);
}

struct bytes generation_identities(const struct generation *g) {
    return buf_bytes(&g->identities);
}

void generation_get_stats(const struct generation *g, struct generation_stats *out) {
    *out = g->stats;
    out->memory = vm_memory(g->vm);
}

bool hook_is_defined(const struct generation *g, const char *name) {
    for (int h = 0; h < HOOKS; h++)
        if (strcmp(hook_name[h], name) == 0) return g->defined[h];
    return false;
}

static void tell_all(struct task *task) {
    struct generation *g = (struct generation *)((char *)task - offsetof(struct generation, task));
    g->posted = false;
    tickets_tell(g);
    generation_free(&g);
}

void generation_post(struct generation *g) {
    if (g->posted) return;
    g->posted = true;
    generation_ref(g);
    loop_post(g->options.loop, &g->task);
}
