// SPDX-License-Identifier: MIT
#include "store/db.h"

#include "base/bug.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>

static const char *const table_name[TABLE_COUNT] = {
    [TABLE_MESSAGE] = "message", [TABLE_RECIPIENT] = "recipient", [TABLE_DUE] = "due",
    [TABLE_PLACE] = "place",     [TABLE_SEGMENT] = "segment",     [TABLE_LEDGER] = "ledger",
    [TABLE_SUPPRESSION] = "suppression", [TABLE_SHELF] = "shelf", [TABLE_JOURNAL] = "journal",
    [TABLE_POLICY] = "policy",   [TABLE_META] = "meta",
};

// The map is address space, not memory. ThreadSanitizer has little of the former.
#if defined(__SANITIZE_THREAD__)
static const size_t map_bytes_most = (size_t)16 << 30;
#else
static const size_t map_bytes_most = (size_t)1 << 40;
#endif
static const size_t map_bytes_least = (size_t)1 << 30;

enum { READERS_MOST = 512 };

struct db_txn {
    struct db *db;
    MDB_txn *mdb;
    bool is_write;
    enum db_trouble trouble;
    struct {
        MDB_cursor *cursor;
        bool busy, fresh; // fresh: belongs to the transaction as it was begun last
    } cached[TABLE_COUNT];
};

struct db {
    MDB_env *env;
    MDB_dbi table[TABLE_COUNT];
    const struct log *log;
    struct db_txn write;
};

static MDB_val val_of(struct bytes b) { return (MDB_val){b.len, (void *)(uintptr_t)b.at}; }
static struct bytes bytes_of_val(MDB_val v) { return bytes_range(v.mv_data, v.mv_size); }

static bool is_full(int rc) {
    return rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == ENOSPC || rc == EDQUOT || rc == EFBIG;
}

// A key LMDB does not take (empty, above 511 bytes) is the asker's mistake and leaves the transaction whole.
static bool trouble(struct db_txn *txn, int rc, const char *what, struct err *err) {
    if (rc == MDB_BAD_VALSIZE) return err_set(err, "database: %s: a key must have 1 to 511 bytes", what);
    if (txn->trouble == DB_NO_TROUBLE) txn->trouble = is_full(rc) ? DB_FULL : DB_BROKEN;
    return err_set(err, "database: %s: %s", what, mdb_strerror(rc));
}

// ---- environment ---------------------------------------------------------------------------------------------

static int env_open(struct db *db, const char *path, size_t map_bytes) {
    int rc = mdb_env_create(&db->env);
    if (rc) return rc;
    rc = mdb_env_set_mapsize(db->env, map_bytes);
    if (!rc) rc = mdb_env_set_maxdbs(db->env, TABLE_COUNT);
    if (!rc) rc = mdb_env_set_maxreaders(db->env, READERS_MOST);
    if (!rc) rc = mdb_env_open(db->env, path, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (rc) {
        mdb_env_close(db->env);
        db->env = NULL;
    }
    return rc;
}

static int tables_open(struct db *db) {
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc) return rc;
    for (int i = 0; i < TABLE_COUNT && !rc; i++) rc = mdb_dbi_open(txn, table_name[i], MDB_CREATE, &db->table[i]);
    if (!rc) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

struct db *db_open(const char *path, const struct log *log, struct err *err) {
    struct db *db = must_alloc(sizeof *db);
    db->log = log;
    db->write = (struct db_txn){.db = db, .is_write = true};
    int rc = ENOMEM;
    for (size_t map = map_bytes_most; rc == ENOMEM && map >= map_bytes_least; map /= 4) rc = env_open(db, path, map);
    if (!rc) {
        int dead;
        mdb_reader_check(db->env, &dead); // readers a killed process left behind would pin old pages
        rc = tables_open(db);
    }
    if (!rc) return db;
    err_set(err, "%s/data.mdb: %s", path, mdb_strerror(rc));
    db_close(&db);
    return NULL;
}

void db_close(struct db **db) {
    if (!*db) return;
    if ((*db)->env) mdb_env_close((*db)->env);
    free(*db);
    *db = NULL;
}

uint64_t db_bytes_file(struct db *db) {
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &stat);
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

// ---- transactions --------------------------------------------------------------------------------------------

bool db_begin(struct db *db, struct db_txn **txn, struct err *err) {
    struct db_txn *t = &db->write;
    bug_if(t->mdb);
    t->trouble = DB_NO_TROUBLE;
    int rc = mdb_txn_begin(db->env, NULL, 0, &t->mdb);
    if (rc) {
        t->mdb = NULL;
        return trouble(t, rc, "begin", err);
    }
    *txn = t;
    return true;
}

// LMDB closes the cursors of a write transaction with it.
static void forget_cursors(struct db_txn *t) {
    for (int i = 0; i < TABLE_COUNT; i++) {
        bug_if(t->cached[i].busy);
        t->cached[i].cursor = NULL;
    }
}

bool db_commit(struct db_txn *t, struct err *err) {
    forget_cursors(t);
    int rc = mdb_txn_commit(t->mdb);
    t->mdb = NULL;
    return rc ? trouble(t, rc, "commit", err) : true;
}

void db_abort(struct db_txn *t) {
    forget_cursors(t);
    mdb_txn_abort(t->mdb);
    t->mdb = NULL;
}

enum db_trouble db_trouble(const struct db *db) { return db->write.trouble; }

struct db_txn *db_reader_new(struct db *db, struct err *err) {
    struct db_txn *t = must_alloc(sizeof *t);
    t->db = db;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &t->mdb);
    if (!rc) {
        mdb_txn_reset(t->mdb);
        return t;
    }
    err_set(err, "database: reader: %s", mdb_strerror(rc));
    free(t);
    return NULL;
}

