// SPDX-License-Identifier: MIT
// reply: what a server says, as a value: ours to a client, a peer's to us.
//
// RFC 5321 section 4.2 (codes), RFC 2034 and 3463 (enhanced status codes). Copy it freely.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { REPLY_TEXT = 1000, REPLY_LINE = 2048, REPLY_LINES = 128, REPLY_STATUS = 40 };

struct reply {
    int code;             // 200..599; 0: there is none
    int status[3];        // enhanced status code 5.7.1 as {5, 7, 1}; {0} where there is none
    char text[REPLY_TEXT]; // without codes; several lines are joined by '\n'; cut where it is longer; printable or UTF-8 only
};

// reply_make(550, "5.7.1", "relaying denied"); enhanced may be NULL. What is not printable becomes '?'.
struct reply reply_make(int code, const char *enhanced, const char *format, ...) __attribute__((format(printf, 3, 4)));
// From an operator's words: "550 5.7.1 not today". False with the fault in err.
must_use bool reply_from_text(struct bytes text, struct reply *out, struct err *err);
// Appends it as SMTP lines with CRLF, none longer than 512 bytes (RFC 5321 4.5.3.1.5). enhanced: with the enhanced code on
// every line; a 2xx, 4xx or 5xx without one gets that of its class, x.0.0 (RFC 2034 section 4 wants one in each).
void reply_write(struct buf *out, const struct reply *r, bool enhanced);
void reply_text(const struct reply *r, struct buf *out); // "550 5.7.1 not today" on one line, for people
const char *reply_status(const struct reply *r, char out[REPLY_STATUS]); // "5.7.1"; "" where there is none
static inline bool reply_is_positive(const struct reply *r) { return r->code >= 200 && r->code < 400; }
static inline bool reply_is_temporary(const struct reply *r) { return r->code >= 400 && r->code < 500; }
static inline bool reply_is_permanent(const struct reply *r) { return r->code >= 500; }

// Reads a peer's reply of any number of lines, bounded: at most REPLY_LINES lines of REPLY_LINE bytes. Every line has
// the same code, or it is no reply. An enhanced code counts only at the start of a line's text, and only of the
// code's own class. Bare LF as line end is tolerated from a peer.
enum reply_result { REPLY_DONE, REPLY_MORE, REPLY_BAD };
typedef void reply_line_fn(void *arg, struct bytes line);

struct reply_reader { // zeroed: before a reply
    int lines;        // read so far
    size_t text_len;
    struct reply reply;
};
// Takes whole lines off the front of *in. DONE: r->reply is the reply, and the next call starts another. MORE: not all of
// it is there; what is left of *in is to be given again with more behind it. BAD: not SMTP, or past the bounds.
// each_line (may be NULL) sees the text behind the code of each line (EHLO keywords), unchecked bytes.
enum reply_result reply_read(struct reply_reader *r, struct bytes *in, reply_line_fn *each_line, void *arg);
// The same for a reply that lies in one piece: DONE: *used bytes of `in` belong to it.
enum reply_result reply_parse(struct bytes in, size_t *used, struct reply *out, reply_line_fn *each_line, void *arg); // tests, fuzzing
