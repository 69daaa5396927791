// SPDX-License-Identifier: MIT
// core.suppression: has; and the field `suppress` of plans and verdicts, which asks for an entry.
#include "policy/lookup.h"
#include "policy/made.h"
#include "policy/wall.h"

#include "base/jsonl.h"
#include "base/utf8.h"
#include "mail/address.h"

#include <stdio.h>

enum { LOOK_UP_STEPS = 500, YEARS_MAX = 100 };

// ---- what an answer may ask for

enum { ENTRY_SCOPE, ENTRY_REASON, ENTRY_EXPIRES };
static const struct made_row entry_rows[] = {
    [ENTRY_SCOPE] = {"scope", MADE_TEXT},
    [ENTRY_REASON] = {"reason", MADE_TEXT},
    [ENTRY_EXPIRES] = {"expires", MADE_SECONDS, .min = 1, .max = YEARS_MAX * 366.0 * 86400},
    {0},
};
const struct made_shape suppress_shape = {"suppress", 0, false, entry_rows, NULL};

struct suppress suppress_read(lua_State *l, int i, int row) {
    struct suppress s = {.scope = BYTES(""), .reason = BYTES("")};
    if (!made_push(l, i, row)) return s;
    int entry = lua_gettop(l);
    s.scope = made_text(l, entry, ENTRY_SCOPE);
    s.reason = utf8_first(made_text(l, entry, ENTRY_REASON), SUPPRESSION_WORDS); // a peer's words may be long
    s.expires_s = made_int(l, entry, ENTRY_EXPIRES, 0);
    lua_pop(l, 1); // its texts are kept by the value at i
    if (!s.scope.len) s.scope = BYTES("all");
    if (!suppression_scope_is_valid(s.scope))
        made_refuse(l, i,
                    "suppress.scope: \"all\", \"stream:NAME\" or \"identity:NAME\" is expected, not '%.60s'",
                    s.scope.at);
    return s;
}

// ---- suppression.has(address, { stream = , identity = })

static void set_text(lua_State *l, const char *name, struct bytes text) {
    lua_pushlstring(l, text.len ? text.at : "", text.len);
    lua_setfield(l, -2, name);
}

static void push_entry(lua_State *l, const struct suppression *s) {
    lua_createtable(l, 0, 6);
    set_text(l, "address", s->address);
    set_text(l, "scope", s->scope);
    set_text(l, "reason", s->reason);
    set_text(l, "source", s->source);
    lua_pushnumber(l, (double)s->added_ms / 1000);
    lua_setfield(l, -2, "added_at");
    if (!s->until_ms) return;
    lua_pushnumber(l, (double)s->until_ms / 1000);
    lua_setfield(l, -2, "expires_at");
}

// "stream:NAME" from the field `stream` of the table at 2. A name that no scope can have has no entries.
static bool read_scope(lua_State *l, const char *kind, struct arena *arena, struct bytes *out) {
    struct bytes name = {.at = NULL};
    if (!lua_istable(l, 2)) return false;
    int type = lua_getfield(l, 2, kind);
    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_error(l, "suppression.has: %s: a name is expected, not a %s", kind, lua_typename(l, type));
    if (type == LUA_TSTRING) name.at = lua_tolstring(l, -1, &name.len);
    bool possible = name.len && name.len <= SUPPRESSION_SCOPE && bytes_find(name, 0) < 0;
    if (possible) *out = arena_format(arena, "%s:%.*s", kind, BYTES_FMT(name));
    lua_pop(l, 1);
    return possible && suppression_scope_is_valid(*out);
}

static void check_where(lua_State *l) {
    if (lua_isnoneornil(l, 2)) return;
    if (!lua_istable(l, 2))
        luaL_error(l, "suppression.has: { stream = name, identity = name } is expected, not a %s",
                   luaL_typename(l, 2));
    for (lua_pushnil(l); lua_next(l, 2); lua_pop(l, 1)) {
        const char *name = lua_type(l, -2) == LUA_TSTRING ? lua_tostring(l, -2) : "?";
        if (strcmp(name, "stream") != 0 && strcmp(name, "identity") != 0)
            luaL_error(l, "suppression.has: unknown field '%s' (known: stream, identity)", name);
    }
}

// "suppressed bob@example.net all stream:news"
static struct bytes question_of(char out[LOOKUP_QUESTION], struct bytes address, const struct bytes *scopes, size_t count) {
    int len = snprintf(out, LOOKUP_QUESTION, "suppressed %.*s %.*s %.*s %.*s", BYTES_FMT(bytes_first(address, LOOKUP_QUESTION / 2)),
                       BYTES_FMT(scopes[0]), count > 1 ? (int)scopes[1].len : 0, scopes[1].at, count > 2 ? (int)scopes[2].len : 0,
                       scopes[2].at);
    return bytes_range(out, len < LOOKUP_QUESTION ? (size_t)len : LOOKUP_QUESTION - 1);
}

// {"suppression":"ann@example.net","scopes":["all",...],"found":{"scope":...,"reason":...}}; without `found` nobody stops it.
static void tell_witness(struct hook_ticket *t, struct bytes address, const struct bytes *scopes, size_t count,
                         const struct suppression *found) {
    const struct witness *w = t->g->options.witness;
    if (!w || !w->looked) return;
    struct buf line = {0};
    struct jsonl j = jsonl_begin(&line);
    jsonl_text(&j, "suppression", address);
    jsonl_open(&j, "scopes", '[');
    for (size_t i = 0; i < count; i++) jsonl_text(&j, NULL, scopes[i]);
    jsonl_close(&j, ']');
    if (found) {
        jsonl_open(&j, "found", '{');
        jsonl_text(&j, "address", found->address);
        jsonl_text(&j, "scope", found->scope);
        jsonl_text(&j, "reason", found->reason);
        jsonl_text(&j, "source", found->source);
        if (found->until_ms) jsonl_time(&j, "until", found->until_ms);
        jsonl_close(&j, '}');
    }
    jsonl_close(&j, '}');
    w->looked(w->arg, buf_bytes(&line));
    buf_release(&line);
}

static int has(lua_State *l) {
    struct hook_ticket *t = ticket_of(l);
    const struct generation_options *o = &t->g->options;
    struct bytes text = {.at = NULL}, scopes[3] = {BYTES("all")};
    size_t count = 1;
    text.at = luaL_checklstring(l, 1, &text.len);
    check_where(l);
    vm_charge(l, LOOK_UP_STEPS);
    count += read_scope(l, "stream", &t->arena, &scopes[count]);
    count += read_scope(l, "identity", &t->arena, &scopes[count]);
    char asked[LOOKUP_QUESTION];
    struct bytes question = question_of(asked, text, scopes, count);
    if (lookup_again(l, question)) return 1;
    if (!o->suppressed) return luaL_error(l, "suppression.has: there is no list here");
    struct suppression found;
    struct buf *listed = &t->g->scratch;
    buf_reset(listed);
    // What is no mailbox (a bare "postmaster") cannot be on the list either.
    bool there = address_listed(text, listed, NULL) &&
                 o->suppressed(o->suppressed_arg, scopes, count, buf_bytes(listed), &t->arena, &found);
    tell_witness(t, text, scopes, count, there ? &found : NULL);
    if (there) push_entry(l, &found);
    else lua_pushnil(l);
    lookup_keep(l, question, -1);
    return 1;
}

int open_suppression(lua_State *l) {
    static const luaL_Reg functions[] = {{"has", has}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
