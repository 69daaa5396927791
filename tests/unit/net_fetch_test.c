// SPDX-License-Identifier: MIT
#include "net/fetch.h"

#include "net_ends.h"
#include "net_pem.h"
#include "pocket_dns.h"
#include "pocket_web.h"

// ---- the bench

struct bench {
    struct loop *loop;
    struct clock clock;
    struct pem_kit pem;
    struct tls_context *tls;
    struct pocket_dns pocket;
    struct dns *dns;
    struct web web;
    struct fetch *fetch;
    // The last answer.
    int calls, status;
    bool temporary, stop;
    char why[600], headers[800];
    struct buf body;
};

static int setup(void **state) {
    struct bench *b = must_alloc(sizeof *b);
    struct err err;
    b->loop = loop_new(&err);
    pem_kit_make(&b->pem);
    b->tls = tls_server_new(
        &(struct tls_server_options){.certificate = b->pem.server.certificate_path, .key = b->pem.server.key_path}, &err);
    pocket_open(&b->pocket, b->loop, 0);
    b->dns = dns_new(b->loop, &(struct dns_options){.servers = b->pocket.address, .clock = &b->clock}, &err);
    web_open(&b->web, b->loop, b->tls);
    b->web.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One:  a b \r\nETag: \"x\"\r\n\r\nhello";
    pocket_add(&b->pocket, "mx.example", 300, "A", "127.0.0.1");
    struct fetch_options options = {.ca_file = b->pem.authority.certificate_path, .private_ok = true};
    b->fetch = fetch_new(b->loop, b->dns, &options);
    *state = b;
    return b->tls && b->dns ? 0 : -1;
}

static void reopen(struct bench *b, const struct fetch_options *options) {
    fetch_free(&b->fetch);
    b->fetch = fetch_new(b->loop, b->dns, options);
}

static int teardown(void **state) {
    struct bench *b = *state;
    fetch_free(&b->fetch);
    web_close(&b->web);
    dns_free(&b->dns);
    pocket_close(&b->pocket);
    tls_context_free(&b->tls);
    pem_kit_release(&b->pem);
    loop_free(&b->loop);
    buf_release(&b->body);
    free(b);
    return 0;
}

static void on_answer(void *arg, const struct fetch_answer *a) {
    struct bench *b = arg;
    b->calls++;
    b->status = a->status;
    b->temporary = a->temporary;
    snprintf(b->why, sizeof b->why, "%s", a->why);
    buf_reset(&b->body);
    buf_add(&b->body, a->body);
    size_t at = 0;
    b->headers[0] = 0;
    for (size_t i = 0; i < a->header_count; i++)
        at += (size_t)snprintf(b->headers + at, sizeof b->headers - at, "%.*s=%.*s;",
                               BYTES_FMT(a->headers[i].name), BYTES_FMT(a->headers[i].value));
    assert_true((a->status == 0) == (a->why[0] != 0));
    if (b->stop) loop_stop(b->loop);
}

static void ask_full(struct bench *b, const struct fetch_request *r) {
    b->calls = 0;
    b->stop = true;
    struct fetch_ticket *t = fetch_ask(b->fetch, r, on_answer, b);
    assert_non_null(t);
    assert_int_equal(b->calls, 0); // never before the asking call has returned
    run(b->loop);
    assert_int_equal(b->calls, 1);
}

static const char *url_of(struct bench *b, const char *host, const char *path) {
    static _Thread_local char url[300];
    snprintf(url, sizeof url, "https://%s:%u%s", host, addr_port(&b->web.at), path);
    return url;
}

static void ask(struct bench *b, const char *url) {
    ask_full(b, &(struct fetch_request){.url = bytes_of(url), .timeout_ms = 10000});
}

static void heard(struct bench *b, const char *part) {
    if (!strstr(buf_z(&b->web.heard), part)) fail_msg("'%s' is not in:\n%s", part, buf_z(&b->web.heard));
}

static void failed(struct bench *b, const char *part, bool temporary) {
    assert_int_equal(b->status, 0);
    if (!strstr(b->why, part)) fail_msg("expected '%s', came '%s'", part, b->why);
    assert_int_equal(b->temporary, temporary);
}

// ---- tests

