// SPDX-License-Identifier: MIT
#include "store/tail.h"

#include "base/bug.h"
#include "store/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

enum { HEADS_GATHERED = 256, COPY_BYTES = 256 << 10 };

static void seal(struct segments *s, enum segment_kind kind) {
    struct segment_tail *tail = &s->tail[kind];
    struct segment *seg = segments_find(s, tail->number);
    if (!seg) return;
    // The preallocated rest goes back; where that fails it is only room.
    if (tail->capacity > seg->end && ftruncate(tail->fd, (off_t)seg->end) == 0)
        segments_set_disk(s, seg, seg->end);
    close(tail->fd);
    *tail = (struct segment_tail){.fd = -1};
    seg->sealed = true;
    segments_touch(s, seg);
}

// After a failed sync nobody knows which pages the kernel still has: what was not synced before is given up
// with its file.
static bool sync_tail(struct segments *s, enum segment_kind kind, struct err *err) {
    struct segment_tail *tail = &s->tail[kind];
    struct segment *seg = segments_find(s, tail->number);
    if (!seg || !tail->unsynced) return true;
    if (s->unsynced || fdatasync(tail->fd) == 0) {
        tail->synced = seg->end;
        tail->unsynced = false;
        return true;
    }
    err_errno(err, "segment %u: sync", seg->number);
    seg->end = tail->synced;
    seal(s, kind);
    return false;
}

static bool preallocate(int fd, uint64_t *capacity, uint64_t least) {
    for (;;) {
        if (fallocate(fd, 0, 0, (off_t)*capacity) == 0) return true;
        if (errno == EOPNOTSUPP) return true; // slower and blind to a filling disk, but not wrong
        if (*capacity <= least || errno == EINTR) return false;
        *capacity = *capacity / 4 > least ? *capacity / 4 : least; // near the end of a disk
    }
}

// The cold tail is not preallocated: nobody waits for it.
static bool roll(struct segments *s, enum segment_kind kind, uint64_t least, struct err *err) {
    if (!sync_tail(s, kind, err)) return false;
    seal(s, kind);
    char name[FILE_NAME];
    file_name(s->next_number, name);
    int fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return err_errno(err, "segments/%s", name);
    uint64_t capacity = least > s->segment_bytes ? least : s->segment_bytes;
    if (kind == SEGMENT_HOT && !preallocate(fd, &capacity, least)) {
        err_errno(err, "segments/%s: no room for a new segment", name);
        close(fd);
        unlinkat(s->dir, name, 0);
        return false;
    }
    struct segment *seg = segments_add(s, s->next_number);
    seg->kind = kind;
    segments_set_disk(s, seg, kind == SEGMENT_HOT ? capacity : 0);
    segments_touch(s, seg);
    s->tail[kind] = (struct segment_tail){.number = seg->number, .fd = fd, .capacity = capacity};
    s->dir_unsynced = true;
    return true;
}

// ---- writing ------------------------------------------------------------------------------------

static bool write_all(int fd, struct iovec *iov, size_t count, uint64_t at) {
    while (count) {
        if (iov->iov_len == 0) {
            iov++, count--;
            continue;
        }
        ssize_t n = pwritev(fd, iov, count < IOV_MAX ? (int)count : IOV_MAX, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = EIO;
            return false;
        }
        at += (uint64_t)n;
        for (size_t left = (size_t)n; left;) {
            size_t step = left < iov->iov_len ? left : iov->iov_len;
            iov->iov_base = (char *)iov->iov_base + step;
            iov->iov_len -= step;
            left -= step;
            if (iov->iov_len == 0) iov++, count--;
        }
    }
    return true;
}

// Nothing more is taken until the next group: offsets that a lost body was told must not be given out twice.
static bool refuse(struct segments *s, const struct err *why) {
    s->refusing = true;
    s->why = *why;
    return false;
}

static bool flush(struct segments *s, struct err *err) {
    if (!s->gathered_count) return true;
    struct segment_tail *tail = &s->tail[SEGMENT_HOT];
    bool written = write_all(tail->fd, s->gathered, s->gathered_count, s->gathered_at);
    s->gathered_count = s->heads_count = 0;
    tail->unsynced = true;
    if (written) return true;
    err_errno(err, "segment %u: write", tail->number);
    segments_find(s, tail->number)->end = s->gathered_at;
    return false;
}

static void gather(struct segments *s, const void *at, size_t size) {
    if (s->gathered_count == s->gathered_cap) {
        s->gathered_cap = s->gathered_cap ? s->gathered_cap * 2 : 256;
        s->gathered = must_realloc(s->gathered, s->gathered_cap * sizeof *s->gathered);
    }
    s->gathered[s->gathered_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = size};
}

