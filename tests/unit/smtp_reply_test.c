// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/reply.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_written(const struct reply *r, bool enhanced, const char *want) {
    struct buf out = {0};
    reply_write(&out, r, enhanced);
    assert_string_equal(buf_z(&out), want);
    buf_release(&out);
}

static void writes_lines_with_codes(void **state) {
    (void)state;
    struct reply r = reply_make(550, "5.7.1", "no %s", "way");
    assert_written(&r, true, "550 5.7.1 no way\r\n");
    assert_written(&r, false, "550 no way\r\n");
    r = reply_make(550, "5.7.1", "one\ntwo\nthree");
    assert_written(&r, true, "550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\r\n");
    r = reply_make(354, NULL, "go on");
    assert_written(&r, true, "354 go on\r\n");
}

static void writes_the_class_where_there_is_no_enhanced_code(void **state) {
    (void)state;
    struct reply r = reply_make(450, NULL, "later");
    assert_written(&r, true, "450 4.0.0 later\r\n");
    r = reply_make(550, "4.7.1", "classes differ"); // not taken over
    assert_written(&r, true, "550 5.0.0 classes differ\r\n");
}

static void makes_only_what_may_be_said(void **state) {
    (void)state;
    struct reply r = reply_make(550, NULL, "a\rb\tc%c\x7f\xff\xc3\xa9\x1b[0m", 1);
    assert_string_equal(r.text, "a?b?c???\xc3\xa9?[0m");
}

static void wraps_long_text(void **state) {
    (void)state;
    char text[900];
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = i % 10 == 9 ? ' ' : 'x';
    text[sizeof text - 1] = 0;
    struct reply r = reply_make(550, "5.7.1", "%s", text);
    struct buf out = {0};
    reply_write(&out, &r, true);
    struct bytes rest = buf_bytes(&out);
    int lines = 0;
    while (rest.len) {
        struct bytes line = bytes_cut(&rest, '\n');
        assert_true(line.len + 1 <= 512);
        assert_int_equal(line.at[3], rest.len ? '-' : ' ');
        lines++;
    }
    assert_int_equal(lines, 2);
    buf_reset(&out);
    for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xc3\xa9", 2); // no space to cut at
    r = reply_make(550, NULL, "%s", text);
    reply_write(&out, &r, false);
    struct reply again;
    size_t used;
    assert_int_equal(reply_parse(buf_bytes(&out), &used, &again, NULL, NULL), REPLY_DONE);
    assert_null(strchr(again.text, '?')); // no character was cut in two
    buf_release(&out);
}

static void makes_never_more_than_fits(void **state) {
    (void)state;
    char text[REPLY_TEXT * 2];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    struct reply r = reply_make(550, NULL, "%s", text);
    assert_int_equal(strlen(r.text), REPLY_TEXT - 1);
}

static void reads_an_operators_words(void **state) {
    (void)state;
    struct reply r;
    struct err err;
    assert_true(reply_from_text(BYTES("550 5.7.1 not today"), &r, &err));
    assert_int_equal(r.code, 550);
    assert_int_equal(r.status[1], 7);
    assert_string_equal(r.text, "not today");
    assert_true(reply_from_text(BYTES(" 451 later "), &r, &err));
    assert_int_equal(r.status[0], 0);
    assert_string_equal(r.text, "later");
    assert_true(reply_from_text(BYTES("250"), &r, &err));
    assert_true(reply_from_text(BYTES("550 4 of 5 are bad"), &r, &err));
    assert_string_equal(r.text, "4 of 5 are bad");
    static const char *const bad[] = {"", "55", "hello", "199 x", "600 x", "550x", "550-x", "550 4.7.1 x", "550 a\rb",
                                      "550 a\tb", "550 \xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.text[0] = 0;
        assert_false(reply_from_text(bytes_of(bad[i]), &r, &err));
        assert_true(err.text[0]);
    }
}

static void says_it_on_one_line(void **state) {
    (void)state;
    struct reply r = reply_make(550, "5.7.1", "a\nb");
    struct buf out = {0};
    reply_text(&r, &out);
    assert_string_equal(buf_z(&out), "550 5.7.1 a b");
    buf_release(&out);
}

struct parse_case {
    const char *in;
    enum reply_result result;
    int code, status1;
    const char *text;
    size_t left; // bytes behind the reply
};

