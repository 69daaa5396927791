// SPDX-License-Identifier: MIT
#include "relay/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void to_the_millisecond(void **state) {
    (void)state;
    struct span s = {0};
    assert_int_equal(span_sum(&s, 1000, 100), 0);
    span_add(&s, 1000, 3, 0);
    span_add(&s, 1050, 4, 0);
    assert_int_equal(span_sum(&s, 1099, 100), 7);
    assert_int_equal(span_sum(&s, 1100, 100), 4); // what came at 1000 is no longer within (1000, 1100]
    assert_int_equal(span_sum(&s, 1150, 100), 0);
    span_release(&s);
}

static void the_highest_mark_that_it_holds(void **state) {
    (void)state;
    struct span s = {0};
    assert_int_equal(span_most(&s), 0);
    span_add(&s, 1000, 1, 9);
    span_add(&s, 1000, 1, 5); // the same moment, and another mark
    span_add(&s, 1010, 1, 7);
    assert_int_equal(span_most(&s), 9);
    assert_int_equal(span_sum(&s, 1100, 100), 1);
    assert_int_equal(span_most(&s), 7);
    span_release(&s);
}

// Against what a plain list would say, while the ring grows, turns and runs empty.
static void any_number_of_moments(void **state) {
    (void)state;
    enum { MOMENTS = 2000, WINDOW = 70 };
    static uint64_t came[MOMENTS * 3];
    struct span s = {0};
    for (int64_t now = 1; now < MOMENTS * 3; now++) {
        came[now] = now % 500 < 300 ? (uint64_t)(now * 7 % 5) : 0; // now and then nothing for longer than the window
        for (uint64_t i = 0; i < came[now]; i++) span_add(&s, now, 1, (uint64_t)now);
        uint64_t sum = 0;
        for (int64_t at = now > WINDOW ? now - WINDOW + 1 : 1; at <= now; at++) sum += came[at];
        if (now % 3 == 0) assert_int_equal(span_sum(&s, now, WINDOW), sum);
    }
    span_release(&s);
    assert_int_equal(span_sum(&s, MOMENTS * 3, WINDOW), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_the_millisecond),
        cmocka_unit_test(the_highest_mark_that_it_holds),
        cmocka_unit_test(any_number_of_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
