// SPDX-License-Identifier: MIT
// explain: the hooks are asked in a session's order with a session's facts, and who is refused is asked about no more.
#include "lab_kit.h"
#include "relay/explain.h"
#include "relay/lab_ledger.h"

static struct kit k;
static struct lab *lab;
static struct lab_ledger *ledger;
static struct users *users;
static struct conf_listener listeners[2];
static struct network allowed;
static struct conf conf;
static struct buf rows, facts; // what came, a word or two a row; the facts of the last hook

static int set_up(void **state) {
    (void)state;
    struct err err = {""};
    kit_open(&k);
    ledger = lab_ledger_new();
    lab = lab_new(&(struct lab_options){.usual = &k.usual, .limits = lab_ledger_limits(ledger)}, &err);
    users = users_read(BYTES("ann:!locked:team=red\nbob:$6$saltsalt$0123456789abcdefghij:team=blue\n"), "users", &err);
    if (!lab || !users) fail_msg("%s", err.text);
    assert_true(network_parse(BYTES("127.0.0.0/8"), &allowed, &err));
    listeners[0] = (struct conf_listener){.name = "in", .kind = LISTENER_RELAY, .allow = &allowed, .allow_count = 1};
    listeners[1] = (struct conf_listener){.name = "mua", .kind = LISTENER_SUBMISSION, .auth_required = true};
    assert_true(addr_parse(BYTES("192.0.2.1:25"), &listeners[0].address, &err));
    assert_true(addr_parse(BYTES("192.0.2.1:587"), &listeners[1].address, &err));
    conf = (struct conf){.hostname = "gate.example", .listeners = listeners, .listener_count = 2, .expire_s = 86400};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    lab_free(&lab);
    lab_ledger_free(&ledger);
    users_free(&users);
    buf_release(&rows);
    buf_release(&facts);
    kit_close(&k);
    return 0;
}

static void add_word(const struct json *row, const char *name) {
    struct bytes text = BYTES("");
    if (json_text(json_get(row, name), &text) && text.len) buf_format(&rows, "%.*s ", BYTES_FMT(text));
}

static void on_row(void *arg, struct bytes text) {
    static const char *const words[] = {"hook", "by", "fate", "recipient", "reply", "waits_for"};
    struct err err;
    struct json *row = json_parse(text, &err);
    (void)arg;
    if (!row) fail_msg("%s: %.*s", err.text, BYTES_FMT(text));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) add_word(row, words[i]);
    buf_byte(&rows, '\n');
    if (json_get(row, "facts")) {
        buf_reset(&facts);
        json_write(json_get(row, "facts"), &facts);
    }
    json_free(&row);
}

static bool explain(const char *policy, struct explain_ask ask, struct err *err) {
    static const struct bytes one[] = {{"bob@b.example", 13}};
    struct explain_place place = {.lab = lab, .conf = &conf, .users = users};
    if (!lab_use(lab, kit_bundle(&k, policy), false, err)) fail_msg("%s", err->text);
    if (!ask.recipients) {
        ask.recipients = one;
        ask.recipient_count = 1;
    }
    if (!ask.sender.at) ask.sender = BYTES("ann@a.example");
    if (!ask.head.at) ask.head = BYTES("Subject: x\r\n");
    buf_reset(&rows);
    return explain_message(&place, &ask, on_row, NULL, err);
}

static void says(const char *policy, struct explain_ask ask, const char *expected) {
    struct err err = {""};
    if (!explain(policy, ask, &err)) fail_msg("%s", err.text);
    assert_string_equal(buf_z(&rows), expected);
}

static void told(const char *part) {
    if (!strstr(buf_z(&facts), part)) fail_msg("'%s' is not in %s", part, buf_z(&facts));
}

#define POLICY(table) "local a, r = require 'answer', require 'route'\nreturn {" table "}"
#define SEND "route = function(m, x) return r.send { via = r.capture {}, spend = { limit.per_day('k', 1) } } end,"

static void the_hooks_come_in_order_with_what_went_before(void **state) {
    (void)state;
    says(POLICY("authenticate = function(s, l) return a.accept { facts = { t = l.known.team, right = l.password_matches } } end,"
                "message = function(s, m) return a.accept { tags = { n = m.recipient_count }, headers = { { set = 'X', value = s.user } }, expires = 60 } end," SEND),
         (struct explain_ask){.user = BYTES("bob"), .client = BYTES("198.51.100.7"), .body_size = 100},
         "connect \nauthenticate \nsender \nrecipient \nmessage \nroute \nsends bob@b.example \n");
    told("\"user_facts\":{\"right\":true,\"t\":\"blue\"}");
    told("\"listener\":\"mua\"");
    told("\"tls_version\":\"TLSv1.3\"");
    told("\"client_ip\":\"198.51.100.7\"");
    told("\"trusted_network\":false");
    told("\"tags\":{\"n\":1}");
    told("with ESMTPSA id ");
    told("Subject: x");
    told("X: bob");
    told("\"received_at\":1767603600.0,"); // LAB_MORNING to the second
    told("\"expires_at\":1767603660.0");
}