void db_reader_free(struct db_txn **txn) {
    struct db_txn *t = *txn;
    if (!t) return;
    for (int i = 0; i < TABLE_COUNT; i++)
        if (t->cached[i].cursor) mdb_cursor_close(t->cached[i].cursor);
    mdb_txn_abort(t->mdb);
    free(t);
    *txn = NULL;
}

void db_reader_begin(struct db_txn *t) {
    for (int i = 0; i < TABLE_COUNT; i++) t->cached[i].fresh = false;
    bug_if(mdb_txn_renew(t->mdb) != 0); // fails only for a transaction that is not at rest
}

void db_reader_end(struct db_txn *t) { mdb_txn_reset(t->mdb); }

// ---- entries -------------------------------------------------------------------------------------------------

// A failed read is as bad as a failed write, and a reader has nobody else to tell.
static bool read_failed(struct db_txn *t, int rc, enum table table, struct err *err) {
    if (!t->is_write) log_fault(t->db->log, "database: reading %s: %s", table_name[table], mdb_strerror(rc));
    return trouble(t, rc, table_name[table], err);
}

bool db_get(struct db_txn *t, enum table table, struct bytes key, struct bytes *value, bool *found, struct err *err) {
    MDB_val k = val_of(key), v;
    int rc = mdb_get(t->mdb, t->db->table[table], &k, &v);
    *found = rc == 0;
    if (rc == 0) *value = bytes_of_val(v);
    else if (rc != MDB_NOTFOUND) return read_failed(t, rc, table, err);
    return true;
}

static bool put_if(struct db_txn *t, enum table table, struct bytes key, struct bytes value, unsigned flags,
                   bool *put, struct err *err) {
    MDB_val k = val_of(key), v = val_of(value);
    int rc = mdb_put(t->mdb, t->db->table[table], &k, &v, flags);
    *put = rc == 0;
    if (rc && rc != MDB_KEYEXIST) return trouble(t, rc, table_name[table], err);
    return true;
}

bool db_put(struct db_txn *t, enum table table, struct bytes key, struct bytes value, struct err *err) {
    bool put;
    return put_if(t, table, key, value, 0, &put, err);
}

bool db_put_new(struct db_txn *t, enum table table, struct bytes key, struct bytes value, bool *put, struct err *err) {
    return put_if(t, table, key, value, MDB_NOOVERWRITE, put, err);
}

bool db_append(struct db_txn *t, enum table table, struct bytes key, struct bytes value, bool *put, struct err *err) {
    return put_if(t, table, key, value, MDB_APPEND, put, err);
}

bool db_delete(struct db_txn *t, enum table table, struct bytes key, struct err *err) {
    MDB_val k = val_of(key);
    int rc = mdb_del(t->mdb, t->db->table[table], &k, NULL);
    if (rc && rc != MDB_NOTFOUND) return trouble(t, rc, table_name[table], err);
    return true;
}

uint64_t db_count(struct db_txn *t, enum table table) {
    MDB_stat stat;
    return mdb_stat(t->mdb, t->db->table[table], &stat) ? 0 : stat.ms_entries;
}

uint64_t db_bytes_used(struct db_txn *t) {
    uint64_t bytes = 0;
    for (int i = 0; i < TABLE_COUNT; i++) {
        MDB_stat stat;
        if (mdb_stat(t->mdb, t->db->table[i], &stat)) continue;
        bytes += (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
    }
    return bytes;
}

// ---- walks ---------------------------------------------------------------------------------------------------

// The table's cursor is kept from walk to walk; a walk inside a walk of the same table gets one of its own.
static int cursor_take(struct db_walk *w) {
    struct db_txn *t = w->txn;
    MDB_cursor **cached = &t->cached[w->table].cursor;
    w->borrowed = !t->cached[w->table].busy;
    if (!w->borrowed) return mdb_cursor_open(t->mdb, t->db->table[w->table], (MDB_cursor **)&w->cursor);
    int rc = 0;
    if (!*cached) rc = mdb_cursor_open(t->mdb, t->db->table[w->table], cached);
    else if (!t->is_write && !t->cached[w->table].fresh) rc = mdb_cursor_renew(t->mdb, *cached);
    if (rc) return rc;
    t->cached[w->table].fresh = t->cached[w->table].busy = true;
    w->cursor = *cached;
    return 0;
}

static bool step(struct db_walk *w, MDB_val k, MDB_cursor_op op) {
    MDB_val v;
    int rc = mdb_cursor_get(w->cursor, &k, &v, op);
    if (rc == 0) {
        w->key = bytes_of_val(k);
        w->value = bytes_of_val(v);
        return true;
    }
    if (rc != MDB_NOTFOUND) read_failed(w->txn, rc, w->table, NULL);
    return false;
}

bool db_seek(struct db_walk *w, struct bytes from) {
    if (!w->cursor) {
        int rc = cursor_take(w);
        if (rc) return read_failed(w->txn, rc, w->table, NULL);
    }
    return step(w, val_of(from), from.len ? MDB_SET_RANGE : MDB_FIRST);
}

bool db_next(struct db_walk *w) { return step(w, (MDB_val){0}, MDB_NEXT); }

void db_walk_end(struct db_walk *w) {
    if (!w->cursor) return;
    if (w->borrowed) w->txn->cached[w->table].busy = false;
    else mdb_cursor_close(w->cursor);
    w->cursor = NULL;
}
