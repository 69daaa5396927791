// SPDX-License-Identifier: MIT
#include "mail/address.h"

#include <setjmp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

static bool parses(const char *text, struct address *a) {
    struct err err = {.text = "untouched"};
    struct address before = *a;
    bool ok = address_parse(bytes_of(text), a, &err);
    if (ok)
        assert_string_equal(err.text, "untouched");
    else
        assert_memory_equal(a, &before, sizeof before);
    return ok;
}

static void assert_bytes(struct bytes b, const char *z) {
    assert_int_equal(b.len, strlen(z));
    assert_memory_equal(b.at, z, b.len);
}

static void takes_mailboxes(void **state) {
    (void)state;
    static const struct {
        const char *text, *local, *domain;
        bool literal, utf8;
    } rows[] = {
        {"a@b", "a", "b", false, false},
        {"John.Doe+tag@Example.ORG", "John.Doe+tag", "Example.ORG", false, false},
        {"!#$%&'*+-/=?^_`{|}~@x.example", "!#$%&'*+-/=?^_`{|}~", "x.example", false, false},
        {"\"a b@c\\\"d\"@x.example", "\"a b@c\\\"d\"", "x.example", false, false},
        {"\"\"@x.example", "\"\"", "x.example", false, false},
        {"\"..\"@x.example", "\"..\"", "x.example", false, false},
        {"\"\\\\\"@x.example", "\"\\\\\"", "x.example", false, false},
        {"u@[192.0.2.1]", "u", "[192.0.2.1]", true, false},
        {"u@[IPv6:2001:db8::1]", "u", "[IPv6:2001:db8::1]", true, false},
        {"u@[ipv6:::ffff:192.0.2.1]", "u", "[ipv6:::ffff:192.0.2.1]", true, false},
        {"j\xc3\xb8rn@b\xc3\xbc"
         "cher.example",
         "j\xc3\xb8rn",
         "b\xc3\xbc"
         "cher.example",
         false, true},
        {"\"j\xc3\xb8 rn\"@x.example", "\"j\xc3\xb8 rn\"", "x.example", false, true},
        {".a.@x.example", ".a.", "x.example", false, false},
        {"a..b@x.example", "a..b", "x.example", false, false},
        {"u@win_host.example", "u", "win_host.example", false, false},
        {"u@xn--bcher-kva.example", "u", "xn--bcher-kva.example", false, false},
        {"u@1and1.example", "u", "1and1.example", false, false},
        {"u@r3---sn.example", "u", "r3---sn.example", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct address a = {0};
        assert_true(parses(rows[i].text, &a));
        assert_bytes(a.local, rows[i].local);
        assert_bytes(a.domain, rows[i].domain);
        assert_int_equal(a.literal, rows[i].literal);
        assert_int_equal(a.utf8, rows[i].utf8);
    }
}

static void refuses_what_is_none(void **state) {
    (void)state;
    static const char *const rows[] = {
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a b@c",
        "a@b c",
        "a@b@c",
        "a@.b",
        "a@b.",
        "a@b..c",
        "a@-b",
        "a@b-",
        "a@b-.c",
        "a@[",
        "a@[]",
        "a@[1.2.3]",
        "a@[1.2.3.4",
        "a@[1.2.3.4]x",
        "a@[IPv6:]",
        "a@[2001:db8::1]",
        "a@[IPv6:1.2.3.4]",
        "a@[256.1.1.1]",
        "a@1.2.3.4",
        "a@example.123",
        "<a@b>",
        "a@b>",
        "a,b@c",
        "a(x)@b",
        "\"a@b",
        "\"a\"b@c",
        "\"a\\\"@b",
        "\"a\"",
        "\"a\tb\"@c",
        "\"a\r\nb\"@c",
        "\"a\\\n\"@c",
        "a\r@b",
        "a@b\n",
        "a\x7f@b",
        "a@b\xc3",
        "\xff@b",
        "a\xc2\x85@b",
        "a@b\xc2\x9b.c",
        "\xc0\xae@b",
        "\xed\xa0\x80@b",
        "@a,@b:c@d",
        "a@b;c",
        "a@b/c",
        "a@*.example",
        "a@\xc3\xbc..example",
        "a@\xc3\xbc.",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct address a = {.literal = true};
        if (parses(rows[i], &a)) fail_msg("took '%s'", rows[i]);
    }
    struct address a;
    assert_false(address_parse(BYTES("a\0b@c"), &a, NULL));
    assert_false(address_parse(BYTES("a@b\0.c"), &a, NULL));
    assert_false(address_parse(BYTES("a@[1.2.3.4\0]"), &a, NULL));
}

static void words_name_the_fault(void **state) {
    (void)state;
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"plain", "no @"},          {"a b@c", "0x20"},         {"a<b@c", "'<'"},    {"a@1.2.3.4", "brackets"},
        {"\"a@b", "closing quote"}, {"a@b..c", "empty label"}, {"\xff@b", "UTF-8"}, {"a@-b", "hyphen"},
        {"a@[x]", "literal"},       {"@c", "local part is empty"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct address a;
        struct err err = {{0}};
        assert_false(address_parse(bytes_of(rows[i].text), &a, &err));
        if (!strstr(err.text, rows[i].word)) fail_msg("'%s': %s", rows[i].text, err.text);
    }
}

