// SPDX-License-Identifier: MIT
// compact: moves what is still alive in a nearly dead segment to the cold one, so that its file can go.
//
// A sealed segment with less than a tenth alive is walked record by record, in steps between groups; what a message
// still points to is copied, synced, and the message pointed to the copy in one transaction. A crash in between leaves
// dead bytes in the cold segment. Whoever has the old file open goes on reading it. Writer thread only.
#pragma once

#include "store/files.h"

struct store;

struct compact {
    uint32_t number; // segment in hand, 0: none
    uint64_t at;     // next record
    struct file *file;
    int64_t not_before_us;
};

// One step. Returns for how many ms there is nothing to do: 0, call again soon; -1, not before another commit.
int compact_step(struct compact *compact, struct store *store);
void compact_release(struct compact *compact);