static void who_is_refused_is_asked_about_no_more(void **state) {
    (void)state;
    static const struct bytes two[] = {{"no@b.example", 12}, {"bob@b.example", 13}};
    says(POLICY("connect = function(s) return a.reject('554 5.7.1 away') end,"), (struct explain_ask){0},
         "connect \nrefused bob@b.example 554 5.7.1 away \n");
    says(POLICY("sender = function(s) return a.defer('450 4.7.1 later') end,"), (struct explain_ask){0},
         "connect \nsender \nrefused bob@b.example 450 4.7.1 later \n");
    says(POLICY("recipient = function(s, x) if x.local_part == 'no' then return a.reject('550 5.1.1 none') end return a.accept {} end," SEND),
         (struct explain_ask){.recipients = two, .recipient_count = 2},
         "connect \nsender \nrecipient \nrefused no@b.example 550 5.1.1 none \nrecipient \nmessage \nroute \nsends bob@b.example \n");
    told("\"recipient_count\":1");
    says("return {}", (struct explain_ask){.user = BYTES("ann")}, "connect \nauthenticate \nrefused bob@b.example 535 5.7.8 authentication failed \n");
    says("return {}", (struct explain_ask){.listener = BYTES("mua")}, "connect \nMAIL 530 5.7.0 Authentication required \nrefused bob@b.example 530 5.7.0 Authentication required \n");
    says("return {}", (struct explain_ask){.client = BYTES("198.51.100.7")}, "connect \nsender \nrecipient \nrefused bob@b.example 550 5.7.1 relaying denied \n");
}

static void what_is_not_sent_has_its_word(void **state) {
    (void)state;
    says(POLICY("message = function() return a.hold('h') end,"), (struct explain_ask){0}, "connect \nsender \nrecipient \nmessage \nholds bob@b.example \n");
    says(POLICY("message = function() return a.discard('d') end,"), (struct explain_ask){0}, "connect \nsender \nrecipient \nmessage \ndiscarded bob@b.example \n");
    says("return {}", (struct explain_ask){0}, "connect \nsender \nrecipient \nmessage \nroute \nholds bob@b.example \n");
    says(POLICY("route = function() return r.fail('550 5.7.1 no') end,"), (struct explain_ask){0}, "connect \nsender \nrecipient \nmessage \nroute \nbounces bob@b.example 550 5.7.1 no \n");
    says(POLICY("route = function() return r.wait(60, 'w') end,"), (struct explain_ask){0}, "connect \nsender \nrecipient \nmessage \nroute \nwaits bob@b.example \n");
    struct lab_limits l = lab_ledger_limits(ledger);
    struct spend s = {.key = BYTES("k"), .window_s = 86400, .cap = 1};
    l.spend(l.arg, &s, 1, LAB_MORNING);
    says(POLICY(SEND), (struct explain_ask){0}, "connect \nsender \nrecipient \nmessage \nroute \nwaits bob@b.example k \n");
    says(POLICY("message = function() return a.accept { spend = { limit.per_day('k', 1) } } end,"), (struct explain_ask){0},
         "connect \nsender \nrecipient \nmessage \nrefused bob@b.example 452 4.7.1 Over the limit of 1 messages in 1d, try again in 1d \n");
}

static void questions_that_are_none_are_refused(void **state) {
    (void)state;
    static const struct bytes bad[] = {{"bob", 3}};
    struct err err = {""};
    assert_false(explain("return {}", (struct explain_ask){.recipients = bad, .recipient_count = 1}, &err));
    assert_non_null(strstr(err.text, "recipient <bob>"));
    assert_false(explain("return {}", (struct explain_ask){.listener = BYTES("nope")}, &err));
    assert_non_null(strstr(err.text, "no listener 'nope'"));
    assert_false(explain("return {}", (struct explain_ask){.client = BYTES("nowhere")}, &err));
    assert_non_null(strstr(err.text, "no IP address"));
    lab_abandon(lab);
    assert_false(explain("return {}", (struct explain_ask){0}, &err));
    assert_string_equal(err.text, "given up");
}

static void what_is_queued_is_asked_with_what_it_has(void **state) {
    (void)state;
    struct err err = {""};
    struct explain_place place = {.lab = lab, .conf = &conf, .users = users};
    struct message m = {.id = 0x42, .received_ms = LAB_MORNING - 5000, .expires_ms = LAB_MORNING + 5000, .sender = BYTES("ann@a.example"), .user = BYTES("ann"),
                        .facts = BYTES("{\"client_ip\":\"192.0.2.7\"}"), .tags = BYTES("{\"k\":1}"), .head = BYTES("Subject: y\r\n"), .recipients = 3};
    struct recipient r = {.n = 2, .attempts = 4, .last_ms = LAB_MORNING - 1000, .address = BYTES("bob@b.example"), .outcome = BYTES("{\"stage\":\"rcpt\"}")};
    if (!lab_use(lab, kit_bundle(&k, POLICY("route = function(m, x)\n"
        "return r.hold(table.concat({ m.id, m.user, m.session.client_ip, m.tags.k, m:header 'Subject', x.number, x.attempts, x.last.stage, x.last_at - m.received_at }, ' ')) end")), false, &err)) fail_msg("%s", err.text);
    buf_reset(&rows);
    assert_true(explain_queued(&place, &m, &r, on_row, NULL, &err));
    assert_string_equal(buf_z(&rows), "route \nholds bob@b.example \n");
    assert_true(lab_ask(lab, "route", buf_bytes(&facts), &rows, &err));
    if (!strstr(buf_z(&rows), "\"because\":\"0000000000000042 ann 192.0.2.7 1 y 2 4 rcpt 4.0\"")) fail_msg("%s", buf_z(&rows));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_hooks_come_in_order_with_what_went_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_refused_is_asked_about_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_sent_has_its_word, set_up, tear_down),
        cmocka_unit_test_setup_teardown(questions_that_are_none_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_queued_is_asked_with_what_it_has, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
