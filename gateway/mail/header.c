// SPDX-License-Identifier: MIT
#include "mail/header.h"

#include "mail/words.h"

enum { LINE_WISH = 78, LINE_MAX_RFC = 998 };

static bool is_wsp(char c) {
    return c == ' ' || c == '\t';
}
static bool is_ftext(char c) {
    return c > ' ' && c <= '~' && c != ':';
}
static bool at_break(struct bytes b) {
    return b.len >= 2 && b.at[0] == '\r' && b.at[1] == '\n';
}

// Length of the first line with its CRLF; all of it where there is none.
static size_t line_length(struct bytes text) {
    ptrdiff_t at = bytes_search(text, BYTES("\r\n"));
    return at < 0 ? text.len : (size_t)at + 2;
}

static void split_field(struct header_field *field) {
    struct bytes text = field->whole;
    if (bytes_ends_nocase(text, BYTES("\r\n"))) text.len -= 2;
    size_t name = 0;
    while (name < text.len && is_ftext(text.at[name]))
        name++;
    size_t colon = name;
    while (colon < text.len && is_wsp(text.at[colon]))
        colon++; // RFC 5322 4.5: white space before the colon
    bool garbage = name == 0 || colon == text.len || text.at[colon] != ':';
    field->name = bytes_first(text, garbage ? 0 : name);
    field->value = garbage ? text : bytes_skip(text, colon + 1);
}

bool header_next(struct bytes *rest, struct header_field *out) {
    if (rest->len == 0 || at_break(*rest)) return false;
    size_t len = line_length(*rest);
    while (len < rest->len && is_wsp(rest->at[len]))
        len += line_length(bytes_skip(*rest, len));
    out->whole = bytes_first(*rest, len);
    *rest = bytes_skip(*rest, len);
    split_field(out);
    return true;
}

size_t header_count(struct bytes head, struct bytes name) {
    size_t count = 0;
    struct header_field field;
    while (header_next(&head, &field))
        count += field.name.len && bytes_equal_nocase(field.name, name);
    return count;
}

bool header_get(struct bytes head, struct bytes name, int nth, struct header_field *out) {
    struct header_field field;
    bool last = nth < 0, found = false;
    while ((last || !found) && header_next(&head, &field)) {
        if (field.name.len == 0 || !bytes_equal_nocase(field.name, name)) continue;
        if (!last && nth-- > 0) continue;
        *out = field;
        found = true;
    }
    return found;
}

void header_unfold(struct buf *out, struct bytes value) {
    value = bytes_trim(value);
    buf_reserve(out, value.len);
    while (value.len) {
        size_t n = line_length(value);
        bool fold = n < value.len && is_wsp(value.at[n]);
        buf_add(out, bytes_first(value, fold ? n - 2 : n));
        value = bytes_skip(value, n);
    }
}

void header_decode_words(struct buf *out, struct bytes value) {
    struct buf line = {0};
    header_unfold(&line, value);
    words_decode(out, buf_bytes(&line));
    buf_release(&line);
}

// ---- edits

static bool check_name(struct bytes name, struct err *err) {
    bool valid = name.len > 0 && name.len <= LINE_WISH;
    for (size_t i = 0; valid && i < name.len; i++)
        valid = is_ftext(name.at[i]);
    return valid || err_set(err, "'%.*s' is no header field name", BYTES_FMT(bytes_first(name, 80)));
}

static bool check_value(struct bytes name, struct bytes value, struct err *err) {
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        bool fold = c == '\r' && i + 2 < value.len && value.at[i + 1] == '\n' && is_wsp(value.at[i + 2]);
        if (fold)
            i += 2;
        else if (c == '\r' || c == '\n')
            return err_set(err, "header '%.*s': a line break in the value", BYTES_FMT(name));
        else if (c == 0)
            return err_set(err, "header '%.*s': a NUL in the value", BYTES_FMT(name));
    }
    return true;
}

