// SPDX-License-Identifier: MIT
#include "cli/manual.h"

#include "cli/verbs.h"
#include "relay/conf_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

// Every line that roff would obey is one that we mean.
static void assert_obeys_only_ours(struct buf *page) {
    static const char *const ours[] = {".TH ", ".SH ", ".SS ", ".TP", ".PP", ".RS 4", ".RE", ".nf", ".fi", ".br", ".I "};
    for (struct bytes rest = buf_bytes(page); rest.len;) {
        struct bytes line = bytes_cut(&rest, '\n');
        if (line.len == 0) fail_msg("an empty line");
        if (line.at[0] != '.' && line.at[0] != '\'') continue;
        bool known = false;
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            known = known || bytes_starts(line, bytes_of(ours[i]));
        if (!known) fail_msg("roff would obey: %.*s", BYTES_FMT(line));
    }
}

static void has(struct buf *page, const char *text) {
    if (bytes_search(buf_bytes(page), bytes_of(text)) < 0) fail_msg("'%s' is missing in: %s", text, buf_z(page));
}

static void texts_are_shown_and_never_obeyed(void **state) {
    (void)state;
    static const struct option_row rows[] = {
        {"dry-run", 'n', OPTION_FLAG, NULL, ".so /etc/passwd", false},
        {"to", 0, OPTION_TEXT, "A\\B", "~ and ^ as in 'x'", true},
        {0},
    };
    static const struct option_row *const options[] = {rows, NULL};
    static const struct option_row *const none[] = {NULL};
    static const int exits[] = {1, 0};
    static const struct verb verb = {.name = "try",
                                     .summary = ".de is shown",
                                     .arguments = "ID...",
                                     .options = options,
                                     .about = "'begins so, and `bold-face` too\n\nSecond.\n  .exact \\n\n  line",
                                     .examples = "  tool try -n",
                                     .exits = exits};
    static const struct verb tool = {.name = "tool", .summary = "a tool", .arguments = "", .options = none, .about = "x", .examples = "  y"};
    struct buf page = {0};
    manual_verb(&tool, &verb, &page);
    assert_obeys_only_ours(&page);
    has(&page, "tool\\-try \\- \\&.de is shown\n");
    has(&page, "\\fB\\-n\\fR, \\fB\\-\\-dry\\-run\\fR\n\\&.so /etc/passwd\n");
    has(&page, "\\fIA\\eB\\fR\n\\(ti and \\(ha as in \\(aqx\\(aq (may be repeated)\n");
    has(&page, "\\(aqbegins so, and \\fBbold\\-face\\fR too\n.PP\nSecond.\n.RS 4\n.nf\n\\&.exact \\en\nline\n.fi\n.RE\n");
    has(&page, "\\fB1\\fR\n");
    buf_release(&page);
}

static void every_verb_and_key_is_there(void **state) {
    (void)state;
    struct buf page = {0};
    for (const struct verb *v = verbs_tool.verbs; v->name; v++) {
        buf_reset(&page);
        manual_verb(&verbs_tool, v, &page);
        assert_obeys_only_ours(&page);
        has(&page, v->summary[0] == '.' ? "\\&." : "tidegate\\-");
        for (const struct verb *below = v->verbs; below && below->name; below++) has(&page, below->name);
    }
    buf_reset(&page);
    manual_conf(&page);
    assert_obeys_only_ours(&page);
    for (const struct conf_key *key = conf_keys; key->name; key++) has(&page, key->name);
    buf_reset(&page);
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    manual_tool(&verbs_tool, &page);
    has(&page, "\"2023-11-14\"");
    buf_release(&page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_shown_and_never_obeyed),
        cmocka_unit_test(every_verb_and_key_is_there),
    };
    return cmocka_run_group_tests_name("cli/manual", tests, NULL, NULL);
}
