// SPDX-License-Identifier: MIT
#include "relay/asker.h"

#include "net/conn.h"

#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { REQUEST_MAX = 64 * 1024, UNSENT_MAX = 256 * 1024, ASKERS_MAX = 64, FAREWELL_MS = 2000 };

struct asker {
    struct askers *all;
    struct asker *before, *after;
    struct conn *conn; // NULL: gone
    bool busy;
    struct buf line;
    struct jsonl json;
    void (*ready)(void *arg);
    void *ready_arg;
    // Of a request whose content follows as lines.
    bool (*take)(void *arg, enum asker_said said, struct bytes line);
    void *take_arg;
    bool held_back, skipping; // the taker has enough for now; what is left of a line that was cut is passed over
    struct buf content;       // what is being taken: the conn's own bytes may move
};

struct askers {
    struct gateway *gateway;
    void (*request)(struct asker *a, struct bytes line);
    struct asker *first;
    size_t count;
    bool closing; // gone with the last of them, whose verbs still have something under way
};

static void next_request(struct asker *a);

// ---- what verbs use ---------------------------------------------------------------------------------------------------------

struct gateway *asker_gateway(struct asker *a) { return a->all->gateway; }

bool asker_until(const struct json *request, int64_t now_ms, int64_t *until_ms, struct err *err) {
    static const int64_t most_s = INT64_C(100) * 366 * 86400;
    const struct json *said = json_get(request, "expires_s");
    int64_t s;
    *until_ms = 0;
    if (!said) return true;
    if (!json_int(said, &s) || s < 1 || s > most_s) return err_set(err, "expires_s is a number of seconds, a hundred years at the most");
    *until_ms = now_ms + s * 1000;
    return true;
}

bool asker_is_gone(const struct asker *a) { return !a->conn; }
bool asker_is_full(const struct asker *a) { return a->conn && conn_unsent(a->conn) > UNSENT_MAX; }

void asker_when_ready(struct asker *a, void (*ready)(void *arg), void *arg) {
    a->ready = ready;
    a->ready_arg = arg;
}

static void send_line(struct asker *a) {
    if (a->conn) conn_write(a->conn, buf_bytes(&a->line));
    buf_reset(&a->line);
}

void asker_row(struct asker *a, struct bytes object) {
    a->json = jsonl_begin(&a->line);
    jsonl_raw(&a->json, "row", bytes_trim(object));
    jsonl_end(&a->json);
    send_line(a);
}

static void drop_asker(struct asker *a) {
    struct askers *all = a->all;
    if (a->before) a->before->after = a->after;
    else all->first = a->after;
    if (a->after) a->after->before = a->before;
    all->count--;
    if (a->conn) conn_free(&a->conn);
    buf_release(&a->line);
    buf_release(&a->content);
    free(a);
    if (all->closing && !all->count) free(all);
}

static void end_request(struct asker *a) {
    send_line(a);
    a->busy = false;
    if (a->conn) next_request(a);
    else drop_asker(a);
}

struct jsonl *asker_done_begin(struct asker *a) {
    a->json = jsonl_begin(&a->line);
    jsonl_bool(&a->json, "done", true);
    return &a->json;
}

void asker_done_end(struct asker *a) {
    jsonl_end(&a->json);
    end_request(a);
}

void asker_error(struct asker *a, int code, const char *format, ...) {
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_formatv(&text, format, args);
    va_end(args);
    a->json = jsonl_begin(&a->line);
    jsonl_text(&a->json, "error", buf_bytes(&text));
    jsonl_int(&a->json, "code", code);
    jsonl_end(&a->json);
    buf_release(&text);
    end_request(a);
}

// ---- requests ---------------------------------------------------------------------------------------------------------------

static void next_request(struct asker *a) {
    struct bytes input = conn_peek(a->conn);
    ptrdiff_t eol = bytes_find(input, '\n');
    if (a->busy || (eol < 0 && input.len < REQUEST_MAX)) return;
    a->busy = true;
    if (eol < 0) {
        conn_take(a->conn, input.len);
        return asker_error(a, EX_DATAERR, "a request is one line of at most %d bytes", REQUEST_MAX);
    }
    char *line = bytes_dupz(bytes_first(input, (size_t)eol));
    conn_take(a->conn, (size_t)eol + 1);
    a->all->request(a, bytes_of(line)); // may end and free the asker
    free(line);
}

