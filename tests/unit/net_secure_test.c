// SPDX-License-Identifier: MIT
// conn under TLS: the handshake in both roles, STARTTLS, and what is the same as in plain.
#include "net_ends.h"
#include "net_pem.h"

#include <openssl/ssl.h>

struct kit {
    struct pem_kit pem;
    struct tls_context *server, *client;
};

struct room {
    struct kit *kit;
    struct loop *loop;
    struct end server, client;
};

static struct kit *the_kit(struct pem_kit *pem) {
    struct kit *k = must_alloc(sizeof *k);
    struct err err = {""};
    k->pem = *pem;
    k->server = tls_server_new(
        &(struct tls_server_options){.certificate = pem->server.certificate_path, .key = pem->server.key_path}, &err);
    k->client = tls_client_new(pem->authority.certificate_path, &err);
    if (!k->server || !k->client) fail_msg("%s", err.text);
    return k;
}

static int setup(void **state) {
    struct pem_kit pem;
    struct room *r = must_alloc(sizeof *r);
    pem_kit_make(&pem);
    r->kit = the_kit(&pem);
    r->loop = loop_new(NULL);
    *state = r;
    return 0;
}

static int teardown(void **state) {
    struct room *r = *state;
    end_release(&r->server);
    end_release(&r->client);
    loop_free(&r->loop);
    tls_context_free(&r->kit->server);
    tls_context_free(&r->kit->client);
    pem_kit_release(&r->kit->pem);
    free(r->kit);
    free(r);
    return 0;
}

#define in_room(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static void join(struct room *r, size_t input_max) {
    int fds[2], small = 65536;
    tcp_open(fds);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    end_release(&r->server);
    end_release(&r->client);
    end_on(&r->server, r->loop, fds[0], input_max);
    end_on(&r->client, r->loop, fds[1], input_max);
}

static void secure_both(struct room *r) {
    r->server.busy = r->client.busy = true;
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    assert_true(conn_secure_client(r->client.conn, r->kit->client, &(struct tls_peer){.host = "mx.example", .demand = TLS_VERIFY}));
    r->server.busy = r->client.busy = false;
}

static void answer(struct end *e, char at) {
    if (at != 'r' || e->got.len < 6) return;
    buf_reset(&e->got);
    conn_write(e->conn, BYTES("250-mx.example\r\n"));
    conn_write(e->conn, BYTES("250 OK\r\n"));
}

static void implicit(void **state) {
    struct room *r = *state;
    join(r, 1000);
    r->server.then = answer;
    r->client.stop_bytes = 24;
    assert_null(conn_tls_facts(r->client.conn));
    secure_both(r);
    conn_write(r->client.conn, BYTES("EHLO x\r\n")); // waits for the handshake
    run(r->loop);
    assert_int_equal(r->client.secured, 1);
    assert_int_equal(r->server.secured, 1);
    assert_true(conn_tls_facts(r->client.conn)->verified);
    assert_string_equal(conn_tls_facts(r->server.conn)->version, "TLSv1.3");
    assert_int_equal(conn_bytes_out(r->client.conn), 8);
    assert_int_equal(conn_bytes_in(r->client.conn), 24);
    assert_memory_equal(r->client.got.at, "250-mx.example\r\n250 OK\r\n", 24);
}

static void say_starttls(struct end *e, char at) {
    struct room *r = (struct room *)((char *)e - offsetof(struct room, client));
    if (at == 'r' && e->got.len == 11) {
        buf_reset(&e->got);
        assert_true(conn_secure_client(e->conn, r->kit->client, &(struct tls_peer){.host = "mx.example", .demand = TLS_VERIFY}));
        conn_write(e->conn, BYTES("EHLO again\r\n"));
    }
}

static void hear_starttls(struct end *e, char at) {
    struct room *r = (struct room *)((char *)e - offsetof(struct room, server));
    if (at == 'r' && e->got.len == 10 && !e->secured) {
        conn_write(e->conn, BYTES("220 go on\r\n")); // in plain
        assert_true(conn_secure_server(e->conn, r->kit->server));
        conn_write(e->conn, BYTES("never in plain\r\n"));
    }
}

