// SPDX-License-Identifier: MIT
#include "store_kit.h"

#include "store/shelf.h"

static const int64_t now = 1763821804678;

static int set_up(void **state) {
    struct kit *kit = malloc(sizeof *kit);
    kit_init(kit);
    kit->clock.frozen_ms = now;
    kit_open(kit);
    *state = kit;
    return 0;
}

static int tear_down(void **state) {
    kit_remove(*state);
    free(*state);
    return 0;
}

struct change {
    struct shelf_entry entry;
    int64_t now_ms;
    bool drop, raw, done;
    unsigned copies; // under keys of its own: "n0000001"
    size_t gone;
    bool whole;
};

static bool work(struct job *job, struct txn *txn, struct err *err) {
    struct change *c = job->with;
    if (c->raw) return txn_put(txn, TABLE_SHELF, c->entry.key, c->entry.value, err);
    if (c->drop) return txn_drop_shelf(txn, c->entry.key, &c->done, err);
    if (!c->entry.key.len && !c->copies) return txn_sweep_shelf(txn, c->now_ms, &c->gone, &c->whole, err);
    for (unsigned i = 0; i < c->copies; i++) {
        char key[16];
        snprintf(key, sizeof key, "n%07u", i);
        c->entry.key = bytes_of(key);
        if (!txn_put_shelf(txn, &c->entry, c->now_ms, &c->done, err)) return false;
    }
    return c->copies || txn_put_shelf(txn, &c->entry, c->now_ms, &c->done, err);
}

static bool run(struct kit *kit, struct change *c) {
    struct job job = {.work = work, .with = c};
    return job_run(&job, kit->store);
}

static bool put(struct kit *kit, const char *key, const char *value, int64_t until_ms) {
    struct change c = {.entry = {.key = bytes_of(key), .value = bytes_of(value), .source = BYTES("test"), .put_ms = now, .until_ms = until_ms},
                       .now_ms = now};
    return run(kit, &c) && c.done;
}

static char told[400];

static const char *look(struct kit *kit, const char *key, int64_t at_ms) {
    struct shelf_entry e;
    struct err err;
    struct reader *r = reader_new(kit->store, &err);
    assert_non_null(r);
    reader_begin(r);
    snprintf(told, sizeof told, "no");
    if (reader_shelf(r, bytes_of(key), at_ms, &e)) snprintf(told, sizeof told, "%.*s by %.*s", BYTES_FMT(e.value), BYTES_FMT(e.source));
    reader_end(r);
    reader_free(&r);
    return told;
}

static bool add_key(void *arg, const struct shelf_entry *e) {
    struct buf *out = arg;
    buf_format(out, "%.*s ", BYTES_FMT(e->key));
    return true;
}

static const char *walk(struct kit *kit, const char *prefix) {
    struct err err;
    struct buf keys = {0};
    struct reader *r = reader_new(kit->store, &err);
    assert_non_null(r);
    reader_begin(r);
    reader_shelf_walk(r, bytes_of(prefix), now, add_key, &keys);
    reader_end(r);
    reader_free(&r);
    snprintf(told, sizeof told, "%s", buf_z(&keys));
    buf_release(&keys);
    return told;
}

static void what_is_put_is_there_until_its_end(void **state) {
    struct kit *kit = *state;
    assert_string_equal(look(kit, "a", now), "no");
    assert_true(put(kit, "a", "{\"n\":1}", now + 1000));
    assert_string_equal(look(kit, "a", now), "{\"n\":1} by test");
    assert_string_equal(look(kit, "a", now + 999), "{\"n\":1} by test");
    assert_string_equal(look(kit, "a", now + 1000), "no");
    assert_true(put(kit, "a", "2", 0));
    assert_string_equal(look(kit, "a", now + 1000), "2 by test");
    struct change c = {.entry.key = BYTES("a"), .drop = true};
    assert_true(run(kit, &c) && c.done);
    assert_string_equal(look(kit, "a", now), "no");
    assert_true(run(kit, &c));
    assert_false(c.done);
}

