// SPDX-License-Identifier: MIT
// The picture of a simulation: marks that people read, heights that are true, texts that stay texts.
#include "cli/chart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void steps_are_round(void **state) {
    (void)state;
    assert_int_equal(chart_step(1, 6), 1);
    assert_int_equal(chart_step(6, 6), 2);
    assert_int_equal(chart_step(17, 6), 5);
    assert_int_equal(chart_step(59, 6), 10);
    assert_int_equal(chart_step(20000, 6), 5000);
    assert_int_equal(chart_step(1999999, 6), 500000);
}

static size_t count(const char *text, const char *what) {
    size_t n = 0;
    for (; (text = strstr(text, what)); text++) n++;
    return n;
}

static void draws_what_it_is_given(void **state) {
    (void)state;
    static const char *const columns[] = {"11-01", "11-02", "11-03"};
    static const uint64_t a[] = {50, 100, 0}, b[] = {50, 0, 25}, waiting[] = {7, 0, 9};
    const struct chart_series stacks[] = {{"acme", a}, {"<b> & \"c\"", b}};
    struct chart c = {.title = "Sent", .subtitle = "3 days", .columns = columns, .column_count = 3, .stack_label = "sent",
                      .stacks = stacks, .stack_count = 2, .below = {"waiting", waiting}};
    struct buf svg = {0};
    chart_draw(&c, &svg);
    const char *text = buf_z(&svg);
    assert_true(strncmp(text, "<svg ", 5) == 0);
    assert_int_equal(count(text, "<title>"), 6); // a bar for every value but 0
    assert_non_null(strstr(text, "<title>11-03 &lt;b&gt; &amp; &quot;c&quot;: 25</title>"));
    assert_null(strstr(text, "<b>"));
    // The axis goes to 100: 300 high, so 100 are as high as the panel and 25 a quarter of it.
    assert_non_null(strstr(text, "height=\"300.0\" fill=\"#0072b2\"><title>11-02 acme: 100"));
    assert_non_null(strstr(text, "height=\"75.0\" fill=\"#e69f00\"><title>11-03"));
    assert_non_null(strstr(text, "</svg>\n"));
    buf_release(&svg);
}

static void nothing_at_all_is_a_picture_too(void **state) {
    (void)state;
    struct chart c = {.title = "Sent", .subtitle = "", .stack_label = "sent"};
    struct buf svg = {0};
    chart_draw(&c, &svg);
    assert_non_null(strstr(buf_z(&svg), "</svg>"));
    buf_release(&svg);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_are_round), cmocka_unit_test(draws_what_it_is_given),
                                       cmocka_unit_test(nothing_at_all_is_a_picture_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
