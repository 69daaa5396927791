// SPDX-License-Identifier: MIT
// core.answer: what connect, authenticate, sender, recipient and message return.
#include "policy/made.h"
#include "policy/spends.h"
#include "policy/wall.h"
#include "script/marshal.h"

#include "mail/address.h"
#include "mail/header.h"

enum { ACCEPT_TAGS, ACCEPT_HEADERS, ACCEPT_FACTS, ACCEPT_EXPIRES, ACCEPT_SPEND, ACCEPT_SHELF, ACCEPT_COPIES, ACCEPT_BECAUSE };
static const struct made_row accept_rows[] = {
    [ACCEPT_TAGS] = {"tags", MADE_DATA},
    [ACCEPT_HEADERS] = {"headers", MADE_TABLE},
    [ACCEPT_FACTS] = {"facts", MADE_DATA},
    [ACCEPT_EXPIRES] = {"expires", MADE_SECONDS, .min = 1, .max = 366.0 * 86400},
    [ACCEPT_SPEND] = {"spend", MADE_LIST, .max = SPENDS_MAX, .groups = MADE_LIMIT},
    [ACCEPT_SHELF] = {"shelf", MADE_LIST, .max = KEEPS_MAX, .groups = MADE_KEEP},
    [ACCEPT_COPIES] = {"copies", MADE_TEXTS},
    [ACCEPT_BECAUSE] = {"because", MADE_TEXT},
    {0},
};

enum { SAY_REPLY, SAY_BECAUSE };
static const char *const permanent[] = {"5", NULL};
static const char *const temporary[] = {"4", NULL};
static const struct made_row reject_rows[] = {
    [SAY_REPLY] = {"reply", MADE_REPLY, .required = true, .choices = permanent},
    [SAY_BECAUSE] = {"because", MADE_TEXT},
    {0},
};
static const struct made_row defer_rows[] = {
    [SAY_REPLY] = {"reply", MADE_REPLY, .required = true, .choices = temporary},
    [SAY_BECAUSE] = {"because", MADE_TEXT},
    {0},
};

static const struct made_row because_rows[] = {{"because", MADE_TEXT, .required = true}, {0}};

static const struct made_shape shapes[] = {
    [ANSWER_ACCEPT] = {"answer.accept", MADE_ANSWER, false, accept_rows},
    [ANSWER_REJECT] = {"answer.reject", MADE_ANSWER, true, reject_rows},
    [ANSWER_DEFER] = {"answer.defer", MADE_ANSWER, true, defer_rows},
    [ANSWER_HOLD] = {"answer.hold", MADE_ANSWER, true, because_rows},
    [ANSWER_DISCARD] = {"answer.discard", MADE_ANSWER, true, because_rows},
};

int open_answer(lua_State *l) {
    lua_newtable(l);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        made_push_constructor(l, &shapes[i]);
        lua_setfield(l, -2, strchr(shapes[i].name, '.') + 1);
    }
    return 1;
}

struct origin origin_at(lua_State *l, struct hook_ticket *t, struct arena *arena, int i,
                        struct bytes because) {
    return (struct origin){
        .version = arena_copy(arena, bytes_of(bundle_version(t->g->bundle))),
        .where = arena_copy(arena, bytes_of(made_where(l, i))),
        .because = because.len ? arena_copy(arena, because) : BYTES(""),
    };
}

// A table as JSON object text in the ticket's arena.
static struct bytes data_text(lua_State *l, struct hook_ticket *t, int i, int row, const char *field) {
    if (!made_push(l, i, row)) return BYTES("");
    struct buf *scratch = &t->g->scratch;
    struct err err = {{0}};
    buf_reset(scratch);
    if (!marshal_write(l, -1, scratch, &err)) made_refuse(l, i, "%s: %s", field, err.text);
    lua_pop(l, 1);
    if (scratch->len && scratch->at[0] != '{') made_refuse(l, i, "%s: names and values are expected", field);
    if (scratch->len > 16384) made_refuse(l, i, "%s: more than 16 KiB", field);
    return scratch->len <= 2 ? BYTES("") : arena_copy(&t->arena, buf_bytes(scratch));
}

