// SPDX-License-Identifier: MIT
// watched: what a policy has made while it loaded, and what of that it still holds.
#include "policy/watched.h"
#include "lab_kit.h"

static struct kit k;

static struct generation *load(const char *policy, bool watch) {
    struct generation_options options = k.usual;
    options.watch = watch;
    struct generation *g = generation_new(kit_bundle(&k, policy), &options, &k.err);
    if (!g) fail_msg("%s", k.err.text);
    return g;
}

static const struct watched *named(struct generation *g, const char *name) {
    for (const struct watched *w = generation_watched(g); w; w = w->next)
        if (bytes_equal(w->name, bytes_of(name))) return w;
    return NULL;
}

static const char policy[] = "local identity, route = require 'identity', require 'route'\n"
                             "local used, loose = identity.define { name = 'used' }, identity.define { name = 'loose' }\n"
                             "local way = route.relay { host = 'used.example' }\n"
                             "route.relay { host = 'loose.example' }\n"
                             "local caps = { limit.per_day('identity/used', 5) }\n"
                             "return { route = function() return route.send { via = way, identity = used, spend = caps } end }\n";

static void what_is_held(void **state) {
    (void)state;
    kit_open(&k);
    struct generation *g = load(policy, true);
    assert_true(named(g, "used")->held && named(g, "used.example")->held && named(g, "identity/used")->held);
    assert_false(named(g, "loose")->held || named(g, "loose.example")->held);
    assert_string_equal(named(g, "loose")->kind, "identity");
    assert_string_equal(named(g, "loose.example")->where, "policy.lua:4");
    assert_string_equal(named(g, "identity/used")->kind, "limit.per_day");
    generation_free(&g);
    kit_close(&k);
}

static void nobody_watches(void **state) {
    (void)state;
    kit_open(&k);
    struct generation *g = load(policy, false);
    assert_null(generation_watched(g));
    generation_free(&g);
    kit_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_held), cmocka_unit_test(nobody_watches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
