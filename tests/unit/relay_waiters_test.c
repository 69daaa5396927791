// SPDX-License-Identifier: MIT
// waiters: who is called, in which order, and how many.
#include "relay/waiters.h"

#include "called_kit.h"

static struct waiters *list;

static int set_up(void **state) {
    (void)state;
    return called_set_up(BYTES("acme/60"));
}

static int tear_down(void **state) {
    (void)state;
    waiters_free(&list);
    return called_tear_down();
}

static const struct place_of four = {.account = {"acme/60", 7}, .cap = 4}, six = {.account = {"acme/60", 7}, .cap = 6},
                             people = {.account = {"acme/60", 7}, .cap = 4, .recipients = true};

static void park_as(const struct place_of *of, uint64_t id, uint32_t n, enum priority priority, const char *turn) {
    char text[WAITERS_PLACE];
    struct recipient r = some_recipient(id, n, start_ms);
    r.state = RECIPIENT_PARKED;
    r.lane = waiters_place(of, text);
    r.priority = priority;
    r.turn = bytes_of(turn);
    assert_true(put_recipient(&kit, r));
    waiters_add(&list, of);
}

// As versions before turns did.
static void park(const struct place_of *of, uint64_t id, uint32_t n) { park_as(of, id, n, PRIORITY_NONE, ""); }

static void take(uint64_t id, uint32_t count) { assert_true(accept_mail(&kit, id, count, start_ms, BYTES("x"))); }

// Messages first, first + 1 ... with one recipient each wait there.
static void park_many_as(const struct place_of *of, uint64_t first, uint64_t count, enum priority priority, const char *turn) {
    for (uint64_t id = first; id < first + count; id++) {
        take(id, 1);
        park_as(of, id, 0, priority, turn);
    }
}

static void park_many(const struct place_of *of, uint64_t first, uint64_t count) { park_many_as(of, first, count, PRIORITY_NONE, ""); }

static void gone(uint64_t id) { assert_true(drop_mail(&kit, id, 0, NULL)); }

static void call(uint64_t used, int64_t at_ms, const char *expected) {
    int64_t now = start_ms + at_ms;
    called[0] = 0;
    waiters_call(&list, &worker, four.account, used, now);
    assert_string_equal(called, expected);
}

static bool arrived(const struct place_of *from, uint64_t id, uint64_t cap, int64_t at_ms) {
    return waiters_arrived(list, from, id, cap, start_ms + at_ms);
}

static void back(uint64_t id, int64_t at_ms) { waiters_back(list, id, false, start_ms + at_ms); }

// It had its room, and was delivered.
static void goes(const struct place_of *from, uint64_t id, int64_t at_ms) {
    assert_true(arrived(from, id, from->cap, at_ms));
    gone(id);
    back(id, at_ms);
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
    // The longest account there is; one that is longer has been written by nobody.
    char longest[SPEND_ACCOUNT_MAX];
    memset(longest, 'k', sizeof longest);
    struct place_of of = {.account = bytes_range(longest, SPEND_ACCOUNT_MAX - 1), .cap = UINT64_MAX, .recipients = true}, back;
    struct bytes place = waiters_place(&of, text);
    assert_true(place.len < WAITERS_PLACE);
    assert_true(waiters_place_read(place, &back));
    assert_int_equal(back.account.len, of.account.len);
    of.account.len = SPEND_ACCOUNT_MAX;
    assert_false(waiters_place_read(waiters_place(&of, text), &back));
}

static void as_many_as_fit_oldest_first(void **state) {
    (void)state;
    park_many(&four, 1, 6);
    call(4, 0, "");
    call(2, 100, "1.0 2.0 ");
    call(2, 200, ""); // their room is kept
    assert_int_equal(waiters_reserved(list, start_ms + 200), 2);
    goes(&four, 1, 300);
    assert_true(arrived(&four, 2, 4, 300));
    assert_int_equal(waiters_reserved(list, start_ms + 300), 0);
    call(4, 400, "");
    back(2, 400); // refused once more: it stands in front again
    call(3, 500, "2.0 ");
    goes(&four, 2, 600);
    call(1, 700, "3.0 4.0 5.0 ");
}

static void nobody_is_called_twice(void **state) {
    (void)state;
    park_many(&four, 1, 6);
    call(2, 0, "1.0 2.0 ");
    assert_true(arrived(&four, 1, 4, 10)); // on its way to the peer, and parked in the store until it is there
    call(1, 100, "3.0 4.0 ");
    call(0, 200, "5.0 ");
}

static void the_room_is_kept_for_a_moment_only(void **state) {
    (void)state;
    park_many(&four, 1, 3);
    call(3, 0, "1.0 ");
    assert_int_equal(waiters_reserved(list, start_ms + 1000), 1);
    assert_int_equal(waiters_reserved(list, start_ms + 3000), 0);
    assert_false(arrived(&four, 1, 4, 3000)); // late: as anybody else
    assert_false(arrived(&six, 1, 6, 3000));  // never called from there
}

