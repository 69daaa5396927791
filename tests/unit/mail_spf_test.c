// SPDX-License-Identifier: MIT
#include "mail/spf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <cmocka.h>

// A zone in the words of zone files. One name and type may have several; "!" is a name that DNS gives no
// answer about.
struct line {
    const char *name, *type, *value;
};

static const struct line *zone;
static int asked;
static struct spf_record found[64];

static enum spf_type number(const char *type) {
    return strcmp(type, "A") == 0      ? SPF_A
           : strcmp(type, "AAAA") == 0 ? SPF_AAAA
           : strcmp(type, "MX") == 0   ? SPF_MX
           : strcmp(type, "PTR") == 0  ? SPF_PTR
                                       : SPF_TXT;
}

// Each answer has its own part of `found`, so that records live as long as the contract says.
static enum spf_found look(void *arg, const char *name, enum spf_type type, struct spf_answer *out) {
    size_t *used = arg;
    out->records = found + *used;
    asked++;
    for (const struct line *l = zone; l->name; l++) {
        if (strcasecmp(l->name, name) != 0) continue;
        if (l->type[0] == '!') return SPF_TROUBLE;
        if (number(l->type) != type) continue;
        assert_true(*used < 64);
        struct spf_record *r = &found[(*used)++];
        *r = (struct spf_record){.text = bytes_of(l->value)};
        if (type == SPF_A || type == SPF_AAAA)
            assert_int_equal(inet_pton(type == SPF_A ? AF_INET : AF_INET6, l->value, r->ip), 1);
        out->count++;
    }
    return out->count ? SPF_FOUND : SPF_ABSENT;
}

static struct spf_verdict ask(const char *ip, const char *domain, const char *sender) {
    size_t used = 0;
    struct spf_verdict v;
    struct spf_asked a = {.family = strchr(ip, ':') ? AF_INET6 : AF_INET,
                          .domain = domain,
                          .sender = bytes_of(sender),
                          .helo = "mail.example.org",
                          .look = look,
                          .arg = &used};
    assert_int_equal(inet_pton(a.family, ip, a.ip), 1);
    asked = 0;
    spf_check(&a, &v);
    return v;
}

static void expect(const char *record, const char *ip, enum spf_result want) {
    const struct line lines[] = {
        {"example.com", "TXT", record},
        {"example.com", "A", "192.0.2.10"},
        {"example.com", "A", "192.0.2.11"},
        {"example.com", "AAAA", "2001:db8::10"},
        {"example.com", "MX", "mx1.example.com"},
        {"example.com", "MX", "mx2.example.com"},
        {"mx1.example.com", "A", "192.0.2.129"},
        {"mx2.example.com", "A", "192.0.2.130"},
        {"mx2.example.com", "AAAA", "2001:db8::130"},
        {"pass.example.net", "TXT", "v=spf1 ip4:198.51.100.0/24 -all"},
        {"fail.example.net", "TXT", "v=spf1 -all"},
        {"none.example.net", "TXT", "hello"},
        {"bad.example.net", "TXT", "v=spf1 ip4:198.51.100.0/33"},
        {"twice.example.net", "TXT", "v=spf1 -all"},
        {"twice.example.net", "TXT", "v=spf1 +all"},
        {"dead.example.net", "!", ""},
        {"3.100.51.198.in-addr.arpa", "PTR", "host.example.com"},
        {"host.example.com", "A", "198.51.100.3"},
        {"192.0.2.3.strong-bad.example.com", "A", "127.0.0.2"},
        {"3.2.0.192.in-addr.strong.lp.example.com", "A", "127.0.0.2"},
        {0},
    };
    zone = lines;
    struct spf_verdict v = ask(ip, "example.com", "strong-bad@email.example.com");
    if (v.result != want)
        fail_msg("%s from %s: %s, not %s (%s)", record, ip, spf_result_name[v.result], spf_result_name[want],
                 v.why);
    bool error = want == SPF_TEMPERROR || want == SPF_PERMERROR;
    assert_true(!error || v.why[0]);
}

