// SPDX-License-Identifier: MIT
#include "policy_one.h"

// ---- defaults

static void without_hooks_the_defaults_answer(void **state) {
    (void)state;
    kit_policy(&k, "return {}");
    hook_connect(k.g, &kit_session, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    hook_sender(k.g, &kit_session, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    hook_message(k.g, &kit_session, &kit_message, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    turn_once();
    assert_int_equal(a.plan->kind, PLAN_HOLD);
    assert_string_equal(a.because, "no route in the policy");
    assert_false(a.plan->origin.fault);
    hook_settle(k.g, BYTES("{}"));
    assert_false(hook_is_defined(k.g, "route") || hook_is_defined(k.g, "settle") ||
                 hook_is_defined(k.g, "retry"));
}

static void by_default_nobody_relays_without_login(void **state) {
    (void)state;
    kit_policy(&k, "return {}");
    struct session_facts s = kit_session;
    hook_recipient(k.g, &s, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    s.user = BYTES("");
    hook_recipient(k.g, &s, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_REJECT);
    assert_int_equal(a.answer.reply.code, 550);
    assert_int_equal(a.answer.reply.status[1], 7);
    s.trusted_network = true;
    hook_recipient(k.g, &s, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
}

static void by_default_the_users_file_decides_logins(void **state) {
    (void)state;
    kit_policy(&k, "return {}");
    struct login_facts l = {.mechanism = BYTES("PLAIN"),
                            .user = BYTES("demo"),
                            .password = BYTES("x"),
                            .known = BYTES("{\"from\":\"*\"}")};
    hook_authenticate(k.g, &kit_session, &l, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_REJECT);
    assert_int_equal(a.answer.reply.code, 535);
    l.password_matches = true;
    hook_authenticate(k.g, &kit_session, &l, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    assert_string_equal(a.facts, "{\"from\":\"*\"}");
    l.authzid = BYTES("demo"); // as himself, said in words
    hook_authenticate(k.g, &kit_session, &l, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    l.authzid = BYTES("root"); // the right password of one is no right to be another
    hook_authenticate(k.g, &kit_session, &l, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_REJECT);
    assert_int_equal(a.answer.reply.code, 535);
}

static struct verdict ask_retry(struct outcome_facts o, uint32_t attempts) {
    struct recipient_facts r = kit_recipient;
    r.attempts = attempts;
    o.attempt = attempts + 1;
    hook_retry(k.g, &kit_message, &r, &o, kit_on_verdict, &a);
    turn_once();
    return a.verdict;
}

static void a_verdict_says_what_it_was(void **state) {
    (void)state;
    static const char *const verdicts[] = {"retry.wait { seconds = 9, about = { fault = 'a', class = 'b' } }", "retry.elsewhere { about = { fault = 'a', class = 'b' } }",
                                           "retry.give_up('x', nil, nil, nil, nil, nil, { fault = 'a', class = 'b' })"};
    static const enum verdict_kind kinds[] = {VERDICT_WAIT, VERDICT_ELSEWHERE, VERDICT_GIVE_UP};
    for (size_t i = 0; i < 3; i++) {
        char policy[300];
        snprintf(policy, sizeof policy, "local retry = require 'retry'; return { retry = function() return %s end }", verdicts[i]);
        kit_policy(&k, policy);
        struct verdict v = ask_retry(kit_outcome(450), 0);
        assert_int_equal(v.kind, kinds[i]);
        assert_true(bytes_equal(v.about.fault, BYTES("a")) && bytes_equal(v.about.class, BYTES("b")));
    }
    kit_policy(&k, "local retry = require 'retry'; return { retry = function() return retry.wait { seconds = 9, about = { class = 'b' } } end }");
    assert_true(ask_retry(kit_outcome(450), 0).origin.fault);
    assert_non_null(strstr(a.because, "about.fault"));
    kit_policy(&k, "return {}");
    assert_int_equal(ask_retry(kit_outcome(450), 0).about.fault.len, 0);
}

static void the_default_ladder_climbs(void **state) {
    (void)state;
    kit_policy(&k, "return {}");
    struct outcome_facts o = kit_outcome(450);
    static const int steps[] = {300, 600, 1200, 2400, 3600, 7200, 14400, 14400, 14400};
    for (uint32_t i = 0; i < 9; i++) {
        struct verdict v = ask_retry(o, i);
        assert_int_equal(v.kind, VERDICT_WAIT);
        assert_true(v.counts);
        assert_in_range(v.wait_s, steps[i] * 9 / 10, steps[i] * 11 / 10);
        assert_int_equal(ask_retry(o, i).wait_s, v.wait_s); // the same when asked again
    }
    assert_int_equal(ask_retry(kit_outcome(550), 0).kind, VERDICT_GIVE_UP);
    // Near the end one last attempt, then none.
    o.expires_ms = k.clock.frozen_ms + 200 * 1000;
    struct verdict v = ask_retry(o, 0);
    assert_int_equal(v.kind, VERDICT_WAIT);
    assert_in_range(v.wait_s, 100, 199);
    o.expires_ms = k.clock.frozen_ms + 20 * 1000;
    assert_int_equal(ask_retry(o, 0).kind, VERDICT_GIVE_UP);
}

// ---- answers

static const char all_hooks[] =
    "local answer = require 'answer'\n"
    "local retry = require 'retry'\n"
    "local p = {}\n"
    "function p.connect(s) return answer.accept{ because = s.client_ip .. ' ' .. s.client_port } end\n"
    "function p.authenticate(s, l)\n"
    "  if l.password == 'right' then return answer.accept{ facts = { team = 'a', n = 3 } } end\n"
    "  return answer.reject('535 5.7.8 no', l.mechanism)\n"
    "end\n"
    "function p.sender(s, a) return answer.defer('451 4.7.1 later', a.address .. ' ' .. a.size) end\n"
    "function p.recipient(s, a) return answer.reject('550 5.7.1 not ' .. a.local_part, a.domain) end\n"
    "function p.message(s, m)\n"
    "  return answer.accept{ tags = { subject = m:header('subject'), many = m:headers('X-Many') }, expires = "
    "'2h',\n"
    "    headers = { { add = 'X-A', value = '1' }, { set = 'Subject', value = 'new' }, { remove = 'X-Many' } "
    "} }\n"
    "end\n"
    "function p.retry(m, r, o) return retry.give_up(o.stage .. ' ' .. o.code .. ' ' .. o.status, '554 5.0.0 "
    "over') end\n"
    "return p";

static void answers_come_out_as_data(void **state) {
    (void)state;
    kit_policy(&k, all_hooks);
    assert_true(hook_is_defined(k.g, "message"));
    assert_false(hook_is_defined(k.g, "nonsense"));
    hook_connect(k.g, &kit_session, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    assert_string_equal(a.because, "192.0.2.7 4711");
    assert_string_equal(a.where, "policy.lua:4");
    assert_int_equal(a.answer.reply.code, 0);

    struct login_facts l = {.mechanism = BYTES("PLAIN"), .password = BYTES("right")};
    hook_authenticate(k.g, &kit_session, &l, kit_on_answer, &a);
    turn_once();
    assert_string_equal(a.facts, "{\"n\":3,\"team\":\"a\"}");
    l.password = BYTES("wrong");
    hook_authenticate(k.g, &kit_session, &l, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_REJECT);
    assert_string_equal(a.because, "PLAIN");

    hook_sender(k.g, &kit_session, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_DEFER);
    assert_int_equal(a.answer.reply.code, 451);
    assert_string_equal(a.because, "bob@example.net 1234");

    hook_recipient(k.g, &kit_session, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_REJECT);
    assert_string_equal(a.answer.reply.text, "not bob");

    hook_message(k.g, &kit_session, &kit_message, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    assert_string_equal(a.tags, "{\"many\":[\"a\",\"b\"],\"subject\":\"one two\"}");
    assert_string_equal(a.edits, "+X-A:1;=Subject:new;-X-Many:;");
    assert_int_equal(a.answer.expires_s, 7200);

    struct outcome_facts o = kit_outcome(450);
    hook_retry(k.g, &kit_message, &kit_recipient, &o, kit_on_verdict, &a);
    turn_once();
    assert_int_equal(a.verdict.kind, VERDICT_GIVE_UP);
    assert_int_equal(a.verdict.reply.code, 554);
    assert_string_equal(a.because, "rcpt 450 4.2.0");
    assert_string_equal(a.where, "policy.lua:15");
}

static void facts_have_their_fields(void **state) {
    (void)state;
    kit_policy(&k, "local route = require 'route'\n"
                   "local function route_(m, r)\n"
                   "  local t = { m.id, m.sender, m.user, m.session.client_ip, m.tags.campaign, m.size, "
                   "m.received_at, m.expires_at,\n"
                   "    m.recipient_count, m.recipients, m.is_report, r.address, r.local_part, r.domain, "
                   "r.number, r.attempts, r.last_at, r.last.code }\n"
                   "  for i = 1, 18 do t[i] = tostring(t[i]) end\n"
                   "  return route.hold(table.concat(t, ' '))\n"
                   "end\n"
                   "return { route = route_ }");
    kit_route(&k, &a);
    assert_string_equal(
        a.because,
        "0000000000001234 alice@example.org demo 192.0.2.9 spring 2048 1763821800.5 1764253800.5 1 nil false "
        "bob@example.net bob example.net 2 1 1763821803.0 450");
    kit_policy(&k, "local answer = require 'answer'\n"
                   "return { message = function(s, m)\n"
                   "  local names = {}\n"
                   "  for i, r in ipairs(m.recipients) do names[i] = r end\n"
                   "  return answer.accept{ because = table.concat(names, ',') .. ' ' .. s.user_facts.from "
                   ".. ' ' .. #s.user_facts.n ..\n"
                   "    ' ' .. table.concat(m.recipients, '+') .. ' ' .. s.tls_version .. ' ' .. "
                   "tostring(m:header('None')) } end }");
    struct message_facts m = kit_message;
    const struct bytes recipients[] = {BYTES("a@x"), BYTES("b@y")};
    m.recipients = recipients;
    m.recipient_count = 2;
    hook_message(k.g, &kit_session, &m, kit_on_answer, &a);
    turn_once();
    assert_string_equal(a.because, "a@x,b@y *@example.org 2 a@x+b@y TLSv1.3 nil");
}

static void session_facts_survive_as_text(void **state) {
    (void)state;
    struct buf out = {0};
    session_facts_encode(&kit_session, &out);
    kit_policy(&k, "local route = require 'route'\n"
                   "return { route = function(m)\n"
                   "  local s = m.session\n"
                   "  return route.hold(s.client_ip .. s.client_port .. s.user .. s.user_facts.from .. "
                   "tostring(s.trusted_network)) end }");
    struct message_facts m = kit_message;
    m.session = buf_bytes(&out);
    hook_route(k.g, &m, &kit_recipient, kit_on_plan, &a);
    turn_once();
    assert_string_equal(a.because, "192.0.2.74711demo*@example.orgfalse");
    buf_release(&out);
}

static void settle_is_told(void **state) {
    (void)state;
    kit_policy(&k, "local seen = 0\n"
                   "return { settle = function(e) seen = seen + e.n end,\n"
                   "  route = function() return require 'route'.hold('seen ' .. seen) end }");
    hook_settle(k.g, BYTES("{\"n\":2}"));
    hook_settle(k.g, BYTES("{\"n\":3}"));
    kit_route(&k, &a);
    assert_string_equal(a.because, "seen 5");
}

// ---- faults

static void a_fault_is_temporary(void **state) {
    (void)state;
    struct generation_stats stats;
    kit_policy(&k, "local p = {}\n"
                   "local function boom() local x\n return x.y end\n"
                   "p.connect, p.route, p.retry, p.settle = boom, boom, boom, boom\n"
                   "return p");
    hook_connect(k.g, &kit_session, kit_on_answer, &a);
    turn_once();
    assert_int_equal(a.answer.kind, ANSWER_DEFER);
    assert_int_equal(a.answer.reply.code, 451);
    assert_int_equal(a.answer.reply.status[1], 3);
    assert_true(a.answer.origin.fault);
    assert_string_equal(a.where, "policy.lua:3");
    assert_string_equal(a.because, "policy.lua:3: attempt to index a nil value (local 'x')");
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_WAIT);
    assert_true(a.plan->wait_s > 0);
    assert_true(a.plan->origin.fault);
    struct outcome_facts o = kit_outcome(450);
    a.calls = 0;
    hook_retry(k.g, &kit_message, &kit_recipient, &o, kit_on_verdict, &a);
    turn_once();
    assert_int_equal(a.verdict.kind, VERDICT_WAIT);
    assert_false(a.verdict.counts);
    hook_settle(k.g, BYTES("{}"));
    generation_get_stats(k.g, &stats);
    assert_int_equal(stats.faults, 4);
    assert_int_equal(stats.hooks, 4);
    assert_true(stats.memory > 10000);
}

static void budgets_end_hooks(void **state) {
    (void)state;
    kit_policy(&k, "return { route = function() while true do end end }");
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_WAIT);
    assert_non_null(strstr(a.because, "policy.lua:1: stopped: "));
    kit_policy(&k, "return { route = function() local t = {} for i = 1, 1e9 do t[i] = 'x' .. i end end }");
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_WAIT);
    assert_non_null(strstr(a.because, "stopped: "));
    // The state is fit for the next.
    kit_policy(&k, "local n = 0\n"
                   "return { route = function() n = n + 1\n if n < 20 then while true do end end\n"
                   "  return require 'route'.hold('n ' .. n) end }");
    for (int i = 0; i < 19; i++)
        kit_route(&k, &a);
    kit_route(&k, &a);
    assert_string_equal(a.because, "n 20");
}

static void expect_fault(const char *body, const char *words) {
    char policy[2000];
    snprintf(policy, sizeof policy,
             "local route, answer, retry = require 'route', require 'answer', require 'retry'\n"
             "local function f(m, r) %s end\n"
             "return { route = f, retry = f, connect = f, message = function() return f() end }",
             body);
    kit_policy(&k, policy);
    kit_route(&k, &a);
    assert_true(a.plan->origin.fault);
    if (!strstr(a.because, words)) fail_msg("%s: expected '%s', got '%s'", body, words, a.because);
}

static void nonsense_is_a_fault(void **state) {
    (void)state;
    expect_fault("", "route returned nothing; a plan is expected");
    expect_fault("return 'send'", "route returned a string; a plan is expected");
    expect_fault("return {}", "route returned a table; a plan is expected");
    expect_fault("return answer.accept{}", "route returned answer.accept; a plan is expected");
    expect_fault("return route.direct{}", "route returned route.direct; a plan is expected");
    expect_fault("error({})", "the error is no text but a table");
    a.calls = 0;
    struct outcome_facts o = kit_outcome(450);
    hook_retry(k.g, &kit_message, &kit_recipient, &o, kit_on_verdict, &a);
    turn_once();
    assert_true(a.verdict.origin.fault);
}

static void only_what_fits_the_hook(void **state) {
    (void)state;
    kit_policy(
        &k,
        "local answer = require 'answer'\n"
        "return { connect = function() return answer.accept{ tags = { a = 1 } } end,\n"
        "  sender = function() return answer.hold('x') end,\n"
        "  message = function() return answer.accept{ headers = { { add = 'X', value = 'a\\nb' } } } end,\n"
        "  recipient = function() return answer.reject('450 4.0.0 x') end }");
    hook_connect(k.g, &kit_session, kit_on_answer, &a);
    turn_once();
    assert_true(a.answer.origin.fault);
    assert_string_equal(a.because,
                        "policy.lua:2: answer.accept: 'tags' has no meaning in connect, only in message");
    hook_sender(k.g, &kit_session, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_string_equal(a.because, "policy.lua:3: answer.hold: has no meaning in sender, only in message");
    hook_message(k.g, &kit_session, &kit_message, kit_on_answer, &a);
    turn_once();
    assert_true(a.answer.origin.fault);
    assert_non_null(strstr(a.because, "policy.lua:4: answer.accept: headers[1]: "));
    hook_recipient(k.g, &kit_session, &kit_address, kit_on_answer, &a);
    turn_once();
    assert_string_equal(a.because, "policy.lua:5: answer.reject: reply: a permanent reply (5xx) is expected");
}

static void constructors_are_strict(void **state) {
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {
        {"return route.send{ via = route.direct{}, conections = 5 }",
         "policy.lua:2: route.send: unknown field 'conections'"},
        {"return route.send{ via = route.direct{}, lane = { conections = 5 } }",
         "policy.lua:2: route.send: unknown field 'lane.conections' (did you mean 'connections'?)"},
        {"return route.send{ via = route.direct{}, lane = { connections = '5' } }",
         "policy.lua:2: route.send: lane.connections: a whole number from 1 to 1000 is expected, not a "
         "string"},
        {"return route.send{ via = route.direct{}, lane = { connections = 0 } }",
         "route.send: lane.connections: a whole number from 1 to 1000 is expected, not 0"},
        {"return route.send{}", "policy.lua:2: route.send: via: is missing"},
        {"return route.send{ via = 'direct' }",
         "route.send: via: a way out (route.direct, relay, lmtp or capture) is expected, not a string"},
        {"return route.send{ via = route.hold('x') }", "is expected, not route.hold"},
        {"return route.send{ via = route.direct{}, tls = 'yes' }",
         "route.send: tls: one of \"none\", \"opportunistic\", \"encrypt\", \"verify\", \"dane\", \"dane_or_verify\" is expected, not "
         "\"yes\""},
        {"return route.send{ via = route.direct{}, identity = 'acme' }",
         "route.send: identity: an identity is expected, not a string"},
        {"return route.send(1)",
         "policy.lua:2: route.send: one table, { name = value }, is expected, not a number"},
        {"return route.send{ 1 }", "route.send: fields have names"},
        {"return route.relay{ host = 'a b' }", "policy.lua:2: route.relay: host: 'a b' is no host name"},
        {"return route.relay{ host = 'a', port = 70000 }",
         "a whole number from 1 to 65535 is expected, not 70000"},
        {"return route.relay{ host = 'a', login = { user = 'u' } }",
         "route.relay: login: one of password, token and xoauth2 is expected"},
        {"return route.relay{ host = 'a', login = { user = 'u', token = 't', xoauth2 = { token_url = 'https://t/', client_id "
         "= 'c', refresh_token = 'r' } } }",
         "route.relay: login: one of password, token and xoauth2 is expected"},
        {"return route.relay{ host = 'a', login = { user = 'u', xoauth2 = { token_url = 'https://t/', client_id = 'c' } } }",
         "route.relay: login.xoauth2: a refresh_token is expected"},
        {"return route.relay{ host = 'a', login = { user = 'u', xoauth2 = { token_url = 'http://t/', client_id = 'c', "
         "refresh_token = 'r' } } }",
         "route.relay: login.xoauth2.token_url: only https"},
        {"return route.relay{ host = 'a', login = { user = 'u', xoauth2 = { token_url = 'https://t/', client_id = 'c', "
         "refresh_token = 'r', refresh_token_file = 'f' } } }",
         "route.relay: login.xoauth2: refresh_token or refresh_token_file, not both"},
        {"return route.relay{ host = 'a', login = { user = 'u', xoauth2 = { token_url = 'https://t/', client = 'c', "
         "refresh_token = 'r' } } }",
         "route.relay: unknown field 'login.xoauth2.client' (did you mean 'client_id'?)"},
        {"return route.relay{ host = 'a', login = { user = 'u', pasword = 'x' } }",
         "route.relay: unknown field 'login.pasword' (did you mean 'password'?)"},
        {"return route.send{ via = route.relay{ host = 'a', tls = 'none', login = { user = 'u', password = "
         "'p' } } }",
         "would show the password"},
        {"return route.send{ via = route.relay{ host = 'a', tls = 'none' }, tls = 'verify' }",
         "but the relay says tls = \"none\""},
        {"return route.send{ via = route.relay{ host = 'a', tls = 'implicit' }, tls = 'opportunistic' }",
         "but the relay says tls = \"implicit\""},
        {"return route.capture{ dir = '../x' }",
         "route.capture: dir: a name below the capture folder is expected"},
        {"return route.capture{ dir = '/x' }",
         "route.capture: dir: a name below the capture folder is expected"},
        {"return route.capture{ dir = '' }", "route.capture: dir: the text is empty"},
        {"return route.wait(0, 'x')", "route.wait: seconds: 1 to 2592000 seconds are possible"},
        {"return route.wait('soon', 'x')", "route.wait: seconds: not a duration"},
        {"return route.wait(5)", "route.wait: because: is missing"},
        {"return route.wait(5, 'x', 'y')", "route.wait: too many arguments"},
        {"return route.hold('a\\nb')", "route.hold: because: a control character in the text"},
        {"return route.hold('\\xff')", "route.hold: because: the text is not UTF-8"},
        {"return route.fail('250 fine')", "route.fail: reply: a permanent reply (5xx) is expected"},
        {"return route.fail('later')", "route.fail: reply: a reply starts with a code"},
        {"return retry.wait(-1)", "retry.wait: seconds: 1 to 2592000 seconds are possible"},
        {"return retry.wait(0/0)", "retry.wait: seconds: 1 to"},
        {"return answer.accept{ tag = {} }", "answer.accept: unknown field 'tag' (did you mean 'tags'?)"},
        {"return require('identity').define{ name = 'x' }", "identity.define: only while the scripts load"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].body, cases[i].words);
}

static void facts_cannot_be_changed_or_kept(void **state) {
    (void)state;
    expect_fault("m.size = 1", "facts are read-only");
    expect_fault("m.tags.campaign = 1", "facts are read-only");
    expect_fault("return m.sise", "message has no field 'sise'");
    expect_fault("return getmetatable(m).__index", "attempt to index a boolean value");
    expect_fault("return m.header(r, 'x')", "a header is asked for with a colon");
    kit_policy(&k, "local kept\n"
                   "return { route = function(m, r)\n"
                   "  if kept then return require 'route'.hold(kept.sender) end\n"
                   "  kept = m\n return require 'route'.hold('first') end }");
    kit_route(&k, &a);
    assert_string_equal(a.because, "first");
    kit_route(&k, &a);
    assert_true(a.plan->origin.fault);
    assert_string_equal(
        a.because,
        "policy.lua:3: these facts belonged to a hook that has ended; keep what you need of them in locals");
}

// ---- waiting

static const char waits[] =
    "local route = require 'route'\n"
    "return { route = function(m, r)\n"
    "  local list, why, again = dns.mx(r.domain)\n"
    "  if not list then return route.hold(why .. ' ' .. tostring(again)) end\n"
    "  return route.hold(list[1].host .. ' ' .. list[1].preference .. ' ' .. m.sender .. ' ' .. r.domain)\n"
    "end }";

static void waits_for_dns(void **state) {
    (void)state;
    struct generation_stats stats;
    kit_policy(&k, waits);
    char sender[] = "alice@example.org", domain[] = "example.net";
    struct message_facts m = kit_message;
    struct recipient_facts r = kit_recipient;
    m.sender = bytes_of(sender);
    r.domain = bytes_of(domain);
    hook_route(k.g, &m, &r, kit_on_plan, &a);
    memset(sender, 'x', sizeof sender - 1); // facts are lent for the asking call only
    memset(domain, 'x', sizeof domain - 1);
    generation_get_stats(k.g, &stats);
    assert_int_equal(stats.waiting, 1);
    kit_turn(&k);
    assert_int_equal(a.calls, 0);
    assert_string_equal(kit_question->name, "example.net");
    assert_int_equal(kit_question->type, DNS_MX);
    struct dns_record records[2] = {{.mx = {20, "b.example.net"}}, {.mx = {10, "a.example.net"}}};
    kit_dns(&(struct dns_answer){.status = DNS_OK, .count = 2, .records = records, .why = ""});
    turn_once();
    assert_string_equal(a.because, "a.example.net 10 alice@example.org example.net");
    generation_get_stats(k.g, &stats);
    assert_int_equal(stats.waiting, 0);

    hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    kit_dns(&(struct dns_answer){.status = DNS_TEMPORARY, .why = "timeout"});
    turn_once();
    assert_string_equal(a.because, "timeout true");
    hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    kit_dns(&(struct dns_answer){.status = DNS_NO_NAME, .why = ""});
    turn_once();
    assert_string_equal(a.because, "no such name false");
}

static void waits_in_coroutines_and_protected_calls(void **state) {
    (void)state;
    kit_policy(&k, "local route = require 'route'\n"
                   "return { route = function(m, r)\n"
                   "  local co = coroutine.wrap(function(x)\n"
                   "    local inner = coroutine.create(function() local l = dns.txt('one') "
                   "coroutine.yield(l[1]) return dns.a('two')[1] end)\n"
                   "    local _, one = coroutine.resume(inner)\n"
                   "    coroutine.yield(one .. x)\n"
                   "    local ok, _, two = pcall(coroutine.resume, inner)\n"
                   "    return two .. coroutine.status(inner)\n"
                   "  end)\n"
                   "  local first = co('!')\n"
                   "  return route.hold(first .. ' ' .. co())\n"
                   "end }");
    hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    assert_string_equal(kit_question->name, "one");
    kit_dns(&(struct dns_answer){
        .status = DNS_OK, .count = 1, .records = &(struct dns_record){.text = BYTES("v=1")}, .why = ""});
    kit_turn(&k);
    assert_int_equal(a.calls, 0);
    assert_string_equal(kit_question->name, "two");
    struct dns_record ip = {.address = {AF_INET, {192, 0, 2, 1}}};
    kit_dns(&(struct dns_answer){.status = DNS_OK, .count = 1, .records = &ip, .why = ""});
    turn_once();
    assert_string_equal(a.because, "v=1! 192.0.2.1dead");
}

static void waiting_in_the_wrong_place_is_refused(void **state) {
    (void)state;
    expect_fault("table.sort({ 1, 2 }, function() dns.a('x') end)",
                 "waiting is not possible within table.sort");
    expect_fault("string.gsub('x', 'x', function() dns.a('x') end)", "waiting is not possible within");
    expect_fault("local co = coroutine.wrap(function() return dns.a('x') end)\n table.sort({ 1, 2 }, "
                 "function() co() end)",
                 "cannot be resumed in a callback");
    assert_null(kit_question);
    expect_fault("coroutine.yield(1)", "coroutine.yield: not in a coroutine");
    kit_put(&k, "scripts/policy.lua", "");
    assert_null(kit_generation(&k, "dns.a('x') return {}", NULL));
    assert_string_equal(k.err.text, "policy.lua:1: only within a hook, not while the scripts load");
}

static void a_cancelled_hook_says_nothing(void **state) {
    (void)state;
    kit_policy(&k, waits);
    kit_cancelled = 0;
    struct hook_ticket *t = hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    hook_cancel(&t);
    assert_null(t);
    assert_int_equal(kit_cancelled, 1);
    kit_turn(&k);
    assert_int_equal(a.calls, 0);
    hook_cancel(&t);
    // Answered, but not yet told.
    kit_policy(&k, "return {}");
    t = hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    struct hook_ticket *other = hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    hook_cancel(&t);
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
    (void)other;
}

static void waiting_has_an_end(void **state) {
    (void)state;
    kit_policy_with(&k, waits, &(struct generation_options){.time_max_ms = 1});
    kit_cancelled = 0;
    hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    for (int i = 0; i < 100 && !a.calls; i++)
        kit_turn(&k);
    assert_int_equal(a.calls, 1);
    assert_int_equal(kit_cancelled, 1);
    assert_int_equal(a.plan->kind, PLAN_WAIT);
    assert_string_equal(a.because, "stopped: it waited for longer than 1 ms");
}

static void a_generation_outlives_its_owner(void **state) {
    (void)state;
    kit_policy(&k, waits);
    hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
    char version[16];
    snprintf(version, sizeof version, "%s", generation_version(k.g));
    generation_free(&k.g);
    kit_policy(&k, "return {}"); // the new one
    assert_string_not_equal(version, generation_version(k.g));
    kit_dns(&(struct dns_answer){.status = DNS_NO_DATA, .why = ""});
    turn_once();
    assert_string_equal(a.because, "no such record false");
    assert_memory_equal(a.plan->origin.version.at, version, 12); // and the plan is of the one it began on
}

// A hundred at once, answered in any order.
static void many_wait_at_once(void **state) {
    (void)state;
    kit_policy(&k, "local route = require 'route'\n"
                   "return { route = function(m, r) dns.a('x') return route.hold(r.domain) end }");
    enum { MANY = 100 };
    struct dns_ticket *open[MANY];
    struct kit_answer answers[MANY];
    memset(answers, 0, sizeof answers);
    for (int i = 0; i < MANY; i++) {
        char domain[20];
        struct recipient_facts r = kit_recipient;
        r.domain = bytes_range(domain, (size_t)snprintf(domain, sizeof domain, "d%d", i));
        hook_route(k.g, &kit_message, &r, kit_on_plan, &answers[i]);
        open[i] = kit_question;
        kit_question = NULL;
    }
    for (int i = 0; i < MANY; i++) {
        kit_question = open[i * 37 % MANY];
        kit_dns(&(struct dns_answer){.status = DNS_NO_DATA, .why = ""});
    }
    kit_turn(&k);
    for (int i = 0; i < MANY; i++) {
        char domain[20];
        snprintf(domain, sizeof domain, "d%d", i);
        assert_int_equal(answers[i].calls, 1);
        assert_string_equal(answers[i].because, domain);
        plan_free(&answers[i].plan);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(without_hooks_the_defaults_answer),
        TEST(by_default_nobody_relays_without_login),
        TEST(by_default_the_users_file_decides_logins),
        TEST(a_verdict_says_what_it_was), TEST(the_default_ladder_climbs),
        TEST(answers_come_out_as_data),
        TEST(facts_have_their_fields),
        TEST(session_facts_survive_as_text),
        TEST(settle_is_told),
        TEST(a_fault_is_temporary),
        TEST(budgets_end_hooks),
        TEST(nonsense_is_a_fault),
        TEST(only_what_fits_the_hook),
        TEST(constructors_are_strict),
        TEST(facts_cannot_be_changed_or_kept),
        TEST(waits_for_dns),
        TEST(waits_in_coroutines_and_protected_calls),
        TEST(waiting_in_the_wrong_place_is_refused),
        TEST(a_cancelled_hook_says_nothing),
        TEST(waiting_has_an_end),
        TEST(a_generation_outlives_its_owner),
        TEST(many_wait_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
