// SPDX-License-Identifier: MIT
// fresh: what is kept is handed over once, within its ceiling, and goes when nobody comes for it.
#include "relay/fresh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static _Atomic uint64_t in_flight, total;

struct bench {
    struct fresh fresh;
    struct content content;
    char text[3000];
};

static void receive(struct bench *b, size_t body) {
    struct err err;
    content_init(&b->content, "/tmp", &in_flight);
    assert_true(content_add(&b->content, BYTES("A: 1\r\n\r\n"), &err));
    for (size_t at = 0; at < body; at += sizeof b->text) {
        size_t n = body - at < sizeof b->text ? body - at : sizeof b->text;
        assert_true(content_add(&b->content, bytes_range(b->text, n), &err));
    }
    assert_true(content_finish(&b->content, &err));
}

static void keep(struct bench *b, uint64_t id, size_t body, uint64_t most, int64_t now_ms) {
    receive(b, body);
    fresh_keep(&b->fresh, id, &b->content, most, now_ms);
    content_release(&b->content);
    assert_int_equal(in_flight, 0);
}

static bool is_here(struct bench *b, uint64_t id) {
    struct fresh_body *body = fresh_take(&b->fresh, id);
    bool here = body != NULL;
    fresh_body_free(&body);
    assert_null(body);
    return here;
}

static void what_is_kept_is_handed_over_once(void **state) {
    struct bench *b = *state;
    keep(b, 7, 10000, 1 << 20, 0);
    struct fresh_body *body = fresh_take(&b->fresh, 7);
    assert_non_null(body);
    size_t at = 0;
    for (size_t i = 0; i < body->part_count; i++)
        for (size_t k = 0; k < body->parts[i].iov_len && at < 10000; k++, at++)
            assert_int_equal(((char *)body->parts[i].iov_base)[k], b->text[at % sizeof b->text]);
    assert_int_equal(at, 10000);
    assert_true(total >= 10000);
    assert_false(is_here(b, 7));
    fresh_body_free(&body);
    assert_int_equal(total, 0);
}

static void the_ceiling_holds_for_all_together(void **state) {
    struct bench *b = *state;
    struct fresh other;
    fresh_init(&other, &total);
    keep(b, 1, 3000, 10000, 0); // takes 4 KiB
    receive(b, 3000);
    fresh_keep(&other, 2, &b->content, 10000, 0);
    content_release(&b->content);
    keep(b, 3, 3000, 10000, 0); // no room
    assert_int_equal(total, 8192);
    assert_false(is_here(b, 3));
    assert_true(is_here(b, 1));
    keep(b, 4, 3000, 10000, 0); // again there is
    keep(b, 5, 3000, 0, 0);     // nothing is to be kept
    assert_true(is_here(b, 4) && !is_here(b, 5));
    fresh_release(&other);
    assert_int_equal(total, 0);
}

static void what_nobody_picks_up_goes(void **state) {
    struct bench *b = *state;
    for (uint64_t id = 1; id <= 5; id++) keep(b, id, 100, 1 << 20, (int64_t)id * 1000);
    assert_true(is_here(b, 2)); // from the middle
    fresh_forget_old(&b->fresh, 10999);
    assert_int_equal(total, 4 * 4096);
    fresh_forget_old(&b->fresh, 13000);
    assert_int_equal(total, 2 * 4096);
    assert_true(!is_here(b, 1) && !is_here(b, 3));
    assert_true(is_here(b, 5) && is_here(b, 4));
    keep(b, 6, 100, 1 << 20, 20000); // the list is whole, though it was taken from at both ends
    fresh_forget_old(&b->fresh, 30000);
    assert_int_equal(total, 0);
}

static void only_what_lies_whole_in_memory(void **state) {
    struct bench *b = *state;
    keep(b, 1, 0, 1 << 20, 0);
    receive(b, CONTENT_MEMORY + 200000);
    fresh_keep(&b->fresh, 2, &b->content, 1 << 30, 0);
    assert_true(b->content.part_count > 0 && in_flight > CONTENT_MEMORY); // still the content's
    content_release(&b->content);
    assert_true(!is_here(b, 1) && !is_here(b, 2));
    assert_int_equal(total, 0);
}

static int set_up(void **state) {
    static struct bench b;
    fresh_init(&b.fresh, &total);
    for (size_t i = 0; i < sizeof b.text; i++) b.text[i] = i % 60 == 58 ? '\r' : i % 60 == 59 ? '\n' : (char)('a' + i / 60 % 26);
    *state = &b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    fresh_release(&b->fresh);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_kept_is_handed_over_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_ceiling_holds_for_all_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_picks_up_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_lies_whole_in_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