static void starttls(void **state) {
    struct room *r = *state;
    join(r, 1000);
    r->server.then = hear_starttls;
    r->client.then = say_starttls;
    r->client.stop_bytes = 16;
    conn_write(r->client.conn, BYTES("STARTTLS\r\n"));
    run(r->loop);
    assert_memory_equal(r->client.got.at, "never in plain\r\n", 16);
    assert_int_equal(r->client.secured + r->server.secured, 2);
    r->server.stop_bytes = 22;
    if (r->server.got.len < 22) run(r->loop);
    assert_memory_equal(r->server.got.at, "STARTTLS\r\nEHLO again\r\n", 22);
}

static void refuse_starttls(struct end *e, char at) {
    struct room *r = (struct room *)((char *)e - offsetof(struct room, server));
    struct bytes b = conn_peek(e->conn);
    if (at != 'r' || b.len < 10) return;
    conn_take(e->conn, 10);
    assert_false(conn_secure_server(e->conn, r->kit->server)); // the RCPT is there already
    assert_int_equal(conn_peek(e->conn).len, 17);
    conn_write(e->conn, BYTES("554 5.5.0 no\r\n"));
    conn_finish(&e->conn, 1000);
}

// CVE-2011-0411: what a man in the middle put behind STARTTLS must not be taken for what came under TLS.
static void pipelined_plaintext(void **state) {
    struct room *r = *state;
    join(r, 1000);
    r->server.then = refuse_starttls;
    r->server.keep = true;
    r->client.stop_at = "closed";
    conn_write(r->client.conn, BYTES("STARTTLS\r\nRCPT TO:<evil@b>\r"));
    run(r->loop);
    assert_memory_equal(r->client.got.at, "554 5.5.0 no\r\n", 14);
    assert_int_equal(r->client.how, CONN_EOF);
    // The client's side of it: a reply that came too early.
    join(r, 1000);
    r->client.keep = true;
    r->client.stop_at = "readable";
    conn_write(r->server.conn, BYTES("220 go on\r\n250 injected\r\n"));
    run(r->loop);
    conn_take(r->client.conn, 11);
    assert_false(conn_secure_client(r->client.conn, r->kit->client, &(struct tls_peer){.host = "mx.example", .demand = TLS_ANY}));
    assert_null(conn_tls_facts(r->client.conn));
}

// Bytes that were still on their way when TLS began are no handshake.
static void late_plaintext(void **state) {
    struct room *r = *state;
    join(r, 1000);
    r->server.stop_at = "closed";
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    conn_write(r->client.conn, BYTES("RCPT TO:<evil@b>\r\n"));
    run(r->loop);
    assert_int_equal(r->server.how, CONN_ERROR);
    assert_non_null(strstr(r->server.why, "TLS handshake"));
    assert_int_equal(r->server.readable + r->server.secured, 0);
}

static void handshake_can_fail(void **state) {
    struct room *r = *state;
    join(r, 1000);
    r->client.stop_at = "closed";
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    assert_true(conn_secure_client(r->client.conn, r->kit->client, &(struct tls_peer){.host = "other.example", .demand = TLS_VERIFY}));
    conn_write(r->client.conn, BYTES("AUTH PLAIN secret\r\n"));
    run(r->loop);
    assert_int_equal(r->client.secured, 0);
    assert_int_equal(r->client.how, CONN_ERROR);
    assert_non_null(strstr(r->client.why, "ostname mismatch"));
    r->server.stop_at = "closed";
    if (!r->server.closed) run(r->loop);
    assert_int_equal(r->server.got.len, 0);
    join(r, 1000);
    r->client.stop_at = "closed";
    assert_true(conn_secure_client(r->client.conn, r->kit->client, &(struct tls_peer){.host = NULL, .demand = TLS_VERIFY}));
    run(r->loop);
    assert_non_null(strstr(r->client.why, "no name"));
    assert_true(conn_secure_server(r->client.conn, r->kit->server)); // dead already: nothing happens
}

