// SPDX-License-Identifier: MIT
#include "store/spent.h"

#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// A piece takes a disk one or two milliseconds; the more files wait, the larger it is, so that they never become many.
static const off_t piece_bytes = 4 << 20;

struct spent_file {
    struct spent_file *next;
    struct file *file; // to know whether anybody else has it
    int fd;            // to write
    off_t left;
};

static void let_go(struct spent *spent) {
    struct spent_file *f = spent->oldest;
    spent->oldest = f->next;
    spent->count--;
    close(f->fd);
    file_put(&f->file);
    free(f);
}

static void keep(struct spent *spent, struct file *file, int fd) {
    struct stat stat;
    struct spent_file *f = must_alloc(sizeof *f), **end = &spent->oldest;
    while (*end)
        end = &(*end)->next;
    *f = (struct spent_file){.file = file, .fd = fd, .left = fstat(fd, &stat) == 0 ? stat.st_size : 0};
    *end = f;
    spent->count++;
}

bool spent_take(struct spent *spent, struct files *files, uint32_t number) {
    char name[FILE_NAME];
    struct err err;
    file_name(number, name);
    struct file *file = files_get(files, number, &err);
    int fd = file ? openat(files->dir, name, O_WRONLY | O_CLOEXEC) : -1;
    files_forget(files, number);
    bool gone = unlinkat(files->dir, name, 0) == 0 || errno == ENOENT;
    int why = errno;
    if (gone && fd >= 0) {
        keep(spent, file, fd);
    } else { // freed at once, or later by who reads it
        if (fd >= 0) close(fd);
        file_put(&file);
    }
    errno = why;
    return gone;
}

bool spent_give_back(struct spent *spent) {
    struct spent_file *f = spent->oldest;
    if (!f) return false;
    off_t piece = piece_bytes * (off_t)spent->count;
    f->left = f->left > piece ? f->left - piece : 0;
    if (!f->left || !file_is_ours_alone(f->file) || ftruncate(f->fd, f->left) != 0) let_go(spent);
    return true;
}

void spent_release(struct spent *spent) {
    while (spent->oldest)
        let_go(spent);
}
