// SPDX-License-Identifier: MIT
#include "relay/accept.h"

#include "base/bug.h"
#include "relay/runner.h"
#include "smtp/server.h"

#include <stdlib.h>

struct accept {
    struct store_op op; // first
    struct task word, back; // it is promised; it is committed
    struct worker *worker;
    struct arena arena;
    struct content content;
    struct message message;
    struct recipient *recipients;
    size_t count, room;
    struct keeping keeping;
    void (*done)(void *arg, bool stored, const struct err *why);
    void *arg;
    bool placed;       // the writer thread's
    bool held, stored, told;
    bool taken; // by the runner, ahead of the commit
    struct err why;
};

struct accept *accept_new(struct worker *w) {
    struct accept *a = must_alloc(sizeof *a);
    a->worker = w;
    a->content.file = -1;
    return a;
}

struct arena *accept_arena(struct accept *a) { return &a->arena; }
struct content *accept_content(struct accept *a) { return &a->content; }
struct message *accept_message(struct accept *a) { return &a->message; }

void accept_recipient(struct accept *a, const struct recipient *r) {
    if (a->count == a->room) {
        a->room = a->room ? a->room * 2 : 4;
        a->recipients = must_realloc(a->recipients, a->room * sizeof *a->recipients);
    }
    a->recipients[a->count++] = *r;
}

static bool is_recipient(const struct accept *a, struct bytes address) {
    for (size_t i = 0; i < a->count; i++)
        if (bytes_equal_nocase(a->recipients[i].address, address)) return true;
    return false;
}

void accept_copies(struct accept *a, const struct answer *answer) {
    for (size_t i = 0; i < answer->copy_count; i++)
        if (!is_recipient(a, answer->copies[i]))
            accept_recipient(a, &(struct recipient){.address = arena_copy(&a->arena, answer->copies[i]), .notify = NOTIFY_NEVER});
}

struct bytes accept_address(const struct accept *a, size_t i) { return a->recipients[i].address; }

void accept_keep(struct accept *a, const struct keeping *k) { a->keeping = *k; }

void accept_without_body(struct accept *a, uint64_t length) { a->op.place = (struct place){.length = length}; }

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct accept *a = (struct accept *)op;
    // Only once: when this is run again, the session may be reading the message, and it lies where it lay.
    if (!a->placed) a->message.body = op->place;
    a->placed = true;
    if (!txn_put_message(txn, &a->message, err)) return false;
    for (size_t i = 0; i < a->count; i++)
        if (!txn_put_recipient(txn, &a->recipients[i], err)) return false;
    return keeping_apply(&a->keeping, a->worker->gateway, txn, err);
}

static void tell(struct accept *a, bool stored) {
    if (a->told) return;
    a->told = true;
    if (a->done) a->done(a->arg, stored, &a->why);
}

// Once it is synced the store needs the parts no more; and before the runner comes for it.
static void keep_fresh(struct accept *a) {
    struct worker *w = a->worker;
    if (!a->held) fresh_keep(&w->fresh, a->message.id, &a->content, w->site->conf->limits.bodies_in_memory, loop_now_ms(w->loop));
}

static void on_word(struct task *task) {
    struct accept *a = (struct accept *)((char *)task - offsetof(struct accept, word));
    keep_fresh(a);
    tell(a, true);
    a->taken = !a->held && runner_take(a->worker->runner, &a->message, a->recipients, a->count);
}

static void come_back(struct task *task) {
    struct accept *a = (struct accept *)((char *)task - offsetof(struct accept, back));
    a->worker->accepting--;
    if (a->stored && !a->told) keep_fresh(a);
    if (a->stored && !a->taken) runner_wake(a->worker->runner);
    tell(a, a->stored);
    accept_free(&a);
}

static void promised(struct store_op *op) {
    struct accept *a = (struct accept *)op;
    loop_post(a->worker->loop, &a->word);
}

static void finish(struct store_op *op, bool stored, const struct err *why) {
    struct accept *a = (struct accept *)op;
    a->stored = stored;
    if (why) a->why = *why;
    loop_post(a->worker->loop, &a->back);
}

void accept_submit(struct accept *a, bool held, void (*done)(void *arg, bool stored, const struct err *why), void *arg) {
    struct message *m = &a->message;
    bug_if(!m->id || !a->count);
    m->head = buf_bytes(&a->content.head);
    if (a->content.hashed) memcpy(m->body_hash, a->content.body_hash, sizeof m->body_hash);
    else m->flags |= MESSAGE_UNHASHED;
    m->recipients = (uint32_t)a->count;
    for (size_t i = 0; i < a->count; i++) {
        struct recipient *r = &a->recipients[i];
        r->id = m->id;
        r->n = (uint32_t)i;
        r->state = held ? RECIPIENT_HELD : RECIPIENT_DUE;
        r->due_ms = held ? m->expires_ms : m->received_ms;
    }
    a->op.apply = apply;
    a->op.finish = finish;
    if (!a->keeping.count) a->op.promised = promised; // a promise holds messages and recipients, not what is on the shelf
    a->op.parts = a->content.parts;
    a->op.part_count = a->content.part_count;
    a->op.file = a->content.file;
    a->op.file_length = a->content.file_length;
    a->op.body_id = m->id;
    a->word.run = on_word;
    a->back.run = come_back;
    a->held = held;
    a->done = done;
    a->arg = arg;
    a->worker->accepting++;
    store_submit(a->worker->gateway->store, &a->op);
}

void accept_forget(struct accept *a) { a->done = NULL; }

void accept_free(struct accept **at) {
    struct accept *a = *at;
    *at = NULL;
    if (!a) return;
    content_release(&a->content);
    free(a->recipients);
    arena_release(&a->arena);
    free(a);
}
