// SPDX-License-Identifier: MIT
// core.retry: what retry returns.
#include "policy/made.h"
#include "policy/spends.h"
#include "policy/wall.h"

enum { EXHAUST_BY, EXHAUST_SECONDS };
static const struct made_row exhaust_rows[] = {
    [EXHAUST_BY] = {"by", MADE_TEXT, .required = true},
    [EXHAUST_SECONDS] = {"seconds", MADE_SECONDS, .required = true, .min = 1, .max = 30.0 * 86400},
    {0},
};
static const struct made_shape exhaust_shape = {"exhaust", 0, false, exhaust_rows, NULL};

enum { LANE_REST, LANE_CONNECTIONS, LANE_RATE, LANE_LASTS };
static const struct made_row lane_rows[] = {
    [LANE_REST] = {"rest", MADE_SECONDS, .min = 1, .max = 30.0 * 86400},
    [LANE_CONNECTIONS] = {"connections", MADE_INT, .min = 1, .max = 1000},
    [LANE_RATE] = {"rate", MADE_TEXT},
    [LANE_LASTS] = {"lasts", MADE_SECONDS, .min = 1, .max = 30.0 * 86400},
    {0},
};
static const struct made_shape lane_shape = {"lane", 0, false, lane_rows, NULL};

enum { ABOUT_FAULT, ABOUT_CLASS };
static const struct made_row about_rows[] = {
    [ABOUT_FAULT] = {"fault", MADE_TEXT, .required = true},
    [ABOUT_CLASS] = {"class", MADE_TEXT},
    {0},
};
static const struct made_shape about_shape = {"about", 0, false, about_rows, NULL};

enum { WAIT_SECONDS, WAIT_BECAUSE, WAIT_COUNTS, WAIT_EXHAUST, WAIT_LANE, WAIT_PAUSE, WAIT_SHELF, WAIT_ABOUT };
static const struct made_row wait_rows[] = {
    [WAIT_SECONDS] = {"seconds", MADE_SECONDS, .required = true, .min = 1, .max = 30.0 * 86400},
    [WAIT_BECAUSE] = {"because", MADE_TEXT},
    [WAIT_COUNTS] = {"counts", MADE_BOOL},
    [WAIT_EXHAUST] = {"exhaust", MADE_INNER, .inner = &exhaust_shape},
    [WAIT_LANE] = {"lane", MADE_INNER, .inner = &lane_shape},
    [WAIT_PAUSE] = {"pause", MADE_SECONDS, .min = 1, .max = 30.0 * 86400},
    [WAIT_SHELF] = {"shelf", MADE_LIST, .max = KEEPS_MAX, .groups = MADE_KEEP},
    [WAIT_ABOUT] = {"about", MADE_INNER, .inner = &about_shape},
    {0},
};

enum { ELSEWHERE_BECAUSE, ELSEWHERE_COUNTS, ELSEWHERE_SUPPRESS, ELSEWHERE_EXHAUST, ELSEWHERE_LANE, ELSEWHERE_PAUSE, ELSEWHERE_SHELF, ELSEWHERE_ABOUT };
static const struct made_row elsewhere_rows[] = {
    [ELSEWHERE_BECAUSE] = {"because", MADE_TEXT},
    [ELSEWHERE_COUNTS] = {"counts", MADE_BOOL},
    [ELSEWHERE_SUPPRESS] = {"suppress", MADE_INNER, .inner = &suppress_shape},
    [ELSEWHERE_EXHAUST] = {"exhaust", MADE_INNER, .inner = &exhaust_shape},
    [ELSEWHERE_LANE] = {"lane", MADE_INNER, .inner = &lane_shape},
    [ELSEWHERE_PAUSE] = {"pause", MADE_SECONDS, .min = 1, .max = 30.0 * 86400},
    [ELSEWHERE_SHELF] = {"shelf", MADE_LIST, .max = KEEPS_MAX, .groups = MADE_KEEP},
    [ELSEWHERE_ABOUT] = {"about", MADE_INNER, .inner = &about_shape},
    {0},
};

enum { GIVE_UP_BECAUSE, GIVE_UP_REPLY, GIVE_UP_SUPPRESS, GIVE_UP_LANE, GIVE_UP_TALLY, GIVE_UP_SHELF, GIVE_UP_ABOUT };
static const char *const permanent[] = {"5", NULL};
static const struct made_row give_up_rows[] = {
    [GIVE_UP_BECAUSE] = {"because", MADE_TEXT},
    [GIVE_UP_REPLY] = {"reply", MADE_REPLY, .choices = permanent},
    [GIVE_UP_SUPPRESS] = {"suppress", MADE_INNER, .inner = &suppress_shape},
    [GIVE_UP_LANE] = {"lane", MADE_INNER, .inner = &lane_shape},
    [GIVE_UP_TALLY] = {"tally", MADE_LIST, .max = SPENDS_MAX, .groups = MADE_LIMIT},
    [GIVE_UP_SHELF] = {"shelf", MADE_LIST, .max = KEEPS_MAX, .groups = MADE_KEEP},
    [GIVE_UP_ABOUT] = {"about", MADE_INNER, .inner = &about_shape},
    {0},
};

