// SPDX-License-Identifier: MIT
// group: ops that share a transaction, round after round, until it commits.
//
// A round takes in what waits: group_add while group_has_room, then group_round: bodies are appended, what asks for a promise is applied
// in the open transaction and taken down in a redo record behind the bodies, the segment synced once, promises told. Where
// one is in that nobody promised and that is not patient, the round ends with the commit; else the transaction stays open for the
// rounds that follow, until group_commit. All else is applied there, in order; that new mail goes before it is seen by nobody, since none
// knew of it. So what came and was delivered meanwhile leaves no trace in the tables: they are not emptied and begun anew for each.
// finish of each follows the commit; of those refused, their round.
//
// What fails one op fails that op alone: the transaction is begun anew without it, all others applied again. A promised op cannot be
// put out. Where the commit fails it is kept, in memory and in the log; while any is kept nothing is promised, each round tries
// to commit, and group_probe does. So what is kept is never more than one group. A full disk fails the ops with bodies
// first; a promise is made only while there is a reserve to commit it from. Writer thread only.
#pragma once

#include "store/store.h"

enum { GROUP_OPS = 256 };
static const uint64_t group_bytes_most = 8 << 20;

struct group_slot {
    struct store_op *op;
    bool has_body, out; // out: has failed, with why
    bool promised;
    bool applied;       // is in the open transaction
    struct err why;
};

struct group {
    size_t count, seen;      // seen: so many of the first were in an earlier round
    size_t kept;             // the first so many were promised, and could not be committed
    bool open;               // there is a transaction
    bool promises;           // this round may make some
    uint64_t bytes;          // of bodies
    int64_t since_us;        // when the first was taken in
    struct buf redo;         // the round's record
    uint64_t redo_bytes;     // of records in the open transaction
    struct group_slot slots[2 * GROUP_OPS]; // those kept, and a group
};

bool group_has_room(const struct group *group, const struct store_op *op); // one with nothing but kept ones takes any op
void group_add(struct group *group, struct store_op *op);
void group_round(struct group *group, struct store *store);
bool group_is_open(const struct group *group); // something waits for group_commit, and the store is well
void group_commit(struct group *group, struct store *store);
// A small commit, or that of what is kept, to see whether the database works again.
void group_probe(struct group *group, struct store *store);
// At close: those that are kept stay in the log for the next open, and their owners get them back.
void group_release(struct group *group);
// Takes out a few suppressions whose time is over; commits only where there was one. True: all have been looked at. Not while open.
bool group_sweep(struct store *store);
