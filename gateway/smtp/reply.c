// SPDX-License-Identifier: MIT
#include "smtp/reply.h"

#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>

enum { WIRE_LINE = 512 }; // RFC 5321 4.5.3.1.5, with code and CRLF

// Puts `text` at `at` of r->text; what is neither printable nor UTF-8 becomes '?'. Returns the new length.
static size_t put_text(struct reply *r, size_t at, struct bytes text) {
    size_t room = sizeof r->text - 1;
    while (text.len) {
        size_t n = utf8_step(text);
        unsigned char c = (unsigned char)text.at[0];
        bool keep = n > 1 || (n == 1 && (c == '\n' || (c >= 32 && c < 127)));
        if (at + (keep ? n : 1) > room) break;
        if (keep) {
            memcpy(r->text + at, text.at, n);
            at += n;
        } else {
            r->text[at++] = '?';
        }
        text = bytes_skip(text, n ? n : 1);
    }
    r->text[at] = 0;
    return at;
}

// Reads digits of 1 to 3 places off the front.
static bool take_number(struct bytes *text, int *value) {
    size_t n = 0;
    for (*value = 0; n < text->len && n < 4 && isdigit((unsigned char)text->at[n]); n++)
        *value = *value * 10 + text->at[n] - '0';
    if (n == 0 || n > 3) return false;
    *text = bytes_skip(*text, n);
    return true;
}

// RFC 3463 section 2: "class.subject.detail", followed by a space or the end, which is taken along.
static bool take_status(struct bytes *text, int code, int status[3]) {
    struct bytes rest = *text;
    int found[3];
    for (int i = 0; i < 3; i++) {
        if (i > 0) {
            if (rest.len == 0 || rest.at[0] != '.') return false;
            rest = bytes_skip(rest, 1);
        }
        if (!take_number(&rest, &found[i])) return false;
    }
    if (rest.len && rest.at[0] != ' ') return false;
    if (found[0] != code / 100 || (found[0] != 2 && found[0] != 4 && found[0] != 5)) return false;
    memcpy(status, found, sizeof found);
    *text = bytes_skip(rest, rest.len ? 1 : 0);
    return true;
}

struct reply reply_make(int code, const char *enhanced, const char *format, ...) {
    struct reply r;
    r.code = code;
    memset(r.status, 0, sizeof r.status);
    char text[REPLY_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_text(&r, 0, bytes_of(text));
    struct bytes status = bytes_of(enhanced);
    if (enhanced) take_status(&status, code, r.status);
    return r;
}

static bool take_code(struct bytes *text, int *code) {
    if (text->len < 3) return false;
    *code = 0;
    for (int i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)text->at[i])) return false;
        *code = *code * 10 + text->at[i] - '0';
    }
    *text = bytes_skip(*text, 3);
    return *code >= 200 && *code <= 599;
}

bool reply_from_text(struct bytes text, struct reply *out, struct err *err) {
    struct bytes rest = bytes_trim(text);
    *out = (struct reply){0};
    if (!take_code(&rest, &out->code) || (rest.len && rest.at[0] != ' '))
        return err_set(err,
                       "a reply starts with a code from 200 to 599 and a space, as \"550 5.7.1 not today\"");
    rest = bytes_trim(rest);
    if (!take_status(&rest, out->code, out->status) && rest.len > 3 && isdigit((unsigned char)rest.at[0]) &&
        rest.at[1] == '.' && isdigit((unsigned char)rest.at[2]) && rest.at[0] != '0' + out->code / 100)
        return err_set(err, "the enhanced code of a %d reply starts with %d", out->code, out->code / 100);
    for (size_t i = 0; i < rest.len; i++)
        if (((unsigned char)rest.at[i] < 32 && rest.at[i] != '\n') || rest.at[i] == 127)
            return err_set(err, "a reply has no control characters but line feeds between its lines");
    if (!utf8_is_valid(rest)) return err_set(err, "a reply is UTF-8");
    if (rest.len >= sizeof out->text)
        return err_set(err, "a reply has at most %d bytes of text", REPLY_TEXT - 1);
    put_text(out, 0, rest);
    return true;
}

// How much of `line` fits into `room`, cut behind a space where there is one, never inside a character.
static size_t fitting(struct bytes line, size_t room) {
    if (line.len <= room) return line.len;
    ptrdiff_t space = bytes_find_last(bytes_first(line, room), ' ');
    if (space > 0) return (size_t)space + 1;
    while (room > 1 && ((unsigned char)line.at[room] & 0xc0) == 0x80)
        room--;
    return room;
}

