// SPDX-License-Identifier: MIT
// limit and route.first at the wall: what is taken, what is refused, and that limit.left waits for whoever knows.
#include "policy_one.h"

#include "policy/plan.h"

struct limit_look {
    void (*answer)(void *arg, uint64_t used);
    void *arg;
};
static struct limit_look *open_look;
static bool at_once;
static char asked[300];

static bool limit_used(void *arg, const struct spend *s, uint64_t *used, void (*answer)(void *arg, uint64_t used),
                       void *answer_arg, struct limit_look **look) {
    (void)arg;
    snprintf(asked, sizeof asked, "%.*s %u", BYTES_FMT(s->key), s->window_s);
    *used = 3;
    if (at_once) return true;
    assert_null(open_look);
    open_look = must_alloc(sizeof *open_look);
    *open_look = (struct limit_look){answer, answer_arg};
    *look = open_look;
    return false;
}

static void limit_cancel(struct limit_look **look) {
    assert_ptr_equal(*look, open_look);
    free(open_look);
    *look = open_look = NULL;
}

static void tell_used(uint64_t used) {
    struct limit_look look = *open_look;
    free(open_look);
    open_look = NULL;
    look.answer(look.arg, used);
}

static void policy(const char *body) {
    char whole[4000];
    snprintf(whole, sizeof whole,
             "local route = require 'route'\nlocal here = route.capture{}\n"
             "local function to(dir, spend) return route.send{ via = route.capture{ dir = dir }, spend = spend } end\n"
             "return { route = function(m, r) %s end }",
             body);
    kit_policy_with(&k, whole, &(struct generation_options){.limit_used = limit_used, .limit_cancel = limit_cancel});
}

static const struct plan *plan_of(const char *body) {
    policy(body);
    kit_route(&k, &a);
    if (a.plan->origin.fault) fail_msg("%s: %s", body, a.because);
    return a.plan;
}

static void assert_spend(const struct spend *s, const char *account, uint64_t cap, bool recipients, bool attempts) {
    char text[300];
    snprintf(text, sizeof text, "%.*s", BYTES_FMT(s->account));
    assert_string_equal(text, account);
    assert_int_equal(s->cap, cap);
    assert_int_equal(s->recipients, recipients);
    assert_int_equal(s->attempts, attempts);
}

static void plans_carry_their_limits(void **state) {
    (void)state;
    const struct plan *p = plan_of("return route.send{ via = here, spend = {\n"
                                   "  limit.per_day('acme/google', 500), limit.per_second('acme', 5),\n"
                                   "  limit.per_hour('acme', 100, { per = 'recipient' }),\n"
                                   "  limit.rolling('acme', 7, '90s', { count = 'attempts' }), limit.per_minute('a', 0) } }");
    assert_int_equal(p->spend_count, 5); // in the order of their windows
    assert_spend(&p->spends[0], "acme/1", 5, false, false);
    assert_spend(&p->spends[1], "a/60", 0, false, false);
    assert_spend(&p->spends[2], "acme/90", 7, false, true);
    assert_spend(&p->spends[3], "acme/3600", 100, true, false);
    assert_spend(&p->spends[4], "acme/google/86400", 500, false, false);
    char json[1000];
    snprintf(json, sizeof json, "%.*s", BYTES_FMT(p->json));
    assert_non_null(strstr(json, ",\"spend\":[{\"key\":\"acme\",\"window_s\":1,\"cap\":5,\"per\":\"message\"},"));
    assert_non_null(strstr(json, "{\"key\":\"acme\",\"window_s\":90,\"cap\":7,\"per\":\"message\",\"count\":\"attempts\"}"));
    p = plan_of("return route.send{ via = here, spend = {} }");
    assert_int_equal(p->spend_count, 0);
    p = plan_of("return to('x', { limit.per_day('k', 9), limit.rolling('k', 5, '1d', { per = 'recipient' }) })");
    assert_int_equal(p->spend_count, 1); // one account: the stricter of the two
    assert_spend(&p->spends[0], "k/86400", 5, true, false);
}

