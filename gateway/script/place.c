// SPDX-License-Identifier: MIT
#include "script/place.h"

#include <ctype.h>

// What the text is made of: a name, a text in quotes (its content), or one character of anything else; 0 at the end.
struct token {
    char kind; // 'n', '"', 0, or the character
    struct bytes text;
    size_t line;
};

struct reader {
    struct bytes rest;
    size_t line;
    struct token now;
};

static void skip(struct reader *r, size_t n) {
    for (size_t i = 0; i < n; i++) r->line += r->rest.at[i] == '\n';
    r->rest = bytes_skip(r->rest, n);
}

// "[[", "[==[" at the start: its length; 0: it is none.
static size_t long_bracket(struct bytes b) {
    size_t n = 1;
    if (!b.len || b.at[0] != '[') return 0;
    while (n < b.len && b.at[n] == '=') n++;
    return n < b.len && b.at[n] == '[' ? n + 1 : 0;
}

// Behind the bracket that closes one of `open` bytes.
static size_t long_end(struct bytes b, size_t open) {
    for (size_t i = open; i + open <= b.len; i++) {
        bool closes = b.at[i] == ']' && b.at[i + open - 1] == ']';
        for (size_t k = 1; closes && k + 1 < open; k++) closes = b.at[i + k] == '=';
        if (closes) return i + open;
    }
    return b.len;
}

static size_t comment_end(struct bytes b) {
    size_t open = long_bracket(bytes_skip(b, 2));
    if (open) return 2 + long_end(bytes_skip(b, 2), open);
    ptrdiff_t end = bytes_find(b, '\n');
    return end < 0 ? b.len : (size_t)end;
}

static size_t quote_end(struct bytes b) {
    size_t i = 1;
    while (i < b.len && b.at[i] != b.at[0] && b.at[i] != '\n') i += b.at[i] == '\\' ? 2 : 1;
    return i < b.len ? i + 1 : b.len;
}

static bool is_name(char c) { return isalnum((unsigned char)c) || c == '_'; }

static void take(struct reader *r, char kind, size_t len, size_t before, size_t after) {
    r->now = (struct token){kind, bytes_range(r->rest.at + before, len > before + after ? len - before - after : 0), r->line};
    skip(r, len);
}

static void next(struct reader *r) {
    for (size_t n; r->rest.len;) {
        struct bytes b = r->rest;
        if (isspace((unsigned char)b.at[0])) {
            skip(r, 1);
        } else if (bytes_starts(b, BYTES("--"))) {
            skip(r, comment_end(b));
        } else if (b.at[0] == '"' || b.at[0] == '\'') {
            return take(r, '"', quote_end(b), 1, 1);
        } else if ((n = long_bracket(b))) {
            return take(r, '"', long_end(b, n), n, n);
        } else {
            for (n = 0; n < b.len && is_name(b.at[n]);) n++;
            return take(r, n ? 'n' : b.at[0], n ? n : 1, 0, 0);
        }
    }
    r->now = (struct token){.line = r->line};
}

// To the comma behind a value, or the brace that closes its table.
static void pass_value(struct reader *r) {
    size_t depth = 0;
    for (; r->now.kind; next(r)) {
        char c = r->now.kind;
        if (!depth && (c == ',' || c == ';' || c == '}')) return;
        if (c == '{' || c == '(' || c == '[') depth++;
        if ((c == '}' || c == ')' || c == ']') && depth) depth--;
    }
}

// At the value of an entry then. Its name, where it is `name = ` or `["name"] = `; else it is an item of a list, and nothing was passed.
static struct bytes take_key(struct reader *r) {
    struct reader ahead = *r;
    bool bracketed = r->now.kind == '[';
    if (bracketed) next(&ahead);
    struct token key = ahead.now;
    next(&ahead);
    if (bracketed) next(&ahead);
    if (ahead.now.kind != '=' || (key.kind != 'n' && key.kind != '"')) return BYTES("");
    next(&ahead);
    *r = ahead;
    return key.text;
}

// From behind the opening brace of a table to the value of one entry; `item` 0: the one called so.
static size_t enter(struct reader *r, struct bytes name, uint64_t item) {
    for (uint64_t items = 0; r->now.kind && r->now.kind != '}';) {
        size_t line = r->now.line;
        struct bytes key = take_key(r);
        if (r->now.kind == '=') return 0; // "==": no value
        items += key.len == 0;
        if (item ? key.len == 0 && items == item : key.len && bytes_equal(key, name)) return line;
        pass_value(r);
        if (r->now.kind == ',' || r->now.kind == ';') next(r);
    }
    return 0;
}

// The first step of "limits.recipients" or "[2].kind", cut off.
static struct bytes cut_step(struct bytes *path, uint64_t *item) {
    *item = 0;
    if (path->len && path->at[0] == '.') *path = bytes_skip(*path, 1);
    bool bracket = path->len && path->at[0] == '[';
    size_t end = bracket;
    while (end < path->len && path->at[end] != '[' && path->at[end] != '.') end++;
    struct bytes step = bytes_first(*path, end);
    *path = bytes_skip(*path, end);
    if (bracket && (!step.len || step.at[step.len - 1] != ']' || !bytes_to_u64(bytes_range(step.at + 1, step.len - 2), item))) *item = UINT64_MAX;
    return step;
}

size_t place_line(struct bytes text, const char *path) {
    struct reader r = {.rest = text, .line = 1};
    struct bytes rest = bytes_of(path);
    size_t found = 0;
    next(&r);
    while (r.now.kind && !(r.now.kind == 'n' && bytes_equal(r.now.text, BYTES("return")))) next(&r);
    next(&r);
    while (rest.len && r.now.kind == '{') {
        uint64_t item;
        struct bytes step = cut_step(&rest, &item);
        next(&r);
        size_t line = enter(&r, step, item);
        if (!line) break;
        found = line;
    }
    return found;
}
