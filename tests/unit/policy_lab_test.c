// SPDX-License-Identifier: MIT
#include "lab_kit.h"

static struct kit k;
static struct lab *lab;
static struct buf said;

static int set_up(void **state) {
    (void)state;
    struct err err = {""};
    kit_open(&k);
    lab = lab_new(&(struct lab_options){.usual = &k.usual}, &err);
    if (!lab) fail_msg("%s", err.text);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    lab_free(&lab);
    buf_release(&said);
    kit_close(&k);
    return 0;
}

static void policy(const char *text) {
    struct err err = {""};
    if (!lab_use(lab, kit_bundle(&k, text), true, &err)) fail_msg("%s", err.text);
}

static const char *ask(const char *hook, const char *facts) {
    struct err err = {""};
    buf_reset(&said);
    if (!lab_ask(lab, hook, bytes_of(facts), &said, &err)) fail_msg("%s", err.text);
    struct json *j = json_parse(buf_bytes(&said), &err);
    if (!j) fail_msg("%s: %s", err.text, buf_z(&said));
    json_free(&j);
    return buf_z(&said);
}

static void assert_says(const char *hook, const char *facts, const char *part) {
    const char *decision = ask(hook, facts);
    if (!strstr(decision, part)) fail_msg("'%s' is not in %s", part, decision);
}

static void refuses(const char *hook, const char *facts, const char *words) {
    struct err err = {""};
    buf_reset(&said);
    assert_false(lab_ask(lab, hook, bytes_of(facts), &said, &err));
    if (!strstr(err.text, words)) fail_msg("'%s' is not in '%s'", words, err.text);
    assert_int_equal(said.len, 0);
}

// ---- hooks

static void each_hook_is_asked_and_answers(void **state) {
    (void)state;
    policy("local a, r, y = require 'answer', require 'route', require 'retry'\n"
           "return {\n"
           "connect = function(s) return a.reject('554 5.7.1 no ' .. s.client_ip, 'c') end,\n"
           "authenticate = function(s, l) return a.accept { facts = { team = l.known.team } } end,\n"
           "sender = function(s, x) return a.accept { because = x.local_part .. ' at ' .. x.domain .. ' ' .. "
           "x.size } end,\n"
           "recipient = function(s, x) return a.defer('451 4.7.1 later', s.user) end,\n"
           "message = function(s, m) return a.accept { tags = { n = m.recipient_count, to = m.recipients[1] "
           "}, expires = 60,\n"
           "  headers = { { add = 'X-Top', value = '1' }, { remove = 'Old' } } } end,\n"
           "route = function(m, x) return r.send { via = r.relay { host = 'h.example' }, because = "
           "m.session.client_ip .. m.tags.k .. x.attempts } end,\n"
           "retry = function(m, x, o) return y.wait(7, o.status .. o.stage .. tostring(o.from_peer) .. "
           "o.age, false) end,\n"
           "settle = function(e) log.info('told', e.type) end }\n");
    assert_says("connect", "{\"session\":{\"client_ip\":\"192.0.2.7\"}}",
                "\"kind\":\"reject\",\"reply\":\"554 5.7.1 no 192.0.2.7\",\"code\":554,\"status\":\"5.7.1\"");
    assert_says("connect", "{}", "\"where\":\"policy.lua:3\",\"because\":\"c\",\"version\":");
    assert_says("authenticate", "{\"session\":{},\"login\":{\"user\":\"u\",\"known\":{\"team\":\"red\"}}}",
                "\"facts\":{\"team\":\"red\"}");
    assert_says("sender",
                "{\"session\":{},\"address\":{\"address\":\"Ann@B\xc3\xbc"
                "cher.EXAMPLE\",\"size\":12}}",
                "Ann at xn--bcher-kva.example 12");
    assert_says("recipient", "{\"session\":{\"user\":\"ann\"},\"address\":{\"address\":\"a@b.example\"}}",
                "\"kind\":\"defer\"");
    const char *d = ask("message", "{\"session\":{},\"message\":{\"head\":\"Old: x\\r\\nNew: "
                                   "y\\r\\n\",\"recipients\":[\"a@b.example\"]}}");
    assert_non_null(strstr(d, "\"tags\":{\"n\":1,\"to\":\"a@b.example\"}"));
    assert_non_null(
        strstr(d, "\"headers\":[{\"add\":\"X-Top\",\"value\":\"1\"},{\"remove\":\"Old\"}],\"expires\":60"));
    assert_non_null(strstr(d, "\"head\":\"X-Top: 1\\u000d\\u000aNew: y\\u000d\\u000a\""));
    d = ask("route", "{\"session\":{\"client_ip\":\"192.0.2.9\"},\"message\":{\"tags\":{\"k\":\"v\"}},"
                     "\"recipient\":{\"address\":\"a@b.example\",\"attempts\":3}}");
    assert_non_null(strstr(d, "\"kind\":\"send\",\"plan\":{\"do\":\"send\",\"via\":{\"kind\":\"relay\""));
    assert_non_null(strstr(d, "\"because\":\"192.0.2.9v3\""));
    assert_non_null(strstr(d, "\"lane\":\"-|relay:h.example:587|verify\""));
    assert_says("retry",
                "{\"message\":{},\"recipient\":{},\"outcome\":{\"reply\":\"450 4.2.0 "
                "full\",\"stage\":\"rcpt\",\"from_peer\":true,\"age\":2.5}}",
                "\"kind\":\"wait\",\"wait\":7,\"counts\":false,\"where\":\"policy.lua:10\",\"because\":\"4.2."
                "0rcpttrue2.5\"");
    assert_says("settle", "{\"event\":{\"type\":\"delivered\"}}",
                "\"kind\":\"told\",\"log\":[\"policy.lua:11: told delivered\"]");
}

