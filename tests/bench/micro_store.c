// SPDX-License-Identifier: MIT
// micro_store: durable messages a second by how many wait together, and the time of a lone one. Wall time, on
// a real disk.
//
//     micro_store FOLDER [SECONDS a case]
//
// "accept" puts a message with its body and one recipient; "promise" is the same until the store promises it,
// which is what 250 waits for; "life" accepts, parks with an outcome, and drops it again.
#include "micro.h"
#include "store/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { GROUP_MAX = 1000 };

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t left, unsafe; // not finished; neither promised nor finished
};

struct job {
    struct store_op op; // first
    struct waiter *waiter;
    struct message message;
    struct recipient recipient;
    struct iovec part;
    bool drop, safe;
};

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct job *j = (struct job *)op;
    bool last;
    if (j->drop) return txn_drop_recipient(txn, j->message.id, 0, &last, err);
    if (op->part_count) j->message.body = op->place;
    if (op->part_count && !txn_put_message(txn, &j->message, err)) return false;
    return txn_put_recipient(txn, &j->recipient, err);
}

static void finish(struct store_op *op, bool done, const struct err *why) {
    struct job *j = (struct job *)op;
    if (!done) fprintf(stderr, "%s\n", why->text);
    bug_if(!done);
    pthread_mutex_lock(&j->waiter->lock);
    j->waiter->left--;
    if (!j->safe) j->waiter->unsafe--;
    pthread_cond_signal(&j->waiter->done);
    pthread_mutex_unlock(&j->waiter->lock);
}

static void promised(struct store_op *op) {
    struct job *j = (struct job *)op;
    pthread_mutex_lock(&j->waiter->lock);
    j->safe = true;
    j->waiter->unsafe--;
    pthread_cond_signal(&j->waiter->done);
    pthread_mutex_unlock(&j->waiter->lock);
}

