// SPDX-License-Identifier: MIT
// account: whatever is asked and whenever, no window ever holds more than the cap; and what is old is freed.
#include "relay/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const int64_t start_ms = 1800000000000;

static uint64_t seed = 1;
static uint64_t dice(uint64_t sides) { // the same throws in every run
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % sides;
}

static bool has_room(struct account *a, uint64_t cap, uint64_t n) { return account_used(a) + n <= cap; }

static void free_at_is_when_it_frees(void **state) {
    (void)state;
    for (uint32_t window_s = 1; window_s <= 86400; window_s *= 7) {
        struct account a;
        int64_t now = start_ms;
        account_init(&a, window_s, now);
        for (int i = 0; i < 500; i++) {
            now += (int64_t)dice((uint64_t)a.window_ms / 8 + 1);
            account_turn(&a, now);
            uint64_t n = 1 + dice(5);
            if (has_room(&a, 20, n)) {
                account_hold(&a, n);
                account_spend(&a, n);
                continue;
            }
            int64_t at = account_free_at(&a, 20, n);
            assert_true(at > now);
            assert_true(at <= now + a.window_ms + a.width_ms + a.slack_ms);
            struct account before = a;
            account_turn(&before, at - 1);
            assert_false(has_room(&before, 20, n));
            now = at;
            account_turn(&a, now);
            assert_true(has_room(&a, 20, n));
        }
    }
}

struct event {
    int64_t began, at, ends; // the peer counts it at `at`
    bool held;
};

static int by_time(const void *a, const void *b) {
    int64_t x = ((const struct event *)a)->at, y = ((const struct event *)b)->at;
    return (x > y) - (x < y);
}

static void assert_no_window_above(struct event *events, size_t count, int64_t window_ms, uint64_t cap) {
    qsort(events, count, sizeof *events, by_time);
    for (size_t first = 0, i = 0; i < count; i++) {
        while (events[first].at <= events[i].at - window_ms) first++;
        if (i - first + 1 > cap)
            fail_msg("%zu within a window of %lld ms, %llu are allowed", i - first + 1, (long long)window_ms,
                     (unsigned long long)cap);
    }
}

// Demand is always there; each token is used at the peer at some moment between its grant and its end. In between the process
// dies now and then: what was written last is all that is left, and what was held then may have been used.
static size_t press(uint32_t window_s, uint64_t cap, int windows, int64_t longest_ms, bool crashes) {
    enum { MOST = 200000 };
    struct event *events = calloc(MOST, sizeof *events);
    struct account a;
    struct buf disk = {0};
    size_t count = 0, first_held = 0;
    int64_t now = start_ms, end = start_ms + (int64_t)window_s * 1000 * windows;
    account_init(&a, window_s, now);
    account_encode(&a, &disk);
    while (now < end && count < MOST) {
        now += 1 + (int64_t)dice((uint64_t)a.window_ms / cap + 2) / 2;
        account_turn(&a, now);
        for (size_t i = first_held; i < count; i++) {
            struct event *e = &events[i];
            if (!e->held || e->ends > now) continue;
            account_spend(&a, 1);
            e->held = false;
        }
        while (first_held < count && !events[first_held].held) first_held++;
        for (uint64_t burst = dice(4); burst > 0 && has_room(&a, cap, 1) && count < MOST; burst--) {
            account_hold(&a, 1);
            struct event e = {.began = now, .ends = now + 1 + (int64_t)dice((uint64_t)longest_ms), .held = true};
            e.at = e.began + (int64_t)dice((uint64_t)(e.ends - e.began) + 1);
            events[count++] = e;
        }
        buf_reset(&disk); // the ledger writes before it grants, and again when a bucket closes
        account_encode(&a, &disk);
        if (!crashes || dice(200) != 0) continue;
        for (size_t i = first_held; i < count; i++) { // the connections died with the process
            events[i].held = false;
            if (events[i].at > now) events[i].at = now;
        }
        first_held = count;
        now += (int64_t)dice((uint64_t)a.window_ms / 20 + 1000);
        account_init(&a, window_s, now);
        assert_true(account_decode(&a, buf_bytes(&disk)));
    }
    assert_true(count < MOST);
    assert_no_window_above(events, count, a.window_ms, cap);
    buf_release(&disk);
    free(events);
    return count;
}

static void no_window_is_ever_above_the_cap(void **state) {
    (void)state;
    static const uint32_t windows_s[] = {1, 7, 59, 60, 61, 3600, 86400, 30 * 86400};
    for (size_t i = 0; i < sizeof windows_s / sizeof *windows_s; i++)
        for (uint64_t cap = 1; cap <= 500; cap = cap * 3 + 4) {
            int64_t longest = windows_s[i] < 100 ? 500 : 20000;
            press(windows_s[i], cap, 8, longest, false);
            press(windows_s[i], cap, 8, longest, true);
        }
}

