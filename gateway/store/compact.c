// SPDX-License-Identifier: MIT
#include "store/compact.h"

#include "store/inside.h"
#include "store/tail.h"

#include <unistd.h>

enum { RECORDS_A_STEP = 1024, MOVES_A_STEP = 64, PAUSE_MS = 5000 };
static const uint64_t bytes_a_step = 1 << 20;

static bool pick(struct compact *c, struct store *s) {
    const struct segment *seg = segments_thin(&s->segments);
    if (!seg) return false;
    c->number = seg->number;
    c->at = 0;
    return true;
}

static void put_down(struct compact *c) {
    file_put(&c->file);
    c->number = 0;
}

static void give_up(struct compact *c, struct store *s, const char *why) {
    log_fault(s->log, "segment %u stays as it is, compaction stopped at %llu: %s", c->number,
              (unsigned long long)c->at, why);
    struct segment *seg = segments_find(&s->segments, c->number);
    if (seg) seg->stuck = true;
    put_down(c);
}

struct progress {
    uint64_t at, bytes;
    int moves;
    bool damaged; // the segment's own fault, not the moment's
};

static bool read_head(const struct compact *c, uint64_t at, struct segment_head *head) {
    char raw[SEGMENT_HEAD];
    return pread(file_fd(c->file), raw, sizeof raw, (off_t)at) == (ssize_t)sizeof raw &&
           segment_head_decode(raw, head);
}

static bool move(struct compact *c, struct store *s, struct message *m, const struct segment_head *head,
                 struct progress *p, struct err *err) {
    struct tail_body body = {.id = head->id,
                             .file = file_fd(c->file),
                             .file_offset = p->at + SEGMENT_HEAD,
                             .file_length = head->length,
                             .expect_crc = &head->crc};
    if (!tail_append(&s->segments, SEGMENT_COLD, &body, &m->body, err)) {
        p->damaged = !tail_refuses(&s->segments);
        return false;
    }
    p->moves++;
    p->bytes += head->length;
    return txn_put_message(&s->txn, m, err);
}

static bool move_some(struct compact *c, struct store *s, uint64_t end, struct progress *p, struct err *err) {
    for (int i = 0; i < RECORDS_A_STEP && p->moves < MOVES_A_STEP && p->bytes < bytes_a_step && p->at < end;
         i++) {
        struct segment_head head;
        struct message m;
        bool found;
        if (!read_head(c, p->at, &head)) {
            p->damaged = true;
            return err_set(err, "no record's header at %llu", (unsigned long long)p->at);
        }
        if (!txn_get_message(&s->txn, head.id, &m, &found, err)) return false;
        bool alive = found && m.body.segment == c->number && m.body.offset == p->at;
        if (alive && !move(c, s, &m, &head, p, err)) return false;
        p->at += SEGMENT_HEAD + head.length;
    }
    return p->moves == 0 || tail_sync(&s->segments, err);
}

// The database or the disk do not want now: later. A segment that cannot be read: never.
static int failed(struct compact *c, struct store *s, const struct progress *p, const struct err *why) {
    if (p->damaged) {
        give_up(c, s, why->text);
        return 0;
    }
    put_down(c);
    c->not_before_us = clock_monotonic_us() + PAUSE_MS * 1000;
    return PAUSE_MS;
}

int compact_step(struct compact *c, struct store *s) {
    int64_t now = clock_monotonic_us();
    if (now < c->not_before_us) return (int)((c->not_before_us - now) / 1000) + 1;
    const struct segment *seg = c->number ? segments_find(&s->segments, c->number) : NULL;
    if (!seg) { // none in hand, or its last body was settled meanwhile
        put_down(c);
        return pick(c, s) ? 0 : -1;
    }
    struct err why = {""};
    struct progress p = {.at = c->at};
    struct txn_counts counts;
    if (!c->file && !(c->file = files_get(&s->files, c->number, &why))) {
        give_up(c, s, why.text);
        return 0;
    }
    uint64_t end = seg->end;
    tail_begin(&s->segments);
    if (!txn_begin(&s->txn, &why)) return failed(c, s, &p, &why);
    if (!move_some(c, s, end, &p, &why)) {
        txn_abort(&s->txn);
        return failed(c, s, &p, &why);
    }
    if (!txn_commit(&s->txn, &counts, &why)) return failed(c, s, &p, &why);
    store_tell_counts(s, &counts);
    c->at = p.at;
    if (p.at >= end && segments_find(&s->segments, c->number))
        give_up(c, s, "some of its live bytes belong to no message");
    return 0;
}

void compact_release(struct compact *c) {
    put_down(c);
}