static void gets(void **state) {
    struct bench *b = *state;
    ask(b, url_of(b, "MX.example", "/a?b=c#d"));
    assert_string_equal(b->why, "");
    assert_int_equal(b->status, 200);
    assert_string_equal(buf_z(&b->body), "hello");
    assert_string_equal(b->headers, "content-length=5;x-one=a b;etag=\"x\";");
    heard(b, "GET /a?b=c HTTP/1.1\r\n");
    heard(b, "User-Agent: Tidegate/");
    assert_null(strstr(b->web.heard.at, "Expect"));
    // The connection is used again, and the name not asked for again before its time.
    ask(b, url_of(b, "mx.example", "/"));
    assert_int_equal(b->status, 200);
    assert_int_equal(b->web.accepted, 1);
    assert_int_equal(b->web.asked, 2);
}

static void posts(void **state) {
    struct bench *b = *state;
    struct fetch_header headers[] = {{BYTES("X-Empty"), BYTES("")},
                                     {BYTES("Authorization"), BYTES("Bearer x")}};
    struct fetch_request r = {.method = "POST",
                              .url = bytes_of(url_of(b, "mx.example", "/p")),
                              .headers = headers,
                              .header_count = 2,
                              .body = BYTES("a=b&c=\0d")};
    ask_full(b, &r);
    assert_int_equal(b->status, 200);
    heard(b, "POST /p HTTP/1.1\r\n");
    heard(b, "Content-Length: 8\r\n");
    heard(b, "X-Empty:\r\n");
    heard(b, "Authorization: Bearer x\r\n");
    assert_true(bytes_ends_nocase(buf_bytes(&b->web.heard), BYTES("\r\n\r\na=b&c=\0d")));
    r = (struct fetch_request){.method = "POST", .url = r.url};
    ask_full(b, &r);
    assert_int_equal(b->status, 200);
    heard(b, "Content-Length: 0\r\n");
    static const char *const methods[] = {"PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < 3; i++) {
        r = (struct fetch_request){.method = methods[i], .url = r.url, .body = BYTES("x")};
        ask_full(b, &r);
        assert_int_equal(b->status, 200);
        heard(b, methods[i]);
    }
    b->web.answer = "HTTP/1.1 204 No\r\nContent-Length: 500\r\n\r\n";
    ask_full(b, &(struct fetch_request){.method = "HEAD", .url = r.url});
    assert_int_equal(b->status, 204);
    heard(b, "HEAD /p");
    assert_int_equal(b->body.len, 0);
}

static void does_not_follow(void **state) {
    struct bench *b = *state;
    b->web.answer = "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n";
    ask(b, url_of(b, "mx.example", "/"));
    assert_int_equal(b->status, 302);
    assert_non_null(strstr(b->headers, "location=https://elsewhere.example/"));
    assert_int_equal(b->web.asked, 1);
}

static void refuses_requests(void **state) {
    struct bench *b = *state;
    static const struct {
        const char *method, *url, *name, *value, *body, *why;
    } rows[] = {
        {"GET", "", NULL, NULL, "", "URL of visible"},
        {"GET", "mx.example/", NULL, NULL, "", "not a URL"},
        {"GET", "https://", NULL, NULL, "", "not a URL"},
        {"GET", "https://a b/", NULL, NULL, "", "visible"},
        {"GET", "https://a/\r\nX: y", NULL, NULL, "", "visible"},
        {"GET", "https://user:secret@mx.example/", NULL, NULL, "", "without a user"},
        {"GET", "ftp://mx.example/", NULL, NULL, "", "begins with https"},
        {"GET", "file:///etc/passwd", NULL, NULL, "", "begins with https"},
        {"GET", "http://mx.example/", NULL, NULL, "", "only https"},
        {"GET", "https://mx.example./", NULL, NULL, "", "no name"},
        {"GET", "https://mx%2fexample/", NULL, NULL, "", "U"},
        {"GET", "https://[fe80::1%25eth0]/", NULL, NULL, "", "host is none"},
        {"GET", "https://mx.example:0/", NULL, NULL, "", "U"},
        {"GET", "https://mx.example:65536/", NULL, NULL, "", "U"},
        {"get", "https://mx.example/", NULL, NULL, "", "method"},
        {"CONNECT", "https://mx.example/", NULL, NULL, "", "method"},
        {"GET", "https://mx.example/", NULL, NULL, "x", "no body"},
        {"GET", "https://mx.example/", "", "x", "", "header"},
        {"GET", "https://mx.example/", "a b", "x", "", "header"},
        {"GET", "https://mx.example/", "a", "x\r\nb: c", "", "header"},
        {"GET", "https://mx.example/", "Host", "other", "", "header"},
        {"GET", "https://mx.example/", "transfer-encoding", "chunked", "", "header"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fetch_header h = {bytes_of(rows[i].name), bytes_of(rows[i].value)};
        ask_full(b, &(struct fetch_request){.method = rows[i].method,
                                            .url = bytes_of(rows[i].url),
                                            .headers = &h,
                                            .header_count = rows[i].name ? 1 : 0,
                                            .body = bytes_of(rows[i].body)});
        failed(b, rows[i].why, false);
        if (strstr(b->why, "secret")) fail_msg("%s", b->why);
    }
    assert_int_equal(b->web.accepted, 0);
    assert_int_equal(b->pocket.asked, 0);
}

// What leads to an address that is not public is refused before anything is connected.
static void keeps_away_from_private(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "ten.example", 300, "A", "10.0.0.1");
    pocket_add(&b->pocket, "six.example", 300, "AAAA", "::1");
    pocket_add(&b->pocket, "mapped.example", 300, "AAAA", "::ffff:127.0.0.1");
    reopen(b, &(struct fetch_options){.ca_file = b->pem.authority.certificate_path});
    static const char *const hosts[] = {
        "mx.example",         "ten.example", "six.example", "mapped.example", "127.0.0.1", "[::1]",
        "[::ffff:127.0.0.1]", "0x7f.1",      "2130706433",  "0177.0.0.1",     "127.1",     "0.0.0.0",
        "169.254.169.254"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        ask(b, url_of(b, hosts[i], "/"));
        failed(b, "public address", false);
    }
    assert_int_equal(b->web.accepted, 0);
}

