// SPDX-License-Identifier: MIT
#include "script/vm.h"

#include "base/bug.h"
#include "script/lua.h"
#include "script/sandbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// Instructions between two looks at the budget: one instruction may allocate megabytes, so not many.
enum { HOOK_EVERY = 256, POOL = 64, REFUSED_MAX = 16, TRACE_LINES = 24 };

struct vm {
    lua_State *main;
    uint64_t used, memory_max;
    void *owner;
    const struct clock *clock;
    const struct log *log;
    void (*on_line)(void *arg, const char *file, int line);
    void *on_line_arg;
    struct vm_budget *budget; // of the run at hand, NULL between runs
    lua_State *base;          // its coroutine
    int64_t stretch_end_us;
    int64_t cpu_mark_us; // of the thread, when the stretch was over for the first time; 0 before
    void *run;
    int64_t now_ms; // 0: the clock's
    bool waiting;
    lua_State *pool[POOL];
    int pooled;
};

static const char kill_mark; // the error value of a killed run: needs no memory

void vm_budget_init(struct vm_budget *b, int64_t steps) {
    *b =
        (struct vm_budget){.steps_max = steps, .steps = steps, .bytes = INT64_C(1) << 30, .stretch_ms = 1000};
    if (steps > 100 * 1000 * 1000) {
        b->bytes *= 4;
        b->stretch_ms = 10000;
    }
}

// ---- dying

static void where_am_i(lua_State *l, int level, char *out, size_t size) {
    lua_Debug ar;
    out[0] = 0;
    for (; lua_getstack(l, level, &ar); level++) {
        lua_getinfo(l, "Sl", &ar);
        if (ar.currentline <= 0) continue;
        snprintf(out, size, "%s:%d: ", ar.short_src, ar.currentline);
        return;
    }
}

static void kill_run(struct vm *vm, lua_State *l, enum vm_kill kind) {
    struct vm_budget *b = vm->budget;
    if (b->killed) return;
    b->killed = kind;
    char where[80] = "";
    if (l) where_am_i(l, 0, where, sizeof where);
    if (kind == VM_STEPS)
        snprintf(b->why, sizeof b->why, "%sstopped: its budget of %" PRId64 " steps is used up", where,
                 b->steps_max);
    else if (kind == VM_TIME)
        snprintf(b->why, sizeof b->why, "%sstopped: it ran for more than %" PRId64 " ms at a stretch", where,
                 b->stretch_ms);
    else
        snprintf(b->why, sizeof b->why,
                 "%sstopped: out of memory (the ceiling of the scripts is %" PRIu64 " KiB)", where,
                 vm->memory_max / 1024);
}

bool vm_is_dead(lua_State *l) {
    const struct vm *vm = vm_of(l);
    return vm->budget && vm->budget->killed;
}

int vm_raise_dead(lua_State *l) {
    lua_pushlightuserdata(l, (void *)&kill_mark);
    return lua_error(l);
}

void vm_kill_memory(lua_State *l) {
    struct vm *vm = vm_of(l);
    if (vm->budget) kill_run(vm, l, VM_MEMORY);
    vm_raise_dead(l);
}

static int64_t thread_cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// The wall's clock is cheap to look at, but a machine that stood still is no fault of the script: when its time is over
// the run gets it once more, until it has really used the processor for half of it.
static bool ran_too_long(struct vm *vm) {
    int64_t now = clock_monotonic_us();
    if (now <= vm->stretch_end_us) return false;
    int64_t cpu = thread_cpu_us(), stretch = vm->budget->stretch_ms * 1000;
    vm->stretch_end_us = now + stretch;
    if (vm->cpu_mark_us) return cpu - vm->cpu_mark_us > stretch / 2;
    vm->cpu_mark_us = cpu;
    return false;
}

static void tell_line(struct vm *vm, lua_State *l, lua_Debug *ar) {
    lua_getinfo(l, "Sl", ar);
    if (ar->source[0] == '@') vm->on_line(vm->on_line_arg, ar->source + 1, ar->currentline);
}

static void look_at_budget(lua_State *l, lua_Debug *ar) {
    struct vm *vm = vm_of(l);
    if (ar->event == LUA_HOOKLINE) {
        tell_line(vm, l, ar);
        return;
    }
    struct vm_budget *b = vm->budget;
    if (!b) return;
    b->steps -= HOOK_EVERY;
    if (b->steps <= 0)
        kill_run(vm, l, VM_STEPS);
    else if (ran_too_long(vm))
        kill_run(vm, l, VM_TIME);
    if (!b->killed) return;
    // From now on at each instruction: whatever catches this does not get far.
    lua_sethook(l, look_at_budget, LUA_MASKCOUNT, 1);
    vm_raise_dead(l);
}

