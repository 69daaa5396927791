// SPDX-License-Identifier: MIT
// pattern: Lua's patterns (reference manual 6.4.1) with every step counted.
//
// The sender of a message chooses the subjects, and Lua's own matcher takes as long as it takes: `.-` six times on 300
// bytes is for ever. This one gives up when its steps are used up, and says so. Pure, no memory of its own; the depth
// of recursion is bounded.
#pragma once

#include "base/bytes.h"

enum { PATTERN_CAPTURES = 32, PATTERN_DEPTH = 200 };

struct pattern_capture {
    const char *at;
    ptrdiff_t len; // PATTERN_POSITION for "()"
};
enum { PATTERN_POSITION = -2 };

struct pattern {
    struct bytes subject, text; // text without a leading '^', which is the caller's affair (pattern_is_anchored)
    int64_t steps;              // left; one is about one character compared
    const char *fault;          // BAD: in words
    int count;                  // captures of the last match
    struct pattern_capture captures[PATTERN_CAPTURES];
};

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_BAD, PATTERN_DEAR };
// Does it match at this very place? YES: *end is the offset behind it.
enum pattern_result pattern_at(struct pattern *p, size_t at, size_t *end);
// The first match at or behind `from`.
enum pattern_result pattern_search(struct pattern *p, size_t from, size_t *start, size_t *end);

bool pattern_is_plain(struct bytes text); // has no character with a meaning of its own
