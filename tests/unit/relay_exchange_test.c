// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "pocket_dns.h"
#include "relay/exchange.h"

struct bench {
    struct loop *loop;
    struct clock clock;
    struct pocket_dns pocket;
    struct dns *dns;
    struct exchange_options options;
};

// An answer in words: "10 a.example 192.0.2.1:25 [2001:db8::1]:25|20 b.example ..." or the reply.
struct told {
    struct loop *loop;
    int times;
    bool implicit, authentic;
    uint32_t ttl_s;
    size_t hosts;
    bool host_authentic;
    char canonical[64]; // of the first
    char text[4096];
    int code;
};

static void on_answer(void *arg, const struct exchange_answer *a) {
    struct told *t = arg;
    struct buf out = {0};
    for (size_t i = 0; i < a->count; i++) {
        buf_format(&out, "%s%d %s", i ? "|" : "", a->hosts[i].preference, a->hosts[i].name);
        assert_true(a->hosts[i].count > 0);
        for (size_t k = 0; k < a->hosts[i].count; k++) {
            char text[ADDR_TEXT];
            addr_text(&a->hosts[i].addresses[k], text);
            buf_format(&out, " %s", text);
        }
    }
    assert_true((a->count > 0) == (a->failure.code == 0));
    if (a->failure.code) reply_text(&a->failure, &out);
    snprintf(t->text, sizeof t->text, "%s", buf_z(&out));
    buf_release(&out);
    t->times++;
    t->implicit = a->implicit;
    t->authentic = a->authentic;
    t->host_authentic = a->count && a->hosts[0].authentic;
    snprintf(t->canonical, sizeof t->canonical, "%s", a->count && a->hosts[0].canonical ? a->hosts[0].canonical : "");
    t->ttl_s = a->ttl_s;
    t->hosts = a->count;
    t->code = a->failure.code;
    loop_stop(t->loop);
}

static struct told find(struct bench *b, const char *what, enum exchange_how how) {
    struct told t = {.loop = b->loop};
    struct exchange_ticket *ticket = exchange_find(b->dns, what, how, &b->options, on_answer, &t);
    assert_non_null(ticket);
    assert_int_equal(t.times, 0); // never before it has returned
    loop_run(b->loop);
    assert_int_equal(t.times, 1);
    return t;
}

static void expect(struct bench *b, const char *what, enum exchange_how how, const char *text) {
    assert_string_equal(find(b, what, how).text, text);
}

