// SPDX-License-Identifier: MIT
#include "mail/part.h"

#include "base/base64.h"
#include "mail/charset.h"

enum { FIELD_MAX = 16 * 1024 };

struct bytes part_line(struct bytes *rest) {
    struct bytes line = bytes_cut(rest, '\n');
    if (line.len && line.at[line.len - 1] == '\r') line.len--;
    return line;
}

// ---- fields

static bool is_field(struct bytes line) {
    size_t n = 0;
    while (n < line.len && n < 80 && line.at[n] > ' ' && line.at[n] < 127 && line.at[n] != ':') n++;
    while (n && n < line.len && (line.at[n] == ' ' || line.at[n] == '\t')) n++;
    return n && n < line.len && line.at[n] == ':';
}

static bool is_fold(struct bytes line) {
    return line.len && (line.at[0] == ' ' || line.at[0] == '\t');
}

struct bytes part_cut_head(struct bytes *rest) {
    struct bytes head = *rest, before = *rest;
    bool any = false;
    while (rest->len) {
        before = *rest;
        struct bytes line = part_line(rest);
        if (line.len == 0 && any) break;
        // Blank lines and an mbox's separator may stand in front; anything else that is no field is the body's first line.
        bool in_front = !any && (bytes_trim(line).len == 0 || bytes_starts(line, BYTES("From ")) || bytes_starts(line, BYTES(">From ")));
        if (in_front) head = *rest;
        else if (is_field(line) || (any && is_fold(line))) any = true;
        else {
            *rest = before;
            break;
        }
        if (!rest->len) before = *rest;
    }
    if (!any) return (struct bytes){head.at, 0};
    head.len = (size_t)(before.at - head.at);
    return head;
}

// Where the value of the first such field begins; the value's raw bytes, with its folds.
static bool find_field(struct bytes head, const char *name, struct bytes *value) {
    struct bytes wanted = bytes_of(name);
    while (head.len) {
        struct bytes line = part_line(&head);
        if (!bytes_starts_nocase(line, wanted)) continue;
        struct bytes after = bytes_skip(line, wanted.len);
        while (after.len && (after.at[0] == ' ' || after.at[0] == '\t')) after = bytes_skip(after, 1);
        if (!after.len || after.at[0] != ':') continue;
        *value = bytes_skip(after, 1);
        while (head.len && is_fold(head)) {
            line = part_line(&head);
            value->len = (size_t)(line.at + line.len - value->at);
        }
        return true;
    }
    return false;
}

struct bytes part_field(struct bytes head, const char *name, struct arena *arena) {
    struct bytes raw;
    if (!find_field(head, name, &raw)) return BYTES("");
    raw = bytes_trim(bytes_first(raw, FIELD_MAX));
    char *to = arena_alloc(arena, raw.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        bool end = raw.at[i] == '\r' || raw.at[i] == '\n' || raw.at[i] == 0;
        if (!end) to[n++] = raw.at[i] == '\t' ? ' ' : raw.at[i];
    }
    return bytes_range(to, n);
}

bool part_has_field(struct bytes head, const char *name) {
    struct bytes value;
    return find_field(head, name, &value);
}

// A parameter of a structured value: boundary of "multipart/report; boundary=x".
static struct bytes part_parameter(struct bytes value, const char *name) {
    struct bytes wanted = bytes_of(name);
    (void)bytes_cut(&value, ';');
    while (value.len) {
        while (value.len && strchr("; \t\r\n", value.at[0]) && value.at[0]) value = bytes_skip(value, 1);
        size_t n = 0;
        while (n < value.len && value.at[n] != '=' && value.at[n] != ';') n++;
        struct bytes key = bytes_trim(bytes_first(value, n));
        bool given = n < value.len && value.at[n] == '=';
        value = bytes_skip(value, given ? n + 1 : n);
        if (!given) continue;
        while (value.len && (value.at[0] == ' ' || value.at[0] == '\t')) value = bytes_skip(value, 1);
        bool quoted = value.len && value.at[0] == '"';
        if (quoted) value = bytes_skip(value, 1);
        n = 0;
        while (n < value.len && (quoted ? value.at[n] != '"' : value.at[n] != ';')) n++;
        struct bytes found = bytes_first(value, n);
        value = bytes_skip(value, n);
        if (quoted && value.len) value = bytes_skip(value, 1);
        if (bytes_equal_nocase(key, wanted)) return quoted ? found : bytes_trim(found);
    }
    return BYTES("");
}

// ---- parts

