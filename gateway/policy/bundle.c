// SPDX-License-Identifier: MIT
#include "policy/bundle.h"

#include "base/arena.h"
#include "mail/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, FILES_MAX = 1000, TOTAL_MAX = 16 << 20, DEPTH_MAX = 8, NAME_MAX_LEN = 200 };
static const struct bytes magic = {"TGB1", 4};

struct file {
    struct bytes name, text;
};

struct bundle {
    atomic_int refs;
    struct arena arena;
    struct file *files; // sorted by name
    size_t count, room, total;
    char version[13];
};

static struct bundle *bundle_empty(void) {
    struct bundle *b = must_alloc(sizeof *b);
    b->refs = 1;
    return b;
}

struct bundle *bundle_ref(struct bundle *b) {
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void bundle_free(struct bundle **b) {
    struct bundle *gone = *b;
    *b = NULL;
    if (!gone || atomic_fetch_sub(&gone->refs, 1) > 1) return;
    arena_release(&gone->arena);
    free(gone->files);
    free(gone);
}

const char *bundle_version(const struct bundle *b) {
    return b->version;
}

static bool add(struct bundle *b, struct bytes name, struct bytes text, struct err *err) {
    if (b->count >= FILES_MAX) return err_set(err, "more than %d script files", FILES_MAX);
    if (b->total + text.len > TOTAL_MAX) return err_set(err, "scripts of more than %d MiB", TOTAL_MAX >> 20);
    if (b->count == b->room) {
        b->room = b->room ? b->room * 2 : 32;
        b->files = must_realloc(b->files, b->room * sizeof *b->files);
    }
    b->files[b->count++] = (struct file){arena_copy(&b->arena, name), arena_copy(&b->arena, text)};
    b->total += text.len;
    return true;
}

static int by_name(const void *a, const void *b) {
    return bytes_compare(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static void digest_part(struct digest *d, struct bytes part) {
    char len[4];
    put_be32(len, (uint32_t)part.len);
    digest_add(d, bytes_range(len, 4));
    digest_add(d, part);
}

static void seal(struct bundle *b) {
    if (b->count) qsort(b->files, b->count, sizeof *b->files, by_name);
    struct digest d = {0};
    uint8_t sum[DIGEST_SIZE];
    for (size_t i = 0; i < b->count; i++) {
        digest_part(&d, b->files[i].name);
        digest_part(&d, b->files[i].text);
    }
    digest_end(&d, sum);
    for (int i = 0; i < 6; i++)
        snprintf(b->version + 2 * i, 3, "%02x", sum[i]);
}

// ---- from folders

struct place_at {
    struct bundle *b;
    const char *folder; // as the operator named it, for words
    const char *prefix; // of the names: "" or "stdlib/"
};

static bool read_file(const struct place_at *p, int dir, const char *entry, const char *path,
                      struct err *err) {
    int fd = openat(dir, entry, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_errno(err, "%s/%s", p->folder, path);
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    if (!ok) err_errno(err, "%s/%s", p->folder, path);
    if (ok && st.st_size > FILE_MAX)
        ok = err_set(err, "%s/%s: larger than %d KiB", p->folder, path, FILE_MAX >> 10);
    struct buf text = {0};
    for (ssize_t n = 1; ok && n > 0;) {
        buf_reserve(&text, 65536);
        n = read(fd, text.at + text.len, 65536);
        if (n > 0) text.len += (size_t)n;
        if (n < 0) ok = err_errno(err, "%s/%s", p->folder, path);
        if (text.len > FILE_MAX)
            ok = err_set(err, "%s/%s: larger than %d KiB", p->folder, path, FILE_MAX >> 10);
    }
    close(fd);
    char name[NAME_MAX_LEN + 16];
    snprintf(name, sizeof name, "%s%s", p->prefix, path);
    ok = ok && add(p->b, bytes_of(name), buf_bytes(&text), err);
    buf_release(&text);
    return ok;
}

static bool is_script(struct bytes name) {
    return bytes_ends_nocase(name, BYTES(".lua")) && !bytes_ends_nocase(name, BYTES(".story.lua"));
}

static bool read_folder(const struct place_at *p, int fd, const char *path, int depth, struct err *err);

static bool read_entry(const struct place_at *p, int dir, const char *entry, const char *path, int depth,
                       struct err *err) {
    char inner[NAME_MAX_LEN];
    int n = snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "/" : "", entry);
    if (n >= (int)sizeof inner) return err_set(err, "%s/%s/%s: the name is too long", p->folder, path, entry);
    struct stat st;
    if (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || err_errno(err, "%s/%s", p->folder, inner);
    if (S_ISDIR(st.st_mode)) {
        if (!*p->prefix && strcmp(inner, "stdlib") == 0)
            return err_set(err, "%s/stdlib: this name belongs to the shipped library", p->folder);
        int fd = openat(dir, entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) return err_errno(err, "%s/%s", p->folder, inner);
        return read_folder(p, fd, inner, depth + 1, err);
    }
    if (!is_script(bytes_of(entry))) return true;
    if (S_ISLNK(st.st_mode) && fstatat(dir, entry, &st, 0) < 0)
        return err_errno(err, "%s/%s", p->folder, inner);
    if (!S_ISREG(st.st_mode)) return true;
    return read_file(p, dir, entry, inner, err);
}

static bool read_folder(const struct place_at *p, int fd, const char *path, int depth, struct err *err) {
    DIR *d = depth > DEPTH_MAX ? NULL : fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(err, "%s/%s: folders are nested too deep", p->folder, path);
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d));)
        ok = e->d_name[0] == '.' || read_entry(p, dirfd(d), e->d_name, path, depth, err);
    closedir(d);
    return ok;
}

static bool read_tree(struct bundle *b, const char *folder, const char *prefix, struct err *err) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, "%s", folder);
    return read_folder(&(struct place_at){b, folder, prefix}, fd, "", 0, err);
}