static int setup(void **state) {
    struct bench *b = must_alloc(sizeof *b);
    b->loop = loop_new(NULL);
    b->clock.frozen_ms = 1700000000000;
    pocket_open(&b->pocket, b->loop, 0);
    struct dns_options o = {
        .servers = b->pocket.address, .timeout_ms = 20, .tries = 2, .trust_ad = true, .clock = &b->clock};
    b->dns = dns_new(b->loop, &o, NULL);
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

static void nearest_first_families_in_turn(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 backup.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example");
    pocket_add(&b->pocket, "mail.example", 200, "A", "192.0.2.1");
    pocket_add(&b->pocket, "mail.example", 100, "A", "192.0.2.2");
    pocket_add(&b->pocket, "mail.example", 300, "AAAA", "2001:db8::1");
    pocket_add(&b->pocket, "mail.example", 300, "AAAA", "2001:db8::2");
    pocket_add(&b->pocket, "mail.example", 300, "AAAA", "2001:db8::3");
    pocket_add(&b->pocket, "backup.example", 300, "A", "192.0.2.9");
    b->pocket.authentic = true;
    struct told t = find(b, "Example.COM.", EXCHANGE_MX);
    assert_string_equal(t.text, "10 mail.example [2001:db8::1]:25 192.0.2.1:25 [2001:db8::2]:25 192.0.2.2:25 "
                                "[2001:db8::3]:25|20 backup.example 192.0.2.9:25");
    assert_false(t.implicit);
    assert_true(t.authentic && t.host_authentic);
    assert_int_equal(t.ttl_s, 60); // backup.example has no AAAA for as long as the SOA says
    b->options.family = AF_INET;
    b->options.port = 2525;
    expect(b, "example.com", EXCHANGE_MX,
           "10 mail.example 192.0.2.1:2525 192.0.2.2:2525|20 backup.example 192.0.2.9:2525");
    b->options.family = AF_INET6;
    expect(b, "example.com", EXCHANGE_MX,
           "10 mail.example [2001:db8::1]:2525 [2001:db8::2]:2525 [2001:db8::3]:2525");
}

static void equals_are_shuffled(void **state) {
    struct bench *b = *state;
    const char *const hosts[] = {"a.example", "b.example", "c.example"};
    for (int i = 0; i < 3; i++) {
        char mx[32];
        snprintf(mx, sizeof mx, "5 %s", hosts[i]);
        pocket_add(&b->pocket, "example.com", 300, "MX", mx);
        pocket_add(&b->pocket, hosts[i], 300, "A", "192.0.2.1");
    }
    pocket_add(&b->pocket, "example.com", 300, "MX", "1 first.example");
    pocket_add(&b->pocket, "first.example", 300, "A", "192.0.2.9");
    int second[3] = {0};
    for (int i = 0; i < 200; i++) {
        struct told t = find(b, "example.com", EXCHANGE_MX);
        assert_int_equal(t.hosts, 4);
        assert_memory_equal(t.text, "1 first.example ", 16);
        second[strchr(t.text, '|')[3] - 'a']++;
    }
    for (int i = 0; i < 3; i++)
        assert_true(second[i] > 20); // expected 67; fewer than 21 by chance: 1 in 10^13
}

static void only_hosts_that_are_allowed(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 thief.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 a.mail.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "30 mx.example.com");
    pocket_add(&b->pocket, "thief.example", 300, "A", "192.0.2.66");
    pocket_add(&b->pocket, "a.mail.example", 300, "A", "192.0.2.1");
    pocket_add(&b->pocket, "mx.example.com", 300, "A", "192.0.2.2");
    b->options.allowed = BYTES("mx.example.com *.mail.example");
    expect(b, "example.com", EXCHANGE_MX, "20 a.mail.example 192.0.2.1:25|30 mx.example.com 192.0.2.2:25");
    b->options.allowed = BYTES("*.example.com");
    expect(b, "example.com", EXCHANGE_MX, "30 mx.example.com 192.0.2.2:25");
    b->options.allowed = BYTES("*.example");
    expect(b, "example.com", EXCHANGE_MX, "10 thief.example 192.0.2.66:25"); // of one label only
    b->options.allowed = BYTES("other.example *.other.example");
    expect(b, "example.com", EXCHANGE_MX,
           "451 4.7.5 no MX of example.com is one that the plan allows: thief.example is not (mx = other.example, ...)");
    pocket_add(&b->pocket, "plain.example", 300, "A", "192.0.2.1");
    b->options.allowed = BYTES("mail.example");
    expect(b, "plain.example", EXCHANGE_MX,
           "451 4.7.5 no MX of plain.example is one that the plan allows: plain.example is not (mx = mail.example)");
    expect(b, "thief.example", EXCHANGE_HOST, "0 thief.example 192.0.2.66:25"); // by name it is the operator's word
}

static void patterns_stand_for_one_label(void **state) {
    (void)state;
    assert_true(exchange_allows(BYTES("a.example *.b.example"), "A.example"));
    assert_true(exchange_allows(BYTES("a.example *.b.example"), "x.b.example"));
    assert_false(exchange_allows(BYTES("a.example *.b.example"), "b.example"));
    assert_false(exchange_allows(BYTES("a.example *.b.example"), "x.y.b.example"));
    assert_false(exchange_allows(BYTES("a.example *.b.example"), "xa.example"));
    assert_false(exchange_allows(BYTES(""), "a.example"));
}

static void a_domain_without_mx_is_its_own(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "plain.example", 300, "A", "192.0.2.1");
    struct told t = find(b, "plain.example", EXCHANGE_MX);
    assert_string_equal(t.text, "0 plain.example 192.0.2.1:25");
    assert_true(t.implicit);
    pocket_add(&b->pocket, "text.example", 300, "TXT", "nothing else");
    expect(b, "text.example", EXCHANGE_MX, "550 5.4.4 no address for text.example");
}

