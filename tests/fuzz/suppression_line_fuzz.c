// SPDX-License-Identifier: MIT
// Lines of a list: what is read as an entry is fit for the store, and written out it reads as the same again.
#include "relay/suppression_line.h"

#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct suppression defaults = {
    .scope = {"all", 3}, .reason = {"given", 5}, .source = {"import", 6}, .added_ms = 1763821804678};

static void read_back(const struct suppression *s, enum suppression_format format) {
    struct suppression_reader r;
    struct suppression back;
    struct err err;
    struct buf line = {0};
    // An empty text and the default cannot be told apart in a file: so the default is empty here.
    suppression_reader_init(
        &r, format, &(struct suppression){.scope = BYTES("all"), .reason = BYTES(""), .source = BYTES("")});
    // A file begins with its head: a byte order mark on a first line would be taken off.
    if (format == SUPPRESSION_CSV)
        bug_if(suppression_line_read(&r, bytes_of(suppression_csv_head), &back, &err) != LINE_NOTHING);
    if (format == SUPPRESSION_CSV)
        suppression_line_csv(s, &line);
    else
        suppression_line_json(s, &line);
    bug_if(suppression_line_read(&r, bytes_first(buf_bytes(&line), line.len - 1), &back, &err) != LINE_ENTRY);
    bug_if(!bytes_equal(back.address, s->address) || !bytes_equal(back.scope, s->scope));
    bug_if(!bytes_equal(back.reason, s->reason) || !bytes_equal(back.source, s->source));
    bug_if(back.until_ms != s->until_ms || back.added_ms != s->added_ms);
    buf_release(&line);
    suppression_reader_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    struct suppression_reader r;
    struct bytes rest = bytes_range(data + 1, size - 1);
    suppression_reader_init(&r, data[0] & 1 ? SUPPRESSION_JSON : SUPPRESSION_CSV, &defaults);
    while (rest.len) {
        struct suppression s;
        struct err err;
        if (suppression_line_read(&r, bytes_cut(&rest, '\n'), &s, &err) != LINE_ENTRY) continue;
        bug_if(!suppression_check(&s, &err));
        read_back(&s, SUPPRESSION_CSV);
        read_back(&s, SUPPRESSION_JSON);
    }
    suppression_reader_release(&r);
    return 0;
}