static void a_limit_says_what_uses_it_up(void **state) {
    (void)state;
    const struct plan *p =
        plan_of("return to('x', { limit.per_day('k', 9, { exhausted_by = 'quota' }), limit.rolling('k', 5, '1d') })");
    assert_int_equal(p->spend_count, 1);
    assert_true(bytes_equal(p->spends[0].exhausted_by, BYTES("quota")));
    char json[1000];
    snprintf(json, sizeof json, "%.*s", BYTES_FMT(p->json));
    assert_non_null(strstr(json, "\"exhausted_by\":\"quota\""));
}

// A connection can be shared by what is limited differently; a transaction cannot.
static void limits_part_transactions_not_connections(void **state) {
    (void)state;
    const struct plan *p = plan_ref(plan_of("return to('x', { limit.per_day('k', 9) })"));
    const struct plan *same = plan_ref(plan_of("return to('x', { limit.per_day('k', 9) })"));
    const struct plan *other = plan_ref(plan_of("return to('x', { limit.per_day('k', 8) })"));
    const struct plan *none = plan_ref(plan_of("return to('x')"));
    const struct plan *first = plan_ref(plan_of("return route.first{ to('x', { limit.per_day('k', 9) }), to('y') }"));
    assert_int_equal(p->same, same->same);
    assert_int_equal(p->group, same->group);
    assert_int_equal(p->same, other->same);
    assert_int_not_equal(p->group, other->group);
    assert_int_equal(p->same, none->same);
    assert_int_not_equal(p->group, none->group);
    assert_int_equal(p->same, first->same);
    assert_int_not_equal(p->group, first->group);
    plan_free(&p);
    plan_free(&same);
    plan_free(&other);
    plan_free(&none);
    plan_free(&first);
}

static void a_list_is_copied(void **state) {
    (void)state;
    const struct plan *p = plan_of("local list = { limit.per_day('k', 9) }\nlocal plan = to('x', list)\n"
                                   "list[1] = 5\nlist[2] = 'x'\nreturn plan");
    assert_int_equal(p->spend_count, 1);
}

