// SPDX-License-Identifier: MIT
// The small rooms of base: bytes, buf, arena, err, map, queue, clock, jsonl, utf8, base64.
#include "base/arena.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/jsonl.h"
#include "base/map.h"
#include "base/queue.h"
#include "base/utf8.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void bytes_are_cut_and_found(void **state) {
    (void)state;
    struct bytes rest = BYTES("a b  c");
    assert_true(bytes_equal(bytes_cut(&rest, ' '), BYTES("a")));
    assert_true(bytes_equal(bytes_cut(&rest, ' '), BYTES("b")));
    assert_true(bytes_equal(bytes_cut(&rest, ' '), BYTES("")));
    assert_true(bytes_equal(bytes_cut(&rest, ' '), BYTES("c")));
    assert_int_equal(rest.len, 0);
    assert_int_equal(bytes_find(BYTES(""), 'x'), -1);
    assert_int_equal(bytes_search(BYTES("aab"), BYTES("ab")), 1);
    assert_true(bytes_equal(bytes_trim(BYTES(" \r\n x \t")), BYTES("x")));
    assert_true(bytes_equal(bytes_trim(BYTES(" \t ")), BYTES("")));
    assert_true(bytes_compare(BYTES("a"), BYTES("ab")) < 0 && bytes_compare(BYTES("b"), BYTES("ab")) > 0);
    assert_true(bytes_ends_nocase(BYTES("mx.EXAMPLE"), BYTES(".example")));
}

static void numbers_are_strict(void **state) {
    (void)state;
    uint64_t v = 7;
    assert_true(bytes_to_u64(BYTES("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_false(bytes_to_u64(BYTES("18446744073709551616"), &v));
    assert_false(bytes_to_u64(BYTES(""), &v));
    assert_false(bytes_to_u64(BYTES("-1"), &v));
    assert_false(bytes_to_u64(BYTES("1 "), &v));
}

static void integers_are_big_endian(void **state) {
    (void)state;
    char p[8];
    put_be64(p, 0x0102030405060708u);
    assert_memory_equal(p, "\1\2\3\4\5\6\7\10", 8);
    assert_true(get_be64(p) == 0x0102030405060708u);
    assert_int_equal(get_be16(p + 6), 0x0708);
}

static void decimals_are_those_of_printf(void **state) {
    (void)state;
    static const int64_t values[] = {0, 9, 10, -1, -10, 1234567890123, INT64_MAX, INT64_MIN};
    struct buf b = {0};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)values[i]);
        buf_reset(&b);
        buf_decimal(&b, values[i]);
        assert_string_equal(buf_z(&b), text);
    }
    buf_release(&b);
}

static void a_buffer_grows_and_shrinks(void **state) {
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 1000; i++) buf_format(&b, "%d,", i);
    buf_drop(&b, 2);
    assert_memory_equal(b.at, "1,2,3,", 6);
    assert_int_equal(strlen(buf_z(&b)), b.len);
    buf_release(&b);
    assert_null(b.at);
}

static void an_arena_keeps_all_until_reset(void **state) {
    (void)state;
    struct arena a = {0};
    char *first = arena_z(&a, BYTES("first"));
    for (int i = 0; i < 1000; i++) memset(arena_alloc(&a, 100), 0xff, 100);
    assert_string_equal(first, "first");
    struct bytes large = arena_copy(&a, bytes_range(arena_alloc(&a, 100000), 100000));
    assert_int_equal(large.at[99999], 0);
    size_t before = a.total;
    arena_reset(&a);
    assert_true(a.total < before);
    char *again = arena_alloc(&a, 64);
    for (int i = 0; i < 64; i++) assert_int_equal(again[i], 0); // zeroed, though it was used before
    assert_true(bytes_equal(arena_format(&a, "%d-%s", 7, "x"), BYTES("7-x")));
    arena_release(&a);
}

static void errors_keep_their_words(void **state) {
    (void)state;
    struct err e;
    assert_false(err_set(&e, "no %s", "disk"));
    assert_false(err_within(&e, "store %d", 1));
    assert_string_equal(e.text, "store 1: no disk");
    errno = ENOENT;
    assert_false(err_errno(&e, "open"));
    assert_string_equal(e.text, "open: No such file or directory");
    assert_false(err_set(NULL, "nobody asks"));
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    err_set(&e, "%s", big);
    err_within(&e, "%s", big);
    assert_true(strlen(e.text) < sizeof e.text);
}

