// SPDX-License-Identifier: MIT
// Entries of the journal: whatever stands there, reading it stays within it.
#include "policy/lookup.h"
#include "relay/journal.h"

#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(struct bytes whole, struct bytes part) {
    bug_if(part.len && (part.at < whole.at || part.at + part.len > whole.at + whole.len));
}

static void read_lookups(struct bytes whole, struct bytes kept) {
    for (struct lookup l; lookup_next(&kept, &l);) {
        within(whole, l.question);
        within(whole, l.answer);
    }
}

static void read_call(struct bytes whole, const struct journal_called *c) {
    within(whole, c->subject);
    within(whole, c->decision);
    read_lookups(whole, c->looked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes entry = bytes_range(data, size);
    struct journal_transaction t;
    struct journal_read_outcome o;
    within(entry, journal_event(entry));
    if (journal_read_transaction(entry, &t)) {
        within(entry, t.head);
        for (struct journal_called c; journal_next_call(&t.trail.calls, &c);) read_call(entry, &c);
    }
    if (journal_read_outcome(entry, &o)) {
        read_call(entry, &o.routed);
        if (o.has_retry) read_call(entry, &o.retried);
    }
    return 0;
}
