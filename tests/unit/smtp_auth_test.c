// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/auth.h"

static void plain(void **state) {
    (void)state;
    struct auth a = {0};
    assert_true(auth_start(&a, BYTES("plain")));
    assert_int_equal(auth_ask(&a), AUTH_MORE);
    assert_true(bytes_equal(a.challenge, BYTES("334 \r\n")));
    assert_int_equal(auth_feed(&a, BYTES("egBqb2UAc2VjcmV0")), AUTH_WHOLE);
    assert_string_equal(a.login.mechanism, "PLAIN");
    assert_true(bytes_equal(a.login.authzid, BYTES("z")));
    assert_true(bytes_equal(a.login.user, BYTES("joe")));
    assert_true(bytes_equal(a.login.password, BYTES("secret")));
    auth_wipe(&a);
    assert_null(a.text.at);
}

static void login(void **state) {
    (void)state;
    struct auth a = {0};
    assert_true(auth_start(&a, BYTES("LOGIN")));
    assert_int_equal(auth_ask(&a), AUTH_MORE);
    assert_int_equal(auth_feed(&a, BYTES("am9l")), AUTH_MORE);
    assert_true(bytes_equal(a.challenge, BYTES("334 UGFzc3dvcmQ6\r\n")));
    assert_int_equal(auth_feed(&a, BYTES("c2VjcmV0")), AUTH_WHOLE);
    assert_true(bytes_equal(a.login.user, BYTES("joe")) && bytes_equal(a.login.password, BYTES("secret")));
    assert_int_equal(a.login.authzid.len, 0);
    auth_wipe(&a);
}

static void refuses_what_is_malformed(void **state) {
    (void)state;
    struct auth a = {0};
    assert_false(auth_start(&a, BYTES("CRAM-MD5")));
    // no NUL; three; no user; no password; not base64; not UTF-8; nothing
    static const char *const bad[] = {"am9l", "AGEAYgA=", "AABi", "AGEA", "AGE", "AGEA/w==", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(auth_start(&a, BYTES("PLAIN")));
        assert_int_equal(auth_feed(&a, bytes_of(bad[i])), AUTH_BAD);
    }
    assert_true(auth_start(&a, BYTES("LOGIN")));
    assert_int_equal(auth_feed(&a, BYTES("*")), AUTH_CANCELLED);
    assert_true(auth_start(&a, BYTES("LOGIN")));
    assert_int_equal(auth_feed(&a, BYTES("")), AUTH_BAD);
    assert_true(auth_start(&a, BYTES("LOGIN")));
    assert_int_equal(auth_feed(&a, BYTES("YQA=")), AUTH_MORE);
    assert_int_equal(auth_feed(&a, BYTES("YQ==")), AUTH_BAD); // a NUL in the name
    auth_wipe(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(login),
        cmocka_unit_test(refuses_what_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
