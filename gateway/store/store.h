// SPDX-License-Identifier: MIT
// store: the durable queue: one LMDB environment, the body log beside it, one writer thread. [LMDB in db.c]
//
// WRITING. Any thread gives the writer an op (store_submit). The writer takes all that wait, up to a group's bounds
// (256 ops, 8 MiB), writes their bodies, runs each op's `apply` in one LMDB transaction, syncs the segment,
// commits (synced), and calls each op's `finish`. A lone op commits at once, and while one group commits the next gathers;
// only ops that say they are patient, or were promised, wait for others to share the commit with: 25 ms. `finish(op, true)`
// means: on disk, and seen by every read that begins from now on. An op whose apply fails is undone by itself (all others are applied
// again without it) and gets finish(op, false, why). They are applied in the order they came, but for new mail that asks for a promise:
// that comes first.
// `apply`, `promised` and `finish` run on the writer thread: apply touches only the op and the txn, and may be run more than once; the others only
// hand the op, or word of it, to its owner's loop (loop_post).
//
// PROMISING. A new message need not wait for the commit (two more syncs) to be safe: an op with a body and `promised` set has what it
// puts written behind its body too (redo.h), one fdatasync makes both durable, and `promised(op)` says so: it will survive anything,
// but no read sees it yet; an op that comes later finds it in its transaction. finish follows with the commit. Such an apply only puts
// messages and recipients that are new, and makes the same of them whenever it is run. Where the promise cannot be made before the commit (a new segment, a full or sick disk or one without a reserve, a fleeting store) promised is not called:
// finish says it all. A promised op gets finish(op, false) only where the store is closed while it cannot commit: the next open puts it.
//
// READING. Each worker has its own reader (one LMDB read transaction, reset and renewed): reader_begin..reader_end
// brackets are short, never held across a wait; what was decoded in between points into the map and is copied before
// reader_end. Bodies are read with body_read (pread), from any thread, without a transaction.
//
// CRASH. After kill -9 at any instruction the next store_open finds every op that finished true or was promised, whole, and perhaps some
// that had not been told yet; never half of one. It puts what was promised and not committed before anything is read, once; store_look
// does not see that before.
//
// FULL. store_has_room says whether new mail may be taken (452 4.3.1 otherwise): below a free-space mark or above the
// ceiling it turns false, and turns true again by itself. Deletes and outcomes are still committed then, out of a reserve.
// A store that cannot commit at all says so (store_is_sick): delivery pauses too, until a commit works again; what was promised by then
// is kept, a group at the most, and nothing more is promised. Where LMDB gives up
// for good (a failed write of its meta page), the process ends with EX_IOERR, to be started again.
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/queue.h"
#include "store/record.h"

#include <sys/uio.h>

struct store;
struct txn;    // the writer's transaction
struct reader;

struct store_options {
    const char *path;         // directory; made with mode 0700 where it is missing
    uint64_t segment_bytes;   // 0: 64 MiB
    uint64_t ceiling_bytes;   // bodies and database together; 0: the disk
    uint64_t reserve_bytes;   // free space below which no new mail is taken; 0: 128 MiB
    uint64_t journal_max;     // entries kept; 0: 100,000
    // For days that are played through (relay/rehearsal) and tests, never for mail: nothing is synced, so nothing lasts, and there is
    // no writer thread. What is submitted waits until store_turn, which everything then happens on the thread of.
    bool fleeting;
    const struct clock *clock;
    const struct log *log;
};

struct store *store_open(const struct store_options *options, struct err *err); // also: lock against a second process, recovery sweep
// For looking only, also while another process has it open: store_open's lock is not taken, nothing can be submitted. What is read
// is a snapshot of the last commit; a snapshot held for long keeps the other process from using freed pages again.
struct store *store_look(const char *path, const struct clock *clock, const struct log *log, struct err *err);
void store_close(struct store **store);      // commits what was submitted, then ends the writer
bool store_has_room(const struct store *store);
bool store_is_sick(const struct store *store);
const char *store_name(const struct store *store); // of its own, given when it was made: 16 hexadecimal digits
uint64_t store_last_id(const struct store *store); // highest id that may have been used, at open: make larger ones

