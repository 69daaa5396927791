// SPDX-License-Identifier: MIT
#include "cli/letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

static struct buf out;

static const char *write_letter(struct letter l) {
    static const char *const to[] = {"a@example.net", "b@example.net"};
    l.to = to;
    l.to_count = 2;
    l.from = l.from ? l.from : "me@example.org";
    l.host = "here";
    l.subject = l.subject ? l.subject : "hello";
    buf_reset(&out);
    letter_write(&l, 1795359845678, &out);
    return buf_z(&out);
}

static int release(void **state) {
    (void)state;
    buf_release(&out);
    return 0;
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("'%s' is not in:\n%s", part, text);
}

static void a_header_is_made(void **state) {
    (void)state;
    const char *text = write_letter((struct letter){.body = BYTES("one\ntwo")});
    assert_has(text, "Date: Sun, 22 Nov 2026 15:04:05 +0000\r\n");
    assert_has(text, "From: <me@example.org>\r\nTo: <a@example.net>,\r\n <b@example.net>\r\nSubject: "
                     "hello\r\nMessage-ID: <");
    assert_has(text, "@here>\r\nMIME-Version: 1.0\r\n");
    assert_has(text, "Content-Transfer-Encoding: 7bit\r\n\r\none\r\ntwo\r\n");
    char first[2048];
    snprintf(first, sizeof first, "%s", text);
    assert_string_not_equal(first,
                            write_letter((struct letter){.body = BYTES("one\ntwo")})); // another Message-ID
}

static void what_is_given_is_not_made(void **state) {
    (void)state;
    static const char *const headers[] = {"subject: mine", "Message-ID: <x@y>", "X-A: b"};
    const char *text = write_letter((struct letter){.headers = headers, .header_count = 3, .from = ""});
    assert_has(text, "subject: mine\r\nMessage-ID: <x@y>\r\nX-A: b\r\n\r\n");
    assert_null(strstr(text, "Subject: hello"));
    assert_has(text, "From: <MAILER-DAEMON>\r\n");
}

static void other_letters_than_ascii(void **state) {
    (void)state;
    const char *text = write_letter((struct letter){.subject = "Grüße", .body = BYTES("ü\n")});
    assert_has(text, "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n");
    assert_has(text, "Content-Transfer-Encoding: 8bit\r\n");
    text = write_letter(
        (struct letter){.subject = "ääääääääääääääääääääääää"}); // 48 bytes: two words, no character halved
    assert_has(text, "Subject: =?utf-8?B?w6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6Q=?=\r\n "
                     "=?utf-8?B?w6TDpA==?=\r\n");
    assert_true(letter_has_8bit(BYTES("\xc3\xbc")));
    assert_false(letter_has_8bit(BYTES("u")));
}

static void line_ends_become_crlf(void **state) {
    (void)state;
    buf_reset(&out);
    letter_lines(BYTES("a\nb\r\n\n.\r\nlast"), &out);
    assert_string_equal(buf_z(&out), "a\r\nb\r\n\r\n.\r\nlast\r\n");
    buf_reset(&out);
    letter_lines(BYTES(""), &out);
    assert_int_equal(out.len, 0);
}

static void headers_are_checked(void **state) {
    (void)state;
    struct err err;
    assert_true(letter_check_header("X-A: b", &err));
    assert_true(letter_check_header("X:", &err));
    static const char *const bad[] = {"", "X-A", ": b", "X A: b", "X-A: b\nBcc: c", "X-A: b\r", "Ü: b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (letter_check_header(bad[i], &err)) fail_msg("'%s' was taken", bad[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_made),         cmocka_unit_test(what_is_given_is_not_made),
        cmocka_unit_test(other_letters_than_ascii), cmocka_unit_test(line_ends_become_crlf),
        cmocka_unit_test(headers_are_checked),
    };
    return cmocka_run_group_tests_name("cli/letter", tests, NULL, release);
}
