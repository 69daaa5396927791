// SPDX-License-Identifier: MIT
#include "relay/intake.h"

#include "net/listener.h"
#include "net/proxy.h"
#include "relay/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROXY_WAIT_MS = 10000, PROXY_HEADER_MAX = 4096 };

// A place at which connections arrive.
struct door {
    struct intake *intake;
    size_t index; // of the listener in the configuration
    struct listener *listener;
};

// A connection that holds a place in the census: waiting for its PROXY header, then a session.
struct guest {
    struct intake *intake;
    struct guest *before, *after;
    struct addr peer; // as counted in the census
    size_t listener;
    struct session *session; // NULL while the header is awaited
    int fd;
    struct watch *watch;
    struct timer *patience;
};

struct intake {
    struct worker *worker;
    struct door *doors;
    size_t door_count;
    struct guest *guests;
    bool stopping;
};

static void add_guest(struct intake *in, struct guest *g) {
    g->after = in->guests;
    if (in->guests) in->guests->before = g;
    in->guests = g;
}

static void drop_guest(struct guest *g) {
    struct intake *in = g->intake;
    struct gateway *gw = in->worker->gateway;
    if (g->before) g->before->after = g->after;
    else in->guests = g->after;
    if (g->after) g->after->before = g->before;
    census_leave(gw->census, &g->peer);
    atomic_fetch_sub(&gw->counters.sessions_in, 1);
    watch_free(&g->watch);
    timer_free(&g->patience);
    if (g->fd >= 0) close(g->fd);
    free(g);
}

static void session_gone(void *arg, struct session *s) {
    (void)s;
    drop_guest(arg);
}

static void start_session(struct guest *g, const struct addr *peer, const struct addr *local) {
    int fd = g->fd;
    g->fd = -1;
    watch_free(&g->watch);
    timer_free(&g->patience);
    g->session = session_new(g->intake->worker, fd, peer, local, g->listener, session_gone, g);
}

static void local_of(int fd, struct addr *out) {
    out->len = sizeof out->sa;
    if (getsockname(fd, (struct sockaddr *)&out->sa, &out->len) < 0) *out = (struct addr){.len = 0};
}

// ---- the PROXY header -----------------------------------------------------------------------------------------------

// Peeked at and then taken to the byte: what follows it may be a TLS handshake, which must stay in the socket.
static void on_proxy(void *arg, int what) {
    struct guest *g = arg;
    (void)what;
    char head[PROXY_HEADER_MAX];
    ssize_t n = recv(g->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return drop_guest(g);
    size_t used;
    struct err err;
    struct addr peer = {.len = 0}, local = {.len = 0};
    enum proxy_result result = proxy_parse(bytes_range(head, (size_t)n), &used, &peer, &local, &err);
    if (result == PROXY_MORE && (size_t)n < sizeof head) return;
    char text[ADDR_TEXT];
    addr_ip_text(&g->peer, text);
    if (result != PROXY_DONE) {
        log_note(&g->intake->worker->gateway->log, "proxy header from %s: %s: closed", text,
                 result == PROXY_BAD ? err.text : "too long");
        return drop_guest(g);
    }
    if (recv(g->fd, head, used, MSG_DONTWAIT) != (ssize_t)used) return drop_guest(g);
    if (!local.len) local_of(g->fd, &local);
    start_session(g, peer.len ? &peer : &g->peer, &local);
}

static void on_proxy_late(void *arg) { drop_guest(arg); }

// A level-triggered watch on a half-sent header would spin; the few bytes come in one packet in practice, and a peer that
// dribbles them costs a recv per turn for PROXY_WAIT_MS at most. Only addresses the operator named can do that.
static void await_proxy(struct guest *g) {
    struct loop *loop = g->intake->worker->loop;
    g->watch = watch_new(loop, g->fd, on_proxy, g);
    g->patience = timer_new(loop, on_proxy_late, g);
    timer_set(g->patience, PROXY_WAIT_MS);
    watch_want(g->watch, WATCH_READ);
}

// ---- arriving -------------------------------------------------------------------------------------------------------

static void turn_away(int fd, const char *hostname, const char *why) {
    char line[512];
    int n = snprintf(line, sizeof line, "421 4.7.0 %s %s\r\n", hostname, why);
    ssize_t ignored = send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored; // a courtesy: the client sees the close in any case
    close(fd);
}

static bool is_listed(const struct network *list, size_t count, const struct addr *a) {
    for (size_t i = 0; i < count; i++)
        if (network_has(&list[i], a)) return true;
    return false;
}

static void on_accepted(void *arg, int fd, const struct addr *peer) {
    struct door *door = arg;
    struct intake *in = door->intake;
    struct gateway *gw = in->worker->gateway;
    const struct conf *conf = in->worker->site->conf;
    const struct conf_listener *l = &conf->listeners[door->index];
    uint64_t all = atomic_fetch_add(&gw->counters.sessions_in, 1) + 1;
    int same = census_enter(gw->census, peer);
    const char *why = in->stopping || gw->draining                    ? "Service is closing, try again later"
                      : all > (uint64_t)conf->limits.connections      ? "Too many connections, try again later"
                      : same > conf->limits.connections_per_address &&
                                !is_listed(l->proxy_from, l->proxy_count, peer)
                            ? "Too many connections from your address, try again later"
                            : NULL;
    if (why) {
        census_leave(gw->census, peer);
        atomic_fetch_sub(&gw->counters.sessions_in, 1);
        return turn_away(fd, conf->hostname, why);
    }
    struct guest *g = must_alloc(sizeof *g);
    *g = (struct guest){.intake = in, .peer = *peer, .listener = door->index, .fd = fd};
    add_guest(in, g);
    if (is_listed(l->proxy_from, l->proxy_count, peer)) return await_proxy(g);
    struct addr local;
    local_of(fd, &local);
    start_session(g, peer, &local);
}

struct intake *intake_new(struct worker *w) {
    struct intake *in = must_alloc(sizeof *in);
    in->worker = w;
    in->door_count = w->site->conf->listener_count;
    in->doors = must_alloc((in->door_count + 1) * sizeof *in->doors);
    for (size_t i = 0; i < in->door_count; i++) {
        in->doors[i] = (struct door){.intake = in, .index = i};
        in->doors[i].listener = listener_new(w->loop, w->gateway->listen_fds[i], on_accepted, &in->doors[i]);
        listener_log(in->doors[i].listener, &w->gateway->log);
    }
    return in;
}

void intake_stop(struct intake *in) {
    if (in->stopping) return;
    in->stopping = true;
    for (size_t i = 0; i < in->door_count; i++) listener_free(&in->doors[i].listener);
    struct reply bye = reply_make(421, "4.3.2", "%s is closing, try again later", in->worker->site->conf->hostname);
    for (struct guest *g = in->guests, *after; g; g = after) {
        after = g->after;
        if (g->session) session_dismiss(g->session, &bye);
        else drop_guest(g);
    }
}

bool intake_is_empty(const struct intake *in) { return !in->guests; }

void intake_free(struct intake **at) {
    struct intake *in = *at;
    *at = NULL;
    if (!in) return;
    for (size_t i = 0; i < in->door_count; i++)
        if (in->doors[i].listener) listener_free(&in->doors[i].listener);
    while (in->guests) {
        struct guest *g = in->guests;
        if (g->session) session_free(&g->session);
        drop_guest(g);
    }
    free(in->doors);
    free(in);
}
