// SPDX-License-Identifier: MIT
#include "script/values.h"

#include "base/arena.h"
#include "base/jsonl.h"
#include "base/utf8.h"
#include "script/lua.h"
#include "script/place.h"
#include "script/vm.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h> // qsort
#include <string.h>

enum {
    MEMORY_MAX = 16 << 20,
    STEPS_MAX = 10 * 1000 * 1000,
    DEPTH_MAX = 12,
    LIST_MAX = 10000,
    OUTPUT_MAX = 4 << 20
};

struct reading {
    struct bytes text;
    const char *name;
    struct buf *out;
    struct buf path;    // "listeners[2].allow"
    struct arena arena; // a Lua error leaves by longjmp: nothing here may be owned by a frame
    struct err *err;
    bool good;
};

// ---- the table as JSON -----------------------------------------------------------------------------

// The state is not running here: only functions that neither raise nor call metamethods (raw access) are used.

static bool fault(struct reading *r, const char *what) {
    const char *path = buf_z(&r->path);
    size_t line = place_line(r->text, path);
    if (!line) return err_set(r->err, "%s: %s%s%s", r->name, path, path[0] ? ": " : "", what);
    return err_set(r->err, "%s:%zu: %s: %s", r->name, line, path, what);
}

static bool put_value(struct reading *r, lua_State *l, int depth);

static bool put_text(struct reading *r, lua_State *l) {
    size_t len;
    const char *at = lua_tolstring(l, -1, &len);
    struct bytes text = bytes_range(at, len);
    if (!utf8_is_valid(text)) return fault(r, "is a text that is not UTF-8");
    if (len && memchr(at, 0, len)) return fault(r, "is a text with a NUL in it");
    jsonl_escape(r->out, text);
    return true;
}

static bool put_number(struct reading *r, lua_State *l) {
    if (lua_isinteger(l, -1)) {
        buf_format(r->out, "%" PRId64, (int64_t)lua_tointegerx(l, -1, NULL));
        return true;
    }
    double n = lua_tonumberx(l, -1, NULL);
    if (!isfinite(n)) return fault(r, "is not a finite number");
    buf_format(r->out, fabs(n) < 1e15 && n == trunc(n) ? "%.1f" : "%.17g", n);
    return true;
}

// With the item on the stack, at `step` of the path.
static bool put_item(struct reading *r, lua_State *l, int depth, struct bytes step, size_t index) {
    size_t before = r->path.len;
    if (index)
        buf_format(&r->path, "[%zu]", index);
    else
        buf_format(&r->path, "%s%.*s", before ? "." : "", BYTES_FMT(bytes_first(step, 60)));
    bool good = put_value(r, l, depth + 1);
    if (good && r->out->len > OUTPUT_MAX) good = fault(r, "is too large");
    r->path.len = before;
    return good;
}

static bool put_list(struct reading *r, lua_State *l, int depth, size_t count) {
    buf_byte(r->out, '[');
    bool good = true;
    for (size_t i = 1; good && i <= count; i++) {
        if (i > 1) buf_byte(r->out, ',');
        lua_rawgeti(l, -1, (lua_Integer)i);
        good = put_item(r, l, depth, (struct bytes){0}, i);
        lua_pop(l, 1);
    }
    buf_byte(r->out, ']');
    return good;
}

