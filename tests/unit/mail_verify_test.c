// SPDX-License-Identifier: MIT
#include "mail/verify.h"

#include "mail/canon.h"
#include "mail/header.h"
#include "mail_keys.h"

#include <setjmp.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct world {
    struct sign_key *rsa, *ed;
    struct buf head; // signed with both
    int asked;
};

static const struct bytes body = {"hello\r\n", 7};

static int make_world(void **state) {
    struct world *w = must_alloc(sizeof *w);
    struct buf pem = {0};
    keys_rsa(2048, &pem);
    w->rsa = sign_key_load("example.org", "rsa", buf_bytes(&pem), NULL);
    buf_reset(&pem);
    keys_ed25519(&pem);
    w->ed = sign_key_load("mail.example.org", "ed", buf_bytes(&pem), NULL);
    buf_release(&pem);
    struct sign_key *const keys[] = {w->rsa, w->ed};
    struct bytes plain = BYTES("From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: hello\r\n");
    uint8_t hash[DIGEST_SIZE];
    digest_sha256(body, hash);
    if (!w->rsa || !w->ed || !sign_message(&w->head, keys, 2, plain, hash, time(NULL), NULL, NULL)) return -1;
    buf_add(&w->head, plain);
    *state = w;
    return 0;
}

static int end_world(void **state) {
    struct world *w = *state;
    sign_key_free(&w->rsa);
    sign_key_free(&w->ed);
    buf_release(&w->head);
    free(w);
    return 0;
}

static bool good(void *arg, const char *name, struct buf *out) {
    struct world *w = arg;
    w->asked++;
    if (strcmp(name, "rsa._domainkey.example.org") == 0) sign_public_record(w->rsa, out);
    if (strcmp(name, "ed._domainkey.mail.example.org") == 0) sign_public_record(w->ed, out);
    return out->len > 0;
}

static bool swapped(void *arg, const char *name, struct buf *out) {
    struct world *w = arg;
    sign_public_record(strncmp(name, "rsa", 3) ? w->rsa : w->ed, out);
    return true;
}

static bool none(void *arg, const char *name, struct buf *out) {
    return (void)arg, (void)name, (void)out, false;
}
static bool empty(void *arg, const char *name, struct buf *out) {
    return (void)arg, (void)name, (void)out, true;
}

static bool revoked(void *arg, const char *name, struct buf *out) {
    (void)arg, (void)name;
    buf_addz(out, "v=DKIM1; k=rsa; p=");
    return true;
}

static bool garbage(void *arg, const char *name, struct buf *out) {
    (void)arg, (void)name;
    buf_add(out, BYTES("v=DKIM1; p=\0\xff;;;===AAAA"));
    return true;
}

static bool endless(void *arg, const char *name, struct buf *out) {
    (void)arg, (void)name;
    while (out->len < 100000)
        buf_addz(out, "v=DKIM1; n=notes");
    return true;
}

static void passes_both(void **state) {
    struct world *w = *state;
    struct verify_result r[4];
    size_t count;
    assert_true(verify_message(buf_bytes(&w->head), body, good, w, r, 4, &count, NULL));
    assert_int_equal(count, 2);
    assert_true(r[0].passed && r[1].passed);
    assert_string_equal(r[0].domain, "example.org");
    assert_string_equal(r[0].selector, "rsa");
    assert_string_equal(r[0].algorithm, "rsa-sha256");
    assert_int_equal(r[0].bits, 2048);
    assert_string_equal(r[1].domain, "mail.example.org");
    assert_string_equal(r[1].algorithm, "ed25519-sha256");
    assert_string_equal(r[1].why, "");
}

static void fails_without_a_good_record(void **state) {
    struct world *w = *state;
    bool (*const records[])(void *, const char *, struct buf *) = {swapped, none,    empty,
                                                                   revoked, garbage, endless};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct verify_result r[4];
        size_t count;
        assert_true(verify_message(buf_bytes(&w->head), body, records[i], w, r, 4, &count, NULL));
        assert_int_equal(count, 2);
        assert_false(r[0].passed || r[1].passed);
        assert_true(r[0].why[0] && r[1].why[0]);
    }
}

static void looks_at_no_more_than_asked(void **state) {
    struct world *w = *state;
    struct verify_result r[3];
    size_t count;
    struct buf head = {0};
    struct header_field first;
    assert_true(header_get(buf_bytes(&w->head), BYTES("DKIM-Signature"), 0, &first));
    for (int i = 0; i < 200; i++)
        buf_add(&head, first.whole);
    buf_add(&head, buf_bytes(&w->head));
    w->asked = 0;
    assert_true(verify_message(buf_bytes(&head), body, good, w, r, 3, &count, NULL));
    assert_int_equal(count, 3);
    assert_true(r[0].passed && r[1].passed && r[2].passed);
    assert_true(w->asked <= 3);
    buf_release(&head);
}

static void takes_messages_without_signature(void **state) {
    struct verify_result r[1];
    size_t count = 9;
    assert_true(verify_message(BYTES("From: a@example.org\r\n"), body, good, *state, r, 1, &count, NULL));
    assert_int_equal(count, 0);
}

static void survives_hostile_messages(void **state) {
    static const char *const heads[] = {
        "",
        "\r\n",
        "garbage\r\n",
        ":\r\n",
        "DKIM-Signature:\r\nFrom: a@b.example\r\n",
        "DKIM-Signature: v=1\r\nFrom: a@b.example\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256; d=; s=; h=; bh=; b=\r\nFrom: a@b.example\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256; d=x; s=y; h=from; bh=AA; b=AA; l=99999999999999999999\r\nFrom: "
        "a@b.example\r\n",
        "DKIM-Signature: v=1; a=none-md5; c=x/y; d=x.example; s=y; h=from; bh=AA; b=AA\r\nFrom: "
        "a@b.example\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=y; h=:::; bh=====; b=====; q=\r\nFrom: "
        "a@b.example\r\n",
        "DKIM-Signature: ;;;;=;=;==;v=1;v=1\r\nFrom: <<>>\r\nFrom:\r\n",
        "From: \"\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct verify_result r[2];
        struct err err = {{0}};
        size_t count;
        bool ok = verify_message(bytes_of(heads[i]), body, good, *state, r, 2, &count, &err);
        assert_true(ok || err.text[0]);
        for (size_t k = 0; k < count; k++)
            assert_false(r[k].passed);
    }
}

static void proves_keys(void **state) {
    struct world *w = *state;
    struct err err;
    if (!verify_key(w->rsa, &err)) fail_msg("%s", err.text);
    if (!verify_key(w->ed, &err)) fail_msg("%s", err.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_both),
        cmocka_unit_test(fails_without_a_good_record),
        cmocka_unit_test(looks_at_no_more_than_asked),
        cmocka_unit_test(takes_messages_without_signature),
        cmocka_unit_test(survives_hostile_messages),
        cmocka_unit_test(proves_keys),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}
