// SPDX-License-Identifier: MIT
// account: what was spent of one limit over its window, as numbers: no threads, no disk.
//
// Time is cut into buckets. A token is first held (it may be used at the peer at any moment), then spent, into the bucket of
// that moment, or dropped. Held ones count however old they are; spent ones until their whole bucket is older than the window
// and some slack. So no window of that length, wherever it begins, ever holds more than was allowed when it was asked.
//
// The caller turns the account (account_turn) before it looks at it. A value; nothing to release.
#pragma once

#include "base/bytes.h"

enum {
    ACCOUNT_SLOTS = 128,          // a power of two above the buckets that can be alive
    ACCOUNT_DURABLE_S = 60,       // shorter windows live in memory only
    ACCOUNT_CAP_MAX = 1000000000, // what all buckets hold together stays within 32 bits
};

struct account {
    int64_t window_ms, width_ms, slack_ms;
    int64_t bucket;               // the current one: its number is its start / width
    int64_t oldest;               // no bucket below it holds anything
    uint64_t spent, held;
    int64_t full_until_ms;        // whatever was counted, nothing fits before; 0: not so
    uint32_t slots[ACCOUNT_SLOTS];
};

bool account_window(struct bytes name, uint32_t *window_s); // of an account called "KEY/SECONDS"; false: that is no such name
void account_init(struct account *a, uint32_t window_s, int64_t now_ms);
bool account_is_durable(const struct account *a);
// Time has passed: frees what is old enough. True where a bucket has closed since the last turn. A clock set back frees
// nothing: what lies in its future counts as spent now.
bool account_turn(struct account *a, int64_t now_ms);

uint64_t account_used(const struct account *a);
uint64_t account_taken(const struct account *a);   // the same, or ACCOUNT_CAP_MAX while it is declared full
// The peer says that there is no room: nothing fits until then. Never earlier than was said before.
void account_fill(struct account *a, int64_t until_ms);
uint32_t account_current(const struct account *a); // spent in the current bucket
void account_hold(struct account *a, uint64_t n);
void account_drop(struct account *a, uint64_t n);  // of the held
int64_t account_spend(struct account *a, uint64_t n); // of the held; gives the bucket's number
// Spent ones of that bucket, if it still counts: move to the current bucket, or are given back.
void account_move(struct account *a, int64_t bucket, uint64_t n);
void account_give_back(struct account *a, int64_t bucket, uint64_t n);

// Both turned to the same moment: `into` has spent what `from` has, too.
void account_join(struct account *into, const struct account *from);

int64_t account_bucket_end(const struct account *a);  // when the current one closes
int64_t account_next_free(const struct account *a);   // when the oldest bucket falls out, or it is no longer full; INT64_MAX: nothing is spent
// The earliest moment at which `n` more fit under `cap`, if nobody else spends and all that is held is spent now. More than
// `cap`: when the last of them would fit, one after the other.
int64_t account_free_at(const struct account *a, uint64_t cap, uint64_t n);

// On disk: what is spent in each bucket, the held ones as spent in the current one.
void account_encode(const struct account *a, struct buf *out);
// Added to what the account has. False: damaged.
bool account_decode(struct account *a, struct bytes from);
// When nothing of an encoded account counts any more; INT64_MAX where it is damaged.
int64_t account_encoded_end(struct bytes from, uint32_t window_s);
