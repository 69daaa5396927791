// SPDX-License-Identifier: MIT
// check: whether everything the store keeps agrees with everything else it keeps. [contract: store.h]
//
// One snapshot of the tables, walked whole, so that a running writer does not matter; only a body may have
// been settled and its segment unlinked since, which is looked at again before it counts as a fault.
#include "base/map.h"
#include "store/inside.h"
#include "store/key.h"
#include "store/shelf.h"
#include "store/suppression.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FAULTS_TOLD = 1000, READ_BYTES = 256 << 10 };

struct check {
    struct store *store;
    struct db_txn *txn;
    void (*fault)(void *arg, const char *text);
    void *arg;
    uint64_t faults, checked, held;
    struct map live; // segment key -> live bytes by the messages, as the pointer's value
    char *buffer;
};

__attribute__((format(printf, 2, 3))) static void found(struct check *c, const char *format, ...) {
    struct err text;
    va_list args;
    va_start(args, format);
    err_setv(&text, format, args);
    va_end(args);
    if (c->faults++ < FAULTS_TOLD) c->fault(c->arg, text.text);
}

static unsigned long long shown(uint64_t id) {
    return (unsigned long long)id;
}

static bool has(struct check *c, enum table table, struct key key, struct bytes *value) {
    bool there;
    return db_get(c->txn, table, key_bytes(&key), value, &there, NULL) && there;
}

static bool read_whole(struct check *c, struct body *body, struct err *err) {
    size_t got = 1;
    for (uint64_t at = 0; got; at += got)
        if (!body_read(body, at, c->buffer, READ_BYTES, &got, err)) return false;
    return true;
}

static bool still_there(struct check *c, uint64_t id) {
    struct reader *now = reader_new(c->store, NULL);
    struct message m;
    if (!now) return true;
    reader_begin(now);
    bool there = reader_message(now, id, &m);
    reader_end(now);
    reader_free(&now);
    return there;
}

static void check_body(struct check *c, const struct message *m) {
    struct err why;
    struct body *body = body_open(c->store, m->id, &m->body, &why);
    bool good = body && read_whole(c, body, &why);
    body_close(&body);
    if (!good && still_there(c, m->id)) found(c, "message %016llx: %s", shown(m->id), why.text);
    if (!m->body.segment) return;
    struct key key = key_segment(m->body.segment);
    uintptr_t live = (uintptr_t)map_get(&c->live, key_bytes(&key));
    map_put(&c->live, key_bytes(&key), (void *)(live + SEGMENT_HEAD + m->body.length));
}

static void check_message(struct check *c, struct bytes key, struct bytes value) {
    struct message m;
    struct err why;
    uint64_t id;
    uint32_t n;
    if (key.len != 8) {
        found(c, "message table: a key of %zu bytes", key.len);
        return;
    }
    if (!message_decode(get_be64(key.at), value, &m, &why)) {
        found(c, "%s", why.text);
        return;
    }
    struct db_walk walk = {.txn = c->txn, .table = TABLE_RECIPIENT};
    struct key first = key_recipient(m.id, 0);
    if (!db_seek(&walk, key_bytes(&first)) || !key_to_recipient(walk.key, &id, &n) || id != m.id)
        found(c, "message %016llx: no recipient is left, and it is still here", shown(m.id));
    db_walk_end(&walk);
    check_body(c, &m);
}

static struct key place_of(const struct recipient *r) {
    return key_turn_place(r->lane, r->priority, bytes_hash(r->turn), r->id, r->n);
}

static void check_recipient(struct check *c, struct bytes key, struct bytes value) {
    struct recipient r;
    struct err why;
    struct bytes there;
    uint64_t id;
    uint32_t n;
    if (!key_to_recipient(key, &id, &n)) {
        found(c, "recipient table: a key of %zu bytes", key.len);
        return;
    }
    if (!recipient_decode(id, n, value, &r, &why)) {
        found(c, "%s", why.text);
        return;
    }
    if (!has(c, TABLE_MESSAGE, key_message(id), &there))
        found(c, "recipient %016llx/%u: its message is gone", shown(id), n);
    if (!has(c, TABLE_DUE, key_due(r.due_ms, id, n), &there))
        found(c, "recipient %016llx/%u: not in the due index", shown(id), n);
    if (r.state == RECIPIENT_PARKED && !has(c, TABLE_PLACE, place_of(&r), &there))
        found(c, "recipient %016llx/%u: parked, but not found on its lane", shown(id), n);
    if (r.state == RECIPIENT_HELD) c->held++;
}

static bool recipient_there(struct check *c, uint64_t id, uint32_t n, struct recipient *out) {
    struct bytes value;
    return has(c, TABLE_RECIPIENT, key_recipient(id, n), &value) && recipient_decode(id, n, value, out, NULL);
}

static void check_due(struct check *c, struct bytes key, struct bytes value) {
    (void)value;
    struct recipient r;
    int64_t due_ms;
    uint64_t id;
    uint32_t n;
    if (!key_to_due(key, &due_ms, &id, &n)) {
        found(c, "due index: a key of %zu bytes", key.len);
        return;
    }
    struct key own = {0};
    if (recipient_there(c, id, n, &r)) own = key_due(r.due_ms, id, n);
    if (!bytes_equal(key, key_bytes(&own)))
        found(c, "due index: an entry at %lld for %016llx/%u, which is not due then", (long long)due_ms,
              shown(id), n);
}

