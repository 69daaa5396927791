// SPDX-License-Identifier: MIT
// charset: text that came in another charset, as UTF-8.
//
// Only charsets of its own table are known, under the names that mail has for them; a name out of a message is never handed to libc. The rarer ones are
// converted by libc's iconv, which may read a file when one is first asked for: who reads hostile text bounds how often he asks. What is no character
// becomes U+FFFD. Linear cost. Pure, any thread.
#pragma once

#include "base/bytes.h"

struct charset;

const struct charset *charset_find(struct bytes name); // in any case of letters; NULL: none that is known
bool charset_needs_libc(const struct charset *c);
// Appends at most `max` bytes, and a character or two more. False, and nothing appended, where libc does not have it.
bool charset_decode(struct buf *out, const struct charset *c, struct bytes text, size_t max);
