// SPDX-License-Identifier: MIT
#include "net_ends.h"
#include "relay/asker.h"

#include <stdlib.h>
#include <string.h>

struct stage {
    struct gateway gateway;
    struct askers *askers;
    struct end client;
    struct asker *busy; // its request is still to be ended
    struct buf lines;   // what followed the request
    enum asker_said last;
};

static struct stage *stage_of(struct asker *a) { return (struct stage *)((char *)asker_gateway(a) - offsetof(struct stage, gateway)); }

static bool take(void *arg, enum asker_said said, struct bytes line) {
    struct asker *a = arg;
    struct stage *s = stage_of(a);
    s->last = said;
    if (said == ASKER_LINE) {
        buf_format(&s->lines, "%.*s|", BYTES_FMT(line));
        return !bytes_equal(line, BYTES("wait"));
    }
    jsonl_int(asker_done_begin(a), "lines", 1);
    asker_done_end(a);
    return false;
}

// "echo", "later", "lines", or an error.
static void request(struct asker *a, struct bytes line) {
    struct stage *s = stage_of(a);
    if (bytes_equal(line, BYTES("echo"))) {
        asker_row(a, BYTES("{\"it\":1}\n"));
        asker_done_begin(a);
        asker_done_end(a);
    } else if (bytes_equal(line, BYTES("later"))) {
        s->busy = a;
        loop_stop(s->gateway.loop);
    } else if (bytes_equal(line, BYTES("lines"))) {
        asker_lines(a, take, a);
    } else {
        asker_error(a, 64, "no such thing: %.*s", BYTES_FMT(line));
    }
}

static int open_stage(void **state) {
    struct stage *s = must_alloc(sizeof *s);
    struct err err;
    int fds[2];
    s->gateway.loop = loop_new(&err);
    s->askers = askers_new(&s->gateway, request);
    pair_open(SOCK_STREAM, fds);
    askers_accept(s->askers, fds[0]);
    end_on(&s->client, s->gateway.loop, fds[1], 256 * 1024);
    *state = s;
    return 0;
}

static int close_stage(void **state) {
    struct stage *s = *state;
    end_release(&s->client);
    askers_free(&s->askers);
    loop_free(&s->gateway.loop);
    buf_release(&s->lines);
    free(s);
    return 0;
}

static void say(struct stage *s, const char *text, const char *answer) {
    buf_reset(&s->client.got);
    conn_write(s->client.conn, bytes_of(text));
    s->client.stop_bytes = strlen(answer);
    run(s->gateway.loop);
    assert_string_equal(buf_z(&s->client.got), answer);
}

static void requests_are_answered_in_turn(void **state) {
    say(*state, "echo\nnonsense\nec", "{\"row\":{\"it\":1}}\n{\"done\":true}\n{\"error\":\"no such thing: nonsense\",\"code\":64}\n");
    say(*state, "ho\n", "{\"row\":{\"it\":1}}\n{\"done\":true}\n");
}

static void next_one_waits_for_the_end_of_the_last(void **state) {
    struct stage *s = *state;
    conn_write(s->client.conn, BYTES("later\necho\n"));
    run(s->gateway.loop);
    assert_int_equal(s->client.got.len, 0);
    asker_error(s->busy, 75, "not now");
    say(s, "", "{\"error\":\"not now\",\"code\":75}\n{\"row\":{\"it\":1}}\n{\"done\":true}\n");
}

static void endless_request_is_refused(void **state) {
    struct buf line = {0};
    for (int i = 0; i < 66000; i++) buf_byte(&line, 'x');
    say(*state, buf_z(&line), "{\"error\":\"a request is one line of at most 65536 bytes\",\"code\":65}\n");
    buf_release(&line);
}

static void lines_follow_a_request(void **state) {
    struct stage *s = *state;
    say(s, "lines\none\n..two\n\n.\necho\n", "{\"done\":true,\"lines\":1}\n{\"row\":{\"it\":1}}\n{\"done\":true}\n");
    assert_string_equal(buf_z(&s->lines), "one|.two||");
    assert_int_equal(s->last, ASKER_LAST);
}

