// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "net/dns.h"
#include "net/dns_cache.h"
#include "pocket_dns.h"

// ---- the parser

static struct dns_answer parse(struct arena *arena, const struct buf *m, const char *name,
                               enum dns_type type) {
    struct dns_answer a;
    // A copy of the exact size, so that AddressSanitizer sees a step too far.
    char *copy = malloc(m->len ? m->len : 1);
    if (m->len) memcpy(copy, m->at, m->len);
    dns_parse(arena, bytes_range(copy, m->len), name, type, &a);
    free(copy);
    assert_non_null(a.why);
    assert_true(a.count == 0 || a.status == DNS_OK);
    assert_true(a.status != DNS_TEMPORARY || a.why[0]);
    return a;
}

static void parse_reads_each_type(void **state) {
    (void)state;
    struct arena arena = {0};
    struct buf m = {0};
    pocket_header(&m, 1, 0x8180, "Example.COM", DNS_MX, 2, 0, 0);
    pocket_rr(&m, "example.com", DNS_MX, 300, BYTES("\0\12\4Mail\7example\3com\0"));
    pocket_rr(&m, "EXAMPLE.com", DNS_MX, 200, BYTES("\0\0\0"));
    struct dns_answer a = parse(&arena, &m, "example.com.", DNS_MX);
    assert_int_equal(a.status, DNS_OK);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.ttl_s, 200);
    assert_false(a.authentic);
    assert_int_equal(a.records[0].mx.preference, 10);
    assert_string_equal(a.records[0].mx.host, "mail.example.com");
    assert_int_equal(a.records[1].mx.preference, 0);
    assert_string_equal(a.records[1].mx.host, "");

    buf_reset(&m);
    pocket_header(&m, 1, 0x81a0, "t.example", DNS_TXT, 1, 0, 0);
    pocket_rr(&m, "t.example", DNS_TXT, 1, BYTES("\5v=spf\2 -\0\3all"));
    a = parse(&arena, &m, "t.example", DNS_TXT);
    assert_true(a.authentic);
    assert_true(bytes_equal(a.records[0].text, BYTES("v=spf -all")));

    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "_25._tcp.mx.example", DNS_TLSA, 1, 0, 0);
    pocket_rr(&m, "_25._tcp.mx.example", DNS_TLSA, 1, BYTES("\3\1\1digest"));
    a = parse(&arena, &m, "_25._tcp.mx.example", DNS_TLSA);
    assert_int_equal(a.records[0].tlsa.usage, 3);
    assert_int_equal(a.records[0].tlsa.matching, 1);
    assert_true(bytes_equal(a.records[0].tlsa.data, BYTES("digest")));

    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "h.example", DNS_AAAA, 1, 0, 0);
    pocket_rr(&m, "h.example", DNS_AAAA, 1, BYTES("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"));
    a = parse(&arena, &m, "h.example", DNS_AAAA);
    assert_int_equal(a.records[0].address.family, AF_INET6);
    assert_int_equal(a.records[0].address.ip[15], 1);
    buf_release(&m);
    arena_release(&arena);
}

static void parse_follows_aliases(void **state) {
    (void)state;
    struct arena arena = {0};
    struct buf m = {0};
    pocket_header(&m, 1, 0x8180, "a.example", DNS_A, 4, 0, 0);
    pocket_rr(&m, "c.example", DNS_A, 500, BYTES("\300\0\2\7")); // before the aliases that lead to it
    pocket_rr(&m, "stray.example", DNS_A, 1,
              BYTES("\300\0\2\10")); // nobody asked: neither record nor TTL counts
    pocket_rr(&m, "a.example", DNS_CNAME, 400, BYTES("\1B\7example\0"));
    pocket_rr(&m, "b.example", DNS_CNAME, 30, BYTES("\1c\7example\0"));
    struct dns_answer a = parse(&arena, &m, "a.example", DNS_A);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.records[0].address.ip[3], 7);
    assert_int_equal(a.ttl_s, 30);
    assert_string_equal(a.canonical, "c.example");

    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "a.example", DNS_A, 2, 0, 0);
    pocket_rr(&m, "a.example", DNS_CNAME, 400, BYTES("\1b\7example\0"));
    pocket_rr(&m, "b.example", DNS_CNAME, 30, BYTES("\1a\7example\0"));
    a = parse(&arena, &m, "a.example", DNS_A);
    assert_int_equal(a.status, DNS_TEMPORARY);
    assert_non_null(strstr(a.why, "alias"));
    buf_release(&m);
    arena_release(&arena);
}

