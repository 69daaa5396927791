// SPDX-License-Identifier: MIT
#include "relay/account.h"

#include "base/bug.h"

enum { BUCKETS = 96, WIDTH_LEAST_MS = 1000, SLACK_MOST_MS = 60000 };
static const int64_t full_most_ms = INT64_C(32) * 86400 * 1000; // a verdict says 30 days at most
enum { ENCODING = 2, HEAD_LEN = 1 + 4 + 8 + 8 + 2, ENTRY_LEN = 2 + 4 };

static uint32_t *slot(const struct account *a, int64_t bucket) {
    return (uint32_t *)&a->slots[(uint64_t)bucket & (ACCOUNT_SLOTS - 1)];
}

static int64_t bucket_freed(const struct account *a, int64_t bucket) {
    return (bucket + 1) * a->width_ms + a->window_ms + a->slack_ms;
}

void account_init(struct account *a, uint32_t window_s, int64_t now_ms) {
    *a = (struct account){.window_ms = (int64_t)window_s * 1000};
    a->width_ms = (a->window_ms + BUCKETS - 1) / BUCKETS;
    if (account_is_durable(a) && a->width_ms < WIDTH_LEAST_MS) a->width_ms = WIDTH_LEAST_MS;
    a->slack_ms = a->width_ms < SLACK_MOST_MS ? a->width_ms : SLACK_MOST_MS;
    a->bucket = a->oldest = now_ms / a->width_ms;
}

bool account_is_durable(const struct account *a) { return a->window_ms >= ACCOUNT_DURABLE_S * 1000; }

static void step_oldest(struct account *a) {
    while (a->oldest < a->bucket && *slot(a, a->oldest) == 0) a->oldest++;
}

// What lies ahead of the clock is counted from now on: never shorter than it should be.
static void fold_back(struct account *a, int64_t bucket) {
    uint32_t ahead = 0;
    for (int64_t b = a->bucket; b > bucket && b >= a->oldest; b--) {
        ahead += *slot(a, b);
        *slot(a, b) = 0;
    }
    a->bucket = bucket;
    if (a->oldest > bucket) a->oldest = bucket;
    *slot(a, bucket) += ahead;
}

bool account_turn(struct account *a, int64_t now_ms) {
    int64_t bucket = now_ms / a->width_ms, was = a->bucket;
    if (bucket < a->bucket) fold_back(a, bucket);
    while (a->oldest < bucket && (a->oldest <= a->bucket) && bucket_freed(a, a->oldest) <= now_ms) {
        a->spent -= *slot(a, a->oldest);
        *slot(a, a->oldest++) = 0;
    }
    if (a->oldest > a->bucket) a->oldest = bucket; // all of it was old
    if (a->full_until_ms <= now_ms) a->full_until_ms = 0;
    a->bucket = bucket;
    step_oldest(a);
    bug_if(a->bucket - a->oldest >= ACCOUNT_SLOTS);
    return bucket != was;
}

uint64_t account_used(const struct account *a) { return a->spent + a->held; }
uint64_t account_taken(const struct account *a) { return a->full_until_ms ? ACCOUNT_CAP_MAX : account_used(a); }

void account_fill(struct account *a, int64_t until_ms) {
    if (until_ms > a->full_until_ms) a->full_until_ms = until_ms;
}

uint32_t account_current(const struct account *a) { return *slot(a, a->bucket); }
void account_hold(struct account *a, uint64_t n) { a->held += n; }

void account_drop(struct account *a, uint64_t n) {
    bug_if(a->held < n);
    a->held -= n;
}

int64_t account_spend(struct account *a, uint64_t n) {
    account_drop(a, n);
    a->spent += n;
    *slot(a, a->bucket) += (uint32_t)n;
    return a->bucket;
}

void account_give_back(struct account *a, int64_t bucket, uint64_t n) {
    if (bucket < a->oldest || bucket > a->bucket) return;
    uint32_t there = *slot(a, bucket), less = there < n ? there : (uint32_t)n; // the clock may have been set meanwhile
    *slot(a, bucket) -= less;
    a->spent -= less;
    step_oldest(a);
}

void account_move(struct account *a, int64_t bucket, uint64_t n) {
    account_give_back(a, bucket, n);
    a->spent += n;
    *slot(a, a->bucket) += (uint32_t)n;
}

void account_join(struct account *into, const struct account *from) {
    for (int64_t b = from->oldest; b <= from->bucket; b++) {
        uint64_t n = *slot(from, b), most = UINT32_MAX - into->spent;
        if (n == 0) continue;
        if (n > most) n = most;
        *slot(into, b) += (uint32_t)n;
        into->spent += n;
        if (b < into->oldest) into->oldest = b;
    }
    account_fill(into, from->full_until_ms);
}