static void alternatives_are_kept_in_order(void **state) {
    (void)state;
    const struct plan *p = plan_of("return route.first{ to('a'), to('b', { limit.per_day('k', 1) }), route.hold('none has room') }");
    assert_string_equal(p->via.dir.at, "a");
    assert_string_equal(p->otherwise->via.dir.at, "b");
    assert_int_equal(p->otherwise->spend_count, 1);
    assert_int_equal(p->otherwise->otherwise->kind, PLAN_HOLD);
    assert_null(p->otherwise->otherwise->otherwise);
    assert_non_null(strstr(p->json.at, "\"otherwise\":{\"do\":\"send\""));
    p = plan_of("return route.first{ to('a') }");
    assert_null(p->otherwise);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *body, *said;
    } cases[] = {
        {"limit.per_day()", "limit.per_day: key: is missing"},
        {"limit.per_day('k')", "limit.per_day: n: is missing"},
        {"limit.per_day('', 5)", "key: the text is empty"},
        {"limit.per_day(('k'):rep(201), 5)", "key: 200 bytes at most"},
        {"limit.per_day('k\\0', 5)", "a control character"},
        {"limit.per_day('k', -1)", "n: a whole number from 0 to 1000000000"},
        {"limit.per_day('k', 1.5)", "n: a whole number"},
        {"limit.per_day('k', 1 << 40)", "n: a whole number"},
        {"limit.per_day('k', 5, { per = 'hour' })", "limit.per_day: options.per: one of \"message\", \"recipient\" is expected"},
        {"limit.per_day('k', 5, { pre = 'message' })", "unknown field 'options.pre' (did you mean 'per'?)"},
        {"limit.per_day('k', 5, { exhausted_by = 'a b' })", "exhausted_by: a word of letters, digits and '_' is expected"},
        {"limit.rolling('k', 5, 60, { exhausted_by = 'a\"' })", "exhausted_by: a word"},
        {"limit.per_day('k', 5, { exhausted_by = ('x'):rep(33) })", "exhausted_by: a word"},
        {"require('retry').wait(5, 'x', false, { by = 'quota' })", "retry.wait: exhaust.seconds: is missing"},
        {"require('retry').elsewhere('x', false, nil, { by = 'q', seconds = '31d' })", "exhaust.seconds: 1 to 2592000 seconds"},
        {"limit.rolling('k', 5)", "limit.rolling: seconds: is missing"},
        {"limit.rolling('k', 5, 0)", "seconds: 1 to 2678400 seconds are possible"},
        {"limit.rolling('k', 5, '90d')", "seconds: 1 to 2678400 seconds are possible"},
        {"to('x', limit.per_day('k', 5))", "route.send: spend: a list, { ..., ... }, is expected"},
        {"to('x', { 5 })", "route.send: spend: a limit (limit.per_day, ...) is expected, not a number"},
        {"to('x', { here })", "spend: a limit (limit.per_day, ...) is expected, not route.capture"},
        {"to('x', { limit.per_day('k', 5), x = 1 })", "spend: a list has no names and no holes"},
        {"to('x', { [2] = limit.per_day('k', 5) })", "spend: a list has no names and no holes"},
        {"local t = {} for i = 1, 17 do t[i] = limit.per_day('k' .. i, 5) end to('x', t)", "0 to 16 are possible, not 17"},
        {"route.first{}", "route.first: plans: 1 to 16 are possible, not 0"},
        {"route.first(to('x'))", "route.first: plans: a list"},
        {"route.first{ route.hold('x') }", "plans: number 1 is route.hold; all are route.send"},
        {"route.first{ to('x'), route.hold('x'), to('y') }", "plans: number 2 is route.hold"},
        {"route.first{ to('x'), route.first{ to('y') } }", "plans: number 2 is route.first"},
        {"route.first{ to('x'), 5 }", "plans: a plan (route.send, wait, ...) is expected, not a number"},
        {"limit.left(5)", "limit.left: a limit (limit.per_day, ...) is expected, not a number"},
        {"limit.left(here)", "limit.left: a limit (limit.per_day, ...) is expected, not route.capture"},
        {"table.sort({ 2, 1 }, function() return limit.left(limit.per_day('k', 5)) > 0 end)", "waiting is not possible within table.sort"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        policy(cases[i].body);
        kit_route(&k, &a);
        if (!a.plan->origin.fault || !strstr(a.because, cases[i].said)) fail_msg("%s: %s", cases[i].body, a.because);
    }
    kit_policy(&k, "return { route = function() limit.left(limit.per_day('k', 5)) end }");
    kit_route(&k, &a);
    assert_non_null(strstr(a.because, "there is no ledger here"));
}

static const char left[] = "return require 'route'.hold('left: ' .. limit.left(limit.per_minute('acme', 5)))";

static void left_is_told_at_once_where_it_is_known(void **state) {
    (void)state;
    at_once = true;
    plan_of(left);
    at_once = false;
    assert_string_equal(a.because, "left: 2");
    assert_string_equal(asked, "acme 60");
}

static void left_waits_for_whoever_knows(void **state) {
    (void)state;
    policy(left);
    a.calls = 0;
    hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    kit_turn(&k);
    assert_int_equal(a.calls, 0);
    tell_used(9); // more than this cap: others have a higher one
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
    assert_string_equal(a.because, "left: 0");
    struct hook_ticket *t = hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    assert_non_null(open_look);
    hook_cancel(&t);
    assert_null(open_look);
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plans_carry_their_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_part_transactions_not_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_list_is_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(alternatives_are_kept_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_limit_says_what_uses_it_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(left_is_told_at_once_where_it_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(left_waits_for_whoever_knows, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
