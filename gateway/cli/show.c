// SPDX-License-Identifier: MIT
#include "cli/show.h"

#include "base/clock.h"
#include "base/quantity.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static uint32_t decode(struct bytes character) {
    const unsigned char *p = (const unsigned char *)character.at;
    switch (character.len) {
    case 1:
        return p[0];
    case 2:
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    case 3:
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    default:
        return (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    }
}

static bool is_harmless(uint32_t c) {
    if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return false; // C0, DEL, C1
    if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
        return false; // embeddings, overrides, isolates
    return c != 0x200e && c != 0x200f && c != 0x2028 && c != 0x2029 && c != 0xfeff &&
           (c < 0xfff0 || c > 0xfffb);
}

void show_clean(struct buf *out, struct bytes text) {
    while (text.len) {
        size_t step = utf8_step(text);
        struct bytes character = bytes_first(text, step ? step : 1);
        char c = character.at[0];
        if (c == '\t' || c == '\n' || c == '\r')
            buf_byte(out, ' ');
        else if (step && is_harmless(decode(character)))
            buf_add(out, character);
        else
            buf_byte(out, '?');
        text = bytes_skip(text, character.len);
    }
}

// East Asian wide and combining characters, roughly (Unicode's EastAsianWidth.txt, the big blocks): enough to
// align columns.
static size_t width_of(uint32_t c) {
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200d) || (c >= 0xfe00 && c <= 0xfe0f)) return 0;
    bool wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
                (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
                (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
    return wide ? 2 : 1;
}

// How many bytes from the front fit into `columns`; *used gets the columns they take.
static size_t fit(struct bytes text, size_t columns, size_t *used) {
    size_t bytes = 0;
    *used = 0;
    while (bytes < text.len) {
        size_t step = utf8_step(bytes_skip(text, bytes));
        size_t width = step ? width_of(decode(bytes_first(bytes_skip(text, bytes), step))) : 1;
        if (*used + width > columns) break;
        *used += width;
        bytes += step ? step : 1;
    }
    return bytes;
}

size_t show_columns(struct bytes clean) {
    size_t used;
    fit(clean, SIZE_MAX / 2, &used);
    return used;
}

void show_cut(struct buf *out, struct bytes clean, size_t columns) {
    size_t used;
    if (fit(clean, columns, &used) == clean.len) {
        buf_add(out, clean);
    } else if (columns) {
        buf_add(out, bytes_first(clean, fit(clean, columns - 1, &used)));
        buf_addz(out, "…");
    }
}

int show_terminal_width(void) {
    struct winsize size;
    if (!isatty(STDOUT_FILENO)) return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col < 40 ? 40 : size.ws_col;
}

// ---- times --------------------------------------------------------------------------------------

void show_time(struct buf *out, int64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[64];
    if (!localtime_r(&seconds, &tm) || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        buf_format(out, "%" PRId64 " ms", ms);
        return;
    }
    buf_addz(out, text);
}

void show_relative(struct buf *out, int64_t ms, int64_t now_ms) {
    int64_t away = 0;
    if (__builtin_sub_overflow(ms, now_ms, &away)) away = ms < now_ms ? INT64_MIN + 1 : INT64_MAX;
    int64_t seconds = away / 1000;
    char text[QUANTITY_TEXT];
    quantity_duration_human(seconds < 0 ? -seconds : seconds, text);
    if (seconds == 0)
        buf_addz(out, "now");
    else if (seconds > 0)
        buf_format(out, "in %s", text);
    else
        buf_format(out, "%s ago", text);
}

bool show_when(const struct json *value, int64_t *ms) {
    struct bytes text;
    if (json_text(value, &text)) return clock_from_iso(text, ms);
    return json_int(value, ms);
}

bool show_is_empty(const struct json *value) {
    struct bytes text;
    return json_kind(value) == JSON_NOTHING || (json_text(value, &text) && text.len == 0);
}

// ---- any value ----------------------------------------------------------------------------------

static bool ends(const char *name, const char *end) {
    return name && bytes_ends_nocase(bytes_of(name), bytes_of(end));
}

static bool is_size(const char *name) {
    static const char *const names[] = {
        "size", "memory_rss", "script_memory", "memory_in_flight", "memory_fresh", "body_bytes_live", "body_bytes_disk"};
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return ends(name, "_bytes");
}

static void show_number(struct buf *out, const char *name, int64_t n) {
    char text[QUANTITY_TEXT];
    if (ends(name, "_s")) {
        quantity_duration_human(n, text);
        buf_addz(out, text);
    } else if (n >= 0 && is_size(name)) {
        quantity_size_human((uint64_t)n, text);
        buf_addz(out, text);
    } else {
        buf_format(out, "%" PRId64 "%s", n, ends(name, "_ms") ? " ms" : ends(name, "_us") ? " us" : "");
    }
}

// {"code":550,"status":"5.1.1","text":"no such user"}, as it came over the wire.
static bool show_reply(struct buf *out, const struct json *value) {
    struct bytes text;
    if (!json_get(value, "code") || !json_text(json_get(value, "text"), &text)) return false;
    show_value(out, "code", json_get(value, "code"));
    buf_byte(out, ' ');
    if (json_get(value, "status")) {
        show_value(out, "status", json_get(value, "status"));
        buf_byte(out, ' ');
    }
    show_clean(out, text);
    return true;
}

static void show_map(struct buf *out, const struct json *value) {
    void *at = NULL;
    struct bytes name;
    const struct json *item;
    const char *comma = "";
    if (show_reply(out, value)) return;
    while (json_next(value, &at, &name, &item)) {
        bool inner = json_kind(item) == JSON_MAP;
        char *z = bytes_dupz(name);
        buf_addz(out, comma);
        show_clean(out, name);
        buf_addz(out, inner ? "=(" : "=");
        show_value(out, z, item);
        if (inner) buf_byte(out, ')');
        comma = ", ";
        free(z);
    }
}

static void show_list(struct buf *out, const char *name, const struct json *value) {
    for (size_t i = 0; i < json_count(value); i++) {
        if (i) buf_addz(out, ", ");
        show_value(out, name, json_item(value, i));
    }
}

void show_value(struct buf *out, const char *name, const struct json *value) {
    struct bytes text;
    int64_t n;
    double real;
    bool truth;
    switch (json_kind(value)) {
    case JSON_NOTHING:
        buf_byte(out, '-');
        break;
    case JSON_BOOL:
        buf_addz(out, json_bool(value, &truth) && truth ? "yes" : "no");
        break;
    case JSON_INT:
        if (json_int(value, &n)) show_number(out, name, n);
        break;
    case JSON_FLOAT:
        if (json_number(value, &real)) buf_format(out, "%.6g", real);
        break;
    case JSON_TEXT:
        if (!json_text(value, &text)) break;
        if (clock_from_iso(text, &n))
            show_time(out, n);
        else if (text.len == 0 && name && strcmp(name, "sender") == 0)
            buf_addz(out, "<>");
        else
            show_clean(out, text);
        break;
    case JSON_LIST:
        show_list(out, name, value);
        break;
    case JSON_MAP:
        show_map(out, value);
        break;
    }
}
