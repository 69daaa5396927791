// SPDX-License-Identifier: MIT
#include "policy/made.h"

#include "base/bug.h"
#include "base/nearest.h"
#include "base/quantity.h"
#include "base/utf8.h"
#include "policy/wall.h"
#include "policy/watched.h"
#include "script/frozen.h"
#include "script/lua.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 2000 };
static const char kind[] = "made";

struct made {
    const struct made_shape *shape;
    char where[64];
};

static const struct made *made_at(lua_State *l, int i) {
    return luaL_testudata(l, i, kind);
}

// Where in a constructor's argument we are, for words.
struct spot {
    const struct made_shape *shape; // the outermost
    char path[80];                  // "lane." before the name
};

static int row_count(const struct made_shape *shape) {
    int n = 0;
    while (shape->rows[n].name)
        n++;
    return n;
}

static int refuse(lua_State *l, const struct spot *s, const char *field, const char *why) {
    char where[64];
    vm_where(l, where);
    lua_pushfstring(l, "%s%s%s: %s%s%s%s", where, *where ? ": " : "", s->shape->name, s->path, field,
                    *field || *s->path ? ": " : "", why);
    return lua_error(l); // not luaL_error: it would add a line of the library
}

static int refuse_kind(lua_State *l, const struct spot *s, const char *field, int i, const char *expected) {
    char why[200];
    snprintf(why, sizeof why, "%s is expected, not %s%s", expected, lua_isnil(l, i) ? "" : "a ",
             luaL_typename(l, i));
    return refuse(l, s, field, why);
}

static int refuse_unknown(lua_State *l, const struct spot *s, const struct made_shape *shape,
                          const char *field) {
    struct nearest near = nearest_to(bytes_of(field));
    for (const struct made_row *r = shape->rows; r->name; r++)
        nearest_offer(&near, r->name);
    char where[64];
    vm_where(l, where);
    lua_pushfstring(l, "%s%s%s: unknown field '%s%s'", where, *where ? ": " : "", s->shape->name, s->path,
                    field);
    if (near.name) {
        lua_pushfstring(l, " (did you mean '%s'?)", near.name);
        lua_concat(l, 2);
    }
    return lua_error(l);
}

// ---- one value: the value at the top is checked, and replaced by what is kept of it

static void check_text(lua_State *l, const struct spot *s, const struct made_row *r) {
    if (lua_type(l, -1) != LUA_TSTRING) refuse_kind(l, s, r->name, -1, "a text");
    struct bytes text = {.at = NULL};
    text.at = lua_tolstring(l, -1, &text.len);
    if (text.len == 0) refuse(l, s, r->name, "the text is empty");
    if (text.len > (r->max > 0 ? (size_t)r->max : TEXT_MAX)) refuse(l, s, r->name, "the text is too long");
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 32 || text.at[i] == 127)
            refuse(l, s, r->name, "a control character in the text");
    if (!utf8_is_valid(text)) refuse(l, s, r->name, "the text is not UTF-8");
}

static int refuse_int(lua_State *l, const struct spot *s, const struct made_row *r) {
    char expected[100];
    snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", r->min, r->max);
    if (lua_type(l, -1) != LUA_TNUMBER) return refuse_kind(l, s, r->name, -1, expected);
    lua_pushfstring(l, "%s is expected, not %s", expected, luaL_tolstring(l, -1, NULL));
    return refuse(l, s, r->name, lua_tostring(l, -1));
}

static void check_int(lua_State *l, const struct spot *s, const struct made_row *r) {
    int whole = 0;
    lua_Integer n = lua_type(l, -1) == LUA_TNUMBER ? lua_tointegerx(l, -1, &whole) : 0;
    if (!whole || (double)n < r->min || (double)n > r->max) refuse_int(l, s, r);
    lua_pushinteger(l, n);
    lua_replace(l, -2);
}

static void check_seconds(lua_State *l, const struct spot *s, const struct made_row *r) {
    int64_t seconds = -1;
    struct bytes text = {.at = NULL};
    if (lua_type(l, -1) == LUA_TSTRING) {
        text.at = lua_tolstring(l, -1, &text.len);
        if (!quantity_duration(text, &seconds))
            refuse(l, s, r->name, "not a duration; as 300, \"90s\" or \"1h30m\"");
    } else if (lua_type(l, -1) == LUA_TNUMBER) {
        double n = lua_tonumber(l, -1);
        if (!(n >= r->min && n <= r->max)) n = -1;
        seconds = n < 0 ? -1 : (int64_t)(n + 0.999); // never sooner than asked
    } else {
        refuse_kind(l, s, r->name, -1, "a duration (seconds, or as \"1h30m\")");
    }
    if ((double)seconds < r->min || (double)seconds > r->max) {
        char why[100];
        snprintf(why, sizeof why, "%.0f to %.0f seconds are possible", r->min, r->max);
        refuse(l, s, r->name, why);
    }
    lua_pushinteger(l, seconds);
    lua_replace(l, -2);
}