// The price of buckets and slack: what a window holds stays out a little longer.
static void little_is_left_unused(void **state) {
    (void)state;
    for (uint32_t window_s = 60; window_s <= 86400; window_s = window_s == 60 ? 3600 : window_s * 24) {
        size_t used = press(window_s, 300, 10, 100, false);
        if (used < 300 * 10 * 96 / 100) fail_msg("%zu of %d in windows of %u s", used, 300 * 10, window_s);
    }
    size_t day = press(86400, 1000, 10, 1000, false);
    if (day < 1000 * 10 * 98 / 100) fail_msg("%zu of 10000 in ten days", day);
}

static void a_clock_set_back_frees_nothing(void **state) {
    (void)state;
    struct account a;
    account_init(&a, 3600, start_ms);
    for (int i = 0; i < 50; i++) {
        account_turn(&a, start_ms + i * 60000);
        account_hold(&a, 1);
        account_spend(&a, 1);
    }
    account_hold(&a, 2);
    account_turn(&a, start_ms - 86400000);
    assert_int_equal(account_used(&a), 52);
    account_spend(&a, 2);
    account_turn(&a, start_ms - 86400000 + 3600000);
    assert_int_equal(account_used(&a), 52);
    account_turn(&a, start_ms - 86400000 + 3600000 + 2 * a.width_ms);
    assert_int_equal(account_used(&a), 0);
    account_turn(&a, start_ms + 86400000);
    assert_int_equal(account_used(&a), 0);
    assert_int_equal(account_next_free(&a), INT64_MAX);
}

static void what_is_given_back_is_free_at_once(void **state) {
    (void)state;
    struct account a;
    account_init(&a, 60, start_ms);
    account_hold(&a, 5);
    account_drop(&a, 2);
    int64_t bucket = account_spend(&a, 3);
    assert_int_equal(account_used(&a), 3);
    account_give_back(&a, bucket, 1);
    assert_int_equal(account_used(&a), 2);
    account_turn(&a, start_ms + 30000);
    account_move(&a, bucket, 2);
    assert_int_equal(account_used(&a), 2);
    account_turn(&a, start_ms + 70000); // counted from when it moved
    assert_int_equal(account_used(&a), 2);
    account_give_back(&a, bucket, 2); // gone from there: nothing happens
    assert_int_equal(account_used(&a), 2);
    account_turn(&a, start_ms + 100000);
    assert_int_equal(account_used(&a), 0);
}

static void disk_keeps_everything(void **state) {
    (void)state;
    struct account a, b;
    struct buf disk = {0};
    account_init(&a, 86400, start_ms);
    for (int i = 0; i < 90; i++) {
        account_turn(&a, start_ms + i * a.width_ms);
        account_hold(&a, (uint64_t)i);
        account_spend(&a, (uint64_t)i);
    }
    account_hold(&a, 7);
    account_encode(&a, &disk);
    account_init(&b, 86400, start_ms + 90 * a.width_ms);
    assert_true(account_decode(&b, buf_bytes(&disk)));
    assert_int_equal(b.held, 0);
    assert_int_equal(account_used(&b), account_used(&a));
    int64_t end = account_encoded_end(buf_bytes(&disk), 86400);
    account_turn(&b, end - 2 * a.width_ms);
    assert_true(account_used(&b) > 0);
    account_turn(&b, end);
    assert_int_equal(account_used(&b), 0);
    // A clock that was ahead when it was written: counted from now on.
    account_init(&b, 86400, start_ms - 10 * 86400000ll);
    assert_true(account_decode(&b, buf_bytes(&disk)));
    assert_int_equal(account_used(&b), account_used(&a));
    buf_release(&disk);
}

static void a_peer_may_know_better(void **state) {
    (void)state;
    struct account a, b;
    struct buf disk = {0};
    account_init(&a, 86400, start_ms);
    account_hold(&a, 3);
    account_spend(&a, 3);
    int64_t soon = account_free_at(&a, 10, 8), until = start_ms + 3600000;
    assert_true(soon > until);
    account_fill(&a, until);
    account_fill(&a, until - 1); // never earlier
    assert_int_equal(account_used(&a), 3);
    assert_int_equal(account_taken(&a), ACCOUNT_CAP_MAX);
    assert_int_equal(account_free_at(&a, 10, 1), until);
    assert_int_equal(account_free_at(&a, 10, 8), soon); // when its own count lets it
    assert_int_equal(account_next_free(&a), until);
    account_encode(&a, &disk);
    assert_true(account_encoded_end(buf_bytes(&disk), 86400) > until);
    account_init(&b, 86400, start_ms + 1000);
    assert_true(account_decode(&b, buf_bytes(&disk)));
    account_turn(&b, until - 1);
    assert_int_equal(account_taken(&b), ACCOUNT_CAP_MAX);
    account_turn(&b, until);
    assert_int_equal(account_taken(&b), 3);
    // Longer than anybody may say: the row is damaged.
    buf_reset(&disk);
    account_fill(&a, start_ms + 40 * 86400000ll);
    account_encode(&a, &disk);
    account_init(&b, 86400, start_ms);
    assert_false(account_decode(&b, buf_bytes(&disk)));
    // A row for that alone lasts as long.
    buf_reset(&disk);
    account_init(&a, 60, start_ms);
    account_fill(&a, until);
    account_encode(&a, &disk);
    assert_int_equal(account_encoded_end(buf_bytes(&disk), 60), until);
    buf_release(&disk);
}

