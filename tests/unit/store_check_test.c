// SPDX-License-Identifier: MIT
#include "store/inside.h"
#include "store/key.h"
#include "store_kit.h"

#include <fcntl.h>

struct faults {
    int count;
    char text[8][512];
};

static void note(void *arg, const char *text) {
    struct faults *f = arg;
    if (f->count < 8) snprintf(f->text[f->count], sizeof f->text[0], "%s", text);
    f->count++;
}

static int setup(void **state) {
    struct kit *kit = calloc(1, sizeof *kit);
    kit_init(kit);
    kit_open(kit);
    assert_true(accept_mail(kit, 100, 2, 500, BYTES("first body")));
    assert_true(accept_mail(kit, 200, 1, 600, BYTES("second body")));
    struct recipient parked = some_recipient(200, 0, 600), held = some_recipient(100, 1, 700);
    parked.state = RECIPIENT_PARKED;
    parked.lane = BYTES("a lane");
    held.state = RECIPIENT_HELD;
    assert_true(put_recipient(kit, parked));
    assert_true(put_recipient(kit, held));
    *state = kit;
    return 0;
}

static void expect(struct kit *kit, const char *words) {
    struct faults faults = {0};
    assert_false(store_check(kit->store, note, &faults, NULL));
    for (int i = 0; i < faults.count && i < 8; i++)
        if (strstr(faults.text[i], words)) return;
    fail_msg("no fault says '%s'; the first: %s", words, faults.text[0]);
}

struct raw {
    enum table table;
    struct key key;
    struct bytes value;
    bool put;
};

static bool work_raw(struct job *job, struct txn *txn, struct err *err) {
    const struct raw *raw = job->with;
    return raw->put ? db_put(txn->db, raw->table, key_bytes(&raw->key), raw->value, err)
                    : db_delete(txn->db, raw->table, key_bytes(&raw->key), err);
}

// Behind the back of the rooms that keep the tables in step.
static void plant(struct kit *kit, struct raw raw) {
    struct job job = {.work = work_raw, .with = &raw};
    assert_true(job_run(&job, kit->store));
}

static void a_sound_store_has_no_faults(void **state) {
    struct kit *kit = *state;
    struct faults faults = {0};
    uint64_t checked = 0;
    bool sound = store_check(kit->store, note, &faults, &checked);
    if (!sound) fail_msg("%s", faults.text[0]);
    assert_true(checked >= 2 + 3 + 3 + 1 + 1);
    kit_reopen(kit);
    assert_true(store_check(kit->store, note, &faults, &checked));
}

static void a_lost_due_entry(void **state) {
    plant(*state, (struct raw){TABLE_DUE, key_due(500, 100, 0), BYTES(""), false});
    expect(*state, "not in the due index");
}

static void a_due_entry_too_many(void **state) {
    plant(*state, (struct raw){TABLE_DUE, key_due(501, 100, 0), BYTES(""), true});
    expect(*state, "which is not due then");
}

static void a_lost_place(void **state) {
    plant(*state, (struct raw){TABLE_PLACE, key_place(BYTES("a lane"), 200, 0), BYTES(""), false});
    expect(*state, "parked, but not found on its lane");
}

static void a_place_too_many(void **state) {
    plant(*state, (struct raw){TABLE_PLACE, key_place(BYTES("b lane"), 200, 0), BYTES(""), true});
    expect(*state, "which is not parked there");
}

static void a_lost_message(void **state) {
    plant(*state, (struct raw){TABLE_MESSAGE, key_message(100), BYTES(""), false});
    expect(*state, "its message is gone");
    expect(*state, "alive by its row");
}

static void a_message_nobody_waits_for(void **state) {
    plant(*state, (struct raw){TABLE_RECIPIENT, key_recipient(200, 0), BYTES(""), false});
    expect(*state, "no recipient is left");
}

static void a_record_that_is_garbage(void **state) {
    plant(*state, (struct raw){TABLE_MESSAGE, key_message(100), BYTES("\1garbage"), true});
    expect(*state, "cut short");
    plant(*state, (struct raw){TABLE_RECIPIENT, key_recipient(100, 0), BYTES("\7"), true});
    expect(*state, "encoding version 7");
}

