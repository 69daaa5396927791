// SPDX-License-Identifier: MIT
#include "cli/help.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

static int no_run(const struct call *call) {
    return call->argument_count;
}

static const struct option_row tool_rows[] = {{"conf", 'c', OPTION_FILE, "FILE", "the configuration", false},
                                              {"json", 'j', OPTION_FLAG, NULL, "for programs", false},
                                              {0}};
static const struct option_row list_rows[] = {{"to", 't', OPTION_TEXT, "ADDRESS", "whom", true},
                                              {"limit", 'n', OPTION_NUMBER, "N", "how many", false},
                                              {"older-than", 0, OPTION_DURATION, "TIME", "how old", false},
                                              {"tls", 0, OPTION_CHOICE, "none|starttls", "how", false},
                                              {"tag", 0, OPTION_PAIR, "KEY=VALUE", "which", true},
                                              {"verbose", 'v', OPTION_FLAG, NULL, "more", false},
                                              {0}};
static const struct option_row *const tool_options[] = {tool_rows, NULL};
static const struct option_row *const list_options[] = {list_rows, NULL};
static const struct verb queue_verbs[] = {{.name = "list",
                                           .summary = "s",
                                           .arguments = "[ID [N]]",
                                           .most = 2,
                                           .options = list_options,
                                           .run = no_run,
                                           .about = "",
                                           .examples = ""},
                                          {.name = "show",
                                           .summary = "s",
                                           .arguments = "ID",
                                           .least = 1,
                                           .most = 1,
                                           .run = no_run,
                                           .about = "",
                                           .examples = ""},
                                          {0}};
static const struct verb table[] = {
    {.name = "queue", .summary = "s", .arguments = "", .verbs = queue_verbs, .about = "", .examples = ""},
    {0}};
static const struct verb tool = {.name = "tool",
                                 .summary = "s",
                                 .arguments = "",
                                 .options = tool_options,
                                 .verbs = table,
                                 .about = "",
                                 .examples = ""};

static char *words[64];
static struct call call;
static struct err err;

