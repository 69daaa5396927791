// SPDX-License-Identifier: MIT
#include "mail/words.h"

#include "base/base64.h"
#include "base/utf8.h"

enum charset { CHARSET_UNKNOWN, CHARSET_UTF8, CHARSET_LATIN };

struct word {
    enum charset charset;
    bool base64;
    struct bytes text;
    size_t length; // of the whole =?...?=
};

// Windows-1252 from 0x80 to 0x9f. What calls itself ISO-8859-1 is read the same way: its own C1 controls
// there are never meant.
static const uint16_t latin_high[32] = {
    0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
};

static void add_latin(struct buf *out, uint8_t c) {
    unsigned u = c >= 0x80 && c < 0xa0 ? latin_high[c - 0x80] : c;
    if (u < 0x80) {
        buf_byte(out, (char)u);
    } else if (u < 0x800) {
        buf_byte(out, (char)(0xc0 | u >> 6));
        buf_byte(out, (char)(0x80 | (u & 0x3f)));
    } else {
        buf_byte(out, (char)(0xe0 | u >> 12));
        buf_byte(out, (char)(0x80 | (u >> 6 & 0x3f)));
        buf_byte(out, (char)(0x80 | (u & 0x3f)));
    }
}

static enum charset charset_of(struct bytes name) {
    static const struct {
        const char *name;
        enum charset is;
    } known[] = {
        {"utf-8", CHARSET_UTF8},       {"utf8", CHARSET_UTF8},          {"us-ascii", CHARSET_UTF8},
        {"iso-8859-1", CHARSET_LATIN}, {"windows-1252", CHARSET_LATIN},
    };
    name = bytes_cut(&name, '*'); // a language behind it, RFC 2231 5
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_equal_nocase(name, bytes_of(known[i].name))) return known[i].is;
    return CHARSET_UNKNOWN;
}

// Looks no further than the next three question marks, so that a text of nothing but "=?" costs no more than
// its length.
static bool word_at(struct bytes text, struct word *w) {
    if (!bytes_starts(text, BYTES("=?"))) return false;
    struct bytes rest = bytes_skip(text, 2);
    ptrdiff_t mark = bytes_find(rest, '?');
    if (mark <= 0) return false;
    w->charset = charset_of(bytes_first(rest, (size_t)mark));
    rest = bytes_skip(rest, (size_t)mark + 1);
    if (w->charset == CHARSET_UNKNOWN || rest.len < 2 || rest.at[1] != '?' || !strchr("bBqQ", rest.at[0]) ||
        !rest.at[0])
        return false;
    w->base64 = (rest.at[0] | 32) == 'b';
    rest = bytes_skip(rest, 2);
    mark = bytes_find(rest, '?');
    if (mark < 0 || (size_t)mark + 1 >= rest.len || rest.at[mark + 1] != '=') return false;
    w->text = bytes_first(rest, (size_t)mark);
    w->length = (size_t)(rest.at + mark + 2 - text.at);
    return true;
}

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_q(struct buf *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i] == '_' ? ' ' : text.at[i];
        int high = c == '=' && i + 2 < text.len ? hex(text.at[i + 1]) : -1;
        int low = high >= 0 ? hex(text.at[i + 2]) : -1;
        if (low >= 0) {
            c = (char)(high << 4 | low);
            i += 2;
        }
        buf_byte(out, c);
    }
}

static bool decode_b(struct buf *out, struct bytes text) {
    struct buf padded = {0};
    buf_add(&padded, text);
    while (padded.len % 4)
        buf_byte(&padded, '=');
    bool ok = base64_decode(out, buf_bytes(&padded));
    buf_release(&padded);
    return ok;
}

static bool add_word(struct buf *out, const struct word *w) {
    struct buf raw = {0};
    bool ok = true;
    if (w->base64)
        ok = decode_b(&raw, w->text);
    else
        decode_q(&raw, w->text);
    if (ok && w->charset == CHARSET_UTF8) buf_add(out, buf_bytes(&raw));
    for (size_t i = 0; ok && w->charset == CHARSET_LATIN && i < raw.len; i++)
        add_latin(out, (uint8_t)raw.at[i]);
    buf_release(&raw);
    return ok;
}

// Takes a decoded word and the white space behind it when another word follows (RFC 2047 6.2). The bytes of
// neighbours are joined before anyone asks whether they are UTF-8, which mends characters split between
// words.
static bool take_word(struct buf *out, struct bytes *text) {
    struct word w;
    if (!word_at(*text, &w) || !add_word(out, &w)) return false;
    *text = bytes_skip(*text, w.length);
    struct bytes next = *text;
    while (next.len && (next.at[0] == ' ' || next.at[0] == '\t'))
        next = bytes_skip(next, 1);
    if (bytes_starts(next, BYTES("=?")) && word_at(next, &w)) *text = next;
    return true;
}

void words_decode(struct buf *out, struct bytes text) {
    struct buf raw = {0};
    while (text.len) {
        if (text.at[0] == '=' && take_word(&raw, &text)) continue;
        ptrdiff_t next = bytes_find(bytes_skip(text, 1), '=');
        size_t n = next < 0 ? text.len : (size_t)next + 1;
        buf_add(&raw, bytes_first(text, n));
        text = bytes_skip(text, n);
    }
    words_clean(out, buf_bytes(&raw));
    buf_release(&raw);
}

void words_clean(struct buf *out, struct bytes text) {
    buf_reserve(out, text.len);
    while (text.len) {
        size_t n = utf8_step(text);
        uint8_t c = (uint8_t)text.at[0];
        bool control = c < ' ' || c == 0x7f || (n == 2 && c == 0xc2 && (uint8_t)text.at[1] < 0xa0);
        if (n == 0)
            buf_add(out, BYTES("\xef\xbf\xbd"));
        else if (control)
            buf_byte(out, ' ');
        else
            buf_add(out, bytes_first(text, n));
        text = bytes_skip(text, n ? n : 1);
    }
}

struct bytes words_line(struct arena *arena, struct bytes text, size_t max) {
    struct buf cleaned = {0};
    words_clean(&cleaned, bytes_first(text, max + 4)); // a character broken here lies behind the cut below
    struct bytes line = bytes_trim(buf_bytes(&cleaned));
    if (line.len > max) line.len = max;
    while (line.len && !utf8_is_valid(line))
        line.len--;
    line = arena_copy(arena, line);
    buf_release(&cleaned);
    return line;
}