static void check_choice(lua_State *l, const struct spot *s, const struct made_row *r) {
    const char *word = lua_type(l, -1) == LUA_TSTRING ? lua_tostring(l, -1) : NULL;
    char expected[200] = "one of";
    size_t at = strlen(expected);
    for (int i = 0; r->choices[i]; i++) {
        if (word && strcmp(word, r->choices[i]) == 0) {
            lua_pop(l, 1);
            lua_pushinteger(l, i);
            return;
        }
        at += (size_t)snprintf(expected + at, sizeof expected - at, "%s \"%s\"", i ? "," : "", r->choices[i]);
    }
    if (!word) refuse_kind(l, s, r->name, -1, expected);
    lua_pushfstring(l, "%s is expected, not \"%s\"", expected, word);
    refuse(l, s, r->name, lua_tostring(l, -1));
}

static void check_reply(lua_State *l, const struct spot *s, const struct made_row *r) {
    if (lua_type(l, -1) != LUA_TSTRING) refuse_kind(l, s, r->name, -1, "a reply, as \"550 5.7.1 words\",");
    struct bytes text = {.at = NULL};
    text.at = lua_tolstring(l, -1, &text.len);
    struct reply reply;
    struct err err;
    if (!reply_from_text(text, &reply, &err)) refuse(l, s, r->name, err.text);
    if (!strchr(r->choices[0], '0' + reply.code / 100))
        refuse(l, s, r->name,
               strcmp(r->choices[0], "5") == 0   ? "a permanent reply (5xx) is expected"
               : strcmp(r->choices[0], "4") == 0 ? "a temporary reply (4xx) is expected"
                                                 : "a reply of 4xx or 5xx is expected");
}

static void check_made(lua_State *l, const struct spot *s, const struct made_row *r) {
    const struct made_shape *shape = made_shape_at(l, -1);
    if (shape && (shape->group & r->groups)) return;
    const char *expected = r->groups == MADE_VIA    ? "a way out (route.direct, relay, lmtp or capture)"
                           : r->groups == MADE_PLAN ? "a plan (route.send, wait, ...)"
                           : r->groups == MADE_LIMIT ? "a limit (limit.per_day, ...)"
                           : r->groups == MADE_KEEP ? "an entry (shelf.put or shelf.drop)"
                                                    : "an answer";
    if (!shape) refuse_kind(l, s, r->name, -1, expected);
    lua_pushfstring(l, "%s is expected, not %s", expected, shape->name);
    refuse(l, s, r->name, lua_tostring(l, -1));
}

// Replaced by a copy: what the script does to its own table afterwards changes nothing.
static void check_list(lua_State *l, const struct spot *s, const struct made_row *r) {
    if (!lua_istable(l, -1) || made_shape_at(l, -1)) refuse_kind(l, s, r->name, -1, "a list, { ..., ... },");
    int list = lua_gettop(l);
    lua_Unsigned count = lua_rawlen(l, list), fields = 0;
    luaL_checkstack(l, 8, NULL);
    for (lua_pushnil(l); lua_next(l, list); lua_pop(l, 1)) fields++;
    if (fields != count) refuse(l, s, r->name, "a list has no names and no holes");
    if ((double)count < r->min || (double)count > r->max) {
        char why[80];
        snprintf(why, sizeof why, "%.0f to %.0f are possible, not %llu", r->min, r->max, (unsigned long long)count);
        refuse(l, s, r->name, why);
    }
    lua_createtable(l, (int)count, 0);
    for (lua_Unsigned i = 1; i <= count; i++) {
        lua_rawgeti(l, list, (lua_Integer)i);
        check_made(l, s, r);
        lua_rawseti(l, -2, (lua_Integer)i);
    }
    lua_replace(l, list);
}

static void check_fields(lua_State *l, struct spot *s, const struct made_shape *shape, int table);

