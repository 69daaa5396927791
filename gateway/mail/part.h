// SPDX-License-Identifier: MIT
// part: the parts of a message that came from anywhere (RFC 2045, 2046), found and decoded leniently.
//
// For mail as it lies in mailboxes: lines end with LF or CRLF, boundaries may be missing or never close, a header may have no end, an mbox's
// "From " line may stand in front. Everything gives some list of parts. What is found points into the message. An embedded message is one
// part and is not walked into. Bounded: PARTS_MAX parts, PART_DEPTH levels, cost linear in the size for each level. Pure, any thread.
#pragma once

#include "base/arena.h"
#include "base/bytes.h"

enum { PARTS_MAX = 48, PART_DEPTH = 6 };

struct part {
    struct bytes type; // "text/plain", as written
    struct bytes head; // its own fields, raw
    struct bytes body; // as it stands
};

struct parts {
    struct bytes head;            // of the message
    struct part list[PARTS_MAX];  // leaves, in order
    size_t count;
};

void parts_of(struct bytes message, struct parts *out);

// Cuts a header block, with or without the fields' end, off the front of *rest, which is then the body.
struct bytes part_cut_head(struct bytes *rest);
// The field's value, unfolded and trimmed, in the arena; the first of that name. Empty where there is none.
struct bytes part_field(struct bytes head, const char *name, struct arena *arena);
bool part_has_field(struct bytes head, const char *name);
// Appends the body without its transfer encoding (base64, quoted-printable), at most `max` bytes.
void part_decode(const struct part *p, size_t max, struct buf *out);
// The same as UTF-8, where its charset is known (charset.h); at most `max` bytes and a character or two more.
void part_text(const struct part *p, size_t max, struct buf *out);
// The next line of *rest without its end.
struct bytes part_line(struct bytes *rest);
