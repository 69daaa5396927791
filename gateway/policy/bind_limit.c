// SPDX-License-Identifier: MIT
// The table `limit`: limits for a plan's `spend`, and how much of one is left.
#include "policy/lookup.h"
#include "policy/made.h"
#include "policy/wall.h"

#include "base/jsonl.h"

#include <ctype.h>
#include <stdio.h>

enum { CAP_MAX = 1000000000, DAYS_MAX = 31, LOOK_STEPS = 1000, NAME_MAX_LEN = 32 };

enum { OPTION_PER, OPTION_COUNT, OPTION_EXHAUSTED_BY };
static const char *const per_name[] = {"message", "recipient", NULL};
static const char *const count_name[] = {"accepted", "attempts", NULL};
static const struct made_row option_rows[] = {
    [OPTION_PER] = {"per", MADE_CHOICE, .choices = per_name},
    [OPTION_COUNT] = {"count", MADE_CHOICE, .choices = count_name},
    [OPTION_EXHAUSTED_BY] = {"exhausted_by", MADE_TEXT},
    {0},
};
static const struct made_shape option_shape = {"options", 0, false, option_rows, NULL};

enum { LIMIT_KEY, LIMIT_N, LIMIT_OPTIONS };
static const struct made_row rows[] = {
    [LIMIT_KEY] = {"key", MADE_TEXT, .required = true},
    [LIMIT_N] = {"n", MADE_INT, .required = true, .max = CAP_MAX},
    [LIMIT_OPTIONS] = {"options", MADE_INNER, .inner = &option_shape},
    {0},
};

enum { ROLLING_KEY, ROLLING_N, ROLLING_SECONDS, ROLLING_OPTIONS };
static const struct made_row rolling_rows[] = {
    [ROLLING_KEY] = {"key", MADE_TEXT, .required = true},
    [ROLLING_N] = {"n", MADE_INT, .required = true, .max = CAP_MAX},
    [ROLLING_SECONDS] = {"seconds", MADE_SECONDS, .required = true, .min = 1, .max = DAYS_MAX * 86400.0},
    [ROLLING_OPTIONS] = {"options", MADE_INNER, .inner = &option_shape},
    {0},
};

// A name, so that it can stand as one in JSON and in a script.
static void check_name(lua_State *l, int i, int row) {
    if (!made_push(l, i, row)) return;
    struct bytes name = made_text(l, lua_gettop(l), OPTION_EXHAUSTED_BY);
    bool good = name.len <= NAME_MAX_LEN;
    for (size_t k = 0; k < name.len; k++)
        good = good && (isalnum((unsigned char)name.at[k]) || name.at[k] == '_');
    if (!good) made_refuse(l, i, "exhausted_by: a word of letters, digits and '_' is expected, not '%s'", name.at);
    lua_pop(l, 1);
}

static void check_limit(lua_State *l, int i) {
    if (made_text(l, i, LIMIT_KEY).len > SPEND_KEY_MAX)
        made_refuse(l, i, "key: %d bytes at most are possible", SPEND_KEY_MAX);
    check_name(l, i, made_shape_at(l, i)->rows == rolling_rows ? ROLLING_OPTIONS : LIMIT_OPTIONS);
}

enum { PER_SECOND, PER_MINUTE, PER_HOUR, PER_DAY, ROLLING };
static const struct made_shape shapes[] = {
    [PER_SECOND] = {"limit.per_second", MADE_LIMIT, true, rows, check_limit},
    [PER_MINUTE] = {"limit.per_minute", MADE_LIMIT, true, rows, check_limit},
    [PER_HOUR] = {"limit.per_hour", MADE_LIMIT, true, rows, check_limit},
    [PER_DAY] = {"limit.per_day", MADE_LIMIT, true, rows, check_limit},
    [ROLLING] = {"limit.rolling", MADE_LIMIT, true, rolling_rows, check_limit},
};

struct spend limit_lend(lua_State *l, int i) {
    static const uint32_t window_s[] = {1, 60, 3600, 86400};
    ptrdiff_t which = made_shape_at(l, i) - shapes;
    struct spend s = {.key = made_text(l, i, LIMIT_KEY), .cap = (uint64_t)made_int(l, i, LIMIT_N, 0)};
    s.window_s = which == ROLLING ? (uint32_t)made_int(l, i, ROLLING_SECONDS, 1) : window_s[which];
    if (!made_push(l, i, which == ROLLING ? ROLLING_OPTIONS : LIMIT_OPTIONS)) return s;
    s.recipients = made_int(l, lua_gettop(l), OPTION_PER, 0) == 1;
    s.attempts = made_int(l, lua_gettop(l), OPTION_COUNT, 0) == 1;
    s.exhausted_by = made_text(l, lua_gettop(l), OPTION_EXHAUSTED_BY);
    lua_pop(l, 1);
    return s;
}

