// SPDX-License-Identifier: MIT
// brake: what holds a lane back, and for how long.
#include "relay/brake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };
static const int64_t start = INT64_C(1700000000000);
static const struct reply no = {421, {4, 3, 2}, "not now"};

static void rests_double_and_end_with_a_success(void **state) {
    (void)state;
    struct brake b = {0};
    int64_t now = start;
    int64_t rests[8];
    for (int i = 0; i < 8; i++) {
        rests[i] = brake_failed(&b, &no, 0, now);
        assert_int_equal(brake_failed(&b, &no, 0, now), 0); // another one that was under way
        assert_true(brake_closed_until(&b, now) == now + rests[i]);
        now += rests[i];
        assert_int_equal(brake_closed_until(&b, now), 0);
        assert_int_equal(brake_width(&b, 10, now), 1); // it probes
    }
    assert_true(rests[0] == 30000 && rests[1] == 60000 && rests[5] == 15 * MINUTE && rests[7] == 15 * MINUTE);
    assert_true(brake_succeeded(&b));
    assert_false(brake_succeeded(&b)); // it worked already
    assert_int_equal(brake_width(&b, 10, now), 10);
    assert_int_equal(brake_failed(&b, &no, 0, now), 30000);
    brake_end_rest(&b, false); // a reload
    assert_int_equal(brake_closed_until(&b, now), 0);
    brake_release(&b);
}

static void unproven_ways_begin_with_two(void **state) {
    (void)state;
    struct brake b = {0};
    assert_int_equal(brake_width(&b, 10, start), 2);
    brake_succeeded(&b);
    assert_int_equal(brake_width(&b, 10, start), 10);
    brake_release(&b);
}

static void narrowness_recovers_step_by_step(void **state) {
    (void)state;
    struct brake b = {0};
    brake_succeeded(&b);
    assert_int_equal(brake_failed(&b, &no, 3, start), 0); // three stand: only no fourth one
    assert_int_equal(brake_width(&b, 10, start + MINUTE - 1), 3);
    assert_false(brake_is_loose(&b, start));
    assert_int_equal(brake_width(&b, 10, start + MINUTE), 6);
    assert_int_equal(brake_width(&b, 10, start + 2 * MINUTE), 10);
    assert_int_equal(b.narrow, 0);
    brake_react(&b, &(struct reaction){.seconds = 600, .connections = 1}, &no, BYTES("too much"), start);
    assert_int_equal(brake_width(&b, 10, start + 599 * 1000), 1);
    assert_int_equal(brake_width(&b, 10, start + 600 * 1000), 2);
    assert_int_equal(brake_width(&b, 10, start + 24 * HOUR), 10);
    assert_true(brake_is_loose(&b, start + 24 * HOUR));
    brake_release(&b);
}

static void a_pace_is_kept_and_nothing_is_saved_up(void **state) {
    (void)state;
    struct brake b = {0};
    int64_t now = start, end = start + HOUR;
    int went = 0;
    brake_react(&b, &(struct reaction){.seconds = 3600, .pace = {10, 60}}, &no, BYTES("slow"), now);
    assert_int_equal(brake_pace_left(&b, now), 6000);
    for (; now < start + 10 * MINUTE; now += 500) {
        if (brake_pace_left(&b, now)) continue;
        brake_went(&b, now);
        went++;
    }
    assert_in_range(went, 98, 100);
    now += 10 * MINUTE; // nobody came
    assert_int_equal(brake_pace_left(&b, now), 0);
    brake_went(&b, now);
    assert_true(brake_pace_left(&b, now) > 0);
    assert_false(brake_is_loose(&b, now));
    assert_int_equal(brake_pace_left(&b, end), 0);
    assert_true(brake_is_loose(&b, end));
    brake_release(&b);
}

static void what_the_policy_asks_for_stands(void **state) {
    (void)state;
    struct brake b = {0};
    brake_succeeded(&b);
    brake_react(&b, &(struct reaction){.seconds = 7200, .rests = true}, &no, BYTES("[TSS04]"), start);
    assert_false(brake_succeeded(&b)); // one that was under way
    brake_end_rest(&b, false);         // a reload
    assert_true(brake_closed_until(&b, start) == start + 2 * HOUR);
    brake_react(&b, &(struct reaction){.seconds = 60, .rests = true}, &no, BYTES(""), start); // a shorter one does not shorten it
    assert_true(brake_closed_until(&b, start) == start + 2 * HOUR);
    brake_end_rest(&b, true);          // an operator
    assert_int_equal(brake_closed_until(&b, start), 0);
    brake_release(&b);
}

static void a_pause_stands_above_all(void **state) {
    (void)state;
    struct brake b = {0};
    struct buf out = {0};
    brake_failed(&b, &no, 0, start);
    brake_pause(&b, true, start + HOUR, BYTES("their server moves"));
    assert_true(brake_closed_until(&b, start) == start + HOUR);
    struct jsonl j = jsonl_begin(&out);
    brake_show(&b, start, &j);
    jsonl_end(&j);
    assert_non_null(strstr(buf_z(&out), "\"state\":\"paused\""));
    assert_non_null(strstr(buf_z(&out), "their server moves"));
    assert_int_equal(brake_closed_until(&b, start + HOUR), 0);
    assert_false(b.paused);
    brake_pause(&b, true, 0, BYTES(""));
    assert_true(brake_closed_until(&b, start + 1000 * INT64_C(3600000)) == INT64_MAX);
    brake_pause(&b, false, 0, BYTES(""));
    assert_int_equal(brake_closed_until(&b, start + HOUR), 0);
    buf_release(&out);
    brake_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rests_double_and_end_with_a_success), cmocka_unit_test(unproven_ways_begin_with_two),
        cmocka_unit_test(narrowness_recovers_step_by_step),    cmocka_unit_test(a_pace_is_kept_and_nothing_is_saved_up),
        cmocka_unit_test(what_the_policy_asks_for_stands),     cmocka_unit_test(a_pause_stands_above_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
