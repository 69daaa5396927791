// SPDX-License-Identifier: MIT
#include "store/files.h"

#include "base/bug.h"
#include "base/bytes.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct file {
    atomic_uint holders;
    uint32_t number;
    int fd;
};

void files_init(struct files *files, int dir) {
    *files = (struct files){.dir = dir};
    bug_if(pthread_mutex_init(&files->lock, NULL) != 0);
}

void files_release(struct files *files) {
    for (int i = 0; i < FILES_KEPT; i++)
        file_put(&files->kept[i]);
    pthread_mutex_destroy(&files->lock);
}

static struct file *file_open(int dir, uint32_t number, struct err *err) {
    char name[FILE_NAME];
    file_name(number, name);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_errno(err, "segments/%s", name);
        return NULL;
    }
    struct file *file = must_alloc(sizeof *file);
    file->number = number;
    file->fd = fd;
    atomic_init(&file->holders, 1);
    return file;
}

static struct file *get_kept(struct files *files, uint32_t number) {
    struct file *file = files->kept[number % FILES_KEPT];
    if (!file || file->number != number) return NULL;
    atomic_fetch_add_explicit(&file->holders, 1, memory_order_relaxed);
    return file;
}

struct file *files_get(struct files *files, uint32_t number, struct err *err) {
    pthread_mutex_lock(&files->lock);
    struct file *file = get_kept(files, number), *leaves = NULL;
    if (!file && (file = file_open(files->dir, number, err))) {
        leaves = files->kept[number % FILES_KEPT];
        files->kept[number % FILES_KEPT] = file;
        atomic_fetch_add_explicit(&file->holders, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&files->lock);
    file_put(&leaves);
    return file;
}

void files_forget(struct files *files, uint32_t number) {
    pthread_mutex_lock(&files->lock);
    struct file **kept = &files->kept[number % FILES_KEPT], *leaves = NULL;
    if (*kept && (*kept)->number == number) {
        leaves = *kept;
        *kept = NULL;
    }
    pthread_mutex_unlock(&files->lock);
    file_put(&leaves);
}

int file_fd(const struct file *file) {
    return file->fd;
}

bool file_is_ours_alone(const struct file *file) {
    return atomic_load_explicit(&file->holders, memory_order_acquire) == 1;
}

void file_put(struct file **file) {
    struct file *f = *file;
    *file = NULL;
    if (!f || atomic_fetch_sub_explicit(&f->holders, 1, memory_order_acq_rel) != 1) return;
    close(f->fd);
    free(f);
}

void file_name(uint32_t number, char out[FILE_NAME]) {
    snprintf(out, FILE_NAME, "%010u.seg", number);
}

bool file_number(const char *name, uint32_t *number) {
    struct bytes b = bytes_of(name), suffix = BYTES(".seg");
    uint64_t value;
    if (b.len != 14 || !bytes_equal(bytes_skip(b, 10), suffix)) return false;
    if (!bytes_to_u64(bytes_first(b, 10), &value) || value == 0 || value > UINT32_MAX) return false;
    *number = (uint32_t)value;
    return true;
}
