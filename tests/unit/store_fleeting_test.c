// SPDX-License-Identifier: MIT
// A store that nothing has to last in: its writing is done where store_turn is called, and not before.
#include "store_kit.h"

static int finished;

static void on_finish(struct store_op *op, bool done, const struct err *why) {
    (void)op, (void)why;
    finished += done;
}

static bool put(struct store_op *op, struct txn *txn, struct err *err) {
    struct message m = {.id = 1000, .received_ms = 500, .expires_ms = 900, .sender = BYTES("a@example.org"), .head = BYTES("A: b\r\n"), .body = op->place, .recipients = 1};
    struct recipient r = {.id = 1000, .state = RECIPIENT_DUE, .due_ms = 500, .address = BYTES("b@example.net")};
    return txn_put_message(txn, &m, err) && txn_put_recipient(txn, &r, err);
}

static bool count(void *arg, const struct due *due) {
    *(int *)arg += due->id == 1000;
    return true;
}

static int due_now(struct reader *reader) {
    int found = 0;
    reader_begin(reader);
    assert_true(reader_due(reader, &(struct due){0}, 1000, count, &found));
    reader_end(reader);
    return found;
}

static void writes_when_told(void **state) {
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit.options.fleeting = true;
    kit_open(&kit);
    struct reader *reader = reader_new(kit.store, NULL);
    struct iovec part = {(char *)"body\r\n", 6};
    struct store_op op = {.apply = put, .finish = on_finish, .file = -1, .parts = &part, .part_count = 1, .body_id = 1000};
    store_submit(kit.store, &op);
    usleep(20000); // no thread takes it
    assert_int_equal(finished, 0);
    assert_int_equal(due_now(reader), 0);
    assert_true(store_turn(kit.store));
    assert_int_equal(finished, 1);
    assert_int_equal(due_now(reader), 1);
    assert_false(store_turn(kit.store));

    struct body *body = body_open(kit.store, 1000, &op.place, NULL);
    assert_non_null(body);
    assert_int_equal(body_length(body), 6);
    body_close(&body);
    reader_free(&reader);
    struct store_op last = {.apply = put, .finish = on_finish, .file = -1, .parts = &part, .part_count = 1, .body_id = 1000};
    store_submit(kit.store, &last); // what was submitted is done before the end, as everywhere
    kit_remove(&kit);
    assert_int_equal(finished, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_when_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