static void a_domain_that_takes_no_mail(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "null.example", 300, "MX", "0 .");
    pocket_add(&b->pocket, "null.example", 300, "A", "192.0.2.1"); // of no matter
    expect(b, "null.example", EXCHANGE_MX, "556 5.1.10 null.example takes no mail (null MX)");
    pocket_add(&b->pocket, "mixed.example", 300, "MX", "0 ."); // RFC 7505 section 3: then it is no null MX
    pocket_add(&b->pocket, "mixed.example", 300, "MX", "10 mail.mixed.example");
    pocket_add(&b->pocket, "mail.mixed.example", 300, "A", "192.0.2.1");
    expect(b, "mixed.example", EXCHANGE_MX, "10 mail.mixed.example 192.0.2.1:25");
}

static void a_domain_that_is_none(void **state) {
    struct bench *b = *state;
    expect(b, "no.example", EXCHANGE_MX, "550 5.1.2 the domain no.example does not exist");
    assert_int_equal(find(b, "", EXCHANGE_MX).code, 550);
    assert_int_equal(find(b, "a..b", EXCHANGE_MX).code, 550);
    assert_int_equal(find(b, "b\303\274cher.example", EXCHANGE_MX).code, 550);
    assert_int_equal(find(b, "evil\r\n250 ok", EXCHANGE_MX).code, 550);
    assert_int_equal(find(b, "[192.0.2.1]", EXCHANGE_MX).code, 550);
}

static void trouble_with_dns_is_temporary(void **state) {
    struct bench *b = *state;
    pocket_behave(&b->pocket, "broken.example", POCKET_SERVFAIL);
    struct told t = find(b, "broken.example", EXCHANGE_MX);
    assert_memory_equal(t.text, "451 4.4.3 DNS for broken.example: 127.0.0.1:", 44);
    assert_non_null(strstr(t.text, "SERVFAIL"));
    pocket_behave(&b->pocket, "silent.example", POCKET_SILENT);
    assert_memory_equal(find(b, "silent.example", EXCHANGE_MX).text, "451 4.4.3 ", 10);

    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 gone.example");
    pocket_behave(&b->pocket, "mail.example", POCKET_SERVFAIL);
    assert_memory_equal(find(b, "example.com", EXCHANGE_MX).text, "451 4.4.3 ",
                        10); // not all are known to have none
}

static void one_dead_host_does_not_hide_another(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 broken.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "15 gone.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 mail.example");
    pocket_behave(&b->pocket, "broken.example", POCKET_SERVFAIL);
    pocket_add(&b->pocket, "mail.example", 300, "A", "192.0.2.1");
    expect(b, "example.com", EXCHANGE_MX, "20 mail.example 192.0.2.1:25");
}

static void no_host_has_an_address(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 gone.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 text.example");
    pocket_add(&b->pocket, "text.example", 300, "TXT", "no address");
    expect(b, "example.com", EXCHANGE_MX, "550 5.4.4 no address for example.com");
    b->options.family = AF_INET6;
    expect(b, "example.com", EXCHANGE_MX, "550 5.4.4 no IPv6 address for example.com");
}

static void targets_that_are_no_names(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "literal.example", 300, "MX", "10 192.0.2.1");
    expect(b, "literal.example", EXCHANGE_MX, "550 5.4.4 the MX of literal.example name no host");
    dns_flush(b->dns);
    pocket_add(&b->pocket, "literal.example", 300, "MX", "20 mail.example");
    pocket_add(&b->pocket, "literal.example", 300, "MX", "5 not a host.example");
    pocket_add(&b->pocket, "mail.example", 300, "A", "192.0.2.1");
    expect(b, "literal.example", EXCHANGE_MX, "20 mail.example 192.0.2.1:25");
    assert_int_equal(b->pocket.asked, 2 + 2); // the MX twice, two families of the one host
}

static void aliases_are_followed(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "www.example", 300, "CNAME", "example.com");
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 alias.example");
    pocket_add(&b->pocket, "alias.example", 300, "CNAME",
               "mail.example"); // RFC 2181 section 10.3 forbids it, zones do it
    pocket_add(&b->pocket, "mail.example", 300, "A", "192.0.2.1");
    expect(b, "www.example", EXCHANGE_MX, "10 alias.example 192.0.2.1:25");
    assert_string_equal(find(b, "www.example", EXCHANGE_MX).canonical, "mail.example");
    assert_string_equal(find(b, "mail.example", EXCHANGE_MX).canonical, "");
}

