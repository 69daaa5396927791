// SPDX-License-Identifier: MIT
// dot: transparency of DATA (RFC 5321 4.5.2), both ways, in any chunking, by runs rather than by bytes.
#pragma once

#include "base/bytes.h"

struct dot_reader {        // zeroed: at the start of the content
    int state;
    bool bare;             // a CR without LF or an LF without CR was seen
    bool nul;
    bool eight;            // a byte above 127 was seen
    size_t line;           // bytes in the line so far
    size_t longest;        // of any line, with its CRLF
};
// Takes content off the front of *input until a run ends, the input ends or the terminating CRLF.CRLF has been read.
// Returns the next run (may be empty) of unstuffed content, pointing into input or to constant bytes;
// *ended: the terminator has been consumed. The CRLF before the dot belongs to the content.
struct bytes dot_read(struct dot_reader *r, struct bytes *input, bool *ended);

struct dot_writer {
    int state;
};
void dot_write(struct dot_writer *w, struct buf *out, struct bytes piece); // stuffs
void dot_end(struct dot_writer *w, struct buf *out);                       // CRLF where the content lacks it, then ".CRLF"
