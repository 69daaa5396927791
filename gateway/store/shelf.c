// SPDX-License-Identifier: MIT
#include "store/shelf.h"

#include "base/bug.h"
#include "base/utf8.h"
#include "store/db.h"
#include "store/txn.h"

#include <string.h>

enum { VERSION = 1, HEAD = 19, SWEPT_BY_A_PUT = 4, SWEPT_MOST = 1000 };

// ---- records: version, put_ms, until_ms, length of source, source, value

bool shelf_key_is_valid(struct bytes key) {
    if (key.len < 1 || key.len > SHELF_KEY || !utf8_is_valid(key)) return false;
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.at[i] < 32 || key.at[i] == 127) return false;
    return true;
}

bool shelf_check(const struct shelf_entry *e, struct err *err) {
    if (!shelf_key_is_valid(e->key))
        return err_set(err, "shelf: a key is 1 to %d bytes of UTF-8 without control characters", SHELF_KEY);
    if (e->value.len < 1 || e->value.len > SHELF_VALUE) return err_set(err, "shelf: a value is %d bytes of JSON at the most", SHELF_VALUE);
    return true;
}

static void shelf_encode(const struct shelf_entry *e, struct buf *out) {
    char head[HEAD] = {VERSION};
    struct bytes source = bytes_first(e->source, SHELF_SOURCE);
    put_be64(head + 1, (uint64_t)e->put_ms);
    put_be64(head + 9, (uint64_t)e->until_ms);
    put_be16(head + 17, (uint16_t)source.len);
    buf_add(out, bytes_range(head, sizeof head));
    buf_add(out, source);
    buf_add(out, e->value);
}

bool shelf_decode(struct bytes key, struct bytes value, struct shelf_entry *out) {
    if (value.len < HEAD || value.at[0] != VERSION || !shelf_key_is_valid(key)) return false;
    size_t source = get_be16(value.at + 17);
    if (value.len - HEAD <= source) return false;
    *out = (struct shelf_entry){.key = key,
                                .source = bytes_range(value.at + HEAD, source),
                                .value = bytes_skip(value, HEAD + source),
                                .put_ms = (int64_t)get_be64(value.at + 1),
                                .until_ms = (int64_t)get_be64(value.at + 9)};
    return true;
}

static bool is_over(const struct shelf_entry *e, int64_t now_ms) { return e->until_ms && e->until_ms <= now_ms; }

// ---- writing

static void keep_key(struct key *to, struct bytes key) {
    to->len = key.len <= sizeof to->at ? key.len : sizeof to->at;
    memcpy(to->at, key.at, to->len);
}

// Looks at the next few entries behind those it looked at last. A delete moves what a walk stands on: one at a time.
static bool sweep(struct txn *t, int most, int64_t now_ms, size_t *gone, struct err *err) {
    *gone = 0;
    while (most > 0) {
        struct db_walk walk = {.txn = t->db, .table = TABLE_SHELF};
        struct key over = {.len = 0};
        bool at = db_seek(&walk, t->shelf_swept.len ? key_bytes(&t->shelf_swept) : BYTES("\1")); // our own names stand before
        for (; at && most > 0 && !over.len; most--) {
            struct shelf_entry e;
            if (shelf_decode(walk.key, walk.value, &e) && is_over(&e, now_ms)) keep_key(&over, walk.key);
            at = db_next(&walk);
        }
        t->shelf_swept.len = 0; // from the beginning
        if (at) keep_key(&t->shelf_swept, walk.key);
        db_walk_end(&walk);
        if (over.len && !db_delete(t->db, TABLE_SHELF, key_bytes(&over), err)) return false;
        *gone += over.len > 0;
        if (!at) return true;
    }
    return true;
}

bool txn_sweep_shelf(struct txn *t, int64_t now_ms, size_t *gone, bool *whole, struct err *err) {
    bool good = sweep(t, SWEPT_MOST, now_ms, gone, err);
    *whole = t->shelf_swept.len == 0;
    return good;
}

static bool has_room(struct txn *t, struct bytes key, int64_t now_ms, bool *room, struct err *err) {
    struct bytes value;
    size_t gone;
    *room = db_count(t->db, TABLE_SHELF) < SHELF_ENTRIES;
    if (*room) return true;
    if (!db_get(t->db, TABLE_SHELF, key, &value, room, err)) return false;
    if (*room) return true;
    if (!sweep(t, SWEPT_MOST, now_ms, &gone, err)) return false;
    *room = gone > 0;
    return true;
}

bool txn_put_shelf(struct txn *t, const struct shelf_entry *e, int64_t now_ms, bool *put, struct err *err) {
    size_t gone;
    bug_if(t->redo);
    *put = false;
    if (!shelf_check(e, err) || !sweep(t, SWEPT_BY_A_PUT, now_ms, &gone, err) || !has_room(t, e->key, now_ms, put, err)) return false;
    if (!*put) return true;
    buf_reset(&t->value);
    shelf_encode(e, &t->value);
    return db_put(t->db, TABLE_SHELF, e->key, buf_bytes(&t->value), err);
}

bool txn_drop_shelf(struct txn *t, struct bytes key, bool *found, struct err *err) {
    struct bytes value;
    bug_if(t->redo);
    *found = false;
    if (!shelf_key_is_valid(key)) return true;
    if (!db_get(t->db, TABLE_SHELF, key, &value, found, err)) return false;
    return !*found || db_delete(t->db, TABLE_SHELF, key, err);
}

// ---- reading

bool reader_shelf(struct reader *r, struct bytes key, int64_t now_ms, struct shelf_entry *out) {
    struct bytes value;
    return shelf_key_is_valid(key) && reader_get(r, TABLE_SHELF, key, &value) && shelf_decode(key, value, out) && !is_over(out, now_ms);
}

struct walk {
    bool (*each)(void *arg, const struct shelf_entry *e);
    void *arg;
    struct bytes prefix;
    int64_t now_ms;
};

static bool visit(void *arg, struct bytes key, struct bytes value) {
    struct walk *w = arg;
    struct shelf_entry e;
    if (!bytes_starts(key, w->prefix)) return false;
    if (!shelf_decode(key, value, &e) || is_over(&e, w->now_ms)) return true;
    return w->each(w->arg, &e);
}

void reader_shelf_walk(struct reader *r, struct bytes prefix, int64_t now_ms,
                       bool (*each)(void *arg, const struct shelf_entry *e), void *arg) {
    struct walk w = {.each = each, .arg = arg, .prefix = prefix, .now_ms = now_ms};
    reader_walk_from(r, TABLE_SHELF, prefix.len ? prefix : BYTES("\1"), visit, &w);
}