static struct bytes edit_text(lua_State *l, struct hook_ticket *t, int i, int n, const char *field) {
    if (lua_getfield(l, -1, field) == LUA_TNIL) {
        lua_pop(l, 1);
        return (struct bytes){0};
    }
    if (lua_type(l, -1) != LUA_TSTRING)
        made_refuse(l, i, "headers[%d].%s: a text is expected, not a %s", n, field, luaL_typename(l, -1));
    struct bytes text = {.at = NULL};
    text.at = lua_tolstring(l, -1, &text.len);
    text = arena_copy(&t->arena, text);
    lua_pop(l, 1);
    return text;
}

// { add = "X-Name", value = "..." }, { set = ..., value = ... } or { remove = "X-Name" }, at the top of the stack.
static void read_edit(lua_State *l, struct hook_ticket *t, int i, int n, struct header_edit *out) {
    static const char *const verbs[] = {
        [HEADER_ADD] = "add", [HEADER_SET] = "set", [HEADER_REMOVE] = "remove"};
    if (!lua_istable(l, -1)) made_refuse(l, i, "headers[%d]: a table is expected", n);
    int found = 0, fields = 0;
    for (lua_pushnil(l); lua_next(l, -2); lua_pop(l, 1))
        fields++;
    for (int kind = 0; kind < 3; kind++) {
        struct bytes name = edit_text(l, t, i, n, verbs[kind]);
        if (!name.at) continue;
        found++;
        out->kind = (enum header_edit_kind)kind;
        out->name = name;
    }
    struct bytes value = edit_text(l, t, i, n, "value");
    bool wants_value = found && out->kind != HEADER_REMOVE;
    if (found != 1 || fields != 1 + wants_value || !value.at == wants_value)
        made_refuse(l, i,
                    "headers[%d]: { add = name, value = text }, { set = name, value = text } or "
                    "{ remove = name } is expected",
                    n);
    out->value = wants_value ? value : BYTES("");
    struct buf probe = {0};
    struct err err = {{0}};
    bool good = header_append(&probe, out->name, wants_value ? value : BYTES("x"), &err);
    buf_release(&probe);
    if (!good) made_refuse(l, i, "headers[%d]: %s", n, err.text);
}

