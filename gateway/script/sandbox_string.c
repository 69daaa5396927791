// SPDX-License-Identifier: MIT
// The table `string`: Lua's, with find, match, gmatch, gsub and rep of our own that cannot run away.
#include "script/sandbox.h"

#include "script/lua.h"
#include "script/pattern.h"

#include <stdio.h>

enum { CALL_STEPS = 2 * 1000 * 1000, STEPS_PER_CHARGE = 4 };

static struct bytes check_bytes(lua_State *l, int i) {
    size_t len;
    const char *at = luaL_checklstring(l, i, &len);
    return bytes_range(at, len);
}

// One call's matching. Charges the run for what it took and raises on a fault.
static bool settle(lua_State *l, struct pattern *p, enum pattern_result result, int64_t before,
                   const char *who) {
    if (result == PATTERN_DEAR || result == PATTERN_BAD) {
        char pattern[64]; // as much of it as tells which one it is
        snprintf(pattern, sizeof pattern, "%.*s%s", p->text.len > 60 ? 57 : (int)p->text.len, p->text.at,
                 p->text.len > 60 ? "..." : "");
        if (result == PATTERN_BAD) return luaL_error(l, "string.%s: pattern '%s' %s", who, pattern, p->fault);
        return luaL_error(l,
                          "string.%s: pattern '%s' takes too many steps on this text of %d bytes (use re.%s)",
                          who, pattern, (int)p->subject.len, who);
    }
    vm_charge(l, (uint64_t)(before - p->steps) / STEPS_PER_CHARGE);
    return result == PATTERN_YES;
}

// Capture i of the last match; the whole match (from..end) where there are none and i is 0.
static void push_capture(lua_State *l, const struct pattern *p, int i, size_t from, size_t end) {
    if (p->count == 0) {
        lua_pushlstring(l, p->subject.at + from, end - from);
        return;
    }
    const struct pattern_capture *c = &p->captures[i];
    if (c->len == PATTERN_POSITION)
        lua_pushinteger(l, c->at - p->subject.at + 1);
    else
        lua_pushlstring(l, c->at, (size_t)c->len);
}