static void a_shelf_entry_that_is_garbage(void **state) {
    struct faults faults = {0};
    struct raw ours = {TABLE_SHELF, {.len = 2, .at = "\0p"}, BYTES("paused"), true};
    plant(*state, ours); // a name of the rooms above: not an entry
    assert_true(store_check(((struct kit *)*state)->store, note, &faults, NULL));
    plant(*state, (struct raw){TABLE_SHELF, {.len = 3, .at = "key"}, BYTES("\1garbage"), true});
    expect(*state, "shelf: the record of 'key'");
}

static void a_held_counter_that_is_off(void **state) {
    struct key key = {.len = strlen(meta_held)};
    memcpy(key.at, meta_held, key.len);
    plant(*state, (struct raw){TABLE_META, key, BYTES("\0\0\0\0\0\0\0\5"), true});
    expect(*state, "held recipients: 5 by the counter, 1 found");
}

static void segment_rows_that_are_off(void **state) {
    plant(*state, (struct raw){TABLE_SEGMENT, key_segment(1), BYTES("garbage"), true});
    expect(*state, "a damaged row");
    plant(*state, (struct raw){TABLE_SEGMENT, key_segment(1), BYTES(""), false});
    expect(*state, "has no row");
}

static int open_segment(struct kit *kit, int flags) {
    char path[128];
    snprintf(path, sizeof path, "%s/segments/0000000001.seg", kit->path);
    int fd = open(path, flags);
    assert_true(fd >= 0);
    return fd;
}

static void a_flipped_bit_in_a_body(void **state) {
    struct kit *kit = *state;
    struct err err;
    size_t len = 0;
    int fd = open_segment(kit, O_RDWR);
    assert_int_equal(pwrite(fd, "F", 1, SEGMENT_HEAD), 1);
    close(fd);
    assert_null(kit_body(kit, 100, &len, &err));
    assert_non_null(strstr(err.text, "damaged on disk"));
    expect(kit, "damaged on disk");
    char *other = kit_body(kit, 200, &len, &err);
    assert_non_null(other);
    free(other);
}

static void a_flipped_bit_in_a_header(void **state) {
    struct kit *kit = *state;
    struct err err;
    size_t len = 0;
    for (int at = 0; at < SEGMENT_HEAD; at++) {
        char byte;
        int fd = open_segment(kit, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_null(kit_body(kit, 100, &len, &err));
        assert_non_null(strstr(err.text, "not the body of"));
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    char *good = kit_body(kit, 100, &len, &err);
    assert_non_null(good);
    free(good);
}

static void a_segment_cut_short(void **state) {
    struct kit *kit = *state;
    struct err err;
    size_t len = 0;
    int fd = open_segment(kit, O_RDWR);
    assert_int_equal(ftruncate(fd, SEGMENT_HEAD + 4), 0);
    close(fd);
    assert_null(kit_body(kit, 100, &len, &err));
    assert_non_null(strstr(err.text, "its segment ends"));
    expect(kit, "shorter than its row says");
    kit_reopen(kit); // says so, and goes on in a new segment
    assert_true(accept_mail(kit, 300, 1, 1, BYTES("third body")));
    char *good = kit_body(kit, 300, &len, &err);
    assert_non_null(good);
    free(good);
    assert_true(drop_mail(kit, 100, 0, NULL)); // what has lost its body can still be settled
    assert_true(drop_mail(kit, 100, 1, NULL));
    assert_true(drop_mail(kit, 200, 0, NULL));
    struct faults faults = {0};
    if (!store_check(kit->store, note, &faults, NULL)) fail_msg("%s", faults.text[0]);
}

static void a_segment_that_is_gone(void **state) {
    struct kit *kit = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/segments/0000000001.seg", kit->path);
    assert_int_equal(unlink(path), 0);
    expect(kit, "is missing");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, kit_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_sound_store_has_no_faults),
        CASE(a_lost_due_entry),
        CASE(a_due_entry_too_many),
        CASE(a_lost_place),
        CASE(a_place_too_many),
        CASE(a_lost_message),
        CASE(a_message_nobody_waits_for),
        CASE(a_record_that_is_garbage),
        CASE(a_shelf_entry_that_is_garbage),
        CASE(a_held_counter_that_is_off),
        CASE(segment_rows_that_are_off),
        CASE(a_flipped_bit_in_a_body),
        CASE(a_flipped_bit_in_a_header),
        CASE(a_segment_cut_short),
        CASE(a_segment_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
