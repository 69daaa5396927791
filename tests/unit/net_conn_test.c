// SPDX-License-Identifier: MIT
#include "net_ends.h"

#include <stdio.h>
#include <stdlib.h>

static void sends_a_turn_in_one_go(void **state) {
    int fds[2];
    char packet[100];
    pair_open(SOCK_SEQPACKET, fds); // each send(2) is a packet of its own
    struct end e = {.stop_at = "drained"};
    end_on(&e, *state, fds[0], 1000);
    conn_write(e.conn, BYTES("250-one\r\n"));
    conn_write(e.conn, BYTES("250-two\r\n"));
    conn_write(e.conn, BYTES(""));
    conn_write(e.conn, BYTES("250 three\r\n"));
    assert_int_equal(conn_unsent(e.conn), 29);
    assert_int_equal(recv(fds[1], packet, sizeof packet, 0), -1);
    run(*state);
    assert_int_equal(recv(fds[1], packet, sizeof packet, 0), 29);
    assert_memory_equal(packet, "250-one\r\n250-two\r\n250 three\r\n", 29);
    assert_int_equal(conn_unsent(e.conn), 0);
    assert_int_equal(conn_bytes_out(e.conn), 29);
    assert_int_equal(e.drained, 1);
    end_release(&e);
    assert_int_equal(recv(fds[1], packet, sizeof packet, 0), 0);
    close(fds[1]);
}

static void a_buffer_passed_goes_in_its_turn(void **state) {
    int fds[2];
    char packet[100];
    struct buf first = {0}, second = {0};
    pair_open(SOCK_SEQPACKET, fds);
    struct end e = {.stop_at = "drained"};
    end_on(&e, *state, fds[0], 1000);
    buf_addz(&first, "one ");
    buf_addz(&second, "two ");
    const char *lay = first.at;
    conn_pass(e.conn, &first);
    assert_null(first.at); // it is the conn's now
    conn_pass(e.conn, &second);
    assert_true(second.at != lay && second.len == 0);
    conn_write(e.conn, BYTES("three"));
    conn_pass(e.conn, &first); // nothing
    assert_int_equal(conn_unsent(e.conn), 13);
    run(*state);
    assert_int_equal(recv(fds[1], packet, sizeof packet, 0), 13);
    assert_memory_equal(packet, "one two three", 13);
    buf_release(&second);
    end_release(&e);
    close(fds[1]);
}

static void flush_sends_now(void **state) {
    int fds[2];
    char packet[100];
    pair_open(SOCK_SEQPACKET, fds);
    struct end e = {.stop_at = "drained", .busy = true};
    end_on(&e, *state, fds[0], 1000);
    conn_flush(e.conn);
    conn_write(e.conn, BYTES("now"));
    conn_flush(e.conn);
    e.busy = false;
    assert_int_equal(e.drained, 0);
    assert_int_equal(recv(fds[1], packet, sizeof packet, 0), 3);
    run(*state);
    assert_int_equal(e.drained, 1);
    end_release(&e);
    close(fds[1]);
}

static void hears_and_ends(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.stop_at = "readable"};
    end_on(&e, *state, fds[0], 1000);
    assert_int_equal(write(fds[1], "EHLO x\r\n", 8), 8);
    run(*state);
    assert_int_equal(e.got.len, 8);
    assert_int_equal(conn_bytes_in(e.conn), 8);
    assert_int_equal(write(fds[1], "QUIT\r\n", 6), 6);
    close(fds[1]);
    e.stop_at = "closed";
    run(*state);
    assert_int_equal(e.got.len, 14); // what came before the end is heard before the end
    assert_int_equal(e.how, CONN_EOF);
    conn_write(e.conn, BYTES("too late")); // all harmless now
    conn_flush(e.conn);
    conn_pause(e.conn, true);
    conn_pause(e.conn, false);
    conn_deadline(e.conn, 1);
    conn_idle_limit(e.conn, 1);
    run_for(*state, 5);
    assert_int_equal(e.closed, 1);
    end_release(&e);
}

