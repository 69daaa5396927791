// SPDX-License-Identifier: MIT
// redo: what was promised ahead of its commit: messages and their recipients, written behind their bodies in the log.
//
// A record in a segment, of codec SEGMENT_CODEC_REDO: the store's secret, then entries as the database will have them, each message
// before its recipients. The segment's header has its length and CRC32C. The secret keeps a body that a client sent from being taken for
// one: bytes behind a segment's end may be anybody's. One fdatasync makes bodies and record durable, and that is the promise.
//
// At open (redo_replay) the hot tail is walked from its end by its row in the database. For each whole record whose messages all
// have their bodies whole, between that end and the record, the messages are put as they were put then, and the row's end moves
// behind it in the same transaction. So:
//   none is put twice, and none rises again that was settled since: what a commit has taken in lies before the row's end;
//   none is left out: each promise followed an fdatasync of all that stands before it, so nothing promised is behind a torn record;
//   old bytes are not mistaken: a record that was written over in part is torn, and one whose bodies were is refused for them.
// A record that was written whole but never synced may be found too: nobody was told, and it is synced before it counts.
#pragma once

#include "base/bytes.h"
#include "store/record.h"

enum { REDO_SECRET = 16 };

enum redo_kind { REDO_MESSAGE = 1, REDO_RECIPIENT = 2 };

struct redo_entry {
    enum redo_kind kind;
    struct message message;     // decoded; texts point into the record
    struct recipient recipient;
};

// A record: begin, then add; what is added is encoded as record.h does.
void redo_begin(struct buf *record, const char secret[REDO_SECRET]);
void redo_add(struct buf *record, enum redo_kind kind, uint64_t id, uint32_t n, struct bytes encoded);
bool redo_is_empty(const struct buf *record);

// Goes through a record's bytes. False where it is none, or not of this store, or `each` said so; then nothing of it may count:
// look at all with one `each` that changes nothing before going through it with one that does.
bool must_use redo_read(struct bytes record, const char secret[REDO_SECRET], bool (*each)(void *arg, const struct redo_entry *entry),
                        void *arg);

struct store;
// At open, within the transaction that has learnt the segments, once the tails are open. *messages: how many were put. May be called
// again after an abort. False: the database or the disk failed.
bool must_use redo_replay(struct store *store, uint64_t *messages, struct err *err);
