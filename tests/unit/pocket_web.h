// SPDX-License-Identifier: MIT
// pocket_web: a web server that fits in a test: one answer to all requests, on the test's own loop.
//
//     struct web w;
//     web_open(&w, loop, tls_context);       // NULL: in the clear; w.at is where
//     w.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";   // NULL: silence
//     ... w.asked, w.accepted, w.heard ...
//     web_close(&w);
//
// An answer with "Connection: close" is followed by the end. Header-only.
#pragma once

#include "net/conn.h"
#include "net/listener.h"
#include "net_ends.h"

#include <stdlib.h>

enum { WEB_CLIENTS = 64 };

struct web {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *tls; // NULL: in the clear
    struct addr at;
    const char *answer; // NULL: silence
    struct web_client *clients[WEB_CLIENTS];
    size_t accepted, asked, open;
    struct buf heard; // the last request
};

struct web_client {
    struct web *web;
    struct conn *conn;
};

static inline void web_drop(struct web_client *c) {
    struct web *w = c->web;
    for (size_t i = 0; i < WEB_CLIENTS; i++)
        if (w->clients[i] == c) w->clients[i] = NULL;
    w->open--;
    conn_free(&c->conn);
    free(c);
}

// A request is whole when its header's end and as many bytes as Content-Length says are there.
static inline bool web_is_whole(struct bytes b) {
    ptrdiff_t end = bytes_search(b, BYTES("\r\n\r\n")), at = bytes_search(b, BYTES("Content-Length: "));
    if (end < 0) return false;
    return at < 0 || b.len >= (size_t)end + 4 + strtoul(b.at + at + 16, NULL, 10);
}

static inline void web_readable(void *arg) {
    struct web_client *c = arg;
    struct bytes b = conn_peek(c->conn);
    if (!web_is_whole(b)) return;
    c->web->asked++;
    buf_reset(&c->web->heard);
    buf_add(&c->web->heard, b);
    conn_take(c->conn, b.len);
    if (c->web->answer) conn_write(c->conn, bytes_of(c->web->answer));
    if (c->web->answer && strstr(c->web->answer, "Connection: close")) {
        conn_flush(c->conn);
        web_drop(c);
    }
}

static inline void web_closed(void *arg, enum conn_end how, const struct err *why) {
    (void)how, (void)why;
    web_drop(arg);
}

static const struct conn_events web_events = {.readable = web_readable, .closed = web_closed};

static inline void web_accepted(void *arg, int fd, const struct addr *peer) {
    struct web *w = arg;
    (void)peer;
    struct web_client *c = must_alloc(sizeof *c);
    c->web = w;
    for (size_t i = 0; i < WEB_CLIENTS; i++)
        if (!w->clients[i]) {
            w->clients[i] = c;
            break;
        }
    w->accepted++;
    w->open++;
    c->conn = conn_adopt(w->loop, fd, 1 << 20, &web_events, c);
    if (w->tls) assert_true(conn_secure_server(c->conn, w->tls));
}

static inline void web_open(struct web *w, struct loop *loop, struct tls_context *tls) {
    *w = (struct web){.loop = loop, .tls = tls};
    int fd = loopback_listen(50, &w->at);
    w->listener = listener_new(loop, fd, web_accepted, w);
}

static inline void web_close(struct web *w) {
    for (size_t i = 0; i < WEB_CLIENTS; i++)
        if (w->clients[i]) web_drop(w->clients[i]);
    listener_free(&w->listener);
    buf_release(&w->heard);
}
