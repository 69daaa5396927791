// SPDX-License-Identifier: MIT
// trend: how long something lasts that runs out.
#include "base/trend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { MINUTE = 60 * 1000, MIB = 1 << 20 };
static const int64_t start = INT64_C(1700000000000);

static void a_steady_fall_is_continued(void **state) {
    (void)state;
    struct trend t = {0};
    int64_t s = -1;
    assert_false(trend_lasts(&t, start, 100, &s)); // nothing was seen
    for (int i = 0; i < 10; i++) {
        trend_see(&t, start + i * MINUTE, 1000 - i * 10);
        assert_false(trend_lasts(&t, start + i * MINUTE, 1000 - i * 10, &s)); // too early to say
    }
    assert_true(trend_lasts(&t, start + 10 * MINUTE, 900, &s));
    assert_int_equal(s, 90 * 60);
    assert_true(trend_lasts(&t, start + 20 * MINUTE, 0, &s));
    assert_int_equal(s, 0);
    assert_true(trend_lasts(&t, start + 20 * MINUTE, -5, &s)); // beyond its end
    assert_int_equal(s, 0);
}

static void what_grows_or_stands_still_has_no_end(void **state) {
    (void)state;
    struct trend t = {0};
    int64_t s = -1;
    trend_see(&t, start, 1000);
    assert_false(trend_lasts(&t, start + 30 * MINUTE, 1000, &s));
    assert_false(trend_lasts(&t, start + 30 * MINUTE, 2000, &s));
    assert_false(trend_lasts(&t, start + 30 * MINUTE, 1000000000000, &s));
    // A page in an hour: no statement about centuries.
    struct trend slow = {0};
    trend_see(&slow, start, (int64_t)4 << 40);
    assert_false(trend_lasts(&slow, start + 60 * MINUTE, ((int64_t)4 << 40) - 4096, &s));
    assert_int_equal(s, -1);
}

static void only_the_last_hour_counts(void **state) {
    (void)state;
    struct trend t = {0};
    int64_t s = -1, left = (int64_t)1000 * MIB;
    for (int i = 0; i < 100; i++) trend_see(&t, start + i * MINUTE, left -= 5 * MIB); // fast
    for (int i = 100; i < 200; i++) trend_see(&t, start + i * MINUTE, left -= MIB);   // slower
    assert_true(trend_lasts(&t, start + 200 * MINUTE, left - MIB, &s));
    assert_int_equal(s, (left / MIB - 1) * 60);
    // Looks further apart than a minute, the last of them long ago: it counts, being all there is.
    struct trend rare = {0};
    trend_see(&rare, start, 1000);
    trend_see(&rare, start + 500 * MINUTE, 900);
    assert_true(trend_lasts(&rare, start + 1000 * MINUTE, 800, &s));
    assert_int_equal(s, 8 * 500 * 60);
}

static void looks_in_between_are_not_kept(void **state) {
    (void)state;
    struct trend t = {0};
    for (int i = 0; i < 100000; i++) trend_see(&t, start + i, 1000 - i);
    assert_int_equal(t.count, 2); // the first, and one a minute later
}

static void time_that_goes_backwards_begins_anew(void **state) {
    (void)state;
    struct trend t = {0};
    int64_t s = -1;
    trend_see(&t, start, 1000);
    trend_see(&t, start - 100 * MINUTE, 900);
    assert_false(trend_lasts(&t, start - 95 * MINUTE, 100, &s));
    assert_true(trend_lasts(&t, start - 90 * MINUTE, 450, &s));
    assert_int_equal(s, 600);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_fall_is_continued),
        cmocka_unit_test(what_grows_or_stands_still_has_no_end),
        cmocka_unit_test(only_the_last_hour_counts),
        cmocka_unit_test(looks_in_between_are_not_kept),
        cmocka_unit_test(time_that_goes_backwards_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
