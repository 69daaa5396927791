// SPDX-License-Identifier: MIT
#include "relay/oauth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void requests_are_forms(void **state) {
    (void)state;
    struct buf body = {0};
    oauth_request(&body,
                  &(struct oauth_grant){.client_id = BYTES("a b&c"), .refresh_token = BYTES("1//x+y=")});
    assert_string_equal(buf_z(&body),
                        "grant_type=refresh_token&client_id=a%20b%26c&refresh_token=1%2F%2Fx%2By%3D");
    buf_reset(&body);
    oauth_request(&body, &(struct oauth_grant){.client_id = BYTES("c"),
                                               .client_secret = BYTES("s\xc3\xa4~"),
                                               .scope = BYTES("https://outlook.office365.com/.default")});
    assert_string_equal(
        buf_z(&body), "grant_type=client_credentials&client_id=c&client_secret=s%C3%A4~&scope=https%3A%2F%2F"
                      "outlook.office365.com%2F.default");
    buf_release(&body);
}

static void tokens_are_taken(void **state) {
    (void)state;
    static const struct {
        const char *body, *access, *refresh;
        int64_t life_s, refresh_life_s;
    } rows[] = {
        {"{\"access_token\":\"ya29.x\",\"expires_in\":3599,\"token_type\":\"Bearer\",\"scope\":\"s\"}",
         "ya29.x", "", 3599, 0},
        {"{\"access_token\":\"a\",\"expires_in\":\"1800\",\"refresh_token\":\"r2\",\"token_type\":"
         "\"bearer\"}",
         "a", "r2", 1800, 0},
        {"{\"access_token\":\"a\"}", "a", "", 3600, 0},
        {"{\"access_token\":\"a\",\"expires_in\":0}", "a", "", 10, 0},
        {"{\"access_token\":\"a\",\"expires_in\":-5}", "a", "", 10, 0},
        {"{\"access_token\":\"a\",\"expires_in\":1e300,\"refresh_token_expires_in\":604799}", "a", "",
         7776000, 604799},
        {"{\"access_token\":\"a\",\"expires_in\":null,\"refresh_token\":5}", "a", "", 3600, 0},
        {"{\"access_token\":\"a\",\"expires_in\":\"99999999999999999999\",\"refresh_token\":\"r\\u0001\"}",
         "a", "", 3600, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena = {0};
        struct oauth_answer a;
        struct err err = {""};
        bool lasting = true;
        if (!oauth_read(200, bytes_of(rows[i].body), &arena, &a, &lasting, &err))
            fail_msg("%s: %s", rows[i].body, err.text);
        assert_string_equal(a.access_token.at, rows[i].access);
        assert_string_equal(a.refresh_token.at, rows[i].refresh);
        assert_int_equal(a.life_s, rows[i].life_s);
        assert_int_equal(a.refresh_life_s, rows[i].refresh_life_s);
        assert_false(lasting);
        arena_release(&arena);
    }
}

static void refusals_have_words(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *body, *words;
        bool lasting;
    } rows[] = {
        {400,
         "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been\\r\\nexpired or revoked.\"}",
         "invalid_grant: Token has been  expired or revoked.", true},
        {401, "{\"error\":\"invalid_client\"}", "invalid_client", true},
        {200, "{\"error\":\"temporarily_unavailable\"}", "temporarily_unavailable", false},
        {400, "{\"error\":\"slow\\u001b[31m\",\"error_description\":\"\\u00e4\"}", "slow [31m:   ", false},
        {500, "<html>oops</html>", "the token endpoint answered 500, and not as JSON", false},
        {302, "", "the token endpoint answered 302, and not as JSON", false},
        {200, "[]", "the token endpoint answered 200, and not as JSON", false},
        {503, "{}", "the token endpoint answered 503 without a token", false},
        {500, "{\"access_token\":\"a\"}", "the token endpoint answered 500 without a token", false},
        {200, "{\"access_token\":\"\"}", "the token endpoint's access_token is none", false},
        {200, "{\"access_token\":\"a b\"}", "the token endpoint's access_token is none", false},
        {200, "{\"access_token\":\"a\\u0001auth\"}", "the token endpoint's access_token is none", false},
        {200, "{\"access_token\":{}}", "the token endpoint's access_token is none", false},
        {200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}",
         "the token endpoint gave a token that is not of type Bearer", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena = {0};
        struct oauth_answer a;
        struct err err = {""};
        bool lasting = !rows[i].lasting;
        assert_false(oauth_read(rows[i].status, bytes_of(rows[i].body), &arena, &a, &lasting, &err));
        assert_string_equal(err.text, rows[i].words);
        assert_int_equal(lasting, rows[i].lasting);
        arena_release(&arena);
    }
}

static void nothing_is_too_long(void **state) {
    (void)state;
    struct buf body = {0};
    struct arena arena = {0};
    struct oauth_answer a;
    struct err err = {""};
    bool lasting;
    buf_format(&body, "{\"access_token\":\"%0*d\"}", OAUTH_TOKEN_MAX, 0);
    assert_true(oauth_read(200, buf_bytes(&body), &arena, &a, &lasting, &err));
    buf_reset(&body);
    buf_format(&body, "{\"access_token\":\"%0*d\"}", OAUTH_TOKEN_MAX + 1, 0);
    assert_false(oauth_read(200, buf_bytes(&body), &arena, &a, &lasting, &err));
    buf_reset(&body);
    buf_format(&body, "{\"error\":\"%0100000d\",\"error_description\":\"%0100000d\"}", 0, 0);
    assert_false(oauth_read(400, buf_bytes(&body), &arena, &a, &lasting, &err));
    assert_int_equal(strlen(err.text), 402);
    buf_release(&body);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_forms),
        cmocka_unit_test(tokens_are_taken),
        cmocka_unit_test(refusals_have_words),
        cmocka_unit_test(nothing_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
