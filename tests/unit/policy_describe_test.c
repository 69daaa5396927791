// SPDX-License-Identifier: MIT
#include "policy_one.h"

struct told {
    int calls;
    char json[3000], why[300];
    bool failed;
};

static void on_told(void *arg, struct bytes json, const char *why) {
    struct told *t = arg;
    t->calls++;
    t->failed = why;
    snprintf(t->json, sizeof t->json, "%.*s", BYTES_FMT(json));
    snprintf(t->why, sizeof t->why, "%s", why ? why : "");
}

static struct told ask(const char *what, const char *question) {
    struct told t = {0};
    assert_non_null(hook_describe(k.g, bytes_of(what), bytes_of(question), on_told, &t));
    assert_int_equal(t.calls, 0);
    kit_turn(&k);
    assert_int_equal(t.calls, 1);
    return t;
}

static void what_nobody_describes_is_an_empty_list(void **state) {
    (void)state;
    kit_policy(&k, "return {}");
    struct told t = ask("warmup", "{\"accounts\":[]}");
    assert_false(t.failed);
    assert_string_equal(t.json, "[]");
}

static void the_library_tells_what_the_policy_made(void **state) {
    (void)state;
    kit_policy(&k, "local warmup = require 'warmup'\n"
                   "warmup.new { name = 'acme', ladder = { 10, 20 }, start = '2025-11-22', providers = { google = 0.5 } }\n"
                   "warmup.new { name = 'beta', ladder = { 10, 20 }, age = 1, overflow = 'relay' }\n"
                   "return {}");
    struct told t = ask("warmup", "{\"accounts\":[{\"key\":\"warmup/acme/google\",\"used\":3},{\"key\":\"warmup/acme/yahoo\",\"used\":1},"
                                  "{\"key\":\"warmup/acme/nobody\",\"used\":1}]}");
    assert_string_equal(t.why, "");
    assert_non_null(strstr(t.json, "\"cap\":5,\"day\":1"));
    assert_non_null(strstr(t.json, "\"left\":2,\"next_at\":\"2025-11-23T00:00:00.000Z\",\"next_cap\":10,\"next_step\":2"));
    assert_non_null(strstr(t.json, "\"provider\":\"yahoo\""));
    assert_null(strstr(t.json, "nobody"));
    assert_non_null(strstr(t.json, "\"overflow\":\"relay\""));
    t = ask("warmup", "{\"accounts\":[],\"name\":\"beta\"}");
    assert_null(strstr(t.json, "acme"));
    assert_non_null(strstr(t.json, "\"provider\":\"other\""));
    assert_non_null(strstr(t.json, "\"state\":\"top\""));
}

// What a hook makes does not last, and is not kept to be told of.
static void what_a_hook_makes_is_not_told(void **state) {
    (void)state;
    kit_policy(&k, "local route, warmup = require 'route', require 'warmup'\n"
                   "return { route = function() warmup.new { name = 'x', ladder = { 1 }, age = 0 }; return route.hold('x') end }");
    kit_route(&k, &a);
    assert_string_equal(ask("warmup", "{\"accounts\":[]}").json, "[]");
}

static void a_fault_says_why(void **state) {
    (void)state;
    kit_put(&k, "scripts/broken.lua", "local describe = require 'core.describe'\n"
                                      "describe.add('fails', function() error('no such luck') end)\n"
                                      "describe.add('text', function() return 'text' end)\n"
                                      "describe.add('loops', function() while true do end end)\n"
                                      "describe.add('odd', function() return { function() end } end)\n"
                                      "return {}");
    kit_policy(&k, "require 'broken'\nreturn {}");
    static const char *const faults[][2] = {
        {"fails", "no such luck"}, {"text", "a list is expected"}, {"loops", "stopped"}, {"odd", "no JSON form"}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct told t = ask(faults[i][0], "{}");
        assert_true(t.failed);
        if (!strstr(t.why, faults[i][1])) fail_msg("%s: %s", faults[i][0], t.why);
        assert_string_equal(t.json, "[]");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_nobody_describes_is_an_empty_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_library_tells_what_the_policy_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_hook_makes_is_not_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fault_says_why, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
