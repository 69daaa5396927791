// SPDX-License-Identifier: MIT
#include "relay/rotation.h"
#include "store/shelf.h"
#include "store_kit.h"

static struct kit kit;
static struct gateway gateway;

static int set_up(void **state) {
    (void)state;
    kit_init(&kit);
    kit_open(&kit);
    gateway = (struct gateway){.store = kit.store, .log = kit.log};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kit_remove(&kit);
    return 0;
}

// Closing the store writes what was submitted.
static void keep(const char *account, const char *configured, const char *token) {
    rotation_keep(&gateway, bytes_of(account), bytes_of(configured), bytes_of(token));
    kit_reopen(&kit);
    gateway.store = kit.store;
}

static void expect(const char *account, const char *configured, const char *token) {
    struct err err;
    struct buf found = {0};
    struct reader *reader = reader_new(kit.store, &err);
    buf_addz(&found, "before ");
    rotation_find(reader, bytes_of(account), bytes_of(configured), &found);
    assert_memory_equal(found.at, "before ", 7);
    assert_string_equal(buf_z(&found) + 7, token);
    buf_release(&found);
    reader_free(&reader);
}

static void the_newest_that_descends_from_the_configured_one(void **state) {
    (void)state;
    expect("me@a.example", "first", "first");
    keep("me@a.example", "first", "second");
    expect("me@a.example", "first", "second");
    keep("me@a.example", "first", "third \"quoted\"");
    expect("me@a.example", "first", "third \"quoted\"");
    expect("you@a.example", "first", "first");
    expect("me@a.example", "another", "another"); // the operator's word
    keep("me@a.example", "another", "fourth");
    expect("me@a.example", "another", "fourth");
    expect("me@a.example", "first", "first");
}

static bool see(void *arg, const struct shelf_entry *e) {
    (void)e;
    ++*(int *)arg;
    return true;
}

static void scripts_do_not_see_it(void **state) {
    (void)state;
    struct err err;
    int seen = 0;
    keep("me@a.example", "first", "second");
    struct reader *reader = reader_new(kit.store, &err);
    reader_begin(reader);
    reader_shelf_walk(reader, BYTES(""), 0, see, &seen);
    assert_int_equal(reader_size(reader, TABLE_SHELF).entries, 1);
    reader_end(reader);
    reader_free(&reader);
    assert_int_equal(seen, 0);
    kit_expect_sound(&kit);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {CASE(the_newest_that_descends_from_the_configured_one), CASE(scripts_do_not_see_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