// Rows written while the clock was ahead fall into one bucket when they are read: more in it than one cap allows is no damage.
static void buckets_that_fall_together_are_read(void **state) {
    (void)state;
    struct account a, b;
    struct buf disk = {0};
    account_init(&a, 86400, start_ms);
    for (int i = 0; i < 3; i++) {
        account_turn(&a, start_ms + i * a.width_ms);
        account_hold(&a, ACCOUNT_CAP_MAX);
        account_spend(&a, ACCOUNT_CAP_MAX);
    }
    for (int again = 0; again < 2; again++) {
        buf_reset(&disk);
        account_encode(&a, &disk);
        account_init(&b, 86400, start_ms - 86400000);
        assert_true(account_decode(&b, buf_bytes(&disk)));
        assert_int_equal(account_used(&b), 3ull * ACCOUNT_CAP_MAX);
        a = b;
    }
    buf_release(&disk);
}

// Two that share a limit, each read from the other's row: together as one that did all of it.
static void joined_they_are_one(void **state) {
    (void)state;
    struct account parts[2], one;
    struct buf disk = {0};
    int64_t now = start_ms;
    account_init(&parts[0], 86400, now);
    account_init(&parts[1], 86400, now);
    account_init(&one, 86400, now);
    for (int i = 0; i < 300; i++) {
        now += (int64_t)dice(3600000);
        struct account *part = &parts[dice(2)];
        uint64_t n = dice(9);
        account_turn(part, now);
        account_turn(&one, now);
        account_hold(part, n);
        account_spend(part, n);
        account_hold(&one, n);
        account_spend(&one, n);
        struct account sum = *part, others;
        buf_reset(&disk);
        account_turn(&parts[part == &parts[0]], now);
        account_encode(&parts[part == &parts[0]], &disk);
        account_init(&others, 86400, now);
        assert_true(account_decode(&others, buf_bytes(&disk)));
        account_turn(&others, now);
        account_join(&sum, &others);
        assert_int_equal(account_used(&sum), account_used(&one));
        assert_int_equal(account_next_free(&sum), account_next_free(&one));
        for (uint64_t more = 1; more < 60; more += 7) {
            uint64_t cap = account_used(&one) / 2 + 60;
            assert_int_equal(account_free_at(&sum, cap, more), account_free_at(&one, cap, more));
        }
    }
    account_fill(&parts[1], now + 1000);
    account_join(&parts[0], &parts[1]);
    assert_int_equal(account_taken(&parts[0]), ACCOUNT_CAP_MAX);
    buf_release(&disk);
}

static void damage_is_seen(void **state) {
    (void)state;
    struct account a;
    struct buf disk = {0};
    account_init(&a, 86400, start_ms);
    account_hold(&a, 7);
    account_encode(&a, &disk);
    for (size_t cut = 0; cut < disk.len; cut++) {
        struct account b;
        account_init(&b, 86400, start_ms);
        assert_false(account_decode(&b, bytes_first(buf_bytes(&disk), cut)));
    }
    for (int i = 0; i < 20000; i++) { // anything is read without harm
        struct account b;
        account_init(&b, 86400, start_ms);
        disk.at[dice(disk.len)] = (char)dice(256);
        if (account_decode(&b, buf_bytes(&disk))) account_turn(&b, start_ms + 1000);
        account_encoded_end(buf_bytes(&disk), 86400);
    }
    buf_release(&disk);
}

static void names_have_a_window(void **state) {
    uint32_t window_s = 0;
    (void)state;
    assert_true(account_window(BYTES("acme/google/3600"), &window_s));
    assert_int_equal(window_s, 3600);
    assert_true(account_window(BYTES("k/99999999999"), &window_s));
    assert_int_equal(window_s, UINT32_MAX / 1000);
    assert_false(account_window(BYTES("3600"), &window_s));
    assert_false(account_window(BYTES("k/0"), &window_s));
    assert_false(account_window(BYTES("k/1h"), &window_s));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_at_is_when_it_frees),
        cmocka_unit_test(no_window_is_ever_above_the_cap),
        cmocka_unit_test(little_is_left_unused),
        cmocka_unit_test(a_clock_set_back_frees_nothing),
        cmocka_unit_test(what_is_given_back_is_free_at_once),
        cmocka_unit_test(disk_keeps_everything),
        cmocka_unit_test(a_peer_may_know_better),
        cmocka_unit_test(buckets_that_fall_together_are_read),
        cmocka_unit_test(joined_they_are_one),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(names_have_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