static void hooks_that_are_not_there_have_their_default(void **state) {
    (void)state;
    policy("return {}");
    assert_says("recipient", "{\"session\":{\"trusted_network\":true},\"address\":{}}",
                "\"kind\":\"accept\"");
    assert_says("recipient", "{\"session\":{},\"address\":{}}", "relaying denied");
    assert_says("route", "{\"message\":{},\"recipient\":{}}", "\"kind\":\"hold\"");
    assert_says("retry",
                "{\"message\":{\"id\":\"00000000000000aa\"},\"recipient\":{},\"outcome\":{\"reply\":\"550 "
                "5.1.1 no\",\"stage\":\"rcpt\"}}",
                "give_up");
    assert_says("settle", "{\"event\":{}}", "told");
}

static void a_fault_is_a_decision(void **state) {
    (void)state;
    policy("return { sender = function(s, x) return x.nothing end, settle = function() error('oh') end }");
    const char *d = ask("sender", "{\"session\":{},\"address\":{}}");
    assert_non_null(strstr(d, "\"kind\":\"defer\",\"reply\":\"451 4.3.0"));
    assert_non_null(strstr(d, "\"fault\":true"));
    assert_non_null(strstr(d, "\"where\":\"policy.lua:1\""));
    assert_non_null(strstr(d, "address has no field 'nothing'"));
    assert_says("settle", "{\"event\":{}}", "\"fault\":true");
    assert_says("connect", "{\"session\":{}}", "\"kind\":\"accept\""); // goes on, and the log starts anew
    assert_null(strstr(buf_z(&said), "\"log\""));
}

// ---- facts

