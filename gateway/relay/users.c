// SPDX-License-Identifier: MIT
#include "relay/users.h"

#include "base/arena.h"
#include "base/jsonl.h"
#include "base/map.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 255, FILE_MAX_BYTES = 64 << 20 };

struct user {
    const char *hash;
    struct bytes facts;
    size_t line;
};

struct users {
    struct arena arena;
    struct map names; // -> struct user in the arena
};

// What a line says, pointing into it.
struct line {
    struct bytes name, hash, keys;
};

// ---- one line -----------------------------------------------------------------------------------

bool users_name_is_valid(struct bytes name) {
    if (name.len == 0 || name.len > NAME_MAX_BYTES || name.at[0] == '#' || !utf8_is_valid(name)) return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.at[i];
        if (c <= ' ' || c == ':' || c == 0x7f) return false;
    }
    return true;
}

bool users_hash_is_valid(struct bytes hash) {
    static const char *const kinds[] = {"$y$", "$gy$", "$7$", "$2b$", "$2y$", "$2a$", "$6$", "$5$"};
    for (size_t i = 0; i < hash.len; i++) {
        unsigned char c = (unsigned char)hash.at[i];
        if (c <= ' ' || c >= 0x7f || c == ':') return false;
    }
    if (hash.len && (hash.at[0] == '!' || hash.at[0] == '*')) return true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_starts(hash, bytes_of(kinds[i])) && hash.len > strlen(kinds[i]) + 12) return true;
    return false;
}

static bool is_key(struct bytes key) {
    for (size_t i = 0; i < key.len; i++) {
        char c = key.at[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' &&
            c != '-')
            return false;
    }
    return key.len > 0 && key.len <= 64;
}

// Takes one key=value off the front of *rest.
static bool take_pair(struct bytes *rest, struct bytes *key, struct bytes *value, struct err *err) {
    ptrdiff_t equals = bytes_find(*rest, '=');
    struct bytes word = *rest;
    struct bytes first = bytes_cut(&word, ' ');
    if (equals < 0 || (size_t)equals >= first.len)
        return err_set(err, "'%.*s' is not key=value (keys stand behind the hash, separated by spaces)",
                       BYTES_FMT(bytes_first(first, 60)));
    *key = bytes_first(*rest, (size_t)equals);
    if (!is_key(*key))
        return err_set(err, "'%.*s' is not a key (letters, digits, _ and -)",
                       BYTES_FMT(bytes_first(*key, 60)));
    *rest = bytes_skip(*rest, (size_t)equals + 1);
    bool quoted = rest->len && rest->at[0] == '"';
    if (quoted) *rest = bytes_skip(*rest, 1);
    if (quoted && bytes_find(*rest, '"') < 0)
        return err_set(err, "%.*s: the closing '\"' is missing", BYTES_FMT(*key));
    *value = bytes_cut(rest, quoted ? '"' : ' ');
    if (quoted && rest->len && rest->at[0] != ' ')
        return err_set(err, "%.*s: a space must follow the closing '\"'", BYTES_FMT(*key));
    return true;
}

static bool keys_to_json(struct bytes keys, struct buf *out, struct err *err) {
    struct map seen = {0};
    struct jsonl j = jsonl_begin(out);
    bool good = true;
    for (keys = bytes_trim(keys); good && keys.len; keys = bytes_trim(keys)) {
        struct bytes key, value;
        good = take_pair(&keys, &key, &value, err);
        if (!good) break;
        if (map_put(&seen, key, out)) good = err_set(err, "%.*s: given twice", BYTES_FMT(key));
        char name[65];
        memcpy(name, key.at, key.len);
        name[key.len] = 0;
        jsonl_text(&j, name, value);
    }
    jsonl_end(&j);
    out->len--; // jsonl ends a line; this is a value
    map_release(&seen);
    return good;
}

