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
    bool whole;
    struct bytes lane;
    struct key due = key_due(1700000000000, 12, 13), place = key_place(BYTES("acme/google"), 5, 6);
    struct key journal = key_journal(8, 9, 10);
    assert_true(key_to_due(key_bytes(&due), &ms, &id, &n) && ms == 1700000000000 && id == 12 && n == 13);
    assert_true(key_to_journal(key_bytes(&journal), &id, &ms) && id == 8 && ms == 9);
    assert_true(key_to_place(key_bytes(&place), &lane, &whole, &id, &n));
    assert_true(whole && id == 5 && n == 6 && bytes_equal(lane, BYTES("acme/google")));
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
        struct key k = key_place(bytes_range(text, len), 1, 2);
        struct bytes lane;
        bool whole;
        uint64_t id;
        uint32_t n;
        assert_true(k.len <= KEY_MAX);
        assert_true(key_to_place(key_bytes(&k), &lane, &whole, &id, &n));
        assert_true(whole == (len <= KEY_LANE_TEXT) && id == 1 && n == 2);
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
    bool whole;
    struct bytes lane;
    struct key place = key_place(BYTES("lane"), 5, 6);
    for (size_t len = 0; len < 40; len++) {
        char *raw = calloc(1, len ? len : 1);
        struct bytes key = bytes_range(raw, len);
        assert_true(key_to_recipient(key, &id, &n) == (len == 12));
        assert_true(key_to_due(key, &ms, &id, &n) == (len == 20));
        assert_true(key_to_journal(key, &id, &ms) == (len == 20));
        assert_true(key_to_place(key, &lane, &whole, &id, &n) == (len == 14)); // the lane ""
        free(raw);
    }
    for (size_t len = 0; len < place.len; len++)
        assert_false(key_to_place(bytes_range(place.at, len), &lane, &whole, &id, &n));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_order_is_the_order_wanted),   cmocka_unit_test(keys_come_apart_again),
        cmocka_unit_test(no_lane_is_anothers_beginning),    cmocka_unit_test(long_lanes_fit_and_differ),
        cmocka_unit_test(keys_of_other_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