const struct spend *spends_read(lua_State *l, struct hook_ticket *t, int i, int row, size_t *count) {
    *count = 0;
    if (!made_push(l, i, row)) return NULL;
    int list = lua_gettop(l);
    *count = (size_t)lua_rawlen(l, list);
    struct spend *spends = arena_alloc(&t->arena, *count * sizeof *spends + 1);
    for (size_t k = 0; k < *count; k++) {
        lua_rawgeti(l, list, (lua_Integer)k + 1);
        spends[k] = limit_lend(l, lua_gettop(l));
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
    return spends;
}

// ---- limit.left(l), limit.used(l)

enum look { LOOK_LEFT, LOOK_USED };
static const char *const look_name[] = {[LOOK_LEFT] = "limit.left", [LOOK_USED] = "limit.used"};

static struct bytes question_of(char out[LOOKUP_QUESTION], const struct spend *s) {
    int len = snprintf(out, LOOKUP_QUESTION, "limit %.*s/%u", BYTES_FMT(s->key), s->window_s);
    return bytes_range(out, (size_t)len);
}

// {"limit":"acme/google","window_s":86400,"cap":500,"left":288,"where":"policy.lua:41"}
static void tell_witness(lua_State *l, const struct spend *s, uint64_t left) {
    const struct witness *w = generation_of(l)->options.witness;
    char where[64];
    if (!w || !w->looked) return;
    vm_where(l, where);
    struct buf line = {0};
    struct jsonl j = jsonl_begin(&line);
    jsonl_text(&j, "limit", s->key);
    jsonl_int(&j, "window_s", s->window_s);
    jsonl_int(&j, "cap", (int64_t)s->cap);
    jsonl_int(&j, "left", (int64_t)left);
    jsonl_textz(&j, "where", where);
    jsonl_close(&j, '}');
    w->looked(w->arg, buf_bytes(&line));
    buf_release(&line);
}

static int push_look(lua_State *l, enum look look, uint64_t used) {
    char text[LOOKUP_QUESTION];
    struct spend spend = limit_lend(l, 1);
    lua_pushinteger(l, (lua_Integer)used);
    lookup_keep(l, question_of(text, &spend), -1);
    lua_pop(l, 1);
    uint64_t left = used < spend.cap ? spend.cap - used : 0;
    tell_witness(l, &spend, left);
    lua_pushinteger(l, (lua_Integer)(look == LOOK_USED ? used : left));
    return 1;
}

static void on_used(void *arg, uint64_t used) {
    struct hook_ticket *t = arg;
    t->limit = NULL;
    t->limit_used = used;
    t->limit_there = true;
    ticket_go_on(t);
}

static int look_again(lua_State *l, enum look look) {
    struct hook_ticket *t = ticket_of(l);
    if (!t->limit_there) return luaL_error(l, "%s: this question was given up", look_name[look]);
    return push_look(l, look, t->limit_used);
}

static int after_left(lua_State *l, int status, intptr_t context) {
    (void)status, (void)context;
    return look_again(l, LOOK_LEFT);
}

static int after_used(lua_State *l, int status, intptr_t context) {
    (void)status, (void)context;
    return look_again(l, LOOK_USED);
}

static int look_at(lua_State *l, enum look look) {
    struct hook_ticket *t = ticket_of(l);
    const struct generation_options *o = &t->g->options;
    const struct made_shape *shape = made_shape_at(l, 1);
    uint64_t used;
    if (!shape || shape->group != MADE_LIMIT)
        return luaL_error(l, "%s: a limit (limit.per_day, ...) is expected, not %s%s", look_name[look], shape ? "" : "a ",
                          shape ? shape->name : luaL_typename(l, 1));
    lua_settop(l, 1);
    struct spend spend = limit_lend(l, 1);
    char text[LOOKUP_QUESTION];
    if (lookup_again(l, question_of(text, &spend))) {
        lua_Integer again = lua_tointeger(l, -1);
        return push_look(l, look, again > 0 ? (uint64_t)again : 0);
    }
    if (!o->limit_used) return luaL_error(l, "%s: there is no ledger here", look_name[look]);
    ticket_before_wait(l, look_name[look], LOOK_STEPS);
    if (o->limit_used(o->limit_arg, &spend, &used, on_used, t, &t->limit)) return push_look(l, look, used);
    return vm_wait(l, look == LOOK_USED ? after_used : after_left);
}

static int left(lua_State *l) { return look_at(l, LOOK_LEFT); }
static int used(lua_State *l) { return look_at(l, LOOK_USED); }

int open_limit(lua_State *l) {
    static const luaL_Reg functions[] = {{"left", left}, {"used", used}, {NULL, NULL}};
    luaL_newlib(l, functions);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        made_push_constructor(l, &shapes[i]);
        lua_setfield(l, -2, strchr(shapes[i].name, '.') + 1);
    }
    return 1;
}
