// SPDX-License-Identifier: MIT
#include "mail/header.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_bytes(struct bytes b, const char *z) {
    if (b.len != strlen(z) || memcmp(b.at, z, b.len)) fail_msg("'%.*s' is not '%s'", BYTES_FMT(b), z);
}

static void walks_fields(void **state) {
    (void)state;
    struct bytes rest =
        BYTES("Subject: one\r\n two\r\n\tthree\r\nX-Empty:\r\nOld \t: x\r\nFrom me\r\n"
              ": no name\r\nno colon at all\r\n folded\r\nB\rare: \n\r\nLast: y\r\n\r\nBody: no\r\n");
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"Subject", " one\r\n two\r\n\tthree"},
        {"X-Empty", ""},
        {"Old", " x"},
        {"", "From me"},
        {"", ": no name"},
        {"", "no colon at all\r\n folded"},
        {"", "B\rare: \n"},
        {"Last", " y"},
    };
    struct header_field f;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *before = rest.at;
        assert_true(header_next(&rest, &f));
        assert_bytes(f.name, rows[i].name);
        assert_bytes(f.value, rows[i].value);
        assert_ptr_equal(f.whole.at, before);
        assert_ptr_equal(f.whole.at + f.whole.len, rest.at);
    }
    assert_false(header_next(&rest, &f));
    assert_bytes(rest, "\r\nBody: no\r\n");
}

static void walks_odd_blocks(void **state) {
    (void)state;
    struct header_field f;
    struct bytes rest = BYTES(" leading fold\r\n more\r\nA: b");
    assert_true(header_next(&rest, &f));
    assert_int_equal(f.name.len, 0);
    assert_bytes(f.whole, " leading fold\r\n more\r\n");
    assert_true(header_next(&rest, &f));
    assert_bytes(f.name, "A");
    assert_bytes(f.value, " b");
    assert_false(header_next(&rest, &f));
    rest = BYTES("A:\r");
    assert_true(header_next(&rest, &f));
    assert_bytes(f.value, "\r");
    rest = (struct bytes){0};
    assert_false(header_next(&rest, &f));
}

static void gets_the_nth(void **state) {
    (void)state;
    struct bytes head = BYTES("Received: 1\r\nTo: a\r\nRECEIVED: 2\r\nreceived : 3\r\nX: y\r\n");
    struct header_field f;
    assert_true(header_get(head, BYTES("received"), 0, &f));
    assert_bytes(f.value, " 1");
    assert_true(header_get(head, BYTES("received"), 1, &f));
    assert_bytes(f.value, " 2");
    assert_true(header_get(head, BYTES("received"), -1, &f));
    assert_bytes(f.value, " 3");
    assert_false(header_get(head, BYTES("received"), 3, &f));
    assert_false(header_get(head, BYTES("recei"), 0, &f));
    assert_false(header_get(head, BYTES(""), 0, &f));
    assert_int_equal(header_count(head, BYTES("Received")), 3);
    assert_int_equal(header_count(head, BYTES("none")), 0);
}

