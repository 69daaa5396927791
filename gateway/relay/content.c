// SPDX-License-Identifier: MIT
#include "relay/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_PART = 4096, LARGEST_PART = 64 * 1024 };

void content_init(struct content *c, const char *folder, _Atomic uint64_t *in_flight) {
    *c = (struct content){.file = -1, .folder = folder, .in_flight = in_flight};
    canon_body_init(&c->canon);
}

static void count(struct content *c, size_t bytes) {
    c->counted += bytes;
    atomic_fetch_add_explicit(c->in_flight, bytes, memory_order_relaxed);
}

static void add_part(struct content *c) {
    size_t size = c->part_count ? c->parts[c->part_count - 1].iov_len * 4 : FIRST_PART;
    if (size > LARGEST_PART) size = LARGEST_PART;
    c->parts = must_realloc(c->parts, (c->part_count + 1) * sizeof *c->parts);
    c->parts[c->part_count++] = (struct iovec){must_realloc(NULL, size), 0};
    c->part_room = size;
    c->in_memory += size;
    count(c, size);
}

static bool start_file(struct content *c, struct err *err) {
    c->file = open(c->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (c->file < 0) return err_errno(err, "cannot make a temporary file in %s", c->folder);
    for (size_t i = 0; i < c->part_count; i++)
        canon_body_add(&c->canon, bytes_range(c->parts[i].iov_base, c->parts[i].iov_len));
    return true;
}

static bool add_to_file(struct content *c, struct bytes piece, struct err *err) {
    if (c->file < 0 && !start_file(c, err)) return false;
    canon_body_add(&c->canon, piece);
    while (piece.len) {
        ssize_t n = write(c->file, piece.at, piece.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_errno(err, "cannot write a large message to a temporary file in %s", c->folder);
        c->file_length += (uint64_t)n;
        piece = bytes_skip(piece, (size_t)n);
    }
    return true;
}

static bool keep_body(struct content *c, struct bytes piece, struct err *err) {
    while (piece.len && c->file < 0) {
        if (!c->part_room && c->in_memory >= CONTENT_MEMORY) break;
        if (!c->part_room) add_part(c);
        struct iovec *part = &c->parts[c->part_count - 1];
        size_t n = piece.len < c->part_room ? piece.len : c->part_room;
        memcpy((char *)part->iov_base + part->iov_len, piece.at, n);
        part->iov_len += n;
        c->part_room -= n;
        piece = bytes_skip(piece, n);
    }
    return piece.len == 0 || add_to_file(c, piece, err);
}

static bool add_body(struct content *c, struct bytes piece, struct err *err) {
    if (piece.len == 0) return true;
    c->body_length += piece.len;
    if (piece.len >= 2) memcpy(c->last, piece.at + piece.len - 2, 2);
    else c->last[0] = c->last[1], c->last[1] = piece.at[0];
    return keep_body(c, piece, err);
}

// A header field's first line: a name of printable characters without space, then a colon (RFC 5322 2.2).
static bool is_field(struct bytes line) {
    ptrdiff_t colon = bytes_find(line, ':');
    if (colon <= 0) return false;
    struct bytes name = bytes_first(line, (size_t)colon);
    while (name.len && (name.at[name.len - 1] == ' ' || name.at[name.len - 1] == '\t')) name.len--; // obs-optional
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] <= ' ' || name.at[i] == 0x7f) return false;
    return name.len > 0;
}

// Looks at the complete lines of head that were not looked at. True: the body starts at *body, the header ends at *end.
static bool find_end(struct content *c, size_t *end, size_t *body) {
    for (;;) {
        struct bytes rest = bytes_range(c->head.at + c->scanned, c->head.len - c->scanned);
        ptrdiff_t eol = bytes_search(rest, BYTES("\r\n"));
        if (eol < 0) return false;
        struct bytes line = bytes_first(rest, (size_t)eol);
        if (c->scanned == 0 && bytes_starts(line, BYTES("From "))) { // a mailbox file's separator, left on by scripts: never a field
            c->head.len -= (size_t)eol + 2;
            memmove(c->head.at, c->head.at + eol + 2, c->head.len);
            continue;
        }
        bool fold = c->scanned > 0 && line.len && (line.at[0] == ' ' || line.at[0] == '\t');
        *end = *body = c->scanned;
        if (line.len == 0) {
            *body += 2;
            return true;
        }
        if (!fold && !is_field(line)) return true;
        c->scanned += (size_t)eol + 2;
    }
}

static bool split(struct content *c, struct err *err) {
    size_t end, body;
    if (!find_end(c, &end, &body)) return true;
    c->in_body = true;
    bool good = add_body(c, bytes_range(c->head.at + body, c->head.len - body), err);
    c->head.len = end;
    return good;
}

bool content_add(struct content *c, struct bytes piece, struct err *err) {
    if (c->in_body) return add_body(c, piece, err);
    size_t was = c->head.cap;
    buf_add(&c->head, piece);
    count(c, c->head.cap - was);
    return split(c, err);
}

bool content_finish(struct content *c, struct err *err) {
    if (!c->in_body && c->head.len && (c->head.len < 2 || memcmp(c->head.at + c->head.len - 2, "\r\n", 2) != 0)) {
        buf_add(&c->head, BYTES("\r\n")); // BDAT may end anywhere
        if (!split(c, err)) return false;
    }
    if (c->body_length && memcmp(c->last, "\r\n", 2) != 0 && !add_body(c, BYTES("\r\n"), err)) return false;
    c->hashed = c->file >= 0;
    if (c->hashed) canon_body_finish(&c->canon, c->body_hash, NULL);
    return true;
}

uint64_t content_hand_over(struct content *c, struct iovec **parts, size_t *count) {
    if (!c->part_count || c->file >= 0) return 0;
    uint64_t memory = c->in_memory;
    *parts = c->parts;
    *count = c->part_count;
    atomic_fetch_sub_explicit(c->in_flight, memory, memory_order_relaxed);
    c->counted -= memory;
    c->parts = NULL;
    c->part_count = c->part_room = 0;
    c->in_memory = 0;
    return memory;
}

void content_release(struct content *c) {
    canon_body_drop(&c->canon);
    if (c->in_flight) atomic_fetch_sub_explicit(c->in_flight, c->counted, memory_order_relaxed);
    for (size_t i = 0; i < c->part_count; i++) free(c->parts[i].iov_base);
    free(c->parts);
    buf_release(&c->head);
    if (c->file >= 0) close(c->file);
    *c = (struct content){.file = -1};
}
