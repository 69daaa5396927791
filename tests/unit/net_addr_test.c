// SPDX-License-Identifier: MIT
#include "net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>

static struct addr parsed(const char *text) {
    struct addr a;
    struct err err = {""};
    if (!addr_parse(bytes_of(text), &a, &err)) fail_msg("%s: %s", text, err.text);
    return a;
}

static void round_trips(void **state) {
    (void)state;
    static const struct {
        const char *in, *out, *ip;
        int family;
        uint16_t port;
    } rows[] = {
        {"127.0.0.1:2525", "127.0.0.1:2525", "127.0.0.1", AF_INET, 2525},
        {"127.0.0.1", "127.0.0.1:0", "127.0.0.1", AF_INET, 0},
        {"0.0.0.0:65535", "0.0.0.0:65535", "0.0.0.0", AF_INET, 65535},
        {"[::1]:25", "[::1]:25", "::1", AF_INET6, 25},
        {"[::1]", "[::1]:0", "::1", AF_INET6, 0},
        {"::1", "[::1]:0", "::1", AF_INET6, 0},
        {"::", "[::]:0", "::", AF_INET6, 0},
        {"2001:db8::1:25", "[2001:db8::1:25]:0", "2001:db8::1:25", AF_INET6, 0},
        {"[::ffff:10.0.0.1]:25", "[::ffff:10.0.0.1]:25", "10.0.0.1", AF_INET6, 25},
        {"unix:/run/x", "unix:/run/x", "/run/x", AF_UNIX, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[ADDR_TEXT];
        struct addr a = parsed(rows[i].in);
        addr_text(&a, text);
        assert_string_equal(text, rows[i].out);
        addr_ip_text(&a, text);
        assert_string_equal(text, rows[i].ip);
        assert_int_equal(addr_family(&a), rows[i].family);
        assert_int_equal(addr_port(&a), rows[i].port);
    }
}

static void refuses(void **state) {
    (void)state;
    static const char *const rows[] = {"",
                                       "x",
                                       "localhost",
                                       "localhost:25",
                                       "127.0.0.1:",
                                       "127.0.0.1:65536",
                                       "127.0.0.1:-1",
                                       "127.0.0.1:+1",
                                       "127.0.0.1: 1",
                                       "127.0.0",
                                       "127.0.0.1.1",
                                       "127.0.0.256",
                                       "01.2.3.4",
                                       "[::1",
                                       "[::1]25",
                                       "[::1]:",
                                       "[127.0.0.1]:25",
                                       "::1::",
                                       "fe80::1%lo",
                                       "unix:",
                                       "unix:run/x",
                                       ":25",
                                       "[]:25",
                                       "127.0.0.1:000025",
                                       "[::1]:25x",
                                       " 127.0.0.1",
                                       "1:2:3:4:5:6:7:8:9"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct addr a;
        struct err err = {""};
        if (addr_parse(bytes_of(rows[i]), &a, &err)) fail_msg("'%s' was taken for an address", rows[i]);
        assert_true(err.text[0]);
        assert_false(addr_parse(bytes_of(rows[i]), &a, NULL));
    }
    struct addr a;
    assert_false(addr_parse(bytes_range("127.0.0.1\0.2", 12), &a, NULL));
    assert_false(addr_parse(bytes_range("unix:/a\0b", 9), &a, NULL));
    char path[200] = "unix:/";
    memset(path + 6, 'p', 150);
    assert_false(addr_parse(bytes_of(path), &a, NULL));
    path[5 + 107] = 0; // the longest that leaves room for the NUL
    assert_true(addr_parse(bytes_of(path), &a, NULL));
    char text[ADDR_TEXT];
    addr_text(&a, text);
    assert_string_equal(text, path);
}

static void none_is_harmless(void **state) {
    (void)state;
    struct addr none = {.len = 0}, some = parsed("127.0.0.1:1");
    char text[ADDR_TEXT] = "x";
    addr_text(&none, text);
    assert_string_equal(text, "");
    addr_ip_text(&none, text);
    assert_string_equal(text, "");
    addr_set_port(&none, 5);
    assert_int_equal(addr_port(&none), 0);
    assert_false(addr_same_ip(&none, &none));
    assert_false(addr_same_ip(&none, &some));
    assert_false(addr_is_loopback(&none));
    struct addr a;
    assert_false(addr_from_ip(AF_UNIX, "", 1, &a));
    assert_int_equal(a.len, 0);
}

static void compares(void **state) {
    (void)state;
    struct addr a = parsed("10.0.0.1:1"), b = parsed("10.0.0.1:2"), c = parsed("10.0.0.2:1");
    struct addr mapped = parsed("[::ffff:10.0.0.1]:9"), six = parsed("[2001:db8::1]:1");
    assert_true(addr_same_ip(&a, &b));
    assert_true(addr_same_ip(&a, &mapped));
    assert_false(addr_same_ip(&a, &c));
    assert_false(addr_same_ip(&a, &six));
    addr_set_port(&a, 99);
    assert_int_equal(addr_port(&a), 99);
    addr_set_port(&six, 99);
    assert_int_equal(addr_port(&six), 99);
    static const char *const here[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "unix:/x"};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        struct addr x = parsed(here[i]);
        assert_true(addr_is_loopback(&x));
    }
    static const char *const there[] = {"128.0.0.1", "0.0.0.0", "::", "::2", "::ffff:1.2.3.4"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        struct addr x = parsed(there[i]);
        assert_false(addr_is_loopback(&x));
    }
}

