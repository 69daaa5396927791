// SPDX-License-Identifier: MIT
// rebuff: the event names what there was to name, and no more recipients than anybody reads.
#include "relay/rebuff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct kit {
    char path[64];
    struct clock clock;
    struct log log;
    struct loop *loop;
    struct events *events;
    struct event_writer *writer;
    char line[16384];
};

static void keep(void *arg, struct bytes line) {
    struct kit *k = arg;
    snprintf(k->line, sizeof k->line, "%.*s", BYTES_FMT(line));
}

static int setup(void **state) {
    struct err err;
    struct kit *k = calloc(1, sizeof *k);
    assert_non_null(k);
    snprintf(k->path, sizeof k->path, "/tmp/tidegate-rebuff-XXXXXX");
    close(mkstemp(k->path));
    k->log.fd = -1;
    k->clock.frozen_ms = 1770000000000;
    k->log.clock = &k->clock;
    k->loop = loop_new(&err);
    k->events = events_open(k->path, &k->log, &err);
    assert_non_null(k->events);
    k->writer = event_writer_new(k->events, k->loop, &k->clock);
    event_writer_listen(k->writer, keep, k);
    *state = k;
    return 0;
}

static int teardown(void **state) {
    struct kit *k = *state;
    event_writer_free(&k->writer);
    loop_free(&k->loop);
    events_close(&k->events);
    unlink(k->path);
    free(k);
    return 0;
}

static const struct session_facts facts = {.id = {"c-1", 3}, .client_ip = {"192.0.2.7", 9}, .listener = {"relay-1", 7}};

static void names_a_recipient_and_the_null_sender(void **state) {
    struct kit *k = *state;
    struct reply reply = reply_make(550, "5.1.1", "no \"%s\"", "such");
    struct origin origin = {.where = BYTES("policy.lua:3"), .because = BYTES("left")};
    struct bytes to = BYTES("no@example.net");
    rebuff_tell(k->writer, &(struct rebuff){.session = &facts, .stage = "rcpt", .recipients = &to, .count = 1, .reply = &reply, .origin = &origin});
    assert_non_null(strstr(k->line, "\"type\":\"refused\",\"stage\":\"rcpt\",\"client_ip\":\"192.0.2.7\",\"listener\":\"relay-1\",\"session\":\"c-1\""));
    assert_non_null(strstr(k->line, "\"sender\":\"\",\"recipient\":\"no@example.net\""));
    assert_non_null(strstr(k->line, "\"reply\":{\"code\":550,\"status\":\"5.1.1\",\"text\":\"no \\\"such\\\"\"}"));
    assert_non_null(strstr(k->line, "\"where\":\"policy.lua:3\",\"because\":\"left\"}"));
    assert_null(strstr(k->line, "login"));
}

static void a_login_has_no_envelope(void **state) {
    struct kit *k = *state;
    struct reply reply = reply_make(535, "5.7.8", "authentication failed");
    struct origin origin = {0};
    rebuff_tell(k->writer, &(struct rebuff){.session = &facts, .stage = "auth", .login = BYTES("root"), .reply = &reply, .origin = &origin});
    assert_non_null(strstr(k->line, "\"login\":\"root\""));
    assert_null(strstr(k->line, "sender"));
    assert_null(strstr(k->line, "recipient"));
}

static void a_thousand_recipients_are_not_all_named(void **state) {
    struct kit *k = *state;
    struct reply reply = reply_make(550, "5.7.1", "no");
    struct origin origin = {0};
    struct bytes to[1000];
    size_t named = 0;
    for (int i = 0; i < 1000; i++) to[i] = BYTES("someone@example.net");
    rebuff_tell(k->writer, &(struct rebuff){.session = &facts, .stage = "content", .recipients = to, .count = 1000, .reply = &reply, .origin = &origin});
    for (const char *at = k->line; (at = strstr(at, "someone@")); at++) named++;
    assert_int_equal(named, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_a_recipient_and_the_null_sender, setup, teardown),
        cmocka_unit_test_setup_teardown(a_login_has_no_envelope, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thousand_recipients_are_not_all_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
