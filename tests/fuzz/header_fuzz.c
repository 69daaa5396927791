// SPDX-License-Identifier: MIT
// The input up to the first NUL is a value, the rest a header block. Fields join up to the block; an edit
// changes what it says and nothing else, whatever stands around it.
#include "mail/header.h"

#include "base/bug.h"
#include "base/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct bytes head) {
    struct bytes rest = head;
    size_t total = 0;
    for (struct header_field f; header_next(&rest, &f); total += f.whole.len) {
        bug_if(f.whole.at != head.at + total || f.value.at < f.whole.at);
        bug_if(f.value.at + f.value.len > f.whole.at + f.whole.len);
        struct buf text = {0};
        header_decode_words(&text, f.value);
        bug_if(!utf8_is_valid(buf_bytes(&text)) || bytes_find(buf_bytes(&text), '\n') >= 0);
        buf_release(&text);
    }
    bug_if(total + rest.len != head.len || (rest.len && !bytes_starts(rest, BYTES("\r\n"))));
}

static void edit(struct bytes head, struct bytes value) {
    struct bytes name = BYTES("X-Fuzz");
    struct buf block = {0}, want = {0}, got = {0};
    struct header_field f;
    buf_add(&block, head);
    size_t before = header_count(head, name);
    if (header_replace(&block, name, value, NULL)) {
        bug_if(header_count(buf_bytes(&block), name) != 1);
        bug_if(!header_get(buf_bytes(&block), name, -1, &f));
        header_unfold(&want, value);
        header_unfold(&got, f.value);
        bug_if(!bytes_equal(buf_bytes(&want), buf_bytes(&got)));
        bug_if(!header_prepend(&block, name, value, NULL) || !header_append(&block, name, value, NULL));
        bug_if(header_remove(&block, name) != 3 || header_count(buf_bytes(&block), name) != 0);
    } else {
        bug_if(!bytes_equal(buf_bytes(&block), head) || header_remove(&block, name) != before);
    }
    walk(buf_bytes(&block));
    buf_release(&block);
    buf_release(&want);
    buf_release(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes head = bytes_range(data, size), value = bytes_cut(&head, 0);
    walk(head);
    edit(head, value);
    return 0;
}
