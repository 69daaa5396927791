// SPDX-License-Identifier: MIT
#include "relay/rotation.h"

#include "base/jsonl.h"
#include "mail/digest.h"
#include "script/json.h"

#include <stddef.h>
#include <stdlib.h>

struct rotation {
    struct store_op op; // first
    const struct log *log;
    struct buf key, value;
};

static void add_digest(struct buf *out, struct bytes what) {
    uint8_t sum[DIGEST_SIZE];
    digest_sha256(what, sum);
    for (int i = 0; i < DIGEST_SIZE; i++)
        buf_format(out, "%02x", sum[i]);
}

static void add_key(struct buf *out, struct bytes account) {
    buf_add(out, BYTES("\0token\0"));
    add_digest(out, account);
}

static void take_value(struct bytes value, struct bytes configured, struct buf *out) {
    struct json *kept = json_parse(value, NULL);
    struct bytes from, token;
    struct buf sum = {0};
    add_digest(&sum, configured);
    bool good = json_text(json_get(kept, "from"), &from) && bytes_equal(from, buf_bytes(&sum)) &&
                json_text(json_get(kept, "refresh_token"), &token);
    if (good) buf_add(out, token);
    buf_release(&sum);
    json_free(&kept);
}

void rotation_find(struct reader *reader, struct bytes account, struct bytes configured, struct buf *out) {
    struct buf key = {0};
    struct bytes value;
    size_t before = out->len;
    add_key(&key, account);
    reader_begin(reader);
    if (reader_get(reader, TABLE_SHELF, buf_bytes(&key), &value)) take_value(value, configured, out);
    reader_end(reader);
    if (out->len == before) buf_add(out, configured);
    buf_release(&key);
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct rotation *k = (struct rotation *)op;
    return txn_put(txn, TABLE_SHELF, buf_bytes(&k->key), buf_bytes(&k->value), err);
}

// On the writer's thread: nobody waits for it.
static void finish(struct store_op *op, bool done, const struct err *why) {
    struct rotation *k = (struct rotation *)op;
    if (!done)
        log_fault(k->log, "a new refresh token could not be kept, and will be lost with the next restart: %s",
                  why->text);
    explicit_bzero(k->value.at, k->value.cap);
    buf_release(&k->value);
    buf_release(&k->key);
    free(k);
}

void rotation_keep(struct gateway *g, struct bytes account, struct bytes configured, struct bytes token) {
    struct rotation *k = must_alloc(sizeof *k);
    struct buf sum = {0};
    k->op = (struct store_op){.apply = apply, .finish = finish, .file = -1};
    k->log = &g->log;
    add_key(&k->key, account);
    add_digest(&sum, configured);
    buf_reserve(&k->value, token.len + 300); // in one piece, so that no copy is left behind
    struct jsonl j = jsonl_begin(&k->value);
    jsonl_text(&j, "from", buf_bytes(&sum));
    jsonl_text(&j, "refresh_token", token);
    jsonl_time(&j, "at", clock_ms(&g->clock));
    jsonl_end(&j);
    buf_release(&sum);
    store_submit(g->store, &k->op);
}
