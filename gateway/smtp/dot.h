// SPDX-License-Identifier: MIT
// dot: transparency of DATA (RFC 5321 4.5.2), both ways, in any chunking, by runs rather than by bytes.
//
// Pure values, any thread. Only CRLF ends a line and only CRLF.CRLF ends the content; what looks like it with a bare CR
// or a bare LF in it is content, and is noted. The same bytes cut into other pieces give the same content and notes.
#pragma once

#include "base/bytes.h"

//                 "."            CR                 LF: ended
//    line start ------> dot ------------> dot CR ------------->
//        ^  \______________|___(else)________|
//    LF  |        v        v
//     text CR <---CR--- text
enum dot_state { DOT_LINE_START, DOT_TEXT, DOT_TEXT_CR, DOT_DOT, DOT_DOT_CR };

struct dot_reader {        // zeroed: at the start of the content
    enum dot_state state;
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
// Notes content that came without dots to undo (BDAT); after the last of it dot_note_end, which is true where the
// content lacks its final CRLF.
void dot_note(struct dot_reader *r, struct bytes content);
bool dot_note_end(struct dot_reader *r);

struct dot_writer {
    int state;
};
// Stuffs. A dot behind a bare CR or LF is stuffed too: a peer that takes those for line ends sees no end of data there.
void dot_write(struct dot_writer *w, struct buf *out, struct bytes piece);
void dot_end(struct dot_writer *w, struct buf *out);                       // CRLF where the content lacks it, then ".CRLF"