static void untaken_bytes_outlive_the_end(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.stop_at = "closed", .keep = true};
    end_on(&e, *state, fds[0], 1000);
    assert_int_equal(write(fds[1], "421 bye\r\n", 9), 9);
    close(fds[1]);
    run(*state);
    assert_int_equal(conn_peek(e.conn).len, 9);
    conn_take(e.conn, 4);
    assert_memory_equal(conn_peek(e.conn).at, "bye\r\n", 5);
    end_release(&e);
}

static void reply_reaches_who_closed_one_way(void **state) {
    int fds[2];
    char text[10];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.stop_at = "closed"};
    end_on(&e, *state, fds[0], 1000);
    shutdown(fds[1], SHUT_WR);
    conn_write(e.conn, BYTES("221"));
    run(*state);
    assert_int_equal(read(fds[1], text, sizeof text), 3);
    end_release(&e);
    close(fds[1]);
}

static void on_neighbour(void *arg, int what) {
    struct end *e = arg;
    (void)what;
    conn_write(e->conn, BYTES("250 written in the turn of the end"));
    loop_stop(e->loop);
}

static void reply_in_the_turn_of_the_end(void **state) {
    int fds[2], neighbours[2];
    char text[100];
    pair_open(SOCK_STREAM, fds);
    pair_open(SOCK_STREAM, neighbours);
    struct end e = {0};
    end_on(&e, *state, fds[0], 1000);
    struct watch *w = watch_new(*state, neighbours[0], on_neighbour, &e);
    watch_want(w, WATCH_READ);
    assert_int_equal(write(neighbours[1], "x", 1), 1); // ready first, so called first
    shutdown(fds[1], SHUT_WR);
    run(*state);
    assert_int_equal(read(fds[1], text, sizeof text), 34);
    watch_free(&w);
    end_release(&e);
    close(fds[1]);
    close(neighbours[0]);
    close(neighbours[1]);
}

static char pattern(size_t i) {
    return (char)(i * 31 >> 3);
}

struct feeder {
    int fd;
    size_t at, size;
    struct watch *watch;
};

static void feed(void *arg, int what) {
    struct feeder *f = arg;
    char chunk[5000];
    (void)what;
    size_t n = f->size - f->at < sizeof chunk ? f->size - f->at : sizeof chunk;
    for (size_t i = 0; i < n; i++)
        chunk[i] = pattern(f->at + i);
    ssize_t put = write(f->fd, chunk, n);
    if (put > 0) f->at += (size_t)put;
    if (f->at == f->size) watch_want(f->watch, 0);
}

enum { INPUT_MAX = 1000 };

static void take_a_few(struct end *e, char at) {
    if (at != 'r') return;
    struct bytes b = conn_peek(e->conn);
    assert_true(b.len <= INPUT_MAX);
    b = bytes_first(b, 7 + e->got.len % 900);
    buf_add(&e->got, b);
    conn_take(e->conn, b.len);
    if (e->got.len == 300000) loop_stop(e->loop);
}

struct tick {
    struct end *end;
    struct timer *timer;
};

// What was left untaken is not told of again: it is fetched now and then.
static void on_tick_take(void *arg) {
    struct tick *tick = arg;
    struct end *e = tick->end;
    struct bytes b = conn_peek(e->conn);
    assert_true(b.len <= INPUT_MAX);
    buf_add(&e->got, b);
    conn_take(e->conn, b.len);
    if (e->got.len == 300000) loop_stop(e->loop);
    timer_set(tick->timer, 1);
}

static void input_has_an_end(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.keep = true, .then = take_a_few};
    end_on(&e, *state, fds[0], INPUT_MAX);
    struct feeder f = {.fd = fds[1], .size = 300000};
    f.watch = watch_new(*state, fds[1], feed, &f);
    watch_want(f.watch, WATCH_WRITE);
    struct tick tick = {.end = &e};
    tick.timer = timer_new(*state, on_tick_take, &tick);
    timer_set(tick.timer, 1);
    run(*state);
    assert_int_equal(e.got.len, 300000);
    for (size_t i = 0; i < e.got.len; i++)
        assert_int_equal(e.got.at[i], pattern(i));
    timer_free(&tick.timer);
    watch_free(&f.watch);
    end_release(&e);
    close(fds[1]);
}