static void unfolds(void **state) {
    (void)state;
    struct buf out = {0};
    header_unfold(&out, BYTES("  one\r\n two\r\n\t three \r\n"));
    assert_string_equal(buf_z(&out), "one two\t three");
    buf_reset(&out);
    header_unfold(&out, BYTES(" \r\n "));
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

static void edits(void **state) {
    (void)state;
    struct buf head = {0};
    assert_true(header_append(&head, BYTES("To"), BYTES(" you "), NULL));
    assert_true(header_prepend(&head, BYTES("Received"), BYTES("from\r\n there"), NULL));
    assert_true(header_append(&head, BYTES("X-A"), BYTES("1"), NULL));
    assert_true(header_append(&head, BYTES("X-B"), BYTES(""), NULL));
    assert_true(header_append(&head, BYTES("x-a"), BYTES("2"), NULL));
    assert_string_equal(buf_z(&head), "Received: from there\r\nTo: you\r\nX-A: 1\r\nX-B:\r\nx-a: 2\r\n");
    assert_true(header_replace(&head, BYTES("X-a"), BYTES("3"), NULL));
    assert_true(header_replace(&head, BYTES("X-C"), BYTES("new"), NULL));
    assert_int_equal(header_remove(&head, BYTES("TO")), 1);
    assert_int_equal(header_remove(&head, BYTES("TO")), 0);
    assert_string_equal(buf_z(&head), "Received: from there\r\nX-a: 3\r\nX-B:\r\nX-C: new\r\n");
    buf_release(&head);
}

static void edits_around_oddities(void **state) {
    (void)state;
    struct buf head = {0};
    buf_addz(&head, "garbage\r\nA: b\r\n\r\n");
    assert_true(header_append(&head, BYTES("C"), BYTES("d"), NULL));
    assert_true(header_replace(&head, BYTES("A"), BYTES("z"), NULL));
    assert_string_equal(buf_z(&head), "garbage\r\nA: z\r\nC: d\r\n\r\n");
    buf_reset(&head);
    buf_addz(&head, "A: b");
    assert_true(header_append(&head, BYTES("C"), BYTES("d"), NULL));
    assert_string_equal(buf_z(&head), "A: b\r\nC: d\r\n");
    struct header_field f; // a value that lies in the block itself
    assert_true(header_get(buf_bytes(&head), BYTES("A"), 0, &f));
    assert_true(header_replace(&head, f.name, f.value, NULL));
    assert_true(header_get(buf_bytes(&head), BYTES("C"), 0, &f));
    assert_true(header_prepend(&head, f.name, f.value, NULL));
    assert_string_equal(buf_z(&head), "C: d\r\nA: b\r\nC: d\r\n");
    assert_true(header_get(buf_bytes(&head), BYTES("C"), 0, &f));
    assert_int_equal(header_remove(&head, f.name), 2);
    assert_string_equal(buf_z(&head), "A: b\r\n");
    buf_release(&head);
}

static void refuses_injection(void **state) {
    (void)state;
    static const struct bytes values[] = {
        {"a\r\nBcc: x", 9}, {"a\nBcc: x", 8}, {"a\rb", 3}, {"a\r\n\r\nbody", 9}, {"a\0b", 3},
        {"a\r\n", 3},       {"a\r", 2},       {"\n", 1},   {"a\r\n b\r\nc", 9},
    };
    static const struct bytes names[] = {
        {"", 0}, {"A B", 3}, {"A:", 2}, {"A\r\n", 3}, {"\xc3\xbc", 2}, {"A\0", 2}, {"\t", 1},
    };
    struct buf head = {0};
    buf_addz(&head, "A: b\r\n");
    struct err err;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_false(header_append(&head, BYTES("X"), values[i], &err));
        assert_false(header_prepend(&head, BYTES("X"), values[i], &err));
        assert_false(header_replace(&head, BYTES("A"), values[i], &err));
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(header_append(&head, names[i], BYTES("v"), &err));
    assert_string_equal(buf_z(&head), "A: b\r\n");
    buf_release(&head);
}

static void check_lines(struct bytes head, size_t most) {
    while (head.len) {
        ptrdiff_t end = bytes_search(head, BYTES("\r\n"));
        assert_true(end > 0 && (size_t)end <= most);
        struct bytes line = bytes_first(head, (size_t)end);
        assert_true(bytes_trim(line).len > 0);
        head = bytes_skip(head, (size_t)end + 2);
    }
}

static void folds_long_values(void **state) {
    (void)state;
    struct buf head = {0}, value = {0}, back = {0};
    for (int i = 0; i < 2000; i++)
        buf_format(&value, "%sword%d", i ? i % 7 ? " " : "  \t" : "", i);
    assert_true(header_append(&head, BYTES("X-Long"), buf_bytes(&value), NULL));
    check_lines(buf_bytes(&head), 78);
    struct header_field f;
    assert_true(header_get(buf_bytes(&head), BYTES("X-Long"), 0, &f));
    header_unfold(&back, f.value);
    assert_int_equal(back.len, value.len);
    assert_memory_equal(back.at, value.at, value.len);

    buf_reset(&head), buf_reset(&value);
    for (int i = 0; i < 997; i++)
        buf_byte(&value, 'w');
    assert_true(header_append(&head, BYTES("Subject"), buf_bytes(&value), NULL));
    check_lines(buf_bytes(&head), 998);
    assert_true(bytes_starts(buf_bytes(&head), BYTES("Subject:\r\n w")));
    buf_byte(&value, 'w');
    struct err err = {{0}};
    assert_false(header_append(&head, BYTES("Subject"), buf_bytes(&value), &err));
    assert_non_null(strstr(err.text, "Subject"));
    buf_release(&head), buf_release(&value), buf_release(&back);
}

static void decodes_folded_words(void **state) {
    (void)state;
    struct buf out = {0};
    header_decode_words(&out, BYTES(" =?utf-8?q?J=C3=B8?=\r\n\t=?utf-8?b?cm4=?=\r\n <j@x>\r\n"));
    assert_string_equal(buf_z(&out), "J\xc3\xb8rn <j@x>");
    buf_release(&out);
}

// Each of these is a shape that a careless search makes quadratic; two megabytes would then take minutes.
static void stays_linear(void **state) {
    (void)state;
    static const char *const units[] = {"=?", "=?utf-8?q?", "=", "=?utf-8?q?a?= ", "?=", "\r\n "};
    struct buf text = {0}, out = {0};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        buf_reset(&text), buf_reset(&out);
        while (text.len < 2000000)
            buf_addz(&text, units[i]);
        header_decode_words(&out, buf_bytes(&text));
    }
    buf_reset(&text);
    while (text.len < 2000000)
        buf_addz(&text, "X:\r\n");
    assert_int_equal(header_count(buf_bytes(&text), BYTES("x")), 500000);
    assert_int_equal(header_remove(&text, BYTES("x")), 500000);
    assert_int_equal(text.len, 0);
    buf_release(&text), buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_fields),
        cmocka_unit_test(walks_odd_blocks),
        cmocka_unit_test(gets_the_nth),
        cmocka_unit_test(unfolds),
        cmocka_unit_test(edits),
        cmocka_unit_test(edits_around_oddities),
        cmocka_unit_test(refuses_injection),
        cmocka_unit_test(folds_long_values),
        cmocka_unit_test(decodes_folded_words),
        cmocka_unit_test(stays_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
