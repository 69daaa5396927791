// SPDX-License-Identifier: MIT
// metrics: each sample stands below its own help and type, once; what the row lacks is left out; texts cannot break a line.
#include "cli/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void of(const char *json, struct buf *out) {
    struct err err;
    struct json *row = json_parse(bytes_of(json), &err);
    assert_non_null(row);
    metrics_of_status(out, row);
    json_free(&row);
}

static size_t count(const char *text, const char *what) {
    size_t n = 0;
    for (; (text = strstr(text, what)); text++) n++;
    return n;
}

static void says_what_the_row_has(void **state) {
    (void)state;
    struct buf out = {0};
    of("{\"version\":\"1.2\",\"policy\":\"abc\",\"hostname\":\"a\\\"b\\\\c\\nd\",\"delivered\":9007199254740993,\"due\":3,\"held\":1,\"oldest_s\":61,\"draining\":true,"
       "\"store\":{\"has_room\":false},\"limits\":{\"connections\":100},\"connections\":\"many\"}", &out);
    const char *text = buf_z(&out);
    assert_non_null(strstr(text, "\ntidegate_up 1\n"));
    assert_non_null(strstr(text, "\ntidegate_info{version=\"1.2\",policy=\"abc\",hostname=\"a\\\"b\\\\c\\nd\"} 1\n"));
    assert_non_null(strstr(text, "\n# TYPE tidegate_delivered_recipients_total counter\ntidegate_delivered_recipients_total 9007199254740993\n"));
    assert_non_null(strstr(text, "\ntidegate_queue_recipients{state=\"due\"} 3\ntidegate_queue_recipients{state=\"held\"} 1\n"));
    assert_int_equal(count(text, "# TYPE tidegate_queue_recipients "), 1);
    assert_non_null(strstr(text, "\ntidegate_queue_oldest_seconds 61\n"));
    assert_non_null(strstr(text, "\ntidegate_draining 1\n"));
    assert_non_null(strstr(text, "\ntidegate_store_has_room 0\n"));
    assert_non_null(strstr(text, "\ntidegate_connections_limit{direction=\"in\"} 100\n"));
    assert_null(strstr(text, "\ntidegate_connections{")); // no number
    assert_null(strstr(text, "\ntidegate_memory_limit_bytes "));
    buf_release(&out);
}

static void an_empty_queue_has_no_age(void **state) {
    (void)state;
    struct buf out = {0};
    of("{}", &out);
    assert_non_null(strstr(buf_z(&out), "\ntidegate_queue_oldest_seconds 0\n"));
    buf_release(&out);
}

static void nobody_is_a_figure(void **state) {
    (void)state;
    struct buf out = {0};
    metrics_nobody(&out);
    assert_non_null(strstr(buf_z(&out), "\ntidegate_up 0\n"));
    assert_int_equal(count(buf_z(&out), "\n"), 3);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_row_has),
        cmocka_unit_test(an_empty_queue_has_no_age),
        cmocka_unit_test(nobody_is_a_figure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
