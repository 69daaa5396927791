// SPDX-License-Identifier: MIT
// body: one message's body, open for reading. [contract: store.h]
#include "base/bug.h"
#include "store/crc32c.h"
#include "store/inside.h"
#include "store/key.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct body {
    uint64_t id;
    const struct iovec *parts; // NULL: it is on disk
    size_t part_count;
    struct file *file;   // NULL: a message without a body
    uint64_t at, length; // of the body's first byte
    uint32_t crc, sum;   // as it was written; of what was read in order so far
    uint64_t summed;
};

static bool read_at(const struct file *file, void *into, size_t size, uint64_t at, size_t *got) {
    for (*got = 0; *got < size;) {
        ssize_t n = pread(file_fd(file), (char *)into + *got, size - *got, (off_t)(at + *got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) break;
        *got += (size_t)n;
    }
    return true;
}

static bool open_at(struct store *store, uint64_t id, const struct place *place, struct body *body,
                    struct err *err) {
    char raw[SEGMENT_HEAD];
    struct segment_head head;
    size_t got;
    *body = (struct body){.id = id, .at = place->offset + SEGMENT_HEAD, .length = place->length};
    if (!place->segment) return true;
    body->file = files_get(&store->files, place->segment, err);
    if (!body->file) return false;
    if (!read_at(body->file, raw, sizeof raw, place->offset, &got))
        err_errno(err, "segment %u", place->segment);
    else if (got < sizeof raw || !segment_head_decode(raw, &head) || head.id != id ||
             head.length != place->length || head.codec != SEGMENT_CODEC_PLAIN)
        err_set(err, "segment %u at %llu: not the body of %016llx", place->segment,
                (unsigned long long)place->offset, (unsigned long long)id);
    else {
        body->crc = head.crc;
        return true;
    }
    file_put(&body->file);
    return false;
}

// Compaction may have moved the body since the asker read where it was.
static bool place_now(struct store *store, uint64_t id, struct place *place) {
    struct db_txn *txn = db_reader_new(store->db, NULL);
    if (!txn) return false;
    db_reader_begin(txn);
    struct key key = key_message(id);
    struct message m;
    struct bytes value;
    bool found;
    found = db_get(txn, TABLE_MESSAGE, key_bytes(&key), &value, &found, NULL) && found &&
            message_decode(id, value, &m, NULL);
    if (found) *place = m.body;
    db_reader_end(txn);
    db_reader_free(&txn);
    return found;
}

struct body *body_open(struct store *store, uint64_t id, const struct place *place, struct err *err) {
    struct body body;
    struct place now;
    bool opened = open_at(store, id, place, &body, err);
    if (!opened && place_now(store, id, &now) &&
        (now.segment != place->segment || now.offset != place->offset))
        opened = open_at(store, id, &now, &body, err);
    if (!opened) return NULL;
    struct body *out = must_alloc(sizeof *out);
    *out = body;
    return out;
}

struct body *body_in_memory(const struct iovec *parts, size_t count) {
    struct body *b = must_alloc(sizeof *b);
    b->parts = parts;
    b->part_count = count;
    for (size_t i = 0; i < count; i++)
        b->length += parts[i].iov_len;
    return b;
}

uint64_t body_length(const struct body *body) {
    return body->length;
}

bool body_read(struct body *b, uint64_t offset, void *into, size_t size, size_t *got, struct err *err) {
    bug_if(b->parts);
    *got = 0;
    if (offset >= b->length) return true;
    if (size > b->length - offset) size = (size_t)(b->length - offset);
    if (!read_at(b->file, into, size, b->at + offset, got))
        return err_errno(err, "body of %016llx", (unsigned long long)b->id);
    if (*got < size)
        return err_set(err, "body of %016llx: its segment ends at %llu of %llu bytes",
                       (unsigned long long)b->id, (unsigned long long)(offset + *got),
                       (unsigned long long)b->length);
    if (offset != b->summed) return true;
    b->sum = crc32c(b->sum, into, size);
    b->summed += size;
    if (b->summed < b->length || b->sum == b->crc) return true;
    return err_set(err, "body of %016llx: damaged on disk (CRC32C does not match)",
                   (unsigned long long)b->id);
}

static struct bytes piece_in_memory(const struct body *b, uint64_t offset, size_t size) {
    for (size_t i = 0; i < b->part_count; i++) {
        const struct iovec *part = &b->parts[i];
        if (offset < part->iov_len)
            return bytes_first(bytes_range((char *)part->iov_base + offset, part->iov_len - (size_t)offset), size);
        offset -= part->iov_len;
    }
    return BYTES("");
}

bool body_piece(struct body *b, uint64_t offset, void *room, size_t size, struct bytes *piece, struct err *err) {
    if (b->parts) {
        *piece = piece_in_memory(b, offset, size);
        return true;
    }
    *piece = bytes_range(room, 0);
    return body_read(b, offset, room, size, &piece->len, err);
}

void body_close(struct body **body) {
    if (!*body) return;
    file_put(&(*body)->file);
    free(*body);
    *body = NULL;
}
