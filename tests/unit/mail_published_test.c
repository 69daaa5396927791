// SPDX-License-Identifier: MIT
#include "mail/published.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void dkim_keys(void **state) {
    (void)state;
    struct dkim_published k;
    struct err err;
    assert_true(dkim_published_read(
        BYTES("v=DKIM1; k=ed25519; t=y:s; h=sha1:sha256; s=email; n=a note; p=AbC+/9=="), &k, &err));
    assert_true(bytes_equal(k.kind, BYTES("ed25519")) && bytes_equal(k.key, BYTES("AbC+/9==")));
    assert_true(k.testing && k.exact && k.sha256 && k.email);
    assert_true(dkim_published_read(BYTES("p=AbC ;; h = sha1 ; s=tlsrpt ;"), &k, &err));
    assert_true(bytes_equal(k.kind, BYTES("rsa")) && !k.testing && !k.sha256 && !k.email);
    assert_true(dkim_published_read(BYTES("v=DKIM1; p="), &k, &err));
    assert_int_equal(k.key.len, 0);
    static const char *const wrong[] = {
        "", "v=DKIM1", "v=DKIM2; p=A", "k=rsa; v=DKIM1; p=A", "v=DKIM1; p=A!B", "v=DKIM1 p=A", "just words"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(dkim_published_read(bytes_of(wrong[i]), &k, &err));
}

static void the_same_key(void **state) {
    (void)state;
    assert_true(dkim_published_same(BYTES("v=DKIM1; k=rsa; p=AB CD"), BYTES("p=A BCD ; t=y")));
    assert_false(dkim_published_same(BYTES("p=ABCD"), BYTES("p=ABCE")));
    assert_false(dkim_published_same(BYTES("p=ABCD"), BYTES("p=ABC")));
    assert_false(dkim_published_same(BYTES("p=ABCD"), BYTES("k=ed25519; p=ABCD")));
    assert_false(dkim_published_same(BYTES("p=ABCD"), BYTES("nothing")));
}

static void dmarc_policies(void **state) {
    (void)state;
    struct dmarc_published d;
    struct err err;
    assert_true(dmarc_published_read(BYTES("v=DMARC1; p=Reject; adkim=s; pct=50; rua=mailto:d@example.org"),
                                     &d, &err));
    assert_true(d.policy == DMARC_REJECT && d.below == DMARC_REJECT && d.strict_dkim && !d.strict_spf &&
                d.percent == 50);
    assert_true(bytes_equal(d.reports, BYTES("mailto:d@example.org")));
    assert_true(dmarc_published_read(BYTES("v=DMARC1;p=none;sp=quarantine;x=unknown;"), &d, &err));
    assert_true(d.policy == DMARC_NONE && d.below == DMARC_QUARANTINE && d.percent == 100);
    static const char *const wrong[] = {"v=DMARC1",
                                        "v=DMARC1; p=block",
                                        "p=none; v=DMARC1",
                                        "v=DMARC1; p=none; pct=101",
                                        "v=DMARC1; p=none; aspf=x",
                                        "v=DMARC1; p=none; oops"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(dmarc_published_read(bytes_of(wrong[i]), &d, &err));
    assert_true(dmarc_published_is(BYTES(" v = DMARC1 ; p=x")) &&
                !dmarc_published_is(BYTES("v=DMARC12; p=none")) && !dmarc_published_is(BYTES("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dkim_keys), cmocka_unit_test(the_same_key),
                                       cmocka_unit_test(dmarc_policies)};
    return cmocka_run_group_tests_name("mail/published", tests, NULL, NULL);
}
