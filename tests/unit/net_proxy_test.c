// SPDX-License-Identifier: MIT
#include "net/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

struct row {
    struct bytes in;
    enum proxy_result result;
    const char *peer, *local; // "" where there is none
};

static void expect(struct row row, const char *what) {
    struct addr peer, local;
    char text[ADDR_TEXT];
    size_t used = 99;
    struct err err = {""};
    enum proxy_result result = proxy_parse(row.in, &used, &peer, &local, &err);
    if (result != row.result) fail_msg("%s: %d, %s", what, result, err.text);
    addr_text(&peer, text);
    assert_string_equal(text, row.peer ? row.peer : "");
    addr_text(&local, text);
    assert_string_equal(text, row.local ? row.local : "");
    assert_int_equal(used, result == PROXY_DONE ? row.in.len : 0);
    assert_int_equal(err.text[0] != 0, result == PROXY_BAD);
    if (result != PROXY_DONE) return;
    // What follows the header is not touched, and every shorter piece of it is not enough.
    char more[PROXY_MAX + 10];
    memcpy(more, row.in.at, row.in.len);
    memcpy(more + row.in.len, "EHLO\r\n", 6);
    assert_int_equal(proxy_parse(bytes_range(more, row.in.len + 6), &used, &peer, &local, NULL), PROXY_DONE);
    assert_int_equal(used, row.in.len);
    for (size_t n = 0; n < row.in.len; n++)
        assert_int_equal(proxy_parse(bytes_first(row.in, n), &used, &peer, &local, NULL), PROXY_MORE);
}

static void version_1(void **state) {
    (void)state;
    static const struct {
        const char *in;
        enum proxy_result result;
        const char *peer, *local;
    } rows[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n", PROXY_DONE, "192.0.2.1:56324", "198.51.100.2:25"},
        {"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", PROXY_DONE, "[2001:db8::1]:1", "[::1]:65535"},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 0 25\r\n", PROXY_DONE, "192.0.2.1:0", "198.51.100.2:25"},
        {"PROXY UNKNOWN\r\n", PROXY_DONE, "", ""},
        {"PROXY UNKNOWN ffff::1 whatever x y\r\n", PROXY_DONE, "", ""},
        {"", PROXY_MORE, "", ""},
        {"EHLO x\r\n", PROXY_BAD, "", ""},
        {"PROXYTCP4", PROXY_BAD, "", ""},
        {"proxy TCP4 192.0.2.1 198.51.100.2 56324 25\r\n", PROXY_BAD, "", ""},
        {"PROXY \r\n", PROXY_BAD, "", ""},
        {"PROXY \n", PROXY_BAD, "", ""},
        {"PROXY TCP4\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25 \r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25 26\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4  192.0.2.1 198.51.100.2 56324 25\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r \r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 025\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 192.0.2.1:9 198.51.100.2 1 25\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 2001:db8::1 ::1 1 2\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP6 [::1]:5 ::1 1 2\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP5 ::1 ::1 1 2\r\n", PROXY_BAD, "", ""},
        {"PROXY TCP4 unix:/x unix:/y 1 2\r\n", PROXY_BAD, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect((struct row){bytes_of(rows[i].in), rows[i].result, rows[i].peer, rows[i].local}, rows[i].in);
    expect((struct row){bytes_range("PROXY UNKNOWN \0\r\n", 17), PROXY_BAD, "", ""}, "NUL");
}

static void version_1_is_bounded(void **state) {
    (void)state;
    char line[200] = "PROXY UNKNOWN ";
    memset(line + 14, 'x', sizeof line - 14);
    expect((struct row){bytes_range(line, 106), PROXY_MORE, "", ""}, "106");
    expect((struct row){bytes_range(line, 107), PROXY_BAD, "", ""}, "107");
    memcpy(line + 105, "\r\n", 2);
    expect((struct row){bytes_range(line, 107), PROXY_DONE, "", ""}, "just fits");
    memcpy(line + 105, "x\r\n", 3);
    expect((struct row){bytes_range(line, 108), PROXY_BAD, "", ""}, "just not");
}

#define V4 "\x7f\0\0\x01\x0a\0\0\x02\x10\x00\0\x19"
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x30\x39\x02\x4b"
#define ROW(literal, result, peer, local)                                                                    \
    { {literal, sizeof(literal) - 1}, result, peer, local }

static void version_2(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW(SIGNATURE "\x21\x11\0\x0c" V4, PROXY_DONE, "127.0.0.1:4096", "10.0.0.2:25"),
        ROW(SIGNATURE "\x21\x21\0\x24" V6, PROXY_DONE, "[2001:db8::1]:12345", "[::1]:587"),
        ROW(SIGNATURE "\x21\x11\0\x10" V4 "\x04\0\x01.", PROXY_DONE, "127.0.0.1:4096",
            "10.0.0.2:25"),                                       // a TLV
        ROW(SIGNATURE "\x20\0\0\0", PROXY_DONE, "", ""),          // LOCAL
        ROW(SIGNATURE "\x20\x11\0\x0c" V4, PROXY_DONE, "", ""),   // LOCAL, addresses not to be used
        ROW(SIGNATURE "\x20\xff\0\x02xx", PROXY_DONE, "", ""),    // LOCAL, family not looked at
        ROW(SIGNATURE "\x21\0\0\0", PROXY_DONE, "", ""),          // unspecified
        ROW(SIGNATURE "\x21\x01\0\0", PROXY_DONE, "", ""),        // unspecified
        ROW(SIGNATURE "\x11\x11\0\x0c" V4, PROXY_BAD, "", ""),    // version 1 in binary
        ROW(SIGNATURE "\x22\x11\0\x0c" V4, PROXY_BAD, "", ""),    // command
        ROW(SIGNATURE "\x21\x12\0\x0c" V4, PROXY_BAD, "", ""),    // datagrams
        ROW(SIGNATURE "\x21\x41\0\x0c" V4, PROXY_BAD, "", ""),    // family
        ROW(SIGNATURE "\x21\x11\0\x0b" V4, PROXY_BAD, "", ""),    // too short
        ROW(SIGNATURE "\x21\x21\0\x0c" V4, PROXY_BAD, "", ""),    // too short
        ROW(SIGNATURE "\x21\x31\0\x0c" V4, PROXY_BAD, "", ""),    // too short
        ROW(SIGNATURE "\x21\x11\xff\xff" V4, PROXY_BAD, "", ""),  // too long
        ROW(SIGNATURE "\x21\x11\x0f\xf0" V4, PROXY_MORE, "", ""), // as long as we take
        ROW(SIGNATURE "\x21\x11\x0f\xf1" V4, PROXY_BAD, "", ""),  // longer
        ROW("\r\n\r\n\0\r\nQUIX\n", PROXY_BAD, "", ""),
        ROW("\r\n\r\nEHLO", PROXY_BAD, "", ""),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(rows[i], "binary");
}

static void version_2_unix(void **state) {
    (void)state;
    char header[16 + 216] = SIGNATURE "\x21\x31\0\xd8";
    strcpy(header + 16, "/run/balancer");
    memset(header + 16 + 108, 'x', 108); // no NUL at its end
    char local[200] = "unix:";
    memset(local + 5, 'x', 108);
    expect((struct row){bytes_range(header, sizeof header), PROXY_DONE, "unix:/run/balancer", local}, "unix");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),
        cmocka_unit_test(version_1_is_bounded),
        cmocka_unit_test(version_2),
        cmocka_unit_test(version_2_unix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
