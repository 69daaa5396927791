// SPDX-License-Identifier: MIT
#include "relay/keeping.h"
#include "store/shelf.h"
#include "store_kit.h"

static const int64_t now = 1763821804678;
static struct kit kit;
static struct gateway gateway;

static int set_up(void **state) {
    (void)state;
    kit_init(&kit);
    kit.clock.frozen_ms = now;
    kit_open(&kit);
    gateway = (struct gateway){.store = kit.store, .log = kit.log, .clock = kit.clock};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kit_remove(&kit);
    return 0;
}

static bool work(struct job *job, struct txn *txn, struct err *err) { return keeping_apply(job->with, &gateway, txn, err); }

static void apply(const struct keep *keeps, size_t count) {
    struct arena arena = {0};
    struct keep lent[4];
    memcpy(lent, keeps, count * sizeof *keeps);
    struct keeping k = keeping_of(&arena, lent, count, 0x1234, BYTES("policy.lua:7"));
    memset(lent, 0, sizeof lent); // the answer is gone by the time it is written
    struct job job = {.work = work, .with = &k};
    assert_true(job_run(&job, kit.store));
    arena_release(&arena);
}

static bool look(const char *key, int64_t at_ms, struct shelf_entry *e, char value[64], char source[64]) {
    struct err err;
    struct reader *reader = reader_new(kit.store, &err);
    reader_begin(reader);
    bool found = reader_shelf(reader, bytes_of(key), at_ms, e);
    snprintf(value, 64, "%.*s", BYTES_FMT(found ? e->value : BYTES("")));
    snprintf(source, 64, "%.*s", BYTES_FMT(found ? e->source : BYTES("")));
    reader_end(reader);
    reader_free(&reader);
    return found;
}

static void put_and_taken_off(void **state) {
    (void)state;
    struct shelf_entry e;
    char value[64], source[64];
    const struct keep put[] = {{BYTES("seen"), BYTES("{\"n\":1}"), 60}, {BYTES("for ever"), BYTES("true"), 0}}, drop[] = {{BYTES("seen"), BYTES(""), 0}};
    apply(put, 2);
    assert_true(look("seen", now, &e, value, source));
    assert_string_equal(value, "{\"n\":1}");
    assert_string_equal(source, "0000000000001234 policy.lua:7");
    assert_true(e.put_ms == now && e.until_ms == now + 60000);
    assert_false(look("seen", now + 60000, &e, value, source));
    assert_true(look("for ever", INT64_MAX, &e, value, source));
    apply(drop, 1);
    assert_false(look("seen", now, &e, value, source));
    apply(drop, 1); // it is gone already
}

// One that cannot be kept stands in the way of nobody.
static void what_the_shelf_does_not_take_is_left_out(void **state) {
    (void)state;
    struct shelf_entry e;
    char value[64], source[64];
    static char long_value[SHELF_VALUE + 1];
    memset(long_value, '1', sizeof long_value);
    const struct keep put[] = {{BYTES("a\nb"), BYTES("1"), 0}, {BYTES("long"), bytes_range(long_value, sizeof long_value), 0}, {BYTES("good"), BYTES("2"), 0}};
    apply(put, 3);
    assert_false(look("long", now, &e, value, source));
    assert_true(look("good", now, &e, value, source));
    kit_expect_sound(&kit);
}

static void nothing_is_nothing(void **state) {
    (void)state;
    struct keeping k = keeping_of(NULL, NULL, 0, 1, BYTES(""));
    assert_true(k.count == 0 && k.source.len == 0);
    assert_true(keeping_apply(&k, &gateway, NULL, NULL));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {CASE(put_and_taken_off), CASE(what_the_shelf_does_not_take_is_left_out), CASE(nothing_is_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