static void verifies_the_server(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "other.example", 300, "A", "127.0.0.1");
    ask(b, url_of(b, "other.example", "/"));
    failed(b, "other.example", false);
    ask(b, url_of(b, "127.0.0.1", "/"));
    assert_int_equal(b->status, 200); // the certificate has it
    reopen(b,
           &(struct fetch_options){.private_ok = true}); // the system's roots know nothing of our authority
    ask(b, url_of(b, "mx.example", "/"));
    failed(b, "certificate", false);
    assert_int_equal(b->web.asked, 1);
}

static void plain_where_it_may(void **state) {
    struct bench *b = *state;
    struct web plain;
    char url[100];
    web_open(&plain, b->loop, NULL);
    plain.answer = "HTTP/1.1 201 OK\r\nConnection: close\r\n\r\nall of it";
    reopen(b, &(struct fetch_options){.private_ok = true, .plain_ok = true});
    snprintf(url, sizeof url, "http://mx.example:%u/", addr_port(&plain.at));
    ask(b, url);
    assert_int_equal(b->status, 201);
    assert_string_equal(buf_z(&b->body), "all of it");
    web_close(&plain);
}

static void bounds_the_answer(void **state) {
    struct bench *b = *state;
    struct buf answer = {0};
    struct fetch_request r = {.url = bytes_of(url_of(b, "mx.example", "/")), .answer_max = 5};
    ask_full(b, &r);
    assert_int_equal(b->status, 200); // just so
    r.answer_max = 4;
    ask_full(b, &r);
    failed(b, "too large", false);
    r.answer_max = 0;
    buf_addz(&answer, "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n");
    for (int i = 0; i < 20000; i++)
        buf_format(&answer, "%0100d", i);
    b->web.answer = buf_z(&answer);
    ask_full(b, &r);
    failed(b, "too large", false);
    buf_reset(&answer);
    buf_addz(&answer, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 3000; i++)
        buf_format(&answer, "X-%d: %050d\r\n", i, i);
    buf_addz(&answer, "\r\n");
    b->web.answer = buf_z(&answer);
    ask_full(b, &r);
    failed(b, "too large", false);
    buf_release(&answer);
}

static void takes_no_nonsense(void **state) {
    struct bench *b = *state;
    static const char *const answers[] = {
        "hello there, I am not a web server\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "Connection: close"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        b->web.answer = answers[i];
        ask(b, url_of(b, "mx.example", "/"));
        failed(b, "mx.example: ", true);
    }
    b->web.answer = "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
                    "0\r\nX-Last: 2\r\n\r\n";
    ask(b, url_of(b, "mx.example", "/"));
    assert_int_equal(b->status, 200);
    assert_string_equal(b->headers, "content-length=0;x-last=2;");
}

