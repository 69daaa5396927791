// SPDX-License-Identifier: MIT
// core.retry: what retry returns.
#include "policy/made.h"
#include "policy/wall.h"

enum { EXHAUST_BY, EXHAUST_SECONDS };
static const struct made_row exhaust_rows[] = {
    [EXHAUST_BY] = {"by", MADE_TEXT, .required = true},
    [EXHAUST_SECONDS] = {"seconds", MADE_SECONDS, .required = true, .min = 1, .max = 30.0 * 86400},
    {0},
};
static const struct made_shape exhaust_shape = {"exhaust", 0, false, exhaust_rows, NULL};

enum { WAIT_SECONDS, WAIT_BECAUSE, WAIT_COUNTS, WAIT_EXHAUST };
static const struct made_row wait_rows[] = {
    [WAIT_SECONDS] = {"seconds", MADE_SECONDS, .required = true, .min = 1, .max = 30.0 * 86400},
    [WAIT_BECAUSE] = {"because", MADE_TEXT},
    [WAIT_COUNTS] = {"counts", MADE_BOOL},
    [WAIT_EXHAUST] = {"exhaust", MADE_INNER, .inner = &exhaust_shape},
    {0},
};

enum { ELSEWHERE_BECAUSE, ELSEWHERE_COUNTS, ELSEWHERE_SUPPRESS, ELSEWHERE_EXHAUST };
static const struct made_row elsewhere_rows[] = {
    [ELSEWHERE_BECAUSE] = {"because", MADE_TEXT},
    [ELSEWHERE_COUNTS] = {"counts", MADE_BOOL},
    [ELSEWHERE_SUPPRESS] = {"suppress", MADE_INNER, .inner = &suppress_shape},
    [ELSEWHERE_EXHAUST] = {"exhaust", MADE_INNER, .inner = &exhaust_shape},
    {0},
};

enum { GIVE_UP_BECAUSE, GIVE_UP_REPLY, GIVE_UP_SUPPRESS };
static const char *const permanent[] = {"5", NULL};
static const struct made_row give_up_rows[] = {
    [GIVE_UP_BECAUSE] = {"because", MADE_TEXT},
    [GIVE_UP_REPLY] = {"reply", MADE_REPLY, .choices = permanent},
    [GIVE_UP_SUPPRESS] = {"suppress", MADE_INNER, .inner = &suppress_shape},
    {0},
};

static const struct made_shape shapes[] = {
    [VERDICT_WAIT] = {"retry.wait", MADE_VERDICT, true, wait_rows},
    [VERDICT_ELSEWHERE] = {"retry.elsewhere", MADE_VERDICT, true, elsewhere_rows},
    [VERDICT_GIVE_UP] = {"retry.give_up", MADE_VERDICT, true, give_up_rows},
};

int open_retry(lua_State *l) {
    lua_newtable(l);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        made_push_constructor(l, &shapes[i]);
        lua_setfield(l, -2, strchr(shapes[i].name, '.') + 1);
    }
    return 1;
}

static struct exhaust exhaust_read(lua_State *l, struct arena *arena, int i, int row) {
    struct exhaust e = {.seconds = 0};
    if (!made_push(l, i, row)) return e;
    e.by = arena_copy(arena, made_text(l, lua_gettop(l), EXHAUST_BY));
    e.seconds = made_int(l, lua_gettop(l), EXHAUST_SECONDS, 0);
    lua_pop(l, 1);
    return e;
}

void verdict_read(lua_State *l, struct hook_ticket *t) {
    int i = lua_gettop(l);
    const struct made_shape *shape = made_shape_at(l, i);
    if (!shape || shape->group != MADE_VERDICT)
        luaL_error(l, "retry returned %s%s; a verdict is expected (retry.wait(...), retry.give_up(...), ...)",
                   shape || lua_isnil(l, i) ? "" : "a ",
                   shape             ? shape->name
                   : lua_isnil(l, i) ? "nothing"
                                     : luaL_typename(l, i));
    struct verdict v = {.kind = (enum verdict_kind)(shape - shapes), .counts = true};
    int because = v.kind == VERDICT_WAIT        ? WAIT_BECAUSE
                  : v.kind == VERDICT_ELSEWHERE ? ELSEWHERE_BECAUSE
                                                : GIVE_UP_BECAUSE;
    v.origin = origin_at(l, t, &t->arena, i, made_text(l, i, because));
    if (v.kind == VERDICT_WAIT) v.wait_s = made_int(l, i, WAIT_SECONDS, 0);
    if (v.kind == VERDICT_WAIT && made_has(l, i, WAIT_COUNTS)) v.counts = made_bool(l, i, WAIT_COUNTS);
    if (v.kind == VERDICT_ELSEWHERE && made_has(l, i, ELSEWHERE_COUNTS))
        v.counts = made_bool(l, i, ELSEWHERE_COUNTS);
    if (v.kind == VERDICT_GIVE_UP) v.reply = made_reply(l, i, GIVE_UP_REPLY);
    if (v.kind != VERDICT_WAIT) {
        v.suppress = suppress_read(l, i, v.kind == VERDICT_GIVE_UP ? GIVE_UP_SUPPRESS : ELSEWHERE_SUPPRESS);
        if (v.suppress.scope.len) v.suppress.scope = arena_copy(&t->arena, v.suppress.scope);
        if (v.suppress.reason.len) v.suppress.reason = arena_copy(&t->arena, v.suppress.reason);
    }
    if (v.kind == VERDICT_WAIT) v.exhaust = exhaust_read(l, &t->arena, i, WAIT_EXHAUST);
    if (v.kind == VERDICT_ELSEWHERE) v.exhaust = exhaust_read(l, &t->arena, i, ELSEWHERE_EXHAUST);
    t->verdict = v;
}
