// SPDX-License-Identifier: MIT
// Days played through by the real rooms: what peers do by rule becomes of the mail what it would in life.
#include "rehearsal_kit.h"

#include "base/map.h"

struct count {
    size_t delivered, deferred, bounced, limit, expired, accepted, recipients, stored, refused;
    int64_t first_ms, last_ms; // of deliveries
    struct kit kit;
};

static void on_fate(void *arg, const struct rehearsed_fate *f) {
    struct count *c = arg;
    int64_t now = rehearsal_now(c->kit.r);
    bool delivered = strcmp(f->type, "delivered") == 0;
    c->delivered += delivered;
    c->deferred += strcmp(f->type, "deferred") == 0;
    c->bounced += strcmp(f->type, "bounced") == 0;
    c->limit += strcmp(f->type, "limit") == 0;
    c->expired += strcmp(f->type, "expired") == 0;
    if (delivered && !c->first_ms) c->first_ms = now;
    if (delivered) c->last_ms = now;
}

static void on_accepted(void *arg, const struct plan *plan, size_t recipients) {
    struct count *c = arg;
    assert_true(plan->kind == PLAN_SEND);
    c->accepted++;
    c->recipients += recipients;
}

static void on_arrived(void *arg, const struct arrived *a) {
    struct count *c = arg;
    c->stored += a->id != 0;
    c->refused += a->refused;
}

static struct count *open_count(const char *policy, const char *rules) {
    struct count *c = calloc(1, sizeof *c);
    struct rehearsal_options options = {.seed = 1, .fate = on_fate, .accepted = on_accepted, .arg = c};
    kit_open(&c->kit, policy, rules, &options);
    return c;
}

static void close_count(struct count *c) {
    kit_close(&c->kit);
    free(c);
}

static void send_many(struct count *c, const char *sender, const char *domain, int from, int count) {
    for (int i = from; i < from + count; i++) {
        char *address = malloc(100);
        snprintf(address, 100, "r%d@%s", i, domain);
        struct bytes to = bytes_of(address);
        struct arrival a = {.sender = bytes_of(sender), .user = BYTES("app"), .client_ip = BYTES("192.0.2.7"),
                            .head = BYTES("Subject: hello\r\n"), .size = 2000, .recipients = &to, .count = 1};
        arrival_start(c->kit.r ? rehearsal_worker(c->kit.r) : NULL, &a, on_arrived, c);
        rehearsal_run(c->kit.r, rehearsal_now(c->kit.r) + 1000);
        free(address);
    }
}

static const char direct[] = "local route, identity = require 'route', require 'identity'\n"
                             "local acme = identity.define { name = 'acme' }\n"
                             "return { route = function(m, r)\n"
                             "  return route.send { via = route.direct {}, identity = acme, because = 'direct' }\n"
                             "end }";

static void everything_is_taken(void **state) {
    (void)state;
    struct count *c = open_count(direct, NULL);
    send_many(c, "a@example.org", "example.net", 0, 50);
    rehearsal_run(c->kit.r, KIT_START + 3600 * 1000);
    assert_int_equal(c->stored, 50);
    assert_int_equal(c->delivered, 50);
    assert_int_equal(c->accepted, 50);
    assert_int_equal(c->recipients, 50);
    assert_int_equal(rehearsal_now(c->kit.r), KIT_START + 3600 * 1000);
    close_count(c);
}

static void limits_hold_and_what_waits_goes_later(void **state) {
    (void)state;
    struct count *c = open_count("local route = require 'route'\n"
                                 "return { route = function(m, r)\n"
                                 "  return route.send { via = route.direct {}, spend = { limit.per_day('acme', 20) }, because = 'capped' }\n"
                                 "end }", NULL);
    send_many(c, "a@example.org", "example.net", 0, 50);
    rehearsal_run(c->kit.r, KIT_START + 20 * 3600 * 1000);
    assert_int_equal(c->delivered, 20);
    assert_in_range(c->limit, 30, 30 + 20 * 60); // one is called now and then, to see whether its plan has changed
    rehearsal_run(c->kit.r, KIT_START + 30 * 3600 * 1000);
    assert_int_equal(c->delivered, 40);
    rehearsal_run(c->kit.r, KIT_START + 3 * 86400 * 1000);
    assert_int_equal(c->delivered, 50);
    close_count(c);
}

static void greylisting_is_waited_out(void **state) {
    (void)state;
    struct count *c = open_count(direct, "return { default = { greylist = { time = '5m' } } }");
    send_many(c, "a@example.org", "example.net", 0, 10);
    rehearsal_run(c->kit.r, KIT_START + 240 * 1000);
    assert_int_equal(c->delivered, 0);
    assert_int_equal(c->deferred, 10);
    rehearsal_run(c->kit.r, KIT_START + 12 * 3600 * 1000);
    assert_int_equal(c->delivered, 10);
    close_count(c);
}

