// SPDX-License-Identifier: MIT
#include "base/folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MODE = 0755 };

bool folder_make_parents(const char *path, struct err *err) {
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part) return err_set(err, "%s: the path is too long", path);
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, MODE) < 0 && errno != EEXIST) return err_errno(err, "cannot make the folder %s", part);
        *slash = '/';
    }
    return true;
}

bool folder_make(const char *path, struct err *err) {
    if (!folder_make_parents(path, err)) return false;
    return mkdir(path, MODE) == 0 || errno == EEXIST || err_errno(err, "cannot make the folder %s", path);
}
