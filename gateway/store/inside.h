// SPDX-License-Identifier: MIT
// inside: what the store is made of, for its own rooms only.
#pragma once

#include "store/compact.h"
#include "store/space.h"
#include "store/txn.h"
#include "store/writer.h"

struct store {
    const struct clock *clock;
    const struct log *log;
    char *path;
    int dir, segment_dir, lock; // -1: not open
    struct db *db;
    struct files files;
    struct segments segments; // the writer thread's, as are the next two
    struct txn txn;
    struct compact compact;
    struct writer *writer;
    struct space *space;
    atomic_uint readers;
    bool fleeting;
    uint64_t last_id;
    struct {
        _Atomic uint64_t commits, ops, bytes_written, messages, recipients, parked, held, segments, body_bytes_live,
            body_bytes_disk, db_bytes, commit_us_last, commit_us_max;
        atomic_bool sick;
    } told; // by the writer, to anybody
};

void store_tell_counts(struct store *store, const struct txn_counts *counts); // writer thread