static void read_edits(lua_State *l, struct hook_ticket *t, int i, struct answer *a) {
    if (!made_push(l, i, ACCEPT_HEADERS)) return;
    lua_Integer n = (lua_Integer)lua_rawlen(l, -1);
    if (n > 100) made_refuse(l, i, "headers: more than 100 edits");
    size_t fields = 0;
    for (lua_pushnil(l); lua_next(l, -2); lua_pop(l, 1))
        fields++;
    if (fields != (size_t)n)
        made_refuse(l, i, "headers: a list of edits is expected: { { add = ... }, ... }");
    struct header_edit *edits = arena_alloc(&t->arena, (size_t)n * sizeof *edits + 1);
    for (lua_Integer k = 1; k <= n; k++) {
        lua_rawgeti(l, -1, k);
        read_edit(l, t, i, (int)k, &edits[k - 1]);
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
    a->edits = edits;
    a->edit_count = (size_t)n;
}

// One address, at the top of the stack. ASCII: a copy must not fail for want of SMTPUTF8, which nobody would be told.
static struct bytes read_copy(lua_State *l, struct hook_ticket *t, int i) {
    struct bytes text = {.at = NULL};
    struct address parts;
    struct err err = {{0}};
    if (lua_type(l, -1) != LUA_TSTRING) made_refuse(l, i, "copies: an address is expected, or a list of them");
    text.at = lua_tolstring(l, -1, &text.len);
    if (!address_parse(text, &parts, &err)) made_refuse(l, i, "copies: '%s': %s", text.at, err.text);
    if (parts.utf8) made_refuse(l, i, "copies: '%s': only ASCII is possible (a domain as \"xn--...\")", text.at);
    return arena_copy(&t->arena, text);
}

static void read_copies(lua_State *l, struct hook_ticket *t, int i, struct answer *a) {
    if (!made_push(l, i, ACCEPT_COPIES)) return;
    bool one = !lua_istable(l, -1);
    size_t count = one ? 1 : (size_t)lua_rawlen(l, -1), fields = one;
    if (!one)
        for (lua_pushnil(l); lua_next(l, -2); lua_pop(l, 1)) fields++;
    if (fields != count) made_refuse(l, i, "copies: an address is expected, or a list of them");
    if (count > COPIES_MAX) made_refuse(l, i, "copies: more than %d addresses", COPIES_MAX);
    struct bytes *copies = arena_alloc(&t->arena, count * sizeof *copies + 1);
    for (size_t k = 0; k < count; k++) {
        if (one) lua_pushvalue(l, -1);
        else lua_rawgeti(l, -1, (lua_Integer)k + 1);
        copies[k] = read_copy(l, t, i);
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
    a->copies = copies;
    a->copy_count = count;
}

// What fits into which hook's answer.
static void check_use(lua_State *l, struct hook_ticket *t, int i, enum answer_kind kind) {
    const char *who = hook_name[t->hook];
    static const struct {
        int row;
        enum hook hook;
    } only[] = {{ACCEPT_TAGS, HOOK_MESSAGE},
                {ACCEPT_HEADERS, HOOK_MESSAGE},
                {ACCEPT_EXPIRES, HOOK_MESSAGE},
                {ACCEPT_SPEND, HOOK_MESSAGE},
                {ACCEPT_SHELF, HOOK_MESSAGE},
                {ACCEPT_COPIES, HOOK_MESSAGE},
                {ACCEPT_FACTS, HOOK_AUTHENTICATE}};
    for (size_t k = 0; kind == ANSWER_ACCEPT && k < sizeof only / sizeof *only; k++)
        if (t->hook != only[k].hook && made_has(l, i, only[k].row))
            made_refuse(l, i, "'%s' has no meaning in %s, only in %s", accept_rows[only[k].row].name, who,
                        hook_name[only[k].hook]);
    if ((kind == ANSWER_HOLD || kind == ANSWER_DISCARD) && t->hook != HOOK_MESSAGE)
        made_refuse(l, i, "has no meaning in %s, only in message", who);
}

void answer_read(lua_State *l, struct hook_ticket *t) {
    int i = lua_gettop(l);
    const struct made_shape *shape = made_shape_at(l, i);
    if (!shape || shape->group != MADE_ANSWER)
        luaL_error(l, "%s returned %s%s; an answer is expected (answer.accept{}, answer.reject(...), ...)",
                   hook_name[t->hook], shape || lua_isnil(l, i) ? "" : "a ",
                   shape             ? shape->name
                   : lua_isnil(l, i) ? "nothing"
                                     : luaL_typename(l, i));
    struct answer a = {
        .kind = (enum answer_kind)(shape - shapes), .user_facts = BYTES(""), .tags = BYTES("")};
    check_use(l, t, i, a.kind);
    int because = a.kind == ANSWER_ACCEPT ? ACCEPT_BECAUSE : shape->rows == because_rows ? 0 : SAY_BECAUSE;
    a.origin = origin_at(l, t, &t->arena, i, made_text(l, i, because));
    if (a.kind == ANSWER_REJECT || a.kind == ANSWER_DEFER) a.reply = made_reply(l, i, SAY_REPLY);
    if (a.kind == ANSWER_ACCEPT) {
        a.tags = data_text(l, t, i, ACCEPT_TAGS, "tags");
        a.user_facts = data_text(l, t, i, ACCEPT_FACTS, "facts");
        a.expires_s = made_int(l, i, ACCEPT_EXPIRES, 0);
        read_edits(l, t, i, &a);
        const struct spend *spends = spends_read(l, t, i, ACCEPT_SPEND, &a.spend_count);
        a.spends = spends_make(&t->arena, spends, &a.spend_count);
        a.keeps = keeps_read(l, t, i, ACCEPT_SHELF, &a.keep_count);
        read_copies(l, t, i, &a);
    }
    t->answer = a;
}
