// SPDX-License-Identifier: MIT
// A peer's reply: bounded, the same in one piece and byte by byte, and fit to be written again.
#include "base/bug.h"
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes all = bytes_range(data, size);
    struct reply whole;
    size_t used = 0;
    enum reply_result result = reply_parse(all, &used, &whole, NULL, NULL);

    struct reply_reader reader = {0};
    struct bytes in = {all.at, 0};
    enum reply_result again = REPLY_MORE;
    while (again == REPLY_MORE && in.at + in.len < all.at + all.len) {
        in.len++;
        again = reply_read(&reader, &in, NULL, NULL);
    }
    bug_if(again != result);
    if (result == REPLY_DONE) {
        bug_if(used > size || used > REPLY_LINES * REPLY_LINE || (size_t)(in.at - all.at) != used);
        bug_if(whole.code < 200 || whole.code > 599 || strcmp(whole.text, reader.reply.text) != 0);
        struct buf out = {0};
        struct reply copy;
        reply_write(&out, &whole, true);
        bug_if(reply_parse(buf_bytes(&out), &used, &copy, NULL, NULL) != REPLY_DONE || used != out.len);
        bug_if(copy.code != whole.code);
        buf_release(&out);
    }
    struct err err;
    if (!reply_from_text(all, &whole, &err)) return 0;
    bug_if(whole.code < 200 || whole.code > 599 || whole.text[REPLY_TEXT - 1]);
    return 0;
}
