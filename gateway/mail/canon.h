// SPDX-License-Identifier: MIT
// canon: the "relaxed" canonical forms of RFC 6376 3.4, which is what our signatures cover.
//
// A body's hash is taken of pieces of any size, as they come; it needs no more memory than the
// struct. Bare CR and bare LF are ordinary bytes. Belongs to one thread at a time.
#pragma once

#include "mail/digest.h"

#define CANON_STAGE 512

struct canon_body {
    struct digest digest;
    uint64_t length;  // of the canonical form, as far as hashed
    uint64_t breaks;  // CRLFs seen and not yet hashed: at the end of the body they do not count
    bool space;       // white space seen and not yet hashed: at the end of a line it does not count
    bool cr;          // the last piece ended with a CR that may be half a CRLF
    size_t staged;    // bytes waiting in stage
    char stage[CANON_STAGE];
};

void canon_body_init(struct canon_body *c);
void canon_body_add(struct canon_body *c, struct bytes piece);
// The hash of an RFC 6376 bh= tag; *length (NULL allowed) is that of the canonical body. *c is empty again, and so
// it is after canon_body_drop.
void canon_body_finish(struct canon_body *c, uint8_t sha256[DIGEST_SIZE], uint64_t *length);
void canon_body_drop(struct canon_body *c);

// Appends the canonical form of a whole field (header_field.whole), CRLF at its end.
void canon_header_relaxed(struct buf *out, struct bytes field);
