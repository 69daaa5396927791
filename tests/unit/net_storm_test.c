// SPDX-License-Identifier: MIT
// conn in a storm: many pairs, plain and TLS, with pauses, small buffers, half-taken input and early ends, by
// a fixed seed. Every byte must arrive in order and every pair must come to its end.
#include "net_ends.h"
#include "net_pem.h"

enum { PAIRS = 60 };

struct storm {
    struct loop *loop;
    struct tls_context *server, *client;
    struct timer *tick;
    unsigned seed;
    int left;
    struct pair *pairs;
};

struct pair {
    struct storm *storm;
    struct conn *from, *to;
    size_t total, written, heard; // heard counts what was taken
    bool tls, torn, ended, paused;
    size_t tear_at; // the reader frees its end there; 0: never
};

static unsigned chance(struct storm *s, unsigned below) {
    s->seed = s->seed * 1664525u + 1013904223u;
    return (s->seed >> 8) % below;
}

static char pattern(size_t i) {
    return (char)(i * 2654435761u >> 13);
}

static void pair_ends(struct pair *p) {
    if (p->ended) return;
    p->ended = true;
    conn_free(&p->from);
    conn_free(&p->to);
    if (--p->storm->left == 0) loop_stop(p->storm->loop);
}

static void write_more(struct pair *p) {
    char chunk[50000];
    if (!p->from || p->torn) return;
    while (p->written < p->total && conn_unsent(p->from) < 100000) {
        size_t n = 1 + chance(p->storm, sizeof chunk);
        if (n > p->total - p->written) n = p->total - p->written;
        for (size_t i = 0; i < n; i++)
            chunk[i] = pattern(p->written + i);
        conn_write(p->from, bytes_range(chunk, n));
        p->written += n;
        if (chance(p->storm, 4) == 0) conn_flush(p->from);
    }
    // In the handshake it would just be closed.
    if (p->written == p->total && (!p->tls || conn_tls_facts(p->from))) conn_finish(&p->from, 15000);
}

static void take_some(struct pair *p) {
    struct bytes b = conn_peek(p->to);
    size_t n = chance(p->storm, 3) ? b.len : chance(p->storm, (unsigned)b.len + 1);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(b.at[i], pattern(p->heard + i));
    p->heard += n;
    conn_take(p->to, n);
}

static void on_from_ready(void *arg) {
    write_more(arg);
}

static void on_from_closed(void *arg, enum conn_end how, const struct err *why) {
    struct pair *p = arg;
    (void)how, (void)why;
    assert_true(p->torn); // the reader tore it; otherwise nothing may go wrong
    pair_ends(p);
}

static void on_to_readable(void *arg) {
    struct pair *p = arg;
    take_some(p);
    if (p->tear_at && p->heard >= p->tear_at) {
        p->torn = true;
        conn_free(&p->to);
        if (!p->from) pair_ends(p); // it was finished already; the loop sees to the rest
        return;
    }
    if (chance(p->storm, 5) == 0) conn_pause(p->to, p->paused = true);
}

static void on_to_closed(void *arg, enum conn_end how, const struct err *why) {
    struct pair *p = arg;
    if (how != CONN_EOF) fail_msg("%s", why->text);
    while (conn_peek(p->to).len)
        take_some(p);
    assert_int_equal(p->heard, p->total);
    pair_ends(p);
}

static const struct conn_events from_events = {
    .drained = on_from_ready, .secured = on_from_ready, .closed = on_from_closed};
static const struct conn_events to_events = {.readable = on_to_readable, .closed = on_to_closed};

static void on_tick(void *arg) {
    struct storm *s = arg;
    for (struct pair *p = s->pairs; p < s->pairs + PAIRS; p++) {
        if (p->ended) continue;
        if (p->to) take_some(p);
        if (p->to && p->paused && chance(s, 2)) conn_pause(p->to, p->paused = false);
        write_more(p);
    }
    timer_set(s->tick, 1);
}

static void pair_begins(struct storm *s, struct pair *p) {
    int fds[2];
    if (chance(s, 2))
        tcp_open(fds);
    else
        pair_open(SOCK_STREAM, fds);
    *p = (struct pair){.storm = s, .total = chance(s, 400000), .tls = chance(s, 2)};
    if (p->total > 10 && chance(s, 4) == 0) p->tear_at = 1 + chance(s, (unsigned)p->total - 1);
    p->from = conn_adopt(s->loop, fds[0], 100, &from_events, p);
    p->to = conn_adopt(s->loop, fds[1], p->total / 300 + chance(s, 70000), &to_events, p);
    conn_idle_limit(p->from, 15000);
    conn_deadline(p->to, 15000);
    if (!p->tls) return;
    bool swapped = chance(s, 2); // the writer is the server, or the client
    assert_true(conn_secure_server(swapped ? p->from : p->to, s->server));
    assert_true(conn_secure_client(swapped ? p->to : p->from, s->client, &(struct tls_peer){.host = NULL, .demand = TLS_ANY}));
}

static void storm(void **state) {
    struct pem_kit pem;
    (void)state;
    pem_kit_make(&pem);
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct pair pairs[PAIRS];
        struct storm s = {.loop = loop_new(NULL), .seed = seed, .left = PAIRS, .pairs = pairs};
        s.server = tls_server_new(
            &(struct tls_server_options){.certificate = pem.server.certificate_path, .key = pem.server.key_path}, NULL);
        s.client = tls_client_new(pem.authority.certificate_path, NULL);
        for (int i = 0; i < PAIRS; i++)
            pair_begins(&s, &pairs[i]);
        tls_context_free(&s.server); // the sessions have what they need
        tls_context_free(&s.client);
        s.tick = timer_new(s.loop, on_tick, &s);
        timer_set(s.tick, 1);
        run(s.loop);
        assert_int_equal(s.left, 0);
        timer_free(&s.tick);
        loop_free(&s.loop);
    }
    pem_kit_release(&pem);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(storm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
