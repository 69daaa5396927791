// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/line.h"

static enum line_result take(struct line_reader *r, struct bytes *in, struct bytes *line) { return line_take(r, in, 10, line); }

static void takes_lines(void **state) {
    (void)state;
    struct line_reader r = {0};
    struct bytes in = BYTES("one\r\n\r\n12345678\r\nrest"), line;
    assert_int_equal(take(&r, &in, &line), LINE_WHOLE);
    assert_true(bytes_equal(line, BYTES("one")));
    assert_int_equal(take(&r, &in, &line), LINE_WHOLE);
    assert_int_equal(line.len, 0);
    assert_int_equal(take(&r, &in, &line), LINE_WHOLE); // as long as may be
    assert_int_equal(line.len, 8);
    assert_int_equal(take(&r, &in, &line), LINE_PART);
    assert_int_equal(in.len, 4);
}

static void finds_the_next_behind_a_long_one(void **state) {
    (void)state;
    struct line_reader r = {0};
    struct bytes in = BYTES("123456789\r\nnext\r\n"), line;
    assert_int_equal(take(&r, &in, &line), LINE_LONG);
    assert_int_equal(take(&r, &in, &line), LINE_SKIPPED);
    assert_int_equal(take(&r, &in, &line), LINE_WHOLE);
    assert_true(bytes_equal(line, BYTES("next")));
}

static void bare_ends_are_none(void **state) {
    (void)state;
    struct line_reader r = {0};
    struct bytes in = BYTES("a\nb\nc\rd\r\re\r\nnext\r\n"), line;
    assert_int_equal(take(&r, &in, &line), LINE_BARE);
    assert_int_equal(take(&r, &in, &line), LINE_SKIPPED); // all of it up to CRLF
    assert_int_equal(take(&r, &in, &line), LINE_WHOLE);
    assert_true(bytes_equal(line, BYTES("next")));
    in = BYTES("\n");
    assert_int_equal(take(&r, &in, &line), LINE_BARE);
    in = BYTES("x\r"); // CR and LF in two pieces
    assert_int_equal(take(&r, &in, &line), LINE_PART);
    assert_int_equal(in.len, 0);
    in = BYTES("\nok\r\n");
    assert_int_equal(take(&r, &in, &line), LINE_SKIPPED);
    assert_int_equal(take(&r, &in, &line), LINE_WHOLE);
}

static void gives_up_on_an_endless_line(void **state) {
    (void)state;
    struct line_reader r = {0};
    struct bytes line;
    enum line_result result = LINE_PART;
    size_t sent = 0;
    while (result == LINE_PART || result == LINE_LONG) {
        struct bytes in = BYTES("xxxxxxxxxxxxxxxx");
        sent += in.len;
        result = take(&r, &in, &line);
        assert_true(sent < LINE_ENDLESS_SIZE + 100);
    }
    assert_int_equal(result, LINE_ENDLESS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_lines),
        cmocka_unit_test(finds_the_next_behind_a_long_one),
        cmocka_unit_test(bare_ends_are_none),
        cmocka_unit_test(gives_up_on_an_endless_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
