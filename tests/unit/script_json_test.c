// SPDX-License-Identifier: MIT
#include "script/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void reads_every_kind(void **state) {
    (void)state;
    struct err err;
    struct json *j = json_parse(BYTES("{\"t\":\"a\\u00e9\",\"i\":9007199254740993,\"f\":0.5,\"b\":true,\"n\":"
                                      "null,\"l\":[1,2,3],\"m\":{\"x\":\"y\"}}"),
                                &err);
    assert_non_null(j);
    assert_int_equal(json_kind(j), JSON_MAP);
    assert_int_equal(json_count(j), 7);
    struct bytes text;
    assert_true(json_text(json_get(j, "t"), &text));
    assert_true(bytes_equal(text, BYTES("a\xc3\xa9")));
    int64_t i;
    assert_true(json_int(json_get(j, "i"), &i));
    assert_true(i == INT64_C(9007199254740993));
    double f;
    assert_true(json_number(json_get(j, "f"), &f));
    assert_true(f == 0.5);
    assert_false(json_int(json_get(j, "f"), &i));
    bool b = false;
    assert_true(json_bool(json_get(j, "b"), &b));
    assert_true(b);
    assert_non_null(json_get(j, "n"));
    assert_int_equal(json_kind(json_get(j, "n")), JSON_NOTHING);
    assert_int_equal(json_count(json_get(j, "l")), 3);
    assert_true(json_int(json_item(json_get(j, "l"), 2), &i));
    assert_int_equal(i, 3);
    assert_null(json_item(json_get(j, "l"), 3));
    assert_true(json_text(json_get(json_get(j, "m"), "x"), &text));
    json_free(&j);
    assert_null(j);
    json_free(&j);
}

static void what_is_missing_reads_as_nothing(void **state) {
    (void)state;
    struct bytes text;
    int64_t i;
    double f;
    bool b;
    void *at = NULL;
    const struct json *value;
    assert_null(json_get(NULL, "x"));
    assert_null(json_item(NULL, 0));
    assert_int_equal(json_count(NULL), 0);
    assert_int_equal(json_kind(NULL), JSON_NOTHING);
    assert_false(json_text(NULL, &text) || json_int(NULL, &i) || json_number(NULL, &f) ||
                 json_bool(NULL, &b));
    assert_false(json_next(NULL, &at, &text, &value));
    struct json *list = json_parse(BYTES("[]"), NULL);
    assert_null(json_get(list, "x"));
    assert_false(json_next(list, &at, &text, &value));
    json_free(&list);
}

static void walks_a_map(void **state) {
    (void)state;
    struct json *j = json_parse(BYTES("{\"b\":2,\"a\":1,\"c\":3}"), NULL);
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    int64_t sum = 0;
    int seen = 0;
    while (json_next(j, &at, &name, &value)) {
        int64_t i;
        assert_true(json_int(value, &i));
        assert_int_equal(name.len, 1);
        assert_int_equal(name.at[0] - 'a' + 1, i);
        sum += i;
        seen++;
    }
    assert_int_equal(seen, 3);
    assert_int_equal(sum, 6);
    json_free(&j);
}

static void writes_equal_values_equally(void **state) {
    (void)state;
    struct buf out = {0};
    struct json *j = json_parse(BYTES(" { \"b\" : [ 1 , 2.5 , null ] , \"a\" : \"x\\n\" } "), NULL);
    json_write(j, &out);
    assert_string_equal(buf_z(&out), "{\"a\":\"x\\n\",\"b\":[1,2.5,null]}");
    json_free(&j);
    buf_release(&out);
}

static void refuses_what_is_not_json(void **state) {
    (void)state;
    static const struct bytes bad[] = {
        {NULL, 0},
        {"", 0},
        {"{", 1},
        {"{} x", 4},
        {"{\"a\":1,\"a\":2}", 13},
        {"\"\xff\"", 3},
        {"\"\\u0000\"", 8},
        {"\"\\ud800\"", 8},
        {"1e400", 5},
        {"99999999999999999999", 20},
        {"nul", 3},
        {"[1,]", 4},
        {"'a'", 3},
        {"\0", 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        struct json *j = json_parse(bad[i], &err);
        assert_null(j);
        assert_true(strncmp(err.text, "JSON, line ", 11) == 0);
    }
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 1000000 };
    char *deep = malloc(DEPTH);
    memset(deep, '[', DEPTH);
    struct err err;
    struct json *j = json_parse(bytes_range(deep, DEPTH), &err);
    assert_null(j);
    free(deep);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(what_is_missing_reads_as_nothing),
        cmocka_unit_test(walks_a_map),
        cmocka_unit_test(writes_equal_values_equally),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
