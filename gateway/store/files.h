// SPDX-License-Identifier: MIT
// files: the segment files that are open for reading, shared by all threads.
//
// The last few stay open, so that reading a body costs no open(2). Whoever got a file keeps it readable until
// file_put, even when it has been unlinked or closed here meanwhile.
#pragma once

#include "base/err.h"

#include <pthread.h>
#include <stdint.h>

struct file;

enum { FILES_KEPT = 64, FILE_NAME = 24 };

struct files {
    int dir; // borrowed
    pthread_mutex_t lock;
    struct file *kept[FILES_KEPT]; // by number modulo
};

void files_init(struct files *files, int dir);
void files_release(struct files *files);
struct file *files_get(struct files *files, uint32_t number, struct err *err); // NULL: see err
void files_forget(struct files *files, uint32_t number); // after unlink
int file_fd(const struct file *file);
bool file_is_ours_alone(const struct file *file); // nobody else has it; for one that was forgotten, so it stays so
void file_put(struct file **file);

void file_name(uint32_t number, char out[FILE_NAME]);
bool file_number(const char *name, uint32_t *number); // false: not a segment's name