static int push_captures(lua_State *l, const struct pattern *p, size_t from, size_t end, bool whole_if_none) {
    int count = p->count ? p->count : whole_if_none;
    luaL_checkstack(l, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(l, p, i, from, end);
    return count;
}

// A position counted from 1, or from the end when negative, as an offset; len + 1 and more mean "behind the end".
static size_t offset_of(lua_Integer position, size_t len) {
    if (position > 0) return (size_t)position - 1;
    if (position == 0 || position < -(lua_Integer)len) return 0;
    return len - (size_t)-position;
}

static bool cut_anchor(struct bytes *text) {
    if (!text->len || text->at[0] != '^') return false;
    *text = bytes_skip(*text, 1);
    return true;
}

static int find_or_match(lua_State *l, bool find) {
    const char *who = find ? "find" : "match";
    struct pattern p = {.subject = check_bytes(l, 1), .text = check_bytes(l, 2), .steps = CALL_STEPS};
    size_t from = offset_of(luaL_optinteger(l, 3, 1), p.subject.len), start = from, end;
    if (from > p.subject.len) {
        lua_pushnil(l);
        return 1;
    }
    if (find && (lua_toboolean(l, 4) || pattern_is_plain(p.text))) {
        vm_charge(l, (p.subject.len - from) / 32);
        ptrdiff_t at = bytes_search(bytes_skip(p.subject, from), p.text);
        if (at < 0) {
            lua_pushnil(l);
            return 1;
        }
        lua_pushinteger(l, (lua_Integer)(from + (size_t)at + 1));
        lua_pushinteger(l, (lua_Integer)(from + (size_t)at + p.text.len));
        return 2;
    }
    enum pattern_result result =
        cut_anchor(&p.text) ? pattern_at(&p, from, &end) : pattern_search(&p, from, &start, &end);
    if (!settle(l, &p, result, CALL_STEPS, who)) {
        lua_pushnil(l);
        return 1;
    }
    if (!find) return push_captures(l, &p, start, end, true);
    lua_pushinteger(l, (lua_Integer)start + 1);
    lua_pushinteger(l, (lua_Integer)end);
    return 2 + push_captures(l, &p, start, end, false);
}

static int string_find(lua_State *l) {
    return find_or_match(l, true);
}
static int string_match(lua_State *l) {
    return find_or_match(l, false);
}

// Upvalues: subject, pattern, offset to go on from, end of the last match (-1 at first).
static int gmatch_next(lua_State *l) {
    struct pattern p = {.subject = check_bytes(l, lua_upvalueindex(1)),
                        .text = check_bytes(l, lua_upvalueindex(2)),
                        .steps = CALL_STEPS};
    size_t from = (size_t)lua_tointeger(l, lua_upvalueindex(3)), end;
    lua_Integer last = lua_tointeger(l, lua_upvalueindex(4));
    for (; from <= p.subject.len; from++) {
        enum pattern_result result = pattern_at(&p, from, &end);
        if (result == PATTERN_NO || (result == PATTERN_YES && (lua_Integer)end == last)) continue;
        settle(l, &p, result, CALL_STEPS, "gmatch");
        lua_pushinteger(l, (lua_Integer)end);
        lua_copy(l, -1, lua_upvalueindex(3));
        lua_replace(l, lua_upvalueindex(4));
        return push_captures(l, &p, from, end, true);
    }
    lua_pushinteger(l, (lua_Integer)from);
    lua_replace(l, lua_upvalueindex(3));
    settle(l, &p, PATTERN_NO, CALL_STEPS, "gmatch");
    return 0;
}

static int string_gmatch(lua_State *l) {
    struct bytes subject = check_bytes(l, 1);
    check_bytes(l, 2);
    size_t from = offset_of(luaL_optinteger(l, 3, 1), subject.len);
    lua_settop(l, 2);
    lua_pushinteger(l, (lua_Integer)from);
    lua_pushinteger(l, -1);
    lua_pushcclosure(l, gmatch_next, 4);
    return 1;
}

static void add_template(lua_State *l, luaL_Buffer *out, const struct pattern *p, size_t from, size_t end) {
    size_t len;
    const char *with = lua_tolstring(l, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (with[i] != '%') {
            luaL_addchar(out, with[i]);
            continue;
        }
        char c = i + 1 < len ? with[++i] : 0;
        if (c == '%') {
            luaL_addchar(out, '%');
        } else if (c == '0') {
            luaL_addlstring(out, p->subject.at + from, end - from);
        } else if (c >= '1' && c <= '9' && (c - '1' < p->count || c == '1')) {
            push_capture(l, p, c - '1', from, end);
            luaL_tolstring(l, -1, NULL); // a position is a number
            lua_remove(l, -2);
            luaL_addvalue(out);
        } else {
            luaL_error(l, "string.gsub: '%%' at %d of the replacement names no capture", (int)i);
        }
    }
}

void sandbox_add_replacement(lua_State *l, luaL_Buffer *out, struct bytes match, const char *who) {
    if (!lua_toboolean(l, -1)) {
        lua_pop(l, 1);
        luaL_addlstring(out, match.at, match.len); // nil or false: as it was
    } else if (lua_isstring(l, -1)) {
        luaL_addvalue(out);
    } else {
        luaL_error(l, "%s: the replacement is a %s, not a text", who, luaL_typename(l, -1));
    }
}

static void add_replacement(lua_State *l, luaL_Buffer *out, const struct pattern *p, size_t from,
                            size_t end) {
    int kind = lua_type(l, 3);
    if (kind == LUA_TFUNCTION) {
        lua_pushvalue(l, 3);
        lua_call(l, push_captures(l, p, from, end, true), 1);
    } else if (kind == LUA_TTABLE) {
        push_capture(l, p, 0, from, end);
        lua_gettable(l, 3);
    } else {
        add_template(l, out, p, from, end);
        return;
    }
    sandbox_add_replacement(l, out, bytes_range(p->subject.at + from, end - from), "string.gsub");
}

static int string_gsub(lua_State *l) {
    struct pattern p = {.subject = check_bytes(l, 1), .text = check_bytes(l, 2), .steps = CALL_STEPS};
    int kind = lua_type(l, 3);
    luaL_argexpected(
        l, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION || kind == LUA_TTABLE, 3,
        "string, function or table");
    lua_Integer max = luaL_optinteger(l, 4, (lua_Integer)p.subject.len + 1), done = 0;
    if (kind == LUA_TNUMBER) lua_tolstring(l, 3, NULL);
    bool anchored = cut_anchor(&p.text);
    lua_Integer last = -1;
    size_t at = 0;
    luaL_Buffer out;
    luaL_buffinit(l, &out);
    while (done < max) {
        size_t end;
        int64_t before = p.steps;
        bool hit = settle(l, &p, pattern_at(&p, at, &end), before, "gsub");
        if (hit && (lua_Integer)end != last) {
            done++;
            add_replacement(l, &out, &p, at, end);
            at = end;
            last = (lua_Integer)end;
        } else if (at < p.subject.len) {
            luaL_addchar(&out, p.subject.at[at++]);
        } else {
            break;
        }
        if (anchored) break;
    }
    if (at < p.subject.len) luaL_addlstring(&out, p.subject.at + at, p.subject.len - at);
    luaL_pushresult(&out);
    lua_pushinteger(l, done);
    return 2;
}

static int string_rep(lua_State *l) {
    struct bytes text = check_bytes(l, 1);
    lua_Integer n = luaL_checkinteger(l, 2);
    struct bytes between = lua_isnoneornil(l, 3) ? bytes_of("") : check_bytes(l, 3);
    size_t each = text.len + between.len, ceiling = 64 << 20;
    if (n <= 0 || each == 0) {
        lua_pushliteral(l, "");
        return 1;
    }
    if (each > ceiling || (uint64_t)n > ceiling / each)
        return luaL_error(l, "string.rep: the result would be too long");
    size_t total = each * (size_t)n - between.len;
    vm_charge(l, total / 32);
    luaL_Buffer out;
    char *to = luaL_buffinitsize(l, &out, total);
    for (; n > 0; n--) {
        memcpy(to, text.at, text.len);
        to += text.len;
        if (n > 1) memcpy(to, between.at, between.len);
        if (n > 1) to += between.len;
    }
    luaL_pushresultsize(&out, total);
    return 1;
}

int sandbox_open_string(lua_State *l) {
    static const char *const charged[] = {"byte",  "char",    "format", "len", "lower",
                                          "upper", "reverse", "sub",    NULL};
    static const luaL_Reg own[] = {{"find", string_find}, {"match", string_match}, {"gmatch", string_gmatch},
                                   {"gsub", string_gsub}, {"rep", string_rep},     {NULL, NULL}};
    luaopen_string(l); // also gives texts their metatable, with arithmetic
    lua_createtable(l, 0, 16);
    for (const char *const *name = charged; *name; name++) {
        lua_getfield(l, -2, *name);
        if (strcmp(*name, "sub") && strcmp(*name, "len")) sandbox_charge_texts(l); // those two cost nothing
        lua_setfield(l, -2, *name);
    }
    luaL_setfuncs(l, own, 0);
    lua_remove(l, -2);
    // s:find(...) finds ours, and nobody changes them for the others.
    lua_pushliteral(l, "");
    lua_getmetatable(l, -1);
    lua_pushvalue(l, -3);
    lua_setfield(l, -2, "__index");
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_pop(l, 2);
    return 1;
}
