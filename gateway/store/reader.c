// SPDX-License-Identifier: MIT
// reader: snapshots of the tables for one thread. [contract: store.h]
#include "base/bug.h"
#include "store/inside.h"
#include "store/key.h"

#include <stdlib.h>

struct reader {
    struct store *store;
    struct db_txn *txn;
    bool is_open;
};

struct reader *reader_new(struct store *store, struct err *err) {
    struct db_txn *txn = db_reader_new(store->db, err);
    if (!txn) return NULL;
    struct reader *r = must_alloc(sizeof *r);
    r->store = store;
    r->txn = txn;
    atomic_fetch_add(&store->readers, 1);
    return r;
}

void reader_free(struct reader **reader) {
    struct reader *r = *reader;
    if (!r) return;
    bug_if(r->is_open);
    db_reader_free(&r->txn);
    atomic_fetch_sub(&r->store->readers, 1);
    free(r);
    *reader = NULL;
}

void reader_begin(struct reader *r) {
    bug_if(r->is_open);
    db_reader_begin(r->txn);
    r->is_open = true;
}

void reader_end(struct reader *r) {
    bug_if(!r->is_open);
    db_reader_end(r->txn);
    r->is_open = false;
}

bool reader_get(struct reader *r, enum table table, struct bytes key, struct bytes *value) {
    bool found;
    bug_if(!r->is_open);
    return db_get(r->txn, table, key, value, &found, NULL) && found;
}

struct table_size reader_size(struct reader *r, enum table table) {
    bug_if(!r->is_open);
    return (struct table_size){db_count(r->txn, table), db_bytes_of(r->txn, table)};
}

// A record that cannot be read is not there for its asker, but never silently so.
static bool damaged(struct reader *r, const struct err *why) {
    log_fault(r->store->log, "store: %s", why->text);
    return false;
}

bool reader_message(struct reader *r, uint64_t id, struct message *out) {
    struct key key = key_message(id);
    struct bytes value;
    struct err why;
    if (!reader_get(r, TABLE_MESSAGE, key_bytes(&key), &value)) return false;
    return message_decode(id, value, out, &why) || damaged(r, &why);
}

bool reader_recipient(struct reader *r, uint64_t id, uint32_t n, struct recipient *out) {
    struct key key = key_recipient(id, n);
    struct bytes value;
    struct err why;
    if (!reader_get(r, TABLE_RECIPIENT, key_bytes(&key), &value)) return false;
    return recipient_decode(id, n, value, out, &why) || damaged(r, &why);
}

typedef bool each_recipient(void *arg, const struct recipient *r);

static bool walk_recipients(struct reader *r, uint64_t from, uint64_t to, each_recipient *each, void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_RECIPIENT};
    struct key start = key_recipient(from, 0);
    bool more = true;
    bug_if(!r->is_open);
    for (bool at = db_seek(&walk, key_bytes(&start)); at && more; at = more && db_next(&walk)) {
        struct recipient recipient;
        struct err why;
        uint64_t id;
        uint32_t n;
        if (!key_to_recipient(walk.key, &id, &n)) continue;
        if (id > to) break;
        if (recipient_decode(id, n, walk.value, &recipient, &why))
            more = each(arg, &recipient);
        else
            damaged(r, &why);
    }
    db_walk_end(&walk);
    return more;
}

bool reader_recipients_of(struct reader *r, uint64_t id, each_recipient *each, void *arg) {
    return walk_recipients(r, id, id, each, arg);
}

bool reader_recipients(struct reader *r, uint64_t from_id, each_recipient *each, void *arg) {
    return walk_recipients(r, from_id, UINT64_MAX, each, arg);
}

bool reader_due(struct reader *r, const struct due *after, int64_t until_ms,
                bool (*each)(void *arg, const struct due *due), void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_DUE};
    struct key start = key_due(after->due_ms, after->id, after->n);
    bool more = true;
    bug_if(!r->is_open);
    bool at = db_seek(&walk, key_bytes(&start));
    if (at && bytes_equal(walk.key, key_bytes(&start))) at = db_next(&walk);
    for (; at && more; at = more && db_next(&walk)) {
        struct due due;
        if (!key_to_due(walk.key, &due.due_ms, &due.id, &due.n)) continue;
        if (due.due_ms > until_ms) break;
        more = each(arg, &due);
    }
    db_walk_end(&walk);
    return more;
}