static void check_verdict(lua_State *l, int i);

static const struct made_shape shapes[] = {
    [VERDICT_WAIT] = {"retry.wait", MADE_VERDICT, true, wait_rows, check_verdict},
    [VERDICT_ELSEWHERE] = {"retry.elsewhere", MADE_VERDICT, true, elsewhere_rows, check_verdict},
    [VERDICT_GIVE_UP] = {"retry.give_up", MADE_VERDICT, true, give_up_rows, check_verdict},
};

// "10/minute"
static bool read_pace(struct bytes text, struct pace *out) {
    static const struct {
        const char *name;
        uint32_t seconds;
    } units[] = {{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}};
    uint64_t n;
    if (!bytes_to_u64(bytes_cut(&text, '/'), &n) || n < 1 || n > 1000) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (bytes_equal(text, bytes_of(units[i].name))) {
            *out = (struct pace){(unsigned)n, units[i].seconds};
            return true;
        }
    return false;
}

static struct reaction reaction_read(lua_State *l, int i) {
    static const int rows[] = {[VERDICT_WAIT] = WAIT_LANE, [VERDICT_ELSEWHERE] = ELSEWHERE_LANE, [VERDICT_GIVE_UP] = GIVE_UP_LANE};
    struct reaction r = {.seconds = 0};
    if (!made_push(l, i, rows[made_shape_at(l, i) - shapes])) return r;
    int lane = lua_gettop(l);
    r.rests = made_has(l, lane, LANE_REST);
    r.connections = (size_t)made_int(l, lane, LANE_CONNECTIONS, 0);
    r.seconds = made_int(l, lane, r.rests ? LANE_REST : LANE_LASTS, 0);
    struct bytes rate = made_text(l, lane, LANE_RATE);
    if (rate.len && !read_pace(rate, &r.pace))
        made_refuse(l, i, "lane.rate: '10/second', '10/minute', '10/hour' or '10/day' (up to 1000) is expected, not '%s'", rate.at);
    bool slows = r.connections || r.pace.n;
    if (r.rests == slows) made_refuse(l, i, "lane: either rest, or connections and rate (one or both) are expected");
    if (r.rests && made_has(l, lane, LANE_LASTS)) made_refuse(l, i, "lane: rest says how long; lasts is for connections and rate");
    if (slows && !r.seconds) made_refuse(l, i, "lane: how long? lasts = \"10m\" is expected beside connections and rate");
    lua_pop(l, 1);
    return r;
}

static void check_verdict(lua_State *l, int i) { reaction_read(l, i); }

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

static struct about about_read(lua_State *l, struct arena *arena, int i) {
    static const int rows[] = {[VERDICT_WAIT] = WAIT_ABOUT, [VERDICT_ELSEWHERE] = ELSEWHERE_ABOUT, [VERDICT_GIVE_UP] = GIVE_UP_ABOUT};
    struct about a = {.fault = {0}};
    if (!made_push(l, i, rows[made_shape_at(l, i) - shapes])) return a;
    a.fault = arena_copy(arena, made_text(l, lua_gettop(l), ABOUT_FAULT));
    a.class = arena_copy(arena, made_text(l, lua_gettop(l), ABOUT_CLASS));
    lua_pop(l, 1);
    return a;
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
    if (v.kind == VERDICT_GIVE_UP) {
        v.reply = made_reply(l, i, GIVE_UP_REPLY);
        const struct spend *tally = spends_read(l, t, i, GIVE_UP_TALLY, &v.tally_count);
        v.tally = spends_make(&t->arena, tally, &v.tally_count);
    }
    if (v.kind != VERDICT_WAIT) {
        v.suppress = suppress_read(l, i, v.kind == VERDICT_GIVE_UP ? GIVE_UP_SUPPRESS : ELSEWHERE_SUPPRESS);
        if (v.suppress.scope.len) v.suppress.scope = arena_copy(&t->arena, v.suppress.scope);
        if (v.suppress.reason.len) v.suppress.reason = arena_copy(&t->arena, v.suppress.reason);
    }
    if (v.kind == VERDICT_WAIT) v.exhaust = exhaust_read(l, &t->arena, i, WAIT_EXHAUST);
    if (v.kind == VERDICT_ELSEWHERE) v.exhaust = exhaust_read(l, &t->arena, i, ELSEWHERE_EXHAUST);
    static const int shelf[] = {[VERDICT_WAIT] = WAIT_SHELF, [VERDICT_ELSEWHERE] = ELSEWHERE_SHELF, [VERDICT_GIVE_UP] = GIVE_UP_SHELF};
    v.keeps = keeps_read(l, t, i, shelf[v.kind], &v.keep_count);
    v.lane = reaction_read(l, i);
    v.about = about_read(l, &t->arena, i);
    if (v.kind != VERDICT_GIVE_UP) v.pause_s = made_int(l, i, v.kind == VERDICT_WAIT ? WAIT_PAUSE : ELSEWHERE_PAUSE, 0);
    t->verdict = v;
}