static void parse_tells_absence(void **state) {
    (void)state;
    struct arena arena = {0};
    struct buf m = {0};
    pocket_header(&m, 1, 0x8183, "no.example", DNS_A, 0, 1, 0);
    pocket_soa(&m, 900, 77);
    struct dns_answer a = parse(&arena, &m, "no.example", DNS_A);
    assert_int_equal(a.status, DNS_NO_NAME);
    assert_int_equal(a.ttl_s, 77);

    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "no.example", DNS_A, 0, 1, 0);
    pocket_soa(&m, 33, 77);
    a = parse(&arena, &m, "no.example", DNS_A);
    assert_int_equal(a.status, DNS_NO_DATA);
    assert_int_equal(a.ttl_s, 33);

    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "no.example", DNS_A, 0, 0, 0);
    a = parse(&arena, &m, "no.example", DNS_A);
    assert_int_equal(a.status, DNS_NO_DATA);
    assert_int_equal(a.ttl_s, 0); // RFC 2308 section 5: not to be kept without an SOA

    buf_reset(&m);
    pocket_header(&m, 1, 0x8100, "no.example", DNS_A, 0, 1, 0);
    pocket_rr(&m, "example", 2, 300, BYTES("\2ns\7example\0"));
    a = parse(&arena, &m, "no.example", DNS_A);
    assert_int_equal(a.status, DNS_TEMPORARY); // a referral is no statement about the name
    buf_release(&m);
    arena_release(&arena);
}

static void parse_says_why_a_server_failed(void **state) {
    (void)state;
    struct arena arena = {0};
    struct buf m = {0};
    pocket_header(&m, 1, 0x8182, "x.example", DNS_A, 0, 0, 1);
    pocket_rr(&m, "", 41, 0, BYTES("\0\12\0\2zz\0\17\0\6\0\6more"));
    struct dns_answer a = parse(&arena, &m, "x.example", DNS_A);
    assert_int_equal(a.status, DNS_TEMPORARY);
    assert_string_equal(a.why, "the server answered SERVFAIL (DNSSEC bogus)");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8189, "x.example", DNS_A, 0, 0, 1);
    pocket_rr(&m, "", 41, 0, BYTES("\0\17\xff\xff\0\6")); // an option longer than its record
    a = parse(&arena, &m, "x.example", DNS_A);
    assert_string_equal(a.why, "the server answered rcode 9");
    buf_release(&m);
    arena_release(&arena);
}

static void refuse(const struct buf *m, const char *part) {
    struct arena arena = {0};
    struct dns_answer a = parse(&arena, m, "x.example", DNS_A);
    assert_int_equal(a.status, DNS_TEMPORARY);
    if (!strstr(a.why, part)) fail_msg("\"%s\" does not say \"%s\"", a.why, part);
    arena_release(&arena);
}

static void parse_refuses_what_is_not_the_answer(void **state) {
    (void)state;
    struct buf m = {0};
    refuse(&m, "not a DNS message");
    buf_addz(&m, "short");
    refuse(&m, "not a DNS message");
    buf_reset(&m);
    pocket_header(&m, 1, 0x0100, "x.example", DNS_A, 0, 0, 0);
    refuse(&m, "not an answer");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "y.example", DNS_A, 0, 0, 0);
    refuse(&m, "another question");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "x.example", DNS_AAAA, 0, 0, 0);
    refuse(&m, "another question");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8380, "x.example", DNS_A, 0, 0, 0);
    refuse(&m, "cut short");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "x.example", DNS_A, 9, 0, 0); // claims nine records, has none
    refuse(&m, "not a DNS message");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "x.example", DNS_A, 1, 0, 0);
    pocket_rr(&m, "x.example", DNS_A, 1, BYTES("\177\0\0"));
    refuse(&m, "malformed");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "x.example", DNS_A, 1, 0, 0); // an owner name that points at itself
    size_t here = m.len;
    pocket_u16(&m, 0xc000 | (unsigned)here);
    pocket_u16(&m, DNS_A);
    pocket_u16(&m, 1);
    pocket_u32(&m, 60);
    pocket_u16(&m, 4);
    buf_addz(&m, "1234");
    refuse(&m, "malformed");
    buf_reset(&m);
    pocket_header(&m, 1, 0x8180, "x.example", DNS_A, 1100, 0, 0);
    for (int i = 0; i < 1100; i++)
        pocket_rr(&m, "x.example", DNS_A, 1, BYTES("\177\0\0\1"));
    refuse(&m, "too many");
    buf_release(&m);
}

