// SPDX-License-Identifier: MIT
// lookup: what a hook learns from the world is kept, and a generation that has a source learns the same from it.
#include "policy_one.h"

#include "policy/lookup.h"

static struct buf kept;
static char because[600];
static struct { // what was asked of the source and not known
    char unknown[200];
    struct bytes left;
} told;

static int set_up_told(void **state) {
    memset(&told, 0, sizeof told);
    return set_up(state);
}

static int tear_down_told(void **state) {
    buf_release(&kept);
    return tear_down(state);
}

static struct hook_ticket *ticket;

static void on_plan(void *arg, const struct plan *plan) {
    (void)arg;
    struct hook_trace trace = hook_trace(ticket);
    assert_int_equal(trace.at_ms, 1763821804678);
    buf_reset(&kept);
    buf_add(&kept, trace.looked);
    snprintf(because, sizeof because, "%.*s", BYTES_FMT(plan->origin.because));
    a.calls++;
}

static void ask(void) {
    a.calls = 0;
    ticket = hook_route(k.g, &kit_message, &kit_recipient, on_plan, NULL);
}

static bool find(void *arg, struct bytes question, struct bytes *answer, int64_t *after_ms) {
    (void)arg;
    struct bytes rest = told.left;
    for (struct lookup l; lookup_next(&rest, &l);) {
        if (!bytes_equal(l.question, question)) continue;
        *answer = l.answer;
        *after_ms = l.after_ms;
        return true;
    }
    snprintf(told.unknown, sizeof told.unknown, "%.*s", BYTES_FMT(question));
    return false;
}

static bool knows(void *arg, struct bytes name) {
    (void)arg;
    return bytes_equal_nocase(name, BYTES("Subject"));
}

static bool used(void *arg, const struct spend *s, uint64_t *out, void (*answer)(void *arg, uint64_t used), void *answer_arg,
                 struct limit_look **look) {
    (void)arg, (void)s, (void)answer, (void)answer_arg, (void)look;
    *out = 7;
    return true;
}

static bool suppressed(void *arg, const struct bytes *scopes, size_t count, struct bytes address, struct arena *texts,
                       struct suppression *out) {
    (void)arg, (void)scopes, (void)count, (void)texts;
    *out = (struct suppression){.address = address, .scope = BYTES("all"), .reason = BYTES("asked"), .source = BYTES("")};
    return bytes_equal(address, BYTES("bob@example.net"));
}

static const char policy[] =
    "local suppression = require 'suppression'\n"
    "local route = require 'route'\n"
    "return { route = function(message, recipient)\n"
    "  local mx = dns.mx 'example.net'\n"
    "  local none, why, again = dns.a 'nowhere.example'\n"
    "  local left = limit.left(limit.per_day('acme', 10))\n"
    "  local has = suppression.has('bob@example.net')\n"
    "  local free = suppression.has('eve@example.net')\n"
    "  local die, secret = math.random(1, 1000000), crypto.hex(crypto.random(8))\n"
    "  return route.wait(5, table.concat({ mx[1].host, why, tostring(again), left, has and has.reason or '-', tostring(free), die,\n"
    "                                      secret, clock.now(), os.time(), tostring(message:header 'Subject') }, ' '))\n"
    "end }";

static void keeps_and_gives_back(void **state) {
    (void)state;
    struct generation_options o = {.keep_lookups = true, .limit_used = used, .suppressed = suppressed};
    kit_policy_with(&k, policy, &o);
    ask();
    struct dns_record mx = {.mx = {10, "mx.example.net"}};
    k.clock.frozen_ms += 1500; // an answer takes its time; while it runs at a stretch, none passes
    kit_dns(&(struct dns_answer){.status = DNS_OK, .count = 1, .records = &mx, .why = ""});
    k.clock.frozen_ms += 1000;
    kit_dns(&(struct dns_answer){.status = DNS_TEMPORARY, .why = "servers are silent"});
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
    assert_memory_equal(because, "mx.example.net servers are silent true 3 asked nil ", 51);
    char live[600];
    snprintf(live, sizeof live, "%s", because);
    assert_non_null(strstr(live, " 1763821807.178 1763821807 one two"));

    // Again, without a world: the same words, the same chance, the same time.
    struct buf copy = {0};
    buf_add(&copy, buf_bytes(&kept));
    told.left = buf_bytes(&copy);
    k.clock.frozen_ms = 1763821804678;
    struct lookup_source source = {.find = find, .knows_header = knows};
    kit_policy_with(&k, policy, &(struct generation_options){.source = &source});
    ask();
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
    assert_string_equal(because, live);
    assert_string_equal(told.unknown, "");
    buf_release(&copy);
}

static void says_what_is_not_known(void **state) {
    (void)state;
    struct lookup_source source = {.find = find, .knows_header = knows};
    kit_policy_with(&k, "return { route = function() return require('route').hold(dns.txt('x.example')[1]) end }",
                    &(struct generation_options){.source = &source});
    ask();
    kit_turn(&k);
    assert_non_null(strstr(because, "'txt x.example' was not asked when this was recorded"));
    assert_string_equal(told.unknown, "txt x.example");
    kit_policy_with(&k, "return { route = function(m) return require('route').hold(m:header 'X-Kind') end }",
                    &(struct generation_options){.source = &source});
    ask();
    kit_turn(&k);
    assert_non_null(strstr(because, "'X-Kind' was not kept"));
}

static void is_bounded(void **state) {
    (void)state;
    kit_policy_with(&k, "return { route = function() for i = 1, 5000 do math.random(i) end return require('route').hold 'x' end }",
                    &(struct generation_options){.keep_lookups = true});
    ask();
    kit_turn(&k);
    assert_true(kept.len > 0 && kept.len < LOOKUPS_MAX + LOOKUP_MAX + LOOKUP_QUESTION + 8);
    kit_policy_with(&k, "return { route = function() math.random(9) return require('route').hold 'x' end }", NULL);
    ask();
    kit_turn(&k);
    assert_int_equal(kept.len, 0); // nobody asked to keep it
}

static void damage_is_an_end(void **state) {
    (void)state;
    struct lookup l;
    struct bytes rest = BYTES("\0\0\0\1\0\2\0\2abcd\0\0\0\1\0\377\0\1x");
    assert_true(lookup_next(&rest, &l));
    assert_int_equal(l.after_ms, 1);
    assert_memory_equal(l.question.at, "abcd", 4);
    assert_false(lookup_next(&rest, &l));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_and_gives_back, set_up_told, tear_down_told),
        cmocka_unit_test_setup_teardown(says_what_is_not_known, set_up_told, tear_down_told),
        cmocka_unit_test_setup_teardown(is_bounded, set_up_told, tear_down_told),
        cmocka_unit_test(damage_is_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