static void mechanisms(void **state) {
    (void)state;
    expect("v=spf1", "192.0.2.10", SPF_NEUTRAL);
    expect("v=spf10 -all", "192.0.2.10", SPF_NONE);
    expect("V=SPF1 -ALL", "192.0.2.10", SPF_FAIL);
    expect("v=spf1  ?all ", "192.0.2.10", SPF_NEUTRAL);
    expect("v=spf1 ~all -all", "192.0.2.10", SPF_SOFTFAIL);
    expect("v=spf1 ip4:192.0.2.10 -all", "192.0.2.10", SPF_PASS);
    expect("v=spf1 ip4:192.0.2.8/30 -all", "192.0.2.11", SPF_PASS);
    expect("v=spf1 ip4:192.0.2.8/30 -all", "192.0.2.12", SPF_FAIL);
    expect("v=spf1 ip4:192.0.2.10 -all", "2001:db8::10", SPF_FAIL);
    expect("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::77", SPF_PASS);
    expect("v=spf1 ip6:2001:db9::/32 -all", "2001:db8::77", SPF_FAIL);
    expect("v=spf1 ip6:::/0 -all", "2001:db8::77", SPF_PASS);
    expect("v=spf1 a -all", "192.0.2.11", SPF_PASS);
    expect("v=spf1 a -all", "192.0.2.12", SPF_FAIL);
    expect("v=spf1 a/24 -all", "192.0.2.12", SPF_PASS);
    expect("v=spf1 a//64 -all", "2001:db8::99", SPF_PASS);
    expect("v=spf1 a/32//64 -all", "192.0.2.12", SPF_FAIL);
    expect("v=spf1 a:mx1.example.com -all", "192.0.2.129", SPF_PASS);
    expect("v=spf1 mx -all", "192.0.2.130", SPF_PASS);
    expect("v=spf1 mx:example.com//128 -all", "2001:db8::130", SPF_PASS);
    expect("v=spf1 mx/25 -all", "192.0.2.10", SPF_FAIL);
    expect("v=spf1 mx/25 -all", "192.0.2.200", SPF_PASS);
    expect("v=spf1 ptr -all", "198.51.100.3", SPF_PASS);
    expect("v=spf1 ptr:ample.com -all", "198.51.100.3", SPF_FAIL); // not at a dot
    expect("v=spf1 ptr:other.example -all", "198.51.100.3", SPF_FAIL);
    expect("v=spf1 -ip4:192.0.2.10 +all", "192.0.2.10", SPF_FAIL);
    expect("v=spf1 foo=bar a -all", "192.0.2.10", SPF_PASS); // an unknown modifier
}

static void others_records(void **state) {
    (void)state;
    expect("v=spf1 include:pass.example.net -all", "198.51.100.1", SPF_PASS);
    expect("v=spf1 include:pass.example.net ~all", "192.0.2.1", SPF_SOFTFAIL);
    expect("v=spf1 ?include:pass.example.net -all", "198.51.100.1", SPF_NEUTRAL);
    expect("v=spf1 include:none.example.net -all", "198.51.100.1", SPF_PERMERROR);
    expect("v=spf1 include:bad.example.net -all", "198.51.100.1", SPF_PERMERROR);
    expect("v=spf1 include:twice.example.net -all", "198.51.100.1", SPF_PERMERROR);
    expect("v=spf1 include:dead.example.net -all", "198.51.100.1", SPF_TEMPERROR);
    expect("v=spf1 ip4:192.0.2.1 include:dead.example.net -all", "192.0.2.1", SPF_PASS); // never asked
    expect("v=spf1 redirect=pass.example.net", "198.51.100.1", SPF_PASS);
    expect("v=spf1 redirect=pass.example.net", "192.0.2.1", SPF_FAIL);
    expect("v=spf1 redirect=pass.example.net ?all", "192.0.2.1", SPF_NEUTRAL);
    expect("v=spf1 redirect=none.example.net", "192.0.2.1", SPF_PERMERROR);
    expect("v=spf1 redirect=fail.example.net redirect=fail.example.net", "192.0.2.1", SPF_PERMERROR);
}