// Copies the body's file behind header and parts. A source that fails is the asker's trouble, not the log's.
static bool copy_file(struct segments *s, int fd, const struct tail_body *body, uint64_t to, uint32_t *crc,
                      bool *source_failed, struct err *err) {
    if (!s->copy) s->copy = must_alloc(COPY_BYTES);
    for (uint64_t done = 0; done < body->file_length;) {
        uint64_t left = body->file_length - done;
        ssize_t n = pread(body->file, s->copy, left < COPY_BYTES ? left : COPY_BYTES,
                          (off_t)(body->file_offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            *source_failed = true;
            return n < 0 ? err_errno(err, "reading a body")
                         : err_set(err, "a body's file is shorter than announced");
        }
        *crc = crc32c(*crc, s->copy, (size_t)n);
        struct iovec iov = {s->copy, (size_t)n};
        if (!write_all(fd, &iov, 1, to + done)) return err_errno(err, "segment: write");
        done += (uint64_t)n;
    }
    return true;
}

static bool tail_for(struct segments *s, enum segment_kind kind, uint64_t size, struct err *err) {
    const struct segment *seg = segments_find(s, s->tail[kind].number);
    if (seg && seg->end + size <= s->tail[kind].capacity) return true;
    if (kind == SEGMENT_HOT && !flush(s, err)) return false;
    return roll(s, kind, size, err);
}

static bool append_file(struct segments *s, enum segment_kind kind, const struct tail_body *body,
                        uint64_t parts, uint32_t crc, struct segment *seg, struct err *err) {
    struct segment_tail *tail = &s->tail[kind];
    struct segment_head head = {
        .id = body->id, .length = parts + body->file_length, .codec = body->codec};
    bool source_failed = false;
    if (kind == SEGMENT_HOT && !flush(s, err)) return refuse(s, err);
    tail->unsynced = true;
    if (!copy_file(s, tail->fd, body, seg->end + SEGMENT_HEAD + parts, &crc, &source_failed, err))
        return source_failed ? false : refuse(s, err);
    if (body->expect_crc && *body->expect_crc != crc)
        return err_set(err, "the body of %016llx is damaged", (unsigned long long)body->id);
    head.crc = crc;
    char encoded[SEGMENT_HEAD];
    segment_head_encode(&head, encoded);
    struct iovec iov = {encoded, SEGMENT_HEAD};
    uint64_t at = seg->end;
    bool written = write_all(tail->fd, &iov, 1, at);
    at += SEGMENT_HEAD;
    for (size_t i = 0; written && i < body->part_count; i++) {
        iov = body->parts[i];
        written = write_all(tail->fd, &iov, 1, at);
        at += body->parts[i].iov_len;
    }
    if (written) return true;
    err_errno(err, "segment %u: write", tail->number);
    return refuse(s, err);
}

static void append_parts(struct segments *s, const struct tail_body *body, uint64_t parts, uint32_t crc,
                         const struct segment *seg) {
    struct segment_head head = {.id = body->id, .length = parts, .crc = crc, .codec = body->codec};
    if (!s->gathered_count) s->gathered_at = seg->end;
    segment_head_encode(&head, s->heads[s->heads_count]);
    gather(s, s->heads[s->heads_count++], SEGMENT_HEAD);
    for (size_t i = 0; i < body->part_count; i++)
        gather(s, body->parts[i].iov_base, body->parts[i].iov_len);
}

bool tail_append(struct segments *s, enum segment_kind kind, const struct tail_body *body,
                 struct place *place, struct err *err) {
    if (s->refusing) {
        if (err) *err = s->why;
        return false;
    }
    struct err why;
    uint64_t parts = 0, from_file = body->file >= 0 ? body->file_length : 0;
    uint32_t crc = 0;
    for (size_t i = 0; i < body->part_count; i++) {
        crc = crc32c(crc, body->parts[i].iov_base, body->parts[i].iov_len);
        parts += body->parts[i].iov_len;
    }
    uint64_t size = SEGMENT_HEAD + parts + from_file;
    if (!s->heads) s->heads = must_alloc(HEADS_GATHERED * sizeof *s->heads);
    bool done = (s->heads_count < HEADS_GATHERED || flush(s, &why)) && tail_for(s, kind, size, &why);
    if (!done) refuse(s, &why);
    struct segment *seg = done ? segments_find(s, s->tail[kind].number) : NULL;
    bug_if(kind == SEGMENT_COLD && body->file < 0);
    if (seg && body->file >= 0)
        done = append_file(s, kind, body, parts, crc, seg, &why);
    else if (seg)
        append_parts(s, body, parts, crc, seg);
    if (!done) {
        if (err) *err = why;
        return false;
    }
    *place = (struct place){.segment = seg->number, .offset = seg->end, .length = size - SEGMENT_HEAD};
    seg->end += size;
    if (body->codec == SEGMENT_CODEC_REDO) seg->redo += size;
    if (seg->end > seg->disk) segments_set_disk(s, seg, seg->end);
    segments_touch(s, seg);
    return true;
}

void tail_begin(struct segments *s) {
    s->refusing = false;
}

bool tail_goes_on(const struct segments *s, uint64_t length) {
    const struct segment_tail *tail = &s->tail[SEGMENT_HOT];
    const struct segment *seg = segments_find(s, tail->number);
    return seg && seg->known && !s->dir_unsynced && !s->refusing && seg->end + SEGMENT_HEAD + length <= tail->capacity;
}

bool tail_refuses(const struct segments *s) {
    return s->refusing;
}

bool tail_sync(struct segments *s, struct err *err) {
    struct err why;
    bool synced = flush(s, &why);
    for (int kind = 0; kind < SEGMENT_KINDS; kind++)
        if (!sync_tail(s, (enum segment_kind)kind, &why)) synced = false;
    if (synced && s->dir_unsynced) {
        synced = s->unsynced || fsync(s->dir) == 0;
        if (!synced) err_errno(&why, "segments: sync");
    }
    if (synced) s->dir_unsynced = false;
    if (synced && s->refusing) why = s->why;
    if (synced && !s->refusing) return true;
    refuse(s, &why);
    if (err) *err = why;
    return false;
}

bool tail_holds(const struct segments *s, const struct place *place) {
    const struct segment *seg = segments_find(s, place->segment);
    return seg && !s->dir_unsynced && place->offset + SEGMENT_HEAD + place->length <= seg->end;
}
