// SPDX-License-Identifier: MIT
// segment: the body log: numbered files that grow at their end, and the account of what in them is alive.
//
// A record is a header (magic, CRC32C of the body, id, length, codec, CRC32C of the header itself) and the body. Among the bodies
// stand the records of what was promised ahead of its commit (redo.h): dead bytes once that is done. New mail
// goes to the hot tail, preallocated; what compaction saves goes to the cold one. A full tail is sealed; a sealed
// segment without live bytes is unlinked (spent.h). Only the writer thread comes here, but for segment_head_decode.
//
// Bodies are written by tail.h. Then follow one or more attempts of a transaction: claim and drop count live bytes,
// segments_save puts the changed rows, segments_settle follows a commit, segments_rewind an abort.
// Bytes behind a segment's end belong to nobody and are written over. Its end by its row in the database may be earlier: what
// lies between the two was promised and is not committed yet. Only the hot tail has such bytes, since a promise is made only where
// the database knows the tail (`known`), and a sealed segment's row is committed with all that was promised in it; so compaction,
// which works between transactions, and unlinking, which follows a commit, never meet any. At open they are the first to be looked at.
#pragma once

#include "store/db.h"
#include "store/files.h"
#include "store/record.h"
#include "store/spent.h"

enum { SEGMENT_HEAD = 32, SEGMENT_CODEC_PLAIN = 0, SEGMENT_CODEC_REDO = 1 /* not a body: see redo.h */ };

struct segment_head {
    uint64_t id, length;
    uint32_t crc;
    uint8_t codec;
};
void segment_head_encode(const struct segment_head *head, char out[SEGMENT_HEAD]);
bool must_use segment_head_decode(const char in[SEGMENT_HEAD], struct segment_head *out);

enum segment_kind { SEGMENT_HOT, SEGMENT_COLD, SEGMENT_KINDS };

struct segment {
    uint32_t number;
    enum segment_kind kind;
    bool sealed, touched; // touched: differs from its row
    bool stuck;           // compaction gave up on it
    bool known;           // the database has its row
    uint64_t end;         // bytes with records
    uint64_t redo;        // of these, what stands in redo records that this process wrote
    uint64_t live, live_committed;
    uint64_t disk;        // bytes the file takes
};

struct segment_tail {
    uint32_t number; // 0: none
    int fd;
    uint64_t capacity, synced;
    bool unsynced;
};

struct segments {
    int dir; // borrowed
    struct files *files;
    const struct log *log;
    uint64_t segment_bytes;
    struct segment *all; // by number
    size_t count, cap;
    uint32_t next_number;
    struct segment_tail tail[SEGMENT_KINDS];
    struct spent spent;
    uint32_t *touched;
    size_t touched_count, touched_cap;
    struct iovec *gathered; // one run of bytes at the hot tail's end, not yet written
    size_t gathered_count, gathered_cap;
    uint64_t gathered_at;
    char (*heads)[SEGMENT_HEAD];
    size_t heads_count;
    char *copy;             // for bodies that come from a file
    bool dir_unsynced, refusing, perhaps_thin;
    bool unsynced;          // a fleeting store's: nothing is ever synced
    struct err why;         // while refusing
    uint64_t live, disk;    // sums, live as committed
};

void segments_init(struct segments *s, int dir, struct files *files, uint64_t segment_bytes, const struct log *log);
void segments_release(struct segments *s);
// At open: each row of the table, then once the sweep: files nobody knows are unlinked, tails go on where they ended.
bool must_use segments_learn(struct segments *s, struct bytes key, struct bytes row, struct err *err);
bool must_use segments_sweep(struct segments *s, struct err *err);
bool must_use segments_has_files(struct segments *s, bool *has, struct err *err);

struct segment *segments_find(const struct segments *s, uint32_t number); // NULL: not known
struct segment *segments_add(struct segments *s, uint32_t number);        // pointers got before are stale
void segments_touch(struct segments *s, struct segment *seg);
void segments_set_disk(struct segments *s, struct segment *seg, uint64_t bytes);
void segments_claim(struct segments *s, const struct place *place);
void segments_drop(struct segments *s, const struct place *place);
bool must_use segments_save(struct segments *s, struct db_txn *txn, struct err *err);
void segments_settle(struct segments *s);
void segments_rewind(struct segments *s);
// A sealed segment with less than a tenth of its bodies alive, or NULL.
struct segment *segments_thin(struct segments *s);

struct segment_row {
    enum segment_kind kind;
    bool sealed;
    uint64_t end, live;
};
enum { SEGMENT_ROW = 18 };
bool must_use segment_row_decode(struct bytes key, struct bytes row, uint32_t *number, struct segment_row *out);
