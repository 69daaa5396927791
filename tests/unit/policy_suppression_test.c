// SPDX-License-Identifier: MIT
#include "policy_one.h"

#include "store/suppression.h"

// A list of one entry for each scope, and what was asked of it.
static struct {
    struct suppression entries[4];
    size_t count;
    char asked[500];
    int calls;
} list;

static bool is_suppressed(void *arg, const struct bytes *scopes, size_t count, struct bytes address,
                          struct arena *texts, struct suppression *out) {
    (void)texts;
    assert_ptr_equal(arg, &list);
    struct buf line = {0};
    buf_format(&line, "%s%.*s in", list.asked, BYTES_FMT(address));
    for (size_t i = 0; i < count; i++)
        buf_format(&line, " %.*s", BYTES_FMT(scopes[i]));
    snprintf(list.asked, sizeof list.asked, "%s;", buf_z(&line));
    buf_release(&line);
    list.calls++;
    for (size_t i = 0; i < count; i++)
        for (size_t e = 0; e < list.count; e++)
            if (bytes_equal(list.entries[e].scope, scopes[i]) &&
                bytes_equal(list.entries[e].address, address)) {
                *out = list.entries[e];
                return true;
            }
    return false;
}

static void put(const char *address, const char *scope, const char *reason, int64_t until_ms) {
    list.entries[list.count++] = (struct suppression){.address = bytes_of(address),
                                                      .scope = bytes_of(scope),
                                                      .reason = bytes_of(reason),
                                                      .source = BYTES("operator"),
                                                      .added_ms = 1763821800500,
                                                      .until_ms = until_ms};
}

static int set_up_list(void **state) {
    memset(&list, 0, sizeof list);
    return set_up(state);
}

static void policy(const char *text) {
    char whole[4000];
    snprintf(whole, sizeof whole,
             "local route, retry, suppression, identity = require 'route', require 'retry', require "
             "'suppression', require 'identity'\n%s",
             text);
    kit_policy_with(&k, whole,
                    &(struct generation_options){.suppressed = is_suppressed, .suppressed_arg = &list});
}

static void has_tells_the_entry(void **state) {
    (void)state;
    policy("return { route = function(m, r)\n"
           "  local e = suppression.has('Bob@EXAMPLE.net', { stream = 'news', identity = 'acme' })\n"
           "  if not e then return route.hold('nil') end\n"
           "  local t = { e.address, e.scope, e.reason, e.source, e.added_at, tostring(e.expires_at) }\n"
           "  return route.hold(table.concat(t, '|'))\n"
           "end }");
    kit_route(&k, &a);
    assert_string_equal(a.because, "nil");
    assert_string_equal(list.asked, "bob@example.net in all stream:news identity:acme;");
    put("bob@example.net", "identity:acme", "blocked us", 1763900000250);
    kit_route(&k, &a);
    assert_string_equal(a.because,
                        "bob@example.net|identity:acme|blocked us|operator|1763821800.5|1763900000.25");
    put("bob@example.net", "all", "", 0);
    kit_route(&k, &a);
    assert_string_equal(a.because, "bob@example.net|all||operator|1763821800.5|nil");
}

static void has_refuses_what_is_no_question(void **state) {
    (void)state;
    static const struct {
        const char *call, *said;
    } cases[] = {
        {"suppression.has()", "string expected"},
        {"suppression.has(5 == 5)", "string expected"},
        {"suppression.has('a@b', 'news')", "{ stream = name, identity = name } is expected, not a string"},
        {"suppression.has('a@b', { strem = 'x' })", "unknown field 'strem'"},
        {"suppression.has('a@b', { 'x' })", "unknown field '?'"},
        {"suppression.has('a@b', { stream = 5 })", "stream: a name is expected, not a number"},
        {"suppression.guard('x')", "the route hook is expected"},
        {"suppression.bounces{ scpe = 'all' }", "unknown field 'scpe'"},
        {"suppression.bounces{ codes = '5.1.1' }", "codes: a list is expected"},
        {"retry.ladder{ suppress = 5 }", "a rule is expected"},
        {"retry.ladder{ 60, suppres = math.abs }", "unknown field 'suppres'"},
        {"retry.ladder{ 60, supress = 5 }", "unknown field 'supress'"},
    };
    char text[400];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "return { route = function(m, r) %s return route.hold('taken') end }",
                 cases[i].call);
        policy(text);
        kit_route(&k, &a);
        if (!strstr(a.because, cases[i].said)) fail_msg("%s: %s", cases[i].call, a.because);
        assert_int_equal(a.plan->kind, PLAN_WAIT); // a fault
        assert_true(a.plan->origin.fault);
    }
    assert_string_equal(list.asked, "");
}

