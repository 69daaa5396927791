// SPDX-License-Identifier: MIT
// wall: what the rooms of this folder share: the inside of a generation and of a ticket. For this folder only.
//
// A generation and all that hangs from it belong to one worker's thread. What touches Lua's stack says so; an error raised there (luaL_error)
// leaves by longjmp, so nothing that is to be released may be held across it but in the ticket.
#pragma once

#include "base/arena.h"
#include "policy/answer.h"
#include "policy/facts.h"
#include "policy/generation.h"
#include "policy/hooks.h"
#include "script/json.h"
#include "script/lua.h"
#include "script/vm.h"

enum hook { HOOK_CONNECT, HOOK_AUTHENTICATE, HOOK_SENDER, HOOK_RECIPIENT, HOOK_MESSAGE, HOOK_ROUTE, HOOK_RETRY, HOOK_SETTLE, HOOKS,
            HOOK_DESCRIBE = HOOKS, QUESTIONS }; // describe is no hook of the policy's: see hook_describe
extern const char *const hook_name[HOOKS + 1]; // NULL-terminated

struct generation {
    int refs;
    struct bundle *bundle;
    struct generation_options options; // texts copied into the arena
    struct arena arena;
    struct vm *vm;
    int hooks[QUESTIONS];        // registry references of the functions, LUA_NOREF where there is none
    bool defined[HOOKS];         // by the policy itself
    bool on_trial;
    bool loading;                // identities may be defined
    struct buf identities;       // as generation_identities tells
    struct watched *watched, **watched_end; // policy/watched
    struct hook_ticket *idle;    // tickets are used again
    struct hook_ticket *done, **done_end; // answered, the asker not yet told
    struct task task;            // tells them
    bool posted;
    struct buf scratch;          // for texts that are made and copied at once
    struct buf scratch_answer;   // of lookup_keep
    struct generation_stats stats;
};

// All that a hook may be told. Texts are lent while it runs at a stretch, and copied when it has to wait.
struct hook_facts {
    bool has_session, has_message;
    struct session_facts session;
    struct login_facts login;
    struct address_facts address;
    struct message_facts message;
    struct recipient_facts recipient;
    struct outcome_facts outcome;
    struct bytes event;    // settle; describe: the question
    struct bytes described; // describe: what of
};

enum ticket_state { TICKET_IDLE, TICKET_RUNNING, TICKET_WAITING, TICKET_DONE, TICKET_TELLING };

struct hook_ticket {
    struct hook_ticket *next;
    struct generation *g; // NULL while idle
    enum ticket_state state;
    enum hook hook;
    uint64_t serial; // what scripts hold of an earlier use of this ticket has another one, and is stale
    lua_State *co;
    struct vm_budget budget;
    int64_t deadline_us;
    int64_t began_ms, now_ms; // by the generation's clock; now_ms stands still while it runs at a stretch
    struct buf looked;        // as lookup_next reads it
    struct timer *timer;
    struct dns_ticket *dns;
    const struct dns_answer *dns_answer; // during the resume that brings it
    struct fetch_ticket *fetch;
    const struct fetch_answer *fetch_answer; // likewise
    struct limit_look *limit;
    uint64_t limit_used;
    bool limit_there; // during the resume that brings it
    struct hook_facts facts;
    struct arena arena; // of the answer and of copied facts
    bool answered;
    union {
        struct answer answer;
        struct verdict verdict;
    };
    const struct plan *plan; // one reference
    struct bytes told;       // JSON, by describe
    union {
        answer_fn on_answer;
        plan_fn on_plan;
        verdict_fn on_verdict;
        told_fn on_told;
    };
    void *arg;
};

struct generation *generation_of(lua_State *l);
// Runs `work` as the scripts are loaded: with the budget of loading, and identities may be defined. False: fault says why;
// its trace is the caller's to release in any case.
bool generation_load(struct generation *g, int (*work)(lua_State *l), void *arg, struct vm_fault *fault);
void module_add(lua_State *l, const char *name, int (*open)(lua_State *l)); // for require; without a dot a global too
void generation_path(const struct generation *g, const char *file, char path[]); // of PATH_MAX: where a script's file is
void generation_post(struct generation *g);      // tickets_tell will be called from the loop
void tickets_tell(struct generation *g);         // calls back for what is done
void ticket_release_memory(struct hook_ticket *t); // of an idle one
struct hook_ticket *ticket_of(lua_State *l);     // of the hook that runs; raises while the scripts load
void ticket_go_on(struct hook_ticket *t);        // what it waited for is there
// Before a binding (`who`, for words) asks something that the hook will wait for: raises where it cannot, and charges what asking costs.
void ticket_before_wait(lua_State *l, const char *who, uint64_t steps);