struct store_stats {
    uint64_t commits, ops, bytes_written, messages, recipients, due, parked, held, segments, body_bytes_live, body_bytes_disk, db_bytes;
    uint64_t commit_us_last, commit_us_max;
};
void store_get_stats(struct store *store, struct store_stats *out); // any thread; counters, no walk

// ---- writing -------------------------------------------------------------------------------------------------

struct store_op {
    struct queue_node node;  // first
    bool (*apply)(struct store_op *op, struct txn *txn, struct err *err);
    void (*finish)(struct store_op *op, bool done, const struct err *why);
    void (*promised)(struct store_op *op); // NULL: only finish counts. At most once, before finish; the op stays the store's
    // A body to append before apply runs (count 0 and fd -1: none): the parts in order, then `file_length` bytes of `file`.
    const struct iovec *parts;
    size_t part_count;
    int file;                // -1: none
    uint64_t file_length;
    uint64_t body_id;        // message id in the body's record
    bool patient;            // nobody waits for it: it may wait for company
    struct place place;      // filled before apply where there is a body
};
void store_submit(struct store *store, struct store_op *op); // any thread; op belongs to the store until finish
bool store_turn(struct store *store); // a fleeting one: commits a group of what was submitted; false: there was nothing

// For apply. All return false only where LMDB does (full, sick): pass it on.
bool must_use txn_put_message(struct txn *t, const struct message *m, struct err *err);     // accounts its body to its segment
bool must_use txn_put_recipient(struct txn *t, const struct recipient *r, struct err *err); // new or changed: keeps due and place indexes in step
// The recipient is settled: gone from all indexes; with the last one the message and its body's claim go too (*last set).
bool must_use txn_drop_recipient(struct txn *t, uint64_t id, uint32_t n, bool *last, struct err *err);
bool must_use txn_get_message(struct txn *t, uint64_t id, struct message *out, bool *found, struct err *err);
bool must_use txn_get_recipient(struct txn *t, uint64_t id, uint32_t n, struct recipient *out, bool *found, struct err *err);
// `entry`: what relay/journal makes. The oldest fall out.
bool must_use txn_put_journal(struct txn *t, uint64_t id, int64_t at_ms, struct bytes entry, struct err *err);
// Drops entries of messages received before that, `most` of them at most; *more: there are others.
bool must_use txn_trim_journal(struct txn *t, int64_t before_ms, int most, bool *more, struct err *err);
// Named small values (policy bundles, state): table is one of the store's open tables, see db.h.
enum table { TABLE_MESSAGE, TABLE_RECIPIENT, TABLE_DUE, TABLE_PLACE, TABLE_SEGMENT, TABLE_LEDGER, TABLE_SUPPRESSION, TABLE_SHELF,
             TABLE_JOURNAL, TABLE_POLICY, TABLE_META, TABLE_COUNT };
bool must_use txn_put(struct txn *t, enum table table, struct bytes key, struct bytes value, struct err *err);
bool must_use txn_delete(struct txn *t, enum table table, struct bytes key, struct err *err); // not there: true
bool must_use txn_get(struct txn *t, enum table table, struct bytes key, struct bytes *value, bool *found, struct err *err); // good until the next change

// ---- reading -------------------------------------------------------------------------------------------------

struct reader *reader_new(struct store *store, struct err *err); // one a thread
void reader_free(struct reader **reader);
void reader_begin(struct reader *reader); // a snapshot as of now
void reader_end(struct reader *reader);
bool reader_get(struct reader *r, enum table table, struct bytes key, struct bytes *value); // false: not there
bool reader_message(struct reader *r, uint64_t id, struct message *out);
bool reader_recipient(struct reader *r, uint64_t id, uint32_t n, struct recipient *out);
struct table_size {
    uint64_t entries, bytes; // of its pages
};
struct table_size reader_size(struct reader *r, enum table table); // no walk
// Walks, in key order. Return false from `each` to stop. The walks return false where `each` stopped them.
bool reader_recipients_of(struct reader *r, uint64_t id, bool (*each)(void *arg, const struct recipient *r), void *arg);
// All recipients from (from_id) on: the queue as operators list it.
bool reader_recipients(struct reader *r, uint64_t from_id, bool (*each)(void *arg, const struct recipient *r), void *arg);

