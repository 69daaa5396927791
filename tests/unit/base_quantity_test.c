// SPDX-License-Identifier: MIT
#include "base/nearest.h"
#include "base/quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void sizes_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},     {"1000", 1000},   {"50MiB", 50 << 20}, {" 2 KiB ", 2048},
                {"2k", 2048}, {"3MB", 3000000}, {"1tib", 1ull << 40}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t n = 7;
        assert_true(quantity_size(bytes_of(good[i].text), &n));
        assert_int_equal(n, good[i].bytes);
    }
    static const char *const bad[] = {
        "",    "MiB", "-1", "1.5MiB", "1 MiBs", "99999999TiB", "18446744073709551615", "18446744073709551616",
        "1 2", "0x10"};
    uint64_t n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quantity_size(bytes_of(bad[i]), &n)) fail_msg("'%s' was taken for a size", bad[i]);
}

static void durations_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {{"0", 0},        {"90", 90},     {"90s", 90},      {"30m", 1800},
                {"1h30m", 5400}, {"5d", 432000}, {"1w1d", 691200}, {"0s", 0}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t n = 7;
        assert_true(quantity_duration(bytes_of(good[i].text), &n));
        assert_int_equal(n, good[i].seconds);
    }
    static const char *const bad[] = {
        "", "d", "1x", "1h30", "30m1h", "1h1h", "-5d", "9223372036854775807w", "1d ago", "1d,2h"};
    int64_t n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quantity_duration(bytes_of(bad[i]), &n)) fail_msg("'%s' was taken for a duration", bad[i]);
}

#define ASSERT_TEXT(function, value, want)                                                                   \
    do {                                                                                                     \
        char out[QUANTITY_TEXT];                                                                             \
        function(value, out);                                                                                \
        assert_string_equal(out, want);                                                                      \
    } while (0)

static void they_are_written(void **state) {
    (void)state;
    ASSERT_TEXT(quantity_size_text, 50 << 20, "50MiB");
    ASSERT_TEXT(quantity_size_text, 1000, "1000");
    ASSERT_TEXT(quantity_size_text, 0, "0");
    ASSERT_TEXT(quantity_duration_text, 432000, "5d");
    ASSERT_TEXT(quantity_duration_text, 5400, "1h30m");
    ASSERT_TEXT(quantity_duration_text, 0, "0s");
    ASSERT_TEXT(quantity_size_human, 1023, "1023 B");
    ASSERT_TEXT(quantity_size_human, 2150, "2.1 KiB");
    ASSERT_TEXT(quantity_size_human, (1 << 20) - 1, "1.0 MiB");
    ASSERT_TEXT(quantity_size_human, UINT64_MAX, "16.0 EiB");
    ASSERT_TEXT(quantity_duration_human, 0, "0s");
    ASSERT_TEXT(quantity_duration_human, 59, "59s");
    ASSERT_TEXT(quantity_duration_human, 11520, "3h 12m");
    ASSERT_TEXT(quantity_duration_human, -300, "-5m");
    ASSERT_TEXT(quantity_duration_human, INT64_MIN, "-106751991167300d");
}

static void the_nearest_name_is_found(void **state) {
    (void)state;
    static const struct {
        const char *wanted, *want;
    } cases[] = {{"conections", "connections"},
                 {"recipents", "recipients"},
                 {"Queue", "queue"},
                 {"qeuue", "queue"},
                 {"hlep", "help"},
                 {"zzz", NULL},
                 {"", NULL},
                 {"q", NULL},
                 {"connect", NULL}};
    static const char *const known[] = {"connections", "recipients", "queue", "help", "x"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nearest n = nearest_to(bytes_of(cases[i].wanted));
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            nearest_offer(&n, known[k]);
        if (!cases[i].want)
            assert_null(n.name);
        else
            assert_string_equal(n.name, cases[i].want);
    }
    char long_name[400] = {0};
    memset(long_name, 'a', sizeof long_name - 1);
    struct nearest n = nearest_to(bytes_of(long_name));
    nearest_offer(&n, long_name);
    assert_null(n.name);
    struct buf hint = {0};
    nearest_hint(&n, &hint);
    assert_int_equal(hint.len, 0);
    n = nearest_to(BYTES("hlp"));
    nearest_offer(&n, "help");
    nearest_hint(&n, &hint);
    assert_string_equal(buf_z(&hint), " (did you mean 'help'?)");
    buf_release(&hint);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(they_are_written),
        cmocka_unit_test(the_nearest_name_is_found),
    };
    return cmocka_run_group_tests_name("base/quantity, nearest", tests, NULL, NULL);
}
