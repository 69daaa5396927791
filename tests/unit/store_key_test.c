// SPDX-License-Identifier: MIT
#include "store/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int order(struct key a, struct key b) {
    return bytes_compare(key_bytes(&a), key_bytes(&b));
}

static void byte_order_is_the_order_wanted(void **state) {
    (void)state;
    assert_true(order(key_message(255), key_message(256)) < 0);
    assert_true(order(key_recipient(1, UINT32_MAX), key_recipient(2, 0)) < 0);
    assert_true(order(key_due(1, 9, 9), key_due(2, 0, 0)) < 0);
    assert_true(order(key_due(1, 1, 9), key_due(1, 2, 0)) < 0);
    assert_true(order(key_due(-5, 1, 1), key_due(0, 1, 1)) == 0); // before 1970: as 1970
    assert_true(order(key_journal(1, 99, 9), key_journal(2, 0, 0)) < 0);
    assert_true(order(key_segment(255), key_segment(256)) < 0);
}

static void keys_come_apart_again(void **state) {
    (void)state;
    uint64_t id;
    uint32_t n;
    int64_t ms;
    struct key_of_place at;
    struct key due = key_due(1700000000000, 12, 13), place = key_place(BYTES("acme/google"), 5, 6);
    struct key journal = key_journal(8, 9, 10);
    assert_true(key_to_due(key_bytes(&due), &ms, &id, &n) && ms == 1700000000000 && id == 12 && n == 13);
    assert_true(key_to_journal(key_bytes(&journal), &id, &ms) && id == 8 && ms == 9);
    assert_true(key_to_place(key_bytes(&place), &at) && at.priority == 0);
    assert_true(at.whole && at.id == 5 && at.n == 6 && bytes_equal(at.lane, BYTES("acme/google")));
    place = key_turn_place(BYTES("acme/google"), 3, 77, 5, 6);
    assert_true(key_to_place(key_bytes(&place), &at) && at.priority == 3 && at.turn == 77);
    assert_true(at.whole && at.id == 5 && at.n == 6 && bytes_equal(at.lane, BYTES("acme/google")));
}

static void turns_stand_behind_those_by_age(void **state) {
    (void)state;
    struct bytes lane = BYTES("acme");
    assert_true(order(key_place(lane, UINT64_C(0xfc) << 56, 9), key_turn(lane, 1, 0)) < 0);
    assert_true(order(key_turn_place(lane, 1, UINT64_MAX, 9, 9), key_turn_place(lane, 2, 0, 1, 1)) < 0);
    assert_true(order(key_turn_place(lane, 2, 5, 9, 9), key_turn_place(lane, 2, 6, 1, 1)) < 0);
    assert_true(order(key_turn_place(lane, 2, 5, 1, 9), key_turn_place(lane, 2, 5, 2, 0)) < 0);
    assert_true(order(key_turn_place(lane, 0, 5, 1, 9), key_place(lane, 1, 9)) == 0);
}

static void no_lane_is_anothers_beginning(void **state) {
    (void)state;
    struct key a = key_lane(BYTES("acme")), b = key_place(BYTES("acme2"), 1, 1);
    assert_false(bytes_starts(key_bytes(&b), key_bytes(&a)));
}

static void long_lanes_fit_and_differ(void **state) {
    (void)state;
    char text[70000];
    memset(text, 'x', sizeof text);
    for (size_t len = KEY_LANE_TEXT - 2; len < KEY_LANE_TEXT + 3; len++) {
        struct key k = key_place(bytes_range(text, len), 1, 2), in_turns = key_turn_place(bytes_range(text, len), 1, 9, 1, 2);
        struct key_of_place at;
        assert_true(in_turns.len <= KEY_MAX);
        assert_true(key_to_place(key_bytes(&k), &at));
        assert_true(at.whole == (len <= KEY_LANE_TEXT) && at.id == 1 && at.n == 2 && at.priority == 0);
        assert_true(key_to_place(key_bytes(&in_turns), &at));
        assert_true(at.whole == (len <= KEY_LANE_TEXT) && at.id == 1 && at.n == 2 && at.priority == 1 && at.turn == 9);
    }
    struct key a = key_lane(bytes_range(text, 66000)), b = key_lane(bytes_range(text, 66001));
    assert_true(order(a, b) != 0);
    text[1000] = 'y';
    b = key_lane(bytes_range(text, 66000));
    assert_true(order(a, b) != 0);
}

static void keys_of_other_shapes_are_refused(void **state) {
    (void)state;
    uint64_t id;
    uint32_t n;
    int64_t ms;
    struct key_of_place at;
    struct key place = key_place(BYTES("lane"), 5, 6);
    for (size_t len = 0; len < 40; len++) {
        char *raw = calloc(1, len ? len : 1);
        struct bytes key = bytes_range(raw, len);
        assert_true(key_to_recipient(key, &id, &n) == (len == 12));
        assert_true(key_to_due(key, &ms, &id, &n) == (len == 20));
        assert_true(key_to_journal(key, &id, &ms) == (len == 20));
        assert_true(key_to_place(key, &at) == (len == 14)); // the lane ""
        free(raw);
    }
    for (size_t len = 0; len < place.len; len++)
        assert_false(key_to_place(bytes_range(place.at, len), &at));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_order_is_the_order_wanted),   cmocka_unit_test(keys_come_apart_again),
        cmocka_unit_test(turns_stand_behind_those_by_age),
        cmocka_unit_test(no_lane_is_anothers_beginning),    cmocka_unit_test(long_lanes_fit_and_differ),
        cmocka_unit_test(keys_of_other_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