static void what_can_be_on_no_list_is_not(void **state) {
    (void)state;
    policy("return { route = function(m, r)\n"
           "  for _, address in ipairs{ '', 'postmaster', 'a b', '@', 'a\\0b@c' } do assert(not "
           "suppression.has(address)) end\n"
           "  local long = string.rep('x', 500)\n"
           "  for _, name in ipairs{ '', long, 'a\\nb', 'a\\0b' } do assert(not suppression.has('a@b', { "
           "stream = name })) end\n"
           "  return route.hold('good')\n"
           "end }");
    kit_route(&k, &a);
    assert_string_equal(a.because, "good");
    assert_string_equal(list.asked, "a@b in all;a@b in all;a@b in all;a@b in all;");
}

static void without_a_list_has_fails(void **state) {
    (void)state;
    kit_policy(&k, "local suppression = require 'suppression'\n"
                   "return { route = function(m, r) suppression.has('a@b') end }");
    kit_route(&k, &a);
    assert_true(a.plan->origin.fault);
    assert_non_null(strstr(a.because, "there is no list here"));
    assert_null(
        kit_generation(&k, "require('suppression').has('a@b') return {}", NULL)); // not while scripts load
    assert_non_null(strstr(k.err.text, "only within a hook"));
}

static void look_ups_are_not_free(void **state) {
    (void)state;
    kit_policy_with(&k,
                    "local suppression = require 'suppression'\n"
                    "return { route = function(m, r) while true do suppression.has('a@b') end end }",
                    &(struct generation_options){
                        .suppressed = is_suppressed, .suppressed_arg = &list, .steps_max = 100000});
    kit_route(&k, &a);
    assert_true(a.plan->origin.fault);
    assert_in_range(list.calls, 1, 1000);
}

static void guard_asks_before_the_route(void **state) {
    (void)state;
    policy("local acme = identity.define{ name = 'acme' }\n"
           "local function way(m, r) return route.send{ via = route.capture{}, because = 'sent' } end\n"
           "return { route = suppression.guard(way, function(m, r) return { identity = acme, stream = "
           "m.tags.campaign } end) }");
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_SEND);
    assert_string_equal(list.asked, "bob@example.net in all stream:spring identity:acme;");
    put("bob@example.net", "stream:spring", "unsubscribed", 0);
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_SUPPRESS);
    assert_string_equal(a.because, "on the suppression list for stream:spring: unsubscribed");
    assert_int_equal(a.plan->reply.code, 550);
    assert_int_equal(a.plan->reply.status[1], 7);
    assert_int_equal(a.plan->suppress.scope.len, 0);
    policy("return { route = suppression.guard(function() end, { stream = 'spring', reply = '554 5.7.0 no "
           "more mail' }) }");
    kit_route(&k, &a);
    assert_int_equal(a.plan->reply.code, 554);
    assert_string_equal(a.plan->reply.text, "no more mail");
}

static void plans_ask_for_entries(void **state) {
    (void)state;
    policy("return { route = function(m, r) return route.fail('550 5.1.1 gone', 'left us', { scope = "
           "'stream:x', reason = 'left', expires = '2d' }) end }");
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_FAIL);
    assert_true(bytes_equal(a.plan->suppress.scope, BYTES("stream:x")));
    assert_true(bytes_equal(a.plan->suppress.reason, BYTES("left")));
    assert_int_equal(a.plan->suppress.expires_s, 2 * 86400);
    assert_true(bytes_search(
                    a.plan->json,
                    BYTES("\"suppress\":{\"scope\":\"stream:x\",\"reason\":\"left\",\"expires_s\":172800}")) >
                0);
    policy("return { route = function(m, r) return route.suppress('never again', nil, {}) end }");
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_SUPPRESS);
    assert_int_equal(a.plan->reply.code, 550);
    assert_true(bytes_equal(a.plan->suppress.scope, BYTES("all")));
    assert_int_equal(a.plan->suppress.reason.len, 0);
    assert_int_equal(a.plan->suppress.expires_s, 0);
}