static void write_in_pieces(struct end *e, char at) {
    char chunk[70000];
    if (at != 'd') return;
    if (e->drained == 1) assert_int_equal(conn_bytes_out(e->conn), 4000000);
    size_t done = conn_bytes_out(e->conn);
    if (done >= 8000000) return;
    for (size_t i = 0; i < sizeof chunk; i++)
        chunk[i] = pattern(done + i);
    conn_write(e->conn, bytes_range(chunk, 8000000 - done < sizeof chunk ? 8000000 - done : sizeof chunk));
}

struct drain {
    struct loop *loop;
    int fd;
    size_t at, size;
};

static void drain(void *arg, int what) {
    struct drain *d = arg;
    char chunk[40000];
    (void)what;
    ssize_t n = read(d->fd, chunk, sizeof chunk);
    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(chunk[i], pattern(d->at + (size_t)i));
    if (n > 0) d->at += (size_t)n;
    if (n == 0 || d->at == d->size) loop_stop(d->loop);
}

static void slow_reader_gets_all(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.then = write_in_pieces};
    end_on(&e, *state, fds[0], 1000);
    struct buf bulk = {0};
    for (size_t i = 0; i < 4000000; i++)
        buf_byte(&bulk, pattern(i));
    conn_write(e.conn, buf_bytes(&bulk));
    run_for(*state, 2);
    size_t unsent = conn_unsent(e.conn);
    assert_true(unsent > 1000000); // nobody reads yet
    assert_int_equal(e.drained, 0);
    conn_flush(e.conn);
    assert_int_equal(conn_unsent(e.conn), unsent);
    struct drain d = {*state, fds[1], 0, 8000000};
    struct watch *w = watch_new(*state, fds[1], drain, &d);
    watch_want(w, WATCH_READ);
    run(*state);
    assert_int_equal(d.at, 8000000);
    assert_int_equal(conn_bytes_out(e.conn), 8000000);
    watch_free(&w);
    buf_release(&bulk);
    end_release(&e);
    close(fds[1]);
}

static void pause_and_resume(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.keep = true};
    end_on(&e, *state, fds[0], 1000);
    conn_pause(e.conn, true);
    assert_int_equal(write(fds[1], "one\r\n", 5), 5);
    run_for(*state, 3);
    assert_int_equal(e.readable, 0);
    conn_pause(e.conn, false);
    e.stop_at = "readable";
    run(*state);
    assert_int_equal(e.readable, 1);
    assert_int_equal(conn_peek(e.conn).len, 5);
    conn_pause(e.conn, false); // it was not paused
    run_for(*state, 3);
    assert_int_equal(e.readable, 1);
    conn_pause(e.conn, true);
    conn_pause(e.conn, false); // what waits is told of again, with nothing new on the socket
    run(*state);
    assert_int_equal(e.readable, 2);
    conn_pause(e.conn, true);
    assert_int_equal(write(fds[1], "two", 3), 3);
    close(fds[1]);
    run_for(*state, 3);
    assert_int_equal(e.readable, 2);
    assert_int_equal(e.closed, 0); // unnoticed for now
    e.busy = true;
    conn_pause(e.conn, false);
    e.busy = false;
    e.stop_at = "closed";
    run(*state);
    assert_int_equal(conn_peek(e.conn).len, 8);
    end_release(&e);
}

