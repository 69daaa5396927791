// SPDX-License-Identifier: MIT
#include "store_kit.h"

static int setup(void **state) {
    struct kit *kit = calloc(1, sizeof *kit);
    kit_init(kit);
    kit_open(kit);
    *state = kit;
    return 0;
}

static int teardown(void **state) {
    kit_remove(*state);
    free(*state);
    return 0;
}

static void a_message_lives_and_goes(void **state) {
    struct kit *kit = *state;
    struct err err;
    size_t len;
    assert_true(accept_mail(kit, 1000, 2, 500, BYTES("hello\r\nthere\r\n")));
    struct store_stats stats = kit_stats(kit);
    assert_int_equal(stats.messages, 1);
    assert_int_equal(stats.recipients, 2);
    assert_int_equal(stats.due, 2);
    char *body = kit_body(kit, 1000, &len, &err);
    assert_non_null(body);
    assert_int_equal(len, 14);
    assert_memory_equal(body, "hello\r\nthere\r\n", 14);
    free(body);
    bool last;
    assert_true(drop_mail(kit, 1000, 0, &last));
    assert_false(last);
    assert_true(drop_mail(kit, 1000, 1, &last));
    assert_true(last);
    stats = kit_stats(kit);
    assert_int_equal(stats.messages, 0);
    assert_int_equal(stats.recipients, 0);
    assert_int_equal(stats.body_bytes_live, 0);
}

static void everything_is_there_after_reopening(void **state) {
    struct kit *kit = *state;
    struct err err;
    size_t len;
    for (uint64_t id = 1; id <= 50; id++) assert_true(accept_mail(kit, id << 23, 3, (int64_t)id, BYTES("body")));
    uint64_t live = kit_stats(kit).body_bytes_live;
    kit_reopen(kit);
    struct store_stats stats = kit_stats(kit);
    assert_int_equal(stats.messages, 50);
    assert_int_equal(stats.recipients, 150);
    assert_int_equal(stats.body_bytes_live, live);
    assert_true(store_last_id(kit->store) >= 50 << 23);
    for (uint64_t id = 1; id <= 50; id++) {
        char *body = kit_body(kit, id << 23, &len, &err);
        assert_non_null(body);
        assert_int_equal(len, 4);
        free(body);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_lives_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_is_there_after_reopening, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