static void parse_survives_every_cut_and_flip(void **state) {
    (void)state;
    struct buf m = {0};
    pocket_header(&m, 1, 0x8180, "x.example", DNS_MX, 2, 1, 1);
    pocket_rr(&m, "x.example", DNS_CNAME, 5, BYTES("\1y\7example\0"));
    pocket_rr(&m, "y.example", DNS_MX, 5, BYTES("\0\5\4mail\300\14"));
    pocket_soa(&m, 1, 1);
    pocket_rr(&m, "", 41, 0, BYTES("\0\17\0\2\0\6"));
    for (size_t len = 0; len < m.len; len++) {
        struct arena arena = {0};
        struct buf part = {.at = m.at, .len = len};
        assert_int_equal(parse(&arena, &part, "x.example", DNS_MX).status, DNS_TEMPORARY);
        arena_release(&arena);
    }
    for (size_t i = 0; i < m.len * 8; i++) {
        struct arena arena = {0};
        m.at[i / 8] = (char)(m.at[i / 8] ^ 1 << i % 8);
        parse(&arena, &m, "x.example", DNS_MX);
        m.at[i / 8] = (char)(m.at[i / 8] ^ 1 << i % 8);
        arena_release(&arena);
    }
    buf_release(&m);
}

// ---- the cache

static struct dns_entry *keep(struct dns_cache *c, const char *key, const char *text, int64_t now,
                              int64_t ttl_ms) {
    struct dns_record r = {.text = bytes_of(text)};
    struct dns_answer a = {.status = DNS_OK, .count = 1, .records = &r, .why = ""};
    struct dns_entry *e = dns_cache_add(c, bytes_of(key), DNS_TXT, &a, now, ttl_ms);
    dns_entry_unref(e);
    return e;
}

static bool kept(struct dns_cache *c, const char *key, int64_t now) {
    return dns_cache_find(c, bytes_of(key), now);
}

static void cache_forgets_in_time_and_order(void **state) {
    (void)state;
    struct dns_cache c;
    dns_cache_init(&c, 2);
    keep(&c, "a", "1", 1000, 500);
    assert_true(kept(&c, "a", 1499));
    assert_false(kept(&c, "a", 1500));
    keep(&c, "a", "1", 1000, 500);
    assert_false(kept(&c, "a", 999)); // the clock was set back
    keep(&c, "a", "1", 0, 500);
    keep(&c, "b", "2", 0, 500);
    assert_true(kept(&c, "a", 1));
    keep(&c, "c", "3", 1, 500); // b was not looked at for longest
    assert_true(kept(&c, "a", 1));
    assert_false(kept(&c, "b", 1));
    assert_true(kept(&c, "c", 1));
    keep(&c, "c", "4", 1, 500); // replaces
    struct dns_entry *e = dns_cache_find(&c, BYTES("c"), 2);
    assert_true(bytes_equal(e->answer.records[0].text, BYTES("4")));
    dns_entry_ref(e);
    dns_cache_flush(&c);
    assert_true(bytes_equal(e->answer.records[0].text, BYTES("4"))); // still readable by who holds it
    dns_entry_unref(e);
    assert_int_equal(c.bytes, 0);
    dns_cache_release(&c);
}

static void cache_is_bounded_in_bytes(void **state) {
    (void)state;
    struct dns_cache c;
    dns_cache_init(&c, 100);
    char *large = malloc(60001);
    memset(large, 'x', 60000);
    large[60000] = '\0';
    for (int i = 0; i < 50; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        keep(&c, key, large, 0, 1000);
        assert_true(c.bytes <= c.bytes_max);
    }
    assert_true(kept(&c, "k49", 1));
    assert_false(kept(&c, "k0", 1));
    free(large);
    dns_cache_release(&c);
}

// ---- questions

struct bench {
    struct loop *loop;
    struct clock clock;
    struct pocket_dns pocket, second;
    struct dns *dns;
};

// What an answer said, kept beyond the callback.
struct heard {
    struct loop *loop;
    size_t *pending;
    struct dns_ticket *ticket;
    int times;
    enum dns_status status;
    bool authentic;
    uint32_t ttl_s;
    size_t count;
    char first[128], why[256];
};

static void on_answer(void *arg, const struct dns_answer *a) {
    struct heard *h = arg;
    h->ticket = NULL;
    h->times++;
    h->status = a->status;
    h->authentic = a->authentic;
    h->ttl_s = a->ttl_s;
    h->count = a->count;
    snprintf(h->why, sizeof h->why, "%s", a->why);
    if (a->count) snprintf(h->first, sizeof h->first, "%s", a->records[0].mx.host);
    if (--*h->pending == 0) loop_stop(h->loop);
}

