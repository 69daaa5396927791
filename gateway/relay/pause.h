// SPDX-License-Identifier: MIT
// pause: lanes that an operator has stopped: one by its key, all of an identity, all to a domain. Kept in the store.
//
// A row of the shelf (store/shelf.h), under a name of our own, for each. Every worker reads them all at the start and whenever one has changed: they are few, and
// a lane that comes up later finds them. Mail for a paused lane waits in the store, with no attempt counted; its expiry holds.
#pragma once

#include "base/jsonl.h"
#include "policy/answer.h"
#include "store/store.h"

enum pause_kind { PAUSE_LANE, PAUSE_IDENTITY, PAUSE_DOMAIN, PAUSE_KINDS };
extern const char *const pause_kind_name[]; // "lane", "identity", "domain"
enum { PAUSE_NAME = LANE_MAX, PAUSE_BECAUSE = 200 };

struct pause {
    enum pause_kind kind;
    struct bytes name;    // the lane's key; the identity's name, "-" for none; the recipients' domain, or the host of a relay
    struct bytes because; // ""
    int64_t since_ms, until_ms; // until_ms 0: until it is resumed
};

struct pauses { // in the order of their keys; texts in the arena
    struct pause *at;
    size_t count;
    struct arena arena;
};

// Between reader_begin and reader_end. Those that have ended are left out.
void pauses_read(struct reader *reader, int64_t now_ms, struct pauses *out);
void pauses_release(struct pauses *p);
const struct pause *pauses_find(const struct pauses *p, struct bytes lane); // of those that hold for it the longest; NULL: none
bool pause_fits(const struct pause *p, struct bytes lane);
bool must_use txn_put_pause(struct txn *txn, const struct pause *p, struct err *err);
bool must_use txn_drop_pause(struct txn *txn, const struct pause *p, bool *found, struct err *err);
void pause_show(const struct pause *p, struct jsonl *j); // members: what, name, since, until, because