struct due {
    int64_t due_ms;
    uint64_t id;
    uint32_t n;
};
// The due index from `after` (exclusive; zeroed: from the start) up to due_ms <= until_ms. Keys only.
bool reader_due(struct reader *r, const struct due *after, int64_t until_ms, bool (*each)(void *arg, const struct due *due), void *arg);
bool reader_due_next(struct reader *r, int64_t after_ms, int64_t *due_ms); // the earliest due time later than after_ms
// All that are parked on a lane, in the order of their keys: oldest message first where there are no turns.
bool reader_parked(struct reader *r, struct bytes lane, bool (*each)(void *arg, uint64_t id, uint32_t n), void *arg);
// The turns that have some there, in the order of their keys; after (exclusive) a turn, priority 0: from the start. Those that stand
// in the order of age come first, as one turn of priority 0. Cost follows the number of turns.
struct parked_turn {
    enum priority priority;
    uint64_t hash;     // of its name
    struct bytes name; // good as long as the read
};
bool reader_parked_turns(struct reader *r, struct bytes lane, const struct parked_turn *after,
                         bool (*each)(void *arg, const struct parked_turn *turn), void *arg);
// Those of one turn after (exclusive; zeroed: from the start) a recipient, oldest message first.
bool reader_parked_of(struct reader *r, struct bytes lane, enum priority priority, uint64_t turn, const struct due *after,
                      bool (*each)(void *arg, uint64_t id, uint32_t n), void *arg);
// Every lane that has parked recipients, after (exclusive; "": from the start) a lane. Cost follows the number of lanes.
bool reader_parked_lanes(struct reader *r, struct bytes after, bool (*each)(void *arg, struct bytes lane), void *arg);
bool reader_journal_of(struct reader *r, uint64_t id, bool (*each)(void *arg, int64_t at_ms, struct bytes entry), void *arg);
// All entries from the message `from_id` on, in the order of messages.
bool reader_journal(struct reader *r, uint64_t from_id, bool (*each)(void *arg, uint64_t id, int64_t at_ms, struct bytes entry), void *arg);
bool reader_walk(struct reader *r, enum table table, struct bytes prefix, bool (*each)(void *arg, struct bytes key, struct bytes value), void *arg);
// From the first key at or above `from` to the table's end.
bool reader_walk_from(struct reader *r, enum table table, struct bytes from, bool (*each)(void *arg, struct bytes key, struct bytes value), void *arg);

// ---- bodies --------------------------------------------------------------------------------------------------

struct body; // an open body: keeps its segment's file open (even when it is unlinked meanwhile)
// Checks magic, id, length. A body that compaction has moved since `place` was read is found where it is now.
struct body *body_open(struct store *store, uint64_t id, const struct place *place, struct err *err);
struct body *body_in_memory(const struct iovec *parts, size_t count); // one that lies in memory, which stays the caller's until body_close
uint64_t body_length(const struct body *body);
// Up to `size` bytes from `offset`; *got 0 at the end. The CRC is checked when a read passes the end in order.
bool must_use body_read(struct body *body, uint64_t offset, void *into, size_t size, size_t *got, struct err *err);
// The same without a copy where it lies in memory: *piece is there; else in `room`. Empty at the end.
bool must_use body_piece(struct body *body, uint64_t offset, void *room, size_t size, struct bytes *piece, struct err *err);
void body_close(struct body **body);

// A full check for `check --store` and the torture tests: every record of the store's own rooms decodes (what a row of the ledger, the journal
// or the policy holds is known above), every index entry has its recipient and the other way round, every body is where it should be with
// its CRC, segment counters agree. Faults as text lines, at most 1,000. Any thread, also while mail flows.
bool store_check(struct store *store, void (*fault)(void *arg, const char *text), void *arg, uint64_t *checked);
