// SPDX-License-Identifier: MIT
#include "relay/suppression_line.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct suppression_reader r;
static char told[3000];

static void init(enum suppression_format format) {
    suppression_reader_release(&r);
    suppression_reader_init(&r, format,
                            &(struct suppression){.scope = BYTES("all"),
                                                  .reason = BYTES("none given"),
                                                  .source = BYTES("import"),
                                                  .added_ms = 1763821804678});
}

// What a line comes to: its entry in one line, "-" for nothing, "!words" for a malformed one, "!!words" for
// an unusable head.
static const char *say(struct bytes line) {
    struct suppression s;
    struct err err = {""};
    char until[25] = "", added[25];
    switch (suppression_line_read(&r, line, &s, &err)) {
    case LINE_NOTHING:
        return "-";
    case LINE_BAD:
        snprintf(told, sizeof told, "!%s", err.text);
        return told;
    case LINE_UNUSABLE:
        snprintf(told, sizeof told, "!!%s", err.text);
        return told;
    case LINE_ENTRY:
        break;
    }
    if (s.until_ms) clock_iso(s.until_ms, until);
    clock_iso(s.added_ms, added);
    snprintf(told, sizeof told, "%.*s|%.*s|%.*s|%.16s|%.*s|%.10s", BYTES_FMT(s.address), BYTES_FMT(s.scope),
             BYTES_FMT(s.reason), until, BYTES_FMT(s.source), added);
    return told;
}

static void check(const char *line, const char *expected) {
    const char *said = say(bytes_of(line));
    bool good =
        expected[0] == '!' ? said[0] == '!' && strstr(said, expected + 1) : strcmp(said, expected) == 0;
    if (!good) fail_msg("'%s' came to '%s', not '%s'", line, said, expected);
}

static int tear_down(void **state) {
    (void)state;
    suppression_reader_release(&r);
    return 0;
}

static void csv_lines(void **state) {
    (void)state;
    init(SUPPRESSION_CSV);
    check("Bob@Example.NET", "bob@example.net|all|none given||import|2025-11-22");
    check("@Example.NET,stream:news", "@example.net|stream:news|none given||import|2025-11-22");
    check("bob@example.net,,asked us", "bob@example.net|all|asked us||import|2025-11-22");
    check("bob@example.net,all,\"one, \"\"two\"\"\",2030-01-02,old system,2024-05-06",
          "bob@example.net|all|one, \"two\"|2030-01-02T00:00|old system|2024-05-06");
    check(" bob@example.net , all , \" kept \" , 2030-01-02T03:04Z ,\r",
          "bob@example.net|all| kept |2030-01-02T03:04|import|2025-11-22");
    check("\"\"\"a b\"\"@example.net\",all", "\"a b\"@example.net|all|none given||import|2025-11-22");
    check("b\xc3\xb6@b\xc3\xbc"
          "cher.example",
          "b\xc3\xb6@xn--bcher-kva.example|all|none given||import|2025-11-22");
    check("", "-");
    check("  \r", "-");
    check("{bob}@example.net", "{bob}@example.net|all|none given||import|2025-11-22");
}

static void csv_faults(void **state) {
    (void)state;
    init(SUPPRESSION_CSV);
    check("first@example.net", "first@example.net|all|none given||import|2025-11-22");
    check("no address", "!");
    check("bob@", "!domain");
    check(",all", "!no address");
    check("bob@example.net,everybody", "!scope");
    check("bob@example.net,all,x,tomorrow", "!until: 'tomorrow' is no time");
    check("bob@example.net,all,x,,y,2026-13-01", "!added");
    check("bob@example.net,all,x,,y,,z", "!more than 6 fields");
    check("bob@example.net,all,\"x", "!closing quote");
    check("bob@example.net,all,\"x\"y", "!closing quote");
    check("bob@example.net,all,a\x01"
          "b",
          "!control character");
    check("bob@example.net,all,\xff", "!UTF-8");
    check("address,scope", "!"); // a head only stands first
    char longest[SUPPRESSION_LINE + 100];
    memset(longest, 'x', sizeof longest);
    assert_non_null(strstr(say(bytes_range(longest, SUPPRESSION_LINE + 1)), "longer than"));
    assert_non_null(strstr(say(BYTES("a\0b@example.net")), "!"));
    check("bob@example.net", "bob@example.net|all|none given||import|2025-11-22"); // and it goes on
}