static void a_map_is_a_map(void **state) {
    (void)state;
    struct map m = {0};
    char key[32];
    assert_null(map_get(&m, BYTES("x")));
    assert_null(map_remove(&m, BYTES("x")));
    for (uintptr_t i = 1; i <= 5000; i++) {
        int n = snprintf(key, sizeof key, "key %zu", (size_t)i);
        assert_null(map_put(&m, bytes_range(key, (size_t)n), (void *)i));
    }
    for (uintptr_t i = 1; i <= 5000; i += 2) {
        int n = snprintf(key, sizeof key, "key %zu", (size_t)i);
        assert_ptr_equal(map_remove(&m, bytes_range(key, (size_t)n)), (void *)i);
    }
    assert_int_equal(m.count, 2500);
    for (uintptr_t i = 1; i <= 5000; i++) {
        int n = snprintf(key, sizeof key, "key %zu", (size_t)i);
        assert_ptr_equal(map_get(&m, bytes_range(key, (size_t)n)), i % 2 ? NULL : (void *)i);
    }
    assert_ptr_equal(map_put(&m, BYTES("key 2"), &m), (void *)2);
    size_t at = 0, seen = 0;
    struct bytes name;
    while (map_next(&m, &at, &name, NULL)) seen++, map_remove(&m, name);
    assert_int_equal(seen, 2500);
    assert_int_equal(m.count, 0);
    // Churn must not fill it with graves.
    for (int i = 0; i < 100000; i++) {
        int n = snprintf(key, sizeof key, "%d", i);
        map_put(&m, bytes_range(key, (size_t)n), &m);
        map_remove(&m, bytes_range(key, (size_t)n));
    }
    assert_true(m.cap <= 16384);
    map_release(&m);
}

struct item {
    struct queue_node node;
    int putter, number;
};
static struct queue queue;
static struct item items[4][10000];

static void *put_many(void *arg) {
    struct item *mine = arg;
    for (int i = 0; i < 10000; i++) queue_put(&queue, &mine[i].node);
    return NULL;
}

static void a_queue_keeps_each_putters_order(void **state) {
    (void)state;
    pthread_t threads[4];
    int next[4] = {0}, total = 0;
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < 10000; i++) items[p][i] = (struct item){.putter = p, .number = i};
    for (int p = 0; p < 4; p++) pthread_create(&threads[p], NULL, put_many, items[p]);
    while (total < 40000)
        for (struct queue_node *n = queue_take_all(&queue); n; n = n->next) {
            struct item *item = (struct item *)n;
            if (item->number != next[item->putter]) fail_msg("putter %d: got %d, expected %d", item->putter, item->number, next[item->putter]);
            next[item->putter]++;
            total++;
        }
    for (int p = 0; p < 4; p++) pthread_join(threads[p], NULL);
    assert_true(queue_is_empty(&queue));
}

