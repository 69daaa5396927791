// SPDX-License-Identifier: MIT
#include "base/utf8.h"

size_t utf8_step(struct bytes t) {
    if (t.len == 0) return 0;
    const unsigned char *p = (const unsigned char *)t.at;
    if (p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (n == 0 || n > t.len) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;  // overlong
    if (p[0] == 0xed && p[1] >= 0xa0) return 0; // surrogates
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;  // overlong
    if (p[0] == 0xf4 && p[1] >= 0x90) return 0; // above U+10FFFF
    return n;
}

bool utf8_is_valid(struct bytes t) {
    while (t.len) {
        size_t n = utf8_step(t);
        if (n == 0) return false;
        t = bytes_skip(t, n);
    }
    return true;
}

bool utf8_is_ascii(struct bytes t) {
    for (size_t i = 0; i < t.len; i++)
        if ((unsigned char)t.at[i] >= 0x80) return false;
    return true;
}

struct bytes utf8_first(struct bytes text, size_t most) {
    if (text.len <= most) return text;
    while (most && ((unsigned char)text.at[most] & 0xc0) == 0x80) most--;
    return bytes_first(text, most);
}
