// SPDX-License-Identifier: MIT
// header: the header block of a message, read and edited in place as bytes.
//
// A block ("head") is the fields of RFC 5322 with CRLF behind each line, without the empty line that ends it; where
// that line is there all the same, reading stops at it and edits go before it. Only CRLF is a line end: a bare CR
// or LF is a byte of the value. Everything not edited keeps its bytes. What is found points into the block and is
// good until the block changes. Cost is linear in the size of the block for each call. Pure functions, any thread.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct header_field {
    struct bytes whole; // the field with its folds and its last CRLF
    struct bytes name;  // empty: a garbage line (no name, or no colon), whole and value are that line
    struct bytes value; // behind the colon, raw and folded, without the last CRLF
};

// The first field of *rest, which is moved behind it; false at the end of the block.
bool header_next(struct bytes *rest, struct header_field *out);

// The nth field of that name, in any case of letters: 0 is the topmost, -1 the last. False where there is none.
bool header_get(struct bytes head, struct bytes name, int nth, struct header_field *out);
size_t header_count(struct bytes head, struct bytes name);

void header_unfold(struct buf *out, struct bytes value); // without the CRLF of folds, trimmed
// For eyes and for rules on words: unfolded, RFC 2047 encoded words decoded (charset.h), always valid UTF-8, no control
// characters. An encoded word of a charset that is not known stays as it is.
void header_decode_words(struct buf *out, struct bytes value);

// Edits. False with words, and the head unchanged, when the name is not a field name or the value holds NUL, CR or
// LF (a fold, CRLF with white space behind, is no offence). Lines longer than 78 are folded where there is white
// space; a value that cannot be brought under the 998 of RFC 5322 2.1.1 is refused.
must_use bool header_prepend(struct buf *head, struct bytes name, struct bytes value, struct err *err);
must_use bool header_append(struct buf *head, struct bytes name, struct bytes value, struct err *err);
// Takes all fields of that name and leaves one, where the first stood (at the end where there was none).
must_use bool header_replace(struct buf *head, struct bytes name, struct bytes value, struct err *err);
size_t header_remove(struct buf *head, struct bytes name); // how many were taken out
