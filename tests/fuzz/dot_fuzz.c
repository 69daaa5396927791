// SPDX-License-Identifier: MIT
// Dots undone in pieces and in one go give the same; only CRLF.CRLF ends; what was stuffed comes back as it was.
#include "base/bug.h"
#include "smtp/dot.h"

static size_t undo(struct bytes in, size_t step, struct dot_reader *r, struct buf *content, bool *ended) {
    size_t at = 0;
    *ended = false;
    while (at < in.len && !*ended) {
        struct bytes piece = bytes_first(bytes_skip(in, at), step);
        size_t had = piece.len;
        while (piece.len && !*ended) buf_add(content, dot_read(r, &piece, ended));
        at += had - piece.len;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    size_t step = 1 + data[0] % 16;
    struct bytes in = bytes_range(data + 1, size - 1);
    struct dot_reader one = {0}, other = {0};
    struct buf whole = {0}, pieces = {0}, wire = {0}, back = {0};
    bool ended, ended_too;
    size_t used = undo(in, in.len, &one, &whole, &ended);
    bug_if(undo(in, step, &other, &pieces, &ended_too) != used || ended != ended_too);
    bug_if(!bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));
    bug_if(one.bare != other.bare || one.nul != other.nul || one.eight != other.eight || one.longest != other.longest);
    if (ended) bug_if(used != 3 && (used < 5 || memcmp(in.at + used - 5, "\r\n.\r\n", 5) != 0));
    if (ended && used == 3) bug_if(memcmp(in.at, ".\r\n", 3) != 0);

    struct dot_writer writer = {0};
    for (size_t at = 0; at < in.len; at += step) dot_write(&writer, &wire, bytes_first(bytes_skip(in, at), step));
    dot_end(&writer, &wire);
    struct bytes w = buf_bytes(&wire);
    bug_if(w.len > 3 && bytes_search(w, BYTES("\r\n.\r\n")) != (ptrdiff_t)w.len - 5);
    bug_if(bytes_search(w, BYTES("\n.\n")) >= 0 || bytes_search(w, BYTES("\r.\r")) >= 0);
    struct dot_reader reader = {0};
    bug_if(undo(w, w.len, &reader, &back, &ended) != w.len || !ended);
    if (!reader.bare) {
        bug_if(back.len < in.len || back.len > in.len + 2 || memcmp(back.at, in.at, in.len) != 0);
    }
    buf_release(&whole);
    buf_release(&pieces);
    buf_release(&wire);
    buf_release(&back);
    return 0;
}