static void macros(void **state) {
    (void)state;
    expect("v=spf1 exists:%{i}.%{l}.%{d} -all", "192.0.2.3", SPF_PASS);
    expect("v=spf1 exists:%{ir}.%{v}.%{l1r-}.lp.%{d2} -all", "192.0.2.3", SPF_PASS); // as in RFC 7208 7.4
    expect("v=spf1 exists:%{ir}.%{v}.strong.lp.%{d} -all", "192.0.2.3", SPF_PASS);
    expect("v=spf1 exists:%{ir}.%{v}.strong.lp.%{o2} -all", "192.0.2.3", SPF_PASS); // o2 of email.example.com
    expect("v=spf1 exists:%{i}.%{l}.%{d} -all", "192.0.2.4", SPF_FAIL);
    expect("v=spf1 a:%{x}.example.com", "192.0.2.3", SPF_PERMERROR);
    expect("v=spf1 a:%{d", "192.0.2.3", SPF_PERMERROR);
    expect("v=spf1 a:%", "192.0.2.3", SPF_PERMERROR);
    expect("v=spf1 a:%{d0}", "192.0.2.3", SPF_PERMERROR);
    expect("v=spf1 a:%{d1r.-+,/_=}.example.com", "192.0.2.3", SPF_NEUTRAL);
}

static void wrong_terms(void **state) {
    (void)state;
    static const char *const records[] = {"v=spf1 ip4:192.0.2.300",
                                          "v=spf1 ip4",
                                          "v=spf1 ip4:192.0.2.1/033",
                                          "v=spf1 ip6:12345::",
                                          "v=spf1 all:example.com",
                                          "v=spf1 include",
                                          "v=spf1 include:",
                                          "v=spf1 a:localhost",
                                          "v=spf1 a:example.com/33",
                                          "v=spf1 mx//129",
                                          "v=spf1 +redirect=x.org",
                                          "v=spf1 foo",
                                          "v=spf1 =x",
                                          "v=spf1 a:",
                                          "v=spf1 exists/24",
                                          "v=spf1 all -",
                                          "v=spf1 a:example.com/x.y/",
                                          "v=spf1 ip4:1.2.3.4\x01",
                                          "v=spf1 exp=",
                                          "v=spf1 ptr/24",
                                          "v=spf1 a:foo.example.123",
                                          "v=spf1 a:foo.-com"};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        expect(records[i], "203.0.113.1", SPF_PERMERROR);
}

static void limits(void **state) {
    (void)state;
    static const struct line loop[] = {{"loop.example", "TXT", "v=spf1 include:loop.example -all"}, {0}};
    zone = loop;
    struct spf_verdict v = ask("192.0.2.1", "loop.example", "");
    assert_int_equal(v.result, SPF_PERMERROR);
    assert_int_equal(asked, 11);
    assert_non_null(strstr(v.why, "more than 10"));

    static const struct line voids[] = {
        {"v.example", "TXT", "v=spf1 a:x.v.example a:y.v.example a:z.v.example ip4:192.0.2.1 -all"}, {0}};
    zone = voids;
    assert_int_equal(ask("192.0.2.1", "v.example", "").result, SPF_PERMERROR);

    static const struct line ten[] = {{"t.example", "TXT", "v=spf1 a a a a a a a a a a ip4:192.0.2.9 -all"},
                                      {"t.example", "A", "192.0.2.1"},
                                      {0}};
    zone = ten;
    v = ask("192.0.2.9", "t.example", "");
    assert_int_equal(v.result, SPF_PASS);
    assert_int_equal(v.look_ups, 10);
    assert_string_equal(v.term, "ip4:192.0.2.9");

    static struct line many[13] = {{"m.example", "TXT", "v=spf1 mx -all"}};
    for (int i = 1; i < 12; i++)
        many[i] = (struct line){"m.example", "MX", "h.example"};
    zone = many;
    assert_int_equal(ask("192.0.2.1", "m.example", "").result, SPF_PERMERROR);
}

static void what_decided(void **state) {
    (void)state;
    static const struct line lines[] = {{"a.example", "TXT", "v=spf1 redirect=b.example"},
                                        {"b.example", "TXT", "v=spf1 ip4:192.0.2.1 ~all"},
                                        {0}};
    zone = lines;
    struct spf_verdict v = ask("192.0.2.2", "a.example", "");
    assert_int_equal(v.result, SPF_SOFTFAIL);
    assert_string_equal(v.domain, "b.example");
    assert_string_equal(v.term, "~all");
    assert_string_equal(v.record, "v=spf1 redirect=b.example");
    assert_int_equal(ask("2001:db8::1", "none.example", "").result, SPF_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mechanisms),  cmocka_unit_test(others_records), cmocka_unit_test(macros),
        cmocka_unit_test(wrong_terms), cmocka_unit_test(limits),         cmocka_unit_test(what_decided),
    };
    return cmocka_run_group_tests_name("mail/spf", tests, NULL, NULL);
}
