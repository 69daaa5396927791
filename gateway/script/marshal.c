// SPDX-License-Identifier: MIT
#include "script/marshal.h"

#include "base/jsonl.h"
#include "base/utf8.h"
#include "script/frozen.h"
#include "script/json.h"
#include "script/lua.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char list_kind[] = "json list";
static const char null_kind;

void marshal_open(lua_State *l) {
    luaL_newmetatable(l, list_kind); // carries nothing: it only marks
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_pop(l, 1);
}

void marshal_push_null(lua_State *l) {
    lua_pushlightuserdata(l, (void *)&null_kind);
}

void marshal_mark_list(lua_State *l) {
    luaL_setmetatable(l, list_kind);
}

// ---- JSON to Lua

static bool push_value(lua_State *l, const struct json *j, int depth);

static bool push_table(lua_State *l, const struct json *j, int depth) {
    if (depth > MARSHAL_DEPTH) return false;
    vm_charge(l, json_count(j));
    luaL_checkstack(l, 4, "JSON nested too deep");
    if (json_kind(j) == JSON_LIST) {
        lua_createtable(l, (int)json_count(j), 0);
        marshal_mark_list(l);
        for (size_t i = 0; i < json_count(j); i++) {
            if (!push_value(l, json_item(j, i), depth + 1)) return false;
            lua_rawseti(l, -2, (lua_Integer)i + 1);
        }
        return true;
    }
    lua_createtable(l, 0, (int)json_count(j));
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(j, &at, &name, &value)) {
        lua_pushlstring(l, name.at, name.len);
        if (!push_value(l, value, depth + 1)) return false;
        lua_rawset(l, -3);
    }
    return true;
}

static bool push_value(lua_State *l, const struct json *j, int depth) {
    struct bytes text;
    int64_t integer;
    double number;
    bool truth;
    if (json_text(j, &text))
        lua_pushlstring(l, text.at, text.len);
    else if (json_int(j, &integer))
        lua_pushinteger(l, integer);
    else if (json_number(j, &number))
        lua_pushnumber(l, number);
    else if (json_bool(j, &truth))
        lua_pushboolean(l, truth);
    else if (json_kind(j) == JSON_NOTHING)
        marshal_push_null(l);
    else
        return push_table(l, j, depth);
    return true;
}

// The tree of jansson's must go even when Lua raises (memory, budget): it hangs from a userdata meanwhile.
static int drop_tree(lua_State *l) {
    json_free(lua_touserdata(l, 1));
    return 0;
}

bool marshal_push(lua_State *l, struct bytes text, struct err *err) {
    int top = lua_gettop(l);
    struct json **tree = lua_newuserdatauv(l, sizeof *tree, 0);
    *tree = NULL;
    if (luaL_newmetatable(l, "json tree")) {
        lua_pushcfunction(l, drop_tree);
        lua_setfield(l, -2, "__gc");
    }
    lua_setmetatable(l, -2);
    *tree = json_parse(text, err);
    bool ok =
        *tree && (push_value(l, *tree, 1) || err_set(err, "JSON: nested deeper than %d", MARSHAL_DEPTH));
    json_free(tree);
    if (ok)
        lua_remove(l, top + 1);
    else
        lua_settop(l, top);
    return ok;
}

// ---- Lua to JSON

struct writer {
    struct buf *out;
    struct err *err;
    char path[128]; // to the value at hand, for words
};

static bool refuse(struct writer *w, const char *why) {
    return err_set(w->err, "%s%s%s", w->path, *w->path ? ": " : "", why);
}

static bool write_value(lua_State *l, int i, struct writer *w, int depth);

static bool write_number(lua_State *l, int i, struct writer *w) {
    if (lua_isinteger(l, i)) {
        buf_format(w->out, "%" PRId64, (int64_t)lua_tointeger(l, i));
        return true;
    }
    double n = lua_tonumber(l, i);
    if (!isfinite(n)) return refuse(w, "infinity and NaN have no JSON form");
    char text[40];
    snprintf(text, sizeof text, "%.17g", n);
    double back = strtod(text, NULL);
    char shorter[40];
    snprintf(shorter, sizeof shorter, "%.15g", n);
    if (strtod(shorter, NULL) == back) snprintf(text, sizeof text, "%s", shorter);
    buf_addz(w->out, text);
    if (!strpbrk(text, ".e")) buf_addz(w->out, ".0"); // a float stays one
    return true;
}

