// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/gauge.h"

// Notes the content in pieces of `step` bytes.
static struct gauge note(struct bytes content, size_t step) {
    struct gauge g = {0};
    while (content.len) {
        struct bytes piece = bytes_first(content, step);
        gauge_note(&g, piece);
        content = bytes_skip(content, piece.len);
    }
    return g;
}

static void sees_header_and_traces(void **state) {
    (void)state;
    struct bytes content = BYTES("Received: a\r\n Received: folded\r\nX: Received:\r\nRECEIVED: b\r\nReceive: c\r\n\r\nReceived: d\r\n");
    for (size_t step = 1; step < 20; step++) {
        struct gauge g = note(content, step);
        assert_int_equal(g.received, 2);
        assert_true(g.header_ended);
        assert_int_equal(g.header_size, content.len - 13);
        assert_int_equal(g.size, content.len);
    }
}

static void a_header_may_have_no_end(void **state) {
    (void)state;
    struct gauge g = note(BYTES("A: b\r\n"), 2);
    assert_false(g.header_ended);
    assert_int_equal(g.header_size, 6);
    g = note(BYTES("\r\nbody"), 1);
    assert_true(g.header_ended);
    assert_int_equal(g.header_size, 2);
    g = note(BYTES("A: b\n\nbody"), 3); // bare LFs end nothing
    assert_false(g.header_ended);
}

static void the_gravest_fault_comes_first(void **state) {
    (void)state;
    struct gauge_limits all = {.size = 20, .header = 10, .line = 12, .received = 1};
    struct gauge g = note(BYTES("a\nb and a long line\r\n"), 100);
    assert_int_equal(gauge_fault(&g, &all), GAUGE_TOO_BIG);
    all.size = 21;
    assert_int_equal(gauge_fault(&g, &all), GAUGE_HEADER_TOO_BIG);
    all.header = 0;
    assert_int_equal(gauge_fault(&g, &all), GAUGE_BARE);
    all.keep_bare = true;
    assert_int_equal(gauge_fault(&g, &all), GAUGE_LONG_LINE);
    all.line = 0;
    assert_int_equal(gauge_fault(&g, &all), GAUGE_GOOD);
    gauge_note(&g, BYTES("\0"));
    all.size = 0;
    assert_int_equal(gauge_fault(&g, &all), GAUGE_NUL);
    g = note(BYTES("Received:\r\nReceived:\r\n"), 100);
    assert_int_equal(gauge_fault(&g, &all), GAUGE_LOOP);
}

static void undoes_dots(void **state) {
    (void)state;
    struct gauge g = {0};
    struct bytes in = BYTES("..a\r\n.\r\nQUIT");
    bool ended = false;
    size_t n = 0;
    while (!ended) n += gauge_undot(&g, &in, &ended).len;
    assert_int_equal(n, 4);
    assert_int_equal(g.size, 4);
    assert_int_equal(in.len, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_header_and_traces),
        cmocka_unit_test(a_header_may_have_no_end),
        cmocka_unit_test(the_gravest_fault_comes_first),
        cmocka_unit_test(undoes_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