static void check_inner(lua_State *l, struct spot *s, const struct made_row *r) {
    if (!lua_istable(l, -1)) refuse_kind(l, s, r->name, -1, "a table");
    size_t at = strlen(s->path);
    snprintf(s->path + at, sizeof s->path - at, "%s.", r->name);
    check_fields(l, s, r->inner, lua_gettop(l));
    s->path[at] = 0;
    lua_replace(l, -2);
}

static void check_value(lua_State *l, struct spot *s, const struct made_row *r) {
    switch (r->kind) {
    case MADE_TEXT:
        check_text(l, s, r);
        break;
    case MADE_BYTES:
        if (lua_type(l, -1) != LUA_TSTRING) refuse_kind(l, s, r->name, -1, "a text");
        break;
    case MADE_TEXTS:
        if (!lua_istable(l, -1)) check_text(l, s, r);
        break;
    case MADE_INT:
        check_int(l, s, r);
        break;
    case MADE_BOOL:
        if (!lua_isboolean(l, -1)) refuse_kind(l, s, r->name, -1, "true or false");
        break;
    case MADE_SECONDS:
        check_seconds(l, s, r);
        break;
    case MADE_CHOICE:
        check_choice(l, s, r);
        break;
    case MADE_REPLY:
        check_reply(l, s, r);
        break;
    case MADE_MADE:
        check_made(l, s, r);
        break;
    case MADE_LIST:
        check_list(l, s, r);
        break;
    case MADE_HANDLE:
        if (!luaL_testudata(l, -1, r->handle)) {
            lua_pushfstring(l, "an %s is expected, not a %s", r->handle, luaL_typename(l, -1));
            refuse(l, s, r->name, lua_tostring(l, -1));
        }
        break;
    case MADE_INNER:
        check_inner(l, s, r);
        break;
    case MADE_DATA:
        if (!lua_istable(l, -1) && !frozen_is(l, -1)) refuse_kind(l, s, r->name, -1, "a table");
        break;
    case MADE_TABLE:
        if (!lua_istable(l, -1)) refuse_kind(l, s, r->name, -1, "a table");
        break;
    case MADE_ANY:
        break;
    }
}

// ---- all fields

// Pushes the empty value with a place for each row.
static void push_empty(lua_State *l, const struct made_shape *shape) {
    struct made *m = lua_newuserdatauv(l, sizeof *m, row_count(shape));
    m->shape = shape;
    vm_where(l, m->where);
    luaL_setmetatable(l, kind);
}

static void check_required(lua_State *l, struct spot *s, const struct made_shape *shape) {
    for (int i = 0; shape->rows[i].name; i++) {
        if (!shape->rows[i].required) continue;
        if (lua_getiuservalue(l, -1, i + 1) == LUA_TNIL) refuse(l, s, shape->rows[i].name, "is missing");
        lua_pop(l, 1);
    }
}

static int find_row(const struct made_shape *shape, const char *name) {
    for (int i = 0; shape->rows[i].name; i++)
        if (strcmp(shape->rows[i].name, name) == 0) return i;
    return -1;
}

static void check_fields(lua_State *l, struct spot *s, const struct made_shape *shape, int table) {
    luaL_checkstack(l, 8, NULL);
    push_empty(l, shape);
    int made = lua_gettop(l);
    lua_pushnil(l);
    while (lua_next(l, table)) {
        if (lua_type(l, -2) != LUA_TSTRING) refuse(l, s, "", "fields have names: { name = value }");
        const char *name = lua_tostring(l, -2);
        int row = find_row(shape, name);
        if (row < 0) refuse_unknown(l, s, shape, name);
        check_value(l, s, &shape->rows[row]);
        lua_setiuservalue(l, made, row + 1);
    }
    check_required(l, s, shape);
}

static void check_arguments(lua_State *l, struct spot *s, const struct made_shape *shape) {
    int arguments = lua_gettop(l), rows = row_count(shape);
    if (arguments > rows) refuse(l, s, "", rows ? "too many arguments" : "takes no arguments");
    push_empty(l, shape);
    for (int i = 1; i <= arguments; i++) {
        if (lua_isnil(l, i)) continue;
        lua_pushvalue(l, i);
        check_value(l, s, &shape->rows[i - 1]);
        lua_setiuservalue(l, -2, i);
    }
    check_required(l, s, shape);
}

void made_check(lua_State *l, const struct made_shape *shape, int i) {
    struct spot s = {.shape = shape};
    if (!lua_istable(l, i)) refuse_kind(l, &s, "", i, "one table, { name = value },");
    check_fields(l, &s, shape, lua_absindex(l, i));
}

