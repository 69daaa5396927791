// SPDX-License-Identifier: MIT
// micro_suppression: one look-up in a long suppression list, as `suppression.has` does it: three scopes,
// address and domain.
//
//     micro_suppression FOLDER [ENTRIES, 10 million]
#include "micro.h"
#include "store/suppression.h"

#include <pthread.h>

enum { BATCH = 20000, ADDRESS_MAX = 48 };

struct look {
    struct reader *reader;
    uint64_t entries, at, found;
    const char *format;
};

static void address_of(uint64_t i, const char *format, char out[ADDRESS_MAX]) {
    snprintf(out, ADDRESS_MAX, format, (unsigned long long)i, (unsigned)(i % 997));
}

// ---- filling, in the order of keys

struct batch {
    struct store_op op; // first
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool finished;
    uint64_t from, count;
};

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct batch *b = (struct batch *)op;
    for (uint64_t i = b->from; i < b->from + b->count; i++) {
        char address[ADDRESS_MAX];
        address_of(i, "user%09llu@d%03u.example", address);
        struct suppression s = {.address = bytes_of(address),
                                .scope = BYTES("all"),
                                .reason = BYTES("bounced: 550 5.1.1 no such user"),
                                .source = BYTES("0065a4f81c008003 policy.lua:41"),
                                .added_ms = 1};
        if (!txn_put_suppression(txn, &s, SUPPRESSION_REPLACE, 1, err)) return false;
    }
    return true;
}

static void finish(struct store_op *op, bool done, const struct err *why) {
    struct batch *b = (struct batch *)op;
    if (!done) fprintf(stderr, "%s\n", why->text);
    bug_if(!done);
    pthread_mutex_lock(&b->lock);
    b->finished = true;
    pthread_cond_signal(&b->done);
    pthread_mutex_unlock(&b->lock);
}

static void fill(struct store *store, uint64_t entries) {
    struct batch b = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    for (b.from = 0; b.from < entries; b.from += b.count) {
        b.count = entries - b.from < BATCH ? entries - b.from : BATCH;
        b.op = (struct store_op){.apply = apply, .finish = finish, .file = -1};
        b.finished = false;
        store_submit(store, &b.op);
        pthread_mutex_lock(&b.lock);
        while (!b.finished)
            pthread_cond_wait(&b.done, &b.lock);
        pthread_mutex_unlock(&b.lock);
    }
}

// ---- looking up, all over the list

static void look_up(void *arg) {
    static const struct bytes scopes[] = {{"all", 3}, {"stream:news", 11}, {"identity:acme", 13}};
    struct look *l = arg;
    struct suppression s;
    char address[ADDRESS_MAX];
    l->at = (l->at + 617231777) % l->entries;
    address_of(l->at, l->format, address);
    reader_begin(l->reader);
    l->found += reader_suppressed(l->reader, scopes, 3, bytes_of(address), 2, &s);
    reader_end(l->reader);
}

int main(int argc, char **argv) {
    struct err err;
    struct clock clock = {0};
    struct log log = {.fd = 2, .level = LOG_FAULT, .clock = &clock};
    if (argc < 2) {
        fprintf(stderr, "usage: micro_suppression FOLDER [ENTRIES]\n");
        return 64;
    }
    struct look l = {.entries = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000};
    struct store *store =
        store_open(&(struct store_options){.path = argv[1], .clock = &clock, .log = &log}, &err);
    if (store) l.reader = reader_new(store, &err);
    if (!l.reader || !l.entries) {
        fprintf(stderr, "%s\n", l.entries ? err.text : "no entries");
        return 1;
    }
    fill(store, l.entries);
    l.format = "user%09llu@d%03u.example";
    micro_run("suppression", "on the list", 0, look_up, &l);
    bug_if(!l.found);
    l.format = "user%09llux@d%03u.example";
    l.found = 0;
    micro_run("suppression", "not on the list", 0, look_up, &l);
    bug_if(l.found);
    reader_free(&l.reader);
    store_close(&store);
    return 0;
}
