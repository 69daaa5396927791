// SPDX-License-Identifier: MIT
// waiters: who is called, in which order, and how many. The runner is this file: what it was told to pick up is noted.
#include "relay/waiters.h"

#include "relay/runner.h"
#include "store_kit.h"

static char called[8000]; // "1.0 1.1 2.0 "

void runner_call(struct gateway *g, const struct due *parked, size_t count) {
    (void)g;
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(called);
        snprintf(called + at, sizeof called - at, "%llu.%u ", (unsigned long long)parked[i].id, parked[i].n);
    }
}

static struct kit kit;
static struct worker worker;
static struct waiters *list;
static const int64_t start_ms = 1800000000000;

static int set_up(void **state) {
    struct err err;
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    worker = (struct worker){.reader = reader_new(kit.store, &err)};
    return worker.reader ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    waiters_free(&list);
    reader_free(&worker.reader);
    kit_remove(&kit);
    return 0;
}

static const struct place_of four = {.account = {"acme/60", 7}, .cap = 4}, six = {.account = {"acme/60", 7}, .cap = 6},
                             people = {.account = {"acme/60", 7}, .cap = 4, .recipients = true};

static void park(const struct place_of *of, uint64_t id, uint32_t n) {
    char text[WAITERS_PLACE];
    struct recipient r = some_recipient(id, n, start_ms);
    r.state = RECIPIENT_PARKED;
    r.lane = waiters_place(of, text);
    assert_true(put_recipient(&kit, r));
    waiters_add(&list, of, id, n);
}

static void take(uint64_t id, uint32_t count) { assert_true(accept_mail(&kit, id, count, start_ms, BYTES("x"))); }

// Messages 1..count with one recipient each wait there.
static void park_many(const struct place_of *of, uint64_t first, uint64_t count) {
    for (uint64_t id = first; id < first + count; id++) {
        take(id, 1);
        park(of, id, 0);
    }
}

static void gone(uint64_t id) { assert_true(drop_mail(&kit, id, 0, NULL)); }

static void call(uint64_t used, int64_t at_ms, const char *expected) {
    int64_t now = start_ms + at_ms;
    called[0] = 0;
    waiters_call(&list, &worker, four.account, used + waiters_reserved(list, now), now);
    assert_string_equal(called, expected);
}

