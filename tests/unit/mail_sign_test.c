// SPDX-License-Identifier: MIT
#include "mail/sign.h"

#include "mail/canon.h"
#include "mail/header.h"
#include "mail/verify.h"
#include "mail_keys.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { RSA_2048, ED25519, RSA_1024, KEYS };
static const char *const domain = "example.org", *const selectors[KEYS] = {"rsa", "ed", "weak"};

struct world {
    struct sign_key *keys[KEYS];
    struct buf pem[KEYS];
};

static int make_world(void **state) {
    struct world *w = must_alloc(sizeof *w);
    keys_rsa(2048, &w->pem[RSA_2048]);
    keys_ed25519(&w->pem[ED25519]);
    keys_rsa(1024, &w->pem[RSA_1024]);
    for (int i = 0; i < KEYS; i++) {
        w->keys[i] = sign_key_load(domain, selectors[i], buf_bytes(&w->pem[i]), NULL);
        if (!w->keys[i]) return -1;
    }
    *state = w;
    return 0;
}

static int end_world(void **state) {
    struct world *w = *state;
    for (int i = 0; i < KEYS; i++) {
        sign_key_free(&w->keys[i]);
        buf_release(&w->pem[i]);
    }
    free(w);
    return 0;
}

static bool records(void *arg, const char *name, struct buf *out) {
    struct world *w = arg;
    char want[64];
    for (int i = 0; i < KEYS; i++) {
        snprintf(want, sizeof want, "%s._domainkey.%s", selectors[i], domain);
        if (strcmp(want, name) == 0) sign_public_record(w->keys[i], out);
    }
    return out->len > 0;
}

static void hash_body(struct bytes body, size_t piece, uint8_t hash[DIGEST_SIZE]) {
    struct canon_body c;
    canon_body_init(&c);
    for (; body.len; body = bytes_skip(body, bytes_first(body, piece).len))
        canon_body_add(&c, bytes_first(body, piece));
    canon_body_finish(&c, hash, NULL);
}

static void check_form(struct bytes fields, size_t want) {
    size_t count = 0;
    for (struct header_field f; header_next(&fields, &f); count++) {
        assert_true(bytes_equal(f.name, BYTES("DKIM-Signature")));
        struct bytes rest = f.whole;
        while (rest.len) {
            ptrdiff_t end = bytes_search(rest, BYTES("\r\n"));
            assert_true(end > 0 && end <= 78);
            rest = bytes_skip(rest, (size_t)end + 2);
        }
    }
    assert_int_equal(fields.len, 0);
    assert_int_equal(count, want);
}

