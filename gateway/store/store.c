// SPDX-License-Identifier: MIT
#include "store/store.h"

#include "base/bug.h"
#include "base/folder.h"
#include "store/inside.h"
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t segment_bytes_usual = 64 << 20, reserve_bytes_usual = 128 << 20, journal_usual = 100000;

static uint64_t or_usual(uint64_t value, uint64_t usual) {
    return value ? value : usual;
}

static int open_folder(int at, const char *path) {
    return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool open_folders(struct store *s, struct err *err) {
    if (!folder_make_parents(s->path, err)) return false;
    if (mkdir(s->path, 0700) != 0 && errno != EEXIST) return err_errno(err, "%s", s->path);
    s->dir = open_folder(AT_FDCWD, s->path);
    if (s->dir < 0) return err_errno(err, "%s", s->path);
    s->lock = lock_take(s->dir, s->path, err);
    if (s->lock < 0) return false;
    if (mkdirat(s->dir, "segments", 0700) != 0 && errno != EEXIST)
        return err_errno(err, "%s/segments", s->path);
    s->segment_dir = open_folder(s->dir, "segments");
    return s->segment_dir >= 0 || err_errno(err, "%s/segments", s->path);
}

// The names of what was made must last as the files do.
static bool sync_folders(struct store *s, struct err *err) {
    int above = open_folder(s->dir, "..");
    bool synced = fsync(s->dir) == 0;
    if (above >= 0) synced = (fsync(above) == 0) && synced;
    if (above >= 0) close(above); // where we may not look above, the operator made the folder long ago
    return synced || err_errno(err, "%s: sync", s->path);
}

static bool learn_segments(struct store *s, struct err *err) {
    struct db_walk walk = {.txn = s->txn.db, .table = TABLE_SEGMENT};
    bool learnt = true;
    for (bool at = db_seek(&walk, BYTES("")); at && learnt; at = learnt && db_next(&walk))
        learnt = segments_learn(&s->segments, walk.key, walk.value, err);
    db_walk_end(&walk);
    return learnt && (db_trouble(s->db) == DB_NO_TROUBLE || err_set(err, "segment table cannot be read"));
}

// A new database beside old bodies is a mishap; sweeping would make it a disaster.
static bool learn(struct store *s, bool is_new, struct err *err) {
    bool has_files = false;
    if (is_new && !segments_has_files(&s->segments, &has_files, err)) return false;
    if (has_files)
        return err_set(
            err, "segments/ holds bodies, but data.mdb is new: put the old one back, or move segments/ away");
    return learn_segments(s, err) && segments_sweep(&s->segments, err);
}

// One transaction: what an older version lacks, the segments swept, what was promised. `learnt`: an attempt before this
// one got so far as to know the segments; the rows it changed are still marked.
static bool recover_once(struct store *s, bool *learnt, struct err *err) {
    struct txn_counts counts;
    uint64_t promised = 0;
    bool is_new;
    if (!txn_begin(&s->txn, err)) return false;
    bool loaded = txn_load(&s->txn, &is_new, err);
    if (loaded && !*learnt) loaded = *learnt = learn(s, is_new, err);
    if (!loaded || !redo_replay(s, &promised, err)) {
        txn_abort(&s->txn);
        return false;
    }
    s->last_id = s->txn.id_mark;
    if (!txn_commit(&s->txn, &counts, err)) return false;
    const struct segment *hot = segments_find(&s->segments, s->segments.tail[SEGMENT_HOT].number);
    if (hot) s->segments.tail[SEGMENT_HOT].synced = hot->end; // it is: redo_replay saw to that
    if (promised)
        log_note(s->log, "store: %llu messages that were promised just before the end are in the queue",
                 (unsigned long long)promised);
    store_tell_counts(s, &counts);
    return true;
}

static bool recover(struct store *s, struct err *err) {
    bool learnt = false;
    bool done = recover_once(s, &learnt, err);
    if (!done && learnt && db_trouble(s->db) == DB_FULL && space_give_reserve(s->space))
        done = recover_once(s, &learnt, err);
    return done;
}

static bool open_all(struct store *s, const struct store_options *options, struct err *err) {
    if (!open_folders(s, err)) return false;
    s->space = must_alloc(sizeof *s->space);
    space_init(s->space, s->dir, or_usual(options->reserve_bytes, reserve_bytes_usual),
               options->ceiling_bytes, s->log);
    s->db = db_open(s->path, s->fleeting, s->log, err);
    if (!s->db) return false;
    files_init(&s->files, s->segment_dir);
    segments_init(&s->segments, s->segment_dir, &s->files,
                  or_usual(options->segment_bytes, segment_bytes_usual), s->log);
    s->segments.unsynced = s->fleeting;
    s->txn.env = s->db;
    s->txn.segments = &s->segments;
    s->txn.journal_max = or_usual(options->journal_max, journal_usual);
    if (!recover(s, err)) return err_within(err, "%s", s->path);
    if (!s->fleeting && !sync_folders(s, err)) return false;
    s->writer = writer_start(s, err);
    return s->writer != NULL;
}

struct store *store_open(const struct store_options *options, struct err *err) {
    struct store *s = must_alloc(sizeof *s);
    s->path = bytes_dupz(bytes_of(options->path));
    s->fleeting = options->fleeting;
    s->clock = options->clock;
    s->log = options->log;
    s->dir = s->segment_dir = s->lock = -1;
    if (open_all(s, options, err)) return s;
    store_close(&s);
    return NULL;
}

struct store *store_look(const char *path, const struct clock *clock, const struct log *log, struct err *err) {
    struct store *s = must_alloc(sizeof *s);
    s->path = bytes_dupz(bytes_of(path));
    s->clock = clock;
    s->log = log;
    s->dir = s->segment_dir = s->lock = -1;
    s->db = db_look(path, log, err);
    if (!s->db) store_close(&s);
    return s;
}

void store_close(struct store **store) {
    struct store *s = *store;
    if (!s) return;
    bug_if(atomic_load(&s->readers) != 0);
    if (s->writer) writer_stop(&s->writer);
    compact_release(&s->compact);
    if (s->db && s->space) {
        segments_release(&s->segments);
        files_release(&s->files);
    }
    db_close(&s->db);
    buf_release(&s->txn.value);
    if (s->segment_dir >= 0) close(s->segment_dir);
    if (s->dir >= 0) close(s->dir);
    if (s->lock >= 0) close(s->lock);
    free(s->space);
    free(s->path);
    free(s);
    *store = NULL;
}

bool store_has_room(const struct store *s) {
    return space_has_room(s->space);
}

bool store_is_sick(const struct store *s) {
    return atomic_load_explicit(&s->told.sick, memory_order_relaxed);
}

const char *store_name(const struct store *s) {
    return s->txn.name;
}

uint64_t store_last_id(const struct store *s) {
    return s->last_id;
}

void store_submit(struct store *s, struct store_op *op) {
    writer_submit(s->writer, op);
}

bool store_turn(struct store *s) {
    bug_if(!s->fleeting);
    return writer_turn(s->writer);
}

void store_tell_counts(struct store *s, const struct txn_counts *counts) {
    atomic_store(&s->told.messages, counts->messages);
    atomic_store(&s->told.recipients, counts->recipients);
    atomic_store(&s->told.parked, counts->parked);
    atomic_store(&s->told.held, counts->held);
    atomic_store(&s->told.segments, s->segments.count);
    atomic_store(&s->told.body_bytes_live, s->segments.live);
    atomic_store(&s->told.body_bytes_disk, s->segments.disk);
    atomic_store(&s->told.db_bytes, db_bytes_file(s->db));
    space_used(s->space, s->segments.disk + counts->db_bytes_used);
}

void store_get_stats(struct store *s, struct store_stats *out) {
    *out = (struct store_stats){
        .commits = atomic_load(&s->told.commits),
        .ops = atomic_load(&s->told.ops),
        .bytes_written = atomic_load(&s->told.bytes_written),
        .messages = atomic_load(&s->told.messages),
        .recipients = atomic_load(&s->told.recipients),
        .parked = atomic_load(&s->told.parked),
        .held = atomic_load(&s->told.held),
        .segments = atomic_load(&s->told.segments),
        .body_bytes_live = atomic_load(&s->told.body_bytes_live),
        .body_bytes_disk = atomic_load(&s->told.body_bytes_disk),
        .db_bytes = atomic_load(&s->told.db_bytes),
        .commit_us_last = atomic_load(&s->told.commit_us_last),
        .commit_us_max = atomic_load(&s->told.commit_us_max),
    };
    uint64_t elsewhere = out->parked + out->held; // read one after the other: a commit may have come between
    out->due = out->recipients > elsewhere ? out->recipients - elsewhere : 0;
}