// One table where the first argument could be none: fields by name there too, retry.wait { seconds = 5, lane = {...} }.
static bool is_named(lua_State *l, const struct made_shape *shape) {
    static const bool is_plain[] = {[MADE_TEXT] = true, [MADE_INT] = true, [MADE_SECONDS] = true, [MADE_REPLY] = true};
    enum made_kind first = shape->rows[0].kind;
    bool plain = (size_t)first < sizeof is_plain && is_plain[first];
    return plain && lua_gettop(l) == 1 && lua_istable(l, 1);
}

// What a policy is made of: limits by their key, ways by their host.
static void watch(lua_State *l) {
    const struct generation *g = generation_of(l);
    if (!g->options.watch) return;
    const struct made *m = made_at(l, -1);
    int row = m->shape->group == MADE_LIMIT ? 0 : find_row(m->shape, "host");
    if (m->shape->group == MADE_LIMIT || (m->shape->group == MADE_VIA && row >= 0))
        watched_note(l, -1, m->shape->name, made_text(l, lua_gettop(l), row), m->where);
}

static int construct(lua_State *l) {
    const struct made_shape *shape = lua_touserdata(l, lua_upvalueindex(1));
    struct spot s = {.shape = shape};
    if (shape->positional && !is_named(l, shape)) {
        check_arguments(l, &s, shape);
        if (shape->check) shape->check(l, lua_gettop(l));
        watch(l);
        return 1;
    }
    if (lua_gettop(l) > 1) refuse(l, &s, "", "takes one table, { name = value }");
    if (lua_isnoneornil(l, 1)) {
        lua_settop(l, 0);
        lua_newtable(l);
    }
    made_check(l, shape, 1);
    if (shape->check) shape->check(l, lua_gettop(l));
    watch(l);
    return 1;
}

int made_refuse(lua_State *l, int i, const char *format, ...) {
    const struct made *m = made_at(l, i);
    char words[300];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    lua_pushfstring(l, "%s%s%s: %s", m->where, *m->where ? ": " : "", m->shape->name, words);
    lua_error(l);
    abort(); // lua_error does not return
}

static int say(lua_State *l) {
    const struct made *m = lua_touserdata(l, 1);
    lua_pushfstring(l, "%s (made at %s)", m->shape->name, m->where);
    return 1;
}

void made_open(lua_State *l) {
    luaL_newmetatable(l, kind);
    lua_pushcfunction(l, say);
    lua_setfield(l, -2, "__tostring");
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_pop(l, 1);
}

void made_push_constructor(lua_State *l, const struct made_shape *shape) {
    lua_pushlightuserdata(l, (void *)shape);
    lua_pushcclosure(l, construct, 1);
}

// ---- reading

const struct made_shape *made_shape_at(lua_State *l, int i) {
    const struct made *m = made_at(l, i);
    return m ? m->shape : NULL;
}

const char *made_where(lua_State *l, int i) {
    const struct made *m = made_at(l, i);
    return m ? m->where : "";
}

bool made_push(lua_State *l, int i, int row) {
    if (lua_getiuservalue(l, i, row + 1) > LUA_TNIL) return true;
    lua_pop(l, 1);
    return false;
}

bool made_has(lua_State *l, int i, int row) {
    bool there = lua_getiuservalue(l, i, row + 1) > LUA_TNIL;
    lua_pop(l, 1);
    return there;
}

struct bytes made_text(lua_State *l, int i, int row) {
    struct bytes text = {.at = ""};
    if (!made_push(l, i, row)) return text;
    text.at = lua_tolstring(l, -1, &text.len); // kept by the made value
    lua_pop(l, 1);
    return text;
}

struct reply made_reply(lua_State *l, int i, int row) {
    struct reply reply = {0};
    struct bytes text = made_text(l, i, row);
    bug_if(text.len && !reply_from_text(text, &reply, NULL)); // was checked when it was made
    return reply;
}

int64_t made_int(lua_State *l, int i, int row, int64_t otherwise) {
    if (!made_push(l, i, row)) return otherwise;
    int64_t n = lua_tointeger(l, -1);
    lua_pop(l, 1);
    return n;
}

bool made_bool(lua_State *l, int i, int row) {
    if (!made_push(l, i, row)) return false;
    bool truth = lua_toboolean(l, -1);
    lua_pop(l, 1);
    return truth;
}
