// SPDX-License-Identifier: MIT
// contrast: of what class a difference is, and how it is said.
#include "relay/contrast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct json *parse(const char *text) {
    struct err err;
    struct json *j = json_parse(bytes_of(text), &err);
    if (!j) fail_msg("%s: %s", text, err.text);
    return j;
}

static void check(enum journal_hook hook, const char *before, const char *after, enum contrast expected, const char *expected_words) {
    struct json *a = parse(before), *b = parse(after);
    struct buf words = {0};
    assert_string_equal(contrast_name[contrast_of(hook, a, b)], contrast_name[expected]);
    contrast_words(a, b, 2, &words);
    assert_string_equal(buf_z(&words), expected_words);
    buf_release(&words);
    json_free(&a);
    json_free(&b);
}

static void routes(void **state) {
    (void)state;
    check(JOURNAL_ROUTE, "{\"do\":\"wait\",\"wait_s\":5}", "{\"wait_s\":5,\"do\":\"wait\"}", CONTRAST_NONE, "");
    check(JOURNAL_ROUTE, "{\"do\":\"wait\",\"wait_s\":5}", "{\"wait_s\":6,\"do\":\"wait\"}", CONTRAST_OTHER, "wait_s: 5 -> 6");
    check(JOURNAL_ROUTE, "{\"do\":\"hold\"}", "{\"do\":\"wait\",\"wait_s\":5}", CONTRAST_REFUSAL, "do: hold -> wait, wait_s: nothing -> 5");
    check(JOURNAL_ROUTE, "{\"do\":\"send\",\"tls\":\"none\"}", "{\"do\":\"wait\",\"tls\":\"none\"}", CONTRAST_ROUTE, "do: send -> wait");
    check(JOURNAL_ROUTE, "{\"identity\":{\"name\":\"a\"},\"tls\":\"none\"}", "{\"identity\":{\"name\":\"b\"},\"tls\":\"none\"}", CONTRAST_IDENTITY,
          "identity.name: a -> b");
    check(JOURNAL_ROUTE, "{\"via\":{\"host\":\"a\"}}", "{\"via\":{\"host\":\"b\"}}", CONTRAST_ROUTE, "via.host: a -> b");
    check(JOURNAL_ROUTE, "{\"spend\":[1]}", "{\"spend\":[2]}", CONTRAST_LIMIT, "spend: [1] -> [2]");
}

static void others(void **state) {
    (void)state;
    check(JOURNAL_SENDER, "{\"kind\":\"accept\",\"where\":\"a.lua:1\"}", "{\"kind\":\"accept\",\"where\":\"b.lua:2\",\"version\":\"x\"}", CONTRAST_NONE, "");
    check(JOURNAL_SENDER, "{\"kind\":\"accept\"}", "{\"kind\":\"reject\",\"code\":550}", CONTRAST_REFUSAL, "kind: accept -> reject, code: nothing -> 550");
    check(JOURNAL_MESSAGE, "{\"kind\":\"accept\",\"tags\":{\"a\":1}}", "{\"kind\":\"accept\",\"tags\":{\"a\":2}}", CONTRAST_OTHER, "tags.a: 1 -> 2");
    check(JOURNAL_MESSAGE, "{\"kind\":\"accept\",\"spend\":[1]}", "{\"kind\":\"accept\",\"spend\":[1],\"limits\":[{\"used\":3}],\"room\":false,\"until\":\"x\",\"waits_for\":\"y\"}",
          CONTRAST_NONE, "");
    check(JOURNAL_RETRY, "{\"kind\":\"wait\",\"wait\":5}", "{\"kind\":\"give_up\",\"wait\":5}", CONTRAST_REFUSAL, "kind: wait -> give_up");
    check(JOURNAL_RETRY, "{\"kind\":\"wait\",\"wait\":5}", "{\"kind\":\"wait\",\"wait\":6}", CONTRAST_OTHER, "wait: 5 -> 6");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(routes), cmocka_unit_test(others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
