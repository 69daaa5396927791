// SPDX-License-Identifier: MIT
// lab_ledger: what a lab says of limits is what the gateway's ledger would say; stories spend, wait and are passed over by it.
#include "lab_kit.h"
#include "policy/story.h"
#include "relay/account.h"
#include "relay/lab_ledger.h"

static const int64_t start_ms = LAB_MORNING;
static struct lab_ledger *ledger;
static struct lab_limits limits;
static struct kit k;
static struct buf told;

static int set_up(void **state) {
    (void)state;
    kit_open(&k);
    setenv("TZ", "UTC", 1);
    ledger = lab_ledger_new();
    limits = lab_ledger_limits(ledger);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    lab_ledger_free(&ledger);
    buf_release(&told);
    kit_close(&k);
    return 0;
}

static struct spend a_day(const char *key, uint64_t cap) {
    return (struct spend){.key = bytes_of(key), .window_s = 86400, .cap = cap};
}

static struct limit_state look(const struct spend *s, uint64_t n, int64_t at_ms) {
    struct limit_state out;
    limits.look(limits.arg, s, n, at_ms, &out);
    return out;
}

static void what_was_spent_is_used_until_it_falls_out(void **state) {
    (void)state;
    struct spend s = a_day("box/ann", 3);
    struct limit_state l = look(&s, 3, start_ms);
    assert_int_equal(l.used, 0);
    assert_int_equal(l.next_free_ms, 0);
    assert_true(l.room_at_ms <= start_ms);
    limits.spend(limits.arg, &s, 2, start_ms);
    assert_true(look(&s, 1, start_ms).room_at_ms <= start_ms);
    l = look(&s, 2, start_ms);
    assert_int_equal(l.used, 2);
    // The arithmetic is the account's.
    struct account a;
    account_init(&a, 86400, start_ms);
    account_hold(&a, 2);
    account_spend(&a, 2);
    assert_int_equal(l.room_at_ms, account_free_at(&a, 3, 2));
    assert_int_equal(l.next_free_ms, account_next_free(&a));
    assert_true(look(&s, 2, l.room_at_ms - 1).room_at_ms > l.room_at_ms - 1);
    assert_true(look(&s, 2, l.room_at_ms).room_at_ms <= l.room_at_ms);
    assert_int_equal(look(&s, 2, l.room_at_ms).used, 0);
}

static void keys_and_windows_are_apart_caps_are_not(void **state) {
    (void)state;
    struct spend s = a_day("box/ann", 3), other = a_day("box/bob", 3), wide = a_day("box/ann", 10), hour = s;
    hour.window_s = 3600;
    limits.spend(limits.arg, &s, 3, start_ms);
    assert_int_equal(look(&other, 1, start_ms).used, 0);
    assert_int_equal(look(&hour, 1, start_ms).used, 0);
    assert_int_equal(look(&wide, 1, start_ms).used, 3);
    assert_true(look(&wide, 7, start_ms).room_at_ms <= start_ms);
    assert_true(look(&wide, 8, start_ms).room_at_ms > start_ms);
}

static void the_peer_is_believed_until_its_time_is_over(void **state) {
    (void)state;
    struct spend s = a_day("box/ann", 100);
    limits.fill(limits.arg, &s, start_ms + 60000, start_ms);
    struct limit_state l = look(&s, 1, start_ms);
    assert_int_equal(l.full_until_ms, start_ms + 60000);
    assert_int_equal(l.room_at_ms, start_ms + 60000);
    assert_int_equal(l.used, 0);
    assert_int_equal(look(&s, 1, start_ms + 60000).full_until_ms, 0);
}

static void no_number_overflows_an_account_and_clear_forgets(void **state) {
    (void)state;
    struct spend s = a_day("box/ann", 100);
    for (int i = 0; i < 3; i++) limits.spend(limits.arg, &s, UINT64_MAX, start_ms);
    assert_int_equal(look(&s, 1, start_ms).used, ACCOUNT_CAP_MAX);
    limits.clear(limits.arg);
    assert_int_equal(look(&s, 1, start_ms).used, 0);
}

// ---- in stories

static void on_told(void *arg, const struct story_result *r) {
    (void)arg;
    buf_format(&told, "%s ", r->passed ? "passed" : "failed");
    if (!r->passed) buf_add(&told, r->failure);
}

static const char policy[] =
    "local route, retry = require 'route', require 'retry'\n"
    "local function way(n, cap, more)\n"
    "  local l = { limit.per_day('box/' .. n, cap, more) }\n"
    "  return route.send { via = route.relay { host = n .. '.example' }, spend = l, because = n .. ' has ' .. limit.left(l[1]) }\n"
    "end\n"
    "return {\n"
    "  route = function(m, r)\n"
    "    if r.domain == 'one.example' then return way('only', 2) end\n"
    "    if r.domain == 'last.example' then return route.first { way('first', 1), route.fail('550 5.7.1 no room', 'all full') } end\n"
    "    if r.domain == 'tries.example' then return way('tries', 2, { count = 'attempts' }) end\n"
    "    return route.first { way('first', 1, { exhausted_by = 'quota' }), way('second', 1) }\n"
    "  end,\n"
    "  retry = function(m, r, o)\n"
    "    if o.code == 552 then return retry.elsewhere('full, it says', false, nil, { by = 'quota', seconds = 600 }) end\n"
    "    return retry.wait(60, 'again')\n"
    "  end,\n"
    "}\n";
