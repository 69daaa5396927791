// SPDX-License-Identifier: MIT
// The input, cut at NULs, is every fact of a report: the report has its fixed form all the same.
#include "mail/report.h"

#include "base/bug.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(struct bytes text) {
    while (text.len) {
        ptrdiff_t at = bytes_search(text, BYTES("\r\n"));
        bug_if(at < 0 || at > 998 || bytes_find(bytes_first(text, (size_t)at), '\n') >= 0);
        text = bytes_skip(text, (size_t)at + 2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes rest = bytes_range(data, size);
    struct report_recipient to = {.from_peer = size % 2, .action = size % 5};
    struct report_in in = {.recipients = &to, .count = 1, .now_ms = 1, .return_full = true};
    struct bytes *const facts[] = {&in.host,   &in.sender,     &in.envelope_id, &to.address, &to.orcpt,
                                   &to.status, &to.diagnostic, &to.remote,      &in.head};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        *facts[i] = bytes_cut(&rest, 0);
    in.body = rest;
    struct buf head = {0}, body = {0};
    report_build(&head, &body, &in, NULL, NULL);
    check_lines(buf_bytes(&head));
    check_lines(buf_bytes(&body));
    struct bytes fields = buf_bytes(&head);
    size_t count = 0;
    for (struct header_field f; header_next(&fields, &f); count++)
        bug_if(f.name.len == 0);
    bug_if(fields.len || count < 8 || count > 11);
    buf_release(&head);
    buf_release(&body);
    return 0;
}
