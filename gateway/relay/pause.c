// SPDX-License-Identifier: MIT
#include "relay/pause.h"

#include "script/json.h"

#include <stdlib.h>

const char *const pause_kind_name[] = {"lane", "identity", "domain"};

static const char prefix[] = "\0pause"; // with its last NUL, like all names on the shelf

// ---- rows

static void key_of(const struct pause *p, struct buf *out) {
    buf_add(out, bytes_range(prefix, sizeof prefix));
    buf_addz(out, pause_kind_name[p->kind]);
    buf_byte(out, 0);
    buf_add(out, bytes_first(p->name, PAUSE_NAME));
}

static bool read_key(struct bytes key, struct pause *out) {
    key = bytes_skip(key, sizeof prefix);
    struct bytes kind = bytes_cut(&key, 0);
    for (size_t i = 0; i < PAUSE_KINDS; i++)
        if (bytes_equal(kind, bytes_of(pause_kind_name[i]))) {
            *out = (struct pause){.kind = (enum pause_kind)i, .name = key, .because = BYTES("")};
            return true;
        }
    return false;
}

bool txn_put_pause(struct txn *txn, const struct pause *p, struct err *err) {
    struct buf key = {0}, value = {0};
    struct jsonl j = jsonl_begin(&value);
    jsonl_int(&j, "since_ms", p->since_ms);
    jsonl_int(&j, "until_ms", p->until_ms);
    jsonl_text(&j, "because", p->because);
    jsonl_close(&j, '}');
    key_of(p, &key);
    bool good = txn_put(txn, TABLE_SHELF, buf_bytes(&key), buf_bytes(&value), err);
    buf_release(&key);
    buf_release(&value);
    return good;
}

bool txn_drop_pause(struct txn *txn, const struct pause *p, bool *found, struct err *err) {
    struct buf key = {0};
    struct bytes value;
    key_of(p, &key);
    bool good = txn_get(txn, TABLE_SHELF, buf_bytes(&key), &value, found, err) &&
                (!*found || txn_delete(txn, TABLE_SHELF, buf_bytes(&key), err));
    buf_release(&key);
    return good;
}

struct reading {
    struct pauses *into;
    int64_t now_ms;
};

static bool take_row(void *arg, struct bytes key, struct bytes value) {
    struct reading *r = arg;
    struct pauses *all = r->into;
    struct pause p;
    struct json *row = json_parse(value, NULL);
    if (read_key(key, &p) && row) {
        json_int(json_get(row, "since_ms"), &p.since_ms);
        json_int(json_get(row, "until_ms"), &p.until_ms);
        json_text(json_get(row, "because"), &p.because);
        if (!p.until_ms || p.until_ms > r->now_ms) {
            p.name = arena_copy(&all->arena, p.name);
            p.because = arena_copy(&all->arena, p.because);
            all->at = must_realloc(all->at, (all->count + 1) * sizeof *all->at);
            all->at[all->count++] = p;
        }
    }
    json_free(&row);
    return true;
}

void pauses_read(struct reader *reader, int64_t now_ms, struct pauses *out) {
    struct reading r = {out, now_ms};
    *out = (struct pauses){0};
    reader_walk(reader, TABLE_SHELF, bytes_range(prefix, sizeof prefix), take_row, &r);
}

void pauses_release(struct pauses *p) {
    arena_release(&p->arena);
    free(p->at);
    *p = (struct pauses){0};
}

// ---- for whom

// "acme|direct:example.net:25|verify|..." -> "example.net"; the port is the last number of its part.
static struct bytes next_hop(struct bytes lane) {
    bytes_cut(&lane, '|');
    struct bytes way = bytes_cut(&lane, '|'), kind = bytes_cut(&way, ':');
    ptrdiff_t port = bytes_find_last(way, ':');
    return bytes_equal(kind, BYTES("capture")) || port < 0 ? way : bytes_first(way, (size_t)port);
}

bool pause_fits(const struct pause *p, struct bytes lane) {
    struct bytes identity = lane;
    switch (p->kind) {
    case PAUSE_LANE: return bytes_equal(p->name, lane);
    case PAUSE_IDENTITY: return bytes_equal(p->name, bytes_cut(&identity, '|'));
    case PAUSE_DOMAIN: return bytes_equal_nocase(p->name, next_hop(lane));
    case PAUSE_KINDS: break;
    }
    return false;
}

const struct pause *pauses_find(const struct pauses *all, struct bytes lane) {
    const struct pause *best = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const struct pause *p = &all->at[i];
        if (!pause_fits(p, lane)) continue;
        if (!best || !p->until_ms || (best->until_ms && p->until_ms > best->until_ms)) best = p;
    }
    return best;
}

void pause_show(const struct pause *p, struct jsonl *j) {
    jsonl_textz(j, "what", pause_kind_name[p->kind]);
    jsonl_text(j, "name", p->name);
    jsonl_time(j, "since", p->since_ms);
    if (p->until_ms) jsonl_time(j, "until", p->until_ms);
    if (p->because.len) jsonl_text(j, "because", p->because);
}
