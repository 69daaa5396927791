// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "net/inbox.h"

#include <stdlib.h>

enum { SCRATCH = 20000 };

// So many bytes come, as far as there is room; 'a', 'b', ... by their place in the stream.
static size_t come(struct inbox *i, char *scratch, size_t n, size_t *stream) {
    size_t size;
    char *at = inbox_landing(i, scratch, SCRATCH, &size);
    if (n > size) n = size;
    for (size_t k = 0; k < n; k++) at[k] = (char)('a' + (*stream)++ % 26);
    inbox_arrived(i, at, n);
    return n;
}

static void what_is_taken_at_once_is_never_copied(void **state) {
    struct inbox i = {.max = 1000};
    char scratch[SCRATCH];
    size_t stream = 0;
    (void)state;
    assert_int_equal(come(&i, scratch, 500, &stream), 500);
    assert_true(inbox_is_lent(&i));
    assert_ptr_equal(inbox_bytes(&i).at, scratch);
    inbox_take(&i, 500);
    inbox_keep(&i);
    assert_int_equal(inbox_bytes(&i).len, 0);
    assert_null(i.kept.at);
    inbox_drop(&i);
}

static void what_is_left_moves_along(void **state) {
    struct inbox i = {.max = 1000};
    char scratch[SCRATCH];
    size_t stream = 0;
    (void)state;
    come(&i, scratch, 30, &stream);
    inbox_take(&i, 26);
    inbox_keep(&i);
    assert_false(inbox_is_lent(&i));
    memset(scratch, 0, sizeof scratch); // it was somebody else's meanwhile
    come(&i, scratch, 2, &stream);
    assert_true(bytes_equal(inbox_bytes(&i), BYTES("abcdef")));
    inbox_keep(&i);
    assert_true(bytes_equal(inbox_bytes(&i), BYTES("abcdef")));
    inbox_take(&i, 6);
    assert_null(i.kept.at);
    inbox_drop(&i);
}

static void there_is_an_end(void **state) {
    struct inbox i = {.max = 6000};
    char scratch[SCRATCH];
    size_t stream = 0;
    (void)state;
    assert_int_equal(come(&i, scratch, 5000, &stream), 5000);
    inbox_keep(&i);
    assert_int_equal(inbox_room(&i), 1000);
    assert_int_equal(come(&i, scratch, 5000, &stream), 1000);
    assert_false(inbox_is_lent(&i)); // more than is worth a copy
    assert_int_equal(inbox_room(&i), 0);
    inbox_drop(&i);
    assert_int_equal(inbox_room(&i), 6000);
}

static void nothing_is_lost_in_any_order(void **state) {
    struct inbox i = {.max = 40000};
    char scratch[SCRATCH];
    size_t stream = 0, taken = 0;
    (void)state;
    srand(1);
    for (int round = 0; round < 3000; round++) {
        if (inbox_room(&i)) come(&i, scratch, (size_t)(1 + rand() % 9000), &stream);
        for (int k = rand() % 3; k; k--) {
            struct bytes b = inbox_bytes(&i);
            for (size_t at = 0; at < b.len; at++) assert_int_equal(b.at[at], 'a' + (taken + at) % 26);
            size_t n = b.len ? (size_t)rand() % (b.len + 1) : 0;
            inbox_take(&i, n);
            taken += n;
        }
        inbox_keep(&i);
        assert_int_equal(inbox_bytes(&i).len, stream - taken);
    }
    inbox_drop(&i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_at_once_is_never_copied),
        cmocka_unit_test(what_is_left_moves_along),
        cmocka_unit_test(there_is_an_end),
        cmocka_unit_test(nothing_is_lost_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