static void start(struct bench *b, const char *servers, int timeout_ms, int tries) {
    struct err err;
    struct dns_options o = {
        .servers = servers, .timeout_ms = timeout_ms, .tries = tries, .trust_ad = true, .clock = &b->clock};
    dns_free(&b->dns);
    b->dns = dns_new(b->loop, &o, &err);
    if (!b->dns) fail_msg("%s", err.text);
}

static int setup(void **state) {
    struct bench *b = must_alloc(sizeof *b);
    b->loop = loop_new(NULL);
    b->clock.frozen_ms = 1700000000000;
    pocket_open(&b->pocket, b->loop, 0);
    pocket_open(&b->second, b->loop, 0);
    start(b, b->pocket.address, 0, 0);
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    dns_free(&b->dns);
    pocket_close(&b->pocket);
    pocket_close(&b->second);
    loop_free(&b->loop);
    free(b);
    return 0;
}

static struct heard ask(struct bench *b, const char *name, enum dns_type type) {
    size_t pending = 1;
    struct heard h = {.loop = b->loop, .pending = &pending};
    h.ticket = dns_ask(b->dns, name, type, on_answer, &h);
    assert_int_equal(h.times, 0); // never before dns_ask has returned
    loop_run(b->loop);
    assert_int_equal(h.times, 1);
    return h;
}

static void answers_and_keeps_them_for_their_ttl(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example.com");
    struct heard h = ask(b, "Example.COM", DNS_MX);
    assert_int_equal(h.status, DNS_OK);
    assert_string_equal(h.first, "mail.example.com");
    assert_int_equal(h.ttl_s, 300);
    assert_int_equal(b->pocket.asked, 1);
    assert_int_equal(b->pocket.with_edns, 1);
    clock_shift(&b->clock, 100000);
    h = ask(b, "example.com.", DNS_MX);
    assert_int_equal(h.ttl_s, 200);
    assert_int_equal(b->pocket.asked, 1);
    clock_shift(&b->clock, 200000);
    ask(b, "example.com", DNS_MX);
    assert_int_equal(b->pocket.asked, 2);
    dns_flush(b->dns);
    ask(b, "example.com", DNS_MX);
    assert_int_equal(b->pocket.asked, 3);
}

static void long_and_zero_ttls_are_bounded(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "long.example", 10000000, "MX", "1 a.example");
    pocket_add(&b->pocket, "zero.example", 0, "MX", "1 a.example");
    assert_int_equal(ask(b, "long.example", DNS_MX).ttl_s, 86400);
    clock_shift(&b->clock, 86400001);
    ask(b, "long.example", DNS_MX);
    assert_int_equal(b->pocket.asked, 2);
    assert_int_equal(ask(b, "zero.example", DNS_MX).ttl_s, 0);
    ask(b, "zero.example", DNS_MX);
    assert_int_equal(b->pocket.asked, 4);
}

static void absence_is_kept_by_the_soa(void **state) {
    struct bench *b = *state;
    b->pocket.minimum_s = 60;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example.com");
    assert_int_equal(ask(b, "no.example", DNS_A).status, DNS_NO_NAME);
    assert_int_equal(ask(b, "example.com", DNS_AAAA).status, DNS_NO_DATA);
    clock_shift(&b->clock, 59000);
    assert_int_equal(ask(b, "no.example", DNS_A).status, DNS_NO_NAME);
    assert_int_equal(b->pocket.asked, 2);
    clock_shift(&b->clock, 2000);
    ask(b, "no.example", DNS_A);
    assert_int_equal(b->pocket.asked, 3);
    b->pocket.minimum_s = 90000;
    struct heard h = ask(b, "never.example", DNS_A);
    assert_int_equal(h.ttl_s, 3600);
}

static void failures_are_kept_for_seconds(void **state) {
    struct bench *b = *state;
    pocket_behave(&b->pocket, "broken.example", POCKET_SERVFAIL);
    struct heard h = ask(b, "broken.example", DNS_MX);
    assert_int_equal(h.status, DNS_TEMPORARY);
    assert_non_null(strstr(h.why, "SERVFAIL"));
    assert_non_null(strstr(h.why, b->pocket.address));
    ask(b, "broken.example", DNS_MX);
    assert_int_equal(b->pocket.asked, 1);
    clock_shift(&b->clock, 6000);
    ask(b, "broken.example", DNS_MX);
    assert_int_equal(b->pocket.asked, 2);
}

