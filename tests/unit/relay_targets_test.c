// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "pocket_dns.h"
#include "policy/answer.h"
#include "relay/targets.h"
#include "relay/worker.h"

struct bench {
    struct worker worker;
    struct clock clock;
    struct pocket_dns pocket;
    struct conf conf;
    struct plan plan;
    struct arena arena;
    struct targets targets;
    struct reply refused, failure;
    int times;
};

static void on_found(void *arg, const struct reply *failure) {
    struct bench *b = arg;
    b->times++;
    b->failure = failure ? *failure : (struct reply){0};
    loop_stop(b->worker.loop);
}

static int setup(void **state) {
    struct bench *b = must_alloc(sizeof *b);
    b->worker.loop = loop_new(NULL);
    b->clock.frozen_ms = 1700000000000;
    pocket_open(&b->pocket, b->worker.loop, 0);
    struct dns_options o = {.servers = b->pocket.address, .timeout_ms = 20, .tries = 2, .clock = &b->clock};
    b->worker.dns = dns_new(b->worker.loop, &o, NULL);
    b->conf = (struct conf){.hostname = "gateway.example", .family = "both", .smtp_port = 2525, .private_mx = true};
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example");
    pocket_add(&b->pocket, "mail.example", 300, "A", "127.0.0.9");
    pocket_add(&b->pocket, "mail.example", 300, "AAAA", "::1");
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    targets_cancel(&b->targets);
    arena_release(&b->arena);
    dns_free(&b->worker.dns);
    pocket_close(&b->pocket);
    loop_free(&b->worker.loop);
    free(b);
    return 0;
}

static bool find(struct bench *b, const char *domain) {
    b->times = 0;
    if (!targets_find(&b->targets, &b->worker, &b->conf, &b->plan, bytes_of(domain), &b->arena, on_found, b, &b->refused)) return false;
    assert_int_equal(b->times, 0);
    loop_run(b->worker.loop);
    assert_int_equal(b->times, 1);
    return true;
}

// "host address|..." of those that are left.
static void expect(struct bench *b, const char *all) {
    struct buf out = {0};
    const struct target *t;
    for (; (t = targets_current(&b->targets)); b->targets.next++) {
        char text[ADDR_TEXT];
        addr_text(&t->addr, text);
        buf_format(&out, "%s%s %s", out.len ? "|" : "", t->host, text);
    }
    assert_string_equal(buf_z(&out), all);
    buf_release(&out);
}

static void direct_goes_to_the_mail_hosts(void **state) {
    struct bench *b = *state;
    assert_true(find(b, "example.com"));
    expect(b, "mail.example [::1]:2525|mail.example 127.0.0.9:2525");
    assert_string_equal(b->targets.domain, "example.com");
    b->conf.family = "4";
    assert_true(find(b, "example.com"));
    expect(b, "mail.example 127.0.0.9:2525");
    b->conf.private_mx = false;
    assert_true(find(b, "example.com"));
    assert_true(reply_is_permanent(&b->failure));
    expect(b, "");
}

static void relay_is_one_host_whatever_the_domain(void **state) {
    struct bench *b = *state;
    b->plan.via = (struct via){.kind = VIA_RELAY, .host = BYTES("mail.example"), .port = 587};
    b->conf.private_mx = false; // the operator named it
    assert_true(find(b, "elsewhere.example"));
    expect(b, "mail.example [::1]:587|mail.example 127.0.0.9:587");
    assert_null(b->targets.domain);
}

static void identity_leaves_from_its_own_family(void **state) {
    struct bench *b = *state;
    assert_true(addr_parse(BYTES("127.0.0.1"), &b->plan.identity.source4, NULL));
    b->conf.family = "6";
    assert_true(find(b, "example.com"));
    expect(b, "mail.example 127.0.0.9:2525");
}