static void a_key_of_ours_is_out_of_reach(void **state) {
    struct kit *kit = *state;
    static const struct bytes bad[] = {{"", 0}, {"\0pause\0identity\0acme", 20}, {"a\nb", 3}, {"a\x7f", 2}, {"\xff", 1}};
    struct change own = {.entry = {.key = {"\0pause\0x", 8}, .value = BYTES("ours")}, .raw = true};
    assert_true(run(kit, &own));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(shelf_key_is_valid(bad[i]));
        struct change c = {.entry = {.key = bad[i], .value = BYTES("1")}, .now_ms = now, .drop = true};
        assert_true(run(kit, &c));
        assert_false(c.done);
    }
    char key[SHELF_KEY + 2];
    memset(key, 'k', sizeof key);
    assert_true(shelf_key_is_valid(bytes_range(key, SHELF_KEY)));
    assert_false(shelf_key_is_valid(bytes_range(key, SHELF_KEY + 1)));
    assert_true(put(kit, "mine", "1", now - 1));
    struct change swept = {.now_ms = now};
    assert_true(run(kit, &swept));
    assert_true(swept.gone == 1 && swept.whole);
    assert_string_equal(walk(kit, ""), "");
    struct err err;
    struct bytes value;
    struct reader *r = reader_new(kit->store, &err);
    reader_begin(r);
    assert_true(reader_get(r, TABLE_SHELF, own.entry.key, &value) && bytes_equal(value, BYTES("ours")));
    reader_end(r);
    reader_free(&r);
}

static void a_walk_goes_by_prefix(void **state) {
    struct kit *kit = *state;
    assert_true(put(kit, "b/1", "1", 0) && put(kit, "b/2", "1", now - 1) && put(kit, "b/3", "1", 0) && put(kit, "a", "1", 0) && put(kit, "c", "1", 0));
    assert_string_equal(walk(kit, "b/"), "b/1 b/3 ");
    assert_string_equal(walk(kit, ""), "a b/1 b/3 c ");
}

static void a_value_has_bounds(void **state) {
    struct kit *kit = *state;
    static char text[SHELF_VALUE + 2];
    memset(text, '1', SHELF_VALUE);
    assert_true(put(kit, "large", text, 0));
    text[SHELF_VALUE] = '1';
    assert_false(put(kit, "larger", text, 0));
    assert_false(put(kit, "none", "", 0));
    struct change damaged = {.entry = {.key = BYTES("damaged"), .value = BYTES("\1short")}, .raw = true};
    assert_true(run(kit, &damaged));
    assert_string_equal(look(kit, "damaged", now), "no");
}

static bool count_row(void *arg, struct bytes key, struct bytes value) {
    (void)key, (void)value;
    ++*(size_t *)arg;
    return true;
}

static void what_is_over_goes_by_itself(void **state) {
    struct kit *kit = *state;
    struct change c = {.entry = {.value = BYTES("1"), .until_ms = now - 1}, .now_ms = now - 10, .copies = 2500};
    assert_true(run(kit, &c));
    for (int turn = 0; turn < 4; turn++) { // the writer sweeps too, when it has time
        struct change swept = {.now_ms = now};
        assert_true(run(kit, &swept));
    }
    struct err err;
    size_t left = 0;
    struct reader *r = reader_new(kit->store, &err);
    reader_begin(r);
    reader_walk(r, TABLE_SHELF, BYTES("n"), count_row, &left);
    reader_end(r);
    reader_free(&r);
    assert_int_equal(left, 0);
}

static void full_it_takes_no_new_keys(void **state) {
    struct kit *kit = *state;
    struct change c = {.entry = {.value = BYTES("1")}, .now_ms = now, .copies = SHELF_ENTRIES};
    assert_true(run(kit, &c));
    assert_true(c.done);
    assert_false(put(kit, "new", "1", 0));
    assert_true(put(kit, "n0000007", "2", now + 1));
    assert_string_equal(look(kit, "n0000007", now), "2 by test");
    struct change late = {.entry = {.key = BYTES("new"), .value = BYTES("3")}, .now_ms = now + 1};
    for (int i = 0; i < 200 && !late.done; i++) assert_true(run(kit, &late)); // until the sweep has come by
    assert_true(late.done);
    assert_string_equal(look(kit, "n0000007", now), "no");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_put_is_there_until_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_of_ours_is_out_of_reach, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_walk_goes_by_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_has_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_over_goes_by_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_it_takes_no_new_keys, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
