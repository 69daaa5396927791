// SPDX-License-Identifier: MIT
// store_kit: a store in a folder of its own, and ops that are waited for.
#pragma once

#include "store/store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct kit {
    char path[64];
    struct clock clock;
    struct log log;
    struct store_options options;
    struct store *store;
};

static inline void kit_init(struct kit *kit) {
    const char *base =
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; // the tests are not about a disk's speed
    *kit = (struct kit){.log = {.fd = -1, .level = LOG_FAULT}};
    snprintf(kit->path, sizeof kit->path, "%s/tidegate-store-XXXXXX", base);
    assert_non_null(mkdtemp(kit->path));
    kit->log.clock = &kit->clock;
    kit->options = (struct store_options){.path = kit->path,
                                          .segment_bytes = 1 << 20,
                                          .reserve_bytes = 1 << 20,
                                          .clock = &kit->clock,
                                          .log = &kit->log};
}

static inline void kit_open(struct kit *kit) {
    struct err err = {""};
    kit->store = store_open(&kit->options, &err);
    if (!kit->store) fail_msg("%s", err.text);
}

static inline void kit_remove(struct kit *kit) {
    char command[128];
    if (kit->store) store_close(&kit->store);
    snprintf(command, sizeof command, "rm -rf '%s'", kit->path);
    assert_int_equal(system(command), 0);
}

static inline void kit_reopen(struct kit *kit) {
    store_close(&kit->store);
    kit_open(kit);
}

// An op that its submitter waits for; what it does is `work`.
struct job {
    struct store_op op; // first
    bool (*work)(struct job *job, struct txn *txn, struct err *err);
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool finished, ok, last;
    void (*look)(struct job *job); // on the writer thread, before the waiter hears of it; or NULL
    struct err why;
    struct message *message;
    struct recipient *recipients;
    size_t recipient_count;
    uint64_t id;
    uint32_t n;
    struct iovec part;
    void *with;
};

static inline bool job_apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct job *job = (struct job *)op;
    return job->work(job, txn, err);
}

static inline void job_finish(struct store_op *op, bool done, const struct err *why) {
    struct job *job = (struct job *)op;
    if (job->look) job->look(job);
    pthread_mutex_lock(&job->lock);
    job->finished = true;
    job->ok = done;
    if (why) job->why = *why;
    pthread_cond_signal(&job->done);
    pthread_mutex_unlock(&job->lock);
}

static inline void job_submit(struct job *job, struct store *store) {
    job->op.apply = job_apply;
    job->op.finish = job_finish;
    if (!job->op.file) job->op.file = -1;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->done, NULL);
    job->finished = false;
    store_submit(store, &job->op);
}

static inline bool job_wait(struct job *job) {
    pthread_mutex_lock(&job->lock);
    while (!job->finished)
        pthread_cond_wait(&job->done, &job->lock);
    pthread_mutex_unlock(&job->lock);
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->done);
    return job->ok;
}

static inline bool job_run(struct job *job, struct store *store) {
    job_submit(job, store);
    return job_wait(job);
}

static inline bool work_accept(struct job *job, struct txn *txn, struct err *err) {
    if (job->op.part_count || job->op.file >= 0) job->message->body = job->op.place;
    if (!txn_put_message(txn, job->message, err)) return false;
    for (size_t i = 0; i < job->recipient_count; i++)
        if (!txn_put_recipient(txn, &job->recipients[i], err)) return false;
    return true;
}

static inline bool work_put(struct job *job, struct txn *txn, struct err *err) {
    for (size_t i = 0; i < job->recipient_count; i++)
        if (!txn_put_recipient(txn, &job->recipients[i], err)) return false;
    return true;
}

static inline bool work_drop(struct job *job, struct txn *txn, struct err *err) {
    return txn_drop_recipient(txn, job->id, job->n, &job->last, err);
}

