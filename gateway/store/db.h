// SPDX-License-Identifier: MIT
// db: the LMDB environment: tables, transactions, walks. [LMDB enters here and nowhere else]
//
// One write transaction at a time, begun and ended by one thread; read transactions are made once, then begun and
// ended many times, each by one thread at a time. What is read points into the map: it is good until the
// transaction ends, in the write transaction only until the next change.
// A write that fails leaves the transaction fit for abort only; db_trouble says what kind of failure it was.
// Without WRITEMAP, NOSYNC, DUPSORT: the first is slow and dies of a full disk, the second loses mail, the third has
// faults in the releases Debian ships. Only a fleeting database, which nobody's mail is in, has the first two.
#pragma once

#include "store/store.h"

struct db;
struct db_txn;

struct db *db_look(const char *path, const struct log *log, struct err *err); // read only, beside another process
// path: an existing directory. fleeting: see struct store_options.
struct db *db_open(const char *path, bool fleeting, const struct log *log, struct err *err);
void db_close(struct db **db);

// What the last failed write met. FULL: disk or map; a smaller transaction may still work.
enum db_trouble { DB_NO_TROUBLE, DB_FULL, DB_BROKEN };

bool must_use db_begin(struct db *db, struct db_txn **txn, struct err *err);
bool must_use db_commit(struct db_txn *txn, struct err *err); // the transaction has ended, either way
void db_abort(struct db_txn *txn);
enum db_trouble db_trouble(const struct db *db);              // of the write transaction begun last, also after its end

struct db_txn *db_reader_new(struct db *db, struct err *err);
void db_reader_free(struct db_txn **txn);
void db_reader_begin(struct db_txn *txn);
void db_reader_end(struct db_txn *txn);

bool must_use db_get(struct db_txn *txn, enum table table, struct bytes key, struct bytes *value, bool *found, struct err *err);
bool must_use db_put(struct db_txn *txn, enum table table, struct bytes key, struct bytes value, struct err *err);
// Only where the key is not there yet (*put tells).
bool must_use db_put_new(struct db_txn *txn, enum table table, struct bytes key, struct bytes value, bool *put, struct err *err);
// Only where the key is above all others of the table (*put tells): cheaper, and packs pages full.
bool must_use db_append(struct db_txn *txn, enum table table, struct bytes key, struct bytes value, bool *put, struct err *err);
bool must_use db_delete(struct db_txn *txn, enum table table, struct bytes key, struct err *err); // not there: true
uint64_t db_count(struct db_txn *txn, enum table table); // entries, no walk
uint64_t db_bytes_of(struct db_txn *txn, enum table table); // of its pages
uint64_t db_bytes_used(struct db_txn *txn);              // by the tables' pages
uint64_t db_bytes_file(struct db *db);                   // pages ever used; the file does not shrink while it is open

// A walk in key order. A zeroed one with txn and table set is ready for db_seek; walks of one table may nest.
// False where there is nothing more or the read failed; the latter is logged and, in the write transaction, db_trouble.
struct db_walk {
    struct db_txn *txn;
    enum table table;
    void *cursor;
    bool borrowed;
    struct bytes key, value; // where it stands
};
bool db_seek(struct db_walk *walk, struct bytes from); // the first key at or above `from`
bool db_next(struct db_walk *walk);
void db_walk_end(struct db_walk *walk);