// "aaa...@bb.bb...": local part of `local` octets, domain of `domain` octets in labels of 50.
static void make(struct buf *b, size_t local, size_t domain) {
    buf_reset(b);
    for (size_t i = 0; i < local; i++)
        buf_byte(b, 'a');
    buf_byte(b, '@');
    for (size_t i = 1; i <= domain; i++)
        buf_byte(b, i % 51 == 0 && i != domain ? '.' : 'b');
}

static void keeps_the_limits(void **state) {
    (void)state;
    struct buf b = {0};
    struct address a;
    make(&b, 64, 189);
    assert_true(address_parse(buf_bytes(&b), &a, NULL));
    make(&b, 64, 190);
    assert_false(address_parse(buf_bytes(&b), &a, NULL));
    make(&b, 233, 20);
    assert_true(address_parse(buf_bytes(&b), &a, NULL));
    make(&b, 234, 20);
    assert_false(address_parse(buf_bytes(&b), &a, NULL));
    make(&b, 1, 252);
    assert_true(address_parse(buf_bytes(&b), &a, NULL));
    make(&b, 1, 253);
    assert_false(address_parse(buf_bytes(&b), &a, NULL));
    make(&b, 100000, 100000);
    assert_false(address_parse(buf_bytes(&b), &a, NULL));
    buf_reset(&b);
    buf_addz(&b, "a@");
    for (int i = 0; i < 64; i++)
        buf_byte(&b, 'c');
    assert_false(address_parse(buf_bytes(&b), &a, NULL));
    b.len--;
    assert_true(address_parse(buf_bytes(&b), &a, NULL));
    buf_release(&b);
}

static void makes_domains_ascii(void **state) {
    (void)state;
    static const struct {
        const char *domain, *ascii;
    } rows[] = {
        {"Example.ORG", "example.org"},
        {"A_b.example", "a_b.example"},
        {"B\xc3\x9c"
         "CHER.example",
         "xn--bcher-kva.example"},
        {"bu\xcc\x88"
         "cher.example",
         "xn--bcher-kva.example"},                    // not NFC
        {"fa\xc3\x9f.example", "xn--fa-hia.example"}, // nontransitional: no "ss"
        {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
        {"xn--i-7iq.ws", "xn--i-7iq.ws"},             // an emoji, which DNS has
        {"\xe4\xbe\x8b\xe3\x80\x82jp", "xn--fsq.jp"}, // the ideographic full stop
        {"", NULL},
        {".", NULL},
        {"a..b", NULL},
        {"a.", NULL},
        {"-a.b", NULL},
        {"[192.0.2.1]", NULL},
        {"a b", NULL},
        {"\xc3\xbc..b", NULL},
        {"\xf0\x9f\x92\xa9.la", NULL},
        {"\xff", NULL},
        {"a\xe3\x80\x82\xe3\x80\x82\xc3\xbc", NULL},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&out);
        buf_addz(&out, "kept");
        bool ok = address_domain_ascii(bytes_of(rows[i].domain), &out, NULL);
        if (ok != !!rows[i].ascii) fail_msg("'%s' gave %d", rows[i].domain, ok);
        assert_string_equal(buf_z(&out) + 4, ok ? rows[i].ascii : "");
    }
    buf_reset(&out);
    for (int i = 0; i < 63; i++)
        buf_addz(&out, "\xc3\xbc"); // 126 octets, more than 63 as an A-label
    struct buf ascii = {0};
    assert_false(address_domain_ascii(buf_bytes(&out), &ascii, NULL));
    assert_false(address_domain_ascii(BYTES("a\0\xc3\xbc"), &ascii, NULL));
    assert_int_equal(ascii.len, 0);
    buf_release(&ascii);
    buf_release(&out);
}

