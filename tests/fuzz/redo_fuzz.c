// SPDX-License-Identifier: MIT
// redo_fuzz: whatever stands in the log where a redo record may be. What is read of it stays within it, each recipient follows its
// message, and what was read makes, written again, a record that reads the same.
#include "base/bug.h"
#include "store/redo.h"

static const char secret[REDO_SECRET] = "0123456789abcdef";

struct seen {
    struct bytes whole;
    struct buf again, encoded;
    uint64_t message;
    unsigned entries;
};

static void within(struct bytes whole, struct bytes part) {
    bug_if(part.len && (part.at < whole.at || part.at + part.len > whole.at + whole.len));
}

static bool each(void *arg, const struct redo_entry *entry) {
    struct seen *seen = arg;
    buf_reset(&seen->encoded);
    seen->entries++;
    if (entry->kind == REDO_MESSAGE) {
        seen->message = entry->message.id;
        within(seen->whole, entry->message.head);
        within(seen->whole, entry->message.sender);
        message_encode(&entry->message, &seen->encoded);
        redo_add(&seen->again, REDO_MESSAGE, entry->message.id, 0, buf_bytes(&seen->encoded));
    } else {
        bug_if(entry->kind != REDO_RECIPIENT || entry->recipient.id != seen->message);
        within(seen->whole, entry->recipient.address);
        recipient_encode(&entry->recipient, &seen->encoded);
        redo_add(&seen->again, REDO_RECIPIENT, entry->recipient.id, entry->recipient.n, buf_bytes(&seen->encoded));
    }
    return true;
}

static bool count(void *arg, const struct redo_entry *entry) {
    (void)entry;
    ++*(unsigned *)arg;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct seen seen = {.whole = bytes_range(data, size)};
    unsigned entries = 0;
    redo_begin(&seen.again, secret);
    if (redo_read(seen.whole, secret, each, &seen)) {
        bug_if(redo_is_empty(&seen.again) || !redo_read(buf_bytes(&seen.again), secret, count, &entries) || entries != seen.entries);
    }
    buf_release(&seen.again);
    buf_release(&seen.encoded);
    return 0;
}
