// SPDX-License-Identifier: MIT
// The table `re`: match, find, gmatch, gsub on Perl's regular expressions, and compile.
//
// A pattern given as text is compiled once and kept, up to a number of them; re.compile's objects have the same functions
// as methods.
#include "policy/wall.h"

#include "script/regex.h"
#include "script/sandbox.h"

enum { CACHE_MAX = 200, MATCH_CHARGE = 50, GSUB_MATCHES_MAX = 100000 };

static const char kind[] = "regex";
static const char cache[] = "compiled regexes"; // registry: "flags/pattern" -> regex
static const char cache_count[] = "compiled regex count";

static int drop(lua_State *l) {
    regex_free(lua_touserdata(l, 1));
    return 0;
}

// Compiles the text at `i` and pushes the object.
static void compile_at(lua_State *l, int i, const char *flags) {
    struct bytes pattern;
    pattern.at = luaL_checklstring(l, i, &pattern.len);
    struct err err = {{0}};
    struct regex **re = lua_newuserdatauv(l, sizeof *re, 0);
    *re = NULL;
    luaL_setmetatable(l, kind);
    vm_charge(l, 2000 + pattern.len * 20);
    *re = regex_new(pattern, flags, &err);
    if (!*re) luaL_error(l, "re: %s", err.text);
}

// The regex at `i`: an object, or a text that is looked up.
static struct regex *check_regex(lua_State *l, int i) {
    struct regex **object = luaL_testudata(l, i, kind);
    if (object) return *object;
    luaL_checkstring(l, i);
    luaL_getsubtable(l, LUA_REGISTRYINDEX, cache);
    lua_pushvalue(l, i);
    if (lua_rawget(l, -2) == LUA_TUSERDATA) {
        lua_replace(l, i); // keeps it from the collector
        lua_pop(l, 1);
        return *(struct regex **)lua_touserdata(l, i);
    }
    lua_pop(l, 1);
    lua_getfield(l, LUA_REGISTRYINDEX, cache_count);
    lua_Integer n = lua_tointeger(l, -1);
    lua_pop(l, 1);
    if (n >= CACHE_MAX) { // patterns made at run time: start over
        lua_pop(l, 1);
        lua_newtable(l);
        lua_pushvalue(l, -1);
        lua_setfield(l, LUA_REGISTRYINDEX, cache);
        n = 0;
    }
    compile_at(l, i, "");
    lua_pushvalue(l, i);
    lua_pushvalue(l, -2);
    lua_rawset(l, -4);
    lua_pushinteger(l, n + 1);
    lua_setfield(l, LUA_REGISTRYINDEX, cache_count);
    lua_replace(l, i);
    lua_pop(l, 1);
    return *(struct regex **)lua_touserdata(l, i);
}

struct call {
    struct regex *re;
    struct bytes subject;
    struct bytes groups[REGEX_GROUPS_MAX + 1];
};

// re.f(subject, pattern, ...) or pattern:f(subject, ...): the stack becomes subject, pattern, ...
static void arguments(lua_State *l, struct call *c) {
    if (luaL_testudata(l, 1, kind)) {
        luaL_checkstring(l, 2);
        lua_pushvalue(l, 1);
        lua_copy(l, 2, 1);
        lua_replace(l, 2);
    }
    c->subject.at = luaL_checklstring(l, 1, &c->subject.len);
    c->re = check_regex(l, 2);
}

static bool try(lua_State *l, struct call *c, size_t from) {
    vm_charge(l, MATCH_CHARGE + (c->subject.len - from) / 256);
    enum regex_result result = regex_match(c->re, c->subject, from, c->groups);
    if (result == REGEX_DEAR) {
        vm_charge(l, 100000);
        luaL_error(l, "re: the match takes too many steps on this text of %d bytes", (int)c->subject.len);
    }
    size_t seen =
        result == REGEX_YES ? (size_t)(c->groups[0].at - c->subject.at) + c->groups[0].len : c->subject.len;
    if (seen > from) vm_charge(l, (seen - from) / 16);
    return result == REGEX_YES;
}

static void push_group(lua_State *l, const struct bytes *group) {
    if (group->at)
        lua_pushlstring(l, group->at, group->len);
    else
        lua_pushboolean(l, 0); // took no part; nil would shift what follows
}

// The groups; the whole match where there are none.
static int push_groups(lua_State *l, const struct call *c, bool whole_if_none) {
    int n = regex_groups(c->re);
    luaL_checkstack(l, n + 1, "too many groups");
    if (n == 0 && whole_if_none) {
        push_group(l, &c->groups[0]);
        return 1;
    }
    for (int i = 1; i <= n; i++)
        push_group(l, &c->groups[i]);
    return n;
}

static size_t start_at(lua_State *l) {
    lua_Integer from = luaL_optinteger(l, 3, 1);
    luaL_argcheck(l, from >= 1, 3, "counted from 1");
    return (size_t)from - 1;
}

