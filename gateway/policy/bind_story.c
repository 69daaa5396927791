// SPDX-License-Identifier: MIT
// core.story: what stdlib/story.lua is made of: ask the policy, set clock and DNS, name stories, fail.
#include "policy/made.h"
#include "policy/story_inside.h"
#include "script/marshal.h"

enum { STORIES_MAX = 10000 };

static const char telling_key;

static struct telling *telling_of(lua_State *l) {
    lua_rawgetp(l, LUA_REGISTRYINDEX, &telling_key);
    struct telling *t = lua_touserdata(l, -1);
    lua_pop(l, 1);
    return t;
}

// nil and the words: for the kit to say with a place.
static int refuse(lua_State *l, const struct err *err) {
    lua_pushnil(l);
    lua_pushstring(l, err->text);
    return 2;
}

static struct bytes check_text(lua_State *l, int i) {
    struct bytes text;
    text.at = luaL_checklstring(l, i, &text.len);
    return text;
}

// add(title, body)
static int add(lua_State *l) {
    struct telling *t = telling_of(l);
    struct bytes title = check_text(l, 1);
    char where[64];
    luaL_checktype(l, 2, LUA_TFUNCTION);
    if (!t->loading) return luaL_error(l, "story: a story cannot be told within another");
    if (t->count >= STORIES_MAX) return luaL_error(l, "story: more than %d in a file", STORIES_MAX);
    vm_where(l, where);
    lua_settop(l, 2);
    int body = luaL_ref(l, LUA_REGISTRYINDEX);
    if ((t->count & (t->count - 1)) == 0)
        t->stories = must_realloc(t->stories, (t->count ? t->count * 2 : 1) * sizeof *t->stories);
    t->stories[t->count++] =
        (struct told_story){arena_copy(&t->arena, title), arena_copy(&t->arena, bytes_of(where)), body};
    return 0;
}

// use(files): the policy, with these files in the place of its own; {} for the policy as it is
static int use(lua_State *l) {
    struct telling *t = telling_of(l);
    struct err err = {{0}};
    luaL_checktype(l, 1, LUA_TTABLE);
    lua_settop(l, 1);
    struct bundle *b = bundle_ref(t->options->bundle);
    bool own = true, ok = true;
    for (lua_pushnil(l); ok && lua_next(l, 1); lua_pop(l, 1)) {
        struct bytes name = {.at = NULL}, text = {.at = NULL};
        ok = lua_type(l, -2) == LUA_TSTRING && lua_type(l, -1) == LUA_TSTRING;
        if (!ok) {
            err_set(&err, "files are texts by name: { [\"policy.lua\"] = \"return {}\" }");
            break;
        }
        name.at = lua_tolstring(l, -2, &name.len);
        text.at = lua_tolstring(l, -1, &text.len);
        struct bundle *other = bundle_with(b, name, text, &err);
        bundle_free(&b);
        b = other;
        ok = b;
        own = false;
    }
    ok = ok && lab_use(t->lab, b, own, &err);
    if (b) bundle_free(&b);
    if (!ok) return refuse(l, &err);
    lua_pushboolean(l, 1);
    return 1;
}

// ask(hook, facts): the decision
static int ask(lua_State *l) {
    struct telling *t = telling_of(l);
    struct err err = {{0}};
    const char *hook = luaL_checkstring(l, 1);
    luaL_checktype(l, 2, LUA_TTABLE);
    buf_reset(&t->facts);
    buf_reset(&t->decision);
    if (!marshal_write(l, 2, &t->facts, &err)) return refuse(l, &err);
    if (!lab_has_policy(t->lab) && !lab_use(t->lab, t->options->bundle, true, &err)) return refuse(l, &err);
    if (!lab_ask(t->lab, hook, buf_bytes(&t->facts), &t->decision, &err)) return refuse(l, &err);
    if (!marshal_push(l, buf_bytes(&t->decision), &err)) return refuse(l, &err);
    return 1;
}

// The value at stack index 3 as JSON, for the lab to learn from.
static struct json *lesson(lua_State *l, struct telling *t, struct err *err) {
    buf_reset(&t->facts);
    return marshal_write(l, 3, &t->facts, err) ? json_parse(buf_bytes(&t->facts), err) : NULL;
}

// teach(name, type, records), teach(request, "http", answers)
static int teach(lua_State *l) {
    struct telling *t = telling_of(l);
    struct err err = {{0}};
    struct bytes name = check_text(l, 1);
    const char *type = luaL_checkstring(l, 2);
    struct json *records = lesson(l, t, &err);
    bool ok = records && (strcmp(type, "http") == 0 ? lab_teach_web(t->lab, name, records, &err)
                                                    : lab_teach(t->lab, name.at, type, records, &err));
    json_free(&records);
    if (!ok) return refuse(l, &err);
    lua_pushboolean(l, 1);
    return 1;
}

