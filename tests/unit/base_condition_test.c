// SPDX-License-Identifier: MIT
// condition: what holds, what does not, and what is no condition.
#include "base/condition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static const struct figure figures[] = {{"fault", 0}, {"changed", 30}, {"identity", 12}, {"mean_us", 41.5}, {0}};

static bool holds(const char *text, struct buf *why) {
    struct err err;
    bool out = false;
    if (!condition_holds(bytes_of(text), figures, 200, &out, why, &err)) fail_msg("%s: %s", text, err.text);
    return out;
}

static void comparisons(void **state) {
    (void)state;
    assert_true(holds("changed > 29", NULL));
    assert_false(holds("changed>30", NULL));
    assert_true(holds("changed>=30 and changed <= 30 and changed = 30 and changed==30", NULL));
    assert_true(holds("changed > 14.9%", NULL));
    assert_false(holds("changed > 15%", NULL));
    assert_true(holds("mean_us < 41.6", NULL));
    assert_true(holds("fault != 1", NULL));
}

static void words_between(void **state) {
    (void)state;
    assert_true(holds("fault > 0 or changed > 2%", NULL));
    assert_true(holds("fault > 0 and changed > 0 or identity = 12", NULL)); // and binds closer
    assert_false(holds("fault > 0 and (changed > 0 or identity = 12)", NULL));
    struct buf why = {0};
    assert_true(holds("fault > 0 or changed > 2%", &why));
    assert_string_equal(buf_z(&why), "changed > 2%: 15%");
    buf_reset(&why);
    assert_true(holds("identity>5", &why));
    assert_string_equal(buf_z(&why), "identity>5: 12");
    buf_release(&why);
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } wrong[] = {{"", "the name of a figure"}, {"chnged > 1", "did you mean 'changed'"}, {"fault", "one of >"}, {"fault >", "a number"},
                 {"fault > 1.2.3", "a number"}, {"fault > 1 fault > 2", "'and', 'or'"}, {"(fault > 1", "closing bracket"}, {"fault > 1 or", "the name"},
                 {"orfault > 1", "there is no figure"}, {"((((((((((((((((((fault>1))))))))))))))))))", "brackets"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err err;
        bool out;
        assert_false(condition_holds(bytes_of(wrong[i].text), figures, 200, &out, NULL, &err));
        if (!strstr(err.text, wrong[i].words)) fail_msg("%s: %s", wrong[i].text, err.text);
    }
    char text[CONDITION_MAX + 2];
    memset(text, ' ', sizeof text);
    struct err err;
    bool out;
    assert_false(condition_holds(bytes_range(text, sizeof text), figures, 200, &out, NULL, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(comparisons), cmocka_unit_test(words_between), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
