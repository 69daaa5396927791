// SPDX-License-Identifier: MIT
#include "store/space.h"

#include "base/clock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char reserve_name[] = "reserve";
static const uint64_t reserve_most = 16 << 20;
static const int64_t look_every_us = 100000;

void space_init(struct space *space, int dir, uint64_t keep_free, uint64_t ceiling, const struct log *log) {
    *space = (struct space){.dir = dir, .log = log, .keep_free = keep_free, .ceiling = ceiling};
    space->reserve_bytes = keep_free / 8 < reserve_most ? keep_free / 8 : reserve_most;
    atomic_init(&space->room, true);
    struct stat stat;
    space->has_reserve =
        fstatat(dir, reserve_name, &stat, 0) == 0 && (uint64_t)stat.st_blocks * 512 >= space->reserve_bytes;
    space_look(space);
    space_take_reserve(space);
}

void space_used(struct space *space, uint64_t bytes) {
    atomic_store(&space->used, bytes);
}

void space_look(struct space *space) {
    atomic_store(&space->looked_us, clock_monotonic_us());
    struct statvfs fs;
    uint64_t used = atomic_load(&space->used);
    uint64_t free_bytes = fstatvfs(space->dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
    bool had = atomic_load(&space->room);
    // Coming back asks for a little more than going away, so that the answer does not flicker from mail to
    // mail.
    uint64_t margin = had ? 0 : space->keep_free / 16, slack = had ? 0 : space->ceiling / 64;
    bool room = free_bytes > space->keep_free + margin && (!space->ceiling || used + slack < space->ceiling);
    if (atomic_exchange(&space->room, room) == room) return;
    log_warn(space->log, "store: %s new mail: %llu MiB free on the disk, %llu MiB in use",
             room ? "taking" : "no room for", (unsigned long long)(free_bytes >> 20),
             (unsigned long long)(used >> 20));
}

bool space_has_room(struct space *space) {
    int64_t looked = atomic_load_explicit(&space->looked_us, memory_order_relaxed),
            now = clock_monotonic_us();
    if (now - looked >= look_every_us && atomic_compare_exchange_strong(&space->looked_us, &looked, now))
        space_look(space);
    return atomic_load_explicit(&space->room, memory_order_relaxed);
}

bool space_give_reserve(struct space *space) {
    if (!space->has_reserve) return false;
    space->has_reserve = false;
    unlinkat(space->dir, reserve_name, 0);
    log_warn(space->log,
             "store: the disk is full; the reserve of %llu MiB is given up to go on settling mail",
             (unsigned long long)(space->reserve_bytes >> 20));
    return true;
}

void space_take_reserve(struct space *space) {
    if (space->has_reserve || !space->reserve_bytes || !space_has_room(space)) return;
    int fd = openat(space->dir, reserve_name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    space->has_reserve = fallocate(fd, 0, 0, (off_t)space->reserve_bytes) == 0;
    close(fd);
    if (!space->has_reserve) unlinkat(space->dir, reserve_name, 0);
}