static void places_have_a_text(void **state) {
    (void)state;
    static const char *const good[] = {"limit:acme/60/4", "limit:a/b/c//60/0", "limit:x y/86400/1000000000",
                                       "limit:acme/60/4/recipients"};
    static const char *const bad[] = {"", "limit", "limit:", "limit:acme", "limit:acme/60/", "limit:acme/60/x", "limit:/recipients",
                                      "limit:a/60/4/recipient", "limit:a/60/99999999999999999999", "-|direct:b.example:25|none"};
    char text[WAITERS_PLACE];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct place_of of;
        assert_true(waiters_place_read(bytes_of(good[i]), &of));
        waiters_place(&of, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(waiters_place_read(bytes_of(bad[i]), &(struct place_of){0}));
    // The longest account there is.
    char longest[SPEND_ACCOUNT_MAX + 1];
    memset(longest, 'k', sizeof longest);
    struct place_of of = {.account = bytes_range(longest, SPEND_ACCOUNT_MAX), .cap = UINT64_MAX, .recipients = true}, back;
    struct bytes place = waiters_place(&of, text);
    assert_true(place.len < WAITERS_PLACE);
    assert_true(waiters_place_read(place, &back));
    assert_int_equal(back.account.len, of.account.len);
}

static void as_many_as_fit_oldest_first(void **state) {
    (void)state;
    park_many(&four, 1, 6);
    call(4, 0, "");
    call(2, 10, "1.0 2.0 ");
    call(2, 20, ""); // their room is kept
    assert_true(waiters_arrived(list, &four, 4, 1));
    assert_true(waiters_arrived(list, &four, 4, 1));
    call(4, 30, "");
    gone(1);
    park(&four, 2, 0); // refused once more: it stands in front again
    call(3, 40, "2.0 ");
    assert_true(waiters_arrived(list, &four, 4, 1));
    gone(2);
    call(1, 50, "3.0 4.0 5.0 ");
}

static void the_room_is_kept_for_a_moment_only(void **state) {
    (void)state;
    park_many(&four, 1, 3);
    call(3, 0, "1.0 ");
    assert_int_equal(waiters_reserved(list, start_ms + 1000), 1);
    assert_int_equal(waiters_reserved(list, start_ms + 3000), 0);
    assert_false(waiters_arrived(list, &four, 4, 1)); // late: as anybody else
    assert_false(waiters_arrived(list, &six, 6, 1));  // never called from there
}

static void each_cap_has_its_place(void **state) {
    (void)state;
    park_many(&four, 1, 3);
    park_many(&six, 11, 3);
    call(6, 0, "");
    call(5, 10, "11.0 ");
    assert_true(waiters_arrived(list, &six, 6, 1));
    call(3, 20, "12.0 13.0 "); // and with their three the four are full
}

static void a_message_is_called_as_one(void **state) {
    (void)state;
    for (uint64_t id = 1; id <= 3; id++) {
        take(id, 3);
        for (uint32_t n = 0; n < 3; n++) park(&four, id, n);
    }
    call(2, 0, "1.0 1.1 1.2 2.0 2.1 2.2 ");
    assert_int_equal(waiters_reserved(list, start_ms), 2);
}

// What one call can hold ends with a whole message, so that the next does not count its rest as another.
static void a_message_is_not_cut_in_two(void **state) {
    (void)state;
    static const struct place_of wide = {.account = {"acme/60", 7}, .cap = 100};
    for (uint64_t id = 1; id <= 6; id++) {
        take(id, 100);
        for (uint32_t n = 0; n < 100; n++) park(&wide, id, n);
    }
    called[0] = 0;
    waiters_call(&list, &worker, wide.account, 0, start_ms);
    assert_non_null(strstr(called, "5.99 "));
    assert_null(strstr(called, " 6.0 "));
    assert_int_equal(waiters_reserved(list, start_ms), 5);
    called[0] = 0;
    waiters_call(&list, &worker, wide.account, 5, start_ms);
    assert_int_equal(strncmp(called, "6.0 6.1 ", 8), 0);
    assert_int_equal(waiters_reserved(list, start_ms), 6);
}

static void recipients_are_called_one_by_one(void **state) {
    (void)state;
    take(1, 6);
    for (uint32_t n = 0; n < 6; n++) park(&people, 1, n);
    call(1, 0, "1.0 1.1 1.2 ");
    assert_int_equal(waiters_reserved(list, start_ms), 3);
    assert_true(waiters_arrived(list, &people, 4, 3));
    call(3, 10, "1.3 ");
}

static void a_cap_that_has_grown_is_noticed(void **state) {
    (void)state;
    park_many(&four, 1, 9);
    call(4, 0, "");
    call(4, 6 * 60000, "1.0 "); // one, to find out
    assert_true(waiters_arrived(list, &four, 8, 1));
    call(5, 6 * 60000 + 10, "2.0 3.0 4.0 "); // it had eight
}

static void more_and_more_where_the_limit_is_not_asked_for(void **state) {
    (void)state;
    park_many(&four, 1, 30);
    call(4, 0, "");
    waiters_probe(list);
    call(4, 10, "1.0 ");
    call(4, 3000, "2.0 3.0 4.0 5.0 ");
    call(4, 6000, "6.0 7.0 8.0 9.0 10.0 11.0 12.0 13.0 14.0 15.0 16.0 17.0 18.0 19.0 20.0 21.0 ");
    assert_true(waiters_arrived(list, &four, 4, 1));
    call(4, 9000, "22.0 23.0 24.0 25.0 ");
}

static void an_empty_place_is_forgotten(void **state) {
    (void)state;
    park_many(&four, 1, 2);
    call(0, 0, "1.0 2.0 ");
    assert_true(waiters_next(list, 2, INT64_MAX, start_ms) <= start_ms + 2000);
    gone(1);
    gone(2);
    call(0, 10000, "");
    assert_null(list);
}

static void one_that_came_back_unheard_is_found(void **state) {
    (void)state;
    park_many(&four, 1, 2);
    call(0, 0, "1.0 2.0 ");
    waiters_arrived(list, &four, 4, 2);
    gone(2);
    call(0, 10, ""); // 1 is on its way, for all we know
    call(0, 10000, "1.0 ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_have_a_text),
        cmocka_unit_test_setup_teardown(as_many_as_fit_oldest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_room_is_kept_for_a_moment_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_cap_has_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_is_called_as_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_is_not_cut_in_two, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recipients_are_called_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cap_that_has_grown_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_and_more_where_the_limit_is_not_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_place_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_came_back_unheard_is_found, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
