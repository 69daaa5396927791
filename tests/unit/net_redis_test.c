// SPDX-License-Identifier: MIT
#include "net/redis.h"

#include "net_ends.h"

#include <stdio.h>
#include <stdlib.h>

// A server that says what it is given, and a client that notes what it hears.
struct bench {
    struct loop *loop;
    int listener;
    struct watch *watch;
    struct conn *server;
    struct buf heard;       // by the server
    size_t questions;       // after so many lines that begin one it speaks
    const char *says;
    struct redis *redis;
    struct buf told;        // what was answered, opened and lost, in order
    int answers, stop_at;
    bool ask_when_opened;
};

static void note(struct bench *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (b->told.len) buf_addz(&b->told, "; ");
    buf_formatv(&b->told, format, args);
    va_end(args);
}

static void on_answer(void *arg, const struct redis_answer *said) {
    struct bench *b = arg;
    if (said->fault) note(b, "%s: %s", said->lost ? "lost" : "fault", said->fault);
    else note(b, "%zu", said->count);
    for (size_t i = 0; i < said->count; i++) buf_format(&b->told, " <%.*s>", BYTES_FMT(said->texts[i]));
    if (++b->answers == b->stop_at) loop_stop(b->loop);
}

static void ask(struct bench *b, const char *word) {
    struct bytes words[] = {BYTES("ECHO"), bytes_of(word)};
    redis_ask(b->redis, words, 2, on_answer, b);
}

static void on_opened(void *arg) {
    struct bench *b = arg;
    note(b, "opened");
    if (b->ask_when_opened) ask(b, "first");
}

static void on_lost(void *arg, const char *why) { note(arg, "closed: %s", why); }

static void on_server_readable(void *arg) {
    struct bench *b = arg;
    struct bytes in = conn_peek(b->server);
    size_t questions = 0;
    buf_add(&b->heard, in);
    conn_take(b->server, in.len);
    for (size_t i = 0; i < b->heard.len; i++) questions += b->heard.at[i] == '*';
    if (questions < b->questions) return;
    if (b->says) conn_write(b->server, bytes_of(b->says));
    else conn_finish(&b->server, 1000);
    b->questions = SIZE_MAX;
}

static void on_connection(void *arg, int what) {
    static const struct conn_events events = {.readable = on_server_readable};
    struct bench *b = arg;
    (void)what;
    int fd = accept4(b->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    b->server = conn_adopt(b->loop, fd, 65536, &events, b);
}

static struct bench *begin(const char *says, size_t questions, const char *password) {
    struct bench *b = must_alloc(sizeof *b);
    struct err err;
    struct redis_options o = {.opened = on_opened, .lost = on_lost, .password = password, .arg = b};
    b->loop = loop_new(&err);
    b->says = says;
    b->questions = questions;
    b->listener = loopback_listen(5, &o.address);
    b->watch = watch_new(b->loop, b->listener, on_connection, b);
    watch_want(b->watch, WATCH_READ);
    b->redis = redis_new(b->loop, &o);
    return b;
}

static void hears(struct bench *b, int answers, const char *wanted) {
    b->stop_at = answers;
    run(b->loop);
    assert_string_equal(buf_z(&b->told), wanted);
}

static void end(struct bench *b) {
    redis_free(&b->redis);
    conn_free(&b->server);
    watch_free(&b->watch);
    close(b->listener);
    loop_free(&b->loop);
    buf_release(&b->heard);
    buf_release(&b->told);
    free(b);
}

static void answers_come_flat_and_in_order(void **state) {
    (void)state;
    struct bench *b = begin("*3\r\n$5\r\ntaken\r\n:42\r\n$-1\r\n"
                            "$4\r\na\r\nb\r\n"
                            "-ERR no such thing\r\n"
                            "*0\r\n+PONG\r\n", 5, NULL);
    for (int i = 0; i < 5; i++) ask(b, "x");
    hears(b, 5, "opened; 3 <taken> <42> <>; 1 <a\r\nb>; fault: ERR no such thing; 0; 1 <PONG>");
    assert_memory_equal(b->heard.at, "*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n*2\r\n", 25);
    end(b);
}

static void what_opening_asks_goes_first(void **state) {
    (void)state;
    struct bench *b = begin("$5\r\nfirst\r\n$6\r\nsecond\r\n", 2, NULL);
    b->ask_when_opened = true;
    ask(b, "second");
    hears(b, 2, "opened; 1 <first>; 1 <second>");
    const char *heard = buf_z(&b->heard);
    assert_true(strstr(heard, "first") < strstr(heard, "second"));
    end(b);
}

static void a_password_goes_before_all(void **state) {
    (void)state;
    struct bench *b = begin("+OK\r\n+x\r\n", 1, "open sesame");
    ask(b, "x");
    hears(b, 1, "opened; 1 <x>");
    assert_memory_equal(b->heard.at, "*2\r\n$4\r\nAUTH\r\n$11\r\nopen sesame\r\n", 32);
    end(b);
}

static void a_wrong_password_is_told(void **state) {
    (void)state;
    struct bench *b = begin("-WRONGPASS invalid username-password pair\r\n", 1, "x");
    ask(b, "x");
    hears(b, 1, "closed: it does not let us in: WRONGPASS invalid username-password pair; "
                "lost: it does not let us in: WRONGPASS invalid username-password pair");
    end(b);
}

static void what_is_no_answer_loses_the_connection(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "what it says is not Redis's protocol"},
        {"*1\r\n*1\r\n+x\r\n", "its answer is not one of Redis to what was asked"},
        {"*1\r\n-ERR\r\n", "its answer is not one of Redis to what was asked"},
        {"*-5\r\n", "what it says is not Redis's protocol"},
        {"$99999999999999999999\r\n", "what it says is not Redis's protocol"},
        {NULL, "it closed the connection"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench *b = begin(cases[i][0], 1, NULL);
        char wanted[300];
        snprintf(wanted, sizeof wanted, "opened; closed: %s; lost: %s", cases[i][1], cases[i][1]);
        ask(b, "x");
        hears(b, 1, wanted);
        ask(b, "y"); // not so soon
        b->stop_at = 2;
        run(b->loop);
        assert_non_null(strstr(buf_z(&b->told), "; lost: it was out of reach a moment ago"));
        end(b);
    }
}

static void an_answer_too_many_loses_it_as_well(void **state) {
    (void)state;
    struct bench *b = begin("+x\r\n+y\r\n", 1, NULL);
    ask(b, "x");
    hears(b, 1, "opened; 1 <x>; closed: it answers what was not asked");
    end(b);
}

static void who_is_gone_hears_nothing(void **state) {
    (void)state;
    struct bench *b = begin("+x\r\n", 1, NULL);
    ask(b, "x");
    ask(b, "y");
    end(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_flat_and_in_order),
        cmocka_unit_test(what_opening_asks_goes_first),
        cmocka_unit_test(a_password_goes_before_all),
        cmocka_unit_test(a_wrong_password_is_told),
        cmocka_unit_test(what_is_no_answer_loses_the_connection),
        cmocka_unit_test(an_answer_too_many_loses_it_as_well),
        cmocka_unit_test(who_is_gone_hears_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
