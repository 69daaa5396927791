// SPDX-License-Identifier: MIT
#include "store/segment.h"

#include "store/crc32c.h"
#include "store/key.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW_VERSION = 1 };
static const char magic[4] = {'T', 'G', 'b', '1'};

// ---- encodings ----------------------------------------------------------------------------------

void segment_head_encode(const struct segment_head *head, char out[SEGMENT_HEAD]) {
    memcpy(out, magic, sizeof magic);
    put_be32(out + 4, head->crc);
    put_be64(out + 8, head->id);
    put_be64(out + 16, head->length);
    put_be32(out + 24, (uint32_t)head->codec << 24);
    put_be32(out + 28, crc32c(0, out, 28));
}

bool segment_head_decode(const char in[SEGMENT_HEAD], struct segment_head *out) {
    if (memcmp(in, magic, sizeof magic) != 0 || get_be32(in + 28) != crc32c(0, in, 28)) return false;
    *out = (struct segment_head){.crc = get_be32(in + 4),
                                 .id = get_be64(in + 8),
                                 .length = get_be64(in + 16),
                                 .codec = (uint8_t)in[24]};
    return true;
}

static void row_encode(const struct segment *seg, char out[SEGMENT_ROW]) {
    out[0] = ROW_VERSION;
    out[1] = (char)(seg->kind | (seg->sealed ? 2 : 0));
    put_be64(out + 2, seg->end);
    put_be64(out + 10, seg->live);
}

bool segment_row_decode(struct bytes key, struct bytes row, uint32_t *number, struct segment_row *out) {
    if (key.len != 4 || row.len != SEGMENT_ROW || row.at[0] != ROW_VERSION || row.at[1] & ~3) return false;
    *number = get_be32(key.at);
    *out = (struct segment_row){.kind = row.at[1] & 1 ? SEGMENT_COLD : SEGMENT_HOT,
                                .sealed = row.at[1] & 2,
                                .end = get_be64(row.at + 2),
                                .live = get_be64(row.at + 10)};
    return *number != 0;
}

// ---- the account --------------------------------------------------------------------------------

static size_t position(const struct segments *s, uint32_t number) {
    size_t low = 0, high = s->count;
    if (high && s->all[high - 1].number == number) return high - 1; // most bodies lie in the newest
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->all[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct segment *segments_find(const struct segments *s, uint32_t number) {
    size_t at = position(s, number);
    return at < s->count && s->all[at].number == number ? &s->all[at] : NULL;
}

struct segment *segments_add(struct segments *s, uint32_t number) {
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->all = must_realloc(s->all, s->cap * sizeof *s->all);
    }
    size_t at = position(s, number);
    memmove(s->all + at + 1, s->all + at, (s->count - at) * sizeof *s->all);
    s->count++;
    s->all[at] = (struct segment){.number = number};
    if (number >= s->next_number) s->next_number = number + 1;
    return &s->all[at];
}

void segments_touch(struct segments *s, struct segment *seg) {
    if (seg->touched) return;
    seg->touched = true;
    if (s->touched_count == s->touched_cap) {
        s->touched_cap = s->touched_cap ? s->touched_cap * 2 : 16;
        s->touched = must_realloc(s->touched, s->touched_cap * sizeof *s->touched);
    }
    s->touched[s->touched_count++] = seg->number;
}

void segments_set_disk(struct segments *s, struct segment *seg, uint64_t bytes) {
    s->disk += bytes - seg->disk;
    seg->disk = bytes;
}

static bool is_tail(const struct segments *s, uint32_t number) {
    return s->tail[SEGMENT_HOT].number == number || s->tail[SEGMENT_COLD].number == number;
}

static bool is_spent(const struct segments *s, const struct segment *seg) {
    return seg->sealed && seg->live == 0 && !is_tail(s, seg->number);
}

void segments_claim(struct segments *s, const struct place *place) {
    struct segment *seg = segments_find(s, place->segment);
    if (!seg) return; // a place that never was: store_check tells
    seg->live += SEGMENT_HEAD + place->length;
    segments_touch(s, seg);
}

void segments_drop(struct segments *s, const struct place *place) {
    struct segment *seg = segments_find(s, place->segment);
    if (!seg) return;
    uint64_t size = SEGMENT_HEAD + place->length;
    seg->live -= size < seg->live ? size : seg->live;
    segments_touch(s, seg);
}

bool segments_save(struct segments *s, struct db_txn *txn, struct err *err) {
    for (size_t i = 0; i < s->touched_count; i++) {
        const struct segment *seg = segments_find(s, s->touched[i]);
        struct key key = key_segment(seg->number);
        char row[SEGMENT_ROW];
        row_encode(seg, row);
        bool saved = is_spent(s, seg)
                         ? db_delete(txn, TABLE_SEGMENT, key_bytes(&key), err)
                         : db_put(txn, TABLE_SEGMENT, key_bytes(&key), bytes_range(row, sizeof row), err);
        if (!saved) return false;
    }
    return true;
}

static void forget(struct segments *s, struct segment *seg) {
    char name[FILE_NAME];
    file_name(seg->number, name);
    if (!spent_take(&s->spent, s->files, seg->number))
        log_warn(s->log, "segments/%s: cannot be removed: %s", name,
                 strerror(errno)); // the next start sweeps it
    segments_set_disk(s, seg, 0);
    size_t at = (size_t)(seg - s->all);
    s->count--;
    memmove(s->all + at, s->all + at + 1, (s->count - at) * sizeof *s->all);
}

void segments_settle(struct segments *s) {
    for (size_t i = 0; i < s->touched_count; i++) {
        struct segment *seg = segments_find(s, s->touched[i]);
        s->live += seg->live - seg->live_committed;
        seg->live_committed = seg->live;
        seg->touched = false;
        seg->known = true;
        if (seg->sealed) s->perhaps_thin = true;
        if (is_spent(s, seg)) forget(s, seg);
    }
    s->touched_count = 0;
}

void segments_rewind(struct segments *s) {
    for (size_t i = 0; i < s->touched_count; i++) {
        struct segment *seg = segments_find(s, s->touched[i]);
        seg->live = seg->live_committed;
    }
}

struct segment *segments_thin(struct segments *s) {
    if (!s->perhaps_thin) return NULL;
    for (size_t i = 0; i < s->count; i++) {
        struct segment *seg = &s->all[i];
        if (seg->sealed && !seg->stuck && seg->live && seg->live < (seg->end - seg->redo) / 10) return seg;
    }
    s->perhaps_thin = false;
    return NULL;
}

// ---- start --------------------------------------------------------------------------------------

void segments_init(struct segments *s, int dir, struct files *files, uint64_t segment_bytes,
                   const struct log *log) {
    *s = (struct segments){
        .dir = dir, .files = files, .segment_bytes = segment_bytes, .log = log, .next_number = 1};
    for (int kind = 0; kind < SEGMENT_KINDS; kind++)
        s->tail[kind].fd = -1;
}

void segments_release(struct segments *s) {
    for (int kind = 0; kind < SEGMENT_KINDS; kind++)
        if (s->tail[kind].fd >= 0) close(s->tail[kind].fd);
    spent_release(&s->spent);
    free(s->all);
    free(s->touched);
    free(s->gathered);
    free(s->heads);
    free(s->copy);
    *s = (struct segments){0};
}

bool segments_learn(struct segments *s, struct bytes key, struct bytes row, struct err *err) {
    uint32_t number;
    struct segment_row known;
    if (!segment_row_decode(key, row, &number, &known))
        return err_set(err, "segment table: a row is damaged");
    struct segment *seg = segments_add(s, number);
    seg->kind = known.kind;
    seg->sealed = known.sealed;
    seg->known = true;
    seg->end = known.end;
    seg->live = seg->live_committed = known.live;
    s->live += known.live;
    segments_set_disk(s, seg, known.end);
    return true;
}

static bool each_file(struct segments *s, bool (*each)(struct segments *s, const char *name, uint32_t number),
                      struct err *err) {
    int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0) close(fd);
        return err_errno(err, "segments");
    }
    bool more = true;
    for (struct dirent *entry; more && (entry = readdir(dir));) {
        uint32_t number;
        if (file_number(entry->d_name, &number)) more = each(s, entry->d_name, number);
    }
    closedir(dir);
    return more;
}