static void verify_all(struct world *w, struct bytes fields, struct bytes head, struct bytes body,
                       size_t want) {
    struct buf whole = {0};
    struct verify_result results[4];
    size_t count;
    struct err err;
    buf_add(&whole, fields);
    buf_add(&whole, head);
    if (!verify_message(buf_bytes(&whole), body, records, w, results, 4, &count, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count, want);
    for (size_t i = 0; i < count; i++)
        if (!results[i].passed) fail_msg("%s: %s", results[i].algorithm, results[i].why);
    buf_release(&whole);
}

static void sign_and_verify(struct world *w, struct bytes head, struct bytes body,
                            const struct sign_options *options) {
    static const size_t pieces[] = {1, 7, 65536};
    struct buf fields = {0};
    uint8_t hash[DIGEST_SIZE];
    struct err err;
    for (size_t i = 0; i < 3; i++) {
        buf_reset(&fields);
        hash_body(body, pieces[i], hash);
        if (!sign_message(&fields, w->keys, KEYS, head, hash, time(NULL), options, &err))
            fail_msg("%s", err.text);
        if (!options) check_form(buf_bytes(&fields), KEYS);
        verify_all(w, buf_bytes(&fields), head, body, KEYS);
    }
    buf_release(&fields);
}

#define TEXT(literal)                                                                                        \
    { (literal), sizeof(literal) - 1 }
#define PLAIN "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: hello\r\n"

static void signs_odd_messages(void **state) {
    static const struct {
        struct bytes head, body;
    } rows[] = {
        {TEXT(PLAIN), TEXT("hello\r\n")},
        {TEXT(PLAIN), TEXT("")},
        {TEXT(PLAIN), TEXT("\r\n")},
        {TEXT(PLAIN), TEXT("no last line end")},
        {TEXT(PLAIN), TEXT(" \t \r\n  \r\n\r\ntext \t \r\n \r\n\r\n \r\n")},
        {TEXT(PLAIN), TEXT("NUL \0 and 8-bit \xff\xfe\xc3\xb8\r\n")},
        // A bare CR with text behind is left out: libopendkim's canonical form of it is not RFC 6376's.
        {TEXT(PLAIN), TEXT("bare \n and CR CR LF\r\r\n\n\r\n")},
        {TEXT(PLAIN), TEXT(".\r\n..\r\n.leading dots\r\n")},
        {TEXT("From:\r\n Ann\r\n\t<ann@example.org>\r\nSubject:\r\n \r\n folded first\r\n"), TEXT("x\r\n")},
        {TEXT("From: a@example.org\r\nFrom: b@example.org\r\nTo: x\r\nTo: y\r\nTo: z\r\n"), TEXT("x\r\n")},
        {TEXT("fRoM : a@example.org\r\nSUBJECT:tight\r\nX: \r\nCc:\r\n"), TEXT("x\r\n")},
        {TEXT("From: J\xc3\xb8rn <j@example.org>\r\nSubject: \xff\xfe\t\ttabs  \r\n"), TEXT("x\r\n")},
        {TEXT("not a field\r\nFrom: a@example.org\r\n"), TEXT("x\r\n")},
        {TEXT("From: a@example.org"), TEXT("x\r\n")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        sign_and_verify(*state, rows[i].head, rows[i].body, NULL);
}

static void signs_large_messages(void **state) {
    struct buf head = {0}, body = {0};
    buf_addz(&head, "From: a@example.org\r\nSubject: long\r\nReferences:");
    while (head.len < 100000)
        buf_addz(&head, "\r\n <reference@example.org>");
    buf_addz(&head, "\r\nTo: ");
    for (int i = 0; i < 100000; i++)
        buf_byte(&head, (char)('a' + i % 26));
    buf_addz(&head, "\r\n");
    for (int i = 0; i < 200000; i++)
        buf_byte(&body, i % 11 ? 'x' : ' ');
    buf_addz(&body, "\r\n");
    for (int i = 0; i < 5000; i++)
        buf_addz(&body, "\r\n");
    buf_addz(&body, "end");
    sign_and_verify(*state, buf_bytes(&head), buf_bytes(&body), NULL);
    buf_release(&head), buf_release(&body);
}

static void covers_no_more_than_it_can(void **state) {
    struct buf head = {0};
    for (int i = 0; i < 1000; i++)
        buf_format(&head, "Subject: %d\r\n", i);
    buf_addz(&head, PLAIN);
    sign_and_verify(*state, buf_bytes(&head), BYTES("x\r\n"), NULL);
    buf_release(&head);
}

static void obeys_options(void **state) {
    static const char *const names[] = {"X-Mine", "subject", "X-Absent", "Subject", NULL}, *const over[] = {
                                                                                               "X-Over",
                                                                                               "X-Mine",
                                                                                               NULL};
    struct world *w = *state;
    struct sign_options options = {names, over, "a;b=c@mail.example.org", 3600};
    struct bytes head = BYTES(PLAIN "X-Mine: 1\r\nX-Mine: 2\r\n");
    struct buf fields = {0};
    uint8_t hash[DIGEST_SIZE];
    sign_and_verify(w, head, BYTES("x\r\n"), &options);
    hash_body(BYTES("x\r\n"), 9, hash);
    assert_true(sign_message(&fields, w->keys, 1, head, hash, 1000, &options, NULL));
    const char *z = buf_z(&fields);
    assert_non_null(strstr(z, "h=From:X-Mine:X-Mine:X-Mine:subject:X-Over;"));
    assert_non_null(strstr(z, "t=1000;"));
    assert_non_null(strstr(z, "x=4600;"));
    assert_non_null(strstr(z, "i=a=3Bb=3Dc@mail.example.org;"));
    buf_release(&fields);
}

static void refuses_what_cannot_be_signed(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {"X;Y", NULL}, *const empty[] = {"", NULL};
    struct sign_options options[] = {{.identity = "x@example.com"},
                                     {.identity = "x@badexample.org"},
                                     {.identity = "example.org"},
                                     {.identity = "@.example.org"},
                                     {.headers = bad},
                                     {.oversign = empty}};
    struct buf fields = {0};
    uint8_t hash[DIGEST_SIZE] = {0};
    struct err err;
    buf_addz(&fields, "kept");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        assert_false(sign_message(&fields, w->keys, 2, BYTES(PLAIN), hash, 1, &options[i], &err));
    assert_false(sign_message(&fields, w->keys, 1, BYTES("To: x\r\n"), hash, 1, NULL, &err));
    assert_non_null(strstr(err.text, "From"));
    assert_string_equal(buf_z(&fields), "kept");
    buf_release(&fields);
}

// What oversigning is for: a field added on top, or any change below, breaks every signature.
static void notices_changes(void **state) {
    struct world *w = *state;
    static const char *const changes[][2] = {
        {"Subject: evil\r\n" PLAIN, "hello\r\n"},
        {"Reply-To: evil\r\n" PLAIN, "hello\r\n"},
        {"From: evil@example.com\r\n" PLAIN, "hello\r\n"},
        {PLAIN "Cc: evil\r\n", "hello\r\n"},
        {PLAIN, "hellO\r\n"},
        {PLAIN, "hello\r\nmore\r\n"},
        {PLAIN, "hel lo\r\n"},
    };
    struct buf fields = {0}, whole = {0};
    uint8_t hash[DIGEST_SIZE];
    hash_body(BYTES("hello\r\n"), 9, hash);
    assert_true(sign_message(&fields, w->keys, KEYS, BYTES(PLAIN), hash, time(NULL), NULL, NULL));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct verify_result results[KEYS];
        size_t count;
        buf_reset(&whole);
        buf_add(&whole, buf_bytes(&fields));
        buf_addz(&whole, changes[i][0]);
        assert_true(verify_message(buf_bytes(&whole), bytes_of(changes[i][1]), records, w, results, KEYS,
                                   &count, NULL));
        assert_int_equal(count, KEYS);
        for (size_t k = 0; k < KEYS; k++) {
            assert_false(results[k].passed);
            assert_true(results[k].why[0]);
        }
    }
    buf_release(&fields), buf_release(&whole);
}

// A relay adds the Date and the Message-ID that are missing: that must not cost the signature. A second one
// must.
static void a_relay_may_add_what_is_missing(void **state) {
    struct world *w = *state;
    static const char bare[] = "From: a@example.org\r\nTo: b@example.net\r\nSubject: s\r\n";
    static const char added[] = "Message-Id: <x@relay.example>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n";
    struct buf head = {0}, signed_head = {0};
    uint8_t hash[DIGEST_SIZE];
    hash_body(BYTES("hello\r\n"), 9, hash);
    for (int present = 0; present < 2; present++) {
        buf_reset(&head), buf_reset(&signed_head);
        buf_addz(&head, bare);
        if (present) buf_addz(&head, added);
        assert_true(
            sign_message(&signed_head, w->keys, KEYS, buf_bytes(&head), hash, time(NULL), NULL, NULL));
        buf_add(&signed_head, buf_bytes(&head));
        buf_addz(&signed_head, added);
        struct verify_result results[KEYS];
        size_t count;
        assert_true(verify_message(buf_bytes(&signed_head), BYTES("hello\r\n"), records, w, results, KEYS,
                                   &count, NULL));
        assert_int_equal(count, KEYS);
        for (size_t k = 0; k < KEYS; k++)
            assert_int_equal(results[k].passed, !present);
    }
    buf_release(&head), buf_release(&signed_head);
}

static void describes_keys(void **state) {
    struct world *w = *state;
    assert_string_equal(sign_key_domain(w->keys[RSA_2048]), "example.org");
    assert_string_equal(sign_key_selector(w->keys[ED25519]), "ed");
    assert_string_equal(sign_key_algorithm(w->keys[RSA_2048]), "rsa-sha256");
    assert_string_equal(sign_key_algorithm(w->keys[ED25519]), "ed25519-sha256");
    assert_int_equal(sign_key_bits(w->keys[RSA_1024]), 1024);
    assert_true(sign_key_is_weak(w->keys[RSA_1024]));
    assert_false(sign_key_is_weak(w->keys[RSA_2048]));
    assert_false(sign_key_is_weak(w->keys[ED25519]));
    struct buf out = {0};
    sign_public_record(w->keys[ED25519], &out);
    assert_true(bytes_starts(buf_bytes(&out), BYTES("v=DKIM1; k=ed25519; p=")));
    assert_int_equal(out.len, 22 + 44);
    buf_reset(&out);
    sign_public_record(w->keys[RSA_2048], &out);
    assert_true(bytes_starts(buf_bytes(&out), BYTES("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQ")));
    buf_release(&out);
    struct sign_key *idn = sign_key_load("B\xc3\xbc"
                                         "cher.example",
                                         "S1", buf_bytes(&w->pem[ED25519]), NULL);
    assert_string_equal(sign_key_domain(idn), "xn--bcher-kva.example");
    struct sign_key *second = sign_key_ref(idn);
    sign_key_free(&idn);
    assert_null(idn);
    assert_string_equal(sign_key_selector(second), "s1");
    sign_key_free(&second);
    sign_key_free(&second);
}

static void expect_no_key(const char *d, const char *s, struct bytes pem, const char *word) {
    struct err err = {{0}};
    struct sign_key *key = sign_key_load(d, s, pem, &err);
    if (key || !strstr(err.text, word)) fail_msg("'%s' has no '%s'", err.text, word);
}

// An RSA key whose public exponent is not the one of its private half: it parses, and signs what nobody can
// verify.
static void mix_halves(struct buf *pem) {
    EVP_PKEY *whole = EVP_RSA_gen(1024), *mixed = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    assert_int_equal(EVP_PKEY_todata(whole, EVP_PKEY_KEYPAIR, &params), 1);
    *(uint8_t *)OSSL_PARAM_locate(params, "e")->data ^= 2; // the lowest byte of 65537
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &mixed, EVP_PKEY_KEYPAIR, params), 1);
    keys_write(mixed, false, pem);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(whole);
    EVP_PKEY_free(mixed);
}

