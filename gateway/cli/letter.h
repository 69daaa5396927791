// SPDX-License-Identifier: MIT
// letter: the message `tidegate send` makes: a header of its own, or a file's content with CRLF line ends.
//
// Pure functions. What a letter points to is the caller's and lent for the call; its header fields are encoded and folded where RFC 5322
// and RFC 2047 want it, so that the result is a message whatever the words were.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct letter {
    const char *from;      // "" for none
    const char *const *to; // shown in To
    size_t to_count;
    const char *subject;        // any UTF-8
    const char *const *headers; // "Name: text"
    size_t header_count;
    struct bytes body; // UTF-8, any line ends
    const char *host;  // for Message-ID
};

must_use bool letter_check_header(const char *header, struct err *err);     // "Name: text", one line
void letter_write(const struct letter *l, int64_t now_ms, struct buf *out); // a fresh Message-ID each time
void letter_lines(struct bytes text,
                  struct buf *out); // every line end becomes CRLF, and there is one at the end
bool letter_has_8bit(struct bytes content);
