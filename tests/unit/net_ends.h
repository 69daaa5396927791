// SPDX-License-Identifier: MIT
// net_ends: the two ends of a connection for the tests of the net rooms: an end with a conn that notes its
// events, and plain sockets for the other end.
#pragma once

#include "base/bug.h"
#include "net/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    struct loop *loop;
    struct conn *conn;
    int opened, readable, drained, secured, closed;
    enum conn_end how;
    char why[512];
    struct buf got;                      // what was taken
    bool keep;                           // leave the bytes untaken
    bool busy;                           // inside one of our calls: an event then is a fault of the conn
    const char *stop_at;                 // "opened", ...: stops the loop there
    size_t stop_bytes;                   // or when so much has been taken
    void (*then)(struct end *, char at); // called at each event with its first letter
};

static inline void end_event(struct end *e, const char *name) {
    assert_false(e->busy);
    if (e->stop_at && strcmp(e->stop_at, name) == 0) loop_stop(e->loop);
    if (e->then) e->then(e, name[0]);
}

static inline void end_opened(void *arg) {
    struct end *e = arg;
    e->opened++;
    end_event(e, "opened");
}

static inline void end_readable(void *arg) {
    struct end *e = arg;
    struct bytes b = conn_peek(e->conn);
    e->readable++;
    assert_true(b.len > 0);
    if (!e->keep) {
        buf_add(&e->got, b);
        conn_take(e->conn, b.len);
        assert_int_equal(conn_peek(e->conn).len, 0);
    }
    if (e->stop_bytes && e->got.len >= e->stop_bytes) loop_stop(e->loop);
    end_event(e, "readable");
}

static inline void end_drained(void *arg) {
    struct end *e = arg;
    e->drained++;
    end_event(e, "drained");
}

static inline void end_secured(void *arg) {
    struct end *e = arg;
    e->secured++;
    assert_non_null(conn_tls_facts(e->conn));
    end_event(e, "secured");
}

static inline void end_closed(void *arg, enum conn_end how, const struct err *why) {
    struct end *e = arg;
    e->closed++;
    e->how = how;
    assert_true(why->text[0]);
    memcpy(e->why, why->text, sizeof e->why);
    end_event(e, "closed");
}

static const struct conn_events end_events = {end_opened, end_readable, end_drained, end_secured, end_closed};

static inline void end_on(struct end *e, struct loop *loop, int fd, size_t input_max) {
    e->loop = loop;
    e->conn = conn_adopt(loop, fd, input_max, &end_events, e);
}

static inline void end_release(struct end *e) {
    conn_free(&e->conn);
    buf_release(&e->got);
    *e = (struct end){0};
}

static inline void on_overtime(void *arg) {
    (void)arg;
    bug_if("the test did not come to its end in time");
}

// Runs the loop until something stops it; a test that hangs aborts.
static inline void run(struct loop *loop) {
    struct timer *limit = timer_new(loop, on_overtime, NULL);
    timer_set(limit, 20000);
    loop_run(loop);
    timer_free(&limit);
}

static inline void on_stop(void *arg) {
    loop_stop(arg);
}

static inline void run_for(struct loop *loop, int64_t ms) {
    struct timer *limit = timer_new(loop, on_stop, loop);
    timer_set(limit, ms);
    loop_run(loop);
    timer_free(&limit);
}

static inline void pair_open(int type, int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static inline int loopback_listen(int backlog, struct addr *at) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    addr_parse(BYTES("127.0.0.1"), at, NULL);
    assert_int_equal(bind(fd, (struct sockaddr *)&at->sa, at->len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    at->len = sizeof at->sa;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at->sa, &at->len), 0);
    return fd;
}

// A connected pair of TCP sockets.
static inline void tcp_open(int fds[2]) {
    struct addr at;
    int listening = loopback_listen(5, &at);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&at.sa, at.len), 0);
    fds[1] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    int on = 1;
    for (int i = 0; i < 2; i++) setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listening);
}

static inline int loop_setup(void **state) {
    *state = loop_new(NULL);
    return *state ? 0 : -1;
}

static inline int loop_teardown(void **state) {
    loop_free((struct loop **)state);
    return 0;
}

#define on_loop(test) cmocka_unit_test_setup_teardown(test, loop_setup, loop_teardown)
