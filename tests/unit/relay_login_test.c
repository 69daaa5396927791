// SPDX-License-Identifier: MIT
#include "relay/login.h"

#include "policy/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct clock the_clock = {.frozen_ms = 1763821804678};

static const struct plan *plan_of(const char *identity, const char *user, const char *host, bool xoauth2) {
    struct plan draft = {.kind = PLAN_SEND, .identity = {.name = bytes_of(identity)}};
    draft.via = (struct via){.kind = VIA_RELAY,
                             .host = bytes_of(host),
                             .user = bytes_of(user),
                             .secret = BYTES("geheim"),
                             .login_xoauth2 = xoauth2};
    return plan_make(&draft, BYTES("d"));
}

static void accepted(struct logins *ls, const char *identity, const char *user, const char *host,
                     bool xoauth2) {
    const struct plan *plan = plan_of(identity, user, host, xoauth2);
    logins_accepted(ls, plan);
    plan_free(&plan);
}

static void refused(struct logins *ls, const char *identity, const char *user, const char *host) {
    const struct plan *plan = plan_of(identity, user, host, false);
    struct reply r = reply_make(535, "5.7.8", "no \"such\" user");
    logins_refused(ls, plan, &r);
    plan_free(&plan);
}

static void add(void *arg, struct bytes json) {
    assert_int_equal(json.at[json.len - 1], '\n');
    buf_add(arg, json);
}

static void logins_are_noted(void **state) {
    (void)state;
    struct logins *ls = logins_new(&the_clock);
    struct buf out = {0};
    accepted(ls, "acme", "ann", "a.example", false);
    logins_show(ls, add, &out);
    assert_string_equal(
        buf_z(&out),
        "{\"identity\":\"acme\",\"login\":\"ann\",\"kind\":\"password\",\"session\":{\"host\":\"a.example\","
        "\"accepted_at\":\"2025-11-22T14:30:04.678Z\"}}\n");
    clock_shift(&the_clock, 1000);
    refused(ls, "acme", "ann", "b.example");
    buf_reset(&out);
    logins_show(ls, add, &out);
    assert_string_equal(
        buf_z(&out),
        "{\"identity\":\"acme\",\"login\":\"ann\",\"kind\":\"password\",\"session\":{\"host\":\"b.example\","
        "\"accepted_at\":\"2025-11-22T14:30:04.678Z\",\"refused_at\":\"2025-11-22T14:30:05.678Z\","
        "\"refused\":\"535 5.7.8 no \\\"such\\\" user\"}}\n");
    accepted(ls, "acme", "ann", "a.example", true); // the same name, another login
    accepted(ls, "", "ann", "a.example", false);
    buf_reset(&out);
    logins_show(ls, add, &out);
    size_t rows = 0;
    for (struct bytes rest = buf_bytes(&out); rest.len; rows++)
        bytes_cut(&rest, '\n');
    assert_int_equal(rows, 3);
    buf_release(&out);
    logins_free(&ls);
    assert_null(ls);
}

static void their_number_is_bounded(void **state) {
    (void)state;
    struct logins *ls = logins_new(&the_clock);
    struct buf out = {0};
    char user[20];
    for (int i = 0; i < 10010; i++) {
        snprintf(user, sizeof user, "u%d", i);
        accepted(ls, "", user, "h", false);
    }
    refused(ls, "", "u5", "h"); // those that are known go on
    logins_show(ls, add, &out);
    size_t rows = 0;
    for (struct bytes rest = buf_bytes(&out); rest.len; rows++)
        bytes_cut(&rest, '\n');
    assert_int_equal(rows, 10000);
    assert_non_null(strstr(buf_z(&out), "535"));
    buf_release(&out);
    logins_free(&ls);
}

static void workers_are_joined(void **state) {
    (void)state;
    static const char identities[] = "{\"identity\":\"acme\",\"where\":\"policy.lua:3\",\"helo\":\"h\"}\n{"
                                     "\"identity\":\"idle\",\"where\":\"x\"}\n";
    static const char logins[] =
        "{\"identity\":\"acme\",\"login\":\"ann\",\"kind\":\"xoauth2\",\"session\":{\"host\":\"h1\","
        "\"accepted_at\":\"2026-01-01T00:00:00.000Z\"}}\n"
        "{\"identity\":\"acme\",\"login\":\"ann\",\"kind\":\"xoauth2\",\"token\":{\"state\":\"good\"}}\n"
        "{\"identity\":\"acme\",\"login\":\"ann\",\"kind\":\"xoauth2\",\"session\":{\"host\":\"h2\","
        "\"accepted_at\":\"2025-01-01T00:00:00.000Z\","
        "\"refused_at\":\"2026-02-01T00:00:00.000Z\",\"refused\":\"no\"}}\n"
        "{\"identity\":\"acme\",\"login\":\"ann\",\"kind\":\"xoauth2\",\"session\":{\"host\":\"h3\","
        "\"accepted_at\":\"2026-01-02T00:00:00.000Z\"}}\n"
        "{\"identity\":\"\",\"login\":\"bob\",\"kind\":\"password\",\"session\":{\"host\":\"h\"}}\n"
        "{\"identity\":\"acme\",\"login\":\"ann\",\"kind\":\"password\",\"session\":{\"host\":\"h4\"}}\n";
    struct buf out = {0};
    logins_join(bytes_of(identities), bytes_of(logins), add, &out);
    assert_string_equal(buf_z(&out),
                        "{\"identity\":\"acme\",\"where\":\"policy.lua:3\",\"helo\":\"h\",\"logins\":["
                        "{\"login\":\"ann\",\"kind\":\"password\",\"session\":{\"host\":\"h4\"}},"
                        "{\"login\":\"ann\",\"kind\":\"xoauth2\",\"token\":{\"state\":\"good\"},\"session\":{"
                        "\"accepted_at\":\"2025-01-01T00:00:00.000Z\","
                        "\"host\":\"h2\",\"refused\":\"no\",\"refused_at\":\"2026-02-01T00:00:00.000Z\"}}]}\n"
                        "{\"identity\":\"idle\",\"where\":\"x\",\"logins\":[]}\n"
                        "{\"identity\":\"\",\"logins\":[{\"login\":\"bob\",\"kind\":\"password\",\"session\":"
                        "{\"host\":\"h\"}}]}\n");
    buf_reset(&out);
    logins_join(BYTES(""), BYTES(""), add, &out);
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins_are_noted),
        cmocka_unit_test(their_number_is_bounded),
        cmocka_unit_test(workers_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