void vm_charge(lua_State *l, uint64_t steps) {
    struct vm *vm = vm_of(l);
    struct vm_budget *b = vm->budget;
    if (!b) return;
    b->steps = steps > (uint64_t)b->steps ? 0 : b->steps - (int64_t)steps;
    if (b->steps <= 0) kill_run(vm, l, VM_STEPS);
    if (b->killed) vm_raise_dead(l);
}

// ---- memory

static bool may_have(struct vm *vm, size_t old, size_t want) {
    struct vm_budget *b = vm->budget;
    if (b) {
        b->bytes -= (int64_t)want;
        if (b->bytes < 0) kill_run(vm, NULL, VM_MEMORY);
        if (b->killed == VM_MEMORY) return false;
    }
    // One piece may have a quarter: what works on a single long text stays quick.
    if (vm->used - old + want <= vm->memory_max && want <= vm->memory_max / 4) return true;
    if (b && ++b->refused > REFUSED_MAX) kill_run(vm, NULL, VM_MEMORY);
    return false;
}

static void *allocate(void *arg, void *was, size_t old, size_t want) {
    struct vm *vm = arg;
    if (!was) old = 0; // Lua then gives the kind of object
    if (want == 0) {
        vm->used -= old;
        free(was);
        return NULL;
    }
    if (want > old && !may_have(vm, old, want)) return NULL;
    void *now = must_realloc(was, want);
    vm->used = vm->used - old + want;
    return now;
}

static int out_of_protection(lua_State *l) {
    (void)l;
    bug_if("a Lua error outside of a protected call");
    return 0;
}

// ---- the state

struct vm *vm_of(lua_State *l) {
    return *(struct vm **)lua_getextraspace(l);
}
void *vm_owner(const struct vm *vm) {
    return vm->owner;
}
int64_t vm_now(const struct vm *vm) {
    return vm->now_ms ? vm->now_ms : clock_ms(vm->clock);
}
void vm_set_now(struct vm *vm, int64_t now_ms) {
    vm->now_ms = now_ms;
}
const struct log *vm_log(const struct vm *vm) {
    return vm->log;
}
uint64_t vm_memory(const struct vm *vm) {
    return vm->used;
}
void *vm_run(const struct vm *vm) {
    return vm->run;
}
void vm_set_run(struct vm *vm, void *run) {
    vm->run = run;
}
lua_State *vm_base(const struct vm *vm) {
    return vm->base;
}

struct vm *vm_new(const struct vm_options *options, struct err *err) {
    struct vm *vm = must_alloc(sizeof *vm);
    vm->memory_max = options->memory_max;
    vm->owner = options->owner;
    vm->clock = options->clock;
    vm->log = options->log;
    vm->on_line = options->on_line;
    vm->on_line_arg = options->on_line_arg;
    vm->main = lua_newstate(allocate, vm);
    if (!vm->main) {
        free(vm);
        err_set(err, "scripts: a memory ceiling of %" PRIu64 " bytes is too low to start with",
                options->memory_max);
        return NULL;
    }
    lua_atpanic(vm->main, out_of_protection);
    *(struct vm **)lua_getextraspace(vm->main) = vm; // coroutines get a copy
    // Coroutines inherit the hook of the one that makes them.
    lua_sethook(vm->main, look_at_budget, LUA_MASKCOUNT | (vm->on_line ? LUA_MASKLINE : 0), HOOK_EVERY);
    if (!vm_protect(vm, sandbox_open, NULL, err)) vm_free(&vm);
    return vm;
}

void vm_free(struct vm **vm) {
    if (!*vm) return;
    bug_if((*vm)->budget);
    lua_close((*vm)->main);
    free(*vm);
    *vm = NULL;
}

struct err_text {
    int status;
};

static void take_words(lua_State *l, int status, char *out, size_t size) {
    if (status == LUA_ERRMEM)
        snprintf(out, size, "out of memory");
    else if (lua_type(l, -1) == LUA_TSTRING)
        snprintf(out, size, "%s", lua_tostring(l, -1));
    else
        snprintf(out, size, "the error is no text but a %s", luaL_typename(l, -1));
}