// On a machine that is late with everything the silence may come between two pieces; it is never shorter than the limit.
static void idle_limit_follows_traffic(void **state) {
    int fds[2];
    int64_t last_ms = 0;
    pair_open(SOCK_STREAM, fds);
    struct end e = {0};
    end_on(&e, *state, fds[0], 1000);
    conn_idle_limit(e.conn, 60);
    for (int i = 0; i < 4 && !e.closed; i++) {
        last_ms = loop_now_ms(*state);
        if (i % 2)
            assert_int_equal(write(fds[1], "x", 1), 1);
        else
            conn_write(e.conn, BYTES("y"));
        run_for(*state, 30);
    }
    e.stop_at = "closed";
    if (!e.closed) run(*state);
    assert_true(loop_now_ms(*state) - last_ms >= 60);
    assert_int_equal(e.how, CONN_TIMEOUT);
    assert_non_null(strstr(e.why, "0.06 s"));
    end_release(&e);
    close(fds[1]);
}

static void deadline_ignores_traffic(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {0};
    end_on(&e, *state, fds[0], 1000);
    conn_deadline(e.conn, 10);
    conn_deadline(e.conn, 0);
    conn_idle_limit(e.conn, 5);
    conn_idle_limit(e.conn, 0);
    run_for(*state, 25);
    assert_int_equal(e.closed, 0);
    conn_deadline(e.conn, 60000);
    conn_deadline(e.conn, 20); // sooner than what the timer is set to
    for (int i = 0; i < 10 && !e.closed; i++) {
        assert_int_equal(write(fds[1], "x", 1), 1);
        run_for(*state, 5);
    }
    assert_int_equal(e.closed, 1);
    assert_int_equal(e.how, CONN_TIMEOUT);
    end_release(&e);
    close(fds[1]);
}

static void deadline_moves_away(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.stop_at = "closed"};
    end_on(&e, *state, fds[0], 1000);
    int64_t began_ms = loop_now_ms(*state);
    conn_deadline(e.conn, 5);
    conn_deadline(e.conn, 40); // the timer fires early, looks, and is set again
    run(*state);
    assert_true(loop_now_ms(*state) - began_ms >= 40);
    end_release(&e);
    close(fds[1]);
}

static void dials(void **state) {
    struct addr at, source, a;
    char text[ADDR_TEXT];
    int listening = loopback_listen(5, &at);
    assert_true(addr_parse(BYTES("127.0.0.2"), &source, NULL));
    struct end e = {.loop = *state, .stop_at = "opened", .busy = true};
    e.conn = conn_dial(*state, &source, &at, 60, 1000, &end_events, &e);
    conn_write(e.conn, BYTES("early"));
    e.busy = false;
    run(*state);
    conn_peer(e.conn, &a);
    assert_true(addr_same_ip(&a, &at) && addr_port(&a) == addr_port(&at));
    conn_local(e.conn, &a);
    addr_ip_text(&a, text);
    assert_string_equal(text, "127.0.0.2");
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    struct end other = {.stop_bytes = 5};
    end_on(&other, *state, fd, 1000);
    run(*state);
    conn_peer(other.conn, &a);
    addr_ip_text(&a, text);
    assert_string_equal(text, "127.0.0.2");
    run_for(*state, 90); // the time to connect in no longer counts
    assert_int_equal(e.closed, 0);
    end_release(&other);
    e.stop_at = "closed";
    run(*state);
    end_release(&e);
    close(listening);
}

static void dial_fails(struct loop *loop, const char *source, const char *peer, const char *why) {
    struct addr from = {0}, to = {0};
    if (*source) assert_true(addr_parse(bytes_of(source), &from, NULL));
    if (*peer) assert_true(addr_parse(bytes_of(peer), &to, NULL));
    struct end e = {.loop = loop, .stop_at = "closed", .busy = true};
    e.conn = conn_dial(loop, &from, &to, 5000, 1000, &end_events, &e);
    conn_write(e.conn, BYTES("lost"));
    conn_flush(e.conn);
    e.busy = false;
    run(loop);
    assert_int_equal(e.opened, 0);
    assert_int_equal(e.how, CONN_ERROR);
    if (!strstr(e.why, why)) fail_msg("%s", e.why);
    end_release(&e);
    // And freed before it could be told.
    e = (struct end){.loop = loop, .busy = true};
    e.conn = conn_dial(loop, &from, &to, 5000, 1000, &end_events, &e);
    conn_free(&e.conn);
    run_for(loop, 2);
    e.conn = conn_dial(loop, &from, &to, 5000, 1000, &end_events, &e);
    conn_finish(&e.conn, 5000);
    run_for(loop, 2);
}

