// SPDX-License-Identifier: MIT
#include "script/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static size_t line_of(const char *text, const char *path) { return place_line(bytes_of(text), path); }

static void keys_are_found(void **state) {
    (void)state;
    const char *text = "-- return { hostname = 1 }\n"
                       "local common = { recipients = 7 }\n"
                       "return {\n"
                       "    hostname = \"a, { b } --\", -- limits = {\n"
                       "    --[[ limits = {\n"
                       "    } ]]\n"
                       "    ['log'] = [==[ x\n"
                       " ]=] ]==], [\"user\"] = 'it\\'s',\n"
                       "    store = { path = f(1, { path = 2 }); ceiling\n"
                       "        = 5, },\n"
                       "    listeners = {\n"
                       "        { kind = \"relay\", address = \"[::1]:25\" },\n"
                       "        { kind = \"submission\",\n"
                       "          allow = { \"a\",\n"
                       "            \"b\" } },\n"
                       "    },\n"
                       "    limits = common,\n"
                       "}\n";
    assert_int_equal(line_of(text, "hostname"), 4);
    assert_int_equal(line_of(text, "log"), 7);
    assert_int_equal(line_of(text, "user"), 8);
    assert_int_equal(line_of(text, "store"), 9);
    assert_int_equal(line_of(text, "store.path"), 9);
    assert_int_equal(line_of(text, "store.ceiling"), 9);
    assert_int_equal(line_of(text, "listeners[1].kind"), 12);
    assert_int_equal(line_of(text, "listeners[2]"), 13);
    assert_int_equal(line_of(text, "listeners[2].allow"), 14);
    assert_int_equal(line_of(text, "listeners[2].allow[2]"), 15);
}

static void what_is_not_there_stands_where_it_would(void **state) {
    (void)state;
    const char *text = "return {\n  limits = common,\n  listeners = {\n    { kind = \"relay\" } },\n}";
    assert_int_equal(line_of(text, "limits.recipients"), 2);
    assert_int_equal(line_of(text, "listeners[1].address"), 4);
    assert_int_equal(line_of(text, "listeners[2].address"), 3);
    assert_int_equal(line_of(text, "listeners[x]"), 3);
    assert_int_equal(line_of(text, "hostname"), 0);
    assert_int_equal(line_of(text, ""), 0);
}

static void any_text_is_read(void **state) {
    (void)state;
    const char *const texts[] = {"", "return", "return {", "return { a", "return { a =", "return { [", "return { ['a'", "return { 'a", "return { --[[", "return { [[",
                                 "return { a == b }", "return 5", "x = { a = 1 }", "return { }, { a = 1 }", "return { a = } }", "return { \\", "return { \"\\"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        line_of(texts[i], "a");
        line_of(texts[i], "a[1].b");
        line_of(texts[i], "[");
    }
    assert_int_equal(line_of("return { a = ", "a"), 1);
    assert_int_equal(line_of("x = { a = 1 }", "a"), 0);
    char *deep = malloc(200001);
    memset(deep, '{', 200000);
    memcpy(deep, "return {", 8);
    deep[200000] = 0;
    assert_int_equal(line_of(deep, "a"), 0);
    free(deep);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found),
        cmocka_unit_test(what_is_not_there_stands_where_it_would),
        cmocka_unit_test(any_text_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
