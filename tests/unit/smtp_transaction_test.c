// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/transaction.h"

static void keeps_copies(void **state) {
    (void)state;
    struct transaction t = {0};
    char text[] = "a@a.test";
    struct server_path p = {.address = bytes_of(text), .size = 3};
    transaction_ask(&t, &p);
    transaction_open(&t);
    text[0] = 'x';
    assert_true(bytes_equal(t.sender.address, BYTES("a@a.test")));
    assert_int_equal(t.sender.size, 3);
    for (int i = 0; i < 50; i++) {
        text[0] = (char)('a' + i % 26);
        transaction_ask(&t, &p);
        transaction_add(&t);
    }
    assert_int_equal(t.count, 50);
    assert_int_equal(t.recipients[27].address.at[0], 'b');
    transaction_release(&t);
}

static void forgets_all_and_keeps_little(void **state) {
    (void)state;
    struct transaction t = {0};
    struct server_path p = {.address = BYTES("a@a.test")};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            transaction_ask(&t, &p);
            transaction_add(&t);
        }
        t.gauge.dots.bare = t.refused_recipient = true;
        buf_addz(&t.spoilt, "452 full\r\n");
        transaction_forget(&t);
        assert_true(t.count == 0 && t.spoilt.cap == 0 && !t.refused_recipient && !t.gauge.dots.bare && t.sender.address.len == 0);
        assert_true(t.arena.total <= 4096 && t.room * sizeof *t.recipients <= 4096);
    }
    transaction_release(&t);
}

static bool has(struct transaction *t, const char *address, uint32_t notify, const char *orcpt) {
    transaction_ask(t, &(struct server_path){.address = bytes_of(address), .notify = notify, .orcpt = bytes_of(orcpt)});
    bool twice = transaction_has(t);
    if (!twice) transaction_add(t);
    return twice;
}

static void knows_who_is_named_twice(void **state) {
    (void)state;
    struct transaction t = {0};
    for (int round = 0; round < 2; round++) {
        assert_false(has(&t, "a@a.test", 0, ""));
        assert_true(has(&t, "a@a.test", 0, ""));
        assert_true(has(&t, "a@A.Test", 0, ""));
        assert_false(has(&t, "A@a.test", 0, ""));
        assert_false(has(&t, "a@a.test", NOTIFY_NEVER, ""));
        assert_false(has(&t, "a@a.test", 0, "rfc822;b@b.test"));
        assert_false(has(&t, "\"x@y\"@a.test", 0, ""));
        assert_true(has(&t, "\"x@y\"@A.test", 0, ""));
        assert_false(has(&t, "\"X@y\"@a.test", 0, ""));
        assert_false(has(&t, "postmaster", 0, ""));
        assert_true(has(&t, "postmaster", 0, ""));
        assert_int_equal(t.count, 7);
        transaction_forget(&t);
    }
    transaction_release(&t);
}

static void has_a_line_for_each_fault(void **state) {
    (void)state;
    struct transaction t = {0};
    struct gauge_limits limits = {.size = 1};
    assert_int_equal(transaction_fault(&t, &limits).len, 0);
    t.gauge.size = 2;
    assert_true(bytes_starts(transaction_fault(&t, &limits), BYTES("552 5.3.4 ")));
    t.gauge.size = 0;
    t.gauge.dots.nul = true;
    assert_true(bytes_starts(transaction_fault(&t, &limits), BYTES("550 5.6.0 ")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_copies),
        cmocka_unit_test(forgets_all_and_keeps_little),
        cmocka_unit_test(knows_who_is_named_twice),
        cmocka_unit_test(has_a_line_for_each_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