static void bounded_whatever_a_zone_lists(void **state) {
    struct bench *b = *state;
    for (int i = 0; i < 60; i++) {
        char name[32], mx[64], ip[32];
        snprintf(name, sizeof name, "m%02d.example", i);
        snprintf(mx, sizeof mx, "%d %s", i, name);
        snprintf(ip, sizeof ip, "192.0.2.%d", i);
        pocket_add(&b->pocket, "many.example", 300, "MX", mx);
        pocket_add(&b->pocket, name, 300, "A", ip);
        pocket_add(&b->pocket, "wide.example", 300, "A", ip);
    }
    pocket_behave(&b->pocket, "many.example", POCKET_TRUNCATE);
    pocket_behave(&b->pocket, "wide.example", POCKET_TRUNCATE);
    expect(b, "many.example", EXCHANGE_MX,
           "0 m00.example 192.0.2.0:25|1 m01.example 192.0.2.1:25|2 m02.example 192.0.2.2:25|"
           "3 m03.example 192.0.2.3:25|4 m04.example 192.0.2.4:25");
    assert_int_equal(b->pocket.asked, 2 + 5 * 2);
    pocket_add(&b->pocket, "both.example", 300, "MX", "1 wide.example");
    pocket_add(&b->pocket, "both.example", 300, "MX", "2 m01.example");
    expect(b, "both.example", EXCHANGE_MX,
           "1 wide.example 192.0.2.0:25 192.0.2.1:25 192.0.2.2:25 192.0.2.3:25 192.0.2.4:25 192.0.2.5:25 "
           "192.0.2.6:25 192.0.2.7:25|2 m01.example 192.0.2.1:25"); // two places stay free for the second
    b->options.hosts_max = 1;
    b->options.addresses_max = 3;
    expect(b, "both.example", EXCHANGE_MX, "1 wide.example 192.0.2.0:25 192.0.2.1:25 192.0.2.2:25");
}

static void hosts_behind_those_without_an_address(void **state) {
    struct bench *b = *state;
    const char *const names[] = {"m07.example"};
    for (int i = 0; i < 30; i++) {
        char mx[64];
        snprintf(mx, sizeof mx, "%d m%02d.example", i, i);
        pocket_add(&b->pocket, "stale.example", 300, "MX", mx);
    }
    pocket_behave(&b->pocket, "stale.example", POCKET_TRUNCATE);
    pocket_add(&b->pocket, "m21.example", 300, "A", "192.0.2.21");
    expect(b, "stale.example", EXCHANGE_MX, "550 5.4.4 no address for stale.example");
    assert_int_equal(b->pocket.asked, 2 + 20 * 2);
    dns_flush(b->dns);
    pocket_add(&b->pocket, "m12.example", 300, "A", "192.0.2.12");
    pocket_add(&b->pocket, "m15.example", 300, "A", "192.0.2.15");
    expect(b, "stale.example", EXCHANGE_MX, "12 m12.example 192.0.2.12:25");
    b->options.own_names = names;
    b->options.own_name_count = 1;
    expect(b, "stale.example", EXCHANGE_MX, "550 5.4.4 no address for stale.example"); // none behind us
}

static void the_same_host_twice_counts_once(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 mail.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 MAIL.example");
    pocket_add(&b->pocket, "mail.example", 300, "A", "192.0.2.1");
    expect(b, "example.com", EXCHANGE_MX, "10 mail.example 192.0.2.1:25");
}

