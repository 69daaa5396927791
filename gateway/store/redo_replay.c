// SPDX-License-Identifier: MIT
// redo_replay: what was promised and not committed before the end, put into the database at open. [contract: redo.h]
#include "store/crc32c.h"
#include "store/inside.h"
#include "store/key.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 << 10 };

struct replay {
    struct store *store;
    struct file *file;
    uint32_t segment;
    uint64_t from, at, size; // the end by the row; the record in hand; bytes in the file
    struct segment_head head;
    uint64_t messages;
    struct err *err;
    bool failed; // the database or the disk, not the record
    char piece[PIECE];
};

// A disk that cannot be read is not one that has nothing: the store then does not open.
static bool read_whole(struct replay *r, void *into, size_t size, uint64_t at) {
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(file_fd(r->file), (char *)into + got, size - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            r->failed = true;
            return err_errno(r->err, "segment %u: read", r->segment);
        }
        if (n == 0) return false;
        got += (size_t)n;
    }
    return true;
}

static bool read_head(struct replay *r, uint64_t at, uint64_t end, struct segment_head *head) {
    char raw[SEGMENT_HEAD];
    return end - at >= SEGMENT_HEAD && read_whole(r, raw, sizeof raw, at) && segment_head_decode(raw, head) &&
           head->length <= end - at - SEGMENT_HEAD;
}

static bool is_body_whole(struct replay *r, const struct message *m) {
    const struct place *place = &m->body;
    struct segment_head head;
    uint32_t crc = 0;
    if (place->segment != r->segment || place->offset < r->from || place->offset >= r->at) return false;
    if (!read_head(r, place->offset, r->at, &head)) return false;
    if (head.id != m->id || head.length != place->length || head.codec != SEGMENT_CODEC_PLAIN) return false;
    for (uint64_t done = 0; done < head.length;) {
        uint64_t left = head.length - done;
        size_t size = left < PIECE ? (size_t)left : PIECE;
        if (!read_whole(r, r->piece, size, place->offset + SEGMENT_HEAD + done)) return false;
        crc = crc32c(crc, r->piece, size);
        done += size;
    }
    return crc == head.crc;
}

static bool look(void *arg, const struct redo_entry *entry) {
    return entry->kind != REDO_MESSAGE || is_body_whole(arg, &entry->message);
}

static bool put(void *arg, const struct redo_entry *entry) {
    struct replay *r = arg;
    bool is_message = entry->kind == REDO_MESSAGE;
    bool done = is_message ? txn_put_message(&r->store->txn, &entry->message, r->err)
                           : txn_put_recipient(&r->store->txn, &entry->recipient, r->err);
    r->messages += is_message;
    r->failed = !done;
    return done;
}

// False: it is torn, or none of ours, or the database failed.
static bool replay_record(struct replay *r) {
    char *record = must_alloc(r->head.length + 1); // no more than a segment has
    struct bytes bytes = bytes_range(record, r->head.length);
    const char *secret = r->store->txn.redo_secret;
    bool whole = read_whole(r, record, bytes.len, r->at + SEGMENT_HEAD) && crc32c(0, record, bytes.len) == r->head.crc &&
                 redo_read(bytes, secret, look, r);
    bool done = whole && redo_read(bytes, secret, put, r);
    free(record);
    return done;
}

// Where the last record ends that was replayed; `from` where there was none.
static uint64_t walk(struct replay *r) {
    uint64_t end = r->from;
    for (r->at = r->from; read_head(r, r->at, r->size, &r->head); r->at += SEGMENT_HEAD + r->head.length) {
        if (r->head.codec == SEGMENT_CODEC_PLAIN) continue;
        if (r->head.codec != SEGMENT_CODEC_REDO || !replay_record(r)) break;
        end = r->at + SEGMENT_HEAD + r->head.length;
    }
    return end;
}

bool redo_replay(struct store *s, uint64_t *messages, struct err *err) {
    const struct segment_tail *tail = &s->segments.tail[SEGMENT_HOT];
    struct segment *seg = segments_find(&s->segments, tail->number);
    struct stat stat;
    *messages = 0;
    if (!seg) return true;
    struct replay *r = must_alloc(sizeof *r);
    r->store = s;
    r->segment = seg->number;
    r->from = tail->synced;
    r->err = err;
    r->file = files_get(&s->files, seg->number, err);
    bool done = r->file && (fstat(file_fd(r->file), &stat) == 0 || err_errno(err, "segment %u", seg->number));
    if (done) {
        r->size = (uint64_t)stat.st_size;
        uint64_t end = walk(r);
        *messages = r->messages;
        done = !r->failed;
        if (done && end > r->from) {
            // The process may have ended between write and sync.
            done = fdatasync(tail->fd) == 0 || err_errno(err, "segment %u: sync", seg->number);
            seg->end = end;
            segments_touch(&s->segments, seg);
        }
    }
    file_put(&r->file);
    free(r);
    return done;
}
