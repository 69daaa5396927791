// SPDX-License-Identifier: MIT
#include "store/space.h"
#include "store_kit.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { MIB = 1 << 20 };

struct bench {
    struct kit kit; // for its folder; no store is opened
    int dir;
    struct space space;
};

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    kit_init(&b->kit);
    b->dir = open(b->kit.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(b->dir >= 0);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    close(b->dir);
    kit_remove(&b->kit);
    free(b);
    return 0;
}

static int64_t reserved(const struct bench *b) {
    struct stat stat;
    return fstatat(b->dir, "reserve", &stat, 0) == 0 ? stat.st_blocks * 512 : -1;
}

static void the_ceiling(void **state) {
    struct bench *b = *state;
    space_init(&b->space, b->dir, 0, 640 * (uint64_t)MIB, &b->kit.log);
    assert_true(space_has_room(&b->space));
    space_used(&b->space, 640 * (uint64_t)MIB);
    space_look(&b->space);
    assert_false(space_has_room(&b->space));
    space_used(&b->space, 635 * (uint64_t)MIB); // coming back asks for a 64th more
    space_look(&b->space);
    assert_false(space_has_room(&b->space));
    space_used(&b->space, 629 * (uint64_t)MIB);
    space_look(&b->space);
    assert_true(space_has_room(&b->space));
    assert_int_equal(reserved(b), -1); // nothing is to be kept free, so nothing is reserved
}

static void the_reserve_comes_and_goes(void **state) {
    struct bench *b = *state;
    space_init(&b->space, b->dir, MIB, 0, &b->kit.log);
    assert_true(reserved(b) >= MIB / 8);
    assert_true(space_give_reserve(&b->space));
    assert_int_equal(reserved(b), -1);
    assert_false(space_give_reserve(&b->space)); // there was but one
    space_take_reserve(&b->space);
    assert_true(reserved(b) >= MIB / 8);
    space_init(&b->space, b->dir, MIB, 0, &b->kit.log); // another start finds it
    assert_true(space_give_reserve(&b->space));
}

static void no_reserve_where_there_is_no_room(void **state) {
    struct bench *b = *state;
    space_init(&b->space, b->dir, UINT64_C(1) << 60, 0, &b->kit.log);
    assert_false(space_has_room(&b->space));
    assert_int_equal(reserved(b), -1);
    assert_false(space_give_reserve(&b->space));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {CASE(the_ceiling), CASE(the_reserve_comes_and_goes), CASE(no_reserve_where_there_is_no_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
