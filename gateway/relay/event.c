// SPDX-License-Identifier: MIT
#include "relay/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct events {
    char *path;
    _Atomic int fd;
    const struct log *log;
};

struct event_writer {
    struct events *events;
    struct loop *loop;
    const struct clock *clock;
    struct task flush; // posted while `posted`
    bool posted, freed;
    struct buf lines;
    size_t line_at;
    struct jsonl json;
    void (*heard)(void *arg, struct bytes line);
    void *heard_arg;
};

static int open_file(const char *path) { return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640); }

struct events *events_open(const char *path, const struct log *log, struct err *err) {
    int fd = open_file(path);
    if (fd < 0) {
        err_errno(err, "events: cannot open %s", path);
        return NULL;
    }
    struct events *e = must_alloc(sizeof *e);
    e->path = bytes_dupz(bytes_of(path));
    e->log = log;
    atomic_init(&e->fd, fd);
    return e;
}

void events_reopen(struct events *e) {
    int fresh = open_file(e->path);
    if (fresh < 0) {
        log_warn(e->log, "events: cannot open %s again, writing on to the old file", e->path);
        return;
    }
    // dup2 keeps the number, so a worker in the middle of its write is never left with a closed descriptor.
    if (dup2(fresh, atomic_load(&e->fd)) < 0) log_warn(e->log, "events: dup2 failed for %s", e->path);
    close(fresh);
}

void events_close(struct events **at) {
    struct events *e = *at;
    *at = NULL;
    if (!e) return;
    close(atomic_load(&e->fd));
    free(e->path);
    free(e);
}

const char *events_path(const struct events *e) { return e->path; }

static void write_out(struct event_writer *w) {
    struct bytes left = buf_bytes(&w->lines);
    while (left.len) {
        ssize_t n = write(atomic_load(&w->events->fd), left.at, left.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            log_warn(w->events->log, "events: %s: %s; %zu bytes of events are lost (the store's journal has them)",
                     w->events->path, strerror(errno), left.len);
            break;
        }
        left = bytes_skip(left, (size_t)n);
    }
    buf_reset(&w->lines);
    if (w->lines.cap > 256 * 1024) buf_release(&w->lines);
}

static void flush_task(struct task *task) {
    struct event_writer *w = (struct event_writer *)((char *)task - offsetof(struct event_writer, flush));
    w->posted = false;
    if (!w->freed) write_out(w);
    else {
        buf_release(&w->lines);
        free(w);
    }
}

struct event_writer *event_writer_new(struct events *events, struct loop *loop, const struct clock *clock) {
    struct event_writer *w = must_alloc(sizeof *w);
    w->events = events;
    w->loop = loop;
    w->clock = clock;
    w->flush.run = flush_task;
    return w;
}

void event_writer_listen(struct event_writer *w, void (*heard)(void *arg, struct bytes line), void *arg) {
    w->heard = heard;
    w->heard_arg = arg;
}

void event_writer_free(struct event_writer **at) {
    struct event_writer *w = *at;
    *at = NULL;
    if (!w) return;
    write_out(w);
    if (w->posted) {
        w->freed = true; // the posted task frees it: loop_free runs what is left
        return;
    }
    buf_release(&w->lines);
    free(w);
}

struct jsonl event_start(struct buf *out, const struct clock *clock, const char *type) {
    struct jsonl j = jsonl_begin(out);
    jsonl_time(&j, "time", clock_ms(clock));
    jsonl_textz(&j, "type", type);
    return j;
}

static void schedule(struct event_writer *w) {
    if (w->posted) return;
    w->posted = true;
    loop_post(w->loop, &w->flush);
}

static void written(struct event_writer *w, struct bytes line) {
    schedule(w);
    if (w->heard) w->heard(w->heard_arg, bytes_first(line, line.len - 1));
}

void event_put(struct event_writer *w, struct bytes line) {
    buf_add(&w->lines, line);
    written(w, line);
}

struct jsonl *event_begin(struct event_writer *w, const char *type) {
    w->line_at = w->lines.len;
    w->json = event_start(&w->lines, w->clock, type);
    return &w->json;
}

void event_end(struct event_writer *w) {
    jsonl_end(&w->json);
    written(w, bytes_range(w->lines.at + w->line_at, w->lines.len - w->line_at));
}

void event_put_reply(struct jsonl *j, const struct reply *r) {
    jsonl_open(j, "reply", '{');
    jsonl_int(j, "code", r->code);
    if (r->status[0]) {
        char status[REPLY_STATUS];
        jsonl_textz(j, "status", reply_status(r, status));
    }
    jsonl_textz(j, "text", r->text);
    jsonl_close(j, '}');
}