bool reader_due_next(struct reader *r, int64_t after_ms, int64_t *due_ms) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_DUE};
    struct key start = key_due(after_ms < INT64_MAX ? after_ms + 1 : after_ms, 0, 0);
    uint64_t id;
    uint32_t n;
    bug_if(!r->is_open);
    bool found = db_seek(&walk, key_bytes(&start)) && key_to_due(walk.key, due_ms, &id, &n);
    db_walk_end(&walk);
    return found;
}

// Of a lane too long for its key only the hash is there: the recipient's record tells whether it is the one
// meant.
static bool is_on_lane(struct reader *r, struct bytes lane, uint64_t id, uint32_t n) {
    struct recipient recipient;
    return reader_recipient(r, id, n, &recipient) && bytes_equal(recipient.lane, lane);
}

typedef bool each_parked(void *arg, uint64_t id, uint32_t n);

// Keys of a place from `start` on, as long as they begin with `prefix`.
static bool walk_places(struct reader *r, struct bytes lane, const struct key *start, const struct key *prefix, each_parked *each,
                        void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_PLACE};
    bool more = true, at = db_seek(&walk, key_bytes(start));
    bug_if(!r->is_open);
    for (; at && more; at = more && db_next(&walk)) {
        struct key_of_place place;
        if (!bytes_starts(walk.key, key_bytes(prefix))) break;
        if (!key_to_place(walk.key, &place)) continue;
        if (place.whole || is_on_lane(r, lane, place.id, place.n)) more = each(arg, place.id, place.n);
    }
    db_walk_end(&walk);
    return more;
}

bool reader_parked(struct reader *r, struct bytes lane, each_parked *each, void *arg) {
    struct key start = key_lane(lane);
    return walk_places(r, lane, &start, &start, each, arg);
}

struct by_age {
    const struct due *after;
    each_parked *each;
    void *arg;
};

static bool only_after(void *arg, uint64_t id, uint32_t n) {
    struct by_age *b = arg;
    if (id == b->after->id && n == b->after->n) return true;
    return b->each(b->arg, id, n);
}

// Those in the order of age stand in front of those in turns.
static bool walk_by_age(struct reader *r, struct bytes lane, struct by_age *b) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_PLACE};
    struct key prefix = key_lane(lane), start = key_place(lane, b->after->id, b->after->n);
    bool more = true;
    for (bool at = db_seek(&walk, key_bytes(&start)); at && more; at = more && db_next(&walk)) {
        struct key_of_place place;
        if (!bytes_starts(walk.key, key_bytes(&prefix)) || !key_to_place(walk.key, &place) || place.priority) break;
        if (place.whole || is_on_lane(r, lane, place.id, place.n)) more = only_after(b, place.id, place.n);
    }
    db_walk_end(&walk);
    return more;
}

bool reader_parked_of(struct reader *r, struct bytes lane, enum priority priority, uint64_t turn, const struct due *after,
                      each_parked *each, void *arg) {
    struct by_age b = {after, each, arg};
    bug_if(!r->is_open);
    if (priority == PRIORITY_NONE) return walk_by_age(r, lane, &b);
    struct key prefix = key_turn(lane, priority, turn), start = key_turn_place(lane, priority, turn, after->id, after->n);
    return walk_places(r, lane, &start, &prefix, only_after, &b);
}

// The first key behind all that begin as this one does up to `keep`.
static struct key beyond(struct bytes key, size_t keep) {
    struct key k = {.len = keep + KEY_TURN + KEY_RECIPIENT};
    memcpy(k.at, key.at, keep);
    memset(k.at + keep, 0xff, k.len - keep);
    return k;
}

