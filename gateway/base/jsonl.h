// SPDX-License-Identifier: MIT
// jsonl: writes one JSON object a line, straight into a buffer.
//
// Commas are put by the room; the caller opens, names and closes. Strings are escaped, and bytes that are not
// UTF-8 become U+FFFD, so a line is valid JSON (RFC 8259) whatever a peer sent.
//
//     struct jsonl j = jsonl_begin(&buf);
//     jsonl_text(&j, "type", BYTES("delivered"));
//     jsonl_int(&j, "attempt", 2);
//     jsonl_open(&j, "reply", '{'); jsonl_int(&j, "code", 250); jsonl_close(&j, '}');
//     jsonl_end(&j);                          -> {"type":"delivered","attempt":2,"reply":{"code":250}}\n
//
// Inside a list the name is NULL.
#pragma once

#include "base/bytes.h"

struct jsonl {
    struct buf *out;
    bool comma; // something stands before in this object
};

struct jsonl jsonl_begin(struct buf *out);
void jsonl_end(struct jsonl *j); // "}" and LF
void jsonl_text(struct jsonl *j, const char *name, struct bytes value);
void jsonl_textz(struct jsonl *j, const char *name, const char *value); // NULL gives null
void jsonl_int(struct jsonl *j, const char *name, int64_t value);
void jsonl_real(struct jsonl *j, const char *name, double value);
void jsonl_bool(struct jsonl *j, const char *name, bool value);
void jsonl_time(struct jsonl *j, const char *name, int64_t ms); // ISO 8601 text
void jsonl_raw(struct jsonl *j, const char *name, struct bytes json); // JSON text made elsewhere
void jsonl_open(struct jsonl *j, const char *name, char bracket);     // '{' or '['
void jsonl_close(struct jsonl *j, char bracket);                      // '}' or ']'
void jsonl_escape(struct buf *out, struct bytes text);                // a quoted JSON string
