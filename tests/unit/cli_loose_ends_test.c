// SPDX-License-Identifier: MIT
// loose_ends: what a policy makes, asks for and names to no end is said once, with its line; what has an end is not.
#include "cli/loose_ends.h"
#include "lab_kit.h"

static struct kit k;
static struct buf said;

static void on_warning(void *arg, const char *text) {
    (void)arg;
    buf_format(&said, "%s\n", text);
}

// Decisions: JSON objects, a NULL behind the last.
static const char *warnings(const char *policy, const char *users_file, const char *const *decisions, const char *login) {
    struct err err;
    struct loose_ends *ends = loose_ends_new();
    struct users *users = users_read(bytes_of(users_file), "conf/users", &err);
    assert_non_null(users);
    kit_open(&k);
    struct generation_options options = k.usual;
    options.watch = true;
    struct generation *g = generation_new(kit_bundle(&k, policy), &options, &k.err);
    if (!g) fail_msg("%s", k.err.text);
    for (; *decisions; decisions++) {
        struct json *decision = json_parse(bytes_of(*decisions), &err);
        assert_non_null(decision);
        loose_ends_decided(ends, decision);
        json_free(&decision);
    }
    buf_reset(&said);
    loose_ends_tell(ends, g, users, "conf/users", bytes_of(login), on_warning, NULL);
    loose_ends_free(&ends);
    generation_free(&g);
    users_free(&users);
    kit_close(&k);
    return buf_z(&said);
}

#define LOOK(key, line) "{\"limit\":\"" key "\",\"window_s\":86400,\"cap\":5,\"left\":5,\"where\":\"policy.lua:" line "\"}"
#define SPEND(key, window) "{\"key\":\"" key "\",\"window_s\":" window ",\"cap\":5}"
#define SENDS(looked, spend) "{\"hook\":\"route\",\"looked\":[" looked "],\"plan\":{\"do\":\"send\",\"spend\":[" spend "]}}"
static const char *const nothing[] = {NULL};

static void looks(void **state) {
    (void)state;
    assert_string_equal(warnings("return {}", "", (const char *const[]){SENDS(LOOK("acme", "3"), SPEND("acme", "86400")), NULL}, ""), "");
    assert_string_equal(warnings("return {}", "", (const char *const[]){SENDS(LOOK("acme", "3") "," LOOK("acme", "3"), SPEND("acmee", "86400")), NULL}, ""),
                        "policy.lua:3: how much is left of the limit 'acme' (in 1d) is asked here, but nothing that was tried spends it (did you mean 'acmee'?)\n");
    assert_string_equal(warnings("return {}", "", (const char *const[]){SENDS(LOOK("acme", "3"), SPEND("acme", "3600")), NULL}, ""),
                        "policy.lua:3: how much is left of the limit 'acme' in 1d is asked here, but it is spent in windows of 1h\n");
    // Candidates of a pool are looked at in one line: that one of them is spent is enough; and a way not taken spends, too.
    assert_string_equal(warnings("return {}", "", (const char *const[]){SENDS(LOOK("a", "3") "," LOOK("b", "3"), SPEND("b", "86400")), NULL}, ""), "");
    assert_string_equal(warnings("return {}", "", (const char *const[]){"{\"looked\":[" LOOK("a", "3") "],\"plan\":{\"do\":\"send\",\"otherwise\":{\"do\":\"send\",\"spend\":[" SPEND("a", "86400") "]}}}", NULL}, ""), "");
    assert_string_equal(warnings("return {}", "", (const char *const[]){SENDS(LOOK("seen", "3"), ""), "{\"hook\":\"retry\",\"tally\":[\"seen/86400\"]}", NULL}, ""), "");
    // Where no plan sends, nothing is known of what would be spent.
    assert_string_equal(warnings("return {}", "", (const char *const[]){"{\"looked\":[" LOOK("a", "3") "],\"plan\":{\"do\":\"hold\"}}", NULL}, ""), "");
}

static void names(void **state) {
    (void)state;
    static const char policy[] = "local acme = require('identity').define { name = 'acme' }\n"
                                 "local caps = { limit.per_day('identity/acmee', 5), limit.per_day('identity/acme', 5),\n"
                                 "  limit.per_day('user/ann', 5), limit.per_day('user/bob', 5) }\n"
                                 "return { route = function() return acme, caps end }\n";
    assert_string_equal(warnings(policy, "ann:!locked:identity=acne\n", nothing, ""),
                        "policy.lua:2: the limit 'identity/acmee' is for an identity that the policy does not define (did you mean 'acme'?)\n"
                        "policy.lua:3: the limit 'user/bob' is for a user that is not in the users file\n"
                        "conf/users: ann: identity=acne: the policy defines no such identity (did you mean 'acme'?)\n");
}

static void what_nothing_uses(void **state) {
    (void)state;
    assert_string_equal(warnings("local a = require('identity').define { name = 'acme' }\n"
                                 "local w = require('route').relay { host = 'mx.example' }\nreturn {}", "", nothing, ""),
                        "policy.lua:1: identity 'acme' is made here, and nothing uses it\n"
                        "policy.lua:2: route.relay 'mx.example' is made here, and nothing uses it\n");
}

static void limits_of_users(void **state) {
    (void)state;
    static const char file[] = "ann:!locked:per_hour=5\nbob:!locked\n";
    assert_string_equal(warnings("return {}", file, (const char *const[]){SENDS("", ""), NULL}, "ann"),
                        "conf/users: ann: per_hour= is not held: nothing that was tried spends a limit of this user (users.limits makes them, for `spend`)\n");
    assert_string_equal(warnings("return {}", file, (const char *const[]){SENDS("", SPEND("user/ann", "3600")), NULL}, "ann"), "");
    assert_string_equal(warnings("return {}", file, (const char *const[]){SENDS("", ""), NULL}, "bob"), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(looks), cmocka_unit_test(names), cmocka_unit_test(what_nothing_uses),
                                       cmocka_unit_test(limits_of_users)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
