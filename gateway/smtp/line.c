// SPDX-License-Identifier: MIT
#include "smtp/line.h"

// Reads on to the end of a line that was refused.
static enum line_result skip(struct line_reader *r, struct bytes *input) {
    while (input->len) {
        ptrdiff_t lf = bytes_find(*input, '\n');
        struct bytes part = bytes_first(*input, lf < 0 ? input->len : (size_t)lf + 1);
        bool crlf = lf >= 0 && (lf > 0 ? part.at[lf - 1] == '\r' : r->cr);
        r->cr = part.at[part.len - 1] == '\r';
        r->skipped += part.len;
        *input = bytes_skip(*input, part.len);
        if (r->skipped > LINE_ENDLESS_SIZE) return LINE_ENDLESS;
        if (!crlf) continue;
        r->skipping = false;
        return LINE_SKIPPED;
    }
    return LINE_PART;
}

static enum line_result refuse(struct line_reader *r, enum line_result why) {
    *r = (struct line_reader){.skipping = true};
    return why;
}

enum line_result line_take(struct line_reader *r, struct bytes *input, size_t limit, struct bytes *line) {
    if (r->skipping) return skip(r, input);
    ptrdiff_t lf = bytes_find(bytes_first(*input, limit), '\n');
    if (lf < 0) return input->len < limit ? LINE_PART : refuse(r, LINE_LONG);
    *line = bytes_first(*input, (size_t)lf);
    bool bare = lf == 0 || input->at[lf - 1] != '\r';
    *input = bytes_skip(*input, (size_t)lf + 1);
    if (bare) return refuse(r, LINE_BARE);
    line->len--;
    return LINE_WHOLE;
}