static void questions_in_flight_are_merged(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 0, "MX", "10 mail.example.com");
    size_t pending = 5;
    struct heard h[5];
    for (int i = 0; i < 5; i++) {
        h[i] = (struct heard){.loop = b->loop, .pending = &pending};
        h[i].ticket = dns_ask(b->dns, i % 2 ? "example.com" : "EXAMPLE.com", DNS_MX, on_answer, &h[i]);
    }
    loop_run(b->loop);
    for (int i = 0; i < 5; i++)
        assert_int_equal(h[i].times, 1);
    assert_int_equal(b->pocket.asked, 1);
}

static void a_cancelled_question_is_not_answered(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example.com");
    size_t pending = 2;
    struct heard one = {.loop = b->loop, .pending = &pending}, two = one, cached = one;
    one.ticket = dns_ask(b->dns, "example.com", DNS_MX, on_answer, &one);
    two.ticket = dns_ask(b->dns, "example.com", DNS_MX, on_answer, &two);
    dns_cancel(&one.ticket);
    dns_cancel(&one.ticket);
    assert_null(one.ticket);
    pending = 1;
    loop_run(b->loop);
    assert_int_equal(one.times, 0);
    assert_int_equal(two.times, 1);
    cached.ticket = dns_ask(b->dns, "example.com", DNS_MX, on_answer, &cached); // ready already
    dns_cancel(&cached.ticket);
    struct dns_ticket *alone = dns_ask(b->dns, "alone.example", DNS_MX, on_answer, &cached); // not sent yet
    dns_cancel(&alone);
    ask(b, "example.com", DNS_MX);
    assert_int_equal(cached.times, 0);
    assert_int_equal(b->pocket.asked, 1);
}

struct chain {
    struct bench *b;
    int left;
    struct dns_ticket *ticket, *victim;
};

static void ask_again(void *arg, const struct dns_answer *a) {
    struct chain *c = arg;
    assert_int_equal(a->status, DNS_OK);
    dns_cancel(&c->victim);
    if (c->left-- == 0)
        loop_stop(c->b->loop);
    else
        c->ticket = dns_ask(c->b->dns, "example.com", DNS_MX, ask_again, c);
}

static void not_me(void *arg, const struct dns_answer *a) {
    (void)arg, (void)a;
    fail_msg("a cancelled question was answered");
}

static void an_answer_may_ask_and_cancel(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example.com");
    struct chain c = {.b = b, .left = 50};
    c.ticket = dns_ask(b->dns, "example.com", DNS_MX, ask_again, &c);
    c.victim = dns_ask(b->dns, "example.com", DNS_MX, not_me, NULL); // would be told in the same round
    loop_run(b->loop);
    assert_int_equal(b->pocket.asked, 1);
}

static void outstanding_questions_die_with_the_resolver(void **state) {
    struct bench *b = *state;
    b->pocket.mood = POCKET_SILENT;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example.com");
    for (int i = 0; i < 3; i++)
        dns_ask(b->dns, i ? "a.example" : "b.example", DNS_MX, not_me, NULL);
    pocket_behave(&b->pocket, "example.com", POCKET_USUAL);
    ask(b, "example.com", DNS_MX);
    dns_ask(b->dns, "example.com", DNS_MX, not_me, NULL); // in the cache
    dns_ask(b->dns, "c.example", DNS_MX, not_me, NULL);   // not sent
    dns_free(&b->dns);
}

static void names_that_are_none_are_not_asked(void **state) {
    struct bench *b = *state;
    char label[80], name[300];
    memset(label, 'a', sizeof label);
    label[64] = '\0';
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < 300; i += 50)
        name[i] = '.';
    name[260] = '\0';
    const char *bad[] = {
        "",      ".",     "a..b", ".a", "a..",         "a b.example", "b\303\274cher.example",
        "a\\.b", "a\n.b", label,  name, "hidden.onion"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct heard h = ask(b, bad[i], DNS_A);
        if (h.status != DNS_BAD_NAME || !h.why[0]) fail_msg("\"%s\": %d %s", bad[i], h.status, h.why);
    }
    assert_int_equal(b->pocket.asked, 0);
    label[63] = '\0';
    assert_int_equal(ask(b, label, DNS_A).status, DNS_NO_NAME);
    assert_int_equal(ask(b, "_25._tcp.0/25.2.0.192.in-addr.arpa", DNS_A).status, DNS_NO_NAME);
}

