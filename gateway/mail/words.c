// SPDX-License-Identifier: MIT
#include "mail/words.h"

#include "base/base64.h"
#include "base/utf8.h"
#include "mail/charset.h"

enum { CONVERSIONS = 32 }; // of rare charsets, in one text: more of them are nobody's subject, and each may cost a file

struct word {
    const struct charset *charset;
    bool base64;
    struct bytes text;
    size_t length; // of the whole =?...?=
};

// Words that stand together in one charset are taken off their transfer encoding first and converted as one, which mends characters that senders split
// between words.
struct decoding {
    struct buf out;
    const struct charset *charset; // of `raw`; NULL: nothing is held
    struct buf raw;
    struct bytes as_it_came;
    int conversions;
};

// Looks no further than the next three question marks, so that a text of nothing but "=?" costs no more than
// its length.
static bool word_at(struct bytes text, struct word *w) {
    if (!bytes_starts(text, BYTES("=?"))) return false;
    struct bytes rest = bytes_skip(text, 2);
    ptrdiff_t mark = bytes_find(rest, '?');
    if (mark <= 0) return false;
    struct bytes name = bytes_first(rest, (size_t)mark);
    w->charset = charset_find(bytes_cut(&name, '*')); // a language behind it, RFC 2231 5
    rest = bytes_skip(rest, (size_t)mark + 1);
    if (!w->charset || rest.len < 2 || rest.at[1] != '?' || !strchr("bBqQ", rest.at[0]) || !rest.at[0]) return false;
    w->base64 = (rest.at[0] | 32) == 'b';
    rest = bytes_skip(rest, 2);
    mark = bytes_find(rest, '?');
    if (mark < 0 || (size_t)mark + 1 >= rest.len || rest.at[mark + 1] != '=') return false;
    w->text = bytes_first(rest, (size_t)mark);
    w->length = (size_t)(rest.at + mark + 2 - text.at);
    return true;
}

static void decode_q(struct buf *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i] == '_' ? ' ' : text.at[i];
        int high = c == '=' && i + 2 < text.len ? hex_value(text.at[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text.at[i + 2]) : -1;
        if (low >= 0) {
            c = (char)(high << 4 | low);
            i += 2;
        }
        buf_byte(out, c);
    }
}

static bool is_empty_base64(const struct word *w) {
    struct buf some = {0};
    if (w->base64) base64_decode_loose(&some, w->text, 1);
    bool empty = w->base64 && w->text.len && !some.len;
    buf_release(&some);
    return empty;
}

static void flush(struct decoding *d) {
    const struct charset *c = d->charset;
    d->charset = NULL;
    if (!c) return;
    d->conversions += charset_needs_libc(c);
    bool done = d->conversions <= CONVERSIONS && charset_decode(&d->out, c, buf_bytes(&d->raw), SIZE_MAX);
    if (!done) buf_add(&d->out, d->as_it_came);
    buf_reset(&d->raw);
}

// Takes a word and the white space behind it when another word follows (RFC 2047 6.2).
static bool take_word(struct decoding *d, struct bytes *text) {
    struct word w;
    if (!word_at(*text, &w) || is_empty_base64(&w)) return false;
    if (w.charset != d->charset) flush(d), d->as_it_came = *text;
    d->charset = w.charset;
    if (w.base64) base64_decode_loose(&d->raw, w.text, SIZE_MAX);
    else decode_q(&d->raw, w.text);
    *text = bytes_skip(*text, w.length);
    d->as_it_came.len = (size_t)(text->at - d->as_it_came.at);
    struct bytes next = *text;
    while (next.len && (next.at[0] == ' ' || next.at[0] == '\t')) next = bytes_skip(next, 1);
    if (word_at(next, &w) && !is_empty_base64(&w)) *text = next;
    return true;
}

void words_decode(struct buf *out, struct bytes text) {
    struct decoding d = {0};
    while (text.len) {
        if (text.at[0] == '=' && take_word(&d, &text)) continue;
        flush(&d);
        ptrdiff_t next = bytes_find(bytes_skip(text, 1), '=');
        size_t n = next < 0 ? text.len : (size_t)next + 1;
        buf_add(&d.out, bytes_first(text, n));
        text = bytes_skip(text, n);
    }
    flush(&d);
    words_clean(out, buf_bytes(&d.out));
    buf_release(&d.out);
    buf_release(&d.raw);
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
