// SPDX-License-Identifier: MIT
#include "cli/lookout.h"
#include "lab_kit.h"

static struct kit k;

static struct lookout *look(void) {
    struct err err = {""};
    struct lookout *l = lookout_new(&err);
    if (!l || !lookout_add(l, k.root, &err)) fail_msg("%s", err.text);
    return l;
}

// Changes are noticed as they are made, so the wait below ends at once but for its quiet time.
static void assert_sees(struct lookout *l, const char *name) {
    struct buf seen = {0};
    struct err err = {""};
    if (!lookout_wait(l, &seen, &err)) fail_msg("%s", err.text);
    assert_string_equal(buf_z(&seen), name);
    buf_release(&seen);
}

static void a_change_below_a_folder_is_seen(void **state) {
    (void)state;
    char deep[100], path[160];
    kit_open(&k);
    snprintf(deep, sizeof deep, "%s/deep", k.root);
    assert_int_equal(mkdir(deep, 0700), 0);
    kit_put(&k, "deep/a.lua", "1");
    struct lookout *l = look();
    kit_put(&k, "deep/a.lua", "2");
    assert_sees(l, "a.lua");
    kit_put(&k, ".a.lua.swp", "an editor's");
    kit_put(&k, "b.lua~", "an editor's");
    kit_put(&k, "c.lua", "new");
    assert_sees(l, "c.lua");
    snprintf(path, sizeof path, "%s/c.lua", k.root);
    assert_int_equal(unlink(path), 0);
    assert_sees(l, "c.lua");
    lookout_free(&l);
    assert_null(l);
    kit_close(&k);
}

static void a_folder_that_is_none_is_named(void **state) {
    (void)state;
    struct err err = {""};
    struct lookout *l = lookout_new(&err);
    assert_false(lookout_add(l, "/nowhere/at/all", &err));
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    lookout_free(&l);
    lookout_free(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_below_a_folder_is_seen),
        cmocka_unit_test(a_folder_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
