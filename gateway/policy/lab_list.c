// SPDX-License-Identifier: MIT
#include "policy/lab_list.h"

#include "base/arena.h"
#include "base/log.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct lab_list {
    struct loop *loop;
    const struct clock *clock;
    struct log log;
    char path[64];
    struct store *store; // NULL: there is no entry yet
    struct reader *reader;
};

struct lab_list *lab_list_new(struct loop *loop, const struct clock *clock) {
    struct lab_list *list = must_alloc(sizeof *list);
    list->loop = loop;
    list->clock = clock;
    log_open(&list->log, LOG_FAULT, clock);
    return list;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw) {
    (void)st, (void)what, (void)ftw;
    return remove(path);
}

void lab_list_clear(struct lab_list *list) {
    if (list->reader) reader_free(&list->reader);
    if (list->store) store_close(&list->store);
    if (list->path[0]) nftw(list->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    list->path[0] = 0;
}

void lab_list_free(struct lab_list **at) {
    struct lab_list *list = *at;
    *at = NULL;
    if (!list) return;
    lab_list_clear(list);
    free(list);
}

// In memory where the system has a folder for that: nothing in it has to last.
static bool open_store(struct lab_list *list, struct err *err) {
    snprintf(list->path, sizeof list->path, "%s/tidegate-lab-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(list->path)) {
        list->path[0] = 0;
        return err_errno(err, "a temporary folder");
    }
    struct store_options options = {.path = list->path,
                                    .segment_bytes = 1 << 20,
                                    .reserve_bytes = 1,
                                    .clock = list->clock,
                                    .log = &list->log};
    list->store = store_open(&options, err);
    if (list->store) list->reader = reader_new(list->store, err);
    if (!list->reader) lab_list_clear(list);
    return list->reader;
}

// ---- writing

struct adding {
    struct store_op op; // first
    struct task task;
    struct loop *loop;
    const struct suppression *entry;
    int64_t now_ms;
    bool good;
    struct err err;
};

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct adding *a = (struct adding *)op;
    return txn_put_suppression(txn, a->entry, SUPPRESSION_LENGTHEN, a->now_ms, err);
}

static void finished(struct task *task) {
    struct adding *a = (struct adding *)((char *)task - offsetof(struct adding, task));
    loop_stop(a->loop);
}

static void finish(struct store_op *op, bool done, const struct err *why) {
    struct adding *a = (struct adding *)op;
    a->good = done;
    if (!done && why) a->err = *why;
    loop_post(a->loop, &a->task);
}

bool lab_list_add(struct lab_list *list, const struct suppression *s, struct err *err) {
    if (!suppression_check(s, err) || (!list->store && !open_store(list, err))) return false;
    struct adding a = {.op = {.apply = apply, .finish = finish, .file = -1},
                       .task.run = finished,
                       .loop = list->loop,
                       .entry = s,
                       .now_ms = clock_ms(list->clock)};
    store_submit(list->store, &a.op);
    loop_run(list->loop);
    return a.good || err_set(err, "%s", a.err.text);
}

// ---- reading

bool lab_list_has(void *arg, const struct bytes *scopes, size_t count, struct bytes address,
                  struct arena *texts, struct suppression *out) {
    struct lab_list *list = arg;
    if (!list->reader) return false;
    reader_begin(list->reader);
    bool found = reader_suppressed(list->reader, scopes, count, address, clock_ms(list->clock), out);
    if (found) {
        out->address = arena_copy(texts, out->address);
        out->scope = arena_copy(texts, out->scope);
        out->reason = arena_copy(texts, out->reason);
        out->source = arena_copy(texts, out->source);
    }
    reader_end(list->reader);
    return found;
}
