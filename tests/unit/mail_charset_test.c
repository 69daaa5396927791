// SPDX-License-Identifier: MIT
#include "mail/charset.h"

#include "base/utf8.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static void finds_names(void **state) {
    (void)state;
    assert_non_null(charset_find(BYTES("UTF-8")));
    assert_false(charset_needs_libc(charset_find(BYTES("us-ascii"))));
    assert_false(charset_needs_libc(charset_find(BYTES("ISO-8859-1"))));
    assert_true(charset_needs_libc(charset_find(BYTES("Shift_JIS"))));
    assert_null(charset_find(BYTES("")));
    assert_null(charset_find(BYTES("utf-8//TRANSLIT")));
    assert_null(charset_find(BYTES("ISO-2022-CN-EXT")));
    assert_null(charset_find(BYTES("../../tmp/x")));
}

static void decodes(void **state) {
    (void)state;
    static const struct {
        const char *charset;
        struct bytes in;
        const char *out;
    } rows[] = {
        {"utf-8", {"gr\xc3\xbc\xc3\x9f", 6}, "gr\xc3\xbc\xc3\x9f"},
        {"iso-8859-1", {"caf\xe9 \x80", 6}, "caf\xc3\xa9 \xe2\x82\xac"},
        {"iso-8859-2", {"odpowied\xbc", 9}, "odpowied\xc5\xba"},
        {"koi8-r", {"\xf0\xcf\xde\xd4\xc1", 5}, "\xd0\x9f\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0"},
        {"windows-1251", {"\xcf\xee", 2}, "\xd0\x9f\xd0\xbe"},
        {"iso-2022-jp", {"\x1b$BIT:_\x1b(B", 10}, "\xe4\xb8\x8d\xe5\x9c\xa8"},
        {"shift_jis", {"\x95\x73\x8d\xdd \xb1", 6}, "\xe4\xb8\x8d\xe5\x9c\xa8 \xef\xbd\xb1"},
        {"euc-jp", {"\xc9\xd4\xba\xdf", 4}, "\xe4\xb8\x8d\xe5\x9c\xa8"},
        {"gb2312", {"\xd7\xd4\xb6\xaf", 4}, "\xe8\x87\xaa\xe5\x8a\xa8"},
        {"big5", {"\xa6\xdb\xb0\xca", 4}, "\xe8\x87\xaa\xe5\x8b\x95"},
        {"ks_c_5601-1987", {"\xba\xce\xc0\xe7", 4}, "\xeb\xb6\x80\xec\x9e\xac"},
        {"utf-16", {"\xff\xfe" "a\0\xe9\0", 6}, "a\xc3\xa9"},
        {"utf-16be", {"\0a\0\xe9", 4}, "a\xc3\xa9"},
        {"utf-16le", {"a\0\x3d\xd8", 4}, "a\xef\xbf\xbd\xef\xbf\xbd"}, // half a pair
        {"euc-jp", {"a\xff" "b\xc9", 4}, "a\xef\xbf\xbd" "b\xef\xbf\xbd"},
        {"koi8-r", {"", 0}, ""},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&out);
        assert_true(charset_decode(&out, charset_find(bytes_of(rows[i].charset)), rows[i].in, SIZE_MAX));
        if (strcmp(buf_z(&out), rows[i].out)) fail_msg("%s: '%s'", rows[i].charset, out.at);
    }
    buf_release(&out);
}

static void is_bounded(void **state) {
    (void)state;
    static const char *const names[] = {"utf-8", "iso-8859-1", "koi8-r", "utf-16", "utf-7", "iso-2022-kr", "windows-1258", "big5-hkscs", "euc-tw", "gb18030"};
    char text[5000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 167 + i / 251);
    struct buf out = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t max = 0; max < 2000; max += 97) {
            buf_reset(&out);
            buf_addz(&out, "before");
            assert_true(charset_decode(&out, charset_find(bytes_of(names[i])), bytes_range(text, sizeof text), max));
            assert_true(out.len <= 6 + max + 8);
            assert_memory_equal(out.at, "before", 6);
        }
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_names),
        cmocka_unit_test(decodes),
        cmocka_unit_test(is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
