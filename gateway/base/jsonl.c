// SPDX-License-Identifier: MIT
#include "base/jsonl.h"

#include "base/clock.h"
#include "base/utf8.h"

// Bytes that stand for themselves: printable ASCII but quote and backslash.
static bool is_plain(char at) {
    unsigned char c = (unsigned char)at;
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

// How many of the first bytes are plain. Eight at a time: a byte is not where taking 0x20 from it borrows, its highest bit stands,
// or it becomes 0 by what it must not be; a borrow may also condemn the byte above, which is then looked at alone.
static size_t plain_length(struct bytes text) {
    static const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    size_t n = 0;
    for (; text.len - n >= 8; n += 8) {
        uint64_t w;
        memcpy(&w, text.at + n, sizeof w);
        uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\', rubout = w ^ ones * 0x7f;
        if (((w - ones * 0x20) | (quote - ones) | (slash - ones) | (rubout - ones) | w) & tops) break;
    }
    while (n < text.len && is_plain(text.at[n])) n++;
    return n;
}

// One character that is not plain. Returns how many bytes of text it took.
static size_t escape_one(struct buf *out, struct bytes text) {
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)text.at[0];
    size_t step = c < 0x80 ? 1 : utf8_step(text);
    if (c == '"' || c == '\\') {
        buf_byte(out, '\\');
        buf_byte(out, (char)c);
    } else if (c < 0x20 || c == 0x7f) {
        buf_add(out, BYTES("\\u00"));
        buf_byte(out, hex[c >> 4]);
        buf_byte(out, hex[c & 15]);
    } else if (step == 0) {
        buf_add(out, BYTES("\xef\xbf\xbd"));
        step = 1;
    } else {
        buf_add(out, bytes_first(text, step));
    }
    return step;
}

void jsonl_escape(struct buf *out, struct bytes text) {
    buf_reserve(out, text.len + 2);
    buf_byte(out, '"');
    while (text.len) {
        size_t plain = plain_length(text);
        buf_add(out, bytes_first(text, plain));
        text = bytes_skip(text, plain);
        if (text.len) text = bytes_skip(text, escape_one(out, text));
    }
    buf_byte(out, '"');
}

static void name_it(struct jsonl *j, const char *name) {
    if (j->comma) buf_byte(j->out, ',');
    j->comma = true;
    if (!name) return;
    jsonl_escape(j->out, bytes_of(name));
    buf_byte(j->out, ':');
}

struct jsonl jsonl_begin(struct buf *out) {
    buf_byte(out, '{');
    return (struct jsonl){.out = out};
}

void jsonl_end(struct jsonl *j) { buf_add(j->out, BYTES("}\n")); }

void jsonl_text(struct jsonl *j, const char *name, struct bytes value) {
    name_it(j, name);
    jsonl_escape(j->out, value);
}

void jsonl_textz(struct jsonl *j, const char *name, const char *value) {
    if (value) jsonl_text(j, name, bytes_of(value));
    else jsonl_raw(j, name, BYTES("null"));
}

void jsonl_int(struct jsonl *j, const char *name, int64_t value) {
    name_it(j, name);
    buf_decimal(j->out, value);
}

void jsonl_real(struct jsonl *j, const char *name, double value) {
    name_it(j, name);
    buf_format(j->out, "%.6g", value);
}

void jsonl_bool(struct jsonl *j, const char *name, bool value) {
    jsonl_raw(j, name, value ? BYTES("true") : BYTES("false"));
}

void jsonl_time(struct jsonl *j, const char *name, int64_t ms) {
    char text[25];
    clock_iso(ms, text);
    jsonl_text(j, name, bytes_of(text));
}

void jsonl_raw(struct jsonl *j, const char *name, struct bytes json) {
    name_it(j, name);
    buf_add(j->out, json);
}

void jsonl_open(struct jsonl *j, const char *name, char bracket) {
    name_it(j, name);
    buf_byte(j->out, bracket);
    j->comma = false;
}

void jsonl_close(struct jsonl *j, char bracket) {
    buf_byte(j->out, bracket);
    j->comma = true;
}