// White space and the word behind it: what a fold never cuts.
static size_t word_length(struct bytes text) {
    size_t n = 0;
    while (n < text.len && is_wsp(text.at[n]))
        n++;
    while (n < text.len && !is_wsp(text.at[n]))
        n++;
    return n;
}

// The text is one trimmed line. A line never consists of white space alone (obsolete folding, RFC 5322 4.2),
// and the first one keeps something behind the name unless that alone would be too long.
static bool fold(struct buf *out, struct bytes name, struct bytes text, struct err *err) {
    buf_add(out, name);
    buf_byte(out, ':');
    size_t line = name.len + 1;
    for (bool first = true; text.len; first = false) {
        size_t n = word_length(text), blank = first;
        if (n + blank > LINE_MAX_RFC)
            return err_set(err, "header '%.*s': a word of %zu octets fits no line", BYTES_FMT(name), n);
        if (line + blank + n > (first ? LINE_MAX_RFC : LINE_WISH)) {
            buf_addz(out, "\r\n");
            line = 0;
        }
        if (blank) buf_byte(out, ' ');
        buf_add(out, bytes_first(text, n));
        line += blank + n;
        text = bytes_skip(text, n);
    }
    buf_addz(out, "\r\n");
    return true;
}

// A copy of its own, since name and value may point into the block about to be edited.
static bool compose(struct buf *field, struct bytes name, struct bytes value, struct err *err) {
    if (!check_name(name, err) || !check_value(name, value, err)) return false;
    struct buf line = {0};
    header_unfold(&line, value);
    bool ok = fold(field, name, buf_bytes(&line), err);
    buf_release(&line);
    if (!ok) buf_release(field);
    return ok;
}

static void insert(struct buf *head, size_t at, struct bytes what) {
    buf_reserve(head, what.len);
    memmove(head->at + at + what.len, head->at + at, head->len - at);
    memcpy(head->at + at, what.at, what.len);
    head->len += what.len;
}

bool header_prepend(struct buf *head, struct bytes name, struct bytes value, struct err *err) {
    struct buf field = {0};
    if (!compose(&field, name, value, err)) return false;
    insert(head, 0, buf_bytes(&field));
    buf_release(&field);
    return true;
}

static void append(struct buf *head, struct bytes field) {
    struct bytes rest = buf_bytes(head);
    for (struct header_field skipped; header_next(&rest, &skipped);) {
    }
    size_t at = head->len - rest.len;
    if (rest.len == 0 && head->len && !bytes_ends_nocase(buf_bytes(head), BYTES("\r\n"))) {
        buf_addz(head, "\r\n");
        at = head->len;
    }
    insert(head, at, field);
}

bool header_append(struct buf *head, struct bytes name, struct bytes value, struct err *err) {
    struct buf field = {0};
    if (!compose(&field, name, value, err)) return false;
    append(head, buf_bytes(&field));
    buf_release(&field);
    return true;
}

// Rebuilds the block with all fields of the name gone, and `instead` where the first of them was.
static size_t take_out(struct buf *head, struct bytes name, struct bytes instead) {
    struct buf made = {0};
    struct bytes rest = buf_bytes(head);
    struct header_field field;
    size_t taken = 0;
    buf_reserve(&made, head->len + instead.len);
    while (header_next(&rest, &field)) {
        bool match = field.name.len && bytes_equal_nocase(field.name, name);
        if (!match)
            buf_add(&made, field.whole);
        else if (taken++ == 0)
            buf_add(&made, instead);
    }
    buf_add(&made, rest);
    buf_release(head);
    *head = made;
    return taken;
}

bool header_replace(struct buf *head, struct bytes name, struct bytes value, struct err *err) {
    struct buf field = {0};
    if (!compose(&field, name, value, err)) return false;
    if (header_count(buf_bytes(head), name))
        take_out(head, name, buf_bytes(&field));
    else
        append(head, buf_bytes(&field));
    buf_release(&field);
    return true;
}

size_t header_remove(struct buf *head, struct bytes name) {
    if (header_count(buf_bytes(head), name) == 0) return 0;
    return take_out(head, name, (struct bytes){0});
}
