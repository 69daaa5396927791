// SPDX-License-Identifier: MIT
// record_fuzz: whatever decodes must encode to the very same bytes, or where it was of another version, to bytes that decode and do.
#include "base/bug.h"
#include "store/key.h"
#include "store/record.h"
#include "store/segment.h"

static bool is_same_version(struct bytes a, struct bytes b) {
    return a.len && b.len && a.at[0] == b.at[0];
}

static void try_message(struct bytes in, int rounds) {
    struct buf out = {0};
    struct message m;
    struct err err;
    bool decoded = message_decode(1, in, &m, &err);
    bug_if(!decoded && rounds == 1);
    if (!decoded) return;
    message_encode(&m, &out);
    if (is_same_version(buf_bytes(&out), in)) bug_if(!bytes_equal(buf_bytes(&out), in));
    if (rounds > 1) try_message(buf_bytes(&out), rounds - 1);
    buf_release(&out);
}

static void try_recipient(struct bytes in, int rounds) {
    struct buf out = {0};
    struct recipient r;
    struct err err;
    bool decoded = recipient_decode(1, 2, in, &r, &err);
    bug_if(!decoded && rounds == 1);
    if (!decoded) return;
    recipient_encode(&r, &out);
    if (is_same_version(buf_bytes(&out), in)) bug_if(!bytes_equal(buf_bytes(&out), in));
    if (rounds > 1) try_recipient(buf_bytes(&out), rounds - 1);
    buf_release(&out);
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
    struct key_of_place at;
    if (!key_to_place(in, &at) || !at.whole) return;
    struct key again = key_turn_place(at.lane, at.priority, at.turn, at.id, at.n);
    bug_if(!bytes_equal(key_bytes(&again), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The first byte chooses what the rest is taken for.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    struct bytes in = bytes_range(data + 1, size - 1);
    struct segment_row row;
    uint32_t number;
    struct key segment = key_segment(1);
    switch (data[0] & 3) {
    case 0: try_message(in, 2); break;
    case 1: try_recipient(in, 2); break;
    case 2:
        try_head(in);
        break;
    default:
        try_keys(in);
        (void)!segment_row_decode(key_bytes(&segment), in, &number, &row);
    }
    return 0;
}