int64_t account_bucket_end(const struct account *a) { return (a->bucket + 1) * a->width_ms; }

int64_t account_next_free(const struct account *a) {
    int64_t next = a->spent ? bucket_freed(a, a->oldest) : INT64_MAX;
    return a->full_until_ms && a->full_until_ms < next ? a->full_until_ms : next;
}

static int64_t fits_at(const struct account *a, uint64_t cap, uint64_t n) {
    uint64_t used = account_used(a);
    if (n > cap && cap > 0) { // whole windows pass first
        int64_t whole = (int64_t)((n - 1) / cap);
        return fits_at(a, cap, n - (uint64_t)whole * cap) + whole * (a->window_ms + a->width_ms + a->slack_ms);
    }
    if (used + n <= cap) return a->bucket * a->width_ms;
    for (int64_t b = a->oldest; b < a->bucket; b++) {
        used -= *slot(a, b);
        if (used + n <= cap) return bucket_freed(a, b);
    }
    return bucket_freed(a, a->bucket);
}

int64_t account_free_at(const struct account *a, uint64_t cap, uint64_t n) {
    int64_t at = fits_at(a, cap, n);
    return at > a->full_until_ms ? at : a->full_until_ms;
}

// ---- on disk

void account_encode(const struct account *a, struct buf *out) {
    uint16_t count = 0;
    char head[HEAD_LEN], entry[ENTRY_LEN];
    size_t start = out->len;
    head[0] = ENCODING;
    put_be32(head + 1, (uint32_t)a->width_ms);
    put_be64(head + 5, (uint64_t)a->bucket);
    put_be64(head + 13, (uint64_t)a->full_until_ms);
    buf_add(out, bytes_range(head, sizeof head));
    for (int64_t b = a->oldest; b <= a->bucket; b++) {
        uint64_t n = *slot(a, b) + (b == a->bucket ? a->held : 0);
        if (n == 0) continue;
        put_be16(entry, (uint16_t)(a->bucket - b));
        put_be32(entry + 2, (uint32_t)n);
        buf_add(out, bytes_range(entry, sizeof entry));
        count++;
    }
    put_be16(out->at + start + 21, count);
}

struct encoded {
    int64_t width_ms, newest, full_until_ms;
    size_t count;
    struct bytes entries;
};

static bool open_encoded(struct bytes from, struct encoded *e) {
    if (from.len < HEAD_LEN || from.at[0] != ENCODING) return false;
    *e = (struct encoded){.width_ms = get_be32(from.at + 1), .newest = (int64_t)get_be64(from.at + 5),
                          .full_until_ms = (int64_t)get_be64(from.at + 13), .count = get_be16(from.at + 21), .entries = bytes_skip(from, HEAD_LEN)};
    return e->width_ms > 0 && e->full_until_ms >= 0 && e->newest >= ACCOUNT_SLOTS && e->newest < INT64_MAX / 2 / e->width_ms &&
           e->entries.len == e->count * ENTRY_LEN;
}

bool account_decode(struct account *a, struct bytes from) {
    struct encoded e;
    if (!open_encoded(from, &e)) return false;
    if (e.full_until_ms > account_bucket_end(a) + full_most_ms) return false;
    account_fill(a, e.full_until_ms);
    for (size_t i = 0; i < e.count; i++) {
        const char *entry = e.entries.at + i * ENTRY_LEN;
        int64_t number = e.newest - get_be16(entry);
        // By when it ended, should buckets have had another width when it was written.
        int64_t bucket = ((number + 1) * e.width_ms - 1) / a->width_ms;
        if (bucket > a->bucket) bucket = a->bucket;
        if (bucket <= a->bucket - ACCOUNT_SLOTS) continue;
        uint32_t n = get_be32(entry + 2);
        if (a->spent + n > UINT32_MAX) return false;
        a->spent += n;
        *slot(a, bucket) += n;
        if (bucket < a->oldest) a->oldest = bucket;
    }
    return true;
}

int64_t account_encoded_end(struct bytes from, uint32_t window_s) {
    struct encoded e;
    if (!open_encoded(from, &e)) return INT64_MAX;
    int64_t end = (e.newest + 1) * e.width_ms + (int64_t)window_s * 1000 + SLACK_MOST_MS;
    return end > e.full_until_ms ? end : e.full_until_ms;
}

bool account_window(struct bytes name, uint32_t *window_s) {
    uint64_t seconds;
    ptrdiff_t slash = bytes_find_last(name, '/');
    if (slash < 0 || !bytes_to_u64(bytes_skip(name, (size_t)slash + 1), &seconds) || seconds == 0) return false;
    *window_s = seconds < UINT32_MAX / 1000 ? (uint32_t)seconds : UINT32_MAX / 1000;
    return true;
}
