// SPDX-License-Identifier: MIT
#include "cli/ask.h"

#include "base/clock.h"
#include "cli/tool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 64 << 20, STEP = 65536 };

struct ask {
    const struct call *call;
    int fd;
    struct buf path;
    struct buf in;
    size_t taken; // bytes of `in` that are done with
};

static int connect_to(const struct call *call, const char *path, int *code) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof to.sun_path) {
        *code = tool_fail(call, EX_CONFIG, "%s: longer than the path of a socket may be (%zu bytes)", path,
                          sizeof to.sun_path - 1);
        return -1;
    }
    strcpy(to.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    if (errno == EACCES || errno == EPERM)
        *code = tool_fail(call, EX_NOPERM,
                          "%s: not allowed (join the group that owns the socket, or become its user)", path);
    else if (errno == ENOENT || errno == ECONNREFUSED)
        *code = tool_fail(call, EX_UNAVAILABLE, "no gateway answers at %s: is `tidegate run` running?", path);
    else
        *code = tool_fail(call, EX_UNAVAILABLE, "no gateway answers at %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

struct ask *ask_open(const struct call *call, int *code) {
    struct buf path = {0};
    int fd = tool_socket(call, &path, code) ? connect_to(call, buf_z(&path), code) : -1;
    if (fd < 0) {
        buf_release(&path);
        return NULL;
    }
    struct ask *ask = must_alloc(sizeof *ask);
    *ask = (struct ask){.call = call, .fd = fd, .path = path};
    return ask;
}

bool ask_is_there(const struct call *call) {
    struct buf path = {0};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int code, fd = tool_socket(call, &path, &code) && path.len < sizeof to.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0) memcpy(to.sun_path, path.at, path.len);
    bool there = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
    if (fd >= 0) close(fd);
    buf_release(&path);
    return there;
}

void ask_close(struct ask **ask) {
    struct ask *gone = *ask;
    *ask = NULL;
    if (!gone) return;
    close(gone->fd);
    buf_release(&gone->path);
    buf_release(&gone->in);
    free(gone);
}

int64_t ask_now(void) {
    static const struct clock machine;
    return clock_ms(&machine);
}

static bool send_all(int fd, struct bytes what) {
    while (what.len) {
        ssize_t n = send(fd, what.at, what.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        what = bytes_skip(what, (size_t)n);
    }
    return true;
}

// Waits for more input. 0, or the exit code after it was said why.
static int receive(struct ask *ask, int wait_s) {
    struct pollfd ready = {.fd = ask->fd, .events = POLLIN};
    int n;
    do
        n = poll(&ready, 1, wait_s ? wait_s * 1000 : -1);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return tool_fail(ask->call, EX_TEMPFAIL, "the gateway at %s says nothing for %d s", ask->path.at,
                         wait_s);
    buf_reserve(&ask->in, STEP);
    ssize_t got = n < 0 ? -1 : recv(ask->fd, ask->in.at + ask->in.len, STEP, 0);
    if (got < 0 && errno == EINTR) return 0;
    if (got < 0) return tool_fail(ask->call, EX_IOERR, "%s: %s", ask->path.at, strerror(errno));
    if (got == 0)
        return tool_fail(ask->call, EX_UNAVAILABLE, "the gateway at %s closed the connection: did it stop?",
                         ask->path.at);
    ask->in.len += (size_t)got;
    return 0;
}

// The next whole line of what has come, without its LF; good until the next call. *searched bytes of it are
// known to have none.
static bool whole_line(struct ask *ask, size_t *searched, struct bytes *line) {
    struct bytes rest = bytes_skip(buf_bytes(&ask->in), ask->taken);
    ptrdiff_t end = bytes_find(bytes_skip(rest, *searched), '\n');
    if (end >= 0) {
        *line = bytes_first(rest, *searched + (size_t)end);
        ask->taken += line->len + 1;
        *searched = 0;
        return true;
    }
    *searched = rest.len;
    buf_drop(&ask->in, ask->taken);
    ask->taken = 0;
    return false;
}

static int check_length(struct ask *ask) {
    if (ask->in.len <= LINE_MAX_BYTES) return 0;
    return tool_fail(ask->call, EX_SOFTWARE, "the gateway's answer has a line without end");
}

// The gateway names the verb, for programs that ask it; a line of ours does so already.
static struct bytes without_verb(struct bytes words, const char *path) {
    struct bytes verb = bytes_first(bytes_of(path), strcspn(path, " "));
    if (!bytes_starts(words, verb)) return words;
    struct bytes rest = bytes_skip(words, verb.len);
    return bytes_starts(rest, BYTES(": ")) ? bytes_skip(rest, 2) : words;
}

static int report_error(struct ask *ask, const struct json *answer) {
    struct bytes words;
    int64_t code = EX_SOFTWARE;
    if (!json_text(json_get(answer, "error"), &words))
        words = BYTES("the gateway's answer is not one of its protocol");
    words = without_verb(words, ask->call->path);
    json_int(json_get(answer, "code"), &code);
    return tool_fail(ask->call, code > 0 && code < 126 ? (int)code : EX_SOFTWARE, "%.*s", BYTES_FMT(words));
}

// The text of the row inside {"row":...}: the gateway writes exactly this frame.
static struct bytes row_text(struct bytes line, const struct json *row, struct buf *scratch) {
    static const struct bytes head = {"{\"row\":", 7};
    if (bytes_starts(line, head) && line.at[line.len - 1] == '}')
        return bytes_range(line.at + head.len, line.len - head.len - 1);
    buf_reset(scratch);
    json_write(row, scratch);
    return buf_bytes(scratch);
}

struct answers {
    ask_row_fn row;
    void *arg;
    struct json **done;
    struct buf scratch;
    bool ended;
};

// One line of the gateway's. 0, or the exit code.
static int take_answer(struct ask *ask, struct answers *a, struct bytes line) {
    struct err err;
    int code = 0;
    struct json *answer = json_parse(line, &err);
    const struct json *content = json_get(answer, "row");
    if (!answer) {
        code = tool_fail(ask->call, EX_SOFTWARE, "the gateway's answer is not JSON: %s", err.text);
    } else if (content) {
        a->ended = a->row && !a->row(a->arg, content, row_text(line, content, &a->scratch));
    } else if (json_get(answer, "done")) {
        a->ended = true;
        if (a->done) {
            *a->done = answer;
            answer = NULL;
        }
    } else {
        code = report_error(ask, answer);
    }
    json_free(&answer);
    return code;
}

static int take_answers(struct ask *ask, struct answers *a, size_t *searched) {
    struct bytes line;
    int code = 0;
    while (code == 0 && !a->ended && whole_line(ask, searched, &line))
        code = take_answer(ask, a, line);
    return code ? code : check_length(ask);
}

int ask_run(struct ask *ask, struct bytes request, int wait_s, ask_row_fn row, void *arg,
            struct json **done) {
    struct answers a = {.row = row, .arg = arg, .done = done};
    size_t searched = 0;
    if (done) *done = NULL;
    if (!send_all(ask->fd, request))
        return tool_fail(ask->call, EX_UNAVAILABLE, "%s: %s", ask->path.at, strerror(errno));
    int code = take_answers(ask, &a, &searched);
    while (code == 0 && !a.ended) {
        code = receive(ask, wait_s);
        if (code == 0) code = take_answers(ask, &a, &searched);
    }
    buf_release(&a.scratch);
    return code;
}

// Sends what it can of `out` without waiting.
static int send_some(struct ask *ask, struct buf *out) {
    ssize_t n = send(ask->fd, out->at, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n < 0) return tool_fail(ask->call, EX_UNAVAILABLE, "%s: %s", ask->path.at, strerror(errno));
    buf_drop(out, (size_t)n);
    return 0;
}

int ask_feed(struct ask *ask, ask_feed_fn feed, void *feed_arg, int wait_s, ask_row_fn row, void *arg,
             struct json **done) {
    struct answers a = {.row = row, .arg = arg, .done = done};
    struct buf out = {0};
    size_t searched = 0;
    bool more = true;
    *done = NULL;
    int code = take_answers(ask, &a, &searched);
    while (code == 0 && !a.ended) {
        if (more && !out.len) more = feed(feed_arg, &out);
        struct pollfd ready = {.fd = ask->fd, .events = (short)(POLLIN | (out.len ? POLLOUT : 0))};
        if (poll(&ready, 1, wait_s * 1000) == 0)
            code = tool_fail(ask->call, EX_TEMPFAIL, "the gateway at %s says nothing for %d s", ask->path.at,
                             wait_s);
        if (code == 0 && (ready.revents & POLLOUT)) code = send_some(ask, &out);
        if (code == 0 && (ready.revents & ~POLLOUT)) code = receive(ask, wait_s);
        if (code == 0) code = take_answers(ask, &a, &searched);
    }
    buf_release(&out);
    buf_release(&a.scratch);
    return code;
}
