// SPDX-License-Identifier: MIT
#include "mail/canon.h"

enum { BLOCK = 64 };

static bool is_wsp(char c) {
    return c == ' ' || c == '\t';
}

void canon_body_init(struct canon_body *c) {
    *c = (struct canon_body){0};
}

static void flush(struct canon_body *c) {
    if (c->staged) digest_add(&c->digest, bytes_range(c->stage, c->staged));
    c->length += c->staged;
    c->staged = 0;
}

static void emit(struct canon_body *c, struct bytes what) {
    if (what.len > CANON_STAGE - c->staged) flush(c);
    if (what.len >= CANON_STAGE) {
        digest_add(&c->digest, what);
        c->length += what.len;
        return;
    }
    memcpy(c->stage + c->staged, what.at, what.len);
    c->staged += what.len;
}

// What was held back counts after all, since a byte that is neither white space nor part of a CRLF follows.
static void release_held(struct canon_body *c) {
    for (; c->breaks; c->breaks--)
        emit(c, BYTES("\r\n"));
    if (c->space) emit(c, BYTES(" "));
    c->space = false;
}

// Byte by byte. A byte makes at most two (a space before it) once the breaks are out, which have room of
// their own.
static void add_slowly(struct canon_body *c, struct bytes block) {
    if (c->staged + 2 * BLOCK > CANON_STAGE) flush(c);
    char *to = c->stage + c->staged;
    bool held = c->space || c->breaks, cr = c->cr;
    for (size_t i = 0; i < block.len; i++) {
        char byte = block.at[i];
        if (cr && byte == '\n') {
            c->space = cr = false;
            c->breaks++;
            held = true;
            continue;
        }
        bool stray = cr; // a CR that began no CRLF is an ordinary byte
        cr = byte == '\r';
        bool blank = is_wsp(byte);
        if (held && (stray || (!cr && !blank))) {
            c->staged = (size_t)(to - c->stage);
            release_held(c);
            if (c->staged + 2 * BLOCK > CANON_STAGE) flush(c);
            to = c->stage + c->staged;
            held = false;
        }
        if (stray) *to++ = '\r';
        if (blank)
            c->space = held = true;
        else if (!cr)
            *to++ = byte;
    }
    c->staged = (size_t)(to - c->stage);
    c->cr = cr;
}

// True when a block is its own canonical form whatever comes: no tab, no white space before white space or
// CR, and no line that starts with one of them (it could be empty, and the last). Looks one byte behind the
// block. Written without branches for the compiler to do it on whole vectors: this is where most of the bytes
// go through.
static bool is_canonical(const char *at) {
    uint8_t dirty = 0;
    for (int i = 0; i < BLOCK; i++) {
        uint8_t edge = (uint8_t)(at[i] == ' ') | (uint8_t)(at[i] == '\n');
        uint8_t blank =
            (uint8_t)(at[i + 1] == ' ') | (uint8_t)(at[i + 1] == '\t') | (uint8_t)(at[i + 1] == '\r');
        dirty |= (uint8_t)(edge & blank) | (uint8_t)(at[i] == '\t');
    }
    return !dirty;
}

// Length of the front of the piece that can be hashed as it is; it does not end between CR and LF. Only where
// nothing is held back.
static size_t canonical_length(struct bytes piece) {
    size_t n = 0;
    while (piece.len - n > BLOCK && is_canonical(piece.at + n))
        n += BLOCK;
    if (n && piece.at[n - 1] == '\r') n--;
    return n;
}

void canon_body_add(struct canon_body *c, struct bytes piece) {
    while (piece.len) {
        size_t n = c->cr || c->space || c->breaks ? 0 : canonical_length(piece);
        if (n) {
            emit(c, bytes_first(piece, n));
        } else {
            n = piece.len < BLOCK ? piece.len : BLOCK;
            add_slowly(c, bytes_first(piece, n));
        }
        piece = bytes_skip(piece, n);
    }
}

void canon_body_finish(struct canon_body *c, uint8_t sha256[DIGEST_SIZE], uint64_t *length) {
    if (c->cr) {
        release_held(c);
        emit(c, BYTES("\r"));
    }
    // One break stands for all that are held back, or for the missing last one.
    if (c->length + c->staged) emit(c, BYTES("\r\n"));
    flush(c);
    if (length) *length = c->length;
    digest_end(&c->digest, sha256);
    canon_body_init(c);
}

void canon_body_drop(struct canon_body *c) {
    digest_drop(&c->digest);
    canon_body_init(c);
}

void canon_header_relaxed(struct buf *out, struct bytes field) {
    ptrdiff_t colon = bytes_find(field, ':');
    size_t name = colon < 0 ? 0 : (size_t)colon;
    struct bytes value = bytes_trim(bytes_skip(field, colon < 0 ? 0 : name + 1));
    while (name && is_wsp(field.at[name - 1]))
        name--;
    buf_reserve(out, field.len + 3);
    char *to = out->at + out->len;
    for (size_t i = 0; i < name; i++) *to++ = byte_lower(field.at[i]);
    *to++ = ':';
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        if (c == '\r' && i + 1 < value.len && value.at[i + 1] == '\n')
            i++;
        else if (!is_wsp(c))
            *to++ = c;
        else if (to[-1] != ' ')
            *to++ = ' ';
    }
    *to++ = '\r';
    *to++ = '\n';
    out->len = (size_t)(to - out->at);
}
