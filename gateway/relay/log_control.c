// SPDX-License-Identifier: MIT
#include "relay/log_control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { LINES_DEFAULT = 20, LINES_MAX = 100000, LOOK_BACK = 64 * 1024 * 1024, PIECE = 256 * 1024, FOLLOW_MS = 150 };

struct viewing {
    struct asker *asker;
    int fd;
    off_t at;                // read up to here
    char *id, *type, *identity; // "" = any
    char *address;           // "" = any; "@domain" is all of a domain
    struct buf rest;         // the start of a line whose end has not come yet
    struct timer *timer;     // while following
    uint64_t shown;
};

static void end(struct viewing *v) {
    struct asker *a = v->asker;
    uint64_t shown = v->shown;
    if (v->timer) timer_free(&v->timer);
    if (v->fd >= 0) close(v->fd);
    buf_release(&v->rest);
    free(v->id);
    free(v->type);
    free(v->identity);
    free(v->address);
    free(v);
    struct jsonl *j = asker_done_begin(a);
    jsonl_int(j, "count", (int64_t)shown);
    asker_done_end(a);
}

static bool has_member(struct bytes line, const char *name, const char *value) {
    if (!*value) return true;
    struct buf wanted = {0};
    buf_format(&wanted, "\"%s\":", name);
    jsonl_escape(&wanted, bytes_of(value));
    bool has = bytes_search(line, buf_bytes(&wanted)) >= 0;
    buf_release(&wanted);
    return has;
}

// As sender, as recipient, or in a list of them: a text of the line that is the address, or ends in the domain.
static bool names_address(struct bytes line, const char *address) {
    if (!*address) return true;
    struct buf wanted = {0};
    jsonl_escape(&wanted, bytes_of(address));
    bool has = bytes_search(line, bytes_skip(buf_bytes(&wanted), *address == '@')) >= 0; // jsonl_escape has put it in quotes
    buf_release(&wanted);
    return has;
}

static bool is_wanted(const struct viewing *v, struct bytes line) {
    return line.len > 1 && line.at[0] == '{' && has_member(line, "id", v->id) && has_member(line, "type", v->type) &&
           has_member(line, "identity", v->identity) && names_address(line, v->address);
}

static void show(struct viewing *v, struct bytes line) {
    if (!is_wanted(v, line)) return;
    asker_row(v->asker, line);
    v->shown++;
}

static void read_on(struct viewing *v) {
    char piece[16384];
    ssize_t n;
    while (!asker_is_full(v->asker) && (n = pread(v->fd, piece, sizeof piece, v->at)) > 0) {
        v->at += n;
        buf_add(&v->rest, bytes_range(piece, (size_t)n));
        struct bytes lines = buf_bytes(&v->rest);
        size_t used = 0;
        for (ptrdiff_t eol; (eol = bytes_find(lines, '\n')) >= 0; used += (size_t)eol + 1) {
            show(v, bytes_first(lines, (size_t)eol));
            lines = bytes_skip(lines, (size_t)eol + 1);
        }
        buf_drop(&v->rest, used);
    }
}

static void on_timer(void *arg) {
    struct viewing *v = arg;
    struct stat now;
    const char *path = events_path(asker_gateway(v->asker)->events);
    read_on(v);
    // Rotated: go on with the new file once the old one is read to its end.
    struct stat ours;
    if (fstat(v->fd, &ours) == 0 && stat(path, &now) == 0 && now.st_ino != ours.st_ino) {
        int fresh = open(path, O_RDONLY | O_CLOEXEC);
        if (fresh >= 0) {
            close(v->fd);
            v->fd = fresh;
            v->at = 0;
        }
    }
    timer_set(v->timer, FOLLOW_MS);
}

// Also called when it has gone, and when everything closes.
static void on_ready(void *arg) {
    struct viewing *v = arg;
    if (asker_is_gone(v->asker)) return end(v);
    asker_when_ready(v->asker, on_ready, v);
}

// Where the last `wanted` matching lines begin: reads backwards in pieces, at most LOOK_BACK bytes.
static off_t find_start(struct viewing *v, off_t size, uint64_t wanted) {
    struct buf text = {0};
    off_t from = size, least = size > LOOK_BACK ? size - LOOK_BACK : 0, start = size;
    uint64_t found = 0;
    while (from > least && found < wanted) {
        off_t step = from - least < PIECE ? from - least : PIECE;
        struct buf piece = {0};
        buf_reserve(&piece, (size_t)step + text.len);
        ssize_t n = pread(v->fd, piece.at, (size_t)step, from - step);
        if (n != step) {
            buf_release(&piece);
            break;
        }
        piece.len = (size_t)n;
        buf_add(&piece, buf_bytes(&text)); // the front of what is known: a line cut by the piece's border
        from -= step;
        ptrdiff_t end_at = (ptrdiff_t)piece.len;
        while (end_at > 0 && found < wanted) {
            ptrdiff_t lf = end_at > 1 ? bytes_find_last(bytes_first(buf_bytes(&piece), (size_t)end_at - 1), '\n') : -1;
            if (lf < 0 && from > 0) break;
            if (is_wanted(v, bytes_range(piece.at + lf + 1, (size_t)(end_at - lf - 1)))) {
                found++;
                start = from + lf + 1;
            }
            end_at = lf + 1;
            if (lf < 0) break;
        }
        buf_reset(&text);
        buf_add(&text, bytes_range(piece.at, (size_t)(end_at > 0 ? end_at : 0)));
        buf_release(&piece);
    }
    buf_release(&text);
    return start;
}

static char *text_of(const struct json *request, const char *name) {
    struct bytes text = BYTES("");
    json_text(json_get(request, name), &text);
    return bytes_dupz(text);
}

// As events have it, however it was typed; "": any.
static bool read_id(const struct json *request, char out[ID_TEXT]) {
    const struct json *given = json_get(request, "id");
    struct bytes text;
    uint64_t id;
    out[0] = 0;
    if (!given) return true;
    if (!json_text(given, &text) || !id_parse(text, &id)) return false;
    id_text(id, out);
    return true;
}

void log_control(struct asker *a, const struct json *request) {
    char id[ID_TEXT];
    int64_t n = LINES_DEFAULT;
    bool follow = false;
    const char *path = events_path(asker_gateway(a)->events);
    json_int(json_get(request, "n"), &n);
    json_bool(json_get(request, "follow"), &follow);
    if (n < 0 || n > LINES_MAX) return asker_error(a, EX_USAGE, "log: n is between 0 and %d", LINES_MAX);
    if (!read_id(request, id)) return asker_error(a, EX_USAGE, "log: a message id is 16 hex digits");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return asker_error(a, EX_NOINPUT, "cannot read the events in %s", path);
    struct viewing *v = must_alloc(sizeof *v);
    v->asker = a;
    v->fd = fd;
    v->id = bytes_dupz(bytes_of(id));
    v->type = text_of(request, "type");
    v->identity = text_of(request, "identity");
    v->address = text_of(request, "address");
    struct stat st;
    off_t size = fstat(fd, &st) == 0 ? st.st_size : 0;
    v->at = find_start(v, size, (uint64_t)n);
    read_on(v);
    if (!follow) return end(v);
    v->timer = timer_new(asker_gateway(a)->loop, on_timer, v);
    timer_set(v->timer, FOLLOW_MS);
    asker_when_ready(a, on_ready, v);
}
