// SPDX-License-Identifier: MIT
#include "store/suppression.h"

#include "base/bug.h"
#include "store/key.h"
#include "store/txn.h"

// RECORD: version, flags, added, until, reason, source, and the address where the key has only a part of it.
enum { VERSION = 1, FIXED = 1 + 1 + 8 + 8, HAS_ADDRESS = 1, SWEPT_BY_A_PUT = 2, SWEPT_MOST = 64 };

// ---- what an entry must be ----------------------------------------------------------------------

static bool is_printable(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' || text.at[i] == 127) return false;
    return true;
}

bool suppression_scope_is_valid(struct bytes scope) {
    static const struct bytes kinds[] = {{"stream:", 7}, {"identity:", 9}};
    if (bytes_equal(scope, BYTES("all"))) return true;
    if (scope.len > SUPPRESSION_SCOPE || !is_printable(scope)) return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_starts(scope, kinds[i])) return scope.len > kinds[i].len;
    return false;
}

bool suppression_check(const struct suppression *s, struct err *err) {
    if (bytes_find(s->address, '@') < 0 || s->address.len < 2)
        return err_set(err, "an address, or @domain, is expected");
    if (s->address.len > SUPPRESSION_ADDRESS) return err_set(err, "the address is too long");
    if (!suppression_scope_is_valid(s->scope))
        return err_set(err, "the scope is all, stream:NAME or identity:NAME, not '%.*s'",
                       BYTES_FMT(bytes_first(s->scope, 60)));
    if (s->reason.len > SUPPRESSION_WORDS || s->source.len > SUPPRESSION_WORDS)
        return err_set(err, "a reason has at most %d bytes", SUPPRESSION_WORDS);
    if (!is_printable(s->reason) || !is_printable(s->source))
        return err_set(err, "a control character in the reason");
    return true;
}

// ---- records ------------------------------------------------------------------------------------

static void add_text(struct buf *out, struct bytes text) {
    buf_reserve(out, 2 + text.len);
    put_be16(out->at + out->len, (uint16_t)text.len);
    out->len += 2;
    buf_add(out, text);
}

static bool cut_text(struct bytes *rest, struct bytes *text) {
    if (rest->len < 2) return false;
    size_t len = get_be16(rest->at);
    *rest = bytes_skip(*rest, 2);
    if (rest->len < len) return false;
    *text = bytes_first(*rest, len);
    *rest = bytes_skip(*rest, len);
    return true;
}

void suppression_encode(const struct suppression *s, struct buf *out) {
    bool is_long = s->address.len > KEY_ADDRESS_TEXT;
    buf_reserve(out, FIXED);
    char *at = out->at + out->len;
    at[0] = VERSION;
    at[1] = is_long ? HAS_ADDRESS : 0;
    put_be64(at + 2, (uint64_t)s->added_ms);
    put_be64(at + 10, (uint64_t)s->until_ms);
    out->len += FIXED;
    add_text(out, s->reason);
    add_text(out, s->source);
    if (is_long) add_text(out, s->address);
}

bool suppression_decode(struct bytes key, struct bytes value, struct suppression *out, struct err *err) {
    bool whole;
    if (!key_to_suppression(key, &out->address, &whole, &out->scope))
        return err_set(err, "suppression: a key of %zu bytes is none of this table", key.len);
    if (value.len < FIXED) return err_set(err, "suppression: the record is cut short");
    if (value.at[0] != VERSION)
        return err_set(err, "suppression: encoding version %u, this program knows %d", (uint8_t)value.at[0],
                       VERSION);
    struct bytes rest = bytes_skip(value, FIXED);
    out->added_ms = (int64_t)get_be64(value.at + 2);
    out->until_ms = (int64_t)get_be64(value.at + 10);
    bool good = cut_text(&rest, &out->reason) && cut_text(&rest, &out->source);
    if (good && (value.at[1] & HAS_ADDRESS))
        good = cut_text(&rest, &out->address);
    else if (!whole)
        good = false;
    return good && !rest.len ? true : err_set(err, "suppression: the record does not hold what it should");
}

static bool is_over(const struct suppression *s, int64_t now_ms) {
    return s->until_ms && s->until_ms <= now_ms;
}

// ---- writing ------------------------------------------------------------------------------------

static void keep_key(struct key *to, struct bytes key) {
    to->len = key.len <= sizeof to->at ? key.len : sizeof to->at;
    memcpy(to->at, key.at, to->len);
}

// Looks at the next few entries behind those it looked at last, and takes out those whose time is over.
static bool sweep(struct txn *t, int most, int64_t now_ms, size_t *gone, struct err *err) {
    struct db_walk walk = {.txn = t->db, .table = TABLE_SUPPRESSION};
    struct key over[SWEPT_MOST];
    bool at = db_seek(&walk, key_bytes(&t->swept));
    *gone = 0;
    for (int i = 0; at && i < most; i++, at = db_next(&walk)) {
        struct suppression s;
        if (suppression_decode(walk.key, walk.value, &s, NULL) && is_over(&s, now_ms))
            keep_key(&over[(*gone)++], walk.key);
    }
    if (at)
        keep_key(&t->swept, walk.key);
    else
        t->swept.len = 0; // from the beginning
    db_walk_end(&walk);
    for (size_t i = 0; i < *gone; i++)
        if (!db_delete(t->db, TABLE_SUPPRESSION, key_bytes(&over[i]), err)) return false;
    return true;
}

bool txn_sweep_suppressions(struct txn *t, int64_t now_ms, size_t *gone, bool *whole, struct err *err) {
    bool good = sweep(t, SWEPT_MOST, now_ms, gone, err);
    *whole = t->swept.len == 0;
    return good;
}