static enum options_result parse(const char *line) {
    static char text[1024];
    int count = 0;
    strcpy(text, line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    err.text[0] = 0;
    return options_parse(&tool, count, words, &call, &err);
}

static void assert_bad(const char *line, const char *want) {
    if (parse(line) != OPTIONS_BAD) fail_msg("'%s' was taken", line);
    if (!strstr(err.text, want)) fail_msg("'%s': '%s' does not say '%s'", line, err.text, want);
}

static void verbs_options_and_arguments(void **state) {
    (void)state;
    assert_int_equal(parse("tool -c a.lua queue list 17 --to x@y -t z -n5 --older-than=2h 18 -vj"),
                     OPTIONS_RUN);
    assert_string_equal(call.path, "queue list");
    assert_string_equal(call_text(&call, "conf"), "a.lua");
    assert_string_equal(call_nth(&call, "to", 0), "x@y");
    assert_string_equal(call_nth(&call, "to", 1), "z");
    assert_null(call_nth(&call, "to", 2));
    assert_string_equal(call_text(&call, "to"), "z");
    assert_int_equal(call_number(&call, "limit", 9), 5);
    assert_int_equal(call_number(&call, "older-than", 9), 7200);
    assert_true(call_has(&call, "json") && call_has(&call, "verbose"));
    assert_false(call_has(&call, "tls"));
    assert_null(call_text(&call, "tls"));
    assert_int_equal(call.argument_count, 2);
    assert_string_equal(call.arguments[0], "17");
    assert_string_equal(call.arguments[1], "18");
    assert_int_equal(parse("tool queue list"), OPTIONS_RUN);
    assert_int_equal(call_number(&call, "limit", 9), 9);
    assert_int_equal(parse("tool queue list -- --to -"), OPTIONS_RUN);
    assert_string_equal(call.arguments[0], "--to");
    assert_string_equal(call.arguments[1], "-");
    assert_int_equal(parse("tool queue list --to=a=b --to= --tag k=v=w --tls none"), OPTIONS_RUN);
    assert_string_equal(call_nth(&call, "to", 0), "a=b");
    assert_string_equal(call_nth(&call, "to", 1), "");
    assert_int_equal(parse("tool queue show -- -1"), OPTIONS_RUN);
}

static void help_is_asked_for(void **state) {
    (void)state;
    assert_int_equal(parse("tool --help"), OPTIONS_HELP);
    assert_ptr_equal(call.verb, &tool);
    assert_int_equal(parse("tool queue -h"), OPTIONS_HELP);
    assert_string_equal(call.path, "queue");
    assert_int_equal(parse("tool queue show --help"), OPTIONS_HELP); // though its ID is missing
    assert_string_equal(call.verb->name, "show");
}

static void what_is_wrong_has_its_words(void **state) {
    (void)state;
    assert_bad("tool", "say what to do");
    assert_bad("tool queue", "say what to do");
    assert_bad("tool qeue", "there is no 'qeue' (did you mean 'queue'?)");
    assert_bad("tool queue lst", "did you mean 'list'?");
    assert_bad("tool queue zzzzzz", "there is no 'zzzzzz'");
    assert_bad("tool queue list --tp x", "unknown option '--tp' (did you mean '--to'?)");
    assert_bad("tool queue list --jsn", "(did you mean '--json'?)");
    assert_bad("tool queue list -x", "unknown option '-x'");
    assert_bad("tool --to x queue list", "unknown option '--to'"); // not the tool's own
    assert_bad("tool queue list --to", "--to needs a value: --to ADDRESS");
    assert_bad("tool queue list -n", "--limit needs a value");
    assert_bad("tool queue list -n -5", "'-5' is not a number");
    assert_bad("tool queue list -n 99999999999999999999", "is not a number");
    assert_bad("tool queue list --older-than soon", "is not a duration");
    assert_bad("tool queue list --tls maybe", "'maybe' is not one of none|starttls");
    assert_bad("tool queue list --tag novalue", "'novalue' is not KEY=VALUE");
    assert_bad("tool queue list --json=1", "--json takes no value");
    assert_bad("tool queue list -n 1 -n 2", "--limit is given twice");
    assert_bad("tool queue show", "ID is missing");
    assert_bad("tool queue show 1 2", "'2' is too much: it takes ID");
    assert_int_equal(options_parse(&tool, 0, words, &call, &err), OPTIONS_BAD);
}

static void too_many_options_are_refused(void **state) {
    (void)state;
    enum { N = 2 * CALL_VALUES + 16 };
    char **argv = malloc((N + 3) * sizeof *argv);
    argv[0] = "tool", argv[1] = "queue", argv[2] = "list";
    for (int i = 3; i < N + 3; i++)
        argv[i] = i % 2 ? "--to" : "x";
    assert_int_equal(options_parse(&tool, N + 3, argv, &call, &err), OPTIONS_BAD);
    assert_non_null(strstr(err.text, "more than"));
    free(argv);
}

// ---- the real table
// ----------------------------------------------------------------------------------------

static void check_rows(const struct verb *verb, char *letters) {
    for (int g = 0; verb->options && verb->options[g]; g++) {
        for (const struct option_row *row = verb->options[g]; row->name; row++) {
            assert_non_null(row->help);
            assert_true((row->kind == OPTION_FLAG) == (row->argument == NULL));
            if (!row->letter) continue;
            if (strchr(letters, row->letter) || row->letter == 'h')
                fail_msg("%s: -%c is taken", verb->name, row->letter);
            letters[strlen(letters)] = row->letter;
        }
    }
}

static void check_verbs(const struct verb *verbs) {
    for (const struct verb *v = verbs; v->name; v++) {
        char letters[64] = {0};
        check_rows(&verbs_tool, letters);
        check_rows(v, letters);
        assert_true(v->summary && v->arguments && v->about && v->examples);
        assert_true(v->run || v->verbs);
        if (v->verbs) assert_true(!v->arguments[0] && !v->options); // with a function too it is the one for no word more
        struct buf page = {0};
        help_verb(&verbs_tool, v, v->name, &page);
        assert_true(page.len > 300);
        assert_true(bytes_search(buf_bytes(&page), BYTES("EXIT CODES")) > 0);
        assert_true(bytes_search(buf_bytes(&page), BYTES("EXAMPLES\n    tidegate ")) > 0);
        for (const int *code = v->exits; code && *code; code++)
            assert_string_not_equal(exit_meaning(*code), "failed");
        buf_release(&page);
        if (v->verbs) check_verbs(v->verbs);
    }
}

static void every_verb_has_a_page_and_no_letter_twice(void **state) {
    (void)state;
    check_verbs(verbs_tool.verbs);
    struct buf page = {0};
    help_tool(&verbs_tool, &page);
    for (const struct verb *v = verbs_tool.verbs; v->name; v++)
        assert_true(bytes_search(buf_bytes(&page), bytes_of(v->summary)) > 0 || strlen(v->summary) > 60);
    buf_release(&page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_options_and_arguments),
        cmocka_unit_test(help_is_asked_for),
        cmocka_unit_test(what_is_wrong_has_its_words),
        cmocka_unit_test(too_many_options_are_refused),
        cmocka_unit_test(every_verb_has_a_page_and_no_letter_twice),
    };
    return cmocka_run_group_tests_name("cli/options, help, verbs", tests, NULL, NULL);
}
