// SPDX-License-Identifier: MIT
#include "lab_kit.h"
#include "policy/story.h"

static struct kit k;
static struct buf told, lines; // "title|passed|failed_at|failure\n"; "file:line " of the policy
static char last_trace[20000];

static int set_up(void **state) {
    (void)state;
    kit_open(&k);
    setenv("TZ", "UTC", 1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kit_close(&k);
    buf_release(&told);
    buf_release(&lines);
    return 0;
}

static void on_told(void *arg, const struct story_result *r) {
    assert_ptr_equal(arg, &k);
    assert_true(r->took_us >= 0);
    buf_format(&told, "%.*s|%.*s|%s|%.*s|", BYTES_FMT(r->title), BYTES_FMT(r->told_at),
               r->passed ? "passed" : "failed", BYTES_FMT(r->failed_at));
    if (!r->passed) buf_add(&told, r->failure);
    buf_byte(&told, '\n');
    snprintf(last_trace, sizeof last_trace, "%.*s", BYTES_FMT(r->trace));
}

static void on_line(void *arg, const char *file, int line) {
    assert_ptr_equal(arg, &k);
    buf_format(&lines, "%s:%d ", file, line);
}

static bool run_with(const char *policy, const char *stories, const char *only, bool count) {
    struct story_options o = {.bundle = kit_bundle(&k, policy),
                              .usual = &k.usual,
                              .on_line = count ? on_line : NULL,
                              .only = only,
                              .told = on_told,
                              .arg = &k};
    buf_reset(&told);
    buf_reset(&lines);
    k.err.text[0] = 0;
    return story_run("my.story.lua", bytes_of(stories), &o, &k.err);
}

static const char *run(const char *policy, const char *stories) {
    char whole[8000];
    snprintf(whole, sizeof whole, "local story = require 'story'\n%s", stories);
    if (!run_with(policy, whole, NULL, false)) fail_msg("%s", k.err.text);
    return buf_z(&told);
}

static void passes(const char *policy, const char *body) {
    char text[6000];
    snprintf(text, sizeof text, "story('s', function(t)\n%s\nend)", body);
    const char *got = run(policy, text);
    if (!strstr(got, "s|my.story.lua:2|passed|")) fail_msg("%s", got);
}

static void fails(const char *policy, const char *body, const char *words) {
    char text[6000];
    snprintf(text, sizeof text, "story('s', function(t)\n%s\nend)", body);
    const char *got = run(policy, text);
    if (!strstr(got, "|failed|") || !strstr(got, words)) fail_msg("'%s' is not in: %s", words, got);
}

static const char ROUTES[] =
    "local route, answer = require 'route', require 'answer'\n"
    "return {\n"
    "  route = function(m, r)\n"
    "    log.info('asked')\n"
    "    local mx = dns.mx(r.domain)\n"
    "    return route.send { via = route.direct {}, because = mx and mx[1].host or 'no mx' }\n"
    "  end,\n"
    "}\n";
#define MAIL                                                                                                 \
    "local m = t:session { trusted_network = true }:message { from = 'a@b.example', to = 'c@d.example' }\n"

// ---- the file

static void stories_are_told_in_order_each_on_a_fresh_stage(void **state) {
    (void)state;
    const char *got = run(
        "local a = require 'answer' local n = 0\n"
        "return { connect = function(s) n = n + 1 return a.accept { because = n .. ' ' .. "
        "math.floor(clock.now()) } end }",
        "story('one', function(t)\n"
        "  t:at '2027-02-03 04:05:06'\n"
        "  t:dns { ['x.example'] = { a = '192.0.2.1' } }\n"
        "  t:session():connect()\n"
        "  t:session():connect():expect { because = '2 1801627506' }\n"
        "end)\n"
        "story('two', function(t) t:session():connect():expect { because = '1 1767603600' } end)\n"
        "story('three', function(t) t:policy 'return {}' t:session():connect():expect { where = '' } end)\n"
        "story('four', function(t) t:session():connect():expect { where = 'policy.lua:2' } end)\n");
    assert_string_equal(
        got, "one|my.story.lua:2|passed||\ntwo|my.story.lua:8|passed||\nthree|my.story.lua:9|passed||\n"
             "four|my.story.lua:10|passed||\n");
}

static void a_failure_says_all_there_is_to_say(void **state) {
    (void)state;
    const char *got =
        run(ROUTES,
            "story('wrong', function(t)\n"
            "  t:dns { ['d.example'] = { mx = 'mx.d.example' } }\n  " MAIL
            "  m:route():expect { kind = 'send', via = 'relay', identity = 'main', tls = 'opportunistic' }\n"
            "end)");
    static const char *const parts[] = {
        "wrong|my.story.lua:2|failed|my.story.lua:5|route for <c@d.example> is not as expected\n",
        "identity: expected \"main\", got nothing\n",
        "via: expected \"relay\", got {\"kind\":\"direct\",\"port\":25}\n",
        "\"because\":\"mx.d.example\"",
        "recipient <c@d.example>: accept, because: the client is in an allowed network",
        "looked {\"answers\":[\"10 mx.d.example\"],\"found\":1,\"looked_up\":\"mx d.example\"}",
        "log policy.lua:4: asked",
        "route for <c@d.example>: send, policy.lua:6, because: mx.d.example"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(got, parts[i])) fail_msg("'%s' is not in: %s", parts[i], got);
    assert_null(strstr(got, "tls: expected"));
    assert_null(strstr(got, "kind: expected"));
    struct json *trace = json_parse(bytes_of(last_trace), NULL);
    assert_int_equal(json_count(trace), 4);
    json_free(&trace);
}

static void a_file_that_does_not_load_tells_nothing(void **state) {
    (void)state;
    assert_false(run_with("return {}", "local story = require 'story' story('x', function() end) error('oh')",
                          NULL, false));
    assert_non_null(strstr(k.err.text, "my.story.lua:1: oh"));
    assert_int_equal(told.len, 0);
    assert_false(run_with("return {}", "this is no lua", NULL, false));
    assert_non_null(strstr(k.err.text, "my.story.lua:1:"));
    assert_false(run_with("return {}", "require 'story'('x')", NULL, false));
    assert_non_null(strstr(k.err.text, "a title and a function"));
    assert_false(run_with("return { rout = 1 }", "", NULL, false));
    assert_true(run_with("return {}", "", NULL, false));
}

static void a_story_that_breaks_does_not_stop_the_others(void **state) {
    (void)state;
    k.usual.load_steps_max = 3000000;
    const char *got = run("return {}", "story('slip', function(t) local x = nil + 1 end)\n"
                                       "story('endless', function(t) while true do pcall(error) end end)\n"
                                       "story('nested', function(t) story('inner', function() end) end)\n"
                                       "story('global', function(t) oops = 1 end)\n"
                                       "story('number', function(t) error(7) end)\n"
                                       "story('fine', function(t) end)\n");
    static const char *const parts[] = {
        "slip|my.story.lua:2|failed|my.story.lua:2|my.story.lua:2: attempt to perform",
        "endless|my.story.lua:3|failed||",
        "its budget of 3000000 steps is used up",
        "nested|my.story.lua:4|failed|",
        "global|my.story.lua:5|failed|",
        "number|my.story.lua:6|failed|",
        "fine|my.story.lua:7|passed|"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(got, parts[i])) fail_msg("'%s' is not in: %s", parts[i], got);
}

static void some_can_be_chosen_and_lines_are_counted(void **state) {
    (void)state;
    static const char stories[] =
        "local story = require 'story'\n"
        "story('alpha', function(t) t:session():connect() end)\n"
        "story('beta', function(t) t:policy 'return {}' t:session():connect() end)\n";
    assert_true(run_with("local x = 1\n\nreturn {}", stories, "alpha", true));
    assert_string_equal(buf_z(&told), "alpha|my.story.lua:2|passed||\n");
    assert_ptr_equal(strstr(buf_z(&lines), "policy.lua:1 policy.lua:3 stdlib/"), lines.at);
    assert_true(run_with("local x = 1\n\nreturn {}", stories, "beta", true));
    assert_string_equal(buf_z(&lines), ""); // a policy of the story's own is not the policy
}

static void stories_see_the_library_and_the_operators_modules(void **state) {
    (void)state;
    char folder[100];
    snprintf(folder, sizeof folder, "%s/lib", k.root);
    assert_int_equal(mkdir(folder, 0700), 0);
    kit_put(&k, "lib/mine.lua", "return { domain = 'd.example' }");
    passes(ROUTES,
           "story.expect(require('lib.mine').domain, 'd.example')\n"
           "story.raises(\"did you mean 'connections'?\", function() require('route').send { lane = { "
           "conections = 2 } } end)\n"
           "story.expect(require('users').may_send_as({ from = '*@a.example' }, 'x@a.example'), true)\n"
           "story.raises('no such', function() error('there is no such thing') end)\n"
           "story.expect(story.file 'lib/mine.lua', story.has 'd.example')\n");
    fails(ROUTES, "story.file 'gone.lua'", "there is no \"gone.lua\"");
    fails(ROUTES, "story.expect(1, 2, 'the number')", "the number is not as expected\n  expected 2, got 1");
    fails(ROUTES, "story.raises('x', function() end)", "no error, but one was expected");
    fails(ROUTES, "story.raises('x', function() error 'y' end)", "another error than expected");
    fails(ROUTES, "dns.mx 'x.example'", "only within a hook");
}

// ---- expectations

static void expectations_compare_partly(void **state) {
    (void)state;
    passes(ROUTES, MAIL
           "local d = m:route()\n"
           "d:expect 'send'\n"
           "d:expect { via = { kind = 'direct' }, connections = story.between(1, 10), identity = "
           "story.absent, lane = story.any }\n"
           "d:expect { because = story.starts 'no', tls = story.one_of { 'none', 'opportunistic' } }\n"
           "d:expect { because = story.matches '^no mx$', lane = story.has 'd.example' }\n"
           "d:expect { connections = function(n) return n > 1 end }\n"
           "story.expect({ 1, 2 }, { 1, 2 })  story.expect({ 'a', 'b' }, story.has 'b')\n"
           "story.raises('expected 1 items', function() story.expect({ 1, 2 }, { 1 }) end)\n"
           "story.raises('expected from 5 to 6', function() d:expect { connections = story.between(5, 6) } "
           "end)\n"
           "story.raises('via.port: expected 26, got 25', function() d:expect { via = { port = 26 } } end)\n"
           "story.raises('via: expected', function() d:expect { via = 'dirct' } end)\n"
           "story.raises('nothing: expected', function() d:expect { nothing = 1 } end)\n"
           "story.raises('expected nothing', function() d:expect { via = story.absent } end)\n"
           "story.raises('function says', function() d:expect { via = function() return false end } end)\n");
}

// ---- the stage

static void time_is_told_in_words(void **state) {
    (void)state;
    passes("return {}", "story.expect(t:at('2026-03-01 09:00') and clock.now(), 1772355600.0)\n"
                        "t:after '1h30m' story.expect(clock.now(), 1772361000.0)\n"
                        "t:after(5) story.expect(clock.now(), 1772361005.0)\n"
                        "t:at '2026-03-01' story.expect(clock.now(), 1772323200.0)\n"
                        "t:at '2026-03-01T00:00:01Z' story.expect(clock.now(), 1772323201.0)\n"
                        "t:at(1e9) story.expect(os.time(), 1000000000)\n"
                        "story.raises('is no time', t.at, t, 'tomorrow')\n"
                        "story.raises('is no time', t.at, t, '2026-03-01 9')\n"
                        "story.raises('is no duration', t.after, t, '5 minutes')\n");
}

static void dns_is_what_the_story_says(void **state) {
    (void)state;
    static const char policy[] =
        "local a = require 'answer'\n"
        "return { connect = function(s) local x, why, later = dns[s.user](s.helo)\n"
        "  return a.accept { because = x and json.encode(x) or why .. tostring(later) } end }\n";
    passes(
        policy,
        "t:dns { ['a.example'] = { mx = { 'one.example', 'two.example' }, a = '192.0.2.1' }, ['b.example'] = "
        "'timed out',\n"
        "        ['192.0.2.9'] = { ptr = 'p.example' }, ['c.example'] = { mx = { { 5, 'c.example' } } } }\n"
        "local function ask(kind, name) return t:session { user = kind, helo = name, user_facts = {} "
        "}:connect().because end\n"
        "story.expect(ask('mx', 'a.example'), "
        "'[{\"host\":\"one.example\",\"preference\":10},{\"host\":\"two.example\",\"preference\":20}]')\n"
        "story.expect(ask('a', 'a.example'), '[\"192.0.2.1\"]')\n"
        "story.expect(ask('txt', 'a.example'), 'no such recordfalse')\n"
        "story.expect(ask('mx', 'b.example'), 'timed outtrue')\n"
        "story.expect(ask('ptr', '192.0.2.9'), '[\"p.example\"]')\n"
        "story.expect(ask('mx', 'nowhere.example'), 'no such namefalse')\n"
        "story.raises(\"'srv' is no type\", t.dns, t, { ['x.example'] = { srv = 'y' } })\n"
        "story.raises('an MX is', t.dns, t, { ['x.example'] = { mx = { { 'y' } } } })\n");
}

static void logins_and_messages_go_the_whole_way(void **state) {
    (void)state;
    static const char policy[] =
        "local answer, users = require 'answer', require 'users'\n"
        "return {\n"
        "  sender = function(s, x)\n"
        "    if users.may_send_as(s.user_facts, x.address) then return answer.accept {} end\n"
        "    return answer.reject '553 5.7.1 not you' end,\n"
        "  message = function(s, m)\n"
        "    if m:header 'Subject' == 'spam' then return answer.discard 'spam' end\n"
        "    if m:header 'Subject' == 'wait' then return answer.hold 'looked at' end\n"
        "    return answer.accept { tags = { n = m.recipient_count }, expires = '1h', headers = { { set = "
        "'Subject', value = 'new' } } } end,\n"
        "}\n";
    passes(policy, "t:users { ann = { password = 'p', from = '*@acme.example' } }\n"
                   "local s = t:session()\n"
                   "s:login('ann', 'wrong'):expect { kind = 'reject', code = 535 }\n"
                   "s:login('bob', 'p'):expect 'reject'\n"
                   "s:recipient 'x@y.example':expect 'reject'\n"
                   "s:login('ann', 'p'):expect { kind = 'accept', facts = { from = '*@acme.example', "
                   "password = story.absent } }\n"
                   "s:sender 'x@other.example':expect { status = '5.7.1' }\n"
                   "local m = s:message { from = 'me@acme.example', to = { 'a@b.example', 'c@d.example' }, "
                   "headers = { Subject = 'old', To = 'x' } }\n"
                   "m:expect { tags = { n = 2 } }\n"
                   "story.expect(m:header 'subject', 'new') story.expect(m:header 'To', 'x') "
                   "story.expect(m:header 'No', nil)\n"
                   "m:route 'c@d.example':expect 'hold'\n"
                   "story.raises('no recipient', m.route, m, 'z@z.example')\n"
                   "local refused = s:message { from = 'x@y.example', to = 'a@b.example' }\n"
                   "refused:expect { kind = 'reject', code = 553 }\n"
                   "story.raises('did not take it', refused.route, refused)\n"
                   "local gone = s:message { from = 'me@acme.example', to = 'a@b.example', headers = { { "
                   "'Subject', 'spam' } } }\n"
                   "gone:expect 'discard' story.raises('did not take it', gone.route, gone)\n"
                   "s:message { from = 'me@acme.example', to = 'a@b.example', headers = { Subject = 'wait' } "
                   "}:expect 'hold'\n"
                   "story.raises('needs a recipient', s.message, s, { from = 'me@acme.example', to = {} })\n"
                   "story.raises(\"session has no field 'usr' (did you mean 'user'?)\", function() t:session "
                   "{ usr = 'x' }:connect() end)\n");
}

static void outcomes_move_the_recipient_on(void **state) {
    (void)state;
    static const char policy[] = "local route, retry = require 'route', require 'retry'\n"
                                 "return {\n"
                                 "  route = function(m, r)\n"
                                 "    if r.last then return route.hold(r.attempts .. r.last.reply.code .. "
                                 "r.last.stage .. r.last.identity) end\n"
                                 "    return route.send { via = route.direct {} } end,\n"
                                 "  retry = function(m, r, o)\n"
                                 "    if o.code == 421 then return retry.wait(60, 'busy', false) end\n"
                                 "    return retry.wait(60, o.attempt .. o.via .. o.peer) end,\n"
                                 "}\n";
    passes(
        policy, MAIL
        "m:route()\n"
        "m:outcome '450 4.2.0 later':expect { kind = 'wait', wait = 60, because = story.starts '1direct' }\n"
        "m:route():expect { because = '1450rcpt' }\n"
        "m:outcome('c@d.example', { reply = '421 4.3.2 no', stage = 'greeting' }):expect { because = 'busy' "
        "}\n"
        "m:route():expect { because = '1421greeting' }\n"
        "m:outcome '250 2.0.0 ok':expect 'delivered'\n"
        "story.raises('is no reply', m.outcome, m, 'fine')\n");
}

static void delivery_goes_on_until_the_end(void **state) {
    (void)state;
    static const char policy[] =
        "local route, retry = require 'route', require 'retry'\n"
        "return { route = function(m, r)\n"
        "    if r.domain == 'held.example' then return route.hold 'x' end\n"
        "    if r.domain == 'quiet.example' and clock.now() < 1767607200 then return route.wait(600, "
        "'quiet') end\n"
        "    if r.domain == 'wait.example' then return route.wait(86400, 'never') end\n"
        "    return route.send { via = route.direct {} } end }\n";
    passes(
        policy,
        "local function mail(to) return t:session { trusted_network = true }:message { from = 'a@b.example', "
        "to = to } end\n"
        "mail('a@x.example'):deliver { '450 busy', '250 ok' }:expect { kind = 'delivered', attempts = 2, "
        "took = story.between(270, 330) }\n"
        "mail('a@x.example'):deliver '550 5.1.1 no':expect { fate = 'bounced', attempts = 1 }\n"
        "mail('a@held.example'):deliver '250 ok':expect { kind = 'held', attempts = 0 }\n"
        "mail('a@wait.example'):deliver '250 ok':expect { kind = 'expired', attempts = 0, took = 432000.0 }\n"
        "t:at '2026-01-05 09:30'\n"
        "mail('a@quiet.example'):deliver(function(plan, n) return { reply = '250 ok' } end):expect { kind = "
        "'delivered', took = 1800.0 }\n"
        "mail('a@x.example'):deliver '450 busy':expect { kind = 'bounced', attempts = story.between(20, 60) "
        "}\n");
}

static void the_list_of_a_story_is_the_gateways(void **state) {
    (void)state;
    static const char policy[] =
        "local route, retry, suppression = require 'route', require 'retry', require 'suppression'\n"
        "return { route = suppression.guard(function() return route.send { via = route.direct {} } end),\n"
        "  retry = retry.ladder { 300, suppress = suppression.bounces {} } }\n";
    passes(policy,
           MAIL "m:route():expect 'send'\n"
                "m:outcome '550 5.1.1 nobody':expect { kind = 'give_up', suppress = { scope = 'all' } }\n"
                "m:route():expect { kind = 'suppress', code = 550 }\n"
                "local n = t:session { trusted_network = true }:message { from = 'a@b.example', to = "
                "'c@e.example' }\n"
                "t:suppress { address = '@e.example', expires = '1h' } n:route():expect 'suppress'\n"
                "t:after '61m' n:route():expect 'send'\n"
                "story.raises('suppress: ', t.suppress, t, 'nobody')\n");
    passes(policy, MAIL "m:route():expect 'send'\n");
}

static void the_web_says_what_the_story_says(void **state) {
    (void)state;
    static const char policy[] =
        "local a = require 'answer'\n"
        "return { connect = function(s)\n"
        "  local r, why, later = http.request { url = 'https://api.example.com/v1', method = 'POST', body = 'ip=' .. s.client_ip }\n"
        "  if not r then return a.defer('451 4.7.1 later', why .. tostring(later)) end\n"
        "  return a.accept { because = r.status .. r.body .. (r.headers['x-kind'] or '') } end,\n"
        " sender = function() local r, why, later = http.request { url = 'https://other.example/' }\n"
        "  return a.accept { because = why .. tostring(later) } end }\n";
    k.usual.http_hosts = "api.example.com,other.example";
    passes(policy,
           "t:http { ['POST https://api.example.com/v1'] = { 'timed out', { status = 200, body = { list = 1 }, headers = { ['X-Kind'] = 'k' } }, { status = 404 } } }\n"
           "t:session():connect():expect { kind = 'defer', because = 'timed outtrue' }\n"
           "t:session():connect():expect { because = '200{\"list\":1}k', requests = { { request = 'POST https://api.example.com/v1', body = 'ip=192.0.2.10' } } }\n"
           "t:session():connect():expect { because = '404' }\n"
           "t:session():connect():expect { because = '404', looked = { { requested = 'POST https://api.example.com/v1' } } }\n"
           "t:session():sender('a@b.example'):expect { because = 'nothing was said of GET https://other.example/false' }\n"
           "story.raises('an answer is', t.http, t, { ['GET https://a.example/'] = { body = 'x' } })\n"
           "story.raises('an answer is', t.http, t, { ['GET https://a.example/'] = {} })\n"
           "story.raises('a request is named as', t.http, t, { ['GET'] = 'x' })\n"
           "story.raises('headers: X', t.http, t, { ['GET https://a.example/'] = { status = 200, headers = { X = 1 } } })\n");
    passes(policy, "t:session():connect():expect { because = story.has 'nothing was said of POST' }\n");
    k.usual.http_hosts = NULL;
    passes(policy, "t:session():connect():expect { fault = true, because = story.has 'does not allow' }\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(stories_are_told_in_order_each_on_a_fresh_stage),
        TEST(a_failure_says_all_there_is_to_say),
        TEST(a_file_that_does_not_load_tells_nothing),
        TEST(a_story_that_breaks_does_not_stop_the_others),
        TEST(some_can_be_chosen_and_lines_are_counted),
        TEST(stories_see_the_library_and_the_operators_modules),
        TEST(expectations_compare_partly),
        TEST(time_is_told_in_words),
        TEST(dns_is_what_the_story_says),
        TEST(logins_and_messages_go_the_whole_way),
        TEST(outcomes_move_the_recipient_on),
        TEST(delivery_goes_on_until_the_end),
        TEST(the_list_of_a_story_is_the_gateways),
        TEST(the_web_says_what_the_story_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
