// SPDX-License-Identifier: MIT
// A disk that fills up: a small tmpfs where we may mount one, a limit on the size of files where not.
#include "store/inside.h"
#include "store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

enum { DISK_MIB = 24, BODY = 30000 };

static bool mount_small(const char *path) {
    char size[32];
    snprintf(size, sizeof size, "size=%dm", DISK_MIB);
    return mount("tmpfs", path, "tmpfs", 0, size) == 0;
}

static int setup_small_disk(void **state) {
    struct kit *kit = calloc(1, sizeof *kit);
    kit_init(kit);
    *state = kit;
    if (!mount_small(kit->path)) return 0; // the test then skips
    kit->options.reserve_bytes = 4 << 20;
    kit_open(kit);
    return 0;
}

static int teardown_small_disk(void **state) {
    struct kit *kit = *state;
    bool mounted = kit->store != NULL;
    if (mounted) store_close(&kit->store);
    if (mounted) assert_int_equal(umount(kit->path), 0);
    kit_remove(kit);
    free(kit);
    return 0;
}

static bool has_room_now(struct kit *kit) {
    space_look(kit->store->space); // not the answer of a tenth of a second ago
    return store_has_room(kit->store);
}

static uint64_t free_bytes(struct kit *kit) {
    struct statvfs fs;
    assert_int_equal(statvfs(kit->path, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static bool accept_one(struct kit *kit, uint64_t id) {
    static char body[BODY];
    return accept_mail(kit, id, 1, 1, bytes_range(body, sizeof body));
}

static void intake_stops_before_the_disk_is_full_and_comes_back(void **state) {
    struct kit *kit = *state;
    if (!kit->store) skip();
    uint64_t id = 0;
    while (has_room_now(kit))
        assert_true(accept_one(kit, ++id)); // nothing that was asked in is refused
    assert_true(id > 100);
    assert_true(free_bytes(kit) > 1 << 20);
    assert_false(store_is_sick(kit->store));
    kit_expect_sound(kit);
    for (uint64_t gone = 1; gone <= id; gone++)
        assert_true(drop_mail(kit, gone, 0, NULL));
    assert_true(has_room_now(kit));
    assert_true(accept_one(kit, id + 1));
    kit_expect_sound(kit);
}

static int fill_disk(struct kit *kit) {
    char path[128];
    static char zeros[1 << 16];
    snprintf(path, sizeof path, "%s/filler", kit->path);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
    for (size_t size = sizeof zeros; size; size /= 2)
        while (write(fd, zeros, size) == (ssize_t)size)
            continue;
    assert_int_equal(free_bytes(kit), 0);
    return fd;
}

static void empty_disk(struct kit *kit, int fd) {
    char path[128];
    snprintf(path, sizeof path, "%s/filler", kit->path);
    close(fd);
    assert_int_equal(unlink(path), 0);
}

static bool reserve_is_there(struct kit *kit) {
    char path[128];
    snprintf(path, sizeof path, "%s/reserve", kit->path);
    return access(path, F_OK) == 0;
}

static void a_full_disk_refuses_mail_and_settles_it(void **state) {
    struct kit *kit = *state;
    if (!kit->store) skip();
    uint64_t id = 0, refused;
    for (; id < 50; id++)
        assert_true(accept_one(kit, id + 1));
    assert_true(reserve_is_there(kit));
    int filler = fill_disk(kit);
    assert_false(has_room_now(kit));
    for (refused = id + 1; accept_one(kit, refused); refused++)
        assert_true(refused < 500);                   // what was preallocated
    for (uint64_t gone = 1; gone < refused; gone++) { // outcomes, and new refusals in between
        struct recipient later = some_recipient(gone, 0, 99);
        if (gone % 3 == 0)
            assert_true(put_recipient(kit, later));
        else
            assert_true(drop_mail(kit, gone, 0, NULL));
        assert_false(store_is_sick(kit->store));
    }
    kit_expect_sound(kit);
    empty_disk(kit, filler);
    assert_true(has_room_now(kit));
    assert_true(accept_one(kit, refused));
    for (int turn = 0; turn < 1000 && !reserve_is_there(kit); turn++)
        poll(NULL, 0, 5);
    assert_true(reserve_is_there(kit));
    kit_reopen(kit);
    kit_expect_sound(kit);
}

// On a disk full to the last byte the store opens, with all that was acknowledged.
static void a_store_opens_on_a_full_disk(void **state) {
    struct kit *kit = *state;
    if (!kit->store) skip();
    for (uint64_t id = 1; id <= 20; id++)
        assert_true(accept_one(kit, id));
    int filler = fill_disk(kit);
    kit_reopen(kit);
    assert_int_equal(kit_stats(kit).messages, 20);
    kit_expect_sound(kit);
    assert_true(drop_mail(kit, 1, 0, NULL));
    empty_disk(kit, filler);
    assert_true(accept_one(kit, 21));
    kit_expect_sound(kit);
}

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static bool work_big(struct job *job, struct txn *txn, struct err *err) {
    char *value = calloc(1, 4 << 20);
    bool put = txn_put(txn, TABLE_SHELF, BYTES("\0big"), bytes_range(value, job->n), err);
    free(value);
    return put;
}

// Looked at before the writer has tried again.
static void look_whether_sick(struct job *job) {
    job->last = store_is_sick(job->with);
}

static void a_database_that_cannot_commit_is_sick_until_it_can(void **state) {
    struct kit *kit = *state;
    assert_true(accept_mail(kit, 1, 1, 1, BYTES("kept")));
    limit_file_size(64 << 10);
    struct job job = {.work = work_big, .n = 4 << 20, .look = look_whether_sick, .with = kit->store};
    bool put = job_run(&job, kit->store);
    limit_file_size(RLIM_INFINITY);
    assert_false(put);
    assert_true(job.last);
    assert_non_null(strstr(job.why.text, "database"));
    for (int turn = 0; turn < 1000 && store_is_sick(kit->store); turn++)
        poll(NULL, 0, 5); // it tries by itself
    assert_false(store_is_sick(kit->store));
    assert_true(job_run(&job, kit->store));
    struct err err;
    size_t len = 0;
    char *body = kit_body(kit, 1, &len, &err);
    assert_non_null(body);
    free(body);
    kit_expect_sound(kit);
}

static void the_next_commit_that_works_cures_it(void **state) {
    struct kit *kit = *state;
    limit_file_size(64 << 10);
    struct job job = {.work = work_big, .n = 4 << 20};
    bool put = job_run(&job, kit->store);
    limit_file_size(RLIM_INFINITY);
    assert_false(put);
    job = (struct job){.work = work_big, .n = 10};
    assert_true(job_run(&job, kit->store));
    assert_false(store_is_sick(kit->store));
}

static void a_segment_without_room_refuses_only_mail(void **state) {
    struct kit *kit = *state;
    assert_true(accept_mail(kit, 1, 1, 1, BYTES("kept")));
    static char body[2 << 20]; // asks for a segment of its own
    limit_file_size(1 << 20);
    bool accepted = accept_mail(kit, 2, 1, 1, bytes_range(body, sizeof body));
    bool settled = drop_mail(kit, 1, 0, NULL);
    limit_file_size(RLIM_INFINITY);
    assert_false(accepted);
    assert_true(settled);
    assert_false(store_is_sick(kit->store));
    assert_true(accept_mail(kit, 2, 1, 1, bytes_range(body, sizeof body)));
    kit_expect_sound(kit);
}

static void the_ceiling_counts_bodies_and_database(void **state) {
    struct kit *kit = *state;
    store_close(&kit->store);
    kit->options.ceiling_bytes = 4 << 20;
    kit_open(kit);
    uint64_t id = 0;
    while (has_room_now(kit))
        assert_true(accept_one(kit, ++id));
    struct store_stats stats = kit_stats(kit);
    assert_true(id > 60 && id < 140);
    assert_true(stats.body_bytes_disk + stats.db_bytes >= 4 << 20);
    kit_reopen(kit);
    assert_false(has_room_now(kit)); // known from the start
    for (uint64_t gone = 1; gone <= id; gone++)
        assert_true(drop_mail(kit, gone, 0, NULL));
    assert_true(has_room_now(kit));
}

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
#define SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small_disk, teardown_small_disk)
#define CASE(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)
    const struct CMUnitTest tests[] = {
        SMALL(intake_stops_before_the_disk_is_full_and_comes_back),
        SMALL(a_full_disk_refuses_mail_and_settles_it),
        SMALL(a_store_opens_on_a_full_disk),
        CASE(a_database_that_cannot_commit_is_sick_until_it_can),
        CASE(the_next_commit_that_works_cures_it),
        CASE(a_segment_without_room_refuses_only_mail),
        CASE(the_ceiling_counts_bodies_and_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
