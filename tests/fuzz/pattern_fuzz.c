// SPDX-License-Identifier: MIT
// Our matcher of patterns against Lua's own: the same match, the same captures, or both refuse the pattern.
#include "script/pattern.h"

#include "script/lua.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATTERN_BYTES = 12, SUBJECT_BYTES = 20, STEPS = 200000 };

static void check(bool holds) {
    if (!holds) abort();
}

// One capture of ours against the value at stack index i.
static void compare(lua_State *l, int i, const struct pattern *p, const struct pattern_capture *c) {
    if (c->len == PATTERN_POSITION) {
        check(lua_isinteger(l, i) && lua_tointeger(l, i) == c->at - p->subject.at + 1);
        return;
    }
    size_t len;
    check(lua_type(l, i) == LUA_TSTRING);
    const char *text = lua_tolstring(l, i, &len);
    check(len == (size_t)c->len && memcmp(text, c->at, len) == 0);
}

static void against_lua(struct pattern *p, enum pattern_result result, size_t start, size_t end) {
    lua_State *l = luaL_newstate();
    luaL_requiref(l, "string", luaopen_string, 0);
    lua_getfield(l, -1, "find");
    lua_pushlstring(l, p->subject.at, p->subject.len);
    lua_pushlstring(l, p->text.at, p->text.len);
    int status = lua_pcall(l, 2, LUA_MULTRET, 0);
    if (result == PATTERN_BAD) {
        // Lua finds some faults only where the match comes to them, and we others: but a match it is not.
        check(status != LUA_OK || lua_isnil(l, 2));
    } else if (result == PATTERN_NO) {
        check(status != LUA_OK || lua_isnil(l, 2));
    } else {
        check(status == LUA_OK && lua_tointeger(l, 2) == (lua_Integer)start + 1 && lua_tointeger(l, 3) == (lua_Integer)end);
        check(lua_gettop(l) == 3 + p->count);
        for (int i = 0; i < p->count; i++)
            compare(l, 4 + i, p, &p->captures[i]);
    }
    lua_close(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    size_t cut = data[0] % (PATTERN_BYTES + 1);
    struct bytes all = bytes_range(data + 1, size - 1);
    struct bytes text = bytes_first(all, cut);
    struct bytes subject = bytes_first(bytes_skip(all, text.len), SUBJECT_BYTES);
    if ((text.len && text.at[0] == '^') || pattern_is_plain(text)) return 0; // the caller's affair
    // Copies of exact size, so that a step too far is seen.
    char *t = malloc(text.len + 1), *s = malloc(subject.len + 1);
    memcpy(t, text.at, text.len);
    memcpy(s, subject.at, subject.len);
    t = realloc(t, text.len ? text.len : 1);
    s = realloc(s, subject.len ? subject.len : 1);
    struct pattern p = {.subject = bytes_range(s, subject.len), .text = bytes_range(t, text.len), .steps = STEPS};
    size_t start = 0, end = 0;
    enum pattern_result result = pattern_search(&p, 0, &start, &end);
    if (result != PATTERN_DEAR) against_lua(&p, result, start, end);
    free(t);
    free(s);
    return 0;
}
