// SPDX-License-Identifier: MIT
// vm: one Lua state that cannot hurt its host: a memory ceiling, and a budget for whatever runs in it.
//
// A run (a hook, or the loading of the scripts) has a budget of VM steps, of bytes allocated and of time at a
// stretch. Once one of them is spent the run is dead and stays so: every protected call of the sandbox (sandbox.h)
// raises again, however deep in coroutines the script has dug itself in. The budget outlives waits: a run that is
// suspended goes on with what it had left.
//
// Runs live in coroutines taken from a pool. Several may be suspended at a time, one runs. All on one thread.
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

typedef struct lua_State lua_State;
struct vm;

enum vm_kill { VM_ALIVE, VM_STEPS, VM_MEMORY, VM_TIME };

struct vm_budget {
    int64_t steps_max; // as given; for words
    int64_t steps;     // left
    int64_t bytes;     // left to allocate, freed or not
    int64_t stretch_ms;
    int refused;       // allocations that met the ceiling
    enum vm_kill killed;
    char why[200];     // where and of what it died
};
// bytes and stretch_ms follow from what is usual: 16 times the ceiling of 64 MiB, and 1 s, which ends after 1.5 to 2 s of
// work (more for a larger budget).
void vm_budget_init(struct vm_budget *b, int64_t steps);

struct vm_options {
    uint64_t memory_max; // bytes
    void *owner;         // for the rooms whose functions scripts call: vm_owner
    const struct clock *clock;
    const struct log *log;
    // Told of each line that begins to run (costs time; NULL: nobody asks). `file` is the chunk's name without its '@'.
    void (*on_line)(void *arg, const char *file, int line);
    void *on_line_arg;
};
struct vm *vm_new(const struct vm_options *options, struct err *err); // sandboxed, empty of modules
void vm_free(struct vm **vm);                                         // nothing may run or wait in it
struct vm *vm_of(lua_State *l);                                       // of any coroutine of the state
void *vm_owner(const struct vm *vm);
int64_t vm_now(const struct vm *vm);           // what time it is for scripts, in milliseconds
void vm_set_now(struct vm *vm, int64_t now_ms); // it stands still there; 0: it is the clock's
const struct log *vm_log(const struct vm *vm);
uint64_t vm_memory(const struct vm *vm); // bytes in use

// A coroutine with an empty stack. NULL: no memory within the ceiling. `clean`: its last run ended well, so it can be
// used again; otherwise it is left to the collector, as its stack may hold what must not run any more.
lua_State *vm_take(struct vm *vm);
void vm_give(struct vm *vm, lua_State *co, bool clean);

// Starts (function and arguments on co's stack) or goes on with a run.
enum vm_end { VM_DONE, VM_WAITING, VM_FAULT };
struct vm_fault {
    char first[300];   // "policy.lua:41: attempt to ..."
    struct buf trace;  // the same and the lines it came through; the caller releases it
};
enum vm_end vm_resume(struct vm *vm, lua_State *co, int arguments, struct vm_budget *budget, struct vm_fault *fault);
void *vm_run(const struct vm *vm);              // what the owner set for the run at hand
void vm_set_run(struct vm *vm, void *run);      // around vm_resume

// Calls `work` on the main state so that errors are caught; false with words.
bool must_use vm_protect(struct vm *vm, int (*work)(lua_State *l), void *arg, struct err *err);

// For functions that scripts call (below vm_resume).
void vm_charge(lua_State *l, uint64_t steps); // for work in C that grows with its input; raises when it was too much
bool vm_is_dead(lua_State *l);                // the run is killed: raise again, whatever was caught
int vm_raise_dead(lua_State *l);              // does so; does not return
void vm_kill_memory(lua_State *l);            // a protected call met the ceiling: the run ends; does not return
bool vm_can_wait(lua_State *l);               // in a run, and nothing on the C stack is in the way
// Suspends the whole run, from however deep: `return vm_wait(l, k)`. When the owner resumes it, k goes on.
int vm_wait(lua_State *l, int (*k)(lua_State *l, int status, intptr_t context));
bool vm_is_waiting(const struct vm *vm); // for the sandbox's coroutines: what yielded was vm_wait
void vm_forget_wait(struct vm *vm);
lua_State *vm_base(const struct vm *vm); // the run's own coroutine

// The nearest frame outside of the shipped library: "policy.lua:41"; "" where there is none.
void vm_where(lua_State *l, char out[64]);
