// SPDX-License-Identifier: MIT
// trial: what only shows when a hook runs is found once, with the hook and the line; what is right is left alone.
#include "cli/trial.h"
#include "lab_kit.h"

static struct kit k;
static struct buf faults, reached;

static void on_fault(void *arg, const char *text) {
    (void)arg;
    buf_format(&faults, "%s\n", text);
}

static void on_decision(void *arg, const struct json *decision) {
    (void)arg;
    assert_non_null(decision);
}

static const char *network_text = "127.0.0.0/8", *users_text = "ann:$6$abcdefgh$ZZZZ\n";

static const char *try_policy(const char *policy) {
    struct err err = {""};
    struct conf_listener listeners[2] = {{.name = "in", .kind = LISTENER_RELAY}, {.name = "mua", .kind = LISTENER_SUBMISSION, .auth_required = true}};
    struct network local;
    struct users *users = users_read(bytes_of(users_text), "users", &err);
    assert_non_null(users);
    kit_open(&k);
    assert_true(network_parse(bytes_of(network_text), &local, &err));
    listeners[0].allow = &local;
    listeners[0].allow_count = 1;
    for (int i = 0; i < 2; i++) assert_true(addr_parse(BYTES("192.0.2.1:25"), &listeners[i].address, &err));
    struct conf conf = {.hostname = "gate.example", .base = k.root, .listeners = listeners, .listener_count = 2, .expire_s = 86400};
    buf_reset(&faults);
    buf_reset(&reached);
    if (!trial_run(&conf, users, kit_bundle(&k, policy), &(struct trial_eyes){on_fault, on_decision, NULL}, &reached, &err)) fail_msg("%s", err.text);
    users_free(&users);
    kit_close(&k);
    return buf_z(&faults);
}

static void what_is_right_is_left_alone(void **state) {
    (void)state;
    assert_string_equal(try_policy("local r = require 'route'\nreturn { route = function(m, x)\nif not dns.mx(x.domain) then return r.fail('550 5.1.2 no') end\n"
                                   "return r.send { via = r.direct {}, spend = { limit.per_day('k', 1) } } end }"), "");
    assert_string_equal(buf_z(&reached), "connect sender recipient message route retry authenticate");
}

static void a_fault_is_told_once_with_its_hook(void **state) {
    (void)state;
    const char *said = try_policy("return { message = function(s, m)\nreturn require('answer').accept { tgs = {} } end }");
    assert_non_null(strstr(said, "message: policy.lua:2: answer.accept: unknown field 'tgs' (did you mean 'tags'?) (on a trial message from trial@gate.example, asked about "));
    assert_ptr_equal(strchr(said, '\n') + 1, said + strlen(said));
}

static void retry_is_asked_what_attempts_come_to(void **state) {
    (void)state;
    const char *said = try_policy("local r = require 'route'\nreturn { route = function() return r.send { via = r.direct {} } end,\nretry = function(m, x, o)\n"
                                  "if o.stage ~= 'connect' then return require('retry').wait(60, 'w') end end }");
    assert_non_null(strstr(said, "retry: "));
    assert_non_null(strstr(said, "asked about 450 4.4.1 no answer)"));
}

static void a_user_sends_as_the_users_file_allows(void **state) {
    (void)state;
    static const char policy[] = "local a = require 'answer'\nreturn { sender = function(s, x)\n"
                                 "if s.user ~= '' and x.address ~= '%s' then return a.reject('553 5.7.1 no', 'no') end return a.accept {} end,\n"
                                 "message = function(s, m) if s.user ~= '' then error('was here') end return a.accept {} end }";
    static const struct { const char *users, *sender; } rows[] = {
        {"ann:$6$abcdefgh$ZZZZ:from=*@acme.example,b@example.net per_hour=2\nbob:!locked:from=x@y.example per_hour=2\n", "trial@acme.example"},
        {"ann:$6$abcdefgh$ZZZZ:from=b@example.net\n", "b@example.net"},
        {"ann:$6$abcdefgh$ZZZZ:from=*\n", "trial@gate.example"}, {"ann:$6$abcdefgh$ZZZZ:from=@@,\n", "trial@gate.example"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[sizeof policy + 40], words[80];
        snprintf(text, sizeof text, policy, rows[i].sender);
        snprintf(words, sizeof words, "was here (on a trial message from %s,", rows[i].sender);
        users_text = rows[i].users;
        assert_non_null(strstr(try_policy(text), words));
    }
    users_text = "ann:$6$abcdefgh$ZZZZ\n";
}

static void a_relay_is_tried_from_its_network(void **state) {
    (void)state;
    network_text = "10.1.0.0/16";
    const char *said = try_policy("return { message = function(s, m) if s.trusted_network then error(s.client_ip) end return require('answer').accept {} end }");
    assert_non_null(strstr(said, "10.1.0.0 (on a trial message from"));
    network_text = "127.0.0.0/8";
}

static int tear_down(void **state) {
    (void)state;
    buf_release(&faults);
    buf_release(&reached);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_is_left_alone),
        cmocka_unit_test(a_fault_is_told_once_with_its_hook),
        cmocka_unit_test(a_user_sends_as_the_users_file_allows),
        cmocka_unit_test(a_relay_is_tried_from_its_network),
        cmocka_unit_test(retry_is_asked_what_attempts_come_to),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
