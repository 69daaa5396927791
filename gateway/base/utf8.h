// SPDX-License-Identifier: MIT
// utf8: is this UTF-8, one character at a time (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF).
#pragma once

#include "base/bytes.h"

size_t utf8_step(struct bytes text);   // length of the character at the front; 0 where it is not UTF-8 or text is empty
bool utf8_is_valid(struct bytes text);
bool utf8_is_ascii(struct bytes text);
struct bytes utf8_first(struct bytes text, size_t most); // no more bytes than that, and no half a character at the end
