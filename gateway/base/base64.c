// SPDX-License-Identifier: MIT
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct bytes d) {
    const unsigned char *p = (const unsigned char *)d.at;
    buf_reserve(out, (d.len + 2) / 3 * 4);
    for (size_t i = 0; i < d.len; i += 3) {
        size_t left = d.len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        char *o = out->at + out->len;
        o[0] = alphabet[v >> 18];
        o[1] = alphabet[v >> 12 & 63];
        o[2] = left > 1 ? alphabet[v >> 6 & 63] : '=';
        o[3] = left > 2 ? alphabet[v & 63] : '=';
        out->len += 4;
    }
}

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_quad(struct buf *out, const char *q, bool last) {
    int pad = last ? (q[3] == '=') + (q[3] == '=' && q[2] == '=') : 0;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int d = i < 4 - pad ? value_of(q[i]) : 0;
        if (d < 0) return false;
        v = v << 6 | (uint32_t)d;
    }
    if (v & ((1u << pad * 8) - 1)) return false; // bits that padding says are not there
    for (int i = 0; i < 3 - pad; i++) buf_byte(out, (char)(v >> (16 - 8 * i)));
    return true;
}

bool base64_decode(struct buf *out, struct bytes t) {
    size_t was = out->len;
    if (t.len % 4) return false;
    for (size_t i = 0; i < t.len; i += 4)
        if (!decode_quad(out, t.at + i, i + 4 == t.len)) {
            out->len = was;
            return false;
        }
    return true;
}

void base64_decode_loose(struct buf *out, struct bytes text, size_t max) {
    unsigned bits = 0;
    int held = 0;
    for (size_t i = 0; i < text.len && out->len < max; i++) {
        int six = value_of(text.at[i]);
        if (text.at[i] == '=') held = 0, bits = 0;
        if (six < 0) continue;
        bits = (bits << 6 | (unsigned)six) & 0xffffff;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        buf_byte(out, (char)(bits >> held));
    }
}