static void handshake_has_limits(void **state) {
    struct room *r = *state;
    join(r, 1000);
    r->server.stop_at = "closed";
    conn_idle_limit(r->server.conn, 20);
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    run(r->loop);
    assert_int_equal(r->server.how, CONN_TIMEOUT);
    join(r, 1000);
    r->server.stop_at = "closed";
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    conn_deadline(r->server.conn, 20);
    conn_write(r->client.conn, bytes_range("\x16\x03\x01\x01\x00\x01", 6)); // begins, and never goes on
    run(r->loop);
    assert_int_equal(r->server.how, CONN_TIMEOUT);
}

static void peer_gone_in_handshake(void **state) {
    struct room *r = *state;
    join(r, 1000);
    r->server.stop_at = "closed";
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    conn_free(&r->client.conn);
    run(r->loop);
    assert_int_equal(r->server.closed, 1);
    assert_int_equal(r->server.how, CONN_ERROR);
}

static char pattern(size_t i) {
    return (char)(i * 131 >> 4);
}

enum { INPUT_MAX = 20000, BULK = 3000000 };

struct ticker {
    struct end *end;
    struct timer *timer;
};

static void check_bulk(struct end *e, struct bytes b) {
    assert_true(b.len <= INPUT_MAX);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.at[i], pattern(e->got.len + i));
    buf_add(&e->got, b);
    conn_take(e->conn, b.len);
    if (e->got.len == BULK) loop_stop(e->loop);
}

static void on_tick(void *arg) {
    struct ticker *t = arg;
    check_bulk(t->end, conn_peek(t->end->conn));
    timer_set(t->timer, 1);
}

// The reader leaves bytes until its input is full: then TLS holds records that no socket event will tell of.
static void back_pressure(void **state) {
    struct room *r = *state;
    join(r, INPUT_MAX);
    secure_both(r);
    r->server.keep = true;
    struct buf bulk = {0};
    for (size_t i = 0; i < BULK; i++)
        buf_byte(&bulk, pattern(i));
    conn_write(r->client.conn, buf_bytes(&bulk));
    run_for(r->loop, 20);
    assert_int_equal(conn_peek(r->server.conn).len, INPUT_MAX);
    assert_int_equal(r->client.drained, 0);
    struct ticker ticker = {.end = &r->server};
    ticker.timer = timer_new(r->loop, on_tick, &ticker);
    timer_set(ticker.timer, 1);
    run(r->loop);
    assert_int_equal(r->server.got.len, BULK);
    assert_int_equal(r->client.drained, 1);
    timer_free(&ticker.timer);
    buf_release(&bulk);
}

static void take_bulk(struct end *e, char at) {
    if (at == 'r') check_bulk(e, conn_peek(e->conn));
}

static void bulk_goes_through(void **state) {
    struct room *r = *state;
    join(r, INPUT_MAX);
    secure_both(r);
    r->server.keep = true;
    r->server.then = take_bulk;
    struct buf bulk = {0};
    for (size_t i = 0; i < BULK; i++)
        buf_byte(&bulk, pattern(i));
    conn_write(r->client.conn, buf_bytes(&bulk));
    run(r->loop);
    buf_release(&bulk);
}

// One record, more than the input holds, and nothing after it: what is left of it is inside OpenSSL, and no
// event of the socket will ever tell.
static void send_one_record(struct room *r, struct end reader) {
    char record[16000] = {0};
    join(r, 10000);
    secure_both(r);
    r->client.stop_at = r->server.stop_at = "secured";
    while (!r->client.secured || !r->server.secured)
        run(r->loop);
    r->client.stop_at = NULL;
    struct conn *c = r->server.conn;
    r->server = reader;
    r->server.loop = r->loop;
    r->server.conn = c;
    conn_write(r->client.conn, bytes_range(record, sizeof record));
}

static void pause_there(struct end *e, char at) {
    if (at == 'r') conn_pause(e->conn, true);
}

