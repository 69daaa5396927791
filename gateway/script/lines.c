// SPDX-License-Identifier: MIT
#include "script/lines.h"

#include "base/bug.h"
#include "script/lua.h"

// Lua tells the lines of a function it holds, but not those of functions that nobody has made yet. They are
// in the chunk's dump (lundump.c of Lua 5.4 reads it): only what this very library wrote is read here, so a
// malformed one is a bug.

enum { ABSOLUTE = -0x80 }; // in lineinfo: the line is in the other list

struct dump {
    struct bytes rest;
    bool *lines;
    size_t count;
};

static struct bytes take(struct dump *d, size_t n) {
    bug_if(n > d->rest.len);
    struct bytes piece = bytes_first(d->rest, n);
    d->rest = bytes_skip(d->rest, n);
    return piece;
}

static int take_byte(struct dump *d) {
    return (unsigned char)take(d, 1).at[0];
}

// Seven bits a byte, highest first; the last byte has the eighth bit set.
static size_t take_size(struct dump *d) {
    size_t n = 0;
    for (;;) {
        int b = take_byte(d);
        n = n << 7 | (size_t)(b & 0x7f);
        if (b & 0x80) return n;
    }
}

static void skip_text(struct dump *d) {
    size_t size = take_size(d); // one more than its length; 0: there is none
    if (size) take(d, size - 1);
}

static void skip_constants(struct dump *d) {
    for (size_t n = take_size(d); n; n--) {
        int type = take_byte(d);
        if (type == LUA_TNUMBER || type == (LUA_TNUMBER | 1 << 4))
            take(d, 8); // integer or float
        else if ((type & 0x0f) == LUA_TSTRING)
            skip_text(d);
    }
}

static void mark(struct dump *d, int line) {
    bug_if(line < 1);
    if ((size_t)line >= d->count) {
        size_t count = (size_t)line + 64;
        d->lines = must_realloc(d->lines, count * sizeof *d->lines);
        memset(d->lines + d->count, 0, (count - d->count) * sizeof *d->lines);
        d->count = count;
    }
    d->lines[line] = true;
}

// The lists of the debug part: a step from the line before for each instruction, and absolute lines where a
// step is too long.
static void mark_lines(struct dump *d, int line, bool vararg) {
    struct bytes steps = take(d, take_size(d));
    struct dump absolute = *d;
    size_t absolutes = take_size(d);
    take_size(&absolute);
    for (size_t i = 0; i < absolutes; i++) { // instruction, line
        take_size(d);
        take_size(d);
    }
    for (size_t i = 0; i + 1 < steps.len; i++) { // the last is the return that nobody wrote
        int step = (signed char)steps.at[i];
        if (step == ABSOLUTE) {
            bug_if(take_size(&absolute) != i);
            line = (int)take_size(&absolute);
        } else {
            line += step;
        }
        if (i || !vararg) mark(d, line); // the first of a vararg function only fetches its arguments
    }
}

static void take_function(struct dump *d) {
    skip_text(d); // source
    int first = (int)take_size(d);
    take_size(d); // last line
    take_byte(d); // parameters
    bool vararg = take_byte(d);
    take_byte(d);              // stack
    take(d, take_size(d) * 4); // code
    skip_constants(d);
    take(d, take_size(d) * 3); // upvalues
    for (size_t n = take_size(d); n; n--)
        take_function(d);
    mark_lines(d, first, vararg);
    for (size_t n = take_size(d); n; n--) { // local variables
        skip_text(d);
        take_size(d);
        take_size(d);
    }
    for (size_t n = take_size(d); n; n--) // names of upvalues
        skip_text(d);
}

// Signature, version, format, check data, sizes of an instruction, an integer and a float, check integer and
// float; then the number of upvalues.
static void take_header(struct dump *d) {
    struct bytes head = take(d, 4 + 2 + 6 + 3 + 8 + 8);
    static const char expected[] = LUA_SIGNATURE "\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08";
    bug_if(!bytes_starts(head, bytes_range(expected, sizeof expected - 1)));
    take_byte(d);
}

static int add_piece(lua_State *l, const void *piece, size_t size, void *arg) {
    (void)l;
    buf_add(arg, bytes_range(piece, size));
    return 0;
}

size_t lines_with_code(struct bytes text, bool **lines, struct err *err) {
    struct dump d = {.count = 1};
    *lines = NULL;
    lua_State *l = luaL_newstate();
    bug_if(!l);
    if (luaL_loadbufferx(l, text.at, text.len, "=text", "t") != LUA_OK) {
        err_set(err, "%s", lua_tostring(l, -1));
        lua_close(l);
        return 0;
    }
    struct buf image = {0};
    lua_dump(l, add_piece, &image, 0);
    lua_close(l);
    d.rest = buf_bytes(&image);
    d.lines = must_alloc(sizeof *d.lines);
    take_header(&d);
    take_function(&d);
    buf_release(&image);
    *lines = d.lines;
    return d.count;
}
