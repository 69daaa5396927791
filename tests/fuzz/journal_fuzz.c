// SPDX-License-Identifier: MIT
// Entries of the journal: whatever stands there, reading it stays within it.
#include "policy/lookup.h"
#include "relay/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What is read stands in the entry, or was made of it: touching it is enough for the sanitizer to tell.
static void touch(struct bytes part) { (void)bytes_hash(part); }

static void read_call(const struct journal_called *c) {
    struct bytes looked = c->looked;
    touch(c->subject);
    touch(c->decision);
    touch(c->where);
    touch(c->because);
    touch(c->policy);
    for (struct lookup l; lookup_next(&looked, &l);) {
        touch(l.question);
        touch(l.answer);
    }
}

static void read_transaction(struct journal_transaction *t, struct arena *arena) {
    touch(t->session);
    touch(t->sender);
    touch(t->tags);
    touch(t->head);
    for (struct journal_called c; journal_next_call(&t->trail.calls, t, arena, &c);) read_call(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes entry = bytes_range(data, size);
    struct arena arena = {0};
    struct buf head = {0};
    struct journal_transaction t;
    struct journal_read_outcome o;
    touch(journal_event(entry));
    if (journal_read_transaction(entry, &arena, &t)) read_transaction(&t, &arena);
    if (journal_read_outcome(entry, &arena, &o)) {
        read_call(&o.routed);
        if (o.has_retry) read_call(&o.retried);
    }
    (void)journal_is_foreign(entry);
    struct message m = {.trail = entry, .head = BYTES(""), .sender = BYTES(""), .policy = BYTES(""), .tags = BYTES("")};
    t = journal_of_message(&m, &head, &(struct kept_fields){.names = BYTES("")});
    read_transaction(&t, &arena);
    arena_release(&arena);
    buf_release(&head);
    return 0;
}
