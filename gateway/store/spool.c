// SPDX-License-Identifier: MIT
// spool: messages and recipients within the writer's transaction, and their indexes kept in step. [contract:
// store.h]
#include "base/bug.h"
#include "store/key.h"
#include "store/txn.h"

// The mark is written ahead, so that it costs a write a second, not one a message: 1 s of ids.
static const uint64_t id_stride = UINT64_C(1000) << 23;

static void raise_id_mark(struct txn *t, uint64_t id) {
    if (id <= t->id_mark) return;
    t->id_mark = id > UINT64_MAX - id_stride ? UINT64_MAX : id + id_stride;
}

bool txn_put_message(struct txn *t, const struct message *m, struct err *err) {
    struct key key = key_message(m->id);
    bool appended; // only above all others: then it is new
    buf_reset(&t->value);
    message_encode(m, &t->value);
    if (!db_append(t->db, TABLE_MESSAGE, key_bytes(&key), buf_bytes(&t->value), &appended, err)) return false;
    if (!appended) {
        struct message was;
        bool found;
        if (!txn_get_message(t, m->id, &was, &found, err)) return false;
        if (found) segments_drop(t->segments, &was.body);
        if (!db_put(t->db, TABLE_MESSAGE, key_bytes(&key), buf_bytes(&t->value), err)) return false;
    }
    segments_claim(t->segments, &m->body);
    raise_id_mark(t, m->id);
    if (t->redo) redo_add(t->redo, REDO_MESSAGE, m->id, 0, buf_bytes(&t->value));
    return true;
}

// Where a recipient stands in the indexes. Keys own their bytes: the record they came from may be
// overwritten.
struct standing {
    struct key due, place;
    bool parked, held;
};

static struct standing standing_of(const struct recipient *r) {
    struct standing s = {.due = key_due(r->due_ms, r->id, r->n), .held = r->state == RECIPIENT_HELD};
    s.parked = r->state == RECIPIENT_PARKED;
    if (s.parked) s.place = key_turn_place(r->lane, r->priority, bytes_hash(r->turn), r->id, r->n);
    return s;
}

static bool same(const struct key *a, const struct key *b) {
    return bytes_equal(key_bytes(a), key_bytes(b));
}

static bool leave(struct txn *t, const struct standing *was, const struct standing *now, struct err *err) {
    if (was->held) t->held--;
    if (!(now && same(&was->due, &now->due)) && !db_delete(t->db, TABLE_DUE, key_bytes(&was->due), err))
        return false;
    if (!was->parked || (now && now->parked && same(&was->place, &now->place))) return true;
    return db_delete(t->db, TABLE_PLACE, key_bytes(&was->place), err);
}

static bool enter(struct txn *t, const struct standing *now, const struct standing *was, struct err *err) {
    const struct bytes nothing = BYTES("");
    if (now->held) t->held++;
    if (!(was && same(&was->due, &now->due)) && !db_put(t->db, TABLE_DUE, key_bytes(&now->due), nothing, err))
        return false;
    if (!now->parked || (was && was->parked && same(&was->place, &now->place))) return true;
    return db_put(t->db, TABLE_PLACE, key_bytes(&now->place), nothing, err);
}

bool txn_put_recipient(struct txn *t, const struct recipient *r, struct err *err) {
    struct key key = key_recipient(r->id, r->n);
    struct standing now = standing_of(r), was;
    bool found = false, appended;
    buf_reset(&t->value);
    recipient_encode(r, &t->value);
    if (!db_append(t->db, TABLE_RECIPIENT, key_bytes(&key), buf_bytes(&t->value), &appended, err))
        return false;
    if (!appended) {
        struct recipient old;
        if (!txn_get_recipient(t, r->id, r->n, &old, &found, err)) return false;
        if (found) {
            was = standing_of(&old);
            if (!leave(t, &was, &now, err)) return false;
        }
        if (!db_put(t->db, TABLE_RECIPIENT, key_bytes(&key), buf_bytes(&t->value), err)) return false;
    }
    if (t->redo) redo_add(t->redo, REDO_RECIPIENT, r->id, r->n, buf_bytes(&t->value));
    return enter(t, &now, found ? &was : NULL, err);
}

static bool drop_message(struct txn *t, uint64_t id, struct err *err) {
    struct key key = key_message(id);
    struct message m;
    bool found;
    if (!txn_get_message(t, id, &m, &found, err)) return false;
    if (!found) return true;
    segments_drop(t->segments, &m.body);
    return db_delete(t->db, TABLE_MESSAGE, key_bytes(&key), err);
}

static bool has_recipients(struct txn *t, uint64_t id) {
    struct db_walk walk = {.txn = t->db, .table = TABLE_RECIPIENT};
    struct key from = key_recipient(id, 0);
    uint64_t next_id;
    uint32_t n;
    bool has = db_seek(&walk, key_bytes(&from)) && key_to_recipient(walk.key, &next_id, &n) && next_id == id;
    db_walk_end(&walk);
    return has;
}

bool txn_drop_recipient(struct txn *t, uint64_t id, uint32_t n, bool *last, struct err *err) {
    struct key key = key_recipient(id, n);
    struct recipient old;
    bool found;
    bug_if(t->redo);
    *last = false;
    if (!txn_get_recipient(t, id, n, &old, &found, err)) return false;
    if (!found) return true; // dropped before, by an operator say
    struct standing was = standing_of(&old);
    if (!leave(t, &was, NULL, err)) return false;
    if (!db_delete(t->db, TABLE_RECIPIENT, key_bytes(&key), err)) return false;
    if (has_recipients(t, id)) return true;
    if (db_trouble(t->env) != DB_NO_TROUBLE) return err_set(err, "database: reading recipients");
    *last = true;
    return drop_message(t, id, err);
}

bool txn_get_message(struct txn *t, uint64_t id, struct message *out, bool *found, struct err *err) {
    struct key key = key_message(id);
    struct bytes value;
    if (!db_get(t->db, TABLE_MESSAGE, key_bytes(&key), &value, found, err)) return false;
    return !*found || message_decode(id, value, out, err);
}

bool txn_get_recipient(struct txn *t, uint64_t id, uint32_t n, struct recipient *out, bool *found,
                       struct err *err) {
    struct key key = key_recipient(id, n);
    struct bytes value;
    if (!db_get(t->db, TABLE_RECIPIENT, key_bytes(&key), &value, found, err)) return false;
    return !*found || recipient_decode(id, n, value, out, err);
}