static void some_need_not_be_asked_for(void **state) {
    struct bench *b = *state;
    assert_false(find(b, "[127.0.0.1]"));
    assert_int_equal(b->refused.code, 550);
    b->plan.tls = LEVEL_DANE;
    assert_false(find(b, "example.com"));
    assert_int_equal(b->refused.code, 451);
    b->plan.tls = LEVEL_DANE_OR_VERIFY;
    assert_true(find(b, "example.com")); // the certificate decides
    b->plan.tls = LEVEL_DANE;
    b->conf.dns_trust_ad = true;
    assert_true(find(b, "example.com"));
}

static void cancelled_says_nothing(void **state) {
    struct bench *b = *state;
    assert_true(targets_find(&b->targets, &b->worker, &b->conf, &b->plan, BYTES("example.com"), &b->arena, on_found, b, &b->refused));
    targets_cancel(&b->targets);
    b->plan.via = (struct via){.kind = VIA_RELAY, .host = BYTES("mail.example"), .port = 587};
    assert_true(find(b, "")); // the one answer is this one's
    assert_null(b->targets.domain);
}

static void a_model_is_one_address(void **state) {
    struct bench *b = *state;
    targets_model(&b->targets, &b->plan, BYTES("example.com"), &b->arena);
    expect(b, "example.com 192.0.2.25:25");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void two_hosts(struct bench *b) {
    pocket_add(&b->pocket, "two.example", 300, "MX", "10 first.example");
    pocket_add(&b->pocket, "two.example", 300, "MX", "20 second.example");
    pocket_add(&b->pocket, "first.example", 300, "A", "127.0.0.11");
    pocket_add(&b->pocket, "second.example", 300, "A", "127.0.0.12");
    b->conf.family = "4";
}

static const char *host_of(struct bench *b) { return targets_current(&b->targets)->host; }

// A mail host that is away costs the next connections nothing.
static void unreachable_comes_last(void **state) {
    struct bench *b = *state;
    two_hosts(b);
    assert_true(find(b, "two.example"));
    assert_string_equal(host_of(b), "first.example");
    assert_int_equal(targets_patience_ms(&b->targets, 30000), TARGETS_PATIENCE_MS);
    assert_int_equal(targets_patience_ms(&b->targets, 1000), 1000);
    targets_unreachable(&b->targets, false); // it refused: it is not asked again
    assert_string_equal(host_of(b), "second.example");
    assert_int_equal(targets_patience_ms(&b->targets, 30000), 30000);
    targets_connected(&b->targets);
    targets_pass(&b->targets);
    assert_null(targets_current(&b->targets));
    assert_true(find(b, "two.example"));
    expect(b, "second.example 127.0.0.12:2525|first.example 127.0.0.11:2525");
    b->targets.next = 1;
    targets_connected(&b->targets); // it is back
    assert_true(find(b, "two.example"));
    expect(b, "first.example 127.0.0.11:2525|second.example 127.0.0.12:2525");
}

static void silent_is_put_off_and_then_waited_for(void **state) {
    struct bench *b = *state;
    two_hosts(b);
    assert_true(find(b, "two.example"));
    targets_unreachable(&b->targets, true);
    assert_string_equal(host_of(b), "second.example");
    assert_int_equal(targets_patience_ms(&b->targets, 30000), TARGETS_PATIENCE_MS); // the first is behind it again
    targets_unreachable(&b->targets, true);
    assert_string_equal(host_of(b), "first.example");
    assert_int_equal(targets_patience_ms(&b->targets, 30000), 30000);
    targets_unreachable(&b->targets, true);
    assert_string_equal(host_of(b), "second.example");
    assert_int_equal(targets_patience_ms(&b->targets, 30000), 30000);
    targets_unreachable(&b->targets, true);
    assert_null(targets_current(&b->targets));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(direct_goes_to_the_mail_hosts), TEST(relay_is_one_host_whatever_the_domain), TEST(identity_leaves_from_its_own_family),
        TEST(some_need_not_be_asked_for),    TEST(cancelled_says_nothing),                TEST(a_model_is_one_address),
        TEST(unreachable_comes_last),        TEST(silent_is_put_off_and_then_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