static void refuses_bad_keys(void **state) {
    struct world *w = *state;
    struct bytes good = buf_bytes(&w->pem[ED25519]);
    expect_no_key("exa mple", "s", good, "domain");
    expect_no_key("", "s", good, "domain");
    expect_no_key("example.org", "", good, "selector");
    expect_no_key("example.org", "a;b", good, "selector");
    expect_no_key("example.org", "s", BYTES(""), "empty");
    expect_no_key("example.org", "s", BYTES("hello"), "PEM");
    expect_no_key("example.org", "s", bytes_first(good, good.len / 2), "cannot be read");
    struct buf pem = {0};
    mix_halves(&pem);
    expect_no_key("example.org", "s", buf_bytes(&pem), "belong together");
    buf_reset(&pem);
    keys_rsa(768, &pem);
    expect_no_key("example.org", "s", buf_bytes(&pem), "768");
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    buf_reset(&pem);
    keys_write(ec, false, &pem);
    expect_no_key("example.org", "s", buf_bytes(&pem), "cannot sign DKIM");
    buf_reset(&pem);
    keys_write(ec, true, &pem);
    expect_no_key("example.org", "s", buf_bytes(&pem), "public key");
    EVP_PKEY_free(ec);
    expect_no_key("example.org", "s",
                  BYTES("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
                  "encrypted");
    for (int i = 0; i < 70000; i++)
        buf_byte(&pem, 'x');
    expect_no_key("example.org", "s", buf_bytes(&pem), "too long");
    buf_reset(&pem);
    for (int i = 0; i < 4; i++)
        buf_addz(&pem, "a-label-that-is-fifty-octets-long-as-you-can-count.");
    buf_addz(&pem, "example.org");
    expect_no_key(buf_z(&pem), "a-selector-that-is-rather-long", good, "longer than DNS");
    buf_release(&pem);
}

static void *sign_a_lot(void *arg) {
    struct world *w = arg;
    uint8_t hash[DIGEST_SIZE];
    hash_body(BYTES("x\r\n"), 9, hash);
    struct buf fields = {0};
    bool ok = true;
    for (int i = 0; ok && i < 20; i++) {
        struct sign_key *key = sign_key_ref(w->keys[i % KEYS]);
        buf_reset(&fields);
        ok = sign_message(&fields, &key, 1, BYTES(PLAIN), hash, 1, NULL, NULL);
        sign_key_free(&key);
    }
    buf_release(&fields);
    return ok ? w : NULL;
}

static void signs_in_several_threads(void **state) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_a_lot, *state), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, *state);
    }
}