// ---- content that follows a request as lines --------------------------------------------------------------------------------

static void end_lines(struct asker *a, enum asker_said said) {
    bool (*take)(void *, enum asker_said, struct bytes) = a->take;
    a->take = NULL;
    take(a->take_arg, said, BYTES("")); // may end the request, and free the asker
}

// One line from `from` of what has come; false: that was the end, or there is no whole one, or the taker has enough.
static bool take_line(struct asker *a, size_t *from, bool *last) {
    struct bytes rest = bytes_skip(buf_bytes(&a->content), *from);
    ptrdiff_t eol = bytes_find(rest, '\n');
    if (eol < 0 && rest.len < ASKER_LINE_MAX) return false;
    struct bytes line = bytes_first(rest, eol < 0 ? ASKER_LINE_MAX : (size_t)eol);
    bool passed_over = a->skipping;
    a->skipping = eol < 0;
    *from += line.len + (eol >= 0);
    if (passed_over) return true;
    *last = bytes_equal(line, BYTES(".")) || bytes_equal(line, BYTES(".\r"));
    if (*last) return false;
    if (bytes_starts(line, BYTES("."))) line = bytes_skip(line, 1);
    a->held_back = !a->take(a->take_arg, ASKER_LINE, bytes_first(line, ASKER_LINE_MAX));
    return !a->held_back;
}

static void take_lines(struct asker *a) {
    size_t from = 0;
    bool last = false;
    if (a->held_back) return;
    buf_reset(&a->content);
    buf_add(&a->content, conn_peek(a->conn));
    while (take_line(a, &from, &last)) {}
    conn_take(a->conn, from);
    if (last) end_lines(a, ASKER_LAST);
}

void asker_lines(struct asker *a, bool (*take)(void *arg, enum asker_said said, struct bytes line), void *arg) {
    a->take = take;
    a->take_arg = arg;
    a->held_back = a->skipping = false;
    if (a->conn) take_lines(a);
    else end_lines(a, ASKER_GONE);
}

void asker_more(struct asker *a) {
    a->held_back = false;
    if (a->take && a->conn) take_lines(a);
}

static void on_readable(void *arg) {
    struct asker *a = arg;
    if (a->take) take_lines(a);
    else next_request(a);
}

static void call_ready(struct asker *a) {
    void (*ready)(void *) = a->ready;
    a->ready = NULL;
    if (ready) ready(a->ready_arg);
}

static void on_drained(void *arg) { call_ready(arg); }

static void on_closed(void *arg, enum conn_end how, const struct err *why) {
    struct asker *a = arg;
    (void)how;
    (void)why;
    conn_free(&a->conn);
    if (!a->busy) return drop_asker(a);
    if (a->take) end_lines(a, ASKER_GONE);
    else call_ready(a);
}

static const struct conn_events asker_events = {.readable = on_readable, .drained = on_drained, .closed = on_closed};

// ---- all of them ------------------------------------------------------------------------------------------------------------

struct askers *askers_new(struct gateway *g, void (*request)(struct asker *a, struct bytes line)) {
    struct askers *all = must_alloc(sizeof *all);
    all->gateway = g;
    all->request = request;
    return all;
}

void askers_accept(struct askers *all, int fd) {
    if (all->count >= ASKERS_MAX) {
        close(fd);
        return;
    }
    struct asker *a = must_alloc(sizeof *a);
    a->all = all;
    a->after = all->first;
    if (all->first) all->first->before = a;
    all->first = a;
    all->count++;
    a->conn = conn_adopt(all->gateway->loop, fd, REQUEST_MAX + 1, &asker_events, a);
}

void askers_free(struct askers **at) {
    struct askers *all = *at;
    *at = NULL;
    if (!all) return;
    for (struct asker *a = all->first, *after; a; a = after) {
        after = a->after;
        if (a->conn) conn_finish(&a->conn, FAREWELL_MS); // "stop" and its like have been answered: let that arrive
        if (!a->busy) drop_asker(a);
        else if (a->take) end_lines(a, ASKER_GONE);
        else call_ready(a);
    }
    all->closing = all->count;
    if (!all->count) free(all);
}
