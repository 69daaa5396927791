// SPDX-License-Identifier: MIT
// words: text of header fields for eyes: RFC 2047 encoded words decoded, nothing that a terminal or a log obeys.
//
// Takes unfolded text. The decoder is lenient where senders are sloppy (white space inside a word, missing padding,
// characters split between words) and leaves alone what it cannot read. Linear cost. Pure functions, any thread.
#pragma once

#include "base/arena.h"
#include "base/bytes.h"

// Appends valid UTF-8: control characters become spaces, bytes that are not UTF-8 become U+FFFD.
void words_decode(struct buf *out, struct bytes text);
void words_clean(struct buf *out, struct bytes text); // only the second half: nothing is decoded
// One trimmed line of that, not over `max` octets and never cut inside a character; lives in the arena.
struct bytes words_line(struct arena *arena, struct bytes text, size_t max);
