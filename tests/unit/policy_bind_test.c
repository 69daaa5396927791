// SPDX-License-Identifier: MIT
// The tables that scripts see: crypto, json, re, clock, log, users, dns; each case is a route hook that holds with its result.
#include "policy_one.h"

// Runs `body`, whose last statement returns a value; a.because is its text.
static void run(const char *body) {
    char policy[4000];
    snprintf(policy, sizeof policy,
             "local function f(m, r) %s end\n"
             "return { route = function(m, r) return require 'route'.hold(tostring(f(m, r))) end }",
             body);
    kit_policy(&k, policy);
    kit_route(&k, &a);
}

static void gives(const char *body, const char *result) {
    run(body);
    if (a.plan->origin.fault || strcmp(a.because, result) != 0)
        fail_msg("%s: expected '%s', got '%s'", body, result, a.because);
}

static void raises(const char *body, const char *words) {
    run(body);
    if (!a.plan->origin.fault || !strstr(a.because, words))
        fail_msg("%s: expected '%s', got '%s'", body, words, a.because);
}

static void crypto_is_right(void **state) {
    (void)state;
    gives("return crypto.hex(crypto.sha256('abc'))",
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    gives("return crypto.hex(crypto.sha256(''))",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    // RFC 4231, cases 1, 2 and 6
    gives("return crypto.hex(crypto.hmac_sha256(('\\x0b'):rep(20), 'Hi There'))",
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    gives("return crypto.hex(crypto.hmac_sha256('Jefe', 'what do ya want for nothing?'))",
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    gives("return crypto.hex(crypto.hmac_sha256(('\\xaa'):rep(131), 'Test Using Larger Than Block-Size Key - "
          "Hash Key First'))",
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    gives("return crypto.base64('f\\0o') .. crypto.base64('') .. crypto.unbase64('Zm9v')", "ZgBvfoo");
    gives("return crypto.unbase64('Zm9') or 'bad'", "bad");
    gives("return crypto.unhex('666F6f') .. tostring(crypto.unhex('6')) .. tostring(crypto.unhex('xx'))",
          "foonilnil");
    gives("return #crypto.random(16) .. tostring(crypto.random(16) == crypto.random(16))", "16false");
    gives("return tostring(crypto.equal('a', 'a')) .. tostring(crypto.equal('a', 'b')) .. "
          "tostring(crypto.equal('a', 'ab'))",
          "truefalsefalse");
    raises("return crypto.random(0)", "1 to 1024 bytes are possible");
    raises("return crypto.random(1 << 40)", "1 to 1024 bytes are possible");
}

static void networks_are_told_apart(void **state) {
    (void)state;
    gives("local in_10 = network.of { '10.1.2.0/24', '2001:db8::/32' }\n"
          "return tostring(in_10 '10.1.2.255') .. tostring(in_10 '10.1.3.0') .. tostring(in_10 '2001:db8:1::7') .. tostring(in_10 '2001:db9::7') .. "
          "tostring(in_10 '::ffff:10.1.2.3') .. tostring(in_10 'unix:/run/x') .. tostring(in_10 '')",
          "truefalsetruefalsetruefalsefalse");
    gives("return tostring(network.of '192.0.2.7' '192.0.2.7') .. tostring(network.of '192.0.2.7' '192.0.2.8')", "truefalse");
    raises("return network.of { '10.0.0.0/8', '10.0.0.1/8' }", "network.of: '10.0.0.1/8': ");
    raises("return network.of { 'printers' }", "network.of: 'printers': not a network");
    raises("return network.of {}", "1 to 10000 networks are possible");
    raises("return network.of { 10 }", "network.of: number 1 is no text");
    raises("return network.of(nil)", "table expected");
    raises("return network.of '10.0.0.0/8' (nil)", "string expected");
    raises("local t = setmetatable({}, { __len = function() return 3 end }); return network.of(t)", "1 to 10000 networks are possible");
    raises("local t = {}; for i = 1, 10000 do t[i] = '10.0.0.0/8' end; local f = network.of(t); while true do f '192.0.2.1' end", "steps");
}

static void json_keeps_what_it_is_given(void **state) {
    (void)state;
    gives("return json.encode({ b = 1, a = { 1, 2.5, 'x' }, c = json.null, d = true })",
          "{\"a\":[1,2.5,\"x\"],\"b\":1,\"c\":null,\"d\":true}");
    gives("return json.encode({}) .. json.encode(json.list{}) .. json.encode(json.decode('[]')) .. "
          "json.encode(json.decode('{}'))",
          "{}[][]{}");
    gives(
        "return json.encode(9007199254740993) .. json.encode(1.0) .. json.encode(0.1) .. json.encode(1e300)",
        "90071992547409931.00.11e+300");
    gives("return math.type(json.decode('1')) .. math.type(json.decode('1.0'))", "integerfloat");
    gives("local t = json.decode('{\"a\":[1,null,{\"b\":\"\\\\u00e9\"}]}') return #t.a .. tostring(t.a[2] == "
          "json.null) .. t.a[3].b",
          "3true\xc3\xa9");
    gives("return json.encode(json.decode('{\"z\":[{},[],[[]]]}'))", "{\"z\":[{},[],[[]]]}");
    gives("return json.encode('a\"\\\\\\n\\0')", "\"a\\\"\\\\\\u000a\\u0000\"");
    gives("return json.encode(m.tags) .. json.encode(m.session)",
          "{\"campaign\":\"spring\"}{\"client_ip\":\"192.0.2.9\"}");
    gives("local v, why = json.decode('{') return tostring(v) .. ' ' .. why:sub(1, 12)", "nil JSON, line 1");
    gives("return select(2, json.decode(('['):rep(40) .. (']'):rep(40)))", "JSON: nested deeper than 32");
    raises("return json.encode({ a = { [1] = 1, x = 2 } })",
           "json.encode: a: keys are neither all texts nor 1..n");
    raises("return json.encode({ 1, nil, 3 })", "json.encode: ");
    raises("return json.encode({ a = { function() end } })",
           "json.encode: a[1]: a function has no JSON form");
    raises("return json.encode(0/0)", "infinity and NaN have no JSON form");
    raises("return json.encode('\\xff')", "the text is not UTF-8");
    raises("local t = {} t.t = t return json.encode(t)", "nested too deep for JSON");
    raises("return json.encode(m)", "a userdata has no JSON form");
    raises("return json.list(setmetatable({}, {}))", "json.list: a table without a metatable is expected");
}

static void regexes_match(void **state) {
    (void)state;
    gives("return table.concat({ re.match('user@example.org', '^(.+)@([^@]+)$') }, ' ')", "user example.org");
    gives("return re.match('abc', 'b') .. tostring(re.match('abc', 'x'))", "bnil");
    gives("return table.concat({ re.find('hello', 'l+') }, ' ')", "3 4");
    gives("return table.concat({ re.find('hello', '(l)(o)', 2) }, ' ')", "4 5 l o");
    gives("return tostring(re.match('ac', '(a)(b)?(c)') == 'a') .. tostring(select(2, re.match('ac', "
          "'(a)(b)?(c)')))",
          "truefalse");
    gives("local t = {} for k, v in re.gmatch('a=1, b=2', '(\\\\w+)=(\\\\w+)') do t[#t + 1] = k .. v end "
          "return table.concat(t, ' ')",
          "a1 b2");
    gives("local n = 0 for _ in re.gmatch('abc', '') do n = n + 1 end return n", "4");
    gives("return (re.gsub('hello world', 'o', '0'))", "hell0 w0rld");
    gives("return (re.gsub('hello world', '(\\\\w+)', '<%1%%>'))", "<hello%> <world%>");
    gives("return (re.gsub('abc', 'x*', '-'))", "-a-b-c-");
    gives("return (re.gsub('abc', '.', { a = '1', b = true and '2' }))", "12c");
    gives("return (re.gsub('abc', '.', function(c) return c == 'b' and 'B' or nil end)) .. select(2, "
          "re.gsub('aaa', 'a', 'b', 2))",
          "aBc2");
    gives("local r = re.compile('HELLO', 'i') return r:match('say hello') .. tostring(re.match('x', r))",
          "hellonil");
    gives("return re.match('\\xc3\\xa9', re.compile('^.$', 'u')) == '\\xc3\\xa9'", "true");
    gives("return tostring(re.match('\\xff', re.compile('^.$', 'u')))", "nil");
    raises("return re.match('a', '(')", "re: pattern '(', at 2: missing closing parenthesis");
    raises("return re.compile('a', 'q')", "re: there is no flag 'q'");
    raises("return re.gsub('a', 'a', '%2')", "names no group");
    raises("return re.match(('a'):rep(40) .. 'b', '^(a+)+$')",
           "re: the match takes too many steps on this text of 41 bytes");
    raises("return re.match('x', ('('):rep(60) .. (')'):rep(60))", "re: pattern ");
    raises("return re.match('x', '((((a{1000}){1000}){1000}){1000})')", "re: pattern ");
    raises("return re.compile(('a'):rep(10000))", "re: pattern ");
    raises("while true do pcall(re.match, ('a'):rep(40) .. 'b', '^(a+)+$') end", "stopped: ");
    // More patterns than are kept.
    gives("for i = 1, 450 do assert(re.match('x' .. i, 'x' .. i)) end return re.match('x7', 'x(7)')", "7");
}

static void clock_and_log(void **state) {
    (void)state;
    gives("return string.format('%.3f', clock.now())", "1763821804.678");
    char path[100], text[500] = "";
    snprintf(path, sizeof path, "%s/log", k.root);
    close(k.log.fd);
    k.log.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    run("log.info('one', 2, nil, 'a\\nb') log.warn('bad') return 1");
    assert_true(pread(k.log.fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, "policy.lua:1: one 2 nil a b\n"));
    assert_non_null(strstr(text, "policy.lua:1: bad\n"));
    k.log.level = LOG_WARN;
    assert_int_equal(ftruncate(k.log.fd, 0), 0);
    run("log.info('one') return 1");
    assert_int_equal(lseek(k.log.fd, 0, SEEK_END), 0);
}

static void a_fault_is_logged_with_its_way(void **state) {
    (void)state;
    char path[100], text[2000] = "";
    snprintf(path, sizeof path, "%s/log", k.root);
    close(k.log.fd);
    k.log.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    kit_put(&k, "scripts/lib.lua", "local lib = {}\nfunction lib.f(x)\n  return x.y\nend\nreturn lib");
    kit_policy(&k, "local lib = require 'lib'\nreturn { route = function()\n  lib.f(nil)\n  return 1\nend }");
    kit_route(&k, &a);
    assert_true(pread(k.log.fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, "route: lib.lua:3: attempt to index a nil value (local 'x')"));
    assert_non_null(strstr(text, "lib.lua:3 in "));
    assert_non_null(strstr(text, "policy.lua:3 in "));
}

static void users_may_send_as(void **state) {
    (void)state;
    gives("local u = require 'users' local f = { from = 'a@x.org, *@Example.ORG' }\n"
          "return table.concat({ tostring(u.may_send_as(f, 'A@X.org')), tostring(u.may_send_as(f, "
          "'me@example.org')),\n"
          "  tostring(u.may_send_as(f, 'b@x.org')), tostring(u.may_send_as(f, 'me@sub.example.org')), "
          "tostring(u.may_send_as(f, '')),\n"
          "  tostring(u.may_send_as({}, 'x')), tostring(u.may_send_as({}, 'x', true)), "
          "tostring(u.may_send_as({ from = '*' }, '')),\n"
          "  tostring(u.may_send_as(f, 'a@x.org@example.org')) }, ' ')",
          "true true false false false false true true true");
}

static void ladders_of_ones_own(void **state) {
    (void)state;
    kit_policy(&k, "local retry = require 'retry' return { retry = retry.ladder{ 60, 3600 } }");
    struct outcome_facts o = kit_outcome(450);
    o.attempt = 1;
    hook_retry(k.g, &kit_message, &kit_recipient, &o, kit_on_verdict, &a);
    kit_turn(&k);
    assert_in_range(a.verdict.wait_s, 54, 66);
    o.attempt = 9;
    hook_retry(k.g, &kit_message, &kit_recipient, &o, kit_on_verdict, &a);
    kit_turn(&k);
    assert_in_range(a.verdict.wait_s, 3240, 3960);
    assert_null(kit_generation(&k, "return { retry = require 'retry'.ladder{ 'x' } }", NULL));
    assert_string_equal(k.err.text,
                        "policy.lua:1: retry.ladder: step 1: a whole number of seconds is expected");
}

static void reverse_names_are_asked_for(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"192.0.2.1", "1.2.0.192.in-addr.arpa"},
        {"2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"}};
    for (int i = 0; i < 2; i++) {
        char policy[300];
        snprintf(policy, sizeof policy,
                 "return { route = function() return require 'route'.hold(dns.ptr('%s')[1]) end }",
                 cases[i][0]);
        kit_policy(&k, policy);
        hook_route(k.g, &kit_message, &kit_recipient, kit_on_plan, &a);
        assert_string_equal(kit_question->name, cases[i][1]);
        assert_int_equal(kit_question->type, DNS_PTR);
        kit_dns(&(struct dns_answer){.status = DNS_OK,
                                     .count = 1,
                                     .records = &(struct dns_record){.name = "host.example"},
                                     .why = ""});
        kit_turn(&k);
        assert_string_equal(a.because, "host.example");
    }
    raises("return dns.ptr('here')", "an IP address is expected");
    raises("return dns.a('a\\0b')", "a name without NUL is expected");
    raises("return dns.a()", "bad argument #1 to 'a'");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(networks_are_told_apart), TEST(crypto_is_right),     TEST(json_keeps_what_it_is_given),    TEST(regexes_match),
        TEST(clock_and_log),       TEST(a_fault_is_logged_with_its_way), TEST(users_may_send_as),
        TEST(ladders_of_ones_own), TEST(reverse_names_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
