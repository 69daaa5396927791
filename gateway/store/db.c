// SPDX-License-Identifier: MIT
#include "store/db.h"

#include "base/bug.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const char *const table_name[TABLE_COUNT] = {
    [TABLE_MESSAGE] = "message",
    [TABLE_RECIPIENT] = "recipient",
    [TABLE_DUE] = "due",
    [TABLE_PLACE] = "place",
    [TABLE_SEGMENT] = "segment",
    [TABLE_LEDGER] = "ledger",
    [TABLE_SUPPRESSION] = "suppression",
    [TABLE_SHELF] = "shelf",
    [TABLE_JOURNAL] = "journal",
    [TABLE_POLICY] = "policy",
    [TABLE_META] = "meta",
};

// The map is address space, not memory. ThreadSanitizer has little of the former.
#if defined(__SANITIZE_THREAD__)
static const size_t map_bytes_most = (size_t)16 << 30;
#else
static const size_t map_bytes_most = (size_t)1 << 40;
#endif
static const size_t map_bytes_least = (size_t)1 << 30, map_bytes_fleeting = (size_t)16 << 30;

enum { READERS_MOST = 512, LOCK_FILE_BYTES = (READERS_MOST + 8) * 64 };

struct db_txn {
    struct db *db;
    MDB_txn *mdb;
    bool is_write;
    enum db_trouble trouble;
    struct {
        MDB_cursor *cursor;
        bool busy, fresh; // fresh: belongs to the transaction as it was begun last
    } cached[TABLE_COUNT];
    unsigned steps; // of walks
};

struct db {
    MDB_env *env;
    MDB_dbi table[TABLE_COUNT];
    const struct log *log;
    bool fleeting, looking; // looking: read only
    size_t map_bytes;
    struct db_txn write;
    struct {
        void *map; // NULL: not known
        long most_pages;
        _Atomic int64_t looked_us;
    } rest;
};

static MDB_val val_of(struct bytes b) {
    return (MDB_val){b.len, (void *)(uintptr_t)b.at};
}
static struct bytes bytes_of_val(MDB_val v) {
    return bytes_range(v.mv_data, v.mv_size);
}

static bool is_full(int rc) {
    return rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == ENOSPC || rc == EDQUOT || rc == EFBIG;
}

// After a failed write of its meta page LMDB takes nothing more in this process, read or write, though what it has
// committed is sound. To end here is no worse than kill -9, and whoever keeps us running starts a process that can go on.
static _Noreturn void end_dead(const struct db *db) {
    log_fault(db->log, "database: its meta page could not be written. Ending, as only a restart can go on; "
                       "nothing that was acknowledged is lost");
    _exit(EX_IOERR);
}

// A key LMDB does not take (empty, above 511 bytes) is the asker's mistake and leaves the transaction whole.
static bool trouble(struct db_txn *txn, int rc, const char *what, struct err *err) {
    if (rc == MDB_BAD_VALSIZE) return err_set(err, "database: %s: a key must have 1 to 511 bytes", what);
    if (rc == MDB_PANIC) end_dead(txn->db);
    if (txn->trouble == DB_NO_TROUBLE) txn->trouble = is_full(rc) ? DB_FULL : DB_BROKEN;
    return err_set(err, "database: %s: %s", what, mdb_strerror(rc));
}

// ---- memory -------------------------------------------------------------------------------------

// Pages read through the map are the page cache's, but the kernel counts them as ours, and under a limit of
// memory reclaims them late. When many have gathered they are let go of: what is still needed comes back at
// the price of a fault, and no pointer into the map is harmed.
enum { LOOK_EVERY_US = 20000, MAPPED_MOST = 24 << 20, STEPS_A_LOOK = 8192 };

static bool file_pages_here(long *pages) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return false;
    text[n] = 0;
    return sscanf(text, "%*d %*d %ld", pages) == 1;
}

// LMDB does not tell where its map is; the kernel does.
static void *find_map(MDB_env *env, size_t map_bytes) {
    mdb_filehandle_t fd;
    struct stat stat;
    void *found = NULL;
    char line[4400];
    if (mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &stat) != 0) return NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && !found && fgets(line, sizeof line, maps)) {
        unsigned long from, to, inode;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) != 3) continue;
        if (inode == stat.st_ino && to - from == map_bytes)
            found = (void *)from; // NOLINT: an address as text
    }
    if (maps) fclose(maps);
    return found;
}

static void rest_init(struct db *db) {
    long pages;
    if (!file_pages_here(&pages)) return;
    db->rest.map = find_map(db->env, db->map_bytes);
    db->rest.most_pages = pages + MAPPED_MOST / sysconf(_SC_PAGESIZE);
}

static void rest(struct db *db) {
    int64_t now = clock_monotonic_us(),
            looked = atomic_load_explicit(&db->rest.looked_us, memory_order_relaxed);
    long pages;
    if (!db->rest.map || now - looked < LOOK_EVERY_US) return;
    if (!atomic_compare_exchange_strong(&db->rest.looked_us, &looked, now)) return;
    if (!file_pages_here(&pages) || pages < db->rest.most_pages) return;
    madvise(db->rest.map, db->map_bytes, MADV_DONTNEED);
}

