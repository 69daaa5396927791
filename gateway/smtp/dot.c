// SPDX-License-Identifier: MIT
#include "smtp/dot.h"

static bool has_eight(const char *p, size_t n) {
    uint64_t any = 0, word;
    for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        any |= word;
    }
    for (; n; n--)
        any |= (uint8_t)*p++;
    return any & 0x8080808080808080u;
}

// What can be looked up over a whole run at once, without regard to lines.
static void note_bytes(struct dot_reader *r, const char *p, size_t n) {
    if (n == 0) return;
    if (!r->nul) r->nul = memchr(p, 0, n) != NULL;
    if (!r->eight) r->eight = has_eight(p, n);
}

static void line_grew(struct dot_reader *r, size_t n) {
    r->line += n;
    if (r->line > r->longest) r->longest = r->line;
}

// Goes over the line at p up to its end at `to`: behind its LF, or where the bytes end.
static void note_line(struct dot_reader *r, const char *p, const char *to) {
    bool lf = to[-1] == '\n';
    line_grew(r, (size_t)(to - p));
    if (!r->bare) {
        bool held = r->state == DOT_TEXT_CR; // a CR ended the piece before
        const char *cr = memchr(p, '\r', (size_t)(to - p));
        if (lf)
            r->bare = held ? to - p > 1 : cr != to - 2;
        else
            r->bare = held || (cr && cr != to - 1);
    }
    bool crlf = lf && (to - p > 1 ? to[-2] == '\r' : r->state == DOT_TEXT_CR);
    r->state = crlf ? DOT_LINE_START : to[-1] == '\r' ? DOT_TEXT_CR : DOT_TEXT;
    if (crlf) r->line = 0;
}

// Goes over content from inside a line or from a line start that has no dot, line by line. Returns the length
// that can be handed out as it is: all of it, or up to a line that starts with a dot, where dots are to be
// undone.
static size_t note_lines(struct dot_reader *r, struct bytes in, bool dots) {
    const char *p = in.at, *end = in.at + in.len;
    while (p < end) {
        if (dots && r->state == DOT_LINE_START && *p == '.') break;
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const char *to = lf ? lf + 1 : end;
        note_line(r, p, to);
        p = to;
    }
    return (size_t)(p - in.at);
}

// At a dot that starts a line: drops it, holds back a CR behind it until the next byte tells. Returns the CR
// where it proves to be content.
static struct bytes read_dot(struct dot_reader *r, struct bytes *input, bool *ended) {
    struct bytes none = {input->at, 0};
    if (r->state == DOT_LINE_START) {
        *input = bytes_skip(*input, 1);
        r->state = DOT_DOT;
        if (input->len == 0) return none;
    }
    if (r->state == DOT_DOT) {
        if (input->at[0] != '\r') {
            r->state = DOT_TEXT;
            return none;
        }
        *input = bytes_skip(*input, 1);
        r->state = DOT_DOT_CR;
        if (input->len == 0) return none;
    }
    if (input->at[0] == '\n') {
        *input = bytes_skip(*input, 1);
        *ended = true;
        r->state = DOT_LINE_START;
        return none;
    }
    line_grew(r, 1);
    r->bare = true;
    r->state = DOT_TEXT; // what follows is no LF, so nothing hangs on this CR any more
    return BYTES("\r");
}

struct bytes dot_read(struct dot_reader *r, struct bytes *input, bool *ended) {
    *ended = false;
    while (input->len) {
        bool at_dot = r->state == DOT_DOT || r->state == DOT_DOT_CR ||
                      (r->state == DOT_LINE_START && input->at[0] == '.');
        if (at_dot) {
            struct bytes held = read_dot(r, input, ended);
            if (*ended || held.len) return held;
            if (input->len == 0 || r->state != DOT_TEXT) continue;
        }
        size_t n = note_lines(r, *input, true);
        struct bytes run = bytes_first(*input, n);
        note_bytes(r, run.at, n);
        *input = bytes_skip(*input, n);
        return run;
    }
    return (struct bytes){input->at, 0};
}

void dot_note(struct dot_reader *r, struct bytes content) {
    note_lines(r, content, false);
    note_bytes(r, content.at, content.len);
}

bool dot_note_end(struct dot_reader *r) {
    if (r->state == DOT_TEXT_CR) r->bare = true;
    return r->state != DOT_LINE_START;
}

enum { AT_LINE_START, AT_TEXT, AT_CR, AT_BARE_LF };

static int state_behind(int state, struct bytes piece) {
    char last = piece.at[piece.len - 1];
    if (last == '\r') return AT_CR;
    if (last != '\n') return AT_TEXT;
    bool crlf = piece.len > 1 ? piece.at[piece.len - 2] == '\r' : state == AT_CR;
    return crlf ? AT_LINE_START : AT_BARE_LF;
}

void dot_write(struct dot_writer *w, struct buf *out, struct bytes piece) {
    if (piece.len == 0) return;
    const char *from = piece.at, *end = piece.at + piece.len;
    for (const char *p = from, *dot; p < end && (dot = memchr(p, '.', (size_t)(end - p))); p = dot + 1) {
        bool starts = dot == piece.at ? w->state != AT_TEXT : dot[-1] == '\n' || dot[-1] == '\r';
        if (!starts) continue;
        buf_add(out, bytes_range(from, (size_t)(dot - from)));
        buf_byte(out, '.');
        from = dot;
    }
    buf_add(out, bytes_range(from, (size_t)(end - from)));
    w->state = state_behind(w->state, piece);
}

void dot_end(struct dot_writer *w, struct buf *out) {
    // Behind a bare CR an LF would make a CRLF that the content did not have: still, the line must end.
    if (w->state != AT_LINE_START) buf_add(out, BYTES("\r\n"));
    buf_add(out, BYTES(".\r\n"));
    w->state = AT_LINE_START;
}
