// SPDX-License-Identifier: MIT
// group: ops that become durable together.
//
// group_add while group_has_room, then group_run: bodies, sync, one transaction, finish of each. What fails one op fails that
// op alone; a full disk fails the ops with bodies first. Writer thread only.
#pragma once

#include "store/store.h"

enum { GROUP_OPS = 256 };
static const uint64_t group_bytes_most = 8 << 20;

struct group_slot {
    struct store_op *op;
    bool has_body, out; // out: has failed, with why
    struct err why;
};

struct group {
    size_t count;
    uint64_t bytes; // of bodies
    struct group_slot slots[GROUP_OPS];
};

bool group_has_room(const struct group *group, const struct store_op *op); // an empty one takes any op
void group_add(struct group *group, struct store_op *op);
void group_run(struct group *group, struct store *store); // leaves it empty
// A small commit of nothing much, to see whether the database works again.
void group_probe(struct store *store);
// Takes out a few suppressions whose time is over; commits only where there was one. True: all have been looked at.
bool group_sweep(struct store *store);