static const struct parse_case parse_cases[] = {
    {"250 ok\r\n", REPLY_DONE, 250, 0, "ok", 0},
    {"250 ok\n", REPLY_DONE, 250, 0, "ok", 0},
    {"250\r\n", REPLY_DONE, 250, 0, "", 0},
    {"250 \r\n", REPLY_DONE, 250, 0, "", 0},
    {"250-a\r\n250 b\r\n", REPLY_DONE, 250, 0, "a\nb", 0},
    {"250-a\r\n250\r\n220 x\r\n", REPLY_DONE, 250, 0, "a\n", 7},
    {"550 5.1.1 no\r\n", REPLY_DONE, 550, 1, "no", 0},
    {"550-5.1.1 no\r\n550 5.1.1 one\r\n", REPLY_DONE, 550, 1, "no\none", 0},
    {"550-no\r\n550 5.1.1 one\r\n", REPLY_DONE, 550, 1, "no\none", 0},
    {"550 see 5.1.1 no\r\n", REPLY_DONE, 550, 0, "see 5.1.1 no", 0}, // only at the front
    {"550 4.1.1 no\r\n", REPLY_DONE, 550, 0, "4.1.1 no", 0},         // not of its class
    {"550 5.1.1000 no\r\n", REPLY_DONE, 550, 0, "5.1.1000 no", 0},
    {"550 5.1.1no\r\n", REPLY_DONE, 550, 0, "5.1.1no", 0},
    {"550 a\x01z\xff\r\n", REPLY_DONE, 550, 0, "a?z?", 0},
    {"550 a\rb\r\n", REPLY_DONE, 550, 0, "a?b", 0},
    {"", REPLY_MORE, 0, 0, NULL, 0},
    {"250 ok", REPLY_MORE, 0, 0, NULL, 0},
    {"250 ok\r", REPLY_MORE, 0, 0, NULL, 0},
    {"250-ok\r\n", REPLY_MORE, 0, 0, NULL, 0},
    {"250-ok\r\n25", REPLY_MORE, 0, 0, NULL, 0},
    {"\r\n", REPLY_BAD, 0, 0, NULL, 0},
    {"25 ok\r\n", REPLY_BAD, 0, 0, NULL, 0},
    {"2500 ok\r\n", REPLY_BAD, 0, 0, NULL, 0},
    {"150 ok\r\n", REPLY_BAD, 0, 0, NULL, 0},
    {"650 ok\r\n", REPLY_BAD, 0, 0, NULL, 0},
    {"250_ok\r\n", REPLY_BAD, 0, 0, NULL, 0},
    {"250-ok\r\n251 ok\r\n", REPLY_BAD, 0, 0, NULL, 0},
    {"HTTP/1.1 400 Bad Request\r\n", REPLY_BAD, 0, 0, NULL, 0},
};

static void parses_replies(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof parse_cases / sizeof *parse_cases; i++) {
        const struct parse_case *c = &parse_cases[i];
        struct reply r;
        size_t used = 0;
        struct bytes in = bytes_of(c->in);
        assert_int_equal(reply_parse(in, &used, &r, NULL, NULL), c->result);
        if (c->result != REPLY_DONE) continue;
        assert_int_equal(r.code, c->code);
        assert_int_equal(r.status[1], c->status1);
        assert_string_equal(r.text, c->text);
        assert_int_equal(in.len - used, c->left);
    }
}

static void parses_the_same_byte_by_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof parse_cases / sizeof *parse_cases; i++) {
        const struct parse_case *c = &parse_cases[i];
        struct reply_reader reader = {0};
        struct bytes all = bytes_of(c->in), in = {c->in, 0};
        enum reply_result result = REPLY_MORE;
        while (result == REPLY_MORE && in.at + in.len < all.at + all.len) {
            in.len++;
            result = reply_read(&reader, &in, NULL, NULL);
        }
        assert_int_equal(result, c->result);
        if (result == REPLY_DONE) assert_string_equal(reader.reply.text, c->text);
    }
}

static void is_bounded(void **state) {
    (void)state;
    struct buf in = {0};
    struct reply r;
    size_t used;
    for (int i = 0; i < REPLY_LINES - 1; i++) buf_addz(&in, "250-line\r\n");
    struct buf good = {0};
    buf_add(&good, buf_bytes(&in));
    buf_addz(&good, "250 end\r\n");
    assert_int_equal(reply_parse(buf_bytes(&good), &used, &r, NULL, NULL), REPLY_DONE);
    assert_int_equal(used, good.len);
    buf_addz(&in, "250-line\r\n");
    assert_int_equal(reply_parse(buf_bytes(&in), &used, &r, NULL, NULL), REPLY_BAD);

    buf_reset(&in);
    buf_addz(&in, "250 ");
    while (in.len < REPLY_LINE - 1) buf_byte(&in, 'x');
    assert_int_equal(reply_parse(buf_bytes(&in), &used, &r, NULL, NULL), REPLY_MORE);
    buf_byte(&in, '\n');
    assert_int_equal(reply_parse(buf_bytes(&in), &used, &r, NULL, NULL), REPLY_DONE);
    assert_int_equal(strlen(r.text), REPLY_TEXT - 1);
    in.at[in.len - 1] = 'x';
    assert_int_equal(reply_parse(buf_bytes(&in), &used, &r, NULL, NULL), REPLY_BAD);
    buf_release(&in);
    buf_release(&good);
}

static void collect(void *arg, struct bytes line) {
    buf_add(arg, line);
    buf_byte(arg, '|');
}

static void shows_each_line(void **state) {
    (void)state;
    struct buf seen = {0};
    struct reply r;
    size_t used;
    struct bytes in = BYTES("250-mx.example\r\n250-SIZE 1000\r\n250 HELP\r\n");
    assert_int_equal(reply_parse(in, &used, &r, collect, &seen), REPLY_DONE);
    assert_string_equal(buf_z(&seen), "mx.example|SIZE 1000|HELP|");
    buf_release(&seen);
}

static void knows_its_kind(void **state) {
    (void)state;
    struct reply r = {.code = 354};
    assert_true(reply_is_positive(&r) && !reply_is_temporary(&r) && !reply_is_permanent(&r));
    r.code = 421;
    assert_true(!reply_is_positive(&r) && reply_is_temporary(&r) && !reply_is_permanent(&r));
    r.code = 0;
    assert_true(!reply_is_positive(&r) && !reply_is_temporary(&r) && !reply_is_permanent(&r));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_lines_with_codes),
        cmocka_unit_test(writes_the_class_where_there_is_no_enhanced_code),
        cmocka_unit_test(makes_only_what_may_be_said),
        cmocka_unit_test(wraps_long_text),
        cmocka_unit_test(makes_never_more_than_fits),
        cmocka_unit_test(reads_an_operators_words),
        cmocka_unit_test(says_it_on_one_line),
        cmocka_unit_test(parses_replies),
        cmocka_unit_test(parses_the_same_byte_by_byte),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(shows_each_line),
        cmocka_unit_test(knows_its_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