// ---- environment --------------------------------------------------------------------------------

// What is not to last is written where it is mapped: the page cache is as good as a disk to it.
static unsigned env_flags(const struct db *db) {
    return MDB_NOTLS | MDB_NORDAHEAD | (db->looking ? MDB_RDONLY : 0) | (db->fleeting ? MDB_NOSYNC | MDB_WRITEMAP | MDB_NOMEMINIT : 0);
}

static int env_open(struct db *db, const char *path, size_t map_bytes) {
    int rc = mdb_env_create(&db->env);
    if (rc) return rc;
    rc = mdb_env_set_mapsize(db->env, map_bytes);
    if (!rc) rc = mdb_env_set_maxdbs(db->env, TABLE_COUNT);
    if (!rc) rc = mdb_env_set_maxreaders(db->env, READERS_MOST);
    if (!rc) rc = mdb_env_open(db->env, path, env_flags(db), 0600);
    db->map_bytes = map_bytes;
    if (!rc) return 0;
    mdb_env_close(db->env);
    db->env = NULL;
    return rc;
}

static int tables_open(struct db *db) {
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, db->looking ? MDB_RDONLY : 0, &txn);
    if (rc) return rc;
    for (int i = 0; i < TABLE_COUNT && !rc; i++)
        rc = mdb_dbi_open(txn, table_name[i], db->looking ? 0 : MDB_CREATE, &db->table[i]);
    if (!rc) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static int env_open_somewhere(struct db *db, const char *path) {
    int rc = ENOMEM;
    size_t most = db->fleeting ? map_bytes_fleeting : map_bytes_most; // of the former the file is as long as the map
    for (size_t map = most; rc == ENOMEM && map >= map_bytes_least; map /= 4)
        rc = env_open(db, path, map);
    if (rc) return rc;
    int dead;
    mdb_reader_check(db->env, &dead); // readers a killed process left behind would pin old pages
    return tables_open(db);
}

// The file never gives pages back while it is open. After a great backlog it is mostly air: then it is
// copied, the live part only, and the copy takes its place. Where that fails, a full disk say, the old one
// does.
static bool is_mostly_air(struct db *db) {
    static const uint64_t not_worth_it = 64 << 20;
    struct db_txn txn = {.db = db};
    uint64_t file = db_bytes_file(db), used = file;
    if (file < not_worth_it || mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn.mdb) != 0) return false;
    used = db_bytes_used(&txn);
    mdb_txn_abort(txn.mdb);
    return used < file / 4;
}

static bool copy_live(struct db *db, const char *path, const char *to) {
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char name[4096];
    snprintf(name, sizeof name, "%s/data.mdb", path);
    bool copied = fd >= 0 && mdb_env_copyfd2(db->env, fd, MDB_CP_COMPACT) == 0 && fsync(fd) == 0 && rename(to, name) == 0;
    if (!copied) unlink(to);
    if (fd >= 0) close(fd);
    return copied;
}

static int shrink(struct db *db, const char *path) {
    char to[4096];
    snprintf(to, sizeof to, "%s/data.mdb.smaller", path);
    unlink(to); // of a start that was cut short
    uint64_t was = db_bytes_file(db);
    if (!is_mostly_air(db) || !copy_live(db, path, to)) return 0;
    mdb_env_close(db->env);
    db->env = NULL;
    // Which of the two a power cut would leave is not known before. Both hold the same now; what is committed later would be in one alone.
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = dir >= 0 && fsync(dir) == 0 ? 0 : errno;
    if (dir >= 0) close(dir);
    if (rc == 0) rc = env_open_somewhere(db, path);
    if (rc == 0)
        log_note(db->log, "%s/data.mdb: shrunk from %llu to %llu MiB", path, (unsigned long long)(was >> 20),
                 (unsigned long long)(db_bytes_file(db) >> 20));
    return rc;
}

// LMDB maps its lock file for writing: a page of it that finds no room on a full disk would be a SIGBUS,
// later.
static bool secure_lock_file(const char *path, struct err *err) {
    char name[4096];
    snprintf(name, sizeof name, "%s/lock.mdb", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return err_errno(err, "%s", name);
    bool secured = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCK_FILE_BYTES) == 0 || errno == EOPNOTSUPP;
    if (!secured) err_errno(err, "%s", name);
    close(fd);
    return secured;
}

// LMDB begins a database with two pages in one write. Cut in half, by a kill or a power cut, it would never open again, though
// nothing was ever in it: a first commit makes the file longer.
static bool begin_again(const char *path, const struct log *log) {
    struct stat stat;
    char name[4096];
    snprintf(name, sizeof name, "%s/data.mdb", path);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    bool unborn = fd >= 0 && fstat(fd, &stat) == 0 && stat.st_size <= 2 * sysconf(_SC_PAGESIZE) && ftruncate(fd, 0) == 0;
    if (fd >= 0) close(fd);
    if (unborn) log_note(log, "%s: was cut short while it was made, and is made again", name);
    return unborn;
}

