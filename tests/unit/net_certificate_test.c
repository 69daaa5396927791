// SPDX-License-Identifier: MIT
#include "net/certificate.h"

#include "net_pem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

static char dir[] = "/tmp/tidegate-certificate-XXXXXX";
static struct pem_pair root, good, old, alone;

static void what_a_file_says(void **state) {
    (void)state;
    struct certificate c;
    struct err err;
    assert_true(certificate_look(good.certificate_path, "mail.example.org", root.certificate_path, &c, &err));
    assert_true(c.names_host && c.trusted && !c.self_signed);
    assert_string_equal(c.names, "mail.example.org, *.lab.example.org");
    assert_string_equal(c.issuer, "a root");
    assert_string_equal(c.why_not, "");
    assert_true(c.until_s > time(NULL) + 9 * 86400 && c.until_s < time(NULL) + 11 * 86400 &&
                c.from_s < time(NULL));
    assert_true(
        certificate_look(good.certificate_path, "a.lab.example.org", root.certificate_path, &c, &err) &&
        c.names_host);
    assert_true(
        certificate_look(good.certificate_path, "other.example.org", root.certificate_path, &c, &err) &&
        !c.names_host);
}

static void whom_nobody_knows(void **state) {
    (void)state;
    struct certificate c;
    struct err err;
    assert_true(
        certificate_look(good.certificate_path, "mail.example.org", alone.certificate_path, &c, &err));
    assert_true(!c.trusted && !c.self_signed && c.why_not[0]);
    assert_true(
        certificate_look(alone.certificate_path, "alone.example.org", root.certificate_path, &c, &err));
    assert_true(!c.trusted && c.self_signed && c.names_host);
    // Its time is told, not judged with the chain.
    assert_true(certificate_look(old.certificate_path, "old.example.org", root.certificate_path, &c, &err));
    assert_true(c.trusted && c.until_s < time(NULL));
}

static void what_is_no_certificate(void **state) {
    (void)state;
    struct certificate c;
    struct err err;
    assert_false(certificate_look(good.key_path, "x", NULL, &c, &err));
    assert_non_null(strstr(err.text, "no certificate"));
    assert_false(certificate_look("/nowhere/x.pem", "x", NULL, &c, &err));
    assert_non_null(strstr(err.text, "/nowhere/x.pem"));
}

static void add_name(void *arg, struct bytes name) {
    buf_format(arg, "%.*s ", BYTES_FMT(name));
}

static void for_whom(void **state) {
    (void)state;
    static const struct {
        const char *alternatives, *want;
    } rows[] = {
        {"DNS:MAIL.example.org,DNS:*.lab.example.org,IP:192.0.2.1", "mail.example.org *.lab.example.org "},
        {"IP:192.0.2.1", ""}, // with names of another kind the subject is none
        {NULL, "subject.example "},
        {"DNS:a b,DNS:*,DNS:a.*.example,DNS:*.", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pem_pair one;
        struct buf names = {0};
        struct err err;
        pem_make(&one, dir, "one", "subject.example", rows[i].alternatives, &root, 5);
        assert_true(certificate_names(one.certificate_path, add_name, &names, &err));
        assert_string_equal(buf_z(&names), rows[i].want);
        buf_release(&names);
        pem_release(&one);
    }
    struct err err;
    assert_false(certificate_names("/nowhere", add_name, NULL, &err));
}

int main(void) {
    bug_if(!mkdtemp(dir));
    pem_make(&root, dir, "root", "a root", NULL, NULL, 100);
    pem_make(&good, dir, "good", "mail.example.org", "DNS:mail.example.org,DNS:*.lab.example.org", &root, 10);
    pem_make(&old, dir, "old", "old.example.org", "DNS:old.example.org", &root, -2);
    pem_make(&alone, dir, "alone", "alone.example.org", "DNS:alone.example.org", NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_a_file_says),
                                       cmocka_unit_test(whom_nobody_knows),
                                       cmocka_unit_test(what_is_no_certificate), cmocka_unit_test(for_whom)};
    int failed = cmocka_run_group_tests_name("net/certificate", tests, NULL, NULL);
    struct pem_pair *const all[] = {&root, &good, &old, &alone};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pem_release(all[i]);
    rmdir(dir);
    return failed;
}