static void facts_that_are_none_are_refused(void **state) {
    (void)state;
    policy("return {}");
    refuses("conect", "{}", "no hook 'conect'");
    refuses("connect", "{\"session\":", "");
    refuses("connect", "{\"session\":{\"usr\":\"x\"}}", "session has no field 'usr' (did you mean 'user'?)");
    refuses("connect", "{\"session\":{\"user\":7}}", "session.user: a text is expected");
    refuses("connect", "{\"session\":[]}", "session: a table is expected");
    refuses("connect", "{\"session\":{\"client_port\":-1}}", "client_port: a whole number");
    refuses("connect", "{\"session\":{\"client_port\":4294967296}}", "client_port: a smaller number");
    refuses("connect", "{\"session\":{\"trusted_network\":\"yes\"}}", "trusted_network: true or false");
    refuses("connect", "{\"session\":{\"user_facts\":[1]}}", "user_facts: a table of names");
    refuses("route", "{\"message\":{\"id\":\"7\"}}", "message.id: 16 hex digits");
    refuses("route", "{\"message\":{\"id\":\"000000000000zzzz\"}}", "message.id: 16 hex digits");
    refuses("route", "{\"message\":{\"received_at\":\"now\"}}", "received_at: a time in seconds");
    refuses("route", "{\"message\":{\"recipients\":\"a@b\"}}", "recipients: a list of addresses");
    refuses("route", "{\"message\":{\"recipients\":[1]}}", "recipients: a text");
    refuses("retry", "{\"outcome\":{\"reply\":\"what\"}}", "outcome.reply: ");
    refuses("retry", "{\"outcome\":{\"code\":450}}", "outcome.code: follows from other facts");
    refuses("settle", "{\"event\":3}", "event.event: a table");
    assert_says("connect", "{\"session\":null}", "accept");
}

static void facts_of_the_last_question_are_forgotten(void **state) {
    (void)state;
    policy("local a = require 'answer' return { connect = function(s) return a.accept { because = 'user ' .. "
           "s.user .. '.' } end }");
    assert_says("connect", "{\"session\":{\"user\":\"ann\"}}", "user ann.");
    assert_says("connect", "{\"session\":{}}", "user .");
}

// ---- what is around

static void teach(const char *name, const char *type, const char *records) {
    struct err err = {""};
    struct json *j = json_parse(bytes_of(records), &err);
    if (!lab_teach(lab, name, type, j, &err)) fail_msg("%s", err.text);
    json_free(&j);
}

static void refuses_lesson(const char *name, const char *type, const char *records, const char *words) {
    struct err err = {""};
    struct json *j = json_parse(bytes_of(records), NULL);
    assert_false(lab_teach(lab, name, type, j, &err));
    if (!strstr(err.text, words)) fail_msg("'%s' is not in '%s'", words, err.text);
    json_free(&j);
}

static void dns_says_what_it_was_taught(void **state) {
    (void)state;
    policy("local a = require 'answer'\n"
           "return { connect = function(s)\n"
           "  local mx, txt, ptr = dns.mx('example.net'), dns.txt('example.net'), dns.ptr('192.0.2.7')\n"
           "  local v4, v6 = dns.a('mx.example.net'), dns.aaaa('mx.example.net')\n"
           "  local none, why, temporary = dns.mx('slow.example')\n"
           "  return a.accept { because = mx[1].host .. mx[1].preference .. txt[1] .. ptr[1] .. v4[1] .. "
           "v6[1] .. why .. tostring(temporary) } end }");
    teach("example.net", "mx", "[[20,\"b.example\"],[10,\"a.example\"]]");
    teach("example.net", "txt", "[\"v=spf1\"]");
    teach("192.0.2.7", "ptr", "[\"host.example\"]");
    teach("mx.example.net", "a", "[\"192.0.2.1\"]");
    teach("mx.example.net", "aaaa", "[\"2001:db8::1\"]");
    teach("slow.example", "mx", "\"timed out\"");
    const char *d = ask("connect", "{\"session\":{}}");
    assert_non_null(strstr(d, "a.example10v=spf1host.example192.0.2.12001:db8::1timed outtrue"));
    assert_non_null(strstr(d, "\"looked\":[{\"looked_up\":\"mx example.net\",\"found\":2,\"answers\":[\"20 b.example\",\"10 a.example\"]},"
                              "{\"looked_up\":\"txt example.net\",\"found\":1,\"answers\":[\"v=spf1\"]},"
                              "{\"looked_up\":\"ptr 192.0.2.7\",\"found\":1,\"answers\":[\"host.example\"]}"));
    assert_non_null(strstr(d, "{\"looked_up\":\"mx slow.example\",\"failed\":\"timed out\"}"));
    refuses_lesson("x.example", "srv", "[]", "'srv' is no type");
    refuses_lesson("x.example", "mx", "[\"a.example\"]", "an MX is a preference and a host");
    refuses_lesson("x.example", "mx", "[[70000,\"a.example\"]]", "an MX is");
    refuses_lesson("x.example", "a", "[\"2001:db8::1\"]", "no IPv4 address");
    refuses_lesson("x.example", "a", "[1]", "a list of texts");
    refuses_lesson("x.example", "a", "7", "a list of records");
    refuses_lesson("not an ip", "ptr", "[\"x\"]", "an IP address is expected");
    refuses_lesson("bad..name", "a", "[\"192.0.2.1\"]", "empty label");
}

