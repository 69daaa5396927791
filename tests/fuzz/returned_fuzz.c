// SPDX-License-Identifier: MIT
// A message that came back, from anyone: whatever it is made of, the facts are bounded, on one line each, and add up.
#include "mail/returned.h"

#include "base/bug.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_line(struct bytes text) {
    bug_if(text.len > RETURNED_TEXT);
    for (size_t i = 0; i < text.len; i++) bug_if((unsigned char)text.at[i] < ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena = {0};
    struct returned *r = malloc(sizeof *r);
    returned_read(bytes_range(data, size), &arena, r);
    bug_if(r->kind > RETURNED_UNSUBSCRIBE || r->count > RETURNED_RECIPIENTS || !r->why[0]);
    bug_if(r->original.id.len != 0 && r->original.id.len != 16);
    bool failed = false;
    for (size_t i = 0; i < r->count; i++) {
        const struct returned_recipient *to = &r->recipients[i];
        is_line(to->address);
        is_line(to->text);
        is_line(to->remote);
        bug_if(to->code != 0 && (to->code < 400 || to->code > 599));
        bug_if(to->status.len && (to->status.len < 5 || to->status.len > 9 || to->status.at[1] != '.'));
        failed |= bytes_equal(to->action, BYTES("failed"));
    }
    bug_if(failed && r->kind != RETURNED_BOUNCE);
    arena_release(&arena);
    free(r);
    return 0;
}