static void reads_literals(void **state) {
    (void)state;
    int family = 0;
    uint8_t ip[16];
    assert_true(domain_literal_ip(BYTES("[192.0.2.7]"), &family, ip));
    assert_int_equal(family, AF_INET);
    assert_memory_equal(ip, "\xc0\x00\x02\x07", 4);
    assert_true(domain_literal_ip(BYTES("[IPv6:::1]"), &family, ip));
    assert_int_equal(family, AF_INET6);
    assert_int_equal(ip[15], 1);
    assert_false(domain_literal_ip(BYTES("192.0.2.7"), &family, ip));
    assert_false(
        domain_literal_ip(BYTES("[IPv6:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"), &family, ip));
    assert_false(domain_literal_ip(BYTES("["), &family, ip));
}

static void judges_domains(void **state) {
    (void)state;
    assert_true(domain_is_valid(BYTES("a")));
    assert_true(domain_is_valid(BYTES("_dmarc.example")));
    assert_true(domain_is_valid(BYTES("192.0.2.1")));
    assert_false(domain_is_valid(BYTES("")));
    assert_false(domain_is_valid(BYTES("a.")));
    assert_false(domain_is_valid(BYTES(".a")));
    assert_false(domain_is_valid(BYTES("a-.b")));
    assert_false(domain_is_valid(BYTES("\xc3\xbc")));
    assert_false(domain_is_valid(BYTES("a\0b")));
}

static void lists_know_a_mailbox_by_one_text(void **state) {
    (void)state;
    static const struct {
        const char *text, *listed; // NULL: refused
    } rows[] = {
        {"Bob@Example.NET", "bob@example.net"},
        {"\"Bob\"@example.net", "bob@example.net"},
        {"\"b\\ob\"@example.net", "bob@example.net"},
        {"\"B.O\"@example.net", "b.o@example.net"},
        {"\"B..O\"@example.net", "b..o@example.net"},
        {"\"a b\"@example.net", "\"a b\"@example.net"},
        {"\"a@b\"@example.net", "\"a@b\"@example.net"},
        {"\"\"@example.net", "\"\"@example.net"},
        {"u@[IPv6:2001:DB8::1]", "u@[ipv6:2001:db8::1]"},
        {"J\xc3\xb8rn@B\xc3\xbc"
         "cher.example",
         "j\xc3\xb8rn@xn--bcher-kva.example"},
        {"@Example.NET", "@example.net"},
        {"@b\xc3\xbc"
         "cher.example",
         "@xn--bcher-kva.example"},
        {"@[192.0.2.1]", "@[192.0.2.1]"},
        {"", NULL},
        {"@", NULL},
        {"bob", NULL},
        {"bob@", NULL},
        {"@@example.net", NULL},
        {"@bad_-.example", NULL},
        {"*@example.net ", NULL},
        {"a@b,c", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = {0};
        struct err err;
        buf_addz(&out, "x:");
        bool good = address_listed(bytes_of(rows[i].text), &out, &err);
        if (good != (rows[i].listed != NULL)) fail_msg("%s: %s", rows[i].text, good ? "taken" : err.text);
        assert_string_equal(buf_z(&out) + 2, good ? rows[i].listed : "");
        if (good) { // listed once more it stays as it is
            struct buf again = {0};
            assert_true(address_listed(bytes_skip(buf_bytes(&out), 2), &again, NULL));
            assert_string_equal(buf_z(&again), rows[i].listed);
            buf_release(&again);
        }
        buf_release(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_know_a_mailbox_by_one_text),
        cmocka_unit_test(takes_mailboxes),         cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(words_name_the_fault),    cmocka_unit_test(keeps_the_limits),
        cmocka_unit_test(makes_domains_ascii),     cmocka_unit_test(reads_literals),
        cmocka_unit_test(judges_domains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