static bool write_list(lua_State *l, int i, lua_Integer n, struct writer *w, int depth) {
    size_t path = strlen(w->path);
    buf_byte(w->out, '[');
    for (lua_Integer k = 1; k <= n; k++) {
        snprintf(w->path + path, sizeof w->path - path, "[%lld]", k);
        if (k > 1) buf_byte(w->out, ',');
        lua_rawgeti(l, i, k);
        if (!write_value(l, lua_gettop(l), w, depth)) return false;
        lua_pop(l, 1);
    }
    w->path[path] = 0;
    buf_byte(w->out, ']');
    return true;
}

static int by_text(const void *a, const void *b) {
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

// The names live in the table; the array of them is a userdata, so that an error in between leaves nothing behind.
static bool write_map(lua_State *l, int i, size_t n, struct writer *w, int depth) {
    struct bytes *names = lua_newuserdatauv(l, n * sizeof *names + 1, 0);
    size_t at = 0, path = strlen(w->path);
    for (lua_pushnil(l); lua_next(l, i); lua_pop(l, 1)) {
        names[at].at = lua_tolstring(l, -2, &names[at].len);
        at++;
    }
    qsort(names, n, sizeof *names, by_text);
    buf_byte(w->out, '{');
    for (at = 0; at < n; at++) {
        snprintf(w->path + path, sizeof w->path - path, "%s%.*s", path ? "." : "", BYTES_FMT(names[at]));
        if (!utf8_is_valid(names[at])) return refuse(w, "the name is not UTF-8");
        if (at) buf_byte(w->out, ',');
        jsonl_escape(w->out, names[at]);
        buf_byte(w->out, ':');
        lua_pushlstring(l, names[at].at, names[at].len);
        lua_rawget(l, i);
        if (!write_value(l, lua_gettop(l), w, depth)) return false;
        lua_pop(l, 1);
    }
    w->path[path] = 0;
    buf_byte(w->out, '}');
    lua_pop(l, 1);
    return true;
}

static bool write_table(lua_State *l, int i, struct writer *w, int depth) {
    if (depth > MARSHAL_DEPTH) return refuse(w, "nested too deep for JSON (or a table within itself)");
    if (!lua_checkstack(l, 8)) return refuse(w, "nested too deep for JSON");
    size_t texts = 0, others = 0;
    for (lua_pushnil(l); lua_next(l, i); lua_pop(l, 1))
        *(lua_type(l, -2) == LUA_TSTRING ? &texts : &others) += 1;
    vm_charge(l, texts * 4 + others);
    lua_Integer n = (lua_Integer)lua_rawlen(l, i);
    if (others && (texts || others != (size_t)n)) return refuse(w, "keys are neither all texts nor 1..n");
    if (others) return write_list(l, i, n, w, depth);
    if (texts) return write_map(l, i, texts, w, depth);
    bool list = false;
    if (lua_getmetatable(l, i)) {
        luaL_getmetatable(l, list_kind);
        list = lua_rawequal(l, -1, -2);
        lua_pop(l, 2);
    }
    buf_addz(w->out, list ? "[]" : "{}");
    return true;
}

static bool write_value(lua_State *l, int i, struct writer *w, int depth) {
    size_t len;
    switch (lua_type(l, i)) {
    case LUA_TNIL:
        buf_addz(w->out, "null");
        return true;
    case LUA_TBOOLEAN:
        buf_addz(w->out, lua_toboolean(l, i) ? "true" : "false");
        return true;
    case LUA_TNUMBER:
        return write_number(l, i, w);
    case LUA_TTABLE:
        return write_table(l, i, w, depth + 1);
    case LUA_TSTRING: {
        struct bytes text = {.at = lua_tolstring(l, i, &len)};
        text.len = len;
        vm_charge(l, len / 16);
        if (!utf8_is_valid(text)) return refuse(w, "the text is not UTF-8");
        jsonl_escape(w->out, text);
        return true;
    }
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(l, i) != &null_kind) break;
        buf_addz(w->out, "null");
        return true;
    case LUA_TUSERDATA:
        if (!frozen_is(l, i)) break;
        frozen_push_content(l, i);
        if (!write_value(l, lua_gettop(l), w, depth)) return false;
        lua_pop(l, 1);
        return true;
    }
    char why[60];
    snprintf(why, sizeof why, "a %s has no JSON form", luaL_typename(l, i));
    return refuse(w, why);
}

bool marshal_write(lua_State *l, int i, struct buf *out, struct err *err) {
    int top = lua_gettop(l);
    size_t was = out->len;
    struct writer w = {.out = out, .err = err};
    bool ok = write_value(l, lua_absindex(l, i), &w, 0);
    if (!ok) out->len = was;
    lua_settop(l, top);
    return ok;
}
