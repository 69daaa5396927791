// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "relay/reach.h"

#include <stdio.h>

static struct addr at(const char *text) {
    struct addr a;
    assert_true(addr_parse(bytes_of(text), &a, NULL));
    return a;
}

static void forgets_by_itself_and_when_told(void **state) {
    (void)state;
    static struct reach r;
    struct addr one = at("192.0.2.1:25"), port = at("192.0.2.1:587"), six = at("[2001:db8::1]:25");
    assert_false(reach_is_out(&r, &one, 0));
    reach_failed(&r, &one, 1000);
    assert_true(reach_is_out(&r, &one, 1000));
    assert_false(reach_is_out(&r, &port, 1000));
    assert_false(reach_is_out(&r, &six, 1000));
    assert_true(reach_is_out(&r, &one, 1000 + REACH_REST_MS - 1));
    assert_false(reach_is_out(&r, &one, 1000 + REACH_REST_MS));
    reach_answered(&r, &port); // says nothing of another
    assert_true(reach_is_out(&r, &one, 1000));
    reach_answered(&r, &one);
    assert_false(reach_is_out(&r, &one, 1000));
}

// However many fail, it stays as large as it is, and the latest is known.
static void keeps_its_size(void **state) {
    (void)state;
    static struct reach r;
    size_t known = 0;
    for (int i = 0; i < 10000; i++) {
        char text[64];
        snprintf(text, sizeof text, "192.0.%d.%d:25", i / 250, i % 250);
        struct addr a = at(text);
        reach_failed(&r, &a, i);
        assert_true(reach_is_out(&r, &a, i));
    }
    for (size_t i = 0; i < REACH_KEPT; i++) known += r.out[i].address != 0;
    assert_true(known > REACH_KEPT / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forgets_by_itself_and_when_told),
        cmocka_unit_test(keeps_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
