// SPDX-License-Identifier: MIT
#include "store/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

// RFC 3720 appendix B.4 and the customary check value.
static void known_sums(void **state) {
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
    assert_int_equal(crc32c_by_table(0, bytes, sizeof bytes), 0x46dd794e);
}

static void both_ways_agree_at_all_lengths_and_alignments(void **state) {
    (void)state;
    uint8_t bytes[600];
    uint32_t seed = 7;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    for (size_t from = 0; from < 9; from++)
        for (size_t size = 0; size + from <= sizeof bytes; size += size < 40 ? 1 : 37)
            assert_int_equal(crc32c(0, bytes + from, size), crc32c_by_table(0, bytes + from, size));
}

static void pieces_sum_to_the_whole(void **state) {
    (void)state;
    const char text[] = "a body that arrives in pieces of any size, as bodies do";
    uint32_t whole = crc32c(0, text, sizeof text);
    for (size_t cut = 0; cut <= sizeof text; cut++)
        assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, sizeof text - cut), whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sums),
        cmocka_unit_test(both_ways_agree_at_all_lengths_and_alignments),
        cmocka_unit_test(pieces_sum_to_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
