// SPDX-License-Identifier: MIT
#include "net/inbox.h"

#include "base/bug.h"

enum {
    LEFT_OVER = 4096,  // so much untaken input is copied sooner than given a buffer to grow in
    READ_STEP = 16384, // how much that buffer grows by
};

struct bytes inbox_bytes(const struct inbox *i) {
    return i->view.len ? i->view : bytes_range(i->kept.at + i->from, i->kept.len - i->from);
}

size_t inbox_room(const struct inbox *i) {
    size_t waiting = inbox_bytes(i).len;
    return waiting < i->max ? i->max - waiting : 0;
}

bool inbox_is_lent(const struct inbox *i) {
    return i->view.len > 0;
}

static void drop_kept(struct inbox *i) {
    buf_release(&i->kept);
    i->from = 0;
}

char *inbox_landing(struct inbox *i, char *scratch, size_t scratch_size, size_t *size) {
    struct bytes left = inbox_bytes(i);
    *size = inbox_room(i);
    if (left.len <= LEFT_OVER) {
        if (*size > scratch_size - left.len) *size = scratch_size - left.len;
        if (left.len) memcpy(scratch, left.at, left.len);
        return scratch + left.len;
    }
    if (*size > READ_STEP) *size = READ_STEP;
    buf_drop(&i->kept, i->from);
    i->from = 0;
    buf_reserve(&i->kept, *size);
    return i->kept.at + i->kept.len;
}

void inbox_arrived(struct inbox *i, char *landing, size_t got) {
    size_t left = inbox_bytes(i).len;
    if (left > LEFT_OVER) {
        i->kept.len += got;
        return;
    }
    i->view = bytes_range(landing - left, left + got);
    drop_kept(i);
}

void inbox_keep(struct inbox *i) {
    struct bytes left = i->view;
    i->view = (struct bytes){0};
    buf_add(&i->kept, left);
}

void inbox_take(struct inbox *i, size_t n) {
    bug_if(n > inbox_bytes(i).len);
    if (i->view.len) {
        i->view = bytes_skip(i->view, n);
        return;
    }
    i->from += n;
    if (i->from == i->kept.len) drop_kept(i);
}

void inbox_drop(struct inbox *i) {
    i->view = (struct bytes){0};
    drop_kept(i);
}