static struct verdict ask_retry(struct outcome_facts o) {
    hook_retry(k.g, &kit_message, &kit_recipient, &o, kit_on_verdict, &a);
    turn_once();
    return a.verdict;
}

// What the callback saw of the wish; texts do not outlive it.
static char wish[600];
static void on_wish(void *arg, const struct verdict *v) {
    snprintf(wish, sizeof wish, "%d %.*s|%.*s|%lld", v->kind, BYTES_FMT(v->suppress.scope),
             BYTES_FMT(v->suppress.reason), (long long)v->suppress.expires_s);
    kit_on_verdict(arg, v);
}

static const char *ask_wish(struct outcome_facts o) {
    strcpy(wish, "");
    hook_retry(k.g, &kit_message, &kit_recipient, &o, on_wish, &a);
    turn_once();
    return wish;
}

static void verdicts_ask_for_entries(void **state) {
    (void)state;
    policy(
        "return { retry = function(m, r, o)\n"
        "  if o.code == 550 then return retry.give_up('gone', nil, { reason = o.reply, expires = 90 * 86400 "
        "}) end\n"
        "  if o.code == 554 then return retry.elsewhere('not by us', nil, { scope = 'identity:acme' }) end\n"
        "  return retry.give_up('as it is')\n"
        "end }");
    struct outcome_facts o = kit_outcome(550);
    o.reply = reply_make(550, "5.1.1", "no such user");
    assert_string_equal(ask_wish(o), "2 all|550 5.1.1 no such user|7776000");
    o.reply = reply_make(554, "5.7.1", "not you");
    assert_string_equal(ask_wish(o), "1 identity:acme||0");
    o.reply = reply_make(552, "5.2.2", "full");
    assert_string_equal(ask_wish(o), "2 ||0");
    // A reason is cut between characters, not in one.
    o.reply = reply_make(550, "5.1.1", "%s", "");
    memset(o.reply.text, 0, sizeof o.reply.text);
    for (int i = 0; i < 300; i++)
        memcpy(o.reply.text + 2 * i, "\xc3\xb6", 2);
    ask_wish(o);
    assert_int_equal(bytes_find(bytes_of(wish), 0), -1);
    assert_in_range(strlen(wish), SUPPRESSION_WORDS, SUPPRESSION_WORDS + 20);
    assert_non_null(strstr(wish, "\xc3\xb6|7776000"));
}

static void bad_wishes_are_faults_with_the_field(void **state) {
    (void)state;
    static const struct {
        const char *wish, *said;
    } cases[] = {
        {"{ scope = 'everyone' }",
         "suppress.scope: \"all\", \"stream:NAME\" or \"identity:NAME\" is expected, not 'everyone'"},
        {"{ scope = 'stream:' }", "suppress.scope"},
        {"{ scop = 'all' }", "suppress.scop"},
        {"{ reason = 5 }", "suppress.reason: a text is expected"},
        {"{ expires = 0 }", "suppress.expires"},
        {"'all'", "suppress: a table is expected"},
    };
    char text[400];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "return { retry = function(m, r, o) return retry.give_up('x', nil, %s) end }",
                 cases[i].wish);
        policy(text);
        assert_int_equal(ask_retry(kit_outcome(550)).kind, VERDICT_WAIT);
        if (!strstr(a.because, cases[i].said)) fail_msg("%s: %s", cases[i].wish, a.because);
    }
}