bool reader_parked_turns(struct reader *r, struct bytes lane, const struct parked_turn *after,
                         bool (*each)(void *arg, const struct parked_turn *turn), void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_PLACE};
    struct key prefix = key_lane(lane), start = prefix;
    bool more = true;
    bug_if(!r->is_open);
    if (after->priority) start = key_turn_place(lane, after->priority, after->hash, UINT64_MAX, UINT32_MAX);
    for (bool at = db_seek(&walk, key_bytes(&start)); at && more;) {
        struct key_of_place place;
        struct recipient first;
        if (!bytes_starts(walk.key, key_bytes(&prefix))) break;
        if (!key_to_place(walk.key, &place) || (!place.whole && !is_on_lane(r, lane, place.id, place.n))) {
            at = db_next(&walk);
            continue;
        }
        struct parked_turn turn = {.priority = (enum priority)place.priority, .hash = place.turn, .name = BYTES("")};
        struct key next = turn.priority ? key_turn_place(lane, turn.priority, turn.hash, UINT64_MAX, UINT32_MAX)
                                        : key_turn(lane, PRIORITY_URGENT, 0);
        if (turn.priority && reader_recipient(r, place.id, place.n, &first)) turn.name = first.turn;
        more = each(arg, &turn);
        at = more && db_seek(&walk, key_bytes(&next));
    }
    db_walk_end(&walk);
    return more;
}

bool reader_parked_lanes(struct reader *r, struct bytes after, bool (*each)(void *arg, struct bytes lane), void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_PLACE};
    struct key start = {.len = 0};
    bool more = true;
    bug_if(!r->is_open);
    if (after.len) start = key_lane(after), start = beyond(key_bytes(&start), start.len);
    for (bool at = db_seek(&walk, key_bytes(&start)); at && more;) {
        struct recipient recipient;
        struct key_of_place place;
        if (!key_to_place(walk.key, &place)) {
            at = db_next(&walk);
            continue;
        }
        struct key next = beyond(walk.key, place.lane_end);
        struct bytes lane = place.lane;
        if (!place.whole && reader_recipient(r, place.id, place.n, &recipient)) lane = recipient.lane;
        more = each(arg, lane);
        at = more && db_seek(&walk, key_bytes(&next));
    }
    db_walk_end(&walk);
    return more;
}

bool reader_journal_of(struct reader *r, uint64_t id,
                       bool (*each)(void *arg, int64_t at_ms, struct bytes entry), void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_JOURNAL};
    struct key start = key_journal(id, 0, 0);
    bool more = true;
    bug_if(!r->is_open);
    for (bool at = db_seek(&walk, key_bytes(&start)); at && more; at = more && db_next(&walk)) {
        uint64_t of;
        int64_t at_ms;
        if (!key_to_journal(walk.key, &of, &at_ms)) continue;
        if (of != id) break;
        more = each(arg, at_ms, walk.value);
    }
    db_walk_end(&walk);
    return more;
}

typedef bool each_entry(void *arg, struct bytes key, struct bytes value);

static bool walk_entries(struct reader *r, enum table table, struct bytes from, struct bytes prefix, each_entry *each, void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = table};
    bool more = true;
    bug_if(!r->is_open);
    for (bool at = db_seek(&walk, from); at && more; at = more && db_next(&walk)) {
        if (!bytes_starts(walk.key, prefix)) break;
        more = each(arg, walk.key, walk.value);
    }
    db_walk_end(&walk);
    return more;
}

bool reader_journal(struct reader *r, uint64_t from_id,
                    bool (*each)(void *arg, uint64_t id, int64_t at_ms, struct bytes entry), void *arg) {
    struct db_walk walk = {.txn = r->txn, .table = TABLE_JOURNAL};
    struct key start = key_journal(from_id, 0, 0);
    bool more = true;
    bug_if(!r->is_open);
    for (bool at = db_seek(&walk, key_bytes(&start)); at && more; at = more && db_next(&walk)) {
        uint64_t id;
        int64_t at_ms;
        if (key_to_journal(walk.key, &id, &at_ms)) more = each(arg, id, at_ms, walk.value);
    }
    db_walk_end(&walk);
    return more;
}

bool reader_walk(struct reader *r, enum table table, struct bytes prefix, each_entry *each, void *arg) {
    return walk_entries(r, table, prefix, prefix, each, arg);
}

bool reader_walk_from(struct reader *r, enum table table, struct bytes from, each_entry *each, void *arg) {
    return walk_entries(r, table, from, BYTES(""), each, arg);
}
