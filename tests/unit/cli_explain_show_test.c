// SPDX-License-Identifier: MIT
// explain_show: rows become lines of 100 columns at most, and nothing in them is obeyed by a terminal.
#include "cli/explain_show.h"
#include "cli/show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char *page;

static void show(const char *row) {
    size_t len = 0;
    struct err err;
    struct json *j = json_parse(bytes_of(row), &err);
    if (!j) fail_msg("%s", err.text);
    free(page);
    page = NULL;
    struct explain_page p = {.out = open_memstream(&page, &len), .now_ms = 1767603600000};
    explain_show_row(&p, j);
    fclose(p.out);
    json_free(&j);
    for (struct bytes rest = bytes_range(page, len); rest.len;) assert_true(show_columns(bytes_cut(&rest, '\n')) <= 100);
}

static void has(const char *part) {
    if (!strstr(page, part)) fail_msg("'%s' is not in:\n%s", part, page);
}

static void a_way_says_why_it_is_taken_or_not(void **state) {
    (void)state;
    show("{\"step\":\"hook\",\"hook\":\"route\",\"of\":\"b@b.example\",\"decision\":{\"kind\":\"send\",\"where\":\"policy.lua:4\",\"because\":\"x\",\"goes\":2,"
         "\"plan\":{\"via\":{\"kind\":\"direct\"},\"otherwise\":{\"via\":{\"kind\":\"relay\",\"host\":\"h.example\",\"port\":25}}},"
         "\"looked\":[{\"looked_up\":\"mx b.example\",\"found\":1,\"answers\":[\"10 mx.b.example\"]},{\"looked_up\":\"mx b.example\",\"found\":1,\"answers\":[\"10 mx.b.example\"]},"
         "{\"pool\":{\"by\":\"sender\",\"members\":[{\"name\":\"p\",\"candidate\":1},{\"name\":\"q\",\"why\":\"not enabled\"}]}}],"
         "\"ways\":[{\"do\":\"send\",\"identity\":\"one\",\"tls\":\"none\",\"room\":false,\"because\":\"first\",\"limits\":[{\"key\":\"k\",\"window_s\":3600,\"cap\":5,\"used\":5,\"left\":0,"
         "\"room\":false,\"room_at\":\"2026-01-05T10:00:00.000Z\"}]},{\"do\":\"send\",\"identity\":\"two\",\"tls\":\"verify\",\"room\":true,\"because\":\"second\"}]}}");
    has("route         b@b.example: send, policy.lua:4: x\n");
    has("looked up     mx b.example: 10 mx.b.example\n");
    assert_null(strstr(strstr(page, "looked up") + 1, "looked up")); // the same twice is said once
    has("p is candidate 1; q is not: not enabled");
    has("way 1         one by direct, tls none -- no room\n");
    has("k: 5 of 5 used in any 1h, 0 left; no room before ");
    has("way 2         two by relay h.example:25, tls verify -- TAKEN\n");
}

static void fates_are_told_in_words(void **state) {
    (void)state;
    show("{\"step\":\"fate\",\"recipient\":\"b@b.example\",\"fate\":\"waits\",\"waits_for\":\"lane\"}");
    has("b@b.example would wait until an operator resumes its lane\n");
    show("{\"step\":\"fate\",\"recipient\":\"b@b.example\",\"fate\":\"waits\",\"waits_for\":\"k\",\"until\":\"2026-01-05T10:00:00.000Z\"}");
    has("for room in k\n");
    show("{\"step\":\"fate\",\"recipient\":\"b@b.example\",\"fate\":\"refused\",\"reply\":\"550 5.7.1 no\",\"where\":\"policy.lua:1\"}");
    has("b@b.example would be refused: 550 5.7.1 no\n");
    show("{\"step\":\"waits\",\"recipient\":\"b@b.example\",\"for\":\"lane\",\"lane\":\"a|b|c\",\"paused\":true}");
    has("b@b.example waits for lane a|b|c, which an operator has paused\n");
}

static void a_terminal_obeys_nothing_and_long_words_fold(void **state) {
    (void)state;
    show("{\"step\":\"fate\",\"recipient\":\"b\\u001b[2J@b.example\",\"fate\":\"bounces\",\"reply\":\"550 a word and another and another and another and another and another "
         "and another and another and another\"}");
    assert_null(strchr(page, 27));
    assert_non_null(strchr(page, '\n'));
    show("{\"step\":\"of another kind\"}");
    assert_string_equal(page, "");
}

int main(void) {
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_way_says_why_it_is_taken_or_not),
        cmocka_unit_test(fates_are_told_in_words),
        cmocka_unit_test(a_terminal_obeys_nothing_and_long_words_fold),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(page);
    return failed;
}
