// SPDX-License-Identifier: MIT
// The table `shelf`: get; and put and drop, which make what answers and verdicts ask for in their field `shelf`.
#include "policy/lookup.h"
#include "policy/made.h"
#include "policy/wall.h"

#include "base/jsonl.h"
#include "script/marshal.h"
#include "store/shelf.h"

#include <stdio.h>

enum { LOOK_UP_STEPS = 500, EXPIRES_S = 30 * 86400 };

// ---- put, drop

enum { PUT_KEY, PUT_VALUE, PUT_EXPIRES };
static const struct made_row put_rows[] = {
    [PUT_KEY] = {"key", MADE_TEXT, .required = true, .max = SHELF_KEY},
    [PUT_VALUE] = {"value", MADE_ANY, .required = true},
    [PUT_EXPIRES] = {"expires", MADE_SECONDS, .min = 1, .max = 366.0 * 86400},
    {0},
};
static const struct made_row drop_rows[] = {[PUT_KEY] = {"key", MADE_TEXT, .required = true, .max = SHELF_KEY}, {0}};

// The value is kept as JSON: what the script does to its table afterwards changes nothing.
static void check_put(lua_State *l, int i) {
    struct buf *text = &generation_of(l)->scratch;
    struct err err = {{0}};
    made_push(l, i, PUT_VALUE);
    buf_reset(text);
    if (!marshal_write(l, -1, text, &err)) made_refuse(l, i, "value: %s", err.text);
    if (bytes_equal(buf_bytes(text), BYTES("null"))) made_refuse(l, i, "value: null is no value; shelf.drop(key) takes an entry off");
    if (text->len > SHELF_VALUE) made_refuse(l, i, "value: more than %d bytes as JSON", SHELF_VALUE);
    lua_pop(l, 1);
    lua_pushlstring(l, text->at, text->len);
    lua_setiuservalue(l, i, PUT_VALUE + 1);
}

static const struct made_shape put_shape = {"shelf.put", MADE_KEEP, true, put_rows, check_put};
static const struct made_shape drop_shape = {"shelf.drop", MADE_KEEP, true, drop_rows, NULL};

const struct keep *keeps_read(lua_State *l, struct hook_ticket *t, int i, int row, size_t *count) {
    *count = 0;
    if (!made_push(l, i, row)) return NULL;
    int list = lua_gettop(l);
    *count = (size_t)lua_rawlen(l, list);
    struct keep *keeps = arena_alloc(&t->arena, *count * sizeof *keeps + 1);
    for (size_t k = 0; k < *count; k++) {
        lua_rawgeti(l, list, (lua_Integer)k + 1);
        int at = lua_gettop(l);
        bool puts = made_shape_at(l, at) == &put_shape;
        keeps[k] = (struct keep){.key = arena_copy(&t->arena, made_text(l, at, PUT_KEY)),
                                 .value = puts ? arena_copy(&t->arena, made_text(l, at, PUT_VALUE)) : BYTES(""),
                                 .expires_s = puts ? made_int(l, at, PUT_EXPIRES, EXPIRES_S) : 0};
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
    return keeps;
}

// ---- get

// {"shelf":"KEY","value":...}; without `value` there is nothing.
static void tell_witness(struct hook_ticket *t, struct bytes key, struct bytes value) {
    const struct witness *w = t->g->options.witness;
    if (!w || !w->looked) return;
    struct buf line = {0};
    struct jsonl j = jsonl_begin(&line);
    jsonl_text(&j, "shelf", key);
    if (value.len) jsonl_raw(&j, "value", value);
    jsonl_close(&j, '}');
    w->looked(w->arg, buf_bytes(&line));
    buf_release(&line);
}

static int get(lua_State *l) {
    struct hook_ticket *t = ticket_of(l);
    const struct generation_options *o = &t->g->options;
    struct bytes key = {.at = NULL}, value = BYTES("");
    struct err err = {{0}};
    char asked[LOOKUP_QUESTION];
    key.at = luaL_checklstring(l, 1, &key.len);
    if (!shelf_key_is_valid(key)) return luaL_error(l, "shelf.get: a key of 1 to %d bytes without control characters is expected", SHELF_KEY);
    vm_charge(l, LOOK_UP_STEPS);
    int len = snprintf(asked, sizeof asked, "shelf %.*s", BYTES_FMT(key));
    struct bytes question = bytes_range(asked, (size_t)len);
    if (lookup_again(l, question)) return 1;
    if (!o->shelved) return luaL_error(l, "shelf.get: there is no shelf here");
    bool there = o->shelved(o->shelved_arg, key, &t->arena, &value);
    tell_witness(t, key, there ? value : BYTES(""));
    if (!there) lua_pushnil(l);
    else if (!marshal_push(l, value, &err)) return luaL_error(l, "shelf.get: %s", err.text);
    lookup_keep(l, question, -1);
    return 1;
}

int open_shelf(lua_State *l) {
    static const luaL_Reg functions[] = {{"get", get}, {NULL, NULL}};
    luaL_newlib(l, functions);
    made_push_constructor(l, &put_shape);
    lua_setfield(l, -2, "put");
    made_push_constructor(l, &drop_shape);
    lua_setfield(l, -2, "drop");
    return 1;
}
