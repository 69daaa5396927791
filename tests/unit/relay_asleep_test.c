// SPDX-License-Identifier: MIT
// asleep: lanes that only wait are found, come due in order, and are small.
#include "relay/asleep.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct bytes key_of(char text[64], unsigned n) {
    return bytes_range(text, (size_t)snprintf(text, 64, "acme|direct:mx%u.recipients.example:25|opportunistic", n));
}

static void the_first_alarm_comes_first(void **state) {
    (void)state;
    struct asleep a = {0};
    char text[64];
    assert_int_equal(asleep_next(&a), INT64_MAX);
    assert_null(asleep_find(&a, key_of(text, 1)));
    struct sleeper *one = asleep_add(&a, key_of(text, 1), 300), *two = asleep_add(&a, key_of(text, 2), 200);
    assert_string_equal(one->key, "acme|direct:mx1.recipients.example:25|opportunistic");
    assert_ptr_equal(asleep_find(&a, key_of(text, 1)), one);
    assert_ptr_equal(asleep_find(&a, key_of(text, 2)), two);
    assert_null(asleep_find(&a, BYTES("acme|direct:mx1")));
    assert_null(asleep_due(&a, 199));
    assert_ptr_equal(asleep_due(&a, 200), two);
    asleep_until(&a, two, 400);
    assert_int_equal(asleep_next(&a), 300);
    assert_ptr_equal(asleep_due(&a, 1000), one);
    asleep_drop(&a, one);
    assert_null(asleep_find(&a, key_of(text, 1)));
    assert_ptr_equal(asleep_due(&a, 1000), two);
    asleep_release(&a);
    assert_int_equal(asleep_count(&a), 0);
}

struct seen {
    struct asleep *asleep;
    size_t count;
};

static void later(void *arg, struct sleeper *s) {
    struct seen *seen = arg;
    seen->count++;
    asleep_until(seen->asleep, s, 5000 - s->alarm.at_ms); // turns the heap upside down
}

static void each_is_seen_once_though_alarms_are_set(void **state) {
    (void)state;
    struct asleep a = {0};
    struct seen seen = {&a, 0};
    char text[64];
    for (unsigned i = 0; i < 1000; i++) asleep_add(&a, key_of(text, i), i);
    asleep_each(&a, later, &seen);
    assert_int_equal(seen.count, 1000);
    assert_int_equal(asleep_next(&a), 4001);
    asleep_release(&a);
}

// A hundred thousand next hops that all rest since nobody answered there: 40 MiB at the most (design, section 14).
static void a_hundred_thousand_take_little(void **state) {
    (void)state;
    enum { MANY = 100000 };
    struct asleep a = {0};
    char text[64];
    struct reply why = reply_make(451, "4.4.1", "mx1.recipients.example [192.0.2.1]:25: the connection timed out");
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < MANY; i++) {
        struct sleeper *s = asleep_add(&a, key_of(text, i), i);
        brake_failed(&s->brake, &why, 0, 1800000000000);
        s->parked = true;
    }
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / MANY;
    printf("%zu bytes a sleeper\n", each);
#ifndef __SANITIZE_ADDRESS__
    assert_in_range(each, 200, 40 * 1024 * 1024 / MANY);
#endif
    assert_int_equal(asleep_count(&a), MANY);
    asleep_release(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_alarm_comes_first),
        cmocka_unit_test(each_is_seen_once_though_alarms_are_set),
        cmocka_unit_test(a_hundred_thousand_take_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
