// SPDX-License-Identifier: MIT
// The row of an account: whatever it says, reading it is safe, and what was read writes and reads back the same.
#include "base/bug.h"
#include "relay/account.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 5) return 0;
    static const uint32_t windows_s[] = {1, 60, 3600, 86400, 31 * 86400};
    uint32_t window_s = windows_s[data[0] % 5];
    int64_t now = (int64_t)get_be32(data + 1) * 1000 + 1000000000000;
    struct bytes row = bytes_range(data + 5, size - 5);
    struct account a, b;
    struct buf out = {0};
    account_init(&a, window_s, now);
    account_encoded_end(row, window_s);
    if (!account_decode(&a, row)) return 0;
    account_turn(&a, now);
    account_encode(&a, &out);
    account_init(&b, window_s, now);
    bug_if(!account_decode(&b, buf_bytes(&out)) && account_used(&a));
    bug_if(account_used(&a) != account_used(&b));
    account_turn(&a, now + a.window_ms + 2 * a.width_ms + a.slack_ms);
    bug_if(account_used(&a) != 0);
    buf_release(&out);
    return 0;
}