// When all were safe: finished, or promised where that is asked for. It returns when all are finished.
static int64_t submit_all(struct store *store, struct waiter *waiter, struct job *jobs, size_t count) {
    waiter->left = waiter->unsafe = count;
    for (size_t i = 0; i < count; i++) {
        jobs[i].safe = false;
        store_submit(store, &jobs[i].op);
    }
    pthread_mutex_lock(&waiter->lock);
    while (waiter->unsafe)
        pthread_cond_wait(&waiter->done, &waiter->lock);
    int64_t safe_us = clock_monotonic_us();
    while (waiter->left)
        pthread_cond_wait(&waiter->done, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
    return safe_us;
}

static void prepare(struct job *j, uint64_t id, struct waiter *waiter, struct bytes body) {
    *j = (struct job){.op = {.apply = apply, .finish = finish, .file = -1, .body_id = id}, .waiter = waiter};
    j->part = (struct iovec){(void *)body.at, body.len};
    j->op.parts = &j->part;
    j->op.part_count = 1;
    j->message = (struct message){
        .id = id,
        .received_ms = id_ms(id),
        .expires_ms = id_ms(id) + 1,
        .recipients = 1,
        .sender = BYTES("sender@load.example"),
        .policy = BYTES("0123456789ab"),
        .facts = BYTES("{\"client_ip\": \"127.0.0.1\", \"helo\": \"load.example\", \"listener\": \"relay\"}"),
        .head = BYTES("From: <sender@load.example>\r\nTo: <recipient@sink.example>\r\n"
                      "Subject: a message\r\nMessage-ID: <1@load.example>\r\n")};
    j->recipient = (struct recipient){
        .id = id, .state = RECIPIENT_DUE, .due_ms = id_ms(id), .address = BYTES("recipient@sink.example")};
}

static void advance(struct job *j, int step) {
    j->op.part_count = 0;
    j->drop = step == 2;
    j->recipient.state = RECIPIENT_PARKED;
    j->recipient.attempts = 1;
    j->recipient.lane = BYTES("sink.example");
    j->recipient.outcome = BYTES("{\"reply\": \"450 4.2.0 later\", \"stage\": \"rcpt\"}");
}

static void run(struct store *store, const char *name, size_t group, size_t size, int steps, double seconds) {
    bool promise = strcmp(name, "promise") == 0;
    static unsigned sequence;
    static struct job jobs[GROUP_MAX];
    struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    struct clock clock = {0};
    struct buf body = {0};
    struct store_stats before, after;
    micro_text(&body, size);
    store_get_stats(store, &before);
    uint64_t count = 0;
    struct micro_times times = {0};
    int64_t began = clock_monotonic_us(), now = began;
    while (now - began < (int64_t)(seconds * 1e6)) {
        for (size_t i = 0; i < group;
             i++, sequence++) { // ids of other "workers" keep a fast loop from using one up
            uint64_t id = id_make(clock_ms(&clock), (sequence / ID_SEQUENCES) % 256, sequence % ID_SEQUENCES);
            prepare(&jobs[i], id, &waiter, buf_bytes(&body));
            jobs[i].op.promised = promise ? promised : NULL;
        }
        int64_t safe = 0;
        for (int step = 0; step < steps; step++) {
            for (size_t i = 0; step && i < group; i++)
                advance(&jobs[i], step);
            safe = submit_all(store, &waiter, jobs, group);
        }
        count += group;
        micro_times_add(&times, (double)(safe - now));
        now = clock_monotonic_us();
    }
    store_get_stats(store, &after);
    printf("{\"bench\": \"store\", \"case\": \"%s, groups of %zu, %zu KiB\", \"us\": %.1f, \"per_s\": %.0f, "
           "\"p50_us\": %.1f, \"worst_us\": %.0f, \"commits\": %lu}\n",
           name, group, size / 1024, (double)(now - began) / (double)count,
           (double)count * 1e6 / (double)(now - began), micro_times_at(&times, 0.5),
           micro_times_at(&times, 1), after.commits - before.commits);
    fflush(stdout);
    micro_times_release(&times);
    buf_release(&body);
}

// The floor: what one append of a body and its sync take, without a database and without handing over to a
// thread.
static void bare(const char *folder, size_t size, double seconds) {
    char path[512];
    struct buf body = {0};
    snprintf(path, sizeof path, "%s/bare", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bug_if(fd < 0 || posix_fallocate(fd, 0, 64 << 20));
    micro_text(&body, size);
    struct micro_times times = {0};
    uint64_t count = 0;
    int64_t began = clock_monotonic_us(), now = began;
    for (; now - began < (int64_t)(seconds * 1e6); count++) {
        int64_t then = now;
        bug_if(pwrite(fd, body.at, body.len, (off_t)(count * size % (64 << 20))) < 0 || fdatasync(fd));
        now = clock_monotonic_us();
        micro_times_add(&times, (double)(now - then));
    }
    printf("{\"bench\": \"store\", \"case\": \"bare append and sync, %zu KiB\", \"us\": %.1f, \"per_s\": "
           "%.0f, \"p50_us\": %.1f}\n",
           size / 1024, (double)(now - began) / (double)count, (double)count * 1e6 / (double)(now - began),
           micro_times_at(&times, 0.5));
    micro_times_release(&times);
    close(fd);
    unlink(path);
    buf_release(&body);
}

int main(int argc, char **argv) {
    struct err err;
    struct clock clock = {0};
    struct log log = {.fd = 2, .level = LOG_WARN, .clock = &clock};
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    if (argc < 2) return 64;
    struct store_options options = {.path = argv[1], .clock = &clock, .log = &log};
    struct store *store = store_open(&options, &err);
    if (!store) fprintf(stderr, "%s\n", err.text);
    if (!store) return 1;
    bare(argv[1], 2048, seconds);
    static const size_t groups[] = {1, 10, 100, GROUP_MAX};
    for (size_t i = 0; i < 4; i++)
        run(store, "life", groups[i], 2048, 3, seconds);
    for (size_t i = 0; i < 4; i++)
        run(store, "accept", groups[i], 2048, 1, seconds);
    run(store, "accept", 20, 51200, 1, seconds);
    for (size_t i = 0; i < 4; i++)
        run(store, "promise", groups[i], 2048, 1, seconds);
    store_close(&store);
    return 0;
}
