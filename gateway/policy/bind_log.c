// SPDX-License-Identifier: MIT
// The table `log`: info, warn. One line each, with the place in the script that wrote it.
#include "policy/wall.h"

enum { LINE_MAX_BYTES = 2000 };

static int write_line(lua_State *l, enum log_level level) {
    const struct log *log = vm_log(vm_of(l));
    vm_charge(l, 200); // a line is a write(2)
    if (!log || (int)log->level < (int)level) return 0;
    struct buf *out = &generation_of(l)->scratch;
    int n = lua_gettop(l);
    luaL_checkstack(l, n + 4, "too many values for a line");
    for (int i = 1; i <= n; i++)
        luaL_tolstring(l, i, NULL); // may run a script's __tostring: before the buffer is in use
    buf_reset(out);
    for (int i = 1; i <= n; i++) {
        struct bytes text;
        text.at = lua_tolstring(l, n + i, &text.len);
        if (i > 1) buf_byte(out, ' ');
        buf_add(out, bytes_first(text, LINE_MAX_BYTES));
    }
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->at[i] < 32 || out->at[i] == 127) out->at[i] = ' '; // one line stays one
    if (out->len > LINE_MAX_BYTES) out->len = LINE_MAX_BYTES;
    char where[64];
    vm_where(l, where);
    log_line(log, level, "%s: %.*s", where, BYTES_FMT(buf_bytes(out)));
    return 0;
}

static int info(lua_State *l) {
    return write_line(l, LOG_INFO);
}
static int warn(lua_State *l) {
    return write_line(l, LOG_WARN);
}

int open_log(lua_State *l) {
    static const luaL_Reg functions[] = {{"info", info}, {"warn", warn}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
