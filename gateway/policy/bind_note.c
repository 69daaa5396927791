// SPDX-License-Identifier: MIT
// core.note: what the shipped library considered on the way to an answer, for those who want to see it
// (stories, explanations). `add` is there only where somebody listens, so that live mail pays a look at one
// local for it.
#include "policy/wall.h"

#include "base/jsonl.h"
#include "script/marshal.h"

// add(kind, table): {"KIND":{...}} among what the hook looked up.
static int add(lua_State *l) {
    struct generation *g = generation_of(l);
    const struct witness *w = g->options.witness;
    const char *kind = luaL_checkstring(l, 1);
    struct err err;
    struct buf *value = &g->scratch, line = {0};
    luaL_checktype(l, 2, LUA_TTABLE);
    buf_reset(value);
    if (!marshal_write(l, 2, value, &err)) return luaL_error(l, "note %s: %s", kind, err.text);
    struct jsonl j = jsonl_begin(&line);
    jsonl_raw(&j, kind, buf_bytes(value));
    jsonl_close(&j, '}');
    w->looked(w->arg, buf_bytes(&line));
    buf_release(&line);
    return 0;
}

int open_note(lua_State *l) {
    const struct witness *w = generation_of(l)->options.witness;
    lua_newtable(l);
    if (!w || !w->looked) return 1;
    lua_pushcfunction(l, add);
    lua_setfield(l, -2, "add");
    return 1;
}
