// SPDX-License-Identifier: MIT
#include "relay/maildir.h"

#include "base/folder.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool make_folders(const char *dir, struct err *err) {
    static const char *const sub[] = {"tmp", "new", "cur"};
    for (size_t i = 0; i < sizeof sub / sizeof *sub; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, sub[i]);
        if (!folder_make(path, err)) return false;
    }
    return true;
}

// A Maildir's files have the system's line ends: LF. A CR at a piece's end waits for the next one.
static void add_lf(struct buf *out, struct bytes piece, bool *cr) {
    for (size_t i = 0; i < piece.len; i++) {
        char c = piece.at[i];
        if (*cr && c != '\n') buf_byte(out, '\r');
        *cr = c == '\r';
        if (!*cr) buf_byte(out, c);
    }
}

static bool put(int fd, struct buf *text, struct err *err) {
    for (size_t done = 0; done < text->len;) {
        ssize_t n = write(fd, text->at + done, text->len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_errno(err, "cannot write captured mail");
        done += (size_t)n;
    }
    buf_reset(text);
    return true;
}

static bool write_message(int fd, struct bytes prefix, struct body *body, struct err *err) {
    struct buf text = {0};
    char chunk[65536];
    bool cr = false, good = true;
    struct bytes piece = BYTES("");
    add_lf(&text, prefix, &cr);
    uint64_t offset = 0;
    do {
        good = put(fd, &text, err) && body_piece(body, offset, chunk, sizeof chunk, &piece, err);
        if (good) add_lf(&text, piece, &cr);
        offset += piece.len;
    } while (good && piece.len);
    if (good && cr) buf_byte(&text, '\r');
    good = good && put(fd, &text, err);
    buf_release(&text);
    if (good && fdatasync(fd) < 0) good = err_errno(err, "cannot sync captured mail");
    return good;
}

static bool sync_folder(const char *path, struct err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, "cannot open %s", path);
    bool good = fsync(fd) == 0 || err_errno(err, "cannot sync %s", path);
    close(fd);
    return good;
}

// Where tmp was made and new was not, by a start that was cut short say, the rest is made up for.
static bool move(const char *dir, const char *from, const char *to, struct err *err) {
    if (rename(from, to) == 0) return true;
    if (errno == ENOENT && !make_folders(dir, err)) return false;
    return rename(from, to) == 0 || err_errno(err, "cannot move captured mail to %s", to);
}

bool maildir_deliver(const char *dir, const char *unique, struct bytes prefix, struct body *body, struct err *err) {
    char from[4096], to[4096], folder[4096];
    snprintf(from, sizeof from, "%s/tmp/%s", dir, unique);
    snprintf(to, sizeof to, "%s/new/%s", dir, unique);
    snprintf(folder, sizeof folder, "%s/new", dir);
    int fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 && errno == ENOENT) {
        if (!make_folders(dir, err)) return false;
        fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    }
    if (fd < 0) return err_errno(err, "cannot write %s", from);
    bool good = write_message(fd, prefix, body, err);
    close(fd);
    if (good && !move(dir, from, to, err)) good = false;
    if (!good) unlink(from);
    return good && sync_folder(folder, err);
}
