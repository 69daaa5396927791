// SPDX-License-Identifier: MIT
#include "mail/words.h"

#include "base/utf8.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static void decodes_words(void **state) {
    (void)state;
    static const struct {
        const char *raw, *text;
    } rows[] = {
        {"plain = text =? with =?= marks", "plain = text =? with =?= marks"},
        {"=?UTF-8?Q?J=C3=B8rn_Doe?=", "J\xc3\xb8rn Doe"},
        {"=?utf-8?b?SsO4cm4=?= <j@x>", "J\xc3\xb8rn <j@x>"},
        {"=?utf-8?b?SsO4cm4?=", "J\xc3\xb8rn"},
        {"=?iso-8859-1?q?caf=E9?= =?ISO-8859-1*fr?Q?=80?=", "caf\xc3\xa9\xe2\x82\xac"},
        {"=?us-ascii?q?a?= b =?us-ascii?q?c?=", "a b c"},
        {"=?utf-8?q?=C3?= \t =?utf-8?q?=B8?=", "\xc3\xb8"},
        {"=?utf-8?q?a b?=", "a b"},
        {"=?utf-8?q?=0D=0ABcc:_x=00?=", "  Bcc: x "},
        {"=?utf-8?q?=1B[31m?=", " [31m"},
        {"=?utf-8?q?=FF=zz=?=", "\xef\xbf\xbd=zz="},
        {"=?x-none?q?=C3?=", "=?x-none?q?=C3?="},
        {"=?koi8-r?q?=F0=CF?= =?KOI8-R?B?3tTB?= x", "\xd0\x9f\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0 x"},
        {"[=?iso-8859-2?Q?odpowied=BC?=]", "[odpowied\xc5\xba]"},
        {"=?iso-2022-jp?b?GyRCSVQ=?= =?ISO-2022-JP?B?Ol8bKEI=?=", "\xe4\xb8\x8d\xe5\x9c\xa8"}, // split between words
        {"=?euc-jp?q?=C9=D4?= =?utf-8?q?a?= =?x-none?q?b?=", "\xe4\xb8\x8d" "a =?x-none?q?b?="},
        {"=?utf-8?b?YQ==YmM=?=", "abc"},
        {"=?utf-8?b?YWJjZA?= =?utf-8?b?Z?=", "abcd =?utf-8?b?Z?="},
        {"=?utf-8?b?YW Jj?=", "abc"},
        {"=?utf-8?b?" "?=x", "x"},
        {"=?utf-8?x?abc?=", "=?utf-8?x?abc?="},
        {"=?utf-8?b?***?=", "=?utf-8?b?***?="},
        {"=?utf-8?q?open", "=?utf-8?q?open"},
        {"raw \xc3\xb8 \xff", "raw \xc3\xb8 \xef\xbf\xbd"},
        {"", ""},
        {"=", "="},
        {"=?", "=?"},
        {"=?utf-8?", "=?utf-8?"},
        {"=?utf-8?q?", "=?utf-8?q?"},
        {"=??q?a?=", "=??q?a?="},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&out);
        words_decode(&out, bytes_of(rows[i].raw));
        if (strcmp(buf_z(&out), rows[i].text)) fail_msg("'%s': '%s'", rows[i].raw, out.at);
        assert_true(utf8_is_valid(buf_bytes(&out)));
    }
    buf_release(&out);
}

// Each conversion may cost a file: a text of nothing but rare charsets has a bounded number of them.
static void converts_so_much(void **state) {
    (void)state;
    struct buf text = {0}, out = {0};
    for (int i = 0; i < 500; i++) buf_addz(&text, i % 2 ? "=?koi8-r?q?=C1?= " : "=?cp866?q?=A0?= ");
    words_decode(&out, buf_bytes(&text));
    assert_true(bytes_starts(buf_bytes(&out), BYTES("\xd0\xb0\xd0\xb0\xd0\xb0")));
    assert_true(bytes_ends_nocase(buf_bytes(&out), BYTES("=?cp866?q?=A0?==?koi8-r?q?=C1?= ")));
    buf_release(&text);
    buf_release(&out);
}

static void cleans(void **state) {
    (void)state;
    struct buf out = {0};
    words_clean(&out, BYTES("a\r\nb\0c\x1b[0m \x7f \xc2\x9b \xc3\xb8 \xff =?utf-8?q?a?="));
    assert_string_equal(buf_z(&out), "a  b c [0m     \xc3\xb8 \xef\xbf\xbd =?utf-8?q?a?=");
    buf_release(&out);
}

static void cuts_lines_between_characters(void **state) {
    (void)state;
    struct arena arena = {0};
    struct buf text = {0};
    for (int i = 0; i < 1000; i++)
        buf_addz(&text, "\xf0\x9f\x8c\x8a");
    for (size_t max = 0; max < 40; max++) {
        struct bytes line = words_line(&arena, buf_bytes(&text), max);
        assert_int_equal(line.len, max - max % 4);
        assert_true(utf8_is_valid(line));
    }
    assert_int_equal(words_line(&arena, BYTES("\xff\xff\xff\xff"), 8).len, 6); // each becomes three
    assert_true(bytes_equal(words_line(&arena, BYTES(" \r\n two words\t"), 99), BYTES("two words")));
    assert_int_equal(words_line(&arena, (struct bytes){0}, 9).len, 0);
    buf_release(&text);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_words),
        cmocka_unit_test(converts_so_much),
        cmocka_unit_test(cleans),
        cmocka_unit_test(cuts_lines_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