static struct bytes type_of(struct bytes head, struct bytes *whole) {
    struct bytes type;
    if (!find_field(head, "Content-Type", whole)) *whole = BYTES("");
    type = *whole;
    ptrdiff_t end = bytes_find(type, ';');
    if (end >= 0) type.len = (size_t)end;
    type = bytes_trim(type);
    return bytes_find(type, '/') > 0 ? type : BYTES("text/plain");
}

static void add(struct parts *out, struct bytes type, struct bytes head, struct bytes body) {
    if (out->count < PARTS_MAX) out->list[out->count++] = (struct part){type, head, body};
}

// "--boundary" or "--boundary--" and nothing but blanks behind it.
static bool is_delimiter(struct bytes line, struct bytes boundary, bool *last) {
    if (line.len < boundary.len + 2 || line.at[0] != '-' || line.at[1] != '-') return false;
    line = bytes_skip(line, 2);
    if (!bytes_starts(line, boundary)) return false;
    line = bytes_trim(bytes_skip(line, boundary.len));
    *last = bytes_equal(line, BYTES("--"));
    return *last || line.len == 0;
}

static void walk(struct parts *out, struct bytes head, struct bytes body, int depth);

static bool walk_multipart(struct parts *out, struct bytes whole, struct bytes body, int depth) {
    struct bytes boundary = part_parameter(whole, "boundary"), rest = body, at = body;
    bool inside = false, last = false;
    if (!boundary.len) return false;
    while (!last && rest.len) {
        struct bytes line_at = rest, line = part_line(&rest);
        if (!is_delimiter(line, boundary, &last)) continue;
        if (inside) {
            struct bytes piece = {at.at, (size_t)(line_at.at - at.at)}, piece_head = part_cut_head(&piece);
            walk(out, piece_head, piece, depth + 1);
        }
        inside = true;
        at = rest;
    }
    if (inside && !last && at.len) {
        struct bytes piece_head = part_cut_head(&at);
        walk(out, piece_head, at, depth + 1);
    }
    return inside;
}

static void walk(struct parts *out, struct bytes head, struct bytes body, int depth) {
    struct bytes whole, type = type_of(head, &whole);
    if (out->count == PARTS_MAX) return;
    bool many = bytes_starts_nocase(type, BYTES("multipart/")) && depth < PART_DEPTH;
    if (many && walk_multipart(out, whole, body, depth)) return;
    add(out, bytes_starts_nocase(type, BYTES("multipart/")) ? BYTES("text/plain") : type, head, body);
}

void parts_of(struct bytes message, struct parts *out) {
    out->count = 0;
    out->head = part_cut_head(&message);
    walk(out, out->head, message, 0);
}

// ---- transfer encodings (RFC 2045 6.7, 6.8)

static void decode_quoted(struct bytes in, size_t max, struct buf *out) {
    for (size_t i = 0; i < in.len && out->len < max; i++) {
        char c = in.at[i];
        if (c != '=') {
            buf_byte(out, c);
            continue;
        }
        size_t end = i + 1;
        while (end < in.len && (in.at[end] == ' ' || in.at[end] == '\t' || in.at[end] == '\r')) end++;
        if (end == in.len || in.at[end] == '\n') {
            i = end;
            continue;
        }
        int high = hex_value(in.at[i + 1]), low = i + 2 < in.len ? hex_value(in.at[i + 2]) : -1;
        if (high < 0 || low < 0) {
            buf_byte(out, c);
            continue;
        }
        buf_byte(out, (char)(high << 4 | low));
        i += 2;
    }
}

void part_decode(const struct part *p, size_t max, struct buf *out) {
    struct bytes encoding;
    max += out->len;
    encoding = find_field(p->head, "Content-Transfer-Encoding", &encoding) ? bytes_trim(encoding) : BYTES("");
    if (bytes_starts_nocase(encoding, BYTES("quoted-printable"))) decode_quoted(p->body, max, out);
    else if (bytes_starts_nocase(encoding, BYTES("base64"))) base64_decode_loose(out, p->body, max);
    else buf_add(out, bytes_first(p->body, max - out->len));
}

void part_text(const struct part *p, size_t max, struct buf *out) {
    struct bytes whole;
    (void)type_of(p->head, &whole);
    const struct charset *c = charset_find(part_parameter(whole, "charset"));
    struct buf raw = {0};
    if (c) part_decode(p, max, &raw);
    if (!c || !charset_decode(out, c, buf_bytes(&raw), max)) part_decode(p, max, out);
    buf_release(&raw);
}
