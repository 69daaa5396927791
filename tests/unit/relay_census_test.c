// SPDX-License-Identifier: MIT
// census: counts by address, a whole /64 as one.
#include "relay/census.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct addr at(const char *text) {
    struct addr a;
    struct err err;
    assert_true(addr_parse(bytes_of(text), &a, &err));
    return a;
}

static void counts_in_and_out(void **state) {
    (void)state;
    struct census *c = census_new();
    struct addr a = at("192.0.2.1:1000"), same = at("192.0.2.1:2000"), other = at("192.0.2.2");
    assert_int_equal(census_enter(c, &a), 1);
    assert_int_equal(census_enter(c, &same), 2);
    int others = census_enter(c, &other); // may share a counter, with a chance of one in 65,536
    assert_in_range(others, 1, 3);
    census_leave(c, &a);
    census_leave(c, &same);
    census_leave(c, &other);
    assert_int_equal(census_enter(c, &a), 1);
    census_free(&c);
}

static void a_64_is_one_customer(void **state) {
    (void)state;
    struct census *c = census_new();
    struct addr a = at("[2001:db8:1:2::1]:25"), b = at("[2001:db8:1:2:ffff::9]:25"), mapped = at("[::ffff:192.0.2.1]:25"),
                other = at("[::ffff:192.0.2.99]:25");
    assert_int_equal(census_enter(c, &a), 1);
    assert_int_equal(census_enter(c, &b), 2);
    census_enter(c, &mapped);
    assert_in_range(census_enter(c, &other), 1, 2); // not 2 unless by chance: all mapped ones are not one /64
    census_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_in_and_out), cmocka_unit_test(a_64_is_one_customer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
