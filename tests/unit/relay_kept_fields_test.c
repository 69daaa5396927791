// SPDX-License-Identifier: MIT
// kept_fields: those that are named are kept, whole, and no others.
#include "relay/kept_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void takes(const char *names, const char *head, const char *expected) {
    struct arena arena = {0};
    struct kept_fields kept = kept_fields_of(bytes_of(names), &arena);
    struct buf out = {0};
    kept_fields_take(&out, bytes_of(head), &kept);
    assert_string_equal(buf_z(&out), expected);
    buf_release(&out);
    arena_release(&arena);
}

static void fields(void **state) {
    (void)state;
    static const char head[] = "Received: from a\r\n\tby b\r\nFROM: x\r\n y\r\nSubject: s\n From: z\r\nno field\r\nList-ID: l\r\nX: 1\r\n\r\nFrom: body\r\n";
    takes("From List-ID", head, "FROM: x\r\n y\r\nList-ID: l\r\n");
    takes("Received", head, "Received: from a\r\n\tby b\r\n");
    takes("subject", head, "Subject: s\n From: z\r\n");
    takes("X", head, "X: 1\r\n");
    takes("", head, "");
    takes("From", "", "");
    takes("From", "From: without an end", "From: without an end");
    takes("From", " From: f\r\nTo: t\r\nFrom", "");
    takes("No-Such Reply-To", head, "");
    takes("Subject List-ID", "Subject : a\r\n\tb\r\nSubject\r\nList-IDs: 1\r\nlist-id\t: 2\r\n", "Subject : a\r\n\tb\r\nlist-id\t: 2\r\n");
}

static void names(void **state) {
    (void)state;
    struct arena arena = {0};
    struct kept_fields kept = kept_fields_of(BYTES("From List-ID"), &arena);
    assert_true(kept_fields_has(&kept, BYTES("list-id")) && kept_fields_has(&kept, BYTES("From")));
    assert_false(kept_fields_has(&kept, BYTES("Fro")) || kept_fields_has(&kept, BYTES("From List-ID")));
    assert_int_not_equal(kept.hash, kept_fields_of(BYTES("From"), &arena).hash);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields), cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
