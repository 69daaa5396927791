// SPDX-License-Identifier: MIT
#include "mail/notice.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static void words_fit_the_code(void **state) {
    (void)state;
    assert_string_equal(notice_words(BYTES("5.1.1")), notice_words(BYTES("4.1.1")));
    assert_non_null(strstr(notice_words(BYTES("5.2.2")), "full"));
    assert_non_null(strstr(notice_words(BYTES("5.1.99")), "address"));
    assert_non_null(strstr(notice_words(BYTES("4.7.5")), "proven"));
    assert_non_null(strstr(notice_words(BYTES("5.7.509")), "policy"));
    assert_non_null(strstr(notice_words(BYTES("5.99.1")), "no closer reason"));
    assert_non_null(strstr(notice_words(BYTES("")), "no closer reason"));
    assert_non_null(strstr(notice_words(BYTES("junk")), "no closer reason"));
}

static bool has(const struct buf *text, const char *needle) {
    return bytes_search(buf_bytes(text), bytes_of(needle)) >= 0;
}

static void says_what_became_of_it(void **state) {
    (void)state;
    const struct report_recipient to[] = {
        {.address = BYTES("late@example.net"),
         .action = REPORT_DELAYED,
         .status = BYTES("4.2.2"),
         .will_retry_until_ms = 1795359846000},
        {.address = BYTES("gone@example.net"),
         .status = BYTES("5.1.1"),
         .diagnostic = BYTES("550 no such user"),
         .from_peer = true,
         .remote = BYTES("mx.example.net")},
        {.address = BYTES("far@example.net"),
         .status = BYTES("5.4.4"),
         .diagnostic = BYTES("no MX and no address")},
    };
    struct report_in in = {.host = BYTES("gate.example.org"),
                           .id = 0x17,
                           .recipients = to,
                           .count = 3,
                           .head = BYTES("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n")};
    struct buf text = {0};
    notice_write(&text, &in);
    assert_true(has(&text, "gate.example.org"));
    assert_true(has(&text, "Subject: Gr\xc3\xbc\xc3\x9f"
                           "e\r\n"));
    assert_true(has(&text, "Reference: 0000000000000017\r\n"));
    assert_true(has(&text, "The server mx.example.net said:\r\n        550 no such user\r\n"));
    assert_true(has(&text, "In detail:\r\n        no MX and no address\r\n"));
    assert_true(has(&text, "until Sun, 22 Nov 2026 15:04:06 +0000"));
    ptrdiff_t gone = bytes_search(buf_bytes(&text), BYTES("<gone@")),
              late = bytes_search(buf_bytes(&text), BYTES("<late@"));
    assert_true(gone > 0 && gone < late); // failures first, whatever the order they came in
    buf_release(&text);
}

static void wraps_what_can_be_wrapped(void **state) {
    (void)state;
    struct buf words = {0}, text = {0};
    for (int i = 0; i < 400; i++)
        buf_addz(&words,
                 i == 7 ? "a-word-of-more-than-seventy-two-octets-that-stands-on-a-line-of-its-own-unbroken "
                        : "some  words\r\n");
    struct report_recipient to = {.address = BYTES("a@b"), .diagnostic = buf_bytes(&words)};
    struct report_in in = {.host = BYTES("gate"), .recipients = &to, .count = 1};
    notice_write(&text, &in);
    for (struct bytes rest = buf_bytes(&text); rest.len;) {
        ptrdiff_t end = bytes_search(rest, BYTES("\r\n"));
        assert_true(end >= 0);
        struct bytes line = bytes_first(rest, (size_t)end);
        assert_true(end <= 72 || bytes_search(line, BYTES("unbroken")) > 0);
        assert_true(bytes_find(line, '\n') < 0);
        rest = bytes_skip(rest, (size_t)end + 2);
    }
    buf_release(&words), buf_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_fit_the_code),
        cmocka_unit_test(says_what_became_of_it),
        cmocka_unit_test(wraps_what_can_be_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