static void dial_failures_come_as_events(void **state) {
    struct addr at;
    char text[ADDR_TEXT];
    int fd = loopback_listen(1, &at);
    close(fd); // nobody listens there now
    addr_text(&at, text);
    dial_fails(*state, "", text, "refused");
    dial_fails(*state, "203.0.113.7", text, "203.0.113.7"); // not ours
    dial_fails(*state, "::1", text, "connect to 127.0.0.1");
    dial_fails(*state, "", "unix:/nonexistent/x", "/nonexistent/x: No such file");
    dial_fails(*state, "", "", "connect");
}

static void dial_times_out(void **state) {
    struct addr at;
    int listening = loopback_listen(0, &at), filler[8];
    for (int i = 0; i < 8; i++) { // a full backlog swallows SYNs
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)&at.sa, at.len);
    }
    struct end e = {.loop = *state, .stop_at = "closed"};
    e.conn = conn_dial(*state, NULL, &at, 30, 1000, &end_events, &e);
    run(*state);
    assert_int_equal(e.how, CONN_TIMEOUT);
    assert_int_equal(e.opened, 0);
    end_release(&e);
    for (int i = 0; i < 8; i++)
        close(filler[i]);
    close(listening);
}

static void reset_by_peer(int fd) {
    const struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

static void reset_is_an_error(void **state) {
    int fds[2];
    tcp_open(fds);
    struct end e = {.stop_at = "closed"};
    end_on(&e, *state, fds[0], 1000);
    reset_by_peer(fds[1]);
    run(*state);
    assert_int_equal(e.how, CONN_ERROR);
    assert_non_null(strstr(e.why, "reset"));
    end_release(&e);
}

// The peer says 421 and closes with our bytes unread, which resets the connection: its words must still be
// heard.
static void last_words_are_heard(void **state) {
    int fds[2];
    tcp_open(fds);
    struct end e = {.stop_at = "closed"};
    end_on(&e, *state, fds[0], 1000);
    conn_write(e.conn, BYTES("MAIL FROM:<a@b>\r\n"));
    conn_flush(e.conn);
    assert_int_equal(write(fds[1], "421 busy\r\n", 10), 10);
    close(fds[1]);
    for (int i = 0; i < 3; i++) {
        conn_write(e.conn, BYTES("RCPT TO:<c@d>\r\n"));
        conn_flush(e.conn);
    }
    run(*state);
    assert_int_equal(e.closed, 1);
    assert_int_equal(e.how, CONN_ERROR);
    assert_int_equal(e.got.len, 10);
    end_release(&e);
}

static char free_at;

static void free_there(struct end *e, char at) {
    if (at != free_at) return;
    conn_write(e->conn, BYTES("parting"));
    conn_free(&e->conn);
    loop_stop(e->loop);
}

static void finish_there(struct end *e, char at) {
    if (at != free_at) return;
    conn_write(e->conn, BYTES("parting"));
    conn_finish(&e->conn, 1000);
    loop_stop(e->loop);
}

static void ends_at(struct loop *loop, char at, void (*then)(struct end *, char)) {
    struct addr to;
    int listening = loopback_listen(5, &to);
    struct end e = {.loop = loop, .then = then, .keep = true};
    free_at = at;
    e.conn = conn_dial(loop, NULL, &to, 1000, 1000, &end_events, &e);
    conn_write(e.conn, BYTES("hello"));
    int fd = accept(listening, NULL, NULL);
    if (at == 'r' || at == 'c') assert_int_equal(write(fd, "hi", 2), 2);
    if (at == 'c') close(fd);
    run(loop);
    assert_null(e.conn);
    int events = e.opened + e.readable + e.drained + e.closed;
    run_for(loop, 3);
    assert_int_equal(e.opened + e.readable + e.drained + e.closed, events); // none comes after
    if (at != 'c') close(fd);
    run_for(loop, 3);
    end_release(&e);
    close(listening);
}

static void frees_inside_events(void **state) {
    for (const char *at = "ordc"; *at; at++) {
        ends_at(*state, *at, free_there);
        ends_at(*state, *at, finish_there);
    }
}

static void finish_sends_what_waits(void **state) {
    int fds[2];
    tcp_open(fds);
    struct end e = {0};
    end_on(&e, *state, fds[0], 1000);
    struct buf bulk = {0};
    for (size_t i = 0; i < 8000000; i++)
        buf_byte(&bulk, pattern(i));
    conn_write(e.conn, buf_bytes(&bulk));
    assert_int_equal(write(fds[1], "unread, would reset", 19), 19);
    e.busy = true;
    conn_finish(&e.conn, 5000);
    assert_null(e.conn);
    struct drain d = {*state, fds[1], 0, 9999999}; // until the end
    struct watch *w = watch_new(*state, fds[1], drain, &d);
    watch_want(w, WATCH_READ);
    run(*state);
    assert_int_equal(d.at, 8000000);
    watch_free(&w);
    close(fds[1]);
    run_for(*state, 3);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1); // closed and gone
    buf_release(&bulk);
}

