// SPDX-License-Identifier: MIT
// record_fuzz: whatever decodes must encode to the very same bytes.
#include "base/bug.h"
#include "store/key.h"
#include "store/record.h"
#include "store/segment.h"

static void expect_same(struct buf *out, struct bytes in) {
    bug_if(!bytes_equal(buf_bytes(out), in));
    buf_release(out);
}

static void try_head(struct bytes in) {
    struct segment_head head;
    char again[SEGMENT_HEAD];
    if (in.len != SEGMENT_HEAD || !segment_head_decode(in.at, &head)) return;
    segment_head_encode(&head, again);
    bug_if(head.codec == 0 && (in.at[25] | in.at[26] | in.at[27]) == 0 &&
           memcmp(again, in.at, SEGMENT_HEAD) != 0);
}

static void try_keys(struct bytes in) {
    struct bytes lane;
    bool whole;
    uint64_t id;
    uint32_t n;
    if (!key_to_place(in, &lane, &whole, &id, &n) || !whole) return;
    struct key again = key_place(lane, id, n);
    bug_if(!bytes_equal(key_bytes(&again), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The first byte chooses what the rest is taken for.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    struct bytes in = bytes_range(data + 1, size - 1);
    struct buf out = {0};
    struct message m;
    struct recipient r;
    struct err err;
    struct segment_row row;
    uint32_t number;
    struct key segment = key_segment(1);
    switch (data[0] & 3) {
    case 0:
        if (!message_decode(1, in, &m, &err)) break;
        message_encode(&m, &out);
        expect_same(&out, in);
        break;
    case 1:
        if (!recipient_decode(1, 2, in, &r, &err)) break;
        recipient_encode(&r, &out);
        expect_same(&out, in);
        break;
    case 2:
        try_head(in);
        break;
    default:
        try_keys(in);
        (void)!segment_row_decode(key_bytes(&segment), in, &number, &row);
    }
    return 0;
}