static void lines_are_cut_where_they_are_too_long(void **state) {
    struct stage *s = *state;
    struct buf text = {0};
    buf_addz(&text, "lines\n");
    for (int i = 0; i < 3 * ASKER_LINE_MAX; i++) buf_byte(&text, 'x');
    buf_addz(&text, "\nshort\n.\n");
    say(s, buf_z(&text), "{\"done\":true,\"lines\":1}\n");
    assert_int_equal(s->lines.len, ASKER_LINE_MAX + 1 + 6);
    buf_release(&text);
}

static void one_that_hangs_up_is_deaf_until_its_verb_ends(void **state) {
    struct stage *s = *state;
    conn_write(s->client.conn, BYTES("later\n"));
    run(s->gateway.loop);
    conn_free(&s->client.conn);
    while (!asker_is_gone(s->busy)) run_for(s->gateway.loop, 1);
    assert_false(asker_is_full(s->busy));
    asker_row(s->busy, BYTES("{}"));
    asker_error(s->busy, 75, "nobody hears this");
}

static void one_that_hangs_up_among_its_lines_is_told_of(void **state) {
    struct stage *s = *state;
    s->last = ASKER_LINE;
    conn_write(s->client.conn, BYTES("lines\none\nhalf"));
    while (!s->lines.len) run_for(s->gateway.loop, 1);
    conn_free(&s->client.conn);
    while (s->last != ASKER_GONE) run_for(s->gateway.loop, 1);
    assert_string_equal(buf_z(&s->lines), "one|");
}

static void they_outlive_the_socket_while_something_is_under_way(void **state) {
    struct stage *s = *state;
    conn_write(s->client.conn, BYTES("later\n"));
    run(s->gateway.loop);
    askers_free(&s->askers);
    assert_true(asker_is_gone(s->busy));
    asker_error(s->busy, 75, "the last of them");
}

static void no_more_than_64(void **state) {
    struct stage *s = *state;
    int fds[64][2];
    for (int i = 0; i < 64; i++) {
        pair_open(SOCK_STREAM, fds[i]);
        askers_accept(s->askers, fds[i][0]);
    }
    char byte;
    assert_int_equal(recv(fds[62][1], &byte, 1, MSG_DONTWAIT), -1); // the 64th: open
    assert_int_equal(recv(fds[63][1], &byte, 1, MSG_DONTWAIT), 0);
    for (int i = 0; i < 64; i++) close(fds[i][1]);
}

#define staged(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

static void an_end_is_named_in_seconds(void **state) {
    (void)state;
    static const struct {
        const char *request;
        bool good;
        int64_t until_ms;
    } rows[] = {{"{}", true, 0},
                {"{\"expires_s\":1}", true, 6000},
                {"{\"expires_s\":3162240000}", true, 3162240005000},
                {"{\"expires_s\":3162240001}", false, 0},
                {"{\"expires_s\":0}", false, 0},
                {"{\"expires_s\":\"1d\"}", false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *request = json_parse(bytes_of(rows[i].request), NULL);
        struct err err;
        int64_t until_ms = 7;
        assert_non_null(request);
        assert_int_equal(asker_until(request, 5000, &until_ms, &err), rows[i].good);
        assert_int_equal(until_ms, rows[i].until_ms);
        json_free(&request);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_is_named_in_seconds),
        staged(requests_are_answered_in_turn),
        staged(next_one_waits_for_the_end_of_the_last),
        staged(endless_request_is_refused),
        staged(lines_follow_a_request),
        staged(lines_are_cut_where_they_are_too_long),
        staged(one_that_hangs_up_is_deaf_until_its_verb_ends),
        staged(one_that_hangs_up_among_its_lines_is_told_of),
        staged(they_outlive_the_socket_while_something_is_under_way),
        staged(no_more_than_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
