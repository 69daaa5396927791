// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "pocket_dns.h"
#include "relay/dane.h"

struct bench {
    struct loop *loop;
    struct clock clock;
    struct pocket_dns pocket;
    struct dns *dns;
    struct dane_answer got;
    struct tls_pin first;
    char data[64], why[200];
    int times;
};

static void on_answer(void *arg, const struct dane_answer *a) {
    struct bench *b = arg;
    b->got = *a;
    b->times++;
    snprintf(b->why, sizeof b->why, "%s", a->why);
    if (a->count) {
        b->first = a->pins[0];
        memcpy(b->data, b->first.data.at, b->first.data.len < sizeof b->data ? b->first.data.len : sizeof b->data);
    }
    loop_stop(b->loop);
}

static enum dane_demand ask_both(struct bench *b, const char *host, const char *canonical, uint16_t port) {
    b->times = 0;
    assert_non_null(dane_ask(b->dns, host, canonical, port, on_answer, b));
    assert_int_equal(b->times, 0);
    loop_run(b->loop);
    assert_int_equal(b->times, 1);
    dns_flush(b->dns);
    return b->got.demand;
}

static enum dane_demand ask(struct bench *b, const char *host, uint16_t port) {
    return ask_both(b, host, NULL, port);
}

static int setup(void **state) {
    struct bench *b = must_alloc(sizeof *b);
    b->loop = loop_new(NULL);
    b->clock.frozen_ms = 1700000000000;
    pocket_open(&b->pocket, b->loop, 0);
    struct dns_options o = {.servers = b->pocket.address, .timeout_ms = 20, .tries = 2, .trust_ad = true, .clock = &b->clock};
    b->dns = dns_new(b->loop, &o, NULL);
    b->pocket.authentic = true;
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    dns_free(&b->dns);
    pocket_close(&b->pocket);
    loop_free(&b->loop);
    free(b);
    return 0;
}

#define DIGEST "0123456789abcdef0123456789abcdef"

static void demands_what_is_published(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "_25._tcp.mx.example", 300, "TLSA", "3 1 1 " DIGEST);
    pocket_add(&b->pocket, "_25._tcp.mx.example", 300, "TLSA", "1 0 1 " DIGEST);
    pocket_add(&b->pocket, "_2525._tcp.mx.example", 300, "TLSA", "2 0 1 " DIGEST);
    pocket_add(&b->pocket, "_25._tcp.old.example", 300, "TLSA", "0 0 1 " DIGEST);
    pocket_add(&b->pocket, "bare.example", 300, "A", "192.0.2.1");
    assert_int_equal(ask(b, "mx.example", 25), DANE_MATCH);
    assert_int_equal(b->got.count, 1);
    assert_int_equal(b->first.usage, 3);
    assert_int_equal(b->first.selector, 1);
    assert_int_equal(b->first.matching, 1);
    assert_memory_equal(b->data, DIGEST, 32);
    assert_int_equal(ask(b, "mx.example", 2525), DANE_MATCH);
    assert_int_equal(b->first.usage, 2);
    assert_int_equal(ask(b, "old.example", 25), DANE_TLS);
    assert_int_equal(b->got.count, 0);
    assert_int_equal(ask(b, "bare.example", 25), DANE_NOTHING);
    assert_int_equal(ask(b, "nowhere.example", 25), DANE_NOTHING);
}

static void unsigned_says_nothing(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "_25._tcp.mx.example", 300, "TLSA", "3 1 1 " DIGEST);
    b->pocket.authentic = false;
    assert_int_equal(ask(b, "mx.example", 25), DANE_NOTHING);
}

// RFC 7672 section 2.1.1: who can make a question fail must not thereby turn the demand off.
static void failure_is_not_nothing(void **state) {
    struct bench *b = *state;
    pocket_behave(&b->pocket, "_25._tcp.mx.example", POCKET_SERVFAIL);
    assert_int_equal(ask(b, "mx.example", 25), DANE_UNKNOWN);
    assert_true(b->why[0]);
    pocket_behave(&b->pocket, "_25._tcp.quiet.example", POCKET_SILENT);
    assert_int_equal(ask(b, "quiet.example", 25), DANE_UNKNOWN);
}

// RFC 7672 section 2.2.2: the name that an alias leads to, then its own.
static void an_alias_is_asked_for_under_both_names(void **state) {
    struct bench *b = *state;
    const char *alias = "mx.example", *canonical = "host.example";
    pocket_add(&b->pocket, "_25._tcp.mx.example", 300, "TLSA", "3 1 1 " DIGEST);
    assert_int_equal(ask_both(b, alias, canonical, 25), DANE_MATCH);
    assert_ptr_equal(b->got.base, alias);
    pocket_add(&b->pocket, "_25._tcp.host.example", 300, "TLSA", "2 1 1 " DIGEST);
    assert_int_equal(ask_both(b, alias, canonical, 25), DANE_MATCH);
    assert_ptr_equal(b->got.base, canonical);
    assert_int_equal(b->first.usage, 2);
    pocket_behave(&b->pocket, "_25._tcp.host.example", POCKET_SERVFAIL);
    assert_int_equal(ask_both(b, alias, canonical, 25), DANE_UNKNOWN);
    assert_int_equal(ask_both(b, "a.example", "b.example", 25), DANE_NOTHING);
}

static void can_be_cancelled(void **state) {
    struct bench *b = *state;
    struct dane_ticket *t = dane_ask(b->dns, "mx.example", NULL, 25, on_answer, b), *none = NULL;
    dane_cancel(&t);
    assert_null(t);
    dane_cancel(&none);
    assert_int_equal(ask(b, "other.example", 25), DANE_NOTHING); // and no answer of the first
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(demands_what_is_published, setup, teardown),
        cmocka_unit_test_setup_teardown(unsigned_says_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_is_not_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(an_alias_is_asked_for_under_both_names, setup, teardown),
        cmocka_unit_test_setup_teardown(can_be_cancelled, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
