// SPDX-License-Identifier: MIT
// content: a message's content while it is being received: header block apart, body kept; of a large one the hash, taken on the way.
//
// Small bodies stay in memory; past CONTENT_MEMORY the rest goes to an unnamed file in the store's folder, so one
// large message never costs more memory than that. Of those the body's hash for signatures is taken as they come, since to read one again
// is long for a loop; of a small one it is taken by who signs (relay/parcel), if anybody does: most of what a body costs would be that. What it holds is counted in *in_flight for as long as it lives.
// The header block ends at the first empty line, or before the first line that is no header field and no fold (what
// follows is then body, as other MTAs treat it).
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "mail/canon.h"

#include <stdatomic.h>
#include <sys/uio.h>

enum { CONTENT_MEMORY = 1024 * 1024 };

struct content {
    struct buf head;          // with its CRLFs, without the empty line
    bool in_body;
    uint64_t body_length;
    bool hashed;              // after content_finish: it was large, and
    uint8_t body_hash[DIGEST_SIZE]; // is the SHA-256 of the relaxed body
    // private
    size_t scanned;           // of head, while it is still growing
    struct canon_body canon;
    struct iovec *parts;
    size_t part_count, part_room; // part_room: bytes left in the last part
    uint64_t in_memory, counted; // bytes of parts; what of *in_flight is ours
    int file;
    uint64_t file_length;
    char last[2];
    const char *folder;
    _Atomic uint64_t *in_flight;
};

void content_init(struct content *c, const char *folder, _Atomic uint64_t *in_flight);
bool must_use content_add(struct content *c, struct bytes piece, struct err *err); // false: the file could not be written
bool must_use content_finish(struct content *c, struct err *err); // both parts end with CRLF (where not empty)
// What it holds of the body in memory becomes the caller's (the parts and their array: free()), no longer counted; returns what it takes.
// 0 where the body is empty or lies in part in the file: nothing has changed.
uint64_t content_hand_over(struct content *c, struct iovec **parts, size_t *count);
void content_release(struct content *c);