static void who_is_not_nearer_than_us_is_left_out(void **state) {
    struct bench *b = *state;
    struct addr own;
    const char *const names[] = {"Us.example"};
    assert_true(addr_parse(BYTES("192.0.2.7"), &own, NULL));
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 near.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 beside.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "20 us.example");
    pocket_add(&b->pocket, "example.com", 300, "MX", "30 far.example");
    pocket_add(&b->pocket, "near.example", 300, "A", "192.0.2.1");
    pocket_add(&b->pocket, "beside.example", 300, "A", "192.0.2.2");
    pocket_add(&b->pocket, "us.example", 300, "A", "192.0.2.7");
    pocket_add(&b->pocket, "far.example", 300, "A", "192.0.2.3");
    assert_int_equal(find(b, "example.com", EXCHANGE_MX).hosts, 4);
    b->options.own_names = names;
    b->options.own_name_count = 1;
    expect(b, "example.com", EXCHANGE_MX, "10 near.example 192.0.2.1:25");
    b->options.own_name_count = 0;
    b->options.own_addresses = &own;
    b->options.own_address_count = 1;
    expect(b, "example.com", EXCHANGE_MX, "10 near.example 192.0.2.1:25");
    addr_set_port(&own, 2525); // we listen there, not on 25: that is somebody else
    assert_int_equal(find(b, "example.com", EXCHANGE_MX).hosts, 4);
    addr_set_port(&own, 25);

    pocket_add(&b->pocket, "ours.example", 300, "MX", "10 us.example");
    pocket_add(&b->pocket, "ours.example", 300, "MX", "20 far.example");
    expect(b, "ours.example", EXCHANGE_MX, "554 5.4.6 mail for ours.example loops back to this host");
    expect(b, "us.example", EXCHANGE_MX, "554 5.4.6 mail for us.example loops back to this host");
    b->options.own_names = names;
    b->options.own_name_count = 1;
    expect(b, "ours.example", EXCHANGE_MX, "554 5.4.6 mail for ours.example loops back to this host");
    b->options.own_address_count = 0; // by its name alone, without an MX
    expect(b, "us.example", EXCHANGE_MX, "554 5.4.6 mail for us.example loops back to this host");
    expect(b, "us.example", EXCHANGE_HOST, "0 us.example 192.0.2.7:25"); // the operator said so
}

static void private_addresses_can_be_left_out(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "inner.example", 300, "A", "127.0.0.1");
    pocket_add(&b->pocket, "inner.example", 300, "A", "10.1.2.3");
    pocket_add(&b->pocket, "inner.example", 300, "AAAA", "::1");
    expect(b, "inner.example", EXCHANGE_MX, "0 inner.example [::1]:25 127.0.0.1:25 10.1.2.3:25");
    b->options.public_only = true;
    expect(b, "inner.example", EXCHANGE_MX, "550 5.4.4 no public address for inner.example");
    pocket_add(&b->pocket, "mixed.example", 300, "A", "0.0.0.0");
    pocket_add(&b->pocket, "mixed.example", 300, "A", "192.0.2.1");
    expect(b, "mixed.example", EXCHANGE_MX, "0 mixed.example 192.0.2.1:25");
    expect(b, "[127.0.0.1]", EXCHANGE_HOST, "550 5.4.4 no public address for [127.0.0.1]");
}

static void a_host_by_name_or_address(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "relay.example", 300, "MX", "10 other.example"); // of no matter
    pocket_add(&b->pocket, "relay.example", 300, "A", "192.0.2.1");
    pocket_add(&b->pocket, "relay.example", 300, "AAAA", "2001:db8::1");
    b->options.port = 587;
    expect(b, "Relay.example.", EXCHANGE_HOST, "0 relay.example [2001:db8::1]:587 192.0.2.1:587");
    size_t asked = b->pocket.asked;
    expect(b, "192.0.2.1", EXCHANGE_HOST, "0 192.0.2.1 192.0.2.1:587");
    expect(b, "192.0.2.1:26", EXCHANGE_HOST, "0 192.0.2.1 192.0.2.1:26");
    expect(b, "2001:db8::1", EXCHANGE_HOST, "0 2001:db8::1 [2001:db8::1]:587");
    expect(b, "[2001:db8::1]:26", EXCHANGE_HOST, "0 2001:db8::1 [2001:db8::1]:26");
    expect(b, "[192.0.2.1]", EXCHANGE_HOST, "0 192.0.2.1 192.0.2.1:587");
    expect(b, "[IPv6:2001:db8::1]", EXCHANGE_HOST, "0 2001:db8::1 [2001:db8::1]:587");
    expect(b, "unix:/run/LMTP", EXCHANGE_HOST, "0 /run/LMTP unix:/run/LMTP");
    expect(b, "LocalHost", EXCHANGE_HOST, "0 localhost [::1]:587 127.0.0.1:587");
    b->options.family = AF_INET;
    expect(b, "localhost", EXCHANGE_HOST, "0 localhost 127.0.0.1:587");
    expect(b, "[IPv6:2001:db8::1]", EXCHANGE_HOST, "550 5.4.4 no IPv4 address for [ipv6:2001:db8::1]");
    b->options.public_only = true;
    expect(b, "unix:/run/LMTP", EXCHANGE_HOST, "0 /run/LMTP unix:/run/LMTP");
    assert_int_equal(b->pocket.asked, asked);
}

