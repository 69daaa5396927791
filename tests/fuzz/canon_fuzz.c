// SPDX-License-Identifier: MIT
// The first byte says how the rest is cut: pieces of any size give the hash and length of the whole.
#include "mail/canon.h"

#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    struct bytes body = bytes_range(data + 1, size - 1);
    struct canon_body whole, pieces;
    uint8_t one[DIGEST_SIZE], two[DIGEST_SIZE];
    uint64_t length, again;
    struct buf field = {0}, twice = {0};
    canon_header_relaxed(&field, body);
    canon_header_relaxed(&twice, buf_bytes(&field));
    if (bytes_find(body, '\n') < 0 && bytes_find(body, '\r') < 0 && bytes_find(body, ':') >= 0)
        bug_if(!bytes_equal(buf_bytes(&field), buf_bytes(&twice)));
    canon_body_init(&whole);
    canon_body_init(&pieces);
    canon_body_add(&whole, body);
    canon_body_finish(&whole, one, &length);
    for (size_t step = data[0] % 80 + 1u; body.len; step = step * 7 % 83 + 1) {
        struct bytes piece = bytes_first(body, step);
        canon_body_add(&pieces, piece);
        body = bytes_skip(body, piece.len);
    }
    canon_body_finish(&pieces, two, &again);
    bug_if(length != again || memcmp(one, two, sizeof one) || length > size + 1);
    buf_release(&field);
    buf_release(&twice);
    return 0;
}