// The fields by which scripts see facts. facts_read goes the other way by the same rows.
enum field_kind {
    FIELD_TEXT,
    FIELD_INT,
    FIELD_UINT,
    FIELD_U64,
    FIELD_SIZE,
    FIELD_TIME,
    FIELD_AGE,
    FIELD_BOOL,
    FIELD_NOT,
    FIELD_JSON,
    FIELD_CALL
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t at;                       // of the member in struct hook_facts
    int (*call)(lua_State *l); // FIELD_CALL: pushes the value; the handle is at 1
};
const struct field *facts_fields(const char *kind); // of "session", "login", ...; NULL: there is no such kind

// bind_facts: pushes what scripts see as session, message, ...
void facts_open(lua_State *l);
void facts_push_session(lua_State *l, struct hook_ticket *t);
void facts_push_login(lua_State *l, struct hook_ticket *t);
void facts_push_address(lua_State *l, struct hook_ticket *t);
void facts_push_message(lua_State *l, struct hook_ticket *t);
void facts_push_recipient(lua_State *l, struct hook_ticket *t);
void facts_push_outcome(lua_State *l, struct hook_ticket *t);
void facts_push_event(lua_State *l, struct hook_ticket *t);
void facts_keep(struct hook_facts *f, struct arena *arena); // copies all texts
// From {"session":{...},"message":{...},...} with the names that scripts see; what is not there stays as it is. "message" may have a
// "head" (its header block); an address brings its parts, an outcome's "reply" its code. Texts go into the arena.
bool facts_read(struct hook_facts *f, struct arena *arena, const struct json *from, struct err *err);

// The tables that scripts see; each opener leaves its table on the stack. "core.*" is for the shipped library.
int open_answer(lua_State *l);   // core.answer
int open_describe(lua_State *l); // core.describe
int open_route(lua_State *l);    // core.route
int open_retry(lua_State *l);    // core.retry
int open_identity(lua_State *l); // core.identity
int open_note(lua_State *l); // core.note
int open_suppression(lua_State *l); // core.suppression
int open_clock(lua_State *l);
int open_crypto(lua_State *l);
int open_dns(lua_State *l);
int open_http(lua_State *l);
int open_json(lua_State *l);
int open_limit(lua_State *l);
int open_log(lua_State *l);
int open_network(lua_State *l);
int open_re(lua_State *l);
int open_shelf(lua_State *l);

// Pushes the function that describes this, and its argument; false: there is none, nothing is pushed.
bool describe_push(lua_State *l, struct hook_ticket *t);
void describe_read(lua_State *l, struct hook_ticket *t); // what it returned, at the top, as JSON

// The value a hook returned, at the top of the stack, as data. Raises with words where it is none.
void answer_read(lua_State *l, struct hook_ticket *t);
void plan_read(lua_State *l, struct hook_ticket *t);
void verdict_read(lua_State *l, struct hook_ticket *t);
struct origin origin_at(lua_State *l, struct hook_ticket *t, struct arena *arena, int i, struct bytes because);

// The field `suppress` of plans and verdicts: its shape, and what it asks for. Texts are as long as the value at i.
extern const struct made_shape suppress_shape;
struct suppress suppress_read(lua_State *l, int i, int row);

// The limit at stack index i, lent: its key is that of the value there.
struct spend limit_lend(lua_State *l, int i);
// The list of limits in this field, each lent; NULL with a count of 0 where there is none.
const struct spend *spends_read(lua_State *l, struct hook_ticket *t, int i, int row, size_t *count);

// The list of shelf.put and shelf.drop in this field, in the ticket's arena; NULL with a count of 0 where there is none.
const struct keep *keeps_read(lua_State *l, struct hook_ticket *t, int i, int row, size_t *count);

// The identity at stack index i, lent: texts and keys are those of the value there.
extern const char identity_kind[];
void identity_lend(lua_State *l, int i, struct identity *out);