static void a_cut_answer_comes_over_tcp(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "big.example", 300, "MX", "10 mail.example.com");
    for (int i = 0; i < 100; i++) {
        char text[64];
        snprintf(text, sizeof text, "20 mx%d.a-host-with-a-rather-long-name.example", i);
        pocket_add(&b->pocket, "big.example", 300, "MX", text);
    }
    pocket_behave(&b->pocket, "big.example", POCKET_TRUNCATE);
    struct heard h = ask(b, "big.example", DNS_MX);
    assert_int_equal(h.status, DNS_OK);
    assert_int_equal(h.count, 101);
    assert_int_equal(b->pocket.asked, 2);
    assert_int_equal(b->pocket.asked_tcp, 1);
}

static void lies_are_passed_over(void **state) {
    struct bench *b = *state;
    start(b, b->pocket.address, 30, 1);
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example.com");
    pocket_behave(&b->pocket, "example.com", POCKET_LIES_FIRST);
    assert_int_equal(ask(b, "example.com", DNS_MX).status, DNS_OK);
    pocket_behave(&b->pocket, "id.example", POCKET_WRONG_ID);
    pocket_behave(&b->pocket, "question.example", POCKET_WRONG_QUESTION);
    pocket_behave(&b->pocket, "garbage.example", POCKET_GARBAGE);
    pocket_behave(&b->pocket, "malformed.example", POCKET_MALFORMED);
    assert_int_equal(ask(b, "id.example", DNS_MX).status, DNS_TEMPORARY);
    assert_int_equal(ask(b, "question.example", DNS_MX).status, DNS_TEMPORARY);
    assert_int_equal(ask(b, "garbage.example", DNS_MX).status, DNS_TEMPORARY);
    struct heard h = ask(b, "malformed.example", DNS_MX);
    assert_int_equal(h.status, DNS_TEMPORARY);
    assert_non_null(strstr(h.why, "malformed"));
}

static void silence_is_asked_again_then_given_up(void **state) {
    struct bench *b = *state;
    start(b, b->pocket.address, 10, 3);
    b->pocket.mood = POCKET_SILENT;
    struct heard h = ask(b, "example.com", DNS_MX);
    assert_int_equal(h.status, DNS_TEMPORARY);
    assert_non_null(strstr(h.why, "no answer"));
    assert_int_equal(b->pocket.asked, 3);
}

static void a_dead_server_is_not_waited_for_each_time(void **state) {
    struct bench *b = *state;
    char both[160];
    snprintf(both, sizeof both, "%s, %s", b->pocket.address, b->second.address);
    start(b, both, 20, 3);
    b->pocket.mood = POCKET_SILENT;
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        assert_int_equal(ask(b, name, DNS_A).status, DNS_NO_NAME);
    }
    assert_true(b->second.asked >= 20);
    assert_true(b->pocket.asked >= 3 && b->pocket.asked <= 6); // not one each
}

static void a_server_that_is_back_is_noticed(void **state) {
    struct bench *b = *state;
    char both[160];
    snprintf(both, sizeof both, "%s,%s", b->pocket.address, b->second.address);
    start(b, both, 20, 3);
    b->pocket.mood = POCKET_SILENT;
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        ask(b, name, DNS_A);
    }
    b->pocket.mood = POCKET_USUAL;
    size_t asked = b->pocket.asked;
    ask(b, "still.example", DNS_A);
    assert_int_equal(b->pocket.asked, asked); // not every question looks
    clock_shift(&b->clock, 11000);
    b->second.mood = POCKET_SILENT; // so that only the first can answer
    assert_int_equal(ask(b, "back.example", DNS_A).status, DNS_NO_NAME);
    assert_true(b->pocket.asked > asked);
    asked = b->pocket.asked;
    size_t second = b->second.asked;
    assert_int_equal(ask(b, "again.example", DNS_A).status, DNS_NO_NAME);
    assert_int_equal(b->pocket.asked, asked + 1); // first in the operator's order again
    assert_int_equal(b->second.asked, second);
}

static void a_closed_port_sends_us_on_at_once(void **state) {
    struct bench *b = *state;
    char both[160];
    struct pocket_dns gone;
    pocket_open(&gone, b->loop, 0);
    snprintf(both, sizeof both, "%s,%s", gone.address, b->pocket.address);
    pocket_close(&gone);
    start(b, both, 60000, 3); // a wait for it would hang the test
    assert_int_equal(ask(b, "a.example", DNS_A).status, DNS_NO_NAME);
    assert_int_equal(ask(b, "b.example", DNS_A).status, DNS_NO_NAME);
}