static void only_hard_bounces_of_the_recipients_own_server_count(void **state) {
    (void)state;
    static const struct {
        int code;
        const char *status, *stage, *via;
        bool local, counts;
    } cases[] = {
        {550, "5.1.1", "rcpt", "direct", false, true},     {553, "5.1.3", "rcpt", "direct", false, true},
        {551, "5.1.6", "rcpt", "direct", false, true},     {550, "5.2.1", "rcpt", "direct", false, true},
        {550, "5.1.1", "rcpt", "relay", false, false},     {550, "5.1.1", "rcpt", "lmtp", false, false},
        {550, "5.1.1", "content", "direct", false, false}, {550, "5.1.1", "mail", "direct", false, false},
        {550, "5.1.1", "rcpt", "direct", true, false},     {450, "4.1.1", "rcpt", "direct", false, false},
        {550, "5.1.2", "rcpt", "direct", false, false},    {556, "5.1.10", "rcpt", "direct", false, false},
        {552, "5.2.2", "rcpt", "direct", false, false},    {550, "5.4.5", "rcpt", "direct", false, false},
        {550, "5.7.1", "rcpt", "direct", false, false},    {550, "5.7.232", "rcpt", "direct", false, false},
        {530, "5.7.0", "rcpt", "direct", false, false},    {550, "5.7.26", "rcpt", "direct", false, false},
        {550, NULL, "rcpt", "direct", false, false},       {554, "5.0.0", "rcpt", "direct", false, false},
    };
    policy("return { retry = retry.ladder{ suppress = suppression.bounces{ expires = '30d' } } }");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome_facts o = kit_outcome(cases[i].code);
        o.reply = reply_make(cases[i].code, cases[i].status, "words");
        o.stage = bytes_of(cases[i].stage);
        o.via = bytes_of(cases[i].via);
        o.local = cases[i].local;
        ask_wish(o);
        bool counted = strstr(wish, " all|bounced: ") && strstr(wish, "words|2592000");
        if (counted != cases[i].counts)
            fail_msg("%d %s at %s by %s: %s", cases[i].code, cases[i].status ? cases[i].status : "",
                     cases[i].stage, cases[i].via, wish);
    }
    // Nothing is added unless the policy asked for it.
    policy("return {}");
    struct outcome_facts o = kit_outcome(550);
    o.reply = reply_make(550, "5.1.1", "no such user");
    o.stage = BYTES("rcpt");
    o.via = BYTES("direct");
    assert_string_equal(ask_wish(o), "2 ||0");
}

static void rules_have_choices(void **state) {
    (void)state;
    struct outcome_facts o = kit_outcome(550);
    o.reply = reply_make(550, "5.7.9", "no such user");
    o.stage = BYTES("rcpt");
    o.via = BYTES("relay");
    o.identity = BYTES("acme");
    policy("return { retry = retry.ladder{ 60, suppress = suppression.bounces{ scope = 'identity', codes = { "
           "'5.7.9' }, ways = { 'relay' } } } }");
    assert_string_equal(ask_wish(o), "2 identity:acme|bounced: 550 5.7.9 no such user|0");
    o.identity = BYTES("");
    assert_string_equal(ask_wish(o), "2 all|bounced: 550 5.7.9 no such user|0");
    policy("return { retry = retry.ladder{ 60, suppress = suppression.bounces{ scope = 'stream:ads', codes = "
           "{ '5.7.9' }, ways = { 'relay' } } } }");
    assert_string_equal(ask_wish(o), "2 stream:ads|bounced: 550 5.7.9 no such user|0");
    struct message_facts m = kit_message;
    m.tags = BYTES("{\"stream\":\"news\"}");
    policy("return { retry = retry.ladder{ 60, suppress = suppression.bounces{ scope = 'stream', codes = { "
           "'5.7.9' }, ways = { 'relay' } } } }");
    hook_retry(k.g, &m, &kit_recipient, &o, on_wish, &a);
    turn_once();
    assert_string_equal(wish, "2 stream:news|bounced: 550 5.7.9 no such user|0");
    o.reply.code = 450;
    o.reply.status[0] = 4;
    struct verdict v = ask_retry(o);
    assert_int_equal(v.kind, VERDICT_WAIT);
    assert_in_range(v.wait_s, 54, 66);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(has_tells_the_entry, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(has_refuses_what_is_no_question, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(what_can_be_on_no_list_is_not, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(without_a_list_has_fails, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(look_ups_are_not_free, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(guard_asks_before_the_route, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(plans_ask_for_entries, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(verdicts_ask_for_entries, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(bad_wishes_are_faults_with_the_field, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(only_hard_bounces_of_the_recipients_own_server_count, set_up_list, tear_down),
        cmocka_unit_test_setup_teardown(rules_have_choices, set_up_list, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