static bool lasts(struct txn *t, struct bytes key, const struct suppression *s, int64_t now_ms, bool *as_long,
                  struct err *err) {
    struct bytes value;
    struct suppression there;
    bool found;
    *as_long = false;
    if (!db_get(t->db, TABLE_SUPPRESSION, key, &value, &found, err)) return false;
    if (!found || !suppression_decode(key, value, &there, NULL) || is_over(&there, now_ms)) return true;
    *as_long = !there.until_ms || (s->until_ms && there.until_ms >= s->until_ms);
    return true;
}

bool txn_put_suppression(struct txn *t, const struct suppression *s, enum suppression_put how, int64_t now_ms,
                         struct err *err) {
    size_t gone;
    bug_if(t->redo);
    if (!suppression_check(s, err) || !sweep(t, SWEPT_BY_A_PUT, now_ms, &gone, err)) return false;
    struct key key = key_suppression(s->address, s->scope);
    bool stays = false;
    if (how == SUPPRESSION_LENGTHEN && !lasts(t, key_bytes(&key), s, now_ms, &stays, err)) return false;
    if (stays) return true;
    buf_reset(&t->value);
    suppression_encode(s, &t->value);
    return db_put(t->db, TABLE_SUPPRESSION, key_bytes(&key), buf_bytes(&t->value), err);
}

static bool drop_one(struct txn *t, struct bytes key, uint64_t *count, struct err *err) {
    struct bytes value;
    bool found;
    if (!db_get(t->db, TABLE_SUPPRESSION, key, &value, &found, err)) return false;
    *count += found;
    return !found || db_delete(t->db, TABLE_SUPPRESSION, key, err);
}

bool txn_drop_suppression(struct txn *t, struct bytes address, struct bytes scope, uint64_t *count,
                          struct err *err) {
    bug_if(t->redo);
    *count = 0;
    if (scope.len && !suppression_scope_is_valid(scope)) return true;
    struct key key = scope.len ? key_suppression(address, scope) : key_suppression_of(address), next;
    if (scope.len) return drop_one(t, key_bytes(&key), count, err);
    for (;;) { // a delete moves what a walk stands on: one at a time
        struct db_walk walk = {.txn = t->db, .table = TABLE_SUPPRESSION};
        bool found = db_seek(&walk, key_bytes(&key)) && bytes_starts(walk.key, key_bytes(&key));
        if (found) keep_key(&next, walk.key);
        db_walk_end(&walk);
        if (!found) return true;
        if (!drop_one(t, key_bytes(&next), count, err)) return false;
    }
}

// ---- reading ------------------------------------------------------------------------------------

static bool look_up(struct reader *r, struct bytes address, struct bytes scope, int64_t now_ms,
                    struct suppression *out) {
    struct key key = key_suppression(address, scope);
    struct bytes value;
    if (!reader_get(r, TABLE_SUPPRESSION, key_bytes(&key), &value)) return false;
    if (!suppression_decode(key_bytes(&key), value, out,
                            NULL)) // not to write to somebody is the mistake that can be mended
        *out = (struct suppression){
            .address = address, .reason = BYTES("the entry is damaged"), .source = BYTES("store")};
    if (is_over(out, now_ms)) return false;
    if (!bytes_equal(out->address, address)) return false; // another long one with the same hash
    // The key is ours and ends with this function; what is told is the asker's own texts.
    out->address = address;
    out->scope = scope;
    return true;
}

bool reader_suppressed(struct reader *r, const struct bytes *scopes, size_t count, struct bytes address,
                       int64_t now_ms, struct suppression *out) {
    ptrdiff_t at = bytes_find_last(address, '@');
    for (size_t i = 0; i < count; i++) {
        if (!suppression_scope_is_valid(scopes[i])) continue;
        if (look_up(r, address, scopes[i], now_ms, out)) return true;
        if (at > 0 && look_up(r, bytes_skip(address, (size_t)at), scopes[i], now_ms, out)) return true;
    }
    return false;
}

struct walk {
    bool (*each)(void *arg, const struct suppression *s);
    void *arg;
    struct bytes passed, only; // "" for none
    int64_t now_ms;
    bool stopped;
};

static bool visit(void *arg, struct bytes key, struct bytes value) {
    struct walk *w = arg;
    struct suppression s;
    if (bytes_equal(key, w->passed) || !suppression_decode(key, value, &s, NULL) || is_over(&s, w->now_ms))
        return true;
    if (w->only.len && !bytes_equal(s.address, w->only)) return true;
    w->stopped = !w->each(w->arg, &s);
    return !w->stopped;
}

bool reader_suppressions(struct reader *r, const struct suppression *after, int64_t now_ms,
                         bool (*each)(void *arg, const struct suppression *s), void *arg) {
    struct key from = {.len = 0};
    if (after) from = key_suppression(after->address, after->scope);
    struct walk w = {.each = each, .arg = arg, .passed = key_bytes(&from), .now_ms = now_ms};
    reader_walk_from(r, TABLE_SUPPRESSION, key_bytes(&from), visit, &w);
    return !w.stopped;
}

bool reader_suppressions_of(struct reader *r, struct bytes address, int64_t now_ms,
                            bool (*each)(void *arg, const struct suppression *s), void *arg) {
    struct key key = key_suppression_of(address);
    struct walk w = {.each = each, .arg = arg, .only = address, .now_ms = now_ms};
    reader_walk(r, TABLE_SUPPRESSION, key_bytes(&key), visit, &w);
    return !w.stopped;
}