static void rest_of_a_record(void **state) {
    struct room *r = *state;
    send_one_record(r, (struct end){.stop_bytes = 16000});
    run(r->loop);
    assert_true(r->server.readable > 1);

    send_one_record(r, (struct end){.keep = true});
    run_for(r->loop, 5);
    assert_int_equal(conn_peek(r->server.conn).len, 10000);
    r->server.keep = false;
    r->server.stop_bytes = 6000;
    conn_take(r->server.conn, 10000);
    run(r->loop);

    send_one_record(r, (struct end){.then = pause_there});
    run_for(r->loop, 5);
    assert_int_equal(r->server.got.len, 10000);
    r->server.stop_bytes = 16000;
    conn_pause(r->server.conn, false);
    run(r->loop);
}

static void pause_under_tls(void **state) {
    struct room *r = *state;
    join(r, 1000);
    secure_both(r);
    r->server.stop_at = "secured";
    run(r->loop);
    conn_pause(r->server.conn, true);
    conn_write(r->client.conn, BYTES("NOOP\r\n"));
    conn_finish(&r->client.conn, 1000);
    run_for(r->loop, 10);
    assert_int_equal(r->server.readable + r->server.closed, 0);
    conn_pause(r->server.conn, false);
    r->server.stop_at = "closed";
    run(r->loop);
    assert_int_equal(r->server.got.len, 6);
    assert_int_equal(r->server.how, CONN_EOF);
}

static SSL *raw_client(int fd) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_fd(ssl, fd);
    return ssl;
}

struct raw {
    SSL *ssl;
    struct loop *loop;
    int shutdown;
};

static void on_raw_shake(void *arg, int what) {
    struct raw *raw = arg;
    (void)what;
    if (SSL_connect(raw->ssl) == 1) loop_stop(raw->loop);
}

// A client of OpenSSL's own whose handshake with the server is over.
static struct raw raw_secured(struct room *r, int fd) {
    struct raw raw = {raw_client(fd), r->loop, 0};
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    struct watch *w = watch_new(r->loop, fd, on_raw_shake, &raw);
    SSL_connect(raw.ssl);
    watch_want(w, WATCH_READ);
    run(r->loop);
    watch_free(&w);
    return raw;
}

static void on_raw_drain(void *arg, int what) {
    struct raw *raw = arg;
    char text[20000];
    (void)what;
    int n = SSL_read(raw->ssl, text, sizeof text);
    if (n <= 0 && SSL_get_error(raw->ssl, n) == SSL_ERROR_WANT_READ) return;
    if (n > 0) return;
    raw->shutdown = SSL_get_shutdown(raw->ssl);
    loop_stop(raw->loop);
}

// The client's first command may come in one packet with the end of its handshake.
static void command_behind_finished(void **state) {
    struct room *r = *state;
    int fds[2];
    tcp_open(fds);
    end_on(&r->server, r->loop, fds[0], 1000);
    SSL *ssl = raw_client(fds[1]);
    assert_true(conn_secure_server(r->server.conn, r->kit->server));
    assert_int_equal(SSL_connect(ssl), -1);
    run_for(r->loop, 20);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "EHLO x\r\n", 8), 8);
    r->server.stop_bytes = 8;
    run(r->loop);
    SSL_free(ssl);
    close(fds[1]);
}