bool vm_protect(struct vm *vm, int (*work)(lua_State *l), void *arg, struct err *err) {
    lua_State *l = vm->main;
    lua_pushcfunction(l, work);
    lua_pushlightuserdata(l, arg);
    int status = lua_pcall(l, 1, 0, 0);
    if (status == LUA_OK) return true;
    char words[400];
    take_words(l, status, words, sizeof words);
    lua_settop(l, 0);
    return err_set(err, "%s", words);
}

// ---- coroutines

static int make_coroutine(lua_State *l) {
    lua_State **out = lua_touserdata(l, 1);
    lua_State *co = lua_newthread(l);
    lua_pushvalue(l, -1);
    lua_rawsetp(l, LUA_REGISTRYINDEX, co); // keeps it from the collector
    *out = co;
    return 0;
}

static int drop_coroutine(lua_State *l) {
    lua_pushnil(l);
    lua_rawsetp(l, LUA_REGISTRYINDEX, lua_touserdata(l, 1));
    return 0;
}

lua_State *vm_take(struct vm *vm) {
    if (vm->pooled) return vm->pool[--vm->pooled];
    lua_State *co = NULL;
    if (!vm_protect(vm, make_coroutine, &co, NULL)) return NULL;
    return co;
}

void vm_give(struct vm *vm, lua_State *co, bool clean) {
    if (clean && vm->pooled < POOL) {
        lua_settop(co, 0);
        vm->pool[vm->pooled++] = co;
        return;
    }
    // Not lua_resetthread: it would run __close metamethods without any budget.
    bug_if(!vm_protect(vm, drop_coroutine, co, NULL));
}

// Lua's own traceback allocates, and a run may have died of just that.
static void write_trace(lua_State *co, const char *first, struct buf *out) {
    lua_Debug ar;
    buf_addz(out, first);
    for (int level = 0; level < TRACE_LINES && lua_getstack(co, level, &ar); level++) {
        lua_getinfo(co, "Sln", &ar);
        if (*ar.what == 'C') {
            if (ar.name) buf_format(out, "\n    in %s", ar.name);
            continue;
        }
        buf_format(out, "\n    %s:%d", ar.short_src, ar.currentline);
        if (ar.name)
            buf_format(out, " in %s '%s'", ar.namewhat, ar.name);
        else if (*ar.what == 'm')
            buf_addz(out, " in the main part");
        else
            buf_format(out, " in the function of line %d", ar.linedefined);
    }
}

enum vm_end vm_resume(struct vm *vm, lua_State *co, int arguments, struct vm_budget *budget,
                      struct vm_fault *fault) {
    bug_if(vm->budget);
    vm->budget = budget;
    vm->base = co;
    vm->waiting = false;
    vm->stretch_end_us = clock_monotonic_us() + budget->stretch_ms * 1000;
    vm->cpu_mark_us = 0;
    int results = 0;
    int status = lua_resume(co, NULL, arguments, &results);
    vm->budget = NULL;
    vm->base = NULL;
    if (status == LUA_OK) return VM_DONE;
    if (status == LUA_YIELD) {
        bug_if(!vm->waiting);
        return VM_WAITING;
    }
    if (status == LUA_ERRMEM && !budget->killed) {
        vm->budget = budget;
        kill_run(vm, NULL, VM_MEMORY);
        vm->budget = NULL;
    }
    if (budget->killed)
        snprintf(fault->first, sizeof fault->first, "%s", budget->why);
    else
        take_words(co, status, fault->first, sizeof fault->first);
    write_trace(co, fault->first, &fault->trace);
    return VM_FAULT;
}

// ---- waiting

bool vm_can_wait(lua_State *l) {
    return vm_of(l)->budget && lua_isyieldable(l);
}
bool vm_is_waiting(const struct vm *vm) {
    return vm->waiting;
}
void vm_forget_wait(struct vm *vm) {
    vm->waiting = false;
}

int vm_wait(lua_State *l, int (*k)(lua_State *l, int status, intptr_t context)) {
    vm_of(l)->waiting = true;
    return lua_yieldk(l, 0, 0, k);
}

void vm_where(lua_State *l, char out[64]) {
    lua_Debug ar;
    out[0] = 0;
    for (int level = 0; lua_getstack(l, level, &ar); level++) {
        lua_getinfo(l, "Sl", &ar);
        if (ar.currentline <= 0 || strncmp(ar.source, "@stdlib/", 8) == 0) continue;
        snprintf(out, 64, "%s:%d", ar.short_src, ar.currentline);
        return;
    }
}
