// SPDX-License-Identifier: MIT
#include "cli/test_report.h"
#include "lab_kit.h"
#include "script/json.h"

static const struct story_result passed = {.title = {"all is \"well\" <&>", 17},
                                           .told_at = {"a.story.lua:2", 13},
                                           .passed = true,
                                           .failed_at = {"", 0},
                                           .failure = {"", 0},
                                           .trace = {"", 0},
                                           .took_us = 1500};
static const struct story_result failed = {.title = {"not\033[31m well", 13},
                                           .told_at = {"a.story.lua:5", 13},
                                           .failed_at = {"a.story.lua:7", 13},
                                           .failure = {"first <line>\n  second\033 line", 27},
                                           .trace = {"[{\"asked\":\"x\"}]", 15},
                                           .took_us = 250000};

// What a report printed.
static char *printed(struct test_report *r, void (*work)(struct test_report *r)) {
    char *text = NULL;
    size_t size = 0;
    r->out = open_memstream(&text, &size);
    r->file = BYTES("a.story.lua");
    work(r);
    fclose(r->out);
    return text;
}

static void both(struct test_report *r) {
    test_report_story(r, &passed);
    test_report_story(r, &failed);
    test_report_end(r);
}

static void people_get_lines(void **state) {
    (void)state;
    struct test_report r = {0};
    char *text = printed(&r, both);
    assert_string_equal(text, "ok    a.story.lua:2  all is \"well\" <&>\n"
                              "FAIL  a.story.lua:5  not?[31m well  (0.2 s)\n"
                              "      a.story.lua:7: first <line>\n"
                              "        second? line\n"
                              "1 passed, 1 failed\n");
    free(text);
    test_report_release(&r);
}

static void programs_get_objects(void **state) {
    (void)state;
    struct test_report r = {.json = true};
    char *text = printed(&r, both);
    struct bytes rest = bytes_of(text), told, failure;
    struct json *first = json_parse(bytes_cut(&rest, '\n'), NULL);
    struct json *second = json_parse(bytes_cut(&rest, '\n'), NULL);
    struct json *end = json_parse(bytes_cut(&rest, '\n'), NULL);
    int64_t n;
    bool good;
    assert_true(json_bool(json_get(first, "passed"), &good) && good);
    assert_null(json_get(first, "failure"));
    assert_true(json_bool(json_get(second, "passed"), &good) && !good);
    assert_true(json_text(json_get(second, "failure"), &failure) && bytes_equal(failure, failed.failure));
    assert_true(json_text(json_get(json_item(json_get(second, "trace"), 0), "asked"), &told));
    assert_true(json_int(json_get(end, "failed"), &n) && n == 1);
    assert_int_equal(rest.len, 0);
    json_free(&first);
    json_free(&second);
    json_free(&end);
    free(text);
    test_report_release(&r);
}

static void a_file_that_does_not_load_is_a_failed_story(void **state) {
    (void)state;
    struct test_report r = {.out = fopen("/dev/null", "we"), .file = BYTES("b.story.lua"), .junit = true};
    test_report_file(&r, "b.story.lua:1: no");
    assert_int_equal(r.failed, 1);
    assert_non_null(strstr(buf_z(&r.cases), "classname=\"b.story.lua\" name=\"the file loads\""));
    fclose(r.out);
    test_report_release(&r);
}

static void junit_is_well_formed(void **state) {
    (void)state;
    struct test_report r = {.junit = true};
    struct err err = {""};
    char *text = printed(&r, both), page[4000] = "", path[] = "/tmp/tidegate-junit-XXXXXX";
    close(mkstemp(path));
    if (!test_report_write_junit(&r, path, &err)) fail_msg("%s", err.text);
    FILE *f = fopen(path, "re");
    page[fread(page, 1, sizeof page - 1, f)] = 0;
    fclose(f);
    unlink(path);
    static const char *const parts[] = {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "tests=\"2\" failures=\"1\" time=\"0.252\"",
        "name=\"all is &quot;well&quot; &lt;&amp;&gt;\" time=\"0.002\"/>",
        "name=\"not?[31m well\"",
        "<failure message=\"first &lt;line&gt;\">a.story.lua:7\nfirst &lt;line&gt;\n  second? line</failure>",
        "</testsuites>\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(page, parts[i])) fail_msg("'%s' is not in: %s", parts[i], page);
    assert_false(test_report_write_junit(&r, "/nowhere/x.xml", &err));
    assert_non_null(strstr(err.text, "/nowhere/x.xml"));
    free(text);
    test_report_release(&r);
}

// ---- coverage

static void coverage_counts_lines_with_code(void **state) {
    (void)state;
    struct kit k;
    struct coverage_file f;
    kit_open(&k);
    kit_put(&k, "zoo.lua", "return 1\n");
    struct coverage *c = coverage_new(
        kit_bundle(&k, "local a = 1\nif a then\n  a = 2\n  -- words\n  a = 3\nend\na = 4\nreturn {}\n"));
    assert_true(coverage_at(c, 0, &f));
    assert_true(bytes_equal(f.name, BYTES("policy.lua")));
    assert_int_equal(f.lines, 6);
    assert_int_equal(f.ran, 0);
    assert_true(bytes_equal(f.never, BYTES("1-8")));
    static const int ran[] = {1, 2, 2, 8};
    for (size_t i = 0; i < 4; i++)
        coverage_mark(c, "policy.lua", ran[i]);
    coverage_mark(c, "policy.lua", -1);
    coverage_mark(c, "policy.lua", 4000);
    coverage_mark(c, "stdlib/route.lua", 3);
    assert_true(coverage_at(c, 0, &f));
    assert_int_equal(f.ran, 3);
    assert_true(bytes_equal(f.never, BYTES("3-7")));
    coverage_mark(c, "policy.lua", 5);
    assert_true(coverage_at(c, 0, &f));
    assert_true(bytes_equal(f.never, BYTES("3, 7")));
    assert_true(coverage_at(c, 1, &f));
    assert_true(bytes_equal(f.name, BYTES("zoo.lua")));
    assert_false(coverage_at(c, 2, &f)); // the library is not the operator's

    struct test_report r = {0};
    char *text = NULL;
    size_t size;
    r.out = open_memstream(&text, &size);
    test_report_coverage(&r, c);
    fclose(r.out);
    assert_string_equal(text, "policy.lua: 4 of 6 lines ran (66 %); never: 3, 7\nzoo.lua: not loaded as a part of the policy\n");
    free(text);
    coverage_free(&c);
    kit_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_get_lines),
        cmocka_unit_test(programs_get_objects),
        cmocka_unit_test(a_file_that_does_not_load_is_a_failed_story),
        cmocka_unit_test(junit_is_well_formed),
        cmocka_unit_test(coverage_counts_lines_with_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