static void gives_up_in_time(void **state) {
    struct bench *b = *state;
    b->web.answer = NULL;
    ask_full(b, &(struct fetch_request){.url = bytes_of(url_of(b, "mx.example", "/")), .timeout_ms = 50});
    failed(b, "within 50 ms", true);
    pocket_behave(&b->pocket, "silent.example", POCKET_SILENT);
    ask_full(b, &(struct fetch_request){.url = bytes_of(url_of(b, "silent.example", "/")), .timeout_ms = 50});
    failed(b, "within 50 ms", true);
}

static void tells_of_dns(void **state) {
    struct bench *b = *state;
    ask(b, url_of(b, "nowhere.example", "/"));
    failed(b, "nowhere.example has no address", false);
    pocket_behave(&b->pocket, "broken.example", POCKET_SERVFAIL);
    ask(b, url_of(b, "broken.example", "/"));
    failed(b, "DNS for broken.example", true);
}

static void refused_connection(void **state) {
    struct bench *b = *state;
    struct addr at;
    char url[100];
    int fd = loopback_listen(1, &at);
    close(fd);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", addr_port(&at));
    ask(b, url);
    failed(b, "127.0.0.1: ", true);
}

static void cancels_anywhere(void **state) {
    struct bench *b = *state;
    struct fetch_request r = {.url = bytes_of(url_of(b, "mx.example", "/")), .timeout_ms = 10000};
    b->calls = 0;
    b->stop = false;
    struct fetch_ticket *t = fetch_ask(b->fetch, &r, on_answer, b); // resolving
    fetch_cancel(&t);
    assert_null(t);
    fetch_cancel(&t);
    b->web.answer = NULL;
    t = fetch_ask(b->fetch, &r, on_answer, b); // running
    for (int i = 0; i < 200 && !b->web.asked; i++)
        run_for(b->loop, 5);
    assert_int_equal(b->web.asked, 1);
    fetch_cancel(&t);
    t = fetch_ask(b->fetch, &(struct fetch_request){.url = BYTES("no url")}, on_answer, b); // ready
    fetch_cancel(&t);
    run_for(b->loop, 20);
    assert_int_equal(b->calls, 0);
    // Freed with requests in each state: no answer, no leak.
    for (int i = 0; i < 20; i++) {
        assert_non_null(fetch_ask(b->fetch, &r, on_answer, b));
        if (i % 5 == 0) run_for(b->loop, 2);
    }
    assert_non_null(fetch_ask(b->fetch, &(struct fetch_request){.url = BYTES("no url")}, on_answer, b));
    reopen(b, &(struct fetch_options){.private_ok = true});
    run_for(b->loop, 20);
    assert_int_equal(b->calls, 0);
}

struct chain {
    struct bench *b;
    struct fetch_ticket *other;
    int left;
};

static void on_chain(void *arg, const struct fetch_answer *a) {
    struct chain *c = arg;
    (void)a;
    c->b->calls++;
    fetch_cancel(&c->other);
    if (c->left-- > 0)
        fetch_ask(c->b->fetch, &(struct fetch_request){.url = BYTES("no url")}, on_chain, c);
    else
        loop_stop(c->b->loop);
}

static void asks_and_cancels_from_within(void **state) {
    struct bench *b = *state;
    struct chain c = {.b = b, .left = 3};
    b->calls = 0;
    fetch_ask(b->fetch, &(struct fetch_request){.url = BYTES("no url")}, on_chain, &c);
    c.other =
        fetch_ask(b->fetch, &(struct fetch_request){.url = BYTES("no url")}, on_answer, b); // ready beside it
    run(b->loop);
    assert_int_equal(b->calls, 4);
}

static void equal_gets_share_one_answer(void **state) {
    struct bench *b = *state;
    static const struct fetch_header header = {{"Accept", 6}, {"text/plain", 10}};
    struct fetch_request r = {.url = bytes_of(url_of(b, "mx.example", "/")), .timeout_ms = 15000};
    b->calls = 0;
    b->stop = false;
    b->web.answer = NULL;
    struct fetch_ticket *first = fetch_ask(b->fetch, &r, on_answer, b);
    fetch_ask(b->fetch, &r, on_answer, b); // while names are asked for
    for (int i = 0; i < 400 && !b->web.asked; i++)
        run_for(b->loop, 5);
    struct fetch_ticket *last = fetch_ask(b->fetch, &r, on_answer, b); // while the server thinks
    fetch_cancel(&first);                                              // the others need no less
    fetch_cancel(&last);
    run_for(b->loop, 20);
    assert_int_equal(b->web.asked, 1);
    // What differs is another request.
    struct fetch_request others[] = {r, r, r};
    others[0].headers = &header, others[0].header_count = 1;
    others[1].timeout_ms = 14000;
    others[2].method = "HEAD";
    b->web.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (int i = 0; i < 3; i++)
        fetch_ask(b->fetch, &others[i], on_answer, b);
    for (int i = 0; i < 400 && b->calls < 3; i++)
        run_for(b->loop, 5);
    assert_int_equal(b->calls, 3);
    assert_int_equal(b->web.asked, 4);
    fetch_free(&b->fetch); // the first one is still waited for
    assert_int_equal(b->calls, 3);
}

