// SPDX-License-Identifier: MIT
// gauge: what a message shows while it streams past: its size, its header's size and traces, and what is wrong with it.
//
// State is bounded whatever comes. The same bytes in other pieces give the same facts and the same fault. Any thread.
#pragma once

#include "base/bytes.h"
#include "smtp/dot.h"

struct gauge_limits { // 0: no limit
    uint64_t size;
    size_t header, line; // bytes of the header block with its blank line; bytes of a line with its CRLF
    int received;        // Received fields
    bool keep_bare;      // a bare CR or LF is content
};

enum gauge_fault { GAUGE_GOOD, GAUGE_TOO_BIG, GAUGE_HEADER_TOO_BIG, GAUGE_LOOP, GAUGE_NUL, GAUGE_BARE,
                     GAUGE_LONG_LINE };

struct gauge {           // zeroed: before the first byte
    struct dot_reader dots;
    uint64_t size;         // so far
    uint64_t header_size;  // so far; with the blank line, once that has come
    bool header_ended;
    int received;
    // Where the header's scan stands.
    size_t line;           // bytes of its current line
    size_t matched;        // of them, how many at its front are "Received:"
    bool cr;
};

// The next run of DATA's content, see dot_read; the facts include it.
struct bytes gauge_undot(struct gauge *g, struct bytes *input, bool *ended);
void gauge_note(struct gauge *g, struct bytes run); // content of BDAT
bool gauge_note_end(struct gauge *g);               // the content lacks its final CRLF
// What is wrong so far, the gravest first. GAUGE_GOOD may still become something else with more content.
enum gauge_fault gauge_fault(const struct gauge *g, const struct gauge_limits *limits);