#define TO(domain) "local m = t:session { trusted_network = true }:message { from = 'a@b.example', to = 'c@" domain "' }\n"

static void run(const char *body, bool with) {
    char text[6000];
    snprintf(text, sizeof text, "local story = require 'story'\nstory('s', function(t)\n%s\nend)", body);
    struct story_options o = {.bundle = kit_bundle(&k, policy), .usual = &k.usual, .told = on_told};
    if (with) o.limits = limits;
    buf_reset(&told);
    if (!story_run("my.story.lua", bytes_of(text), &o, &k.err)) fail_msg("%s", k.err.text);
}

static void passes(const char *body) {
    run(body, true);
    if (strcmp(buf_z(&told), "passed ") != 0) fail_msg("%s", buf_z(&told));
}

static void stories_spend_and_wait(void **state) {
    (void)state;
    passes(TO("one.example")
           "m:route():expect { kind = 'send', goes = 1, ways = { { limits = { { key = 'box/only', used = 0, left = 2, cap = 2, room = true } } } } }\n"
           "m:goes():expect { kind = 'send', because = 'only has 2', way = 1 }\n"
           "m:outcome '250 2.0.0 ok'\n"
           "m:goes():expect { because = 'only has 1' }\n"
           "t:spend(limit.per_day('box/only', 5), 1)\n"
           "m:route():expect { because = 'only has 0', goes = story.absent, waits_for = 'box/only', waits_s = story.between(86400, 88000) }\n"
           "m:goes():expect { kind = 'wait', limit = 'box/only' }\n"
           "m:deliver('250 2.0.0 ok'):expect { kind = 'delivered', attempts = 1, took = story.between(86400, 88000) }\n");
}

static void stories_take_the_way_that_has_room(void **state) {
    (void)state;
    passes(TO("d.example")
           "m:deliver('250 ok').plans[1]:expect { way = 1, via = { host = 'first.example' } }\n" TO("d.example")
           "m:deliver('250 ok').plans[1]:expect { way = 2, via = { host = 'second.example' }, because = 'second has 1' }\n" TO("d.example")
           "m:goes():expect { kind = 'wait', limit = 'box/first' }\n");
    passes(TO("last.example") "t:spend(limit.per_day('box/first', 1))\n"
           "m:goes():expect { kind = 'fail', way = 2, reply = '550 5.7.1 no room', because = 'all full' }\n"
           "m:deliver('250 ok'):expect 'bounced'\n");
}

static void a_peer_that_says_full_is_passed_over(void **state) {
    (void)state;
    passes(TO("d.example") "m:goes():expect { way = 1 }\n"
           "m:outcome('552 5.2.2 quota'):expect { kind = 'elsewhere', exhaust = { by = 'quota', seconds = 600 } }\n"
           "m:goes():expect { way = 2, because = 'second has 1' }\n"
           "m:route():expect { because = 'first has 0' }\n"
           "t:after '10m'\n"
           "m:goes():expect { way = 1, because = 'first has 1' }\n"
           "t:exhaust(limit.per_day('box/first', 1), '1h')\n"
           "m:goes():expect { way = 2 }\n");
}

static void refusals_count_where_attempts_do(void **state) {
    (void)state;
    passes(TO("tries.example")
           "m:deliver { '450 4.2.0 later', '450 4.2.0 later', '250 ok' }:expect { kind = 'delivered', attempts = 3, took = story.between(86400, 90000) }\n");
    passes(TO("one.example") "m:deliver { '450 4.2.0 later', '450 4.2.0 later', '250 ok' }:expect { kind = 'delivered', attempts = 3, took = 120 }\n");
}

static void without_a_ledger_nobody_knows(void **state) {
    (void)state;
    run("t:spend(limit.per_day('box/only', 5))", false);
    assert_non_null(strstr(buf_z(&told), "failed spend: there is no ledger here"));
    run(TO("one.example") "m:route():expect { fault = true, because = story.has 'there is no ledger here' }", false);
    assert_string_equal(buf_z(&told), "passed ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_spent_is_used_until_it_falls_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_and_windows_are_apart_caps_are_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_peer_is_believed_until_its_time_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_number_overflows_an_account_and_clear_forgets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stories_spend_and_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stories_take_the_way_that_has_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_says_full_is_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_count_where_attempts_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_ledger_nobody_knows, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