// Finished with megabytes to go: all of it arrives, then close_notify, then FIN.
static void finish_says_goodbye(void **state) {
    struct room *r = *state;
    int fds[2];
    tcp_open(fds);
    end_on(&r->server, r->loop, fds[0], 1000);
    struct raw raw = raw_secured(r, fds[1]);
    r->server.stop_at = "secured";
    if (!r->server.secured) run(r->loop);
    struct buf bulk = {0};
    for (size_t i = 0; i < BULK; i++)
        buf_byte(&bulk, 'x');
    conn_write(r->server.conn, buf_bytes(&bulk));
    conn_finish(&r->server.conn, 5000);
    struct watch *w = watch_new(r->loop, fds[1], on_raw_drain, &raw);
    watch_want(w, WATCH_READ);
    run(r->loop);
    assert_int_equal(raw.shutdown & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    watch_free(&w);
    SSL_free(raw.ssl);
    close(fds[1]);
    buf_release(&bulk);
}

// A peer that breaks off without close_notify ends like one that says goodbye: SMTP's framing tells the
// difference.
static void truncation(void **state) {
    struct room *r = *state;
    int fds[2];
    tcp_open(fds);
    end_on(&r->server, r->loop, fds[0], 1000);
    struct raw raw = raw_secured(r, fds[1]);
    assert_int_equal(SSL_write(raw.ssl, "DATA\r\n", 6), 6);
    close(fds[1]);
    r->server.stop_at = "closed";
    run(r->loop);
    assert_int_equal(r->server.got.len, 6);
    SSL_free(raw.ssl);
}

static void garbage_after_handshake(void **state) {
    struct room *r = *state;
    int fds[2];
    tcp_open(fds);
    end_on(&r->server, r->loop, fds[0], 1000);
    struct raw raw = raw_secured(r, fds[1]);
    r->server.stop_at = "closed";
    assert_int_equal(write(fds[1], "MAIL FROM:<in@the.clear>\r\n", 26), 26);
    run(r->loop);
    assert_int_equal(r->server.how, CONN_ERROR);
    assert_int_equal(r->server.got.len, 0);
    SSL_free(raw.ssl);
    close(fds[1]);
}

// As in plain: the peer says 421 and resets the connection, and its words are heard.
static void last_words_are_heard(void **state) {
    struct room *r = *state;
    join(r, 1000);
    secure_both(r);
    r->client.stop_at = "secured";
    run(r->loop);
    r->server.stop_at = "secured";
    if (!r->server.secured) run(r->loop);
    conn_pause(r->server.conn, true); // leaves our bytes unread: closing then resets
    conn_write(r->client.conn, BYTES("MAIL FROM:<a@b>\r\n"));
    conn_flush(r->client.conn);
    conn_write(r->server.conn, BYTES("421 busy\r\n"));
    conn_flush(r->server.conn);
    conn_free(&r->server.conn);
    for (int i = 0; i < 3; i++) {
        conn_write(r->client.conn, BYTES("RCPT TO:<c@d>\r\n"));
        conn_flush(r->client.conn);
    }
    r->client.stop_at = "closed";
    run(r->loop);
    assert_int_equal(r->client.got.len, 10);
    assert_int_equal(r->client.closed, 1);
}

static void free_when_secured(struct end *e, char at) {
    if (at == 's') conn_free(&e->conn);
}

static void finish_when_secured(struct end *e, char at) {
    if (at == 's') conn_finish(&e->conn, 1000);
}

static void freed_in_secured(void **state) {
    struct room *r = *state;
    void (*const thens[])(struct end *, char) = {free_when_secured, finish_when_secured};
    for (int i = 0; i < 2; i++) {
        join(r, 1000);
        r->server.then = thens[i];
        r->client.stop_at = "closed";
        secure_both(r);
        run(r->loop);
        assert_null(r->server.conn);
        assert_int_equal(r->client.how, CONN_EOF);
        end_release(&r->client);
        join(r, 1000); // and in the middle of it
        secure_both(r);
        if (i)
            conn_finish(&r->server.conn, 1000);
        else
            conn_free(&r->server.conn);
        r->client.stop_at = "closed";
        run(r->loop);
        end_release(&r->client);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        in_room(implicit),
        in_room(starttls),
        in_room(pipelined_plaintext),
        in_room(late_plaintext),
        in_room(handshake_can_fail),
        in_room(handshake_has_limits),
        in_room(peer_gone_in_handshake),
        in_room(back_pressure),
        in_room(bulk_goes_through),
        in_room(rest_of_a_record),
        in_room(pause_under_tls),
        in_room(command_behind_finished),
        in_room(finish_says_goodbye),
        in_room(truncation),
        in_room(garbage_after_handshake),
        in_room(last_words_are_heard),
        in_room(freed_in_secured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