struct db *db_open(const char *path, bool fleeting, const struct log *log, struct err *err) {
    if (!secure_lock_file(path, err)) return NULL;
    struct db *db = must_alloc(sizeof *db);
    db->log = log;
    db->fleeting = fleeting;
    db->write = (struct db_txn){.db = db, .is_write = true};
    int rc = env_open_somewhere(db, path);
    if (rc == MDB_INVALID && begin_again(path, log)) rc = env_open_somewhere(db, path);
    if (!rc) rc = shrink(db, path);
    if (!rc) {
        if (!fleeting) rest_init(db);
        return db;
    }
    err_set(err, "%s/data.mdb: %s", path, mdb_strerror(rc));
    db_close(&db);
    return NULL;
}

struct db *db_look(const char *path, const struct log *log, struct err *err) {
    struct db *db = must_alloc(sizeof *db);
    db->log = log;
    db->looking = true;
    int rc = env_open_somewhere(db, path);
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

// ---- transactions -------------------------------------------------------------------------------

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
    rest(t->db);
    return rc ? trouble(t, rc, "commit", err) : true;
}

void db_abort(struct db_txn *t) {
    forget_cursors(t);
    mdb_txn_abort(t->mdb);
    t->mdb = NULL;
}

enum db_trouble db_trouble(const struct db *db) {
    return db->write.trouble;
}

struct db_txn *db_reader_new(struct db *db, struct err *err) {
    struct db_txn *t = must_alloc(sizeof *t);
    t->db = db;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &t->mdb);
    if (rc == MDB_PANIC) end_dead(db);
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
    for (int i = 0; i < TABLE_COUNT; i++)
        t->cached[i].fresh = false;
    int rc = mdb_txn_renew(t->mdb);
    if (rc == MDB_PANIC) end_dead(t->db);
    bug_if(rc != 0); // else it fails only for a transaction that is not at rest
}

void db_reader_end(struct db_txn *t) {
    mdb_txn_reset(t->mdb);
    rest(t->db);
}

// ---- entries ------------------------------------------------------------------------------------

// A failed read is as bad as a failed write, and a reader has nobody else to tell.
static bool read_failed(struct db_txn *t, int rc, enum table table, struct err *err) {
    if (!t->is_write) log_fault(t->db->log, "database: reading %s: %s", table_name[table], mdb_strerror(rc));
    return trouble(t, rc, table_name[table], err);
}

bool db_get(struct db_txn *t, enum table table, struct bytes key, struct bytes *value, bool *found,
            struct err *err) {
    MDB_val k = val_of(key), v;
    int rc = mdb_get(t->mdb, t->db->table[table], &k, &v);
    *found = rc == 0;
    if (rc == 0)
        *value = bytes_of_val(v);
    else if (rc != MDB_NOTFOUND)
        return read_failed(t, rc, table, err);
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

bool db_put_new(struct db_txn *t, enum table table, struct bytes key, struct bytes value, bool *put,
                struct err *err) {
    return put_if(t, table, key, value, MDB_NOOVERWRITE, put, err);
}

bool db_append(struct db_txn *t, enum table table, struct bytes key, struct bytes value, bool *put,
               struct err *err) {
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

uint64_t db_bytes_of(struct db_txn *t, enum table table) {
    MDB_stat stat;
    if (mdb_stat(t->mdb, t->db->table[table], &stat)) return 0;
    return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
}

uint64_t db_bytes_used(struct db_txn *t) {
    uint64_t bytes = 0;
    for (int i = 0; i < TABLE_COUNT; i++) bytes += db_bytes_of(t, i);
    return bytes;
}

// ---- walks --------------------------------------------------------------------------------------

// The table's cursor is kept from walk to walk; a walk inside a walk of the same table gets one of its own.
static int cursor_take(struct db_walk *w) {
    struct db_txn *t = w->txn;
    MDB_cursor **cached = &t->cached[w->table].cursor;
    w->borrowed = !t->cached[w->table].busy;
    if (!w->borrowed) return mdb_cursor_open(t->mdb, t->db->table[w->table], (MDB_cursor **)&w->cursor);
    int rc = 0;
    if (!*cached)
        rc = mdb_cursor_open(t->mdb, t->db->table[w->table], cached);
    else if (!t->is_write && !t->cached[w->table].fresh)
        rc = mdb_cursor_renew(t->mdb, *cached);
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

bool db_next(struct db_walk *w) {
    if (++w->txn->steps % STEPS_A_LOOK == 0) rest(w->txn->db);
    return step(w, (MDB_val){0}, MDB_NEXT);
}

void db_walk_end(struct db_walk *w) {
    if (!w->cursor) return;
    if (w->borrowed)
        w->txn->cached[w->table].busy = false;
    else
        mdb_cursor_close(w->cursor);
    w->cursor = NULL;
}