// A line without its end; false with a fault. Blank lines and comments give an empty name.
static bool read_line(struct bytes text, struct line *out, struct err *err) {
    *out = (struct line){0};
    text = bytes_trim(text);
    if (text.len == 0 || text.at[0] == '#') return true;
    if (!utf8_is_valid(text)) return err_set(err, "is not UTF-8");
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ')
            return err_set(err, "has a control character (separate by spaces)");
    struct bytes rest = text;
    struct bytes name = bytes_cut(&rest, ':');
    if (!users_name_is_valid(name))
        return err_set(err, "'%.*s' is not a user name (up to %d characters, no spaces, no ':')",
                       BYTES_FMT(bytes_first(name, 60)), NAME_MAX_BYTES);
    struct bytes hash = bytes_cut(&rest, ':');
    if (!users_hash_is_valid(hash))
        return err_set(
            err,
            "%.*s: what follows the name is not a password hash (make the line with `tidegate passwd %.*s`)",
            BYTES_FMT(bytes_first(name, 60)), BYTES_FMT(bytes_first(name, 60)));
    *out = (struct line){name, hash, rest};
    return true;
}

// ---- the file -----------------------------------------------------------------------------------

static bool add_line(struct users *u, struct bytes text, size_t number, struct err *err) {
    struct line line;
    if (!read_line(text, &line, err)) return false;
    if (line.name.len == 0) return true;
    const struct user *there = map_get(&u->names, line.name);
    if (there)
        return err_set(err, "%.*s: is on line %zu already", BYTES_FMT(bytes_first(line.name, 60)),
                       there->line);
    struct buf json = {0};
    bool good = keys_to_json(line.keys, &json, err);
    if (good) {
        struct user *user = arena_alloc(&u->arena, sizeof *user);
        user->hash = arena_z(&u->arena, line.hash);
        user->facts = arena_copy(&u->arena, buf_bytes(&json));
        user->line = number;
        map_put(&u->names, line.name, user);
    }
    buf_release(&json);
    return good;
}

struct users *users_read(struct bytes text, const char *path, struct err *err) {
    struct users *u = must_alloc(sizeof *u);
    size_t faults = 0, number = 0;
    struct err first = {{0}};
    while (text.len) {
        struct err fault;
        number++;
        if (add_line(u, bytes_cut(&text, '\n'), number, &fault)) continue;
        if (faults++ == 0) err_set(&first, "%s:%zu: %.300s", path, number, fault.text);
    }
    if (faults == 0) return u;
    if (faults == 1)
        err_set(err, "%s", first.text);
    else
        err_set(err, "%.440s (and %zu more such lines)", first.text, faults - 1);
    users_free(&u);
    return NULL;
}

static bool read_file(const char *path, struct buf *out, struct stat *st, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, "%s", path);
    bool good = fstat(fd, st) == 0;
    if (!good)
        err_errno(err, "%s", path);
    else if (!S_ISREG(st->st_mode))
        good = err_set(err, "%s: is not a file", path);
    while (good) {
        buf_reserve(out, 65536);
        ssize_t n = read(fd, out->at + out->len, 65536);
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            good = err_errno(err, "%s", path);
        else
            out->len += (size_t)n;
        if (out->len > FILE_MAX_BYTES)
            good = err_set(err, "%s: is over %d MiB: no users file", path, FILE_MAX_BYTES >> 20);
    }
    close(fd);
    return good;
}

struct users *users_load(const char *path, struct err *err) {
    struct stat st;
    struct buf text = {0};
    struct users *u = NULL;
    if (!path || read_file(path, &text, &st, err))
        u = users_read(buf_bytes(&text), path ? path : "users", err);
    if (text.at) explicit_bzero(text.at, text.cap);
    buf_release(&text);
    return u;
}

void users_free(struct users **u) {
    struct users *gone = *u;
    *u = NULL;
    if (!gone) return;
    map_release(&gone->names);
    arena_release(&gone->arena);
    free(gone);
}

struct bytes users_first(const struct users *u) {
    size_t at = 0;
    struct bytes name = BYTES("");
    void *value;
    return map_next(&u->names, &at, &name, &value) ? name : BYTES("");
}

bool users_next(const struct users *u, size_t *at, struct bytes *name, struct bytes *facts) {
    void *value;
    if (!map_next(&u->names, at, name, &value)) return false;
    *facts = ((const struct user *)value)->facts;
    return true;
}