static void check_place(struct check *c, struct bytes key, struct bytes value) {
    (void)value;
    struct recipient r;
    struct key_of_place at;
    if (!key_to_place(key, &at)) {
        found(c, "place index: a damaged key of %zu bytes", key.len);
        return;
    }
    struct key own = {0};
    if (recipient_there(c, at.id, at.n, &r) && r.state == RECIPIENT_PARKED) own = place_of(&r);
    if (!bytes_equal(key, key_bytes(&own)))
        found(c, "place index: lane '%.*s' has %016llx/%u, which is not parked there", BYTES_FMT(at.lane),
              shown(at.id), at.n);
}

// Whether the row is still there now: a segment may have been spent since the snapshot.
static bool still_listed(struct check *c, struct bytes key) {
    struct reader *now = reader_new(c->store, NULL);
    struct bytes row;
    if (!now) return true;
    reader_begin(now);
    bool listed = reader_get(now, TABLE_SEGMENT, key, &row);
    reader_end(now);
    reader_free(&now);
    return listed;
}

static void check_segment(struct check *c, struct bytes key, struct bytes value) {
    uint32_t number;
    struct segment_row row;
    if (!segment_row_decode(key, value, &number, &row)) {
        found(c, "segment table: a damaged row");
        return;
    }
    uint64_t live = (uintptr_t)map_remove(&c->live, key);
    if (live != row.live)
        found(c, "segment %u: %llu bytes alive by its row, %llu by its messages", number, shown(row.live),
              shown(live));
    char name[FILE_NAME];
    struct stat stat;
    file_name(number, name);
    bool there = fstatat(c->store->segment_dir, name, &stat, 0) == 0;
    if (live && (!there || (uint64_t)stat.st_size < row.end) && still_listed(c, key))
        found(c, "segments/%s: %s", name, there ? "shorter than its row says" : "is missing");
}

static void check_journal(struct check *c, struct bytes key, struct bytes value) {
    (void)value;
    uint64_t id;
    int64_t at_ms;
    if (!key_to_journal(key, &id, &at_ms)) found(c, "journal: a key of %zu bytes", key.len);
}

static void walk(struct check *c, enum table table,
                 void (*each)(struct check *c, struct bytes key, struct bytes value)) {
    struct db_walk w = {.txn = c->txn, .table = table};
    for (bool at = db_seek(&w, BYTES("")); at; at = db_next(&w)) {
        c->checked++;
        each(c, w.key, w.value);
    }
    db_walk_end(&w);
}

static void check_counters(struct check *c) {
    struct bytes key, value;
    void *live;
    size_t at = 0;
    while (map_next(&c->live, &at, &key, &live))
        found(c, "segment %u: has no row, and messages have bodies there", get_be32(key.at));
    bool there;
    uint64_t held = 0;
    if (db_get(c->txn, TABLE_META, bytes_of(meta_held), &value, &there, NULL) && there && value.len == 8)
        held = get_be64(value.at);
    if (held != c->held)
        found(c, "held recipients: %llu by the counter, %llu found", shown(held), shown(c->held));
}

static void check_suppression(struct check *c, struct bytes key, struct bytes value) {
    struct suppression s;
    struct err why;
    if (!suppression_decode(key, value, &s, &why)) found(c, "%s", why.text);
}

static void check_shelf(struct check *c, struct bytes key, struct bytes value) {
    struct shelf_entry e;
    if (key.len && key.at[0] == 0) return; // a name of our own: the rooms above know what it holds
    if (!shelf_decode(key, value, &e)) found(c, "shelf: the record of '%.*s' does not hold what it should", BYTES_FMT(key));
}

bool store_check(struct store *store, void (*fault)(void *arg, const char *text), void *arg,
                 uint64_t *checked) {
    struct check c = {.store = store, .fault = fault, .arg = arg};
    struct err why;
    c.txn = db_reader_new(store->db, &why);
    if (!c.txn) {
        found(&c, "%s", why.text);
        return false;
    }
    c.buffer = must_alloc(READ_BYTES);
    db_reader_begin(c.txn);
    walk(&c, TABLE_MESSAGE, check_message);
    walk(&c, TABLE_RECIPIENT, check_recipient);
    walk(&c, TABLE_DUE, check_due);
    walk(&c, TABLE_PLACE, check_place);
    walk(&c, TABLE_SEGMENT, check_segment);
    walk(&c, TABLE_JOURNAL, check_journal);
    walk(&c, TABLE_SUPPRESSION, check_suppression);
    walk(&c, TABLE_SHELF, check_shelf);
    check_counters(&c);
    db_reader_end(c.txn);
    db_reader_free(&c.txn);
    map_release(&c.live);
    free(c.buffer);
    if (c.faults > FAULTS_TOLD) {
        char text[64];
        snprintf(text, sizeof text, "and %llu more", shown(c.faults - FAULTS_TOLD));
        fault(arg, text);
    }
    if (checked) *checked = c.checked;
    return c.faults == 0;
}