static void a_closed_port_rests_the_lane(void **state) {
    (void)state;
    struct count *c = open_count(direct, "return { providers = { far = { domains = { '*.net' }, down = { from = 0, to = '2h' } } } }");
    send_many(c, "a@example.org", "example.net", 0, 30);
    send_many(c, "a@example.org", "example.com", 0, 5);
    rehearsal_run(c->kit.r, KIT_START + 7000 * 1000);
    assert_int_equal(c->delivered, 5);
    rehearsal_run(c->kit.r, KIT_START + 6 * 3600 * 1000);
    assert_int_equal(c->delivered, 35);
    assert_true(c->deferred < 30); // most waited for the lane, uncounted
    close_count(c);
}

static void unknown_addresses_bounce_and_are_unknown_again(void **state) {
    (void)state;
    struct count *c = open_count(direct, "return { default = { bounce = 0.25 } }");
    send_many(c, "", "example.net", 0, 200);
    rehearsal_run(c->kit.r, KIT_START + 3600 * 1000);
    size_t bounced = c->bounced;
    assert_int_equal(c->delivered + bounced, 200);
    assert_in_range(bounced, 30, 70);
    send_many(c, "", "example.net", 0, 200);
    rehearsal_run(c->kit.r, KIT_START + 2 * 3600 * 1000);
    assert_int_equal(c->bounced, 2 * bounced);
    close_count(c);
}

static void a_peer_that_counts(void **state) {
    (void)state;
    struct count *c = open_count(direct, "return { default = { quota = { per = 'identity', messages = 8, window = '24h',\n"
                                         "  reply = '450 4.2.1 The user you are trying to contact is receiving mail too quickly' } } }");
    send_many(c, "a@example.org", "example.net", 0, 12);
    rehearsal_run(c->kit.r, KIT_START + 20 * 3600 * 1000);
    assert_int_equal(c->delivered, 8);
    assert_true(c->deferred >= 4);
    rehearsal_run(c->kit.r, KIT_START + 4 * 86400 * 1000);
    assert_int_equal(c->delivered, 12);
    close_count(c);
}

static void a_storm_passes(void **state) {
    (void)state;
    struct count *c = open_count(direct, "return { default = { storms = { { from = 0, to = '1h', share = 0.5, reply = '421 4.7.0 try later' } } } }");
    send_many(c, "a@example.org", "example.net", 0, 40);
    size_t before = c->delivered;
    assert_in_range(before, 1, 39);
    assert_true(c->deferred > 0);
    rehearsal_run(c->kit.r, KIT_START + 86400 * 1000);
    assert_int_equal(c->delivered, 40);
    close_count(c);
}

static void what_the_policy_refuses_does_not_come_in(void **state) {
    (void)state;
    struct count *c = open_count("local answer = require 'answer'\n"
                                 "return { recipient = function(session, r)\n"
                                 "  if r.domain == 'bad.example' then return answer.reject('550 5.7.1 no') end\n"
                                 "  return answer.accept {}\n"
                                 "end }", NULL);
    send_many(c, "a@example.org", "bad.example", 0, 3);
    send_many(c, "a@example.org", "good.example", 0, 2);
    assert_int_equal(c->refused, 3);
    assert_int_equal(c->stored, 2);
    close_count(c);
}

// With couriers, retries, waits for limits and reports under way.
static void ends_in_the_middle(void **state) {
    (void)state;
    struct count *c = open_count("local route = require 'route'\n"
                                 "return { route = function(m, r)\n"
                                 "  return route.first { route.send { via = route.direct {}, spend = { limit.per_hour('acme', 5) }, because = 'one' },\n"
                                 "    route.send { via = route.relay { host = 'relay.example' }, spend = { limit.per_minute('relay', 3) }, because = 'two' } }\n"
                                 "end }", "return { default = { bounce = 0.2, latency = '90s' } }");
    struct bytes to = BYTES("you@example.net");
    for (int i = 0; i < 40; i++) {
        struct arrival a = {.sender = BYTES("me@example.org"), .user = BYTES("app"), .client_ip = BYTES("192.0.2.7"), .recipients = &to, .count = 1};
        arrival_start(rehearsal_worker(c->kit.r), &a, on_arrived, c);
    }
    rehearsal_run(c->kit.r, KIT_START + 10 * 1000);
    close_count(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_taken),
        cmocka_unit_test(limits_hold_and_what_waits_goes_later),
        cmocka_unit_test(greylisting_is_waited_out),
        cmocka_unit_test(a_closed_port_rests_the_lane),
        cmocka_unit_test(unknown_addresses_bounce_and_are_unknown_again),
        cmocka_unit_test(a_peer_that_counts),
        cmocka_unit_test(a_storm_passes),
        cmocka_unit_test(what_the_policy_refuses_does_not_come_in),
        cmocka_unit_test(ends_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