static int by_name(const void *a, const void *b) {
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

// Names of the table at the top, sorted, borrowed from the table. NULL: one is no name, or is not UTF-8; err
// says so.
static struct bytes *take_names(struct reading *r, lua_State *l, size_t *count) {
    size_t room = 0;
    struct bytes *names = arena_alloc(&r->arena, 0);
    *count = 0;
    lua_pushnil(l);
    while (lua_next(l, -2)) {
        lua_pop(l, 1);
        bool is_name = lua_type(l, -1) == LUA_TSTRING;
        size_t len = 0;
        const char *at = is_name ? lua_tolstring(l, -1, &len) : NULL;
        if (!is_name || !utf8_is_valid(bytes_range(at, len)) || memchr(at, 0, len)) {
            lua_pop(l, 1);
            fault(r, is_name ? "has a key that is not UTF-8"
                             : "mixes named values and a list (or its list has a gap)");
            return NULL;
        }
        if (*count == room) {
            struct bytes *more = arena_alloc(&r->arena, (room = room * 2 + 16) * sizeof *more);
            if (*count) memcpy(more, names, *count * sizeof *more);
            names = more;
        }
        names[(*count)++] = bytes_range(at, len);
    }
    qsort(names, *count, sizeof *names, by_name);
    return names;
}

static bool put_map(struct reading *r, lua_State *l, int depth) {
    size_t count;
    struct bytes *names = take_names(r, l, &count);
    if (!names) return false;
    bool good = true;
    buf_byte(r->out, '{');
    for (size_t i = 0; good && i < count; i++) {
        if (i) buf_byte(r->out, ',');
        jsonl_escape(r->out, names[i]);
        buf_byte(r->out, ':');
        lua_pushlstring(l, names[i].at, names[i].len);
        lua_rawget(l, -2);
        good = put_item(r, l, depth, names[i], 0);
        lua_pop(l, 1);
    }
    buf_byte(r->out, '}');
    return good;
}

// A table is a list when its keys are exactly 1..n, n > 0; an empty one is a map.
static bool is_list(lua_State *l, size_t *count) {
    size_t n = 0, length = lua_rawlen(l, -1);
    lua_pushnil(l);
    while (lua_next(l, -2)) {
        lua_pop(l, 1);
        n++;
        lua_Integer key = lua_isinteger(l, -1) ? lua_tointegerx(l, -1, NULL) : 0;
        if (key < 1 || (lua_Unsigned)key > length) {
            lua_pop(l, 1);
            return false;
        }
    }
    *count = n;
    return n > 0 && n == length;
}

static bool put_value(struct reading *r, lua_State *l, int depth) {
    size_t count = 0;
    if (depth > DEPTH_MAX || !lua_checkstack(l, 8)) return fault(r, "lies too deep (a table within itself?)");
    switch (lua_type(l, -1)) {
    case LUA_TBOOLEAN:
        buf_addz(r->out, lua_toboolean(l, -1) ? "true" : "false");
        return true;
    case LUA_TNUMBER:
        return put_number(r, l);
    case LUA_TSTRING:
        return put_text(r, l);
    case LUA_TTABLE:
        if (!is_list(l, &count)) return put_map(r, l, depth);
        return count <= LIST_MAX ? put_list(r, l, depth, count) : fault(r, "is too long a list");
    case LUA_TFUNCTION:
        return fault(r, "is a function: only values can stand here");
    default:
        return fault(r, "is neither a text, a number, true, false nor a table");
    }
}

// ---- the run ------------------------------------------------------------------------------------

struct loading {
    struct reading *r;
    lua_State *co;
};

// A text whose quotes were forgotten must not be taken for a key left out.
static int on_name(lua_State *l) {
    return luaL_error(l, "'%s' is no value here: a text wants quotes, and nothing can be called", lua_type(l, 2) == LUA_TSTRING ? lua_tostring(l, 2) : "?");
}

// On the main state, protected: the chunk onto the coroutine's stack, its environment an empty table.
static int load_chunk(lua_State *l) {
    struct loading *load = lua_touserdata(l, 1);
    struct bytes text = load->r->text;
    char name[300];
    snprintf(name, sizeof name, "@%s", load->r->name);
    if (luaL_loadbufferx(l, text.at, text.len, name, "t") != LUA_OK) return lua_error(l);
    lua_newtable(l);
    lua_newtable(l);
    lua_pushcfunction(l, on_name);
    lua_setfield(l, -2, "__index");
    lua_setmetatable(l, -2);
    lua_setupvalue(l, -2, 1);
    lua_xmove(l, load->co, 1);
    return 0;
}

// On the main state, protected: pushing the names above may need memory.
static int take_result(lua_State *l) {
    struct loading *load = lua_touserdata(l, 1);
    lua_xmove(load->co, l, 1);
    load->r->good = put_value(load->r, l, 0);
    return 0;
}

// The slip to which Lua's own words do not lead.
static bool add_hint(struct err *err) {
    if (!err || !strstr(err->text, "'}' expected")) return false;
    struct err said = *err;
    return err_set(err, "%s (is a comma missing before it?)", said.text);
}

static bool run(struct reading *r, struct vm *vm, lua_State *co) {
    struct loading load = {r, co};
    if (!vm_protect(vm, load_chunk, &load, r->err)) return add_hint(r->err);
    struct vm_budget budget;
    struct vm_fault died = {{0}, {0}};
    vm_budget_init(&budget, STEPS_MAX);
    enum vm_end end = vm_resume(vm, co, 0, &budget, &died);
    buf_release(&died.trace);
    if (end != VM_DONE) return err_set(r->err, "%s", died.first[0] ? died.first : "it waits for something");
    if (lua_gettop(co) != 1 || lua_type(co, 1) != LUA_TTABLE)
        return err_set(r->err, "%s: does not return one table (it should read: return { ... })", r->name);
    return vm_protect(vm, take_result, &load, r->err) && r->good;
}

bool values_read(struct bytes text, const char *name, struct buf *out, struct err *err) {
    static const struct clock clock;
    struct vm_options options = {.memory_max = MEMORY_MAX, .clock = &clock};
    struct vm *vm = vm_new(&options, err);
    if (!vm) return err_within(err, "%s", name);
    struct reading r = {.text = text, .name = name, .out = out, .err = err};
    size_t before = out->len;
    lua_State *co = vm_take(vm);
    struct bytes prefix = bytes_of(name);
    bool good = co ? run(&r, vm, co) : err_set(err, "%s: no memory to read it", name);
    // Lua names the file in most faults, not in all.
    if (!good && err && !bytes_starts(bytes_of(err->text), prefix)) err_within(err, "%s", name);
    if (!good) out->len = before;
    buf_release(&r.path);
    arena_release(&r.arena);
    vm_free(&vm);
    return good;
}