static void times_are_read_as_they_are_written(void **state) {
    (void)state;
    static const struct {
        const char *text, *iso; // NULL: refused
    } rows[] = {
        {"2026-11-22T15:04:05.678Z", "2026-11-22T15:04:05.678Z"},
        {"2026-11-22", "2026-11-22T00:00:00.000Z"},
        {"2026-11-22T15:04Z", "2026-11-22T15:04:00.000Z"},
        {"2026-11-22 15:04:05", "2026-11-22T15:04:05.000Z"},
        {"2026-11-22T00:04:05+01:00", "2026-11-21T23:04:05.000Z"},
        {"2026-11-22T23:04:05.100-02:30", "2026-11-23T01:34:05.100Z"},
        {"2024-02-29", "2024-02-29T00:00:00.000Z"},
        {"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
        {"2026-02-29", NULL}, {"2026-13-01", NULL}, {"2026-00-10", NULL}, {"2026-11-31", NULL},
        {"1969-12-31", NULL}, {"", NULL}, {"2026", NULL}, {"2026-1-2", NULL}, {"2026-11-22T", NULL},
        {"2026-11-22T24:00Z", NULL}, {"2026-11-22T15:60Z", NULL}, {"2026-11-22T15:04:5Z", NULL},
        {"2026-11-22T15:04:05.6Z", NULL}, {"2026-11-22T15:04ZZ", NULL}, {"2026-11-22T15:04+1:00", NULL},
        {"2026-11-22T15:04+15:00", NULL}, {"2026-11-22x", NULL}, {"tomorrow", NULL}, {"+026-11-22", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;
        char iso[25];
        bool good = clock_from_iso(bytes_of(rows[i].text), &ms);
        if (good != (rows[i].iso != NULL)) fail_msg("'%s' was %s", rows[i].text, good ? "taken" : "refused");
        if (!good) continue;
        clock_iso(ms, iso);
        assert_string_equal(iso, rows[i].iso);
    }
}

static void a_clock_can_be_shifted(void **state) {
    (void)state;
    struct clock c = {0};
    char iso[25], rfc[32];
    int64_t now = clock_ms(&c);
    clock_shift(&c, 86400000);
    assert_in_range(clock_ms(&c) - now, 86400000, 86400000 + 10000);
    c.frozen_ms = 1770000000123;
    clock_shift(&c, 1000);
    assert_true(clock_ms(&c) == 1770000001123);
    clock_iso(clock_ms(&c), iso);
    assert_string_equal(iso, "2026-02-02T02:40:01.123Z");
    clock_rfc5322(clock_ms(&c), rfc);
    assert_string_equal(rfc, "Mon, 2 Feb 2026 02:40:01 +0000");
    clock_rfc5322(clock_ms(&c) + 20 * INT64_C(86400000), rfc);
    assert_string_equal(rfc, "Sun, 22 Feb 2026 02:40:01 +0000");
}

static void json_is_valid_whatever_comes_in(void **state) {
    (void)state;
    struct buf b = {0};
    struct jsonl j = jsonl_begin(&b);
    jsonl_text(&j, "t", BYTES("a\"\\\n\xff\xc3\xa9\x7f"));
    jsonl_open(&j, "l", '[');
    jsonl_int(&j, NULL, -1);
    jsonl_bool(&j, NULL, true);
    jsonl_close(&j, ']');
    jsonl_open(&j, "o", '{');
    jsonl_close(&j, '}');
    jsonl_textz(&j, "n", NULL);
    jsonl_real(&j, "r", 0.5);
    jsonl_end(&j);
    assert_string_equal(buf_z(&b), "{\"t\":\"a\\\"\\\\\\u000a\xef\xbf\xbd\xc3\xa9\\u007f\",\"l\":[-1,true],\"o\":{},\"n\":null,\"r\":0.5}\n");
    buf_release(&b);
}

// Wherever in a text it stands, a byte is escaped as it is alone.
static void json_escapes_at_any_place(void **state) {
    (void)state;
    for (int c = 0; c < 128; c++) {
        struct buf alone = {0};
        char byte = (char)c;
        jsonl_escape(&alone, bytes_range(&byte, 1));
        for (size_t at = 0; at < 20; at++) {
            char text[20];
            struct buf out = {0};
            memset(text, 'x', sizeof text);
            text[at] = byte;
            jsonl_escape(&out, bytes_range(text, sizeof text));
            assert_int_equal(out.len, 2 + 19 + alone.len - 2);
            assert_memory_equal(out.at + 1 + at, alone.at + 1, alone.len - 2);
            for (size_t i = 0; i < at; i++) assert_int_equal(out.at[1 + i], 'x');
            buf_release(&out);
        }
        buf_release(&alone);
    }
}

static void utf8_is_strict(void **state) {
    (void)state;
    static const char *const good[] = {"a", "\xc2\x80", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80", "\xe2\x82", "\xc3("};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_int_equal(utf8_step(bytes_of(good[i])), strlen(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (utf8_step(bytes_of(bad[i]))) fail_msg("case %zu was taken for UTF-8", i);
}

static void base64_is_strict(void **state) {
    (void)state;
    static const struct {
        const char *data, *text;
    } good[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    static const char *const bad[] = {"Z", "Zg=", "Zg", "Zg==Zg==", "Zh==", "Zm9=", "Z m9", "====", "Zm9v\n", "Zm-v", "=Zg="};
    struct buf b = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        buf_reset(&b);
        base64_encode(&b, bytes_of(good[i].data));
        assert_true(bytes_equal(buf_bytes(&b), bytes_of(good[i].text)));
        buf_reset(&b);
        assert_true(base64_decode(&b, bytes_of(good[i].text)));
        assert_true(bytes_equal(buf_bytes(&b), bytes_of(good[i].data)));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_reset(&b);
        buf_add(&b, BYTES("kept"));
        if (base64_decode(&b, bytes_of(bad[i]))) fail_msg("'%s' was taken for base64", bad[i]);
        assert_true(bytes_equal(buf_bytes(&b), BYTES("kept")));
    }
    buf_reset(&b);
    base64_decode_loose(&b, BYTES("YW\r\n Jj*ZA==ZQ"), SIZE_MAX);
    assert_true(bytes_equal(buf_bytes(&b), BYTES("abcde")));
    base64_decode_loose(&b, BYTES("YWJj"), 7);
    assert_true(bytes_equal(buf_bytes(&b), BYTES("abcdeab")));
    buf_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_cut_and_found), cmocka_unit_test(decimals_are_those_of_printf),       cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(integers_are_big_endian),       cmocka_unit_test(a_buffer_grows_and_shrinks),
        cmocka_unit_test(an_arena_keeps_all_until_reset), cmocka_unit_test(errors_keep_their_words),
        cmocka_unit_test(a_map_is_a_map),                cmocka_unit_test(a_queue_keeps_each_putters_order),
        cmocka_unit_test(times_are_read_as_they_are_written),
        cmocka_unit_test(a_clock_can_be_shifted),        cmocka_unit_test(json_is_valid_whatever_comes_in),
        cmocka_unit_test(json_escapes_at_any_place),
        cmocka_unit_test(utf8_is_strict),                cmocka_unit_test(base64_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
