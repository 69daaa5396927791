// SPDX-License-Identifier: MIT
#include "store/key.h"

#include "base/bug.h"

enum { LANE_PREFIX = 2, LANE_HASH = 8, LANE_LENGTH_MAX = UINT16_MAX, ADDRESS_HASH = 8 };

static void add32(struct key *k, uint32_t v) {
    put_be32(k->at + k->len, v);
    k->len += 4;
}

static void add64(struct key *k, uint64_t v) {
    put_be64(k->at + k->len, v);
    k->len += 8;
}

static uint64_t sortable(int64_t ms) {
    return ms < 0 ? 0 : (uint64_t)ms;
}

struct key key_message(uint64_t id) {
    struct key k = {.len = 0};
    add64(&k, id);
    return k;
}

struct key key_recipient(uint64_t id, uint32_t n) {
    struct key k = {.len = 0};
    add64(&k, id);
    add32(&k, n);
    return k;
}

struct key key_due(int64_t due_ms, uint64_t id, uint32_t n) {
    struct key k = {.len = 0};
    add64(&k, sortable(due_ms));
    add64(&k, id);
    add32(&k, n);
    return k;
}

struct key key_lane(struct bytes lane) {
    struct key k = {.len = LANE_PREFIX};
    struct bytes text = bytes_first(lane, KEY_LANE_TEXT);
    put_be16(k.at, (uint16_t)(lane.len < LANE_LENGTH_MAX ? lane.len : LANE_LENGTH_MAX));
    if (text.len) memcpy(k.at + k.len, text.at, text.len);
    k.len += text.len;
    if (lane.len > KEY_LANE_TEXT) add64(&k, bytes_hash(lane));
    return k;
}

struct key key_place(struct bytes lane, uint64_t id, uint32_t n) {
    struct key k = key_lane(lane);
    add64(&k, id);
    add32(&k, n);
    return k;
}

struct key key_turn(struct bytes lane, unsigned priority, uint64_t turn) {
    struct key k = key_lane(lane);
    bug_if(priority == 0 || priority > UINT8_MAX - KEY_PRIORITY);
    k.at[k.len++] = (char)(KEY_PRIORITY + priority);
    add64(&k, turn);
    return k;
}

struct key key_turn_place(struct bytes lane, unsigned priority, uint64_t turn, uint64_t id, uint32_t n) {
    if (priority == 0) return key_place(lane, id, n);
    struct key k = key_turn(lane, priority, turn);
    add64(&k, id);
    add32(&k, n);
    return k;
}

struct key key_journal(uint64_t id, int64_t at_ms, uint32_t seq) {
    struct key k = {.len = 0};
    add64(&k, id);
    add64(&k, sortable(at_ms));
    add32(&k, seq);
    return k;
}

struct key key_segment(uint32_t number) {
    struct key k = {.len = 0};
    add32(&k, number);
    return k;
}

struct key key_suppression_of(struct bytes address) {
    struct key k = {.len = 0};
    struct bytes text = bytes_first(address, KEY_ADDRESS_TEXT);
    if (text.len) memcpy(k.at, text.at, text.len);
    k.len = text.len;
    if (address.len > KEY_ADDRESS_TEXT) add64(&k, bytes_hash(address));
    k.at[k.len++] = 0;
    return k;
}

struct key key_suppression(struct bytes address, struct bytes scope) {
    struct key k = key_suppression_of(address);
    bug_if(scope.len > KEY_SCOPE);
    if (scope.len) memcpy(k.at + k.len, scope.at, scope.len);
    k.len += scope.len;
    return k;
}

bool key_to_recipient(struct bytes key, uint64_t *id, uint32_t *n) {
    if (key.len != KEY_RECIPIENT) return false;
    *id = get_be64(key.at);
    *n = get_be32(key.at + 8);
    return true;
}

bool key_to_due(struct bytes key, int64_t *due_ms, uint64_t *id, uint32_t *n) {
    if (key.len != 8 + KEY_RECIPIENT) return false;
    *due_ms = (int64_t)get_be64(key.at);
    return key_to_recipient(bytes_skip(key, 8), id, n);
}

bool key_to_place(struct bytes key, struct key_of_place *out) {
    if (key.len < LANE_PREFIX + KEY_RECIPIENT) return false;
    size_t length = get_be16(key.at), text = length < KEY_LANE_TEXT ? length : KEY_LANE_TEXT;
    *out = (struct key_of_place){.whole = length <= KEY_LANE_TEXT};
    out->lane_end = LANE_PREFIX + text + (out->whole ? 0 : LANE_HASH);
    bool in_turns = key.len == out->lane_end + KEY_TURN + KEY_RECIPIENT;
    if (!in_turns && key.len != out->lane_end + KEY_RECIPIENT) return false;
    out->lane = bytes_range(key.at + LANE_PREFIX, text);
    if (in_turns) {
        uint8_t priority = (uint8_t)key.at[out->lane_end];
        if (priority <= KEY_PRIORITY) return false;
        out->priority = priority - KEY_PRIORITY;
        out->turn = get_be64(key.at + out->lane_end + 1);
    }
    return key_to_recipient(bytes_skip(key, key.len - KEY_RECIPIENT), &out->id, &out->n);
}

bool key_to_journal(struct bytes key, uint64_t *id, int64_t *at_ms) {
    if (key.len != 20) return false;
    *id = get_be64(key.at);
    *at_ms = (int64_t)get_be64(key.at + 8);
    return true;
}

bool key_to_suppression(struct bytes key, struct bytes *address, bool *whole, struct bytes *scope) {
    ptrdiff_t nul = bytes_find_last(key, 0);
    if (nul < 1) return false;
    *address = bytes_first(key, (size_t)nul);
    *scope = bytes_skip(key, (size_t)nul + 1);
    *whole = address->len <= KEY_ADDRESS_TEXT;
    if (!*whole && address->len != KEY_ADDRESS_TEXT + ADDRESS_HASH) return false;
    if (!*whole) *address = bytes_first(*address, KEY_ADDRESS_TEXT);
    return true;
}
