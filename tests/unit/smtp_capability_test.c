// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/capability.h"

static struct capability read(const char *text) {
    struct capability c = {0};
    struct bytes rest = bytes_of(text);
    while (rest.len) capability_line(&c, bytes_cut(&rest, '\n'));
    return c;
}

static void reads_what_is_offered(void **state) {
    (void)state;
    struct capability c = read("mx.test\nPIPELINING\nSIZE 1000\n8bitmime\nSMTPUTF8\nDSN\nSTARTTLS\nCHUNKING\nENHANCEDSTATUSCODES\nAUTH LOGIN plain XOAUTH2\nX-OTHER");
    assert_true(c.pipelining && c.size && c.eightbitmime && c.smtputf8 && c.dsn && c.starttls && c.chunking && c.enhanced);
    assert_true(c.auth_plain && c.auth_login && c.auth_xoauth2);
    assert_int_equal(c.size_max, 1000);
}

static void the_first_line_offers_nothing(void **state) {
    (void)state;
    struct capability c = read("STARTTLS\nPIPELINING");
    assert_true(!c.starttls && c.pipelining);
}

static void odd_lines_offer_nothing_they_do_not_say(void **state) {
    (void)state;
    struct capability c = read("mx\nPIPELININGX\nSIZE lots\n\n  \nAUTH\nSTARTTLS \nAUTH=LOGIN");
    assert_true(!c.pipelining && c.starttls && c.size && c.size_max == 0);
    assert_true(c.auth_login && !c.auth_plain);
    c = read("mx\nSIZE 99999999999999999999999\nSIZEX 3");
    assert_int_equal(c.size_max, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_offered),
        cmocka_unit_test(the_first_line_offers_nothing),
        cmocka_unit_test(odd_lines_offer_nothing_they_do_not_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
