// SPDX-License-Identifier: MIT
// waiters: recipients that wait in the store until an account has room, and are called back when it has.
//
// They are parked under a place of their own for each account, cap and kind of counting: who may go up to 500 must not stand
// behind those who may go up to 400. Inside, and over all places of an account, they are called in the order of a lane (relay/order): urgent ones
// first, each class passed over so often at the most, senders in turns. Nobody is remembered here but those who are called and
// not back: whose turn it is, is found in the store by skipping from turn to turn. So the cost follows the tokens, not the waiters.
//
// Only as many are called as there is room for. They go through `route` again; the room is kept for them for a moment, so that
// newcomers do not take it. Each one called is heard of again: as it asks for its grant (waiters_arrived), and once it is done with, whatever
// became of it (waiters_back). Should their plans name another cap now (a warmup), the place goes by that one; a place without
// room calls one now and then to find out, and more and more where the policy has another way for them now.
//
// One an account, on the account's worker.
#pragma once

#include "base/jsonl.h"
#include "policy/answer.h"
#include "relay/worker.h"

enum { WAITERS_PLACE = 8 + SPEND_ACCOUNT_MAX + 32 };

struct place_of {
    struct bytes account;
    uint64_t cap;
    bool recipients; // their number counts; else those of one message are called together, as one
};
struct bytes waiters_place(const struct place_of *of, char out[WAITERS_PLACE]); // "limit:KEY/SECONDS/CAP", with "/recipients"
bool waiters_place_is(struct bytes place);
bool waiters_place_read(struct bytes place, struct place_of *of); // false: it is none
static inline struct place_of waiters_place_of(const struct spend *s) {
    return (struct place_of){s->account, s->cap, s->recipients};
}

struct waiters;

void waiters_add(struct waiters **waiters, const struct place_of *of); // some may be parked there now
// Recipients of this message come from that place and ask under another cap perhaps. True: they were called.
bool waiters_arrived(struct waiters *waiters, const struct place_of *from, uint64_t id, uint64_t cap, int64_t now_ms);
// What was called of this message is done with: gone, or parked again. elsewhere: the policy has a way for it that does not spend here.
void waiters_back(struct waiters *waiters, uint64_t id, bool elsewhere, int64_t now_ms);
uint64_t waiters_reserved(const struct waiters *waiters, int64_t now_ms); // tokens kept for those called
// Calls as many as fit: `taken` tokens are used or promised, not counting those reserved. Frees `*waiters` when nobody waits.
void waiters_call(struct waiters **waiters, struct worker *w, struct bytes account, uint64_t taken, int64_t now_ms);
// When to call again, given that tokens fall free at next_free_ms.
int64_t waiters_next(const struct waiters *waiters, uint64_t taken, int64_t next_free_ms, int64_t now_ms);
void waiters_probe(struct waiters *waiters);                    // look with the next call, room or not. NULL is fine here and below
void waiters_show(const struct waiters *waiters, struct jsonl *j); // caps, as a list
void waiters_free(struct waiters **waiters);
