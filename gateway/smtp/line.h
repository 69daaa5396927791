// SPDX-License-Identifier: MIT
// line: command lines off a client's stream: ended by CRLF only, bounded, and found again behind one that was refused.
//
// Any thread. The same bytes in other pieces give the same lines and the same refusals.
#pragma once

#include "base/bytes.h"

enum { LINE_ENDLESS_SIZE = 64 * 1024 }; // no refused line is read on to its end behind this

enum line_result {
    LINE_WHOLE,
    LINE_PART,    // more input is needed; what is left of the input is to be given again
    LINE_LONG,    // refused: longer than the limit. What follows is skipped up to CRLF, in later calls
    LINE_BARE,    // refused: a bare LF ended it. Said at once, as this client may never send the CRLF; skipped likewise
    LINE_SKIPPED, // the rest of a refused line is through: take the next
    LINE_ENDLESS, // a refused line goes on and on
};

struct line_reader {  // zeroed: at the start of a line
    bool skipping, cr; // through the rest of a refused line; its last byte was CR
    size_t skipped;
};
// Takes a line off the front of *input; *line has no CRLF. limit counts it.
enum line_result line_take(struct line_reader *r, struct bytes *input, size_t limit, struct bytes *line);
