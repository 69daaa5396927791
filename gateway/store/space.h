// SPDX-License-Identifier: MIT
// space: whether there is room for new mail, and a reserve for the day there is none for anything.
//
// Any thread asks space_has_room; the disk is looked at no more than ten times a second. The reserve is a file that
// holds blocks: the writer thread gives it up so that deletes can be committed, and takes it back when space returns.
#pragma once

#include "base/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct space {
    int dir; // borrowed
    const struct log *log;
    uint64_t keep_free, ceiling; // ceiling 0: none
    uint64_t reserve_bytes;
    bool has_reserve;
    _Atomic uint64_t used; // told by the writer: bodies and database
    _Atomic int64_t looked_us;
    atomic_bool room;
};

void space_init(struct space *space, int dir, uint64_t keep_free, uint64_t ceiling, const struct log *log);
bool space_has_room(struct space *space);
void space_used(struct space *space, uint64_t bytes); // writer thread
void space_look(struct space *space);                 // now, whatever the clock says
bool space_give_reserve(struct space *space);         // true when there was one to give; writer thread
void space_take_reserve(struct space *space);         // where it is gone and there is room; writer thread
