// SPDX-License-Identifier: MIT
#include "policy/lookup.h"

#include "policy/wall.h"
#include "script/marshal.h"
#include "script/sandbox.h"

// ---- as text: after_ms, and question and answer behind their lengths

static void lookup_put(struct buf *kept, const struct lookup *l) {
    char head[8];
    put_be32(head, (uint32_t)l->after_ms);
    put_be16(head + 4, (uint16_t)l->question.len);
    put_be16(head + 6, (uint16_t)l->answer.len);
    buf_add(kept, bytes_range(head, sizeof head));
    buf_add(kept, l->question);
    buf_add(kept, l->answer);
}

bool lookup_next(struct bytes *kept, struct lookup *out) {
    if (kept->len < 8) return false;
    size_t question = get_be16(kept->at + 4), answer = get_be16(kept->at + 6);
    if (kept->len - 8 < question + answer) return false;
    out->after_ms = get_be32(kept->at);
    out->question = bytes_range(kept->at + 8, question);
    out->answer = bytes_range(kept->at + 8 + question, answer);
    *kept = bytes_skip(*kept, 8 + question + answer);
    return true;
}

// ---- live

void lookup_keep(lua_State *l, struct bytes question, int i) {
    struct hook_ticket *t = ticket_of(l);
    struct err err;
    if (!t->g->options.keep_lookups || t->looked.len >= LOOKUPS_MAX) return;
    // What has no JSON form (a TXT record that is not UTF-8) is not kept.
    struct buf *answer = &t->g->scratch_answer;
    buf_reset(answer);
    i = lua_absindex(l, i);
    if (lua_isnoneornil(l, i)) buf_addz(answer, "null");
    else if (!marshal_write(l, i, answer, &err)) return;
    if (answer->len > LOOKUP_MAX) return;
    lookup_put(&t->looked, &(struct lookup){.after_ms = t->now_ms - t->began_ms,
                                            .question = bytes_first(question, LOOKUP_QUESTION),
                                            .answer = buf_bytes(answer)});
}

void lookup_keep_failure(lua_State *l, struct bytes question) {
    lua_createtable(l, 0, 2);
    lua_pushvalue(l, -3);
    lua_setfield(l, -2, "failed");
    lua_pushvalue(l, -2);
    lua_setfield(l, -2, "again");
    lookup_keep(l, question, -1);
    lua_pop(l, 1);
}

// ---- again

bool lookup_again(lua_State *l, struct bytes question) {
    struct hook_ticket *t = ticket_of(l);
    const struct lookup_source *source = t->g->options.source;
    struct err err = {{0}};
    struct bytes answer;
    int64_t after_ms = 0;
    if (!source) return false;
    question = bytes_first(question, LOOKUP_QUESTION);
    if (!source->find(source->arg, question, &answer, &after_ms))
        luaL_error(l, "'%s' was not asked when this was recorded", lua_pushlstring(l, question.at, question.len));
    if (t->began_ms + after_ms > t->now_ms) t->now_ms = t->began_ms + after_ms;
    vm_set_now(t->g->vm, t->now_ms);
    if (bytes_equal(answer, BYTES("null"))) lua_pushnil(l);
    else if (!marshal_push(l, answer, &err)) luaL_error(l, "%s", err.text);
    return true;
}

int lookup_push_failure(lua_State *l) {
    if (!lua_istable(l, -1)) return 1;
    if (lua_getfield(l, -1, "failed") == LUA_TNIL) {
        lua_pop(l, 1);
        return 1;
    }
    lua_pushnil(l);
    lua_insert(l, -2);
    lua_getfield(l, -3, "again");
    return 3;
}

void lookup_check_header(lua_State *l, struct bytes name) {
    const struct lookup_source *source = ticket_of(l)->g->options.source;
    if (source && !source->knows_header(source->arg, name))
        luaL_error(l, "the header field '%s' was not kept when this was recorded (`journal.headers` in the configuration says which are)", name.at);
}

// ---- chance

// "math.random 1 6"; upvalue 1 is Lua's own.
static int chance(lua_State *l) {
    struct buf *scratch = &generation_of(l)->scratch;
    int count = lua_gettop(l);
    luaL_argcheck(l, count <= 2, 3, "wrong number of arguments");
    buf_reset(scratch);
    buf_addz(scratch, "math.random");
    for (int i = 1; i <= count; i++) buf_format(scratch, " %lld", (long long)luaL_checkinteger(l, i));
    bool in_hook = vm_run(vm_of(l));
    if (in_hook && lookup_again(l, buf_bytes(scratch))) return 1;
    lua_pushvalue(l, lua_upvalueindex(1));
    lua_insert(l, 1);
    lua_call(l, count, 1);
    if (in_hook) lookup_keep(l, buf_bytes(scratch), -1);
    return 1;
}

void lookup_open(lua_State *l) {
    luaopen_math(l);
    lua_getfield(l, -1, "random");
    lua_pushcclosure(l, chance, 1);
    lua_setfield(l, -2, "random");
    sandbox_set_global(l, "math");
}