static void a_missing_relay_is_our_fault_and_temporary(void **state) {
    struct bench *b = *state;
    expect(b, "no.example", EXCHANGE_HOST, "451 4.4.4 no address for no.example");
    assert_int_equal(find(b, "a..b", EXCHANGE_HOST).code, 451);
    assert_int_equal(find(b, "", EXCHANGE_HOST).code, 451);
    pocket_behave(&b->pocket, "broken.example", POCKET_REFUSED);
    assert_memory_equal(find(b, "broken.example", EXCHANGE_HOST).text, "451 4.4.3 ", 10);
}

static void what_is_signed_is_said(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example");
    pocket_add(&b->pocket, "mail.example", 300, "A", "192.0.2.1");
    b->pocket.authentic = true;
    struct dns_options o = {.servers = b->pocket.address, .clock = &b->clock}; // AD is not trusted
    dns_free(&b->dns);
    b->dns = dns_new(b->loop, &o, NULL);
    struct told t = find(b, "example.com", EXCHANGE_MX);
    assert_false(t.authentic || t.host_authentic);
}

static void never(void *arg, const struct exchange_answer *a) {
    (void)arg, (void)a;
    fail_msg("a cancelled search was answered");
}

static void a_cancelled_search_is_not_answered(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example");
    pocket_add(&b->pocket, "mail.example", 300, "A", "192.0.2.1");
    struct exchange_ticket *t = exchange_find(b->dns, "example.com", EXCHANGE_MX, &b->options, never, NULL);
    exchange_cancel(&t);
    assert_null(t);
    exchange_cancel(&t);
    t = exchange_find(b->dns, "127.0.0.1", EXCHANGE_HOST, &b->options, never, NULL);
    exchange_cancel(&t);
    pocket_behave(&b->pocket, "mail.example", POCKET_SILENT);
    t = exchange_find(b->dns, "example.com", EXCHANGE_MX, &b->options, never, NULL);
    expect(b, "other.example", EXCHANGE_MX, "550 5.1.2 the domain other.example does not exist");
    exchange_cancel(&t); // while the addresses are being asked for
    expect(b, "another.example", EXCHANGE_MX, "550 5.1.2 the domain another.example does not exist");
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SERVER(nearest_first_families_in_turn),
        WITH_SERVER(equals_are_shuffled),
        WITH_SERVER(only_hosts_that_are_allowed),
        cmocka_unit_test(patterns_stand_for_one_label),
        WITH_SERVER(a_domain_without_mx_is_its_own),
        WITH_SERVER(a_domain_that_takes_no_mail),
        WITH_SERVER(a_domain_that_is_none),
        WITH_SERVER(trouble_with_dns_is_temporary),
        WITH_SERVER(one_dead_host_does_not_hide_another),
        WITH_SERVER(no_host_has_an_address),
        WITH_SERVER(targets_that_are_no_names),
        WITH_SERVER(aliases_are_followed),
        WITH_SERVER(bounded_whatever_a_zone_lists),
        WITH_SERVER(hosts_behind_those_without_an_address),
        WITH_SERVER(the_same_host_twice_counts_once),
        WITH_SERVER(who_is_not_nearer_than_us_is_left_out),
        WITH_SERVER(private_addresses_can_be_left_out),
        WITH_SERVER(a_host_by_name_or_address),
        WITH_SERVER(a_missing_relay_is_our_fault_and_temporary),
        WITH_SERVER(what_is_signed_is_said),
        WITH_SERVER(a_cancelled_search_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