static void the_clock_stands_until_it_is_moved(void **state) {
    (void)state;
    policy("local a = require 'answer' return { connect = function(s) return a.accept { because = "
           "os.date('!%Y-%m-%d %H:%M', math.floor(clock.now())) } end }");
    assert_says("connect", "{}", "2026-01-05 09:00");
    lab_clock(lab)->frozen_ms += 86400 * 1000;
    assert_says("connect", "{}", "2026-01-06 09:00");
    lab_reset(lab);
    assert_false(lab_has_policy(lab));
    assert_int_equal(lab_clock(lab)->frozen_ms, LAB_MORNING);
}

static void suppress(const char *address, const char *scope, int64_t expires_s) {
    struct err err = {""};
    if (!lab_suppress(lab, bytes_of(address), bytes_of(scope), BYTES("why"), expires_s, &err))
        fail_msg("%s", err.text);
}

static void the_list_is_the_real_one(void **state) {
    (void)state;
    static const char guarded[] =
        "local route, suppression = require 'route', require 'suppression'\n"
        "return { route = suppression.guard(function() return route.hold 'not listed' end) }";
    static const char facts[] =
        "{\"message\":{\"tags\":{\"stream\":\"news\"}},\"recipient\":{\"address\":\"Bob@Example.net\"}}";
    struct err err = {""};
    policy(guarded);
    assert_says("route", facts, "not listed");
    suppress("BOB@example.NET", "stream:news", 0);
    assert_says("route", facts, "\"kind\":\"suppress\"");
    lab_reset(lab);
    policy(guarded);
    assert_says("route", facts, "not listed");
    suppress("@example.net", "all", 60);
    assert_says("route", facts, "\"kind\":\"suppress\"");
    lab_clock(lab)->frozen_ms += 61 * 1000;
    assert_says("route", facts, "not listed");
    assert_false(lab_suppress(lab, BYTES("nobody"), BYTES("all"), BYTES(""), 0, &err));
    assert_false(lab_suppress(lab, BYTES("a@b.example"), BYTES("everything"), BYTES(""), 0, &err));
}

static void a_policy_that_does_not_load_says_why(void **state) {
    (void)state;
    struct err err = {""};
    assert_false(lab_use(lab, kit_bundle(&k, "return { rout = 1 }"), true, &err));
    assert_non_null(strstr(err.text, "did you mean 'route'?"));
    assert_false(lab_has_policy(lab));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_hook_is_asked_and_answers),
        TEST(hooks_that_are_not_there_have_their_default),
        TEST(a_fault_is_a_decision),
        TEST(facts_that_are_none_are_refused),
        TEST(facts_of_the_last_question_are_forgotten),
        TEST(dns_says_what_it_was_taught),
        TEST(the_clock_stands_until_it_is_moved),
        TEST(the_list_is_the_real_one),
        TEST(a_policy_that_does_not_load_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
