// SPDX-License-Identifier: MIT
// reply: what a server says, as a value: ours to a client, a peer's to us.
//
// RFC 5321 section 4.2 (codes), RFC 2034 and 3463 (enhanced status codes). Copy it freely.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { REPLY_TEXT = 1000, REPLY_LINE = 2048, REPLY_LINES = 128 };

struct reply {
    int code;             // 200..599; 0: there is none
    int status[3];        // enhanced status code 5.7.1 as {5, 7, 1}; {0} where there is none
    char text[REPLY_TEXT]; // without codes; several lines are joined by '\n'; cut where it is longer; printable or UTF-8 only
};

// reply_make(550, "5.7.1", "relaying denied"); enhanced may be NULL.
struct reply reply_make(int code, const char *enhanced, const char *format, ...) __attribute__((format(printf, 3, 4)));
// From an operator's words: "550 5.7.1 not today". False with the fault in err.
bool reply_from_text(struct bytes text, struct reply *out, struct err *err);
// Appends it as SMTP lines with CRLF. esmtp: with the enhanced code on every line.
void reply_write(struct buf *out, const struct reply *r, bool enhanced);
void reply_text(const struct reply *r, struct buf *out); // "550 5.7.1 not today" on one line, for people
static inline bool reply_is_positive(const struct reply *r) { return r->code >= 200 && r->code < 400; }
static inline bool reply_is_temporary(const struct reply *r) { return r->code >= 400 && r->code < 500; }
static inline bool reply_is_permanent(const struct reply *r) { return r->code >= 500; }

// Reads a peer's reply of any number of lines, bounded: at most REPLY_LINES lines of REPLY_LINE bytes.
enum reply_result { REPLY_DONE, REPLY_MORE, REPLY_BAD };
// DONE: *used bytes of `in` belong to it. MORE: not all of it is there. BAD: not SMTP, or past the bounds.
// each_line (may be NULL) sees the text of each line (EHLO keywords). Bare LF as line end is tolerated from a peer.
enum reply_result reply_parse(struct bytes in, size_t *used, struct reply *out,
                              void (*each_line)(void *arg, struct bytes line), void *arg);
