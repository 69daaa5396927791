// SPDX-License-Identifier: MIT
// leap: what counts as a clock that was set, and what as one that is kept right.
#include "relay/leap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void only_leaps_are_told(void **state) {
    (void)state;
    struct leap l = {0};
    assert_int_equal(leap_look(&l, 1000000, 50), 0); // the first look learns
    assert_int_equal(leap_look(&l, 1001000, 1050), 0);
    assert_int_equal(leap_look(&l, 1061000, 61050), 0); // long, but by both clocks
    assert_int_equal(leap_look(&l, 4661000, 61050), 3600000);
    assert_int_equal(leap_look(&l, 4661100, 61150), 0); // told once
    assert_int_equal(leap_look(&l, 4061200, 61250), -600000);
    assert_int_equal(leap_look(&l, 4061300 - LEAP_LEAST_MS, 61350), -LEAP_LEAST_MS);
}

static void small_corrections_do_not_add_up(void **state) {
    (void)state;
    struct leap l = {0};
    for (int i = 0; i < 100; i++) assert_int_equal(leap_look(&l, 1000000 + i * 2500, i * 1000), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_leaps_are_told), cmocka_unit_test(small_corrections_do_not_add_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