static void keys_are_made(void **state) {
    (void)state;
    static const struct {
        int bits;
        const char *record;
    } kinds[] = {{2048, "v=DKIM1; k=rsa; p="}, {0, "v=DKIM1; k=ed25519; p="}};
    for (size_t i = 0; i < 2; i++) {
        struct buf pem = {0}, other = {0}, record = {0};
        struct err err;
        assert_true(sign_key_make(kinds[i].bits, &pem, &err) && sign_key_make(kinds[i].bits, &other, &err));
        assert_false(bytes_equal(buf_bytes(&pem), buf_bytes(&other)));
        struct sign_key *key = sign_key_load("example.org", "s1", buf_bytes(&pem), &err);
        assert_non_null(key);
        assert_false(sign_key_is_weak(key));
        sign_public_record(key, &record);
        assert_true(bytes_starts(buf_bytes(&record), bytes_of(kinds[i].record)));
        sign_key_free(&key);
        buf_release(&pem);
        buf_release(&other);
        buf_release(&record);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made),
        cmocka_unit_test(signs_odd_messages),
        cmocka_unit_test(signs_large_messages),
        cmocka_unit_test(covers_no_more_than_it_can),
        cmocka_unit_test(obeys_options),
        cmocka_unit_test(refuses_what_cannot_be_signed),
        cmocka_unit_test(notices_changes),
        cmocka_unit_test(a_relay_may_add_what_is_missing),
        cmocka_unit_test(describes_keys),
        cmocka_unit_test(refuses_bad_keys),
        cmocka_unit_test(signs_in_several_threads),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}
