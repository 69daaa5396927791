// SPDX-License-Identifier: MIT
// recall: who is called back to a lane, in which order, and how many.
#include "relay/recall.h"

#include "called_kit.h"

#define LANE BYTES("-|direct:b.example:25|none")

static struct order order;
static struct probe probe;

static int set_up(void **state) {
    (void)state;
    order = (struct order){0};
    probe = (struct probe){0};
    return called_set_up(BYTES(""));
}

static int tear_down(void **state) {
    (void)state;
    order_release(&order);
    return called_tear_down();
}

static void park(uint64_t first, uint64_t count, enum priority priority, const char *turn) {
    for (uint64_t id = first; id < first + count; id++) {
        assert_true(accept_mail(&kit, id, 1, start_ms, BYTES("x")));
        struct recipient r = some_recipient(id, 0, start_ms);
        r.state = RECIPIENT_PARKED;
        r.lane = LANE;
        r.priority = priority;
        r.turn = bytes_of(turn);
        assert_true(put_recipient(&kit, r));
    }
}

static int64_t recall(size_t room, int64_t at_ms) {
    called[0] = 0;
    return recall_some(&order, &worker, LANE, room, start_ms + at_ms);
}

static size_t number(void) {
    size_t n = 0;
    for (const char *at = called; (at = strchr(at, ' ')); at++) n++;
    return n;
}

static struct turn *turn(enum priority priority, const char *name) { return order_turn(&order, priority, bytes_of(name), false); }

// Those who were called come, and go: nothing of them is in the store any more.
static void all_go(const char *name, enum priority priority) {
    for (char *at = called, *end; *at; at = end + 3) {
        assert_true(drop_mail(&kit, strtoull(at, &end, 10), 0, NULL));
        recall_arrived(turn(priority, name), 1);
    }
}

static void nothing_is_parked(void **state) {
    (void)state;
    assert_int_equal(recall(40, 0), 0);
    recall_all_unread(&order);
    recall(40, 100);
    assert_int_equal(recall(40, 200), 0);
    assert_string_equal(called, "");
    assert_false(order_is_parked(&order));
}

static void each_turn_gets_its_share_at_once(void **state) {
    (void)state;
    park(1, 50, PRIORITY_BULK, "news");
    park(100, 50, PRIORITY_BULK, "shop");
    park(200, 2, PRIORITY_URGENT, "reset");
    recall_all_unread(&order);
    assert_true(recall(20, 0) > 0);
    assert_non_null(strstr(called, "200.0 201.0 "));
    assert_non_null(strstr(called, "1.0 2.0 3.0 4.0 5.0 6.0 7.0 8.0 9.0 10.0 "));
    assert_non_null(strstr(called, "100.0 101.0 102.0 103.0 104.0 105.0 106.0 107.0 108.0 109.0 "));
    assert_int_equal(number(), 22);
}

static void no_more_while_they_are_on_their_way(void **state) {
    (void)state;
    park(1, 50, PRIORITY_NORMAL, "a");
    recall_note(&order, PRIORITY_NORMAL, BYTES("a"));
    recall(10, 0);
    assert_int_equal(number(), 10);
    recall(10, 100);
    assert_int_equal(number(), 0);
    recall_arrived(turn(PRIORITY_NORMAL, "a"), 6); // they go
    recall(10, 200);
    assert_string_equal(called, "11.0 12.0 13.0 14.0 15.0 16.0 ");
    recall(10, 3000); // who does not come has gone another way
    assert_int_equal(number(), 10);
}

static void a_backlog_goes_to_its_end(void **state) {
    (void)state;
    park(1, 300, PRIORITY_NORMAL, "a");
    recall_note(&order, PRIORITY_NORMAL, BYTES("a"));
    size_t went = 0;
    for (int64_t at = 0; order_is_parked(&order); at += 600) {
        assert_true(at < 600 * 100);
        recall(50, at);
        went += number();
        all_go("a", PRIORITY_NORMAL);
    }
    assert_int_equal(went, 300);
}

// Should one that was called be lost on its way, it is found from the start again.
static void none_is_forgotten(void **state) {
    (void)state;
    park(1, 3, PRIORITY_NORMAL, "a");
    recall_note(&order, PRIORITY_NORMAL, BYTES("a"));
    recall(40, 0);
    assert_string_equal(called, "1.0 2.0 3.0 ");
    assert_true(drop_mail(&kit, 1, 0, NULL));
    assert_true(drop_mail(&kit, 3, 0, NULL));
    assert_int_equal(recall(4, 100), 2000); // looks again once they had their time
    assert_true(recall(40, 3000) > 0);
    assert_string_equal(called, "2.0 ");
}

static void where_a_limit_is_used_up_one_finds_out(void **state) {
    (void)state;
    park(1, 300, PRIORITY_NORMAL, "a");
    recall_note(&order, PRIORITY_NORMAL, BYTES("a"));
    recall(20, 0);
    assert_int_equal(number(), 20);
    recall_arrived(turn(PRIORITY_NORMAL, "a"), 20);
    for (int i = 0; i < 20; i++) recall_limited(turn(PRIORITY_NORMAL, "a"), start_ms + 100); // all of them at once: one lesson
    size_t asked = 0;
    for (int64_t at = 200; at < 600000; at += 100) {
        int64_t again = recall(20, at);
        assert_in_range(again, 1, 64000);
        asked += number();
        if (!number()) continue;
        assert_int_equal(number(), 1);
        recall_arrived(turn(PRIORITY_NORMAL, "a"), 1);
        recall_limited(turn(PRIORITY_NORMAL, "a"), start_ms + at);
    }
    assert_in_range(asked, 10, 20);
    recall_granted(turn(PRIORITY_NORMAL, "a"));
    recall(20, 700000);
    assert_int_equal(number(), 20);
}

static void probe_at(int64_t at_ms) {
    called[0] = 0;
    recall_probe(&probe, &worker, LANE, start_ms + at_ms);
}

static void a_closed_lane_costs_next_to_nothing(void **state) {
    (void)state;
    park(1, 50, PRIORITY_NORMAL, "a");
    size_t asked = 0;
    for (int64_t at = 0; at < 86400000; at += 1000) {
        probe_at(at);
        asked += number();
    }
    assert_in_range(asked, 20, 32); // a day
}

static void who_has_another_way_leaves_a_closed_lane(void **state) {
    (void)state;
    park(1, 2000, PRIORITY_NORMAL, "a");
    recall_probe_soon(&probe);
    size_t gone = 0;
    for (int64_t at = 0; at < 60000 && gone < 2000; at += 1000) {
        probe_at(at);
        gone += number();
        for (char *c = called, *end; *c; c = end + 3) assert_true(drop_mail(&kit, strtoull(c, &end, 10), 0, NULL));
    }
    assert_int_equal(gone, 2000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_parked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_turn_gets_its_share_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_while_they_are_on_their_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_backlog_goes_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_a_limit_is_used_up_one_finds_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_lane_costs_next_to_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_another_way_leaves_a_closed_lane, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