struct bundle *bundle_read(const char *scripts, const char *stdlib, struct err *err) {
    struct bundle *b = bundle_empty();
    bool ok = read_tree(b, scripts, "", err) && read_tree(b, stdlib, "stdlib/", err);
    if (ok) seal(b);
    if (ok && !bundle_find(b, "policy.lua", NULL))
        ok = err_set(err, "%s/policy.lua: not there; a policy is needed, even one that only says `return {}`",
                     scripts);
    if (!ok) bundle_free(&b);
    return b;
}

bool bundle_find(const struct bundle *b, const char *name, struct bytes *text) {
    struct file key = {.name = bytes_of(name)};
    const struct file *f = b->count ? bsearch(&key, b->files, b->count, sizeof key, by_name) : NULL;
    if (f && text) *text = f->text;
    return f;
}

bool bundle_at(const struct bundle *b, size_t i, struct bytes *name, struct bytes *text) {
    if (i >= b->count) return false;
    *name = b->files[i].name;
    *text = b->files[i].text;
    return true;
}

struct bundle *bundle_with(const struct bundle *b, struct bytes name, struct bytes text, struct err *err) {
    struct bundle *other = bundle_empty();
    bool ok = name.len && name.len < NAME_MAX_LEN + 16 ? add(other, name, text, err)
                                                        : err_set(err, "'%.*s' is no name of a file", BYTES_FMT(name));
    for (size_t i = 0; ok && i < b->count; i++)
        ok = bytes_equal(b->files[i].name, name) || add(other, b->files[i].name, b->files[i].text, err);
    if (ok) seal(other);
    else bundle_free(&other);
    return other;
}

// ---- as bytes

static void put_part(struct buf *out, struct bytes part) {
    char len[4];
    put_be32(len, (uint32_t)part.len);
    buf_add(out, bytes_range(len, 4));
    buf_add(out, part);
}

static bool take_part(struct bytes *from, struct bytes *part) {
    if (from->len < 4) return false;
    uint32_t len = get_be32(from->at);
    if (from->len - 4 < len) return false;
    *part = bytes_range(from->at + 4, len);
    *from = bytes_skip(*from, 4 + (size_t)len);
    return true;
}

void bundle_encode(const struct bundle *b, struct buf *out) {
    buf_add(out, magic);
    for (size_t i = 0; i < b->count; i++) {
        put_part(out, b->files[i].name);
        put_part(out, b->files[i].text);
    }
}

struct bundle *bundle_decode(struct bytes from, struct err *err) {
    struct bundle *b = bundle_empty();
    bool ok = bytes_starts(from, magic);
    if (ok) from = bytes_skip(from, magic.len);
    for (struct bytes name, text; ok && from.len;)
        ok = take_part(&from, &name) && take_part(&from, &text) && name.len < NAME_MAX_LEN + 16 &&
             add(b, name, text, NULL);
    if (ok) seal(b);
    if (!ok || !bundle_find(b, "policy.lua", NULL)) {
        bundle_free(&b);
        err_set(err, "the scripts kept in the store cannot be read");
    }
    return b;
}

void bundle_diff(const struct bundle *was, const struct bundle *now,
                 void (*line)(void *arg, const char *text), void *arg) {
    size_t i = 0, j = 0, old_count = was ? was->count : 0;
    while (i < old_count || j < now->count) {
        const struct file *a = i < old_count ? &was->files[i] : NULL,
                          *b = j < now->count ? &now->files[j] : NULL;
        int order = !a ? 1 : !b ? -1 : bytes_compare(a->name, b->name);
        i += order <= 0;
        j += order >= 0;
        if (order == 0 && bytes_equal(a->text, b->text)) continue;
        char text[NAME_MAX_LEN + 32];
        snprintf(text, sizeof text, "%s %.*s",
                 order < 0   ? "removed"
                 : order > 0 ? "added"
                             : "changed",
                 BYTES_FMT(order < 0 ? a->name : b->name));
        line(arg, text);
    }
}