static void a_lone_server_gets_time_to_restart(void **state) {
    struct bench *b = *state;
    uint16_t port = b->second.port;
    start(b, b->second.address, 20, 6);
    pocket_close(&b->second);
    size_t pending = 1;
    struct heard h = {.loop = b->loop, .pending = &pending};
    struct timer *later = timer_new(b->loop, (void (*)(void *))loop_stop, b->loop);
    h.ticket = dns_ask(b->dns, "a.example", DNS_A, on_answer, &h);
    timer_set(later, 30);
    loop_run(b->loop);
    timer_free(&later);
    assert_int_equal(h.times, 0);
    pocket_open(&b->second, b->loop, port);
    loop_run(b->loop);
    assert_int_equal(h.status, DNS_NO_NAME);
}

static void a_failing_server_hands_over_to_the_next(void **state) {
    struct bench *b = *state;
    char both[160];
    snprintf(both, sizeof both, "%s,%s", b->pocket.address, b->second.address);
    start(b, both, 60000, 3);
    b->pocket.mood = POCKET_REFUSED;
    assert_int_equal(ask(b, "a.example", DNS_A).status, DNS_NO_NAME);
    b->second.mood = POCKET_REFERRAL;
    struct heard h = ask(b, "b.example", DNS_A);
    assert_int_equal(h.status, DNS_TEMPORARY);
    assert_int_equal(b->second.asked, 2);
}

static void a_server_without_edns_is_understood(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 0, "MX", "10 mail.example.com");
    b->pocket.mood = POCKET_NO_EDNS;
    for (int i = 0; i < 4; i++)
        assert_int_equal(ask(b, "example.com", DNS_MX).status, DNS_OK);
    size_t asked_so = b->pocket.with_edns;
    assert_true(asked_so <= 2); // then it is remembered
    b->pocket.mood = POCKET_USUAL;
    assert_int_equal(ask(b, "example.com", DNS_MX).status, DNS_OK);
    assert_int_equal(b->pocket.with_edns, asked_so);
    clock_shift(&b->clock, 61000); // and tried again in a while, on a fresh channel
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(b, "example.com", DNS_MX).status, DNS_OK);
    assert_true(b->pocket.with_edns > asked_so);
}

static void authenticity_is_asked_for_and_told(void **state) {
    struct bench *b = *state;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 mail.example.com");
    b->pocket.authentic = true;
    assert_true(ask(b, "example.com", DNS_MX).authentic);
    assert_int_equal(b->pocket.with_ad, 1);
    assert_true(ask(b, "example.com", DNS_MX).authentic); // from the cache
    struct dns_options o = {.servers = b->pocket.address, .clock = &b->clock};
    dns_free(&b->dns);
    b->dns = dns_new(b->loop, &o, NULL);
    assert_false(ask(b, "example.com", DNS_MX).authentic); // not trusted
}

static void many_questions_at_once(void **state) {
    struct bench *b = *state;
    size_t pending = 3000; // more than are on the wire at a time
    struct heard *h = must_alloc(pending * sizeof *h);
    start(b, b->pocket.address, 50, 6);
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        h[i] = (struct heard){.loop = b->loop, .pending = &pending};
        h[i].ticket = dns_ask(b->dns, name, DNS_A, on_answer, &h[i]);
    }
    loop_run(b->loop);
    for (int i = 0; i < 3000; i++)
        assert_true(h[i].times == 1 && h[i].status == DNS_NO_NAME);
    free(h);
}

static void servers_are_checked(void **state) {
    struct bench *b = *state;
    const char *bad[] = {"localhost", "127.0.0.1:99999", "127.0.0.1,,::1", "unix:/run/dns", "127.0.0.1;::1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {""};
        struct dns_options o = {.servers = bad[i]};
        assert_null(dns_new(b->loop, &o, &err));
        assert_non_null(strstr(err.text, "DNS server"));
    }
    const char *good[] = {"127.0.0.1", "127.0.0.1:53,[::1]:5353", "::1", NULL};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct err err = {""};
        struct dns_options o = {.servers = good[i]};
        struct dns *dns = dns_new(b->loop, &o, &err);
        if (!dns) fail_msg("%s", err.text);
        dns_free(&dns);
    }
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static struct dns *offline(struct bench *b) {
    struct dns_options o = {.servers = b->pocket.address, .clock = &b->clock, .offline = true};
    dns_free(&b->dns);
    b->dns = dns_new(b->loop, &o, NULL);
    assert_non_null(b->dns);
    return b->dns;
}