struct pair {
    struct bench *b;
    struct fetch_ticket *own[3];
};

static void on_pair(void *arg, const struct fetch_answer *a) {
    struct pair *p = arg;
    assert_int_equal(a->status, 200);
    assert_true(bytes_equal(a->body, BYTES("hello")));
    p->b->calls++;
    fetch_cancel(&p->own[2]); // the last one: nobody waits behind this answer, which is still being read
    assert_true(bytes_equal(a->body, BYTES("hello")));
    if (p->b->calls == 2) fetch_ask(p->b->fetch, &(struct fetch_request){.url = BYTES("no url")}, on_answer, p->b);
}

static void each_hears_it_once(void **state) {
    struct bench *b = *state;
    struct fetch_request r = {.url = bytes_of(url_of(b, "mx.example", "/")), .timeout_ms = 15000};
    struct pair p = {.b = b};
    b->calls = 0;
    b->stop = true;
    for (int i = 0; i < 3; i++)
        p.own[i] = fetch_ask(b->fetch, &r, on_pair, &p);
    run(b->loop);
    assert_int_equal(b->calls, 3); // two of three, and what the second asked for
    assert_int_equal(b->web.asked, 1);
}

static void many_at_once(void **state) {
    struct bench *b = *state;
    reopen(b, &(struct fetch_options){.ca_file = b->pem.authority.certificate_path,
                                      .private_ok = true,
                                      .connections = 3,
                                      .requests = 30});
    struct fetch_request r = {.url = bytes_of(url_of(b, "mx.example", "/")), .timeout_ms = 15000, .method = "DELETE"};
    b->calls = 0;
    b->stop = false;
    for (int i = 0; i < 30; i++)
        fetch_ask(b->fetch, &r, on_answer, b);
    fetch_ask(b->fetch, &r, on_answer, b); // one too many: answered at once
    run_for(b->loop, 1);
    assert_int_equal(b->calls, 1);
    failed(b, "30 requests are under way", true);
    for (int i = 0; i < 1000 && b->calls < 31; i++)
        run_for(b->loop, 10);
    assert_int_equal(b->calls, 31);
    assert_int_equal(b->status, 200);
    assert_int_equal(b->web.asked, 30);
    assert_true(b->web.accepted <= 3);
}

static void knows_places(void **state) {
    (void)state;
    struct fetch_place p;
    assert_true(fetch_place(BYTES("https://API.example.com/x"), &p, NULL));
    assert_string_equal(p.host, "api.example.com");
    assert_int_equal(p.port, 443);
    assert_true(p.tls && !p.literal);
    assert_true(fetch_place(BYTES("http://[2001:DB8::1]:8080"), &p, NULL));
    assert_string_equal(p.host, "2001:db8::1");
    assert_int_equal(p.port, 8080);
    assert_true(!p.tls && p.literal);
    assert_true(fetch_place(BYTES("https://0x7f000001/"), &p, NULL));
    assert_string_equal(p.host, "127.0.0.1");
}

#define on_bench(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        on_bench(gets),
        on_bench(posts),
        on_bench(does_not_follow),
        on_bench(refuses_requests),
        on_bench(keeps_away_from_private),
        on_bench(verifies_the_server),
        on_bench(plain_where_it_may),
        on_bench(bounds_the_answer),
        on_bench(takes_no_nonsense),
        on_bench(gives_up_in_time),
        on_bench(tells_of_dns),
        on_bench(refused_connection),
        on_bench(cancels_anywhere),
        on_bench(asks_and_cancels_from_within),
        on_bench(equal_gets_share_one_answer),
        on_bench(each_hears_it_once),
        on_bench(many_at_once),
        cmocka_unit_test(knows_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
