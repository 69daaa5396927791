// SPDX-License-Identifier: MIT
#include "relay/footprint.h"

#include "base/trend.h"
#include "relay/gateway.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LOOK_MS = 60 * 1000 };

struct footprint {
    struct gateway *gateway;
    struct timer *timer;
    struct trend room; // for new mail
};

// ---- disk -----------------------------------------------------------------------------------------------------------------------

struct disk {
    uint64_t free, whole; // of the file system; 0: it does not say
    uint64_t bodies, database, events;
    struct table_size journal;
    int64_t room; // until no new mail is taken
};

static int64_t room_left(const struct disk *d, const struct conf *conf) {
    int64_t room = (int64_t)d->free - (int64_t)conf->store_reserve;
    int64_t below = (int64_t)conf->store_ceiling - (int64_t)(d->bodies + d->database);
    return conf->store_ceiling && below < room ? below : room;
}

static void look_at_tables(struct gateway *g, struct disk *d) {
    struct err err;
    struct reader *reader = reader_new(g->store, &err);
    if (!reader) return;
    reader_begin(reader);
    for (int table = 0; table < TABLE_COUNT; table++) d->database += reader_size(reader, table).bytes;
    d->journal = reader_size(reader, TABLE_JOURNAL);
    reader_end(reader);
    reader_free(&reader);
}

static struct disk look_at_disk(struct gateway *g) {
    struct disk d = {0};
    struct statvfs fs;
    struct stat events;
    struct store_stats store;
    store_get_stats(g->store, &store);
    d.bodies = store.body_bytes_disk;
    look_at_tables(g, &d);
    if (statvfs(g->site->conf->store, &fs) == 0) {
        d.free = (uint64_t)fs.f_bavail * fs.f_frsize;
        d.whole = (uint64_t)fs.f_blocks * fs.f_frsize;
    }
    if (stat(events_path(g->events), &events) == 0) d.events = (uint64_t)events.st_size;
    d.room = room_left(&d, g->site->conf);
    return d;
}

static void put_disk(struct footprint *f, const struct disk *d, struct jsonl *j) {
    const struct conf *conf = f->gateway->site->conf;
    int64_t lasts_s;
    jsonl_open(j, "disk", '{');
    jsonl_textz(j, "path", conf->store);
    if (d->whole) {
        jsonl_int(j, "free_bytes", (int64_t)d->free);
        jsonl_int(j, "whole_bytes", (int64_t)d->whole);
    }
    if (trend_lasts(&f->room, clock_ms(&f->gateway->clock), d->room, &lasts_s)) jsonl_int(j, "lasts_s", lasts_s);
    jsonl_int(j, "reserve_bytes", (int64_t)conf->store_reserve);
    if (conf->store_ceiling) jsonl_int(j, "ceiling_bytes", (int64_t)conf->store_ceiling);
    jsonl_int(j, "bodies_bytes", (int64_t)d->bodies);
    jsonl_int(j, "database_bytes", (int64_t)d->database);
    jsonl_int(j, "journal_bytes", (int64_t)d->journal.bytes);
    jsonl_int(j, "journal_entries", (int64_t)d->journal.entries);
    jsonl_int(j, "journal_most", (int64_t)conf->journal_max);
    jsonl_int(j, "events_bytes", (int64_t)d->events);
    jsonl_close(j, '}');
}

// ---- memory ---------------------------------------------------------------------------------------------------------------------

uint64_t footprint_memory(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t limit_in(const char *folder) {
    char path[PATH_MAX];
    uint64_t bytes = UINT64_MAX;
    snprintf(path, sizeof path, "%s/memory.max", folder);
    FILE *file = fopen(path, "re");
    if (!file) return UINT64_MAX;
    if (fscanf(file, "%" SCNu64, &bytes) != 1) bytes = UINT64_MAX; // "max"
    fclose(file);
    return bytes;
}

uint64_t footprint_memory_limit(const char *file, const char *root) {
    char line[PATH_MAX / 2], folder[PATH_MAX] = "";
    uint64_t least = UINT64_MAX;
    FILE *groups = fopen(file, "re");
    while (groups && fgets(line, sizeof line, groups))
        if (strncmp(line, "0::/", 4) == 0) snprintf(folder, sizeof folder, "%s%.*s", root, (int)strcspn(line + 3, "\n"), line + 3);
    if (groups) fclose(groups);
    while (folder[0]) {
        uint64_t bytes = limit_in(folder);
        if (bytes < least) least = bytes;
        if (strlen(folder) <= strlen(root)) break; // in a container the root is a group with a limit, too
        *strrchr(folder, '/') = 0;
    }
    return least;
}

// The kernel counts for getrusage a processor at a time and sums up now and then, so its peak can lie below what is there now.
static uint64_t peak(uint64_t resident) {
    struct rusage usage;
    uint64_t seen = getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
    return seen > resident ? seen : resident;
}

static void put_memory(struct jsonl *j) {
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = footprint_memory_limit("/proc/self/cgroup", "/sys/fs/cgroup"), resident = footprint_memory();
    jsonl_open(j, "memory", '{');
    jsonl_int(j, "resident_bytes", (int64_t)resident);
    jsonl_int(j, "peak_bytes", (int64_t)peak(resident));
    jsonl_int(j, "most_bytes", (int64_t)(limit < machine ? limit : machine));
    jsonl_close(j, '}');
}

// ---- limits ---------------------------------------------------------------------------------------------------------------------

static int64_t open_files(void) {
    int64_t count = -1; // the folder's own
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) return -1;
    for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void put_limits(const struct conf_limits *limits, struct jsonl *j) {
    struct rlimit files;
    int64_t open = open_files();
    jsonl_open(j, "limits", '{');
    jsonl_int(j, "connections", limits->connections);
    jsonl_int(j, "connections_out", limits->connections_out);
    jsonl_int(j, "memory_in_flight", (int64_t)limits->memory_in_flight);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) jsonl_int(j, "files", (int64_t)files.rlim_cur);
    if (open >= 0) jsonl_int(j, "files_open", open);
    jsonl_close(j, '}');
}

// ---- the whole ------------------------------------------------------------------------------------------------------------------

static struct disk look(struct footprint *f) {
    struct disk d = look_at_disk(f->gateway);
    if (d.whole) trend_see(&f->room, clock_ms(&f->gateway->clock), d.room);
    return d;
}

static void look_again(void *arg) {
    struct footprint *f = arg;
    look(f);
    timer_set(f->timer, LOOK_MS);
}

struct footprint *footprint_new(struct gateway *g) {
    struct footprint *f = must_alloc(sizeof *f);
    f->gateway = g;
    f->timer = timer_new(g->loop, look_again, f);
    look_again(f);
    return f;
}

void footprint_free(struct footprint **at) {
    struct footprint *f = *at;
    *at = NULL;
    if (!f) return;
    timer_free(&f->timer);
    free(f);
}

void footprint_show(struct footprint *f, struct jsonl *j) {
    struct disk d = look(f);
    put_disk(f, &d, j);
    put_memory(j);
    put_limits(&f->gateway->site->conf->limits, j);
}
