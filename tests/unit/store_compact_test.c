// SPDX-License-Identifier: MIT
#include "store_kit.h"

#include "store/segment.h"

#include <fcntl.h>
#include <poll.h>

enum { BODY = 4000, MESSAGES = 100 };

static int setup(void **state) {
    struct kit *kit = calloc(1, sizeof *kit);
    kit_init(kit);
    kit->options.segment_bytes = 64 << 10; // 16 bodies
    kit_open(kit);
    *state = kit;
    return 0;
}

static struct bytes body_of(uint64_t id, char *into) {
    memset(into, 'a' + (int)(id % 26), BODY);
    snprintf(into, BODY, "body of %llu", (unsigned long long)id);
    return bytes_range(into, BODY);
}

static void fill(struct kit *kit) {
    char body[BODY];
    for (uint64_t id = 1; id <= MESSAGES; id++)
        assert_true(accept_mail(kit, id, 1, 1, body_of(id, body)));
}

static void expect_body(struct kit *kit, uint64_t id) {
    char body[BODY];
    struct err err = {""};
    size_t len = 0;
    char *all = kit_body(kit, id, &len, &err);
    if (!all) fail_msg("%s", err.text);
    assert_int_equal(len, BODY);
    assert_memory_equal(all, body_of(id, body).at, BODY);
    free(all);
}

// The writer compacts when it has nothing better to do: wait for what it must come to.
static void until_segments(struct kit *kit, uint64_t most) {
    for (int turn = 0; turn < 1000 && kit_stats(kit).segments > most; turn++)
        poll(NULL, 0, 5);
    assert_true(kit_stats(kit).segments <= most);
}

static void drained_segments_are_unlinked(void **state) {
    struct kit *kit = *state;
    fill(kit);
    assert_true(kit_stats(kit).segments >= 6);
    for (uint64_t id = 1; id <= MESSAGES; id++)
        assert_true(drop_mail(kit, id, 0, NULL));
    assert_true(kit_stats(kit).segments <=
                2); // the tail, and a cold one where compaction was quicker than we
    assert_int_equal(kit_stats(kit).body_bytes_live, 0);
    assert_true(kit_stats(kit).body_bytes_disk <= 128 << 10);
    kit_expect_sound(kit);
}

static void stragglers_move_to_a_cold_segment(void **state) {
    struct kit *kit = *state;
    fill(kit);
    for (uint64_t id = 1; id <= MESSAGES; id++)
        if (id % 20 != 5) assert_true(drop_mail(kit, id, 0, NULL));
    until_segments(kit, 3); // the tail, the cold one, and a segment that may have two stragglers
    for (uint64_t id = 5; id <= MESSAGES; id += 20)
        expect_body(kit, id);
    kit_expect_sound(kit);
    kit_reopen(kit);
    for (uint64_t id = 5; id <= MESSAGES; id += 20)
        expect_body(kit, id);
    kit_expect_sound(kit);
    for (uint64_t id = 5; id <= MESSAGES; id += 20)
        assert_true(drop_mail(kit, id, 0, NULL));
    assert_int_equal(kit_stats(kit).body_bytes_live, 0);
    kit_expect_sound(kit);
}

static void who_reads_goes_on_reading(void **state) {
    struct kit *kit = *state;
    char body[BODY], begun[BODY];
    struct err err = {""};
    size_t got;
    fill(kit);
    struct place place;
    assert_true(kit_place(kit, 5, &place));
    struct body *open = body_open(kit->store, 5, &place, &err);
    assert_non_null(open);
    assert_true(body_read(open, 0, begun, 1000, &got, &err) && got == 1000);
    for (uint64_t id = 1; id <= 60; id++)
        if (id != 5) assert_true(drop_mail(kit, id, 0, NULL));
    char name[128];
    snprintf(name, sizeof name, "%s/segments/%010u.seg", kit->path, place.segment);
    for (int turn = 0; turn < 1000 && access(name, F_OK) == 0; turn++)
        poll(NULL, 0, 5);
    assert_int_equal(access(name, F_OK), -1);
    assert_true(body_read(open, 1000, begun + 1000, BODY, &got, &err) && got == BODY - 1000);
    assert_memory_equal(begun, body_of(5, body).at, BODY);
    body_close(&open);
    open = body_open(kit->store, 5, &place, &err); // by the place it had before
    if (!open) fail_msg("%s", err.text);
    assert_true(body_read(open, 0, begun, BODY, &got, &err) && got == BODY);
    body_close(&open);
    assert_true(drop_mail(kit, 5, 0, NULL));
    assert_null(body_open(kit->store, 5, &place, &err)); // and once it is gone, it is gone
}

static void a_damaged_segment_is_left_alone(void **state) {
    struct kit *kit = *state;
    struct err err;
    size_t len = 0;
    fill(kit);
    char name[128];
    snprintf(name, sizeof name, "%s/segments/0000000001.seg", kit->path);
    int fd = open(name, O_RDWR);
    assert_int_equal(pwrite(fd, "?", 1, 5 * (BODY + SEGMENT_HEAD) + 100), 1); // in the body of 6
    close(fd);
    for (uint64_t id = 1; id <= MESSAGES; id++)
        if (id != 6) assert_true(drop_mail(kit, id, 0, NULL));
    for (int turn = 0; turn < 20; turn++)
        assert_true(accept_mail(kit, 1000, 1, 1, BYTES("x"))); // the writer has had its turns
    assert_int_equal(access(name, F_OK), 0);
    assert_null(kit_body(kit, 6, &len, &err));
    assert_non_null(strstr(err.text, "damaged"));
    assert_true(drop_mail(kit, 6, 0, NULL));
    assert_int_equal(access(name, F_OK), -1);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, kit_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(drained_segments_are_unlinked),
        CASE(stragglers_move_to_a_cold_segment),
        CASE(who_reads_goes_on_reading),
        CASE(a_damaged_segment_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
