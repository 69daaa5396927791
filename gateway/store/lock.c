// SPDX-License-Identifier: MIT
#include "store/lock.h"

#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static void name_holder(int fd, const char *path, struct err *err) {
    char text[32];
    ssize_t n = pread(fd, text, sizeof text, 0);
    uint64_t pid;
    if (n > 0 && bytes_to_u64(bytes_trim(bytes_range(text, (size_t)n)), &pid))
        err_set(err, "%s: in use by process %llu; a store has one process", path, (unsigned long long)pid);
    else
        err_set(err, "%s: in use by another process; a store has one process", path);
}

int lock_take(int dir, const char *path, struct err *err) {
    int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_errno(err, "%s/lock", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            name_holder(fd, path, err);
        else
            err_errno(err, "%s/lock", path);
        close(fd);
        return -1;
    }
    // On a full disk the pid may be missing; the lock holds all the same.
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) != n) (void)!ftruncate(fd, 0);
    return fd;
}