static inline struct message some_message(uint64_t id) {
    return (struct message){.id = id,
                            .received_ms = 1700000000000,
                            .expires_ms = 1700400000000,
                            .recipients = 1,
                            .sender = BYTES("anna@sender.example"),
                            .facts = BYTES("{\"helo\":\"x\"}"),
                            .policy = BYTES("v1"),
                            .head = BYTES("From: anna@sender.example\r\nSubject: x\r\n")};
}

static inline struct recipient some_recipient(uint64_t id, uint32_t n, int64_t due_ms) {
    return (struct recipient){
        .id = id, .n = n, .state = RECIPIENT_DUE, .due_ms = due_ms, .address = BYTES("bob@far.example")};
}

// A message with `count` recipients due at due_ms and this body ("" too: a body without bytes; NULL at:
// none).
static inline bool accept_mail(struct kit *kit, uint64_t id, uint32_t count, int64_t due_ms,
                               struct bytes body) {
    struct message m = some_message(id);
    struct recipient *r = calloc(count ? count : 1, sizeof *r);
    for (uint32_t n = 0; n < count; n++)
        r[n] = some_recipient(id, n, due_ms);
    struct job job = {.work = work_accept, .message = &m, .recipients = r, .recipient_count = count};
    m.recipients = count;
    job.part = (struct iovec){(void *)(uintptr_t)body.at, body.len};
    job.op.parts = &job.part;
    job.op.part_count = body.at ? 1 : 0;
    job.op.body_id = id;
    bool ok = job_run(&job, kit->store);
    free(r);
    return ok;
}

static inline bool drop_mail(struct kit *kit, uint64_t id, uint32_t n, bool *last) {
    struct job job = {.work = work_drop, .id = id, .n = n};
    bool ok = job_run(&job, kit->store);
    if (last) *last = job.last;
    return ok;
}

static inline bool put_recipient(struct kit *kit, struct recipient r) {
    struct job job = {.work = work_put, .recipients = &r, .recipient_count = 1};
    return job_run(&job, kit->store);
}

static inline struct store_stats kit_stats(struct kit *kit) {
    struct store_stats stats;
    store_get_stats(kit->store, &stats);
    return stats;
}

// Where the body of a message lies; false: there is no such message.
static inline bool kit_place(struct kit *kit, uint64_t id, struct place *place) {
    struct err err;
    struct reader *reader = reader_new(kit->store, &err);
    struct message m;
    assert_non_null(reader);
    reader_begin(reader);
    bool found = reader_message(reader, id, &m);
    if (found) *place = m.body;
    reader_end(reader);
    reader_free(&reader);
    return found;
}

// The whole body of a message as the store has it; free() it. NULL with `err` filled where it cannot be read.
static inline char *kit_body(struct kit *kit, uint64_t id, size_t *len, struct err *err) {
    struct place place;
    if (!kit_place(kit, id, &place)) {
        err_set(err, "no such message");
        return NULL;
    }
    struct body *body = body_open(kit->store, id, &place, err);
    if (!body) return NULL;
    char *all = malloc(body_length(body) + 1);
    bool ok = true;
    size_t got = 1;
    for (*len = 0; ok && got; *len += got)
        ok = body_read(body, *len, all + *len, 1000, &got, err);
    body_close(&body);
    if (ok) return all;
    free(all);
    return NULL;
}

// For cmocka: *state is a kit with an open store, new for each test.
static inline int kit_set_up(void **state) {
    struct kit *kit = calloc(1, sizeof *kit);
    kit_init(kit);
    kit_open(kit);
    *state = kit;
    return 0;
}

static inline int kit_tear_down(void **state) {
    kit_remove(*state);
    free(*state);
    return 0;
}

static inline void kit_note(void *arg, const char *text) {
    snprintf(arg, 512, "%s", text);
}

// As `tidegate check --store` looks at it.
static inline void kit_expect_sound(struct kit *kit) {
    char fault[512] = "";
    if (!store_check(kit->store, kit_note, fault, NULL)) fail_msg("%s", fault);
}
