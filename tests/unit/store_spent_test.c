// SPDX-License-Identifier: MIT
#include "store/spent.h"
#include "store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { PIECE = 4 << 20 };

struct bench {
    struct kit kit; // for its folder; no store is opened
    int dir;
    struct files files;
    struct spent spent;
};

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    kit_init(&b->kit);
    b->dir = open(b->kit.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(b->dir >= 0);
    files_init(&b->files, b->dir);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    spent_release(&b->spent);
    files_release(&b->files);
    close(b->dir);
    kit_remove(&b->kit);
    free(b);
    return 0;
}

// Returns a descriptor of its own, which the room does not know of, to see the size by.
static int make(const struct bench *b, uint32_t number, off_t size) {
    char name[FILE_NAME];
    file_name(number, name);
    int fd = openat(b->dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    return fd;
}

static off_t size_of(int fd) {
    struct stat stat;
    assert_int_equal(fstat(fd, &stat), 0);
    return stat.st_size;
}

static bool has_name(const struct bench *b, uint32_t number) {
    char name[FILE_NAME];
    file_name(number, name);
    return faccessat(b->dir, name, F_OK, 0) == 0;
}

static void the_name_goes_first_and_the_bytes_piece_by_piece(void **state) {
    struct bench *b = *state;
    int fd = make(b, 1, 2 * PIECE + 1);
    assert_true(spent_take(&b->spent, &b->files, 1));
    assert_false(has_name(b, 1));
    assert_int_equal(size_of(fd), 2 * PIECE + 1);
    assert_true(spent_give_back(&b->spent));
    assert_int_equal(size_of(fd), PIECE + 1);
    assert_true(spent_give_back(&b->spent));
    assert_int_equal(size_of(fd), 1);
    assert_true(spent_give_back(&b->spent)); // closed, and with it what is left
    assert_false(spent_give_back(&b->spent));
    close(fd);
}

static void the_more_wait_the_larger_the_piece(void **state) {
    struct bench *b = *state;
    int first = make(b, 1, 4 * PIECE), second = make(b, 2, 4 * PIECE), third = make(b, 3, 4 * PIECE);
    for (uint32_t number = 1; number <= 3; number++)
        assert_true(spent_take(&b->spent, &b->files, number));
    assert_true(spent_give_back(&b->spent));
    assert_int_equal(size_of(first), PIECE);
    assert_true(spent_give_back(&b->spent)); // the first is done
    assert_int_equal(size_of(second), 4 * PIECE);
    assert_true(spent_give_back(&b->spent));
    assert_int_equal(size_of(second), 2 * PIECE);
    assert_int_equal(size_of(third), 4 * PIECE);
    close(first);
    close(second);
    close(third);
}

static void who_reads_it_keeps_it_whole(void **state) {
    struct bench *b = *state;
    struct err err = {""};
    int fd = make(b, 7, 2 * PIECE);
    assert_int_equal(pwrite(fd, "z", 1, 2 * PIECE - 1), 1);
    struct file *reading = files_get(&b->files, 7, &err);
    if (!reading) fail_msg("%s", err.text);
    assert_true(spent_take(&b->spent, &b->files, 7));
    assert_true(spent_give_back(&b->spent));
    assert_false(spent_give_back(&b->spent)); // left to the reader
    char last = 0;
    assert_int_equal(pread(file_fd(reading), &last, 1, 2 * PIECE - 1), 1);
    assert_int_equal(last, 'z');
    assert_null(files_get(&b->files, 7, &err)); // and nobody else comes to have it
    file_put(&reading);
    close(fd);
}

static void what_is_not_there_is_gone_and_what_cannot_go_is_told(void **state) {
    struct bench *b = *state;
    assert_true(spent_take(&b->spent, &b->files, 9));
    assert_int_equal(mkdirat(b->dir, "0000000010.seg", 0700), 0);
    assert_false(spent_take(&b->spent, &b->files, 10));
    assert_true(errno == EISDIR || errno == EPERM);
    assert_true(has_name(b, 10));
    assert_false(spent_give_back(&b->spent));
}

static void an_end_lets_go_of_all(void **state) {
    struct bench *b = *state;
    for (uint32_t number = 1; number <= 3; number++) {
        close(make(b, number, PIECE));
        assert_true(spent_take(&b->spent, &b->files, number));
    }
    spent_release(&b->spent);
    assert_int_equal(b->spent.count, 0);
    assert_false(spent_give_back(&b->spent));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_name_goes_first_and_the_bytes_piece_by_piece),
        CASE(the_more_wait_the_larger_the_piece),
        CASE(who_reads_it_keeps_it_whole),
        CASE(what_is_not_there_is_gone_and_what_cannot_go_is_told),
        CASE(an_end_lets_go_of_all),
    };
    return cmocka_run_group_tests_name("store/spent", tests, NULL, NULL);
}
