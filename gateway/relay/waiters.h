// SPDX-License-Identifier: MIT
// waiters: recipients that wait in the store until an account has room, and are called back when it has.
//
// They are parked under a place of their own for each account, cap and kind of counting: who may go up to 500 must not stand
// behind those who may go up to 400. Only as many are called as there is room for, oldest first: cost follows tokens, not waiters. Those called go
// through `route` again; the room is kept for them for a moment, so that newcomers do not take it. Should their plans name
// another cap now (a warmup), the place goes by that one; and a place without room calls one now and then to find out.
//
// One list an account, on the account's worker.
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

void waiters_add(struct waiters **list, const struct place_of *of, uint64_t id, uint32_t n); // one is parked there now, others of its message behind it perhaps
// One comes from its place and asks for `n` under another cap perhaps. True: it was called.
bool waiters_arrived(struct waiters *list, const struct place_of *from, uint64_t cap, uint64_t n);
uint64_t waiters_reserved(struct waiters *list, int64_t now_ms); // tokens kept for those called
// Calls as many as fit: `taken` tokens are used or promised. Drops places where nobody waits.
void waiters_call(struct waiters **list, struct worker *w, struct bytes account, uint64_t taken, int64_t now_ms);
// When to call again, given that tokens fall free at next_free_ms.
int64_t waiters_next(struct waiters *list, uint64_t taken, int64_t next_free_ms, int64_t now_ms);
void waiters_probe(struct waiters *list);                // look with the next call, room or not
void waiters_show(struct waiters *list, struct jsonl *j); // caps, as a list
void waiters_free(struct waiters **list);