// suppress(address, scope, reason, seconds or 0)
static int suppress(lua_State *l) {
    struct err err = {{0}};
    int64_t expires_s = luaL_checkinteger(l, 4);
    if (!lab_suppress(telling_of(l)->lab, check_text(l, 1), check_text(l, 2), check_text(l, 3), expires_s,
                      &err))
        return refuse(l, &err);
    lua_pushboolean(l, 1);
    return 1;
}

// keep(key, value or nil, seconds or 0)
static int keep(lua_State *l) {
    struct err err = {{0}};
    struct buf value = {0};
    struct keep k = {.key = check_text(l, 1), .expires_s = luaL_checkinteger(l, 3)};
    bool fine = lua_isnoneornil(l, 2) || marshal_write(l, 2, &value, &err);
    k.value = buf_bytes(&value);
    if (fine) lab_keep(telling_of(l)->lab, &k);
    buf_release(&value);
    if (!fine) return refuse(l, &err);
    lua_pushboolean(l, 1);
    return 1;
}

// The limit at stack index 1: one of limit.*, or its key, and its window at 2 (as a plan's `spend` has them).
static struct spend check_spend(lua_State *l, int *rest) {
    const struct made_shape *shape = made_shape_at(l, 1);
    *rest = 2;
    if (shape && shape->group == MADE_LIMIT) return limit_lend(l, 1);
    *rest = 3;
    struct bytes key = check_text(l, 1);
    lua_Integer window_s = luaL_checkinteger(l, 2);
    luaL_argcheck(l, window_s > 0 && window_s <= UINT32_MAX && key.len <= SPEND_KEY_MAX, 1, "a limit is expected");
    return (struct spend){.key = key, .window_s = (uint32_t)window_s, .cap = UINT64_MAX};
}

// spend(limit, n): so many of it are used now; nil: all of it
static int spend(lua_State *l) {
    struct err err = {{0}};
    int rest;
    struct spend s = check_spend(l, &rest);
    lua_Integer n = luaL_optinteger(l, rest, (lua_Integer)s.cap);
    luaL_argcheck(l, n >= 0, rest, "a number from 0 is expected");
    if (!lab_spend(telling_of(l)->lab, &s, (uint64_t)n, &err)) return refuse(l, &err);
    lua_pushboolean(l, 1);
    return 1;
}

// fill(limit, seconds): the peer says that it has no room for so long
static int fill(lua_State *l) {
    struct err err = {{0}};
    int rest;
    struct spend s = check_spend(l, &rest);
    if (!lab_fill(telling_of(l)->lab, &s, luaL_checkinteger(l, rest), &err)) return refuse(l, &err);
    lua_pushboolean(l, 1);
    return 1;
}

// set_time(seconds since 1970)
static int set_time(lua_State *l) {
    double seconds = luaL_checknumber(l, 1);
    luaL_argcheck(l, seconds > 0 && seconds < 1e11, 1, "a time after 1970 is expected");
    lab_clock(telling_of(l)->lab)->frozen_ms = (int64_t)(seconds * 1000 + 0.5);
    return 0;
}

// file(name): a text of the policy's, or nil
static int file(lua_State *l) {
    struct bytes text;
    if (bundle_find(telling_of(l)->options->bundle, luaL_checkstring(l, 1), &text))
        lua_pushlstring(l, text.at, text.len);
    else
        lua_pushnil(l);
    return 1;
}

// where(): the line of the story that is at work
static int where(lua_State *l) {
    char text[64];
    vm_where(l, text);
    lua_pushstring(l, text);
    return 1;
}

// fail(text, where, trace): the story that is told has failed; the kit ends it
static int fail(lua_State *l) {
    struct telling *t = telling_of(l);
    struct bytes text = check_text(l, 1), at = check_text(l, 2);
    struct err err;
    t->failed = true;
    buf_reset(&t->failure);
    buf_reset(&t->failed_at);
    buf_reset(&t->trace);
    buf_add(&t->failure, text);
    buf_add(&t->failed_at, at);
    if (!lua_isnoneornil(l, 3) && !marshal_write(l, 3, &t->trace, &err)) buf_reset(&t->trace);
    return 0;
}

static int open_story(lua_State *l) {
    static const luaL_Reg functions[] = {
        {"add", add},     {"use", use},   {"ask", ask},   {"teach", teach},       {"set_time", set_time},
        {"where", where}, {"fail", fail}, {"file", file}, {"suppress", suppress}, {"keep", keep},
        {"spend", spend}, {"fill", fill}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}

void story_bind(lua_State *l, struct telling *t) {
    lua_pushlightuserdata(l, t);
    lua_rawsetp(l, LUA_REGISTRYINDEX, &telling_key);
    module_add(l, "core.story", open_story);
}