const char *users_hash(const struct users *u, struct bytes name, struct bytes *facts) {
    const struct user *user = map_get(&u->names, name);
    if (user && facts) *facts = user->facts;
    return user ? user->hash : NULL;
}

// ---- changing it --------------------------------------------------------------------------------

static bool write_all(int fd, struct bytes what) {
    while (what.len) {
        ssize_t n = write(fd, what.at, what.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        what = bytes_skip(what, (size_t)n);
    }
    return true;
}

// st NULL: there was no such file.
static bool replace_file(const char *path, struct bytes text, const struct stat *st, struct err *err) {
    struct buf beside = {0};
    buf_format(&beside, "%s.XXXXXX", path);
    buf_z(&beside);
    int fd = mkostemp(beside.at, O_CLOEXEC);
    if (fd < 0) {
        buf_release(&beside);
        return err_errno(err, "%s: a new version cannot be written beside it", path);
    }
    bool good = fchmod(fd, st ? st->st_mode & 07777 : 0640) == 0 && write_all(fd, text);
    // Only root can keep a foreign owner; where that fails the group still matters (the gateway reads by it).
    if (good && st && fchown(fd, st->st_uid, st->st_gid) != 0)
        good = fchown(fd, (uid_t)-1, st->st_gid) == 0 || errno == EPERM;
    good = good && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    good = good && rename(beside.at, path) == 0;
    if (!good) {
        err_errno(err, "%s", path);
        unlink(beside.at);
    }
    buf_release(&beside);
    return good;
}

static void add_user(struct buf *out, struct bytes name, struct bytes hash, struct bytes keys) {
    buf_format(out, "%.*s:%.*s", BYTES_FMT(name), BYTES_FMT(hash));
    if (keys.len) buf_format(out, ":%.*s", BYTES_FMT(keys));
    buf_byte(out, '\n');
}

// Copies the file's lines; the one of `name` is left out or, where there is a hash, made anew. True: it was
// there.
static bool copy_lines(struct bytes text, struct buf *out, struct bytes name, struct bytes hash,
                       const char *keys) {
    bool found = false;
    while (text.len) {
        struct bytes raw = bytes_cut(&text, '\n');
        struct line line;
        if (read_line(raw, &line, NULL) && line.name.len && bytes_equal(line.name, name)) {
            found = true;
            if (hash.len) add_user(out, name, hash, keys ? bytes_of(keys) : line.keys);
        } else {
            buf_add(out, raw);
            buf_byte(out, '\n');
        }
    }
    return found;
}

static bool change(const char *path, struct bytes name, struct bytes hash, const char *keys, bool *found,
                   struct err *err) {
    struct stat st;
    struct buf was = {0}, now = {0};
    bool there = access(path, F_OK) == 0;
    bool good = !there || read_file(path, &was, &st, err);
    if (good) {
        *found = copy_lines(buf_bytes(&was), &now, name, hash, keys);
        if (hash.len && !*found) add_user(&now, name, hash, bytes_of(keys ? keys : ""));
        good = (!hash.len && !*found) || replace_file(path, buf_bytes(&now), there ? &st : NULL, err);
    }
    buf_release(&was);
    buf_release(&now);
    return good;
}

bool users_put(const char *path, struct bytes name, struct bytes hash, const char *keys, struct err *err) {
    if (!users_name_is_valid(name))
        return err_set(err, "'%.*s' is not a user name (up to %d characters, no spaces, no ':')",
                       BYTES_FMT(bytes_first(name, 60)), NAME_MAX_BYTES);
    if (!users_hash_is_valid(hash))
        return err_set(err, "%.*s: not a password hash", BYTES_FMT(bytes_first(name, 60)));
    struct buf json = {0};
    bool good = true;
    if (keys && (strpbrk(keys, "\r\n") || !utf8_is_valid(bytes_of(keys))))
        good = err_set(err, "the keys must be one line of UTF-8");
    good = good && (!keys || keys_to_json(bytes_of(keys), &json, err));
    buf_release(&json);
    bool found;
    return good && change(path, name, hash, keys, &found, err);
}

bool users_remove(const char *path, struct bytes name, bool *found, struct err *err) {
    *found = false;
    return change(path, name, (struct bytes){0}, NULL, found, err);
}
