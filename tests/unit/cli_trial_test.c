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

static const char *try_policy(const char *policy) {
    struct err err = {""};
    struct conf_listener listeners[2] = {{.name = "in", .kind = LISTENER_RELAY}, {.name = "mua", .kind = LISTENER_SUBMISSION, .auth_required = true}};
    struct network local;
    struct users *users = users_read(BYTES("ann:!locked\n"), "users", &err);
    assert_non_null(users);
    kit_open(&k);
    assert_true(network_parse(BYTES("127.0.0.0/8"), &local, &err));
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
        cmocka_unit_test(retry_is_asked_what_attempts_come_to),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
