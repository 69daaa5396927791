// SPDX-License-Identifier: MIT
#include "cli/table.h"

#include "cli/show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

static const struct column columns[] = {{"ID", false, false}, {"SIZE", true, false}, {"WHY", false, true}};

static char *text;
static size_t size;
static FILE *out;

static struct table *open_table(int width) {
    out = open_memstream(&text, &size);
    return table_new(out, columns, 3, width);
}

static void assert_printed(struct table *t, const char *want) {
    table_free(&t);
    assert_null(t);
    fclose(out);
    assert_string_equal(text, want);
    free(text);
}

static void put(struct table *t, const char *a, const char *b, const char *c) {
    table_cellz(t, a);
    table_cellz(t, b);
    if (c) table_cellz(t, c);
    table_row(t);
}

static void columns_are_aligned(void **state) {
    (void)state;
    struct table *t = open_table(0);
    put(t, "a", "1", "because");
    put(t, "longer", "12345", NULL);
    put(t, "", "7", "müßig");
    assert_int_equal(table_rows(t), 3);
    assert_printed(t, "ID       SIZE  WHY\n"
                      "a           1  because\n"
                      "longer  12345\n"
                      "            7  müßig\n");
}

static void nothing_prints_nothing(void **state) {
    (void)state;
    assert_printed(open_table(80), "");
}

static void what_shrinks_gives_room(void **state) {
    (void)state;
    struct table *t = open_table(24);
    put(t, "abcdef", "1", "a reply of many words");
    put(t, "b", "12345", "ééééééééééé");
    assert_printed(t, "ID       SIZE  WHY\n"
                      "abcdef      1  a reply …\n"
                      "b       12345  éééééééé…\n");
    t = open_table(10); // not enough for what cannot shrink: wider than asked, but never less than readable
    put(t, "abcdef", "1", "a reply of many words");
    assert_printed(t, "ID      SIZE  WHY\nabcdef     1  a reply…\n");
}

static void late_rows_keep_the_columns(void **state) {
    (void)state;
    struct table *t = open_table(0);
    for (int i = 0; i < TABLE_SAMPLE; i++)
        put(t, "x", "1", "y");
    put(t, "much longer", "2", "z");
    fflush(out);
    assert_non_null(strstr(text, "\nm…     2  z\n"));
    table_free(&t);
    fclose(out);
    free(text);
}

static void terminals_are_not_obeyed(void **state) {
    (void)state;
    struct buf b = {0};
    show_clean(&b, BYTES("a\x1b[31mb\x07\r\n\tc\x7f\xc2\x9b"
                         "d\xe2\x80\xae"
                         "e\xff\xc3"));
    assert_string_equal(buf_z(&b), "a?[31mb?   c??d?e??");
    buf_reset(&b);
    show_clean(&b, BYTES("Grüße, 日本, 🌊"));
    assert_string_equal(buf_z(&b), "Grüße, 日本, 🌊");
    assert_int_equal(show_columns(buf_bytes(&b)), 15);
    struct buf cut = {0};
    show_cut(&cut, buf_bytes(&b), 10); // a wide character is not halved
    assert_string_equal(buf_z(&cut), "Grüße, 日…");
    buf_release(&b);
    buf_release(&cut);
}

static void assert_value(const char *name, const char *json, const char *want) {
    struct buf b = {0};
    struct json *value = json_parse(bytes_of(json), NULL);
    assert_non_null(value);
    show_value(&b, name, value);
    assert_string_equal(buf_z(&b), want);
    json_free(&value);
    buf_release(&b);
}

static void values_and_times(void **state) {
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    assert_value("uptime_s", "11520", "3h 12m");
    assert_value("size", "2150", "2.1 KiB");
    assert_value("count", "2150", "2150");
    assert_value("took_ms", "12", "12 ms");
    assert_value("draining", "false", "no");
    assert_value("x", "null", "-");
    assert_value("x", "\"a\\u001bb\"", "a?b");
    assert_value("x", "[1,\"b\",{\"c\":true}]", "1, b, c=yes");
    assert_value("due", "\"2026-11-22T15:04:05.678Z\"", "2026-11-22 15:04:05");
    assert_value("due", "\"2026-11-22T15:04:05.678+\"", "2026-11-22T15:04:05.678+");
    struct buf b = {0};
    show_relative(&b, 250000, 0);
    buf_byte(&b, '|');
    show_relative(&b, 0, 3600000);
    buf_byte(&b, '|');
    show_relative(&b, 5, 0);
    buf_byte(&b, '|');
    show_relative(&b, INT64_MIN, INT64_MAX);
    assert_non_null(strstr(buf_z(&b), "in 4m 10s|1h ago|now|"));
    buf_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_aligned),      cmocka_unit_test(nothing_prints_nothing),
        cmocka_unit_test(what_shrinks_gives_room),  cmocka_unit_test(late_rows_keep_the_columns),
        cmocka_unit_test(terminals_are_not_obeyed), cmocka_unit_test(values_and_times),
    };
    return cmocka_run_group_tests_name("cli/table, show", tests, NULL, NULL);
}
