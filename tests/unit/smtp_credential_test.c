// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "smtp/credential.h"

static void expect_begin(struct credential *c, struct capability offered, const char *line) {
    struct buf out = {0};
    assert_int_equal(credential_begin(c, &offered, &out), line != NULL);
    assert_string_equal(buf_z(&out), line ? line : "");
    buf_release(&out);
}

static void expect_answer(struct credential *c, const char *line) {
    struct buf out = {0};
    assert_int_equal(credential_answer(c, &out), line != NULL);
    assert_string_equal(buf_z(&out), line ? line : "");
    buf_release(&out);
}

static void plain_goes_with_the_command(void **state) {
    struct credential c = {LOGIN_PASSWORD, "test", "1234", false, 0};
    (void)state;
    expect_begin(&c, (struct capability){.auth_plain = true, .auth_login = true}, "AUTH PLAIN AHRlc3QAMTIzNA==");
    expect_answer(&c, "AHRlc3QAMTIzNA==");
    expect_answer(&c, NULL);
}

static void login_is_asked_for_each(void **state) {
    struct credential c = {LOGIN_PASSWORD, "test", "1234", false, 0};
    (void)state;
    expect_begin(&c, (struct capability){.auth_login = true, .auth_xoauth2 = true}, "AUTH LOGIN");
    expect_answer(&c, "dGVzdA==");
    expect_answer(&c, "MTIzNA==");
    expect_answer(&c, NULL);
}

static void token_is_answered_with_nothing(void **state) {
    struct credential c = {LOGIN_XOAUTH2, "u", "t", false, 0};
    (void)state;
    expect_begin(&c, (struct capability){.auth_plain = true, .auth_login = true, .auth_xoauth2 = true},
                 "AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==");
    expect_answer(&c, "");
    expect_answer(&c, NULL);
}

static void a_mechanism_has_to_be_offered(void **state) {
    struct credential password = {LOGIN_PASSWORD, "test", "1234", false, 0}, token = {LOGIN_XOAUTH2, "u", "t", false, 0};
    (void)state;
    expect_begin(&password, (struct capability){.auth_xoauth2 = true}, NULL);
    expect_begin(&token, (struct capability){.auth_plain = true, .auth_login = true}, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_goes_with_the_command),
        cmocka_unit_test(login_is_asked_for_each),
        cmocka_unit_test(token_is_answered_with_nothing),
        cmocka_unit_test(a_mechanism_has_to_be_offered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
