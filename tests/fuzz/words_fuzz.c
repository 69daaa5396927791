// SPDX-License-Identifier: MIT
// words_fuzz: whatever a header says, what people are shown is UTF-8 without control characters, and hardly longer.
#include "base/bug.h"
#include "base/utf8.h"
#include "mail/words.h"

static void check(const struct buf *out, size_t most) {
    bug_if(!utf8_is_valid(buf_bytes(out)) || out->len > most);
    for (size_t i = 0; i < out->len; i++) bug_if((unsigned char)out->at[i] < ' ' || out->at[i] == 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_range(data, size);
    struct buf out = {0};
    words_decode(&out, in);
    check(&out, size * 3); // a byte becomes U+FFFD at the worst
    buf_reset(&out);
    words_clean(&out, in);
    check(&out, size * 3);
    buf_release(&out);
    return 0;
}