static size_t write_prefix(const struct reply *r, bool enhanced, char out[32]) {
    int class = r->code / 100;
    if (!enhanced || class == 3) return (size_t)snprintf(out, 32, "%d ", r->code);
    int status[3] = {class, 0, 0};
    if (r->status[0]) memcpy(status, r->status, sizeof status);
    return (size_t)snprintf(out, 32, "%d %d.%d.%d ", r->code, status[0], status[1] % 1000, status[2] % 1000);
}

void reply_write(struct buf *out, const struct reply *r, bool enhanced) {
    char prefix[32];
    size_t prefix_len = write_prefix(r, enhanced, prefix);
    size_t room = WIRE_LINE - 2 - prefix_len;
    struct bytes text = bytes_trim(bytes_of(r->text));
    do {
        struct bytes line = bytes_cut(&text, '\n');
        do {
            size_t n = fitting(line, room);
            buf_add(out, bytes_range(prefix, prefix_len));
            if (n < line.len || text.len) out->at[out->len - prefix_len + 3] = '-';
            buf_add(out, bytes_trim(bytes_first(line, n)));
            buf_add(out, BYTES("\r\n"));
            line = bytes_skip(line, n);
        } while (line.len);
    } while (text.len);
}

const char *reply_status(const struct reply *r, char out[REPLY_STATUS]) {
    out[0] = '\0';
    if (r->status[0]) snprintf(out, REPLY_STATUS, "%d.%d.%d", r->status[0], r->status[1], r->status[2]);
    return out;
}

void reply_text(const struct reply *r, struct buf *out) {
    char status[REPLY_STATUS];
    buf_format(out, r->status[0] ? "%d %s" : "%d", r->code, reply_status(r, status));
    if (r->text[0]) buf_byte(out, ' ');
    for (const char *p = r->text; *p; p++)
        buf_byte(out, *p == '\n' ? ' ' : *p);
}

// One line of a reply, without its end. MORE: another follows.
static enum reply_result read_line(struct reply_reader *r, struct bytes line, reply_line_fn *each_line,
                                   void *arg) {
    int code;
    if (!take_code(&line, &code)) return REPLY_BAD;
    if (r->lines++ > 0 && code != r->reply.code) return REPLY_BAD;
    r->reply.code = code;
    bool last = line.len == 0 || line.at[0] == ' ';
    if (!last && line.at[0] != '-') return REPLY_BAD;
    line = bytes_skip(line, line.len ? 1 : 0);
    if (each_line) each_line(arg, line);

    int status[3];
    if (take_status(&line, code, status) && r->reply.status[0] == 0)
        memcpy(r->reply.status, status, sizeof status);
    if (r->lines > 1) r->text_len = put_text(&r->reply, r->text_len, BYTES("\n"));
    r->text_len = put_text(&r->reply, r->text_len, bytes_trim(line));
    return last ? REPLY_DONE : REPLY_MORE;
}

enum reply_result reply_read(struct reply_reader *r, struct bytes *in, reply_line_fn *each_line, void *arg) {
    enum reply_result result = REPLY_MORE;
    if (r->lines == 0) {
        r->text_len = 0;
        r->reply.text[0] = 0;
        memset(r->reply.status, 0, sizeof r->reply.status);
    }
    while (result == REPLY_MORE) {
        if (r->lines == REPLY_LINES) return REPLY_BAD;
        struct bytes line = bytes_first(*in, REPLY_LINE);
        ptrdiff_t end = bytes_find(line, '\n');
        if (end < 0) return in->len >= REPLY_LINE ? REPLY_BAD : REPLY_MORE;
        *in = bytes_skip(*in, (size_t)end + 1);
        line.len = (size_t)end;
        if (line.len && line.at[line.len - 1] == '\r') line.len--;
        result = read_line(r, line, each_line, arg);
    }
    r->lines = 0;
    return result;
}

enum reply_result reply_parse(struct bytes in, size_t *used, struct reply *out, reply_line_fn *each_line,
                              void *arg) {
    struct reply_reader reader = {0};
    struct bytes rest = in;
    enum reply_result result = reply_read(&reader, &rest, each_line, arg);
    if (result != REPLY_DONE) return result;
    *used = in.len - rest.len;
    *out = reader.reply;
    return REPLY_DONE;
}