static int re_match(lua_State *l) {
    struct call c;
    arguments(l, &c);
    size_t from = start_at(l);
    if (from <= c.subject.len && try(l, &c, from)) return push_groups(l, &c, true);
    lua_pushnil(l);
    return 1;
}

static int re_find(lua_State *l) {
    struct call c;
    arguments(l, &c);
    size_t from = start_at(l);
    if (from > c.subject.len || !try(l, &c, from)) {
        lua_pushnil(l);
        return 1;
    }
    lua_Integer at = c.groups[0].at - c.subject.at;
    lua_pushinteger(l, at + 1);
    lua_pushinteger(l, at + (lua_Integer)c.groups[0].len);
    return 2 + push_groups(l, &c, false);
}

// Where to look for the next match: behind this one, and further on after an empty one.
static size_t behind(const struct call *c) {
    size_t end = (size_t)(c->groups[0].at - c->subject.at) + c->groups[0].len;
    return c->groups[0].len ? end : end + 1;
}

static int gmatch_next(lua_State *l) {
    struct call c;
    lua_settop(l, 0);
    lua_pushvalue(l, lua_upvalueindex(1));
    lua_pushvalue(l, lua_upvalueindex(2));
    arguments(l, &c);
    size_t from = (size_t)lua_tointeger(l, lua_upvalueindex(3));
    if (from > c.subject.len || !try(l, &c, from)) {
        lua_pushinteger(l, (lua_Integer)c.subject.len + 1);
        lua_replace(l, lua_upvalueindex(3));
        return 0;
    }
    lua_pushinteger(l, (lua_Integer)behind(&c));
    lua_replace(l, lua_upvalueindex(3));
    return push_groups(l, &c, true);
}

static int re_gmatch(lua_State *l) {
    struct call c;
    arguments(l, &c);
    lua_settop(l, 2);
    lua_pushinteger(l, 0);
    lua_pushcclosure(l, gmatch_next, 3);
    return 1;
}

// "%1" and "%%" in a replacement text, as in string.gsub.
static void add_template(lua_State *l, luaL_Buffer *out, const struct call *c) {
    size_t len;
    const char *with = lua_tolstring(l, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (with[i] != '%') {
            luaL_addchar(out, with[i]);
            continue;
        }
        char d = i + 1 < len ? with[++i] : 0;
        if (d == '%')
            luaL_addchar(out, '%');
        else if (d >= '0' && d - '0' <= regex_groups(c->re) && d <= '9')
            luaL_addlstring(out, c->groups[d - '0'].at ? c->groups[d - '0'].at : "", c->groups[d - '0'].len);
        else
            luaL_error(l, "re.gsub: '%%' at %d of the replacement names no group", (int)i);
    }
}

static void add_replacement(lua_State *l, luaL_Buffer *out, const struct call *c) {
    int type = lua_type(l, 3);
    if (type == LUA_TSTRING) {
        add_template(l, out, c);
        return;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(l, 3);
        lua_call(l, push_groups(l, c, true), 1);
    } else {
        push_group(l, &c->groups[regex_groups(c->re) ? 1 : 0]);
        lua_gettable(l, 3);
    }
    sandbox_add_replacement(l, out, c->groups[0], "re.gsub");
}

static int re_gsub(lua_State *l) {
    struct call c;
    arguments(l, &c);
    int type = lua_type(l, 3);
    luaL_argexpected(l, type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                     "string, function or table");
    lua_Integer max = luaL_optinteger(l, 4, GSUB_MATCHES_MAX), done = 0;
    size_t from = 0, copied = 0;
    luaL_Buffer out;
    luaL_buffinit(l, &out);
    for (; done < max && from <= c.subject.len && try(l, &c, from); done++) {
        size_t at = (size_t)(c.groups[0].at - c.subject.at);
        if (at > copied) luaL_addlstring(&out, c.subject.at + copied, at - copied);
        copied = at + c.groups[0].len;
        from = behind(&c);
        add_replacement(l, &out, &c);
    }
    if (copied < c.subject.len) luaL_addlstring(&out, c.subject.at + copied, c.subject.len - copied);
    luaL_pushresult(&out);
    lua_pushinteger(l, done);
    return 2;
}

static int re_compile(lua_State *l) {
    compile_at(l, 1, luaL_optstring(l, 2, ""));
    return 1;
}

int open_re(lua_State *l) {
    static const luaL_Reg functions[] = {{"match", re_match}, {"find", re_find},       {"gmatch", re_gmatch},
                                         {"gsub", re_gsub},   {"compile", re_compile}, {NULL, NULL}};
    luaL_newmetatable(l, kind);
    lua_pushcfunction(l, drop);
    lua_setfield(l, -2, "__gc");
    luaL_newlib(l, functions); // also the methods
    lua_pushnil(l);
    lua_setfield(l, -2, "compile");
    lua_setfield(l, -2, "__index");
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_pop(l, 1);
    luaL_newlib(l, functions);
    return 1;
}