static void networks(void **state) {
    (void)state;
    static const struct {
        const char *net, *ip;
        bool has;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"10.0.0.0/8", "2001:db8::1", false},
        {"0.0.0.0/0", "200.1.1.1", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "1.2.3.4", false},
        {"192.168.1.128/25", "192.168.1.127", false},
        {"192.168.1.128/25", "192.168.1.128", true},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"10.0.0.0/8", "unix:/x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct network n;
        struct err err = {""};
        if (!network_parse(bytes_of(rows[i].net), &n, &err)) fail_msg("%s: %s", rows[i].net, err.text);
        struct addr a = parsed(rows[i].ip);
        if (network_has(&n, &a) != rows[i].has) fail_msg("%s %s", rows[i].net, rows[i].ip);
    }
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "::/129",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/0008",
                                      "10.0.0.1/8",
                                      "2001:db8::1/32",
                                      "10.0.0.0/8/8",
                                      "10.0.0.0:25/8",
                                      "x/8",
                                      "unix:/x",
                                      "::ffff:0.0.0.0/90",
                                      "10.0.0.128/24"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct network n;
        if (network_parse(bytes_of(bad[i]), &n, NULL)) fail_msg("'%s' was taken for a network", bad[i]);
    }
    struct err err;
    struct network n;
    assert_false(network_parse(BYTES("10.0.0.1/8"), &n, &err));
    assert_non_null(strstr(err.text, "10.0.0.0/8"));
}

static void public_or_not(void **state) {
    (void)state;
    const char *const inner[] = {"0.1.2.3",
                                 "10.0.0.1",
                                 "100.64.0.1",
                                 "100.127.255.255",
                                 "127.255.0.1",
                                 "169.254.1.1",
                                 "172.16.0.1",
                                 "172.31.255.255",
                                 "192.0.0.1",
                                 "192.168.1.1",
                                 "198.19.0.1",
                                 "224.0.0.1",
                                 "240.0.0.1",
                                 "255.255.255.255",
                                 "::",
                                 "::1",
                                 "fe80::1",
                                 "fec0::1",
                                 "fc00::1",
                                 "fdff::1",
                                 "ff02::1",
                                 "::ffff:10.0.0.1",
                                 "64:ff9b::127.0.0.1",
                                 "2002:7f00:1::1",
                                 "::7f00:1"};
    const char *const outer[] = {"1.1.1.1",        "9.255.255.255",    "11.0.0.0",       "100.63.255.255",
                                 "100.128.0.0",    "126.0.0.1",        "128.0.0.1",      "172.15.0.1",
                                 "172.32.0.1",     "192.0.1.1",        "198.17.0.1",     "198.20.0.1",
                                 "223.255.0.1",    "2001:db8::1",      "2a00::1",        "fe7f::1",
                                 "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"};
    struct addr a;
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++) {
        assert_true(addr_parse(bytes_of(inner[i]), &a, NULL));
        if (addr_is_public(&a)) fail_msg("%s", inner[i]);
    }
    for (size_t i = 0; i < sizeof outer / sizeof outer[0]; i++) {
        assert_true(addr_parse(bytes_of(outer[i]), &a, NULL));
        if (!addr_is_public(&a)) fail_msg("%s", outer[i]);
    }
    assert_true(addr_parse(BYTES("unix:/run/x"), &a, NULL));
    assert_false(addr_is_public(&a));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips), cmocka_unit_test(refuses),  cmocka_unit_test(none_is_harmless),
        cmocka_unit_test(compares),    cmocka_unit_test(networks), cmocka_unit_test(public_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
