// SPDX-License-Identifier: MIT
#include "mail/digest.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t abc[] = "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
                             "\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad"; // FIPS 180-4

static void pieces_make_the_whole(void **state) {
    (void)state;
    struct digest d = {0};
    uint8_t hash[DIGEST_SIZE];
    digest_add(&d, BYTES("a"));
    digest_add(&d, BYTES(""));
    digest_add(&d, BYTES("bc"));
    digest_end(&d, hash);
    assert_memory_equal(hash, abc, DIGEST_SIZE);
    assert_null(d.context);
    digest_add(&d, BYTES("dropped"));
    digest_drop(&d);
    digest_drop(&d);
    digest_add(&d, BYTES("abc"));
    digest_end(&d, hash);
    assert_memory_equal(hash, abc, DIGEST_SIZE);
    digest_sha256(BYTES("abc"), hash);
    assert_memory_equal(hash, abc, DIGEST_SIZE);
}

static void nothing_has_a_hash_too(void **state) {
    (void)state;
    struct digest d = {0};
    uint8_t one[DIGEST_SIZE], two[DIGEST_SIZE];
    digest_end(&d, one);
    digest_sha256((struct bytes){0}, two);
    assert_memory_equal(one, two, DIGEST_SIZE);
    assert_int_equal(one[0], 0xe3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces_make_the_whole),
                                       cmocka_unit_test(nothing_has_a_hash_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