static bool stop_at_first(struct segments *s, const char *name, uint32_t number) {
    (void)s, (void)name, (void)number;
    return false;
}

bool segments_has_files(struct segments *s, bool *has, struct err *err) {
    struct err why = {""};
    *has = !each_file(s, stop_at_first, &why);
    if (!why.text[0]) return true;
    if (err) *err = why;
    return false;
}

// A file without a row was rolled by a group that never committed, or lost its row in a commit just before
// the end.
static bool unlink_unknown(struct segments *s, const char *name, uint32_t number) {
    if (number >= s->next_number) s->next_number = number + 1;
    if (!segments_find(s, number)) unlinkat(s->dir, name, 0);
    return true;
}

// A tail that is there and cannot be opened must not be passed over: what was promised may stand behind its end.
static bool resume_tail(struct segments *s, struct segment *seg, struct err *err) {
    char name[FILE_NAME];
    struct stat stat;
    file_name(seg->number, name);
    int fd = openat(s->dir, name, O_WRONLY | O_CLOEXEC);
    bool there = fd >= 0 && fstat(fd, &stat) == 0;
    if (!there && errno != ENOENT) {
        err_errno(err, "segments/%s", name);
        if (fd >= 0) close(fd);
        return false;
    }
    if (!there || (uint64_t)stat.st_size < seg->end) {
        log_fault(s->log, "segments/%s: shorter than the %llu bytes that were committed: bodies are lost",
                  name, (unsigned long long)seg->end);
        if (fd >= 0) close(fd);
        seg->sealed = true;
        segments_touch(s, seg);
        return true;
    }
    uint64_t capacity = s->segment_bytes > seg->end ? s->segment_bytes : seg->end;
    // Where there is no room to preallocate, writing will say so.
    bool taken = seg->kind == SEGMENT_HOT && fallocate(fd, 0, 0, (off_t)capacity) == 0;
    segments_set_disk(s, seg, taken ? capacity : (uint64_t)stat.st_size);
    s->tail[seg->kind] =
        (struct segment_tail){.number = seg->number, .fd = fd, .capacity = capacity, .synced = seg->end};
    return true;
}

bool segments_sweep(struct segments *s, struct err *err) {
    struct err why = {""};
    if (!each_file(s, unlink_unknown, &why)) {
        if (err) *err = why;
        return false;
    }
    bool have[SEGMENT_KINDS] = {false};
    for (size_t i = s->count; i--;) {
        struct segment *seg = &s->all[i];
        if (!seg->sealed && !have[seg->kind]) {
            have[seg->kind] = true;
            if (!resume_tail(s, seg, err)) return false;
        } else if (!seg->sealed || seg->live == 0) {
            seg->sealed = true; // spent ones are dropped with the first commit
            segments_touch(s, seg);
        }
    }
    s->perhaps_thin = true;
    return true;
}