static void finish_gives_up(void **state) {
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {.busy = true};
    end_on(&e, *state, fds[0], 1000);
    conn_finish(&e.conn, 10); // the peer neither talks nor ends
    run_for(*state, 40);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);

    pair_open(SOCK_STREAM, fds);
    end_on(&e, *state, fds[0], 1000);
    conn_finish(&e.conn, 60000); // the peer talks for ever
    struct feeder f = {.fd = fds[1], .size = 100000000};
    f.watch = watch_new(*state, fds[1], feed, &f);
    watch_want(f.watch, WATCH_WRITE);
    while (fcntl(fds[0], F_GETFD) != -1)
        run_for(*state, 5);
    assert_true(f.at < 4000000);
    watch_free(&f.watch);
    close(fds[1]);
}

static void loop_frees_the_finishing(void **state) {
    (void)state;
    struct loop *loop = loop_new(NULL);
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct end e = {0};
    end_on(&e, loop, fds[0], 1000);
    conn_write(e.conn, BYTES("x"));
    conn_finish(&e.conn, 60000);
    run_for(loop, 2);
    loop_free(&loop);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
}

static void no_events_wanted(void **state) {
    static const struct conn_events none = {0};
    int fds[2];
    pair_open(SOCK_STREAM, fds);
    struct conn *c = conn_adopt(*state, fds[0], 0, &none, NULL);
    conn_write(c, BYTES("x"));
    assert_int_equal(write(fds[1], "abc", 3), 3);
    run_for(*state, 2);
    assert_int_equal(conn_peek(c).len, 1); // an input_max of 0 is 1
    close(fds[1]);
    conn_take(c, 1);
    run_for(*state, 2);
    conn_free(&c);
    conn_free(&c);
    conn_finish(&c, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        on_loop(sends_a_turn_in_one_go),
        on_loop(a_buffer_passed_goes_in_its_turn),
        on_loop(flush_sends_now),
        on_loop(hears_and_ends),
        on_loop(untaken_bytes_outlive_the_end),
        on_loop(reply_reaches_who_closed_one_way),
        on_loop(reply_in_the_turn_of_the_end),
        on_loop(input_has_an_end),
        on_loop(slow_reader_gets_all),
        on_loop(pause_and_resume),
        on_loop(idle_limit_follows_traffic),
        on_loop(deadline_ignores_traffic),
        on_loop(deadline_moves_away),
        on_loop(dials),
        on_loop(dial_failures_come_as_events),
        on_loop(dial_times_out),
        on_loop(reset_is_an_error),
        on_loop(last_words_are_heard),
        on_loop(frees_inside_events),
        on_loop(finish_sends_what_waits),
        on_loop(finish_gives_up),
        cmocka_unit_test(loop_frees_the_finishing),
        on_loop(no_events_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
