// SPDX-License-Identifier: MIT
#include "cli/lookout.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUIET_MS = 50, DEPTH_MAX = 10 };

struct lookout {
    int fd;
};

struct lookout *lookout_new(struct err *err) {
    struct lookout *l = must_alloc(sizeof *l);
    l->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (l->fd >= 0) return l;
    err_errno(err, "inotify");
    free(l);
    return NULL;
}

void lookout_free(struct lookout **l) {
    if (!*l) return;
    close((*l)->fd);
    free(*l);
    *l = NULL;
}

static bool add(struct lookout *l, const char *folder, int depth, struct err *err) {
    uint32_t what = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
    if (inotify_add_watch(l->fd, folder, what) < 0) return err_errno(err, "%s", folder);
    DIR *d = depth < DEPTH_MAX ? opendir(folder) : NULL;
    bool ok = true;
    for (struct dirent *e; ok && d && (e = readdir(d));) {
        char path[4096];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) ok = add(l, path, depth + 1, err);
    }
    if (d) closedir(d);
    return ok;
}

bool lookout_add(struct lookout *l, const char *folder, struct err *err) {
    return add(l, folder, 0, err);
}

// Takes all events there are; keeps the first name of a file that is not an editor's own.
static void take(struct lookout *l, struct buf *name) {
    _Alignas(struct inotify_event) char events[8192];
    ssize_t n;
    while ((n = read(l->fd, events, sizeof events)) > 0)
        for (char *at = events; at < events + n;) {
            const struct inotify_event *e = (const struct inotify_event *)at;
            at += sizeof *e + e->len;
            if (name->len || !e->len || e->name[0] == '.' || e->name[strlen(e->name) - 1] == '~') continue;
            buf_addz(name, e->name);
        }
}

bool lookout_wait(struct lookout *l, struct buf *name, struct err *err) {
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    size_t before = name->len;
    for (;;) {
        int ready = poll(&p, 1, name->len > before ? QUIET_MS : -1);
        if (ready < 0 && errno != EINTR) return err_errno(err, "poll");
        if (ready == 0) return true;
        if (ready > 0) take(l, name);
    }
}
