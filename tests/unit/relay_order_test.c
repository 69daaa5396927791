// SPDX-License-Identifier: MIT
// order: whose turn it is.
#include "relay/order.h"

#include "relay/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct sent {
    struct attempt attempt; // first
    struct job job;
    char of;
};

static void add(struct order *order, enum priority priority, const char *name, int n, size_t recipients, uint64_t size) {
    for (int i = 0; i < n; i++) {
        struct sent *s = must_alloc(sizeof *s);
        s->of = name[0];
        s->job.message.body.length = size;
        s->attempt = (struct attempt){.job = &s->job, .count = recipients};
        order_add(order, order_turn(order, priority, bytes_of(name), true), &s->attempt);
    }
}

// The first letters of the next `n` in order.
static const char *next(struct order *order, int n) {
    static char said[300];
    for (int i = 0; i < n; i++) {
        struct attempt *peeked = order_peek(order), *a = order_take(order);
        assert_ptr_equal(peeked, a);
        said[i] = a ? ((struct sent *)a)->of : '.';
        said[i + 1] = 0;
        free(a);
    }
    return said;
}

static void senders_take_turns(void **state) {
    (void)state;
    struct order order = {0};
    add(&order, PRIORITY_NORMAL, "news", 100, 1, 1000);
    assert_string_equal(next(&order, 3), "nnn");
    add(&order, PRIORITY_NORMAL, "a", 2, 1, 1000);
    add(&order, PRIORITY_NORMAL, "b", 1, 1, 1000);
    assert_string_equal(next(&order, 6), "nabnan");
    assert_int_equal(order.attempts, 94);
    next(&order, 94);
    assert_true(order.attempts == 0 && order.waiting == 0 && order_peek(&order) == NULL && order_take(&order) == NULL);
    assert_int_equal(order.classes[1].count, 0); // who has nothing left is not remembered
    order_release(&order);
}

// A hundred recipients, or seven megabytes, weigh as much as a hundred small messages for one.
static void turns_are_weighed(void **state) {
    (void)state;
    struct order order = {0};
    add(&order, PRIORITY_NORMAL, "many", 2, 5, 1000);
    add(&order, PRIORITY_NORMAL, "one", 20, 1, 1000);
    assert_string_equal(next(&order, 8), "mooooomo");
    next(&order, 14);
    add(&order, PRIORITY_NORMAL, "big", 2, 1, 3 << 16);
    add(&order, PRIORITY_NORMAL, "small", 9, 1, 1000);
    assert_string_equal(next(&order, 7), "bssssbs");
    next(&order, 4);
    order_release(&order);
}

static void urgent_ones_go_first_and_bulk_is_not_forgotten(void **state) {
    (void)state;
    struct order order = {0};
    add(&order, PRIORITY_BULK, "news", 100, 1, 1000);
    add(&order, PRIORITY_NORMAL, "work", 100, 1, 1000);
    assert_string_equal(next(&order, 2), "ww");
    add(&order, PRIORITY_URGENT, "reset", 2, 1, 1000);
    assert_string_equal(next(&order, 3), "rrw");
    add(&order, PRIORITY_URGENT, "reset", 190, 1, 1000);
    int normal = 0, bulk = 0;
    for (int i = 0; i < 200; i++) {
        char of = next(&order, 1)[0];
        normal += of == 'w';
        bulk += of == 'n';
    }
    assert_in_range(normal, 18, 22); // one in ten
    assert_in_range(bulk, 9, 11);    // one in twenty
    next(&order, (int)order.attempts);
    order_release(&order);
}

static void each_turn_has_room(void **state) {
    (void)state;
    struct order order = {0};
    enum { ROOM = 100 };
    struct turn *news = order_turn(&order, PRIORITY_NORMAL, BYTES("news"), true);
    assert_true(order_takes(&order, news, 5000, ROOM)); // the first one always has
    while (order_takes(&order, news, 1, ROOM)) add(&order, PRIORITY_NORMAL, "news", 1, 1, 1);
    assert_int_equal(news->waiting, ROOM);
    struct turn *shop = order_turn(&order, PRIORITY_NORMAL, BYTES("shop"), true);
    while (order_takes(&order, shop, 1, ROOM)) add(&order, PRIORITY_NORMAL, "shop", 1, 1, 1);
    assert_int_equal(shop->waiting, ORDER_LEAST); // the class is full, but nobody is kept out of it
    assert_true(order_takes(&order, order_turn(&order, PRIORITY_URGENT, BYTES("news"), true), 1, ROOM));
    next(&order, 50); // all of shop's among them: it is remembered no longer
    shop = order_turn(&order, PRIORITY_NORMAL, BYTES("shop"), true);
    assert_true(order_takes(&order, shop, 1, ROOM));
    assert_false(order_takes(&order, news, 60, ROOM)); // half of it is the other's now
    next(&order, (int)order.attempts);
    order_release(&order);
}

static void so_many_turns_and_no_more(void **state) {
    (void)state;
    struct order order = {0};
    char name[20];
    for (int i = 0; i < ORDER_TURNS; i++) {
        snprintf(name, sizeof name, "s%d", i);
        assert_non_null(order_turn(&order, PRIORITY_BULK, bytes_of(name), true));
    }
    assert_null(order_turn(&order, PRIORITY_BULK, BYTES("one more"), true));
    assert_non_null(order_turn(&order, PRIORITY_BULK, BYTES("s7"), true));
    assert_null(order_turn(&order, PRIORITY_NORMAL, BYTES("s7"), false));
    assert_non_null(order_turn(&order, PRIORITY_NORMAL, BYTES("s7"), true));
    assert_false(order_is_parked(&order));
    order_turn(&order, PRIORITY_NORMAL, BYTES("s7"), false)->parked = true;
    assert_true(order_is_parked(&order));
    order_release(&order);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_take_turns),
        cmocka_unit_test(turns_are_weighed),
        cmocka_unit_test(urgent_ones_go_first_and_bulk_is_not_forgotten),
        cmocka_unit_test(each_turn_has_room),
        cmocka_unit_test(so_many_turns_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