static void lessons_are_remembered_and_nobody_is_asked(void **state) {
    struct bench *b = *state;
    struct dns *dns = offline(b);
    struct err err;
    struct dns_record mx = {.mx = {10, "mail.example.com"}};
    struct dns_answer lesson = {.status = DNS_OK, .ttl_s = 60, .count = 1, .records = &mx, .why = ""};
    pocket_add(&b->pocket, "other.example", 300, "MX", "10 never.example");
    assert_true(dns_teach(dns, "Example.com.", DNS_MX, &lesson, &err));
    struct heard h = ask(b, "example.COM", DNS_MX);
    assert_int_equal(h.status, DNS_OK);
    assert_string_equal(h.first, "mail.example.com");
    assert_int_equal(h.ttl_s, 60);
    assert_int_equal(ask(b, "other.example", DNS_MX).status, DNS_NO_NAME);
    assert_int_equal(ask(b, "example.com", DNS_A).status, DNS_NO_NAME);
    assert_int_equal(ask(b, "bad..name", DNS_A).status, DNS_BAD_NAME);
    assert_int_equal(b->pocket.asked, 0);
    // Neither years ahead nor a clock that is set back make it forget.
    b->clock.frozen_ms += INT64_C(20) * 365 * 86400 * 1000;
    assert_string_equal(ask(b, "example.com", DNS_MX).first, "mail.example.com");
    b->clock.frozen_ms = 1000;
    assert_string_equal(ask(b, "example.com", DNS_MX).first, "mail.example.com");

    assert_true(dns_teach(dns, "example.com", DNS_MX, &(struct dns_answer){.status = DNS_TEMPORARY, .why = "timed out"}, &err));
    h = ask(b, "example.com", DNS_MX);
    assert_int_equal(h.status, DNS_TEMPORARY);
    assert_string_equal(h.why, "timed out");
    assert_false(dns_teach(dns, "bad..name", DNS_MX, &lesson, &err));
    dns_flush(dns);
    assert_int_equal(ask(b, "example.com", DNS_MX).status, DNS_NO_NAME);
}

static void a_lesson_counts_before_the_servers(void **state) {
    struct bench *b = *state;
    struct err err;
    pocket_add(&b->pocket, "example.com", 300, "MX", "10 theirs.example");
    struct dns_record mx = {.mx = {10, "ours.example"}};
    assert_true(dns_teach(b->dns, "example.com", DNS_MX,
                          &(struct dns_answer){.status = DNS_OK, .ttl_s = 60, .count = 1, .records = &mx, .why = ""}, &err));
    assert_string_equal(ask(b, "example.com", DNS_MX).first, "ours.example");
    assert_int_equal(b->pocket.asked, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_reads_each_type),
        cmocka_unit_test(parse_follows_aliases),
        cmocka_unit_test(parse_tells_absence),
        cmocka_unit_test(parse_says_why_a_server_failed),
        cmocka_unit_test(parse_refuses_what_is_not_the_answer),
        cmocka_unit_test(parse_survives_every_cut_and_flip),
        cmocka_unit_test(cache_forgets_in_time_and_order),
        cmocka_unit_test(cache_is_bounded_in_bytes),
        WITH_SERVER(answers_and_keeps_them_for_their_ttl),
        WITH_SERVER(long_and_zero_ttls_are_bounded),
        WITH_SERVER(absence_is_kept_by_the_soa),
        WITH_SERVER(failures_are_kept_for_seconds),
        WITH_SERVER(questions_in_flight_are_merged),
        WITH_SERVER(a_cancelled_question_is_not_answered),
        WITH_SERVER(an_answer_may_ask_and_cancel),
        WITH_SERVER(outstanding_questions_die_with_the_resolver),
        WITH_SERVER(names_that_are_none_are_not_asked),
        WITH_SERVER(a_cut_answer_comes_over_tcp),
        WITH_SERVER(lies_are_passed_over),
        WITH_SERVER(silence_is_asked_again_then_given_up),
        WITH_SERVER(a_dead_server_is_not_waited_for_each_time),
        WITH_SERVER(a_server_that_is_back_is_noticed),
        WITH_SERVER(a_closed_port_sends_us_on_at_once),
        WITH_SERVER(a_lone_server_gets_time_to_restart),
        WITH_SERVER(a_failing_server_hands_over_to_the_next),
        WITH_SERVER(a_server_without_edns_is_understood),
        WITH_SERVER(authenticity_is_asked_for_and_told),
        WITH_SERVER(many_questions_at_once),
        WITH_SERVER(servers_are_checked),
        WITH_SERVER(lessons_are_remembered_and_nobody_is_asked),
        WITH_SERVER(a_lesson_counts_before_the_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