static void a_head_names_the_columns(void **state) {
    (void)state;
    init(SUPPRESSION_CSV);
    check("\xef\xbb\xbf"
          "Reason,\"Address\" , until\r",
          "-");
    check("gone,bob@example.net,", "bob@example.net|all|gone||import|2025-11-22");
    init(SUPPRESSION_CSV);
    check("\xef\xbb\xbf"
          "Address,reason, \"until\"\r",
          "-");
    check("bob@example.net,gone,2030-01-02", "bob@example.net|all|gone|2030-01-02T00:00|import|2025-11-22");
    check("bob@example.net,gone,,more", "!more than 3 fields");
    init(SUPPRESSION_CSV);
    check("until,address", "-");
    check(",bob@example.net", "bob@example.net|all|none given||import|2025-11-22");
    init(SUPPRESSION_CSV);
    check("-,Email,\"-\",reason", "-"); // another service's, with what is left out renamed
    check("550,bob@example.net,2020,no such user", "bob@example.net|all|no such user||import|2025-11-22");
    init(SUPPRESSION_CSV);
    check("status,reason,email,created", "!!unknown field 'status' (known: address, scope");
    init(SUPPRESSION_CSV);
    check("email,address", "!!two columns 'address'");
    init(SUPPRESSION_CSV);
    check("gone,wrong", "!there is no @ and domain");
    init(SUPPRESSION_CSV);
    check("address,untill", "!!unknown field 'untill' (did you mean 'until'?) (known: address, scope, reason, until, source, added); call a column that is to be left out \"-\"");
    init(SUPPRESSION_CSV);
    check("address,reason,address", "!!two columns 'address'");
    init(SUPPRESSION_CSV);
    check("scope,reason", "!!no column is named 'address'");
    init(SUPPRESSION_CSV);
    check("\xef\xbb\xbf"
          "bob@example.net",
          "bob@example.net|all|none given||import|2025-11-22");
}

static void json_lines(void **state) {
    (void)state;
    init(SUPPRESSION_JSON);
    check("{\"address\":\"Bob@example.net\"}", "bob@example.net|all|none given||import|2025-11-22");
    check("{\"until\":\"2030-01-02\",\"scope\":\"identity:acme\",\"reason\":\"a "
          "\\\"b\\\"\",\"source\":\"x\",\"added\":\"2024-05-06T00:00:00.000Z\",\"address\":\"@example.net\"}",
          "@example.net|identity:acme|a \"b\"|2030-01-02T00:00|x|2024-05-06");
    check("{\"address\":\"bob@example.net\",\"until\":null,\"reason\":\"\"}",
          "bob@example.net|all|none given||import|2025-11-22");
    check("", "-");
    check("{\"address\":\"bob@example.net\",\"untill\":\"2030-01-01\"}",
          "!unknown field 'untill' (did you mean 'until'?)");
    check("{\"address\":5}", "!address: a text is expected");
    check("{\"address\":\"bob@example.net\",\"reason\":\"a\\nb\"}", "!control character");
    check("{}", "!no address");
    check("[]", "!object is expected");
    check("\"bob@example.net\"", "!object is expected");
    check("bob@example.net", "!");
    check("{\"address\":\"a@b.example\",\"address\":\"c@d.example\"}", "!");
    check("{\"address\":\"bob@example.net\"} x", "!");
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    static const struct suppression entries[] = {
        {{"bob@example.net", 15}, {"all", 3}, {"", 0}, {"operator", 8}, 1763821804678, 0},
        {{"@example.net", 12},
         {"stream:a, \"b\"", 13},
         {"one, \"two\"", 10},
         {" blank ", 7},
         1000,
         1763821804679},
        {{"\"a,b\"@example.net", 17}, {"identity:x", 10}, {"\"", 1}, {",", 1}, 0, 1},
        {{"b\xc3\xb6@example.net", 15}, {"all", 3}, {"\xc3\xb6", 2}, {"x", 1}, 5, 4},
    };
    struct buf line = {0};
    for (size_t i = 0; i < 2 * sizeof entries / sizeof *entries; i++) {
        const struct suppression *s = &entries[i / 2];
        enum suppression_format format = i % 2 ? SUPPRESSION_CSV : SUPPRESSION_JSON;
        struct suppression back;
        struct err err;
        suppression_reader_release(&r);
        suppression_reader_init(&r, format, &(struct suppression){.scope = BYTES("all")});
        buf_reset(&line);
        if (format == SUPPRESSION_CSV)
            suppression_line_csv(s, &line);
        else
            suppression_line_json(s, &line);
        assert_int_equal(line.at[line.len - 1], '\n');
        assert_int_equal(bytes_find(buf_bytes(&line), '\n'), line.len - 1);
        if (suppression_line_read(&r, bytes_first(buf_bytes(&line), line.len - 1), &back, &err) != LINE_ENTRY)
            fail_msg("%s", err.text);
        assert_true(bytes_equal(back.address, s->address) && bytes_equal(back.scope, s->scope));
        assert_true(bytes_equal(back.reason, s->reason) && bytes_equal(back.source, s->source));
        assert_true(back.until_ms == s->until_ms && back.added_ms == s->added_ms);
    }
    buf_release(&line);
    init(SUPPRESSION_CSV);
    check(suppression_csv_head, "-");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(csv_lines, tear_down),
        cmocka_unit_test_teardown(csv_faults, tear_down),
        cmocka_unit_test_teardown(a_head_names_the_columns, tear_down),
        cmocka_unit_test_teardown(json_lines, tear_down),
        cmocka_unit_test_teardown(what_is_written_reads_back, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
