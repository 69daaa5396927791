// SPDX-License-Identifier: MIT
#include "policy/spends.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

static void none_is_none(void **state) {
    (void)state;
    struct arena arena = {0};
    struct buf out = {0};
    size_t count = 0;
    assert_null(spends_make(&arena, NULL, &count));
    struct jsonl j = jsonl_begin(&out);
    spends_put(&j, NULL, 0);
    jsonl_close(&j, '}');
    assert_string_equal(buf_z(&out), "{}");
    buf_release(&out);
    arena_release(&arena);
}

// Two that ask for the same accounts ask in the same order, however they were named: so neither waits for the other.
static void one_order(void **state) {
    (void)state;
    struct arena arena = {0};
    struct spend day = {.key = BYTES("a"), .window_s = 86400, .cap = 9}, minute = {.key = BYTES("z"), .window_s = 60, .cap = 2},
                 other = {.key = BYTES("b"), .window_s = 86400, .cap = 7};
    struct spend given[] = {day, minute, other}, turned[] = {other, day, minute};
    size_t count = 3, again = 3;
    const struct spend *made = spends_make(&arena, given, &count), *same = spends_make(&arena, turned, &again);
    assert_int_equal(count, 3);
    assert_int_equal(again, 3);
    static const char *const accounts[] = {"z/60", "a/86400", "b/86400"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(bytes_equal(made[i].account, bytes_of(accounts[i])));
        assert_true(bytes_equal(same[i].account, bytes_of(accounts[i])));
    }
    arena_release(&arena);
}

static void named_twice_is_the_stricter(void **state) {
    (void)state;
    struct arena arena = {0};
    struct buf out = {0};
    struct spend given[] = {{.key = BYTES("a"), .window_s = 60, .cap = 9},
                            {.key = BYTES("a"), .window_s = 60, .cap = 4, .recipients = true, .exhausted_by = BYTES("quota")},
                            {.key = BYTES("a"), .window_s = 60, .cap = 6, .attempts = true}};
    size_t count = 3;
    const struct spend *made = spends_make(&arena, given, &count);
    struct jsonl j = jsonl_begin(&out);
    spends_put(&j, made, count);
    jsonl_close(&j, '}');
    assert_string_equal(buf_z(&out), "{\"spend\":[{\"key\":\"a\",\"window_s\":60,\"cap\":4,\"per\":\"recipient\",\"count\":\"attempts\","
                                     "\"exhausted_by\":\"quota\"}]}");
    buf_release(&out);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_none),
        cmocka_unit_test(one_order),
        cmocka_unit_test(named_twice_is_the_stricter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
