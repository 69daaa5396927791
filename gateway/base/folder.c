// SPDX-License-Identifier: MIT
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = 0755 };

// What is put into a folder lasts no longer than its own name does: the folder above is synced when it gets it.
static bool sync_above(char *path, char *slash) {
    const char *above = slash == path ? "/" : path;
    if (slash) *slash = 0;
    int fd = open(slash ? above : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash) *slash = '/';
    if (fd < 0) return errno == EACCES; // whoever may not look there did not make it
    bool synced = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    return synced;
}

static bool make_one(char *path, struct err *err) {
    bool made = mkdir(path, MODE) == 0;
    if ((made && sync_above(path, strrchr(path, '/'))) || (!made && errno == EEXIST)) return true;
    return err_errno(err, "cannot make the folder %s", path);
}

static bool make_parents(char *path, struct err *err) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (!make_one(path, err)) return false;
        *slash = '/';
    }
    return true;
}

static bool copy(const char *path, char out[PATH_MAX], struct err *err) {
    if (strlen(path) >= PATH_MAX) return err_set(err, "%s: the path is too long", path);
    snprintf(out, PATH_MAX, "%s", path);
    return true;
}

bool folder_make_parents(const char *path, struct err *err) {
    char part[PATH_MAX];
    return copy(path, part, err) && make_parents(part, err);
}

bool folder_make(const char *path, struct err *err) {
    char whole[PATH_MAX];
    return copy(path, whole, err) && make_parents(whole, err) && make_one(whole, err);
}
