// SPDX-License-Identifier: MIT
#include "relay/shelf_control.h"

#include "relay/deed.h"
#include "store/shelf.h"

#include <stdlib.h>
#include <sysexits.h>

enum { LIST_DEFAULT = 100 };

static void show(struct asker *a, const struct shelf_entry *e) {
    struct buf row = {0};
    struct jsonl j = jsonl_begin(&row);
    jsonl_text(&j, "key", e->key);
    jsonl_raw(&j, "value", e->value);
    jsonl_text(&j, "by", e->source);
    jsonl_time(&j, "put_at", e->put_ms);
    if (e->until_ms) jsonl_time(&j, "expires_at", e->until_ms);
    jsonl_end(&j);
    asker_row(a, buf_bytes(&row));
    buf_release(&row);
}

static struct reader *begin(struct asker *a) {
    struct err err;
    struct reader *r = reader_new(asker_gateway(a)->store, &err);
    if (!r) asker_error(a, EX_UNAVAILABLE, "shelf: %s", err.text);
    else reader_begin(r);
    return r;
}

static void finish_reading(struct reader **r) {
    reader_end(*r);
    reader_free(r);
}

// ---- list, get

struct listing {
    struct asker *asker;
    uint64_t count, most;
};

static bool list_one(void *arg, const struct shelf_entry *e) {
    struct listing *l = arg;
    if (l->count++ < l->most) show(l->asker, e);
    return true;
}

static void list(struct asker *a, const struct json *request) {
    struct bytes prefix = BYTES("");
    int64_t most = LIST_DEFAULT;
    json_text(json_get(request, "prefix"), &prefix);
    json_int(json_get(request, "limit"), &most);
    struct listing l = {.asker = a, .most = most > 0 ? (uint64_t)most : UINT64_MAX};
    struct reader *r = begin(a);
    if (!r) return;
    reader_shelf_walk(r, prefix, clock_ms(&asker_gateway(a)->clock), list_one, &l);
    finish_reading(&r);
    struct jsonl *j = asker_done_begin(a);
    jsonl_int(j, "count", (int64_t)l.count);
    jsonl_bool(j, "more", l.count > l.most);
    asker_done_end(a);
}

static void get(struct asker *a, struct bytes key) {
    struct shelf_entry e;
    struct reader *r = begin(a);
    if (!r) return;
    bool found = reader_shelf(r, key, clock_ms(&asker_gateway(a)->clock), &e);
    if (found) show(a, &e);
    finish_reading(&r);
    struct jsonl *j = asker_done_begin(a);
    jsonl_bool(j, "found", found);
    asker_done_end(a);
}

// ---- set, delete

struct change {
    struct deed deed; // first
    struct asker *asker;
    struct arena arena;
    struct shelf_entry entry; // value "": take it off
    bool found;
};

static void end(struct change *c) {
    arena_release(&c->arena);
    free(c);
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct change *c = (struct change *)op;
    if (!c->entry.value.len) return txn_drop_shelf(txn, c->entry.key, &c->found, err);
    return txn_put_shelf(txn, &c->entry, c->entry.put_ms, &c->found, err);
}

static void done(struct deed *e) {
    struct change *c = (struct change *)e;
    bool full = e->stored && c->entry.value.len && !c->found;
    if (!e->stored || full) {
        asker_error(c->asker, full ? EX_TEMPFAIL : EX_IOERR, "shelf: %s", full ? "it is full: delete something first" : e->why.text);
        return end(c);
    }
    struct jsonl *j = asker_done_begin(c->asker);
    jsonl_bool(j, "found", c->found);
    asker_done_end(c->asker);
    end(c);
}

static bool read_value(const struct json *request, int64_t now_ms, struct change *c, struct err *err) {
    struct buf text = {0};
    const struct json *value = json_get(request, "value");
    if (!asker_until(request, now_ms, &c->entry.until_ms, err)) return err_within(err, "shelf");
    if (json_kind(value) == JSON_NOTHING) return err_set(err, "shelf: a value is missing, JSON and not null");
    json_write(value, &text);
    c->entry.value = arena_copy(&c->arena, buf_bytes(&text));
    c->entry.source = BYTES("operator");
    c->entry.put_ms = now_ms;
    buf_release(&text);
    return shelf_check(&c->entry, err);
}

static void change(struct asker *a, const struct json *request, struct bytes key, bool set) {
    struct err err;
    struct change *c = must_alloc(sizeof *c);
    struct gateway *g = asker_gateway(a);
    c->asker = a;
    c->entry = (struct shelf_entry){.key = arena_copy(&c->arena, key), .value = BYTES(""), .source = BYTES("")};
    if (set && !read_value(request, clock_ms(&g->clock), c, &err)) {
        end(c);
        return asker_error(a, EX_USAGE, "%s", err.text);
    }
    deed_run(&c->deed, g, apply, done);
}

void shelf_control(struct asker *a, const struct json *request) {
    struct bytes action = BYTES(""), key = BYTES("");
    json_text(json_get(request, "action"), &action);
    json_text(json_get(request, "key"), &key);
    if (bytes_equal(action, BYTES("list"))) return list(a, request);
    bool known = bytes_equal(action, BYTES("get")) || bytes_equal(action, BYTES("set")) || bytes_equal(action, BYTES("delete"));
    if (!known) return asker_error(a, EX_USAGE, "shelf: action is list, get, set or delete");
    if (!shelf_key_is_valid(key))
        return asker_error(a, EX_USAGE, "shelf: a key is 1 to %d bytes of UTF-8 without control characters", SHELF_KEY);
    if (bytes_equal(action, BYTES("get"))) get(a, key);
    else change(a, request, key, bytes_equal(action, BYTES("set")));
}