// In a slow lane's line, perhaps: those behind him are called, and he not again.
static void who_is_not_heard_of_holds_up_nobody_for_long(void **state) {
    (void)state;
    park_many(&four, 1, 3);
    call(3, 0, "1.0 ");
    call(3, 200000, "");
    assert_true(waiters_next(list, 3, INT64_MAX, start_ms + 200000) <= start_ms + 301000);
    call(3, 301000, "2.0 ");
    back(1, 301010); // it has been parked there again
    call(3, 602000, "1.0 ");
    call(3, 30 * 60000, "1.0 "); // lost altogether: once more in the end
}

static void each_cap_has_its_place(void **state) {
    (void)state;
    park_many(&four, 1, 3);
    park_many(&six, 11, 3);
    call(6, 0, "");
    call(5, 100, "11.0 ");
    goes(&six, 11, 200);
    call(3, 300, "1.0 12.0 13.0 "); // one sender's, as both are in the order of age: the lower cap first, for as long as it has room
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

// As many as go in one transaction; the others when those are done with.
static void a_great_message_is_called_in_parts(void **state) {
    (void)state;
    static const struct place_of wide = {.account = {"acme/60", 7}, .cap = 100};
    take(1, 130);
    for (uint32_t n = 0; n < 130; n++) park(&wide, 1, n);
    called[0] = 0;
    waiters_call(&list, &worker, wide.account, 0, start_ms);
    assert_non_null(strstr(called, " 1.99 "));
    assert_null(strstr(called, " 1.100 "));
    assert_int_equal(waiters_reserved(list, start_ms), 1);
    assert_true(arrived(&wide, 1, 100, 10));
    for (uint32_t n = 0; n < 100; n++) assert_true(drop_mail(&kit, 1, n, NULL));
    back(1, 20);
    called[0] = 0;
    waiters_call(&list, &worker, wide.account, 1, start_ms + 100);
    assert_int_equal(strncmp(called, "1.100 1.101 ", 12), 0);
}

static void recipients_are_called_one_by_one(void **state) {
    (void)state;
    take(1, 6);
    for (uint32_t n = 0; n < 6; n++) park(&people, 1, n);
    call(1, 0, "1.0 1.1 1.2 ");
    assert_int_equal(waiters_reserved(list, start_ms), 3);
    assert_true(arrived(&people, 1, 4, 10));
    for (uint32_t n = 0; n < 3; n++) assert_true(drop_mail(&kit, 1, n, NULL));
    back(1, 20);
    call(3, 100, "1.3 ");
}

static void urgent_ones_pass_a_backlog(void **state) {
    (void)state;
    static const struct place_of wide = {.account = {"acme/60", 7}, .cap = 100};
    park_many_as(&wide, 1, 60, PRIORITY_BULK, "news");
    park_many_as(&wide, 100, 3, PRIORITY_NORMAL, "shop");
    park_many_as(&wide, 200, 2, PRIORITY_URGENT, "reset");
    call(94, 0, "200.0 201.0 100.0 101.0 102.0 1.0 ");
}

// Of twenty at least one is bulk and two are normal, as in a lane.
static void no_class_waits_for_ever(void **state) {
    (void)state;
    static const struct place_of wide = {.account = {"acme/60", 7}, .cap = 100};
    park_many_as(&wide, 1, 5, PRIORITY_BULK, "news");
    park_many_as(&wide, 100, 5, PRIORITY_NORMAL, "shop");
    park_many_as(&wide, 200, 60, PRIORITY_URGENT, "reset");
    call(60, 0, "200.0 201.0 202.0 203.0 204.0 205.0 206.0 207.0 208.0 100.0 209.0 210.0 211.0 212.0 213.0 214.0 215.0 216.0 217.0 1.0 "
                "101.0 218.0 219.0 220.0 221.0 222.0 223.0 224.0 225.0 226.0 102.0 227.0 228.0 229.0 230.0 231.0 232.0 233.0 234.0 2.0 ");
}

// However many one has, and in whichever place: the other's stand between them. Over several calls the ring goes on.
static void senders_take_turns(void **state) {
    (void)state;
    char first[100];
    park_many_as(&four, 1, 50, PRIORITY_NORMAL, "big");
    park_many_as(&six, 51, 50, PRIORITY_NORMAL, "big");
    park_many_as(&six, 200, 2, PRIORITY_NORMAL, "small");
    called[0] = 0;
    waiters_call(&list, &worker, four.account, 2, start_ms);
    snprintf(first, sizeof first, "%s", called);
    assert_true(strcmp(first, "1.0 200.0 2.0 201.0 ") == 0 || strcmp(first, "200.0 1.0 201.0 2.0 ") == 0 ||
                strcmp(first, "1.0 200.0 51.0 201.0 ") == 0 || strcmp(first, "200.0 1.0 201.0 51.0 ") == 0);
    goes(&four, 1, 100);
    goes(&six, 200, 100);
    called[0] = 0;
    waiters_call(&list, &worker, four.account, 1, start_ms + 200); // two are still under way
    assert_true(strlen(called) > 0 && !strstr(called, "20"));
}

static void many_turns_go_around(void **state) {
    (void)state;
    static const struct place_of wide = {.account = {"acme/60", 7}, .cap = 1000};
    enum { SENDERS = 200, EACH = 3 };
    char seen[SENDERS] = {0}, turn[20];
    for (uint64_t id = 0; id < SENDERS * EACH; id++) {
        take(id + 1, 1);
        snprintf(turn, sizeof turn, "s%d", (int)(id / EACH));
        park_as(&wide, id + 1, 0, PRIORITY_NORMAL, turn);
    }
    // Fifty tokens at a time: after four times each has had one, nobody two.
    for (int time = 0; time < 4; time++) {
        called[0] = 0;
        waiters_call(&list, &worker, wide.account, 950, start_ms + time * 1000);
        for (char *at = called, *end; *at; at = end + 3) {
            uint64_t id = strtoull(at, &end, 10);
            assert_int_equal(seen[(id - 1) / EACH]++, 0);
            goes(&wide, id, time * 1000 + 10);
        }
    }
    for (int i = 0; i < SENDERS; i++) assert_int_equal(seen[i], 1);
}

static void a_cap_that_has_grown_is_noticed(void **state) {
    (void)state;
    park_many(&four, 1, 9);
    call(4, 0, "");
    call(4, 6 * 60000, "1.0 "); // one, to find out
    assert_true(arrived(&four, 1, 8, 6 * 60000 + 10));
    call(5, 6 * 60000 + 100, "2.0 3.0 4.0 "); // it had eight
}

// What waits costs nothing: where nothing new is learnt, it is asked for less and less.
static void it_is_looked_less_and_less(void **state) {
    (void)state;
    park_many(&four, 1, 9);
    int times = 0;
    for (int64_t at = 0; at < 86400000; at += 60000) {
        called[0] = 0;
        waiters_call(&list, &worker, four.account, 4, start_ms + at);
        if (!called[0]) continue;
        times++;
        assert_string_equal(called, "1.0 ");
        assert_true(arrived(&four, 1, 4, at + 10));
        back(1, at + 20);
    }
    assert_in_range(times, 24, 32);
}

static void more_and_more_where_the_policy_has_another_way(void **state) {
    (void)state;
    park_many(&four, 1, 30);
    call(4, 0, "");
    waiters_probe(list);
    call(4, 100, "1.0 ");
    gone(1);
    waiters_back(list, 1, true, start_ms + 200);
    call(4, 300, "2.0 3.0 4.0 5.0 ");
    for (uint64_t id = 2; id <= 5; id++) gone(id), waiters_back(list, id, true, start_ms + 400);
    called[0] = 0;
    waiters_call(&list, &worker, four.account, 4, start_ms + 500);
    assert_non_null(strstr(called, "6.0 7.0 8.0 9.0 10.0 11.0 12.0 13.0 14.0 15.0 16.0 17.0 "));
}

// A lane that rests sends them back before they ask: they are not called again and again for that.
static void who_gets_nowhere_is_called_less_often(void **state) {
    (void)state;
    park_many(&four, 1, 1);
    int times = 0;
    for (int64_t at = 0; at < 600000; at += 10) {
        called[0] = 0;
        waiters_call(&list, &worker, four.account, 0, start_ms + at);
        if (!called[0]) continue;
        times++;
        back(1, at + 5);
    }
    assert_in_range(times, 20, 45);
    assert_true(waiters_next(list, 0, INT64_MAX, start_ms + 600000) <= start_ms + 631000);
}

static void an_empty_place_is_forgotten(void **state) {
    (void)state;
    park_many(&four, 1, 2);
    call(0, 0, "1.0 2.0 ");
    assert_true(waiters_next(list, 2, INT64_MAX, start_ms) <= start_ms + 301000);
    goes(&four, 1, 10);
    goes(&four, 2, 10);
    assert_true(waiters_next(list, 2, INT64_MAX, start_ms + 10) <= start_ms + 100);
    call(2, 100, "");
    assert_null(list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_have_a_text),
        cmocka_unit_test_setup_teardown(as_many_as_fit_oldest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_called_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_room_is_kept_for_a_moment_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_not_heard_of_holds_up_nobody_for_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_cap_has_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_is_called_as_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_great_message_is_called_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recipients_are_called_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(urgent_ones_pass_a_backlog, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_class_waits_for_ever, set_up, tear_down),
        cmocka_unit_test_setup_teardown(senders_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_turns_go_around, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cap_that_has_grown_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_looked_less_and_less, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_and_more_where_the_policy_has_another_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_gets_nowhere_is_called_less_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_place_is_forgotten, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
