// SPDX-License-Identifier: MIT
#include "store/tail.h"

#include "store/crc32c.h"
#include "store/key.h"
#include "store_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { SEGMENT = 32 << 10 };

struct bench {
    char path[64];
    struct clock clock;
    struct log log;
    int dir, segment_dir;
    struct db *db;
    struct files files;
    struct segments segments;
};

static void bench_open(struct bench *b) {
    struct err err = {""};
    b->db = db_open(b->path, false, &b->log, &err);
    if (!b->db) fail_msg("%s", err.text);
    files_init(&b->files, b->segment_dir);
    segments_init(&b->segments, b->segment_dir, &b->files, SEGMENT, &b->log);
}

static void bench_close(struct bench *b) {
    segments_release(&b->segments);
    files_release(&b->files);
    db_close(&b->db);
}

static int setup(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    snprintf(b->path, sizeof b->path, "/tmp/tidegate-segment-XXXXXX");
    assert_non_null(mkdtemp(b->path));
    b->log = (struct log){.fd = -1, .clock = &b->clock};
    b->dir = open(b->path, O_DIRECTORY | O_RDONLY);
    assert_int_equal(mkdirat(b->dir, "segments", 0700), 0);
    b->segment_dir = openat(b->dir, "segments", O_DIRECTORY | O_RDONLY);
    bench_open(b);
    tail_begin(&b->segments);
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    char command[128];
    bench_close(b);
    close(b->dir);
    close(b->segment_dir);
    snprintf(command, sizeof command, "rm -rf '%s'", b->path);
    assert_int_equal(system(command), 0);
    free(b);
    return 0;
}

static bool append(struct bench *b, uint64_t id, const void *at, size_t size, struct place *place) {
    struct iovec part = {(void *)(uintptr_t)at, size};
    struct tail_body body = {.id = id, .parts = &part, .part_count = 1, .file = -1};
    return tail_append(&b->segments, SEGMENT_HOT, &body, place, NULL);
}

static void expect_record(struct bench *b, uint64_t id, const struct place *place, const void *at,
                          size_t size) {
    struct err err = {""};
    struct segment_head head;
    char raw[SEGMENT_HEAD], *got = malloc(size + 1);
    struct file *file = files_get(&b->files, place->segment, &err);
    if (!file) fail_msg("%s", err.text);
    assert_int_equal(place->length, size);
    assert_int_equal(pread(file_fd(file), raw, sizeof raw, (off_t)place->offset), SEGMENT_HEAD);
    assert_true(segment_head_decode(raw, &head));
    assert_true(head.id == id && head.length == size && head.codec == SEGMENT_CODEC_PLAIN);
    assert_int_equal(pread(file_fd(file), got, size, (off_t)place->offset + SEGMENT_HEAD), size);
    assert_memory_equal(got, at, size);
    assert_int_equal(head.crc, crc32c(0, at, size));
    file_put(&file);
    free(got);
}

// ---- encodings
// -----------------------------------------------------------------------------------------------

static void heads_decode_only_whole(void **state) {
    (void)state;
    struct segment_head head = {.id = UINT64_MAX, .length = 7, .crc = 0xfeedface, .codec = 3}, back;
    char raw[SEGMENT_HEAD], zeros[SEGMENT_HEAD] = {0};
    segment_head_encode(&head, raw);
    assert_true(segment_head_decode(raw, &back));
    assert_true(back.id == head.id && back.length == 7 && back.crc == head.crc && back.codec == 3);
    for (int bit = 0; bit < SEGMENT_HEAD * 8; bit++) {
        raw[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(segment_head_decode(raw, &back));
        raw[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_false(segment_head_decode(zeros, &back));
}

static void rows_of_other_shapes_are_refused(void **state) {
    struct bench *b = *state;
    struct err err;
    struct segment_row row;
    uint32_t number;
    char raw[SEGMENT_ROW + 1] = {1};
    struct key one = key_segment(1), none = key_segment(0);
    assert_true(segment_row_decode(key_bytes(&one), bytes_range(raw, SEGMENT_ROW), &number, &row) &&
                number == 1);
    for (size_t len = 0; len <= SEGMENT_ROW + 1; len++)
        assert_true(segment_row_decode(key_bytes(&one), bytes_range(raw, len), &number, &row) ==
                    (len == SEGMENT_ROW));
    assert_false(segment_row_decode(key_bytes(&none), bytes_range(raw, SEGMENT_ROW), &number, &row));
    assert_false(segment_row_decode(BYTES("abc"), bytes_range(raw, SEGMENT_ROW), &number, &row));
    raw[1] = 4;
    assert_false(segment_row_decode(key_bytes(&one), bytes_range(raw, SEGMENT_ROW), &number, &row));
    raw[1] = 0, raw[0] = 2;
    assert_false(segment_row_decode(key_bytes(&one), bytes_range(raw, SEGMENT_ROW), &number, &row));
    assert_false(segments_learn(&b->segments, key_bytes(&one), BYTES("garbage"), &err));
}

static void file_names_are_told_apart(void **state) {
    (void)state;
    uint32_t number;
    char name[FILE_NAME];
    file_name(UINT32_MAX, name);
    assert_true(file_number(name, &number) && number == UINT32_MAX);
    assert_true(file_number("0000000001.seg", &number) && number == 1);
    static const char *const not [] = {"",
                                       ".",
                                       "..",
                                       "0000000000.seg",
                                       "000000001.seg",
                                       "00000000001.seg",
                                       "0000000001.sgg",
                                       "-000000001.seg",
                                       "4294967296.seg",
                                       "00000000x1.seg",
                                       "0000000001.seg~"};
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
        assert_false(file_number(not [i], &number));
}

// ---- writing
// -------------------------------------------------------------------------------------------------

static void bodies_lie_where_they_were_told(void **state) {
    struct bench *b = *state;
    struct place places[3];
    struct iovec many[3000];
    char letters[3000];
    for (int i = 0; i < 3000; i++) {
        letters[i] = (char)('a' + i % 26);
        many[i] = (struct iovec){&letters[i], 1};
    }
    struct tail_body body = {
        .id = 2, .parts = many, .part_count = 3000, .file = -1}; // more than one pwritev takes
    assert_true(append(b, 1, "one", 3, &places[0]));
    assert_true(tail_append(&b->segments, SEGMENT_HOT, &body, &places[1], NULL));
    assert_true(append(b, 3, "", 0, &places[2]));
    assert_true(tail_sync(&b->segments, NULL));
    for (int i = 0; i < 3; i++)
        assert_true(tail_holds(&b->segments, &places[i]));
    assert_int_equal(places[1].offset, SEGMENT_HEAD + 3); // no gaps
    expect_record(b, 1, &places[0], "one", 3);
    expect_record(b, 2, &places[1], letters, 3000);
    expect_record(b, 3, &places[2], "", 0);
}

static void hundreds_in_one_group(void **state) {
    struct bench *b = *state;
    static char bodies[700][100];
    static struct iovec parts[700];
    struct place places[700];
    for (unsigned i = 0; i < 700; i++) {
        memset(bodies[i], 'a' + (int)(i % 26), 100);
        parts[i] = (struct iovec){bodies[i], 100};
        struct tail_body body = {.id = i, .parts = &parts[i], .part_count = 1, .file = -1};
        assert_true(tail_append(&b->segments, SEGMENT_HOT, &body, &places[i], NULL));
    }
    assert_true(tail_sync(&b->segments, NULL));
    for (unsigned i = 0; i < 700; i++)
        expect_record(b, i, &places[i], bodies[i], 100);
    assert_int_equal(places[699].segment, 3); // 248 to a segment
}

static void a_full_tail_is_sealed_and_cut(void **state) {
    struct bench *b = *state;
    struct place place;
    struct stat stat;
    static char body[20 << 10];
    assert_true(append(b, 1, body, sizeof body, &place) && place.segment == 1);
    assert_true(tail_sync(&b->segments, NULL));
    assert_int_equal(fstatat(b->segment_dir, "0000000001.seg", &stat, 0), 0);
    assert_int_equal(stat.st_size, SEGMENT); // preallocated
    assert_true(append(b, 2, body, sizeof body, &place) && place.segment == 2 && place.offset == 0);
    assert_true(tail_sync(&b->segments, NULL));
    assert_int_equal(fstatat(b->segment_dir, "0000000001.seg", &stat, 0), 0);
    assert_int_equal(stat.st_size, SEGMENT_HEAD + sizeof body);
    assert_true(segments_find(&b->segments, 1)->sealed);
    assert_false(segments_find(&b->segments, 2)->sealed);
}

static void a_body_above_a_segments_size_gets_its_own(void **state) {
    struct bench *b = *state;
    struct place place, next;
    static char body[5 * SEGMENT];
    memset(body, 'b', sizeof body);
    assert_true(append(b, 1, body, sizeof body, &place) && append(b, 2, "x", 1, &next));
    assert_true(tail_sync(&b->segments, NULL));
    assert_true(place.segment == 1 && next.segment == 2);
    expect_record(b, 1, &place, body, sizeof body);
}

static void a_source_that_fails_fails_alone(void **state) {
    struct bench *b = *state;
    struct place place, next;
    struct err err;
    FILE *file = tmpfile();
    fputs("0123456789", file);
    fflush(file);
    uint32_t right = crc32c(0, "3456789", 7), wrong = right + 1;
    struct tail_body body = {.id = 1, .file = fileno(file), .file_offset = 3, .file_length = 8};
    assert_false(tail_append(&b->segments, SEGMENT_HOT, &body, &place, &err)); // one byte too many
    assert_false(tail_refuses(&b->segments));
    body.file_length = 7;
    body.expect_crc = &wrong;
    assert_false(tail_append(&b->segments, SEGMENT_HOT, &body, &place, &err));
    assert_false(tail_refuses(&b->segments));
    body.expect_crc = &right;
    assert_true(tail_append(&b->segments, SEGMENT_HOT, &body, &place, &err));
    assert_true(append(b, 2, "next", 4, &next));
    assert_true(tail_sync(&b->segments, &err));
    expect_record(b, 1, &place, "3456789", 7);
    expect_record(b, 2, &next, "next", 4);
    fclose(file);
}

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void a_failed_write_loses_its_own_run_only(void **state) {
    struct bench *b = *state;
    struct place before, lost[3], after;
    struct err err = {""};
    static char body[4000];
    assert_true(append(b, 1, "before", 6, &before) && tail_sync(&b->segments, &err));
    tail_begin(&b->segments);
    for (unsigned i = 0; i < 3; i++)
        assert_true(append(b, 10 + i, body, sizeof body, &lost[i]));
    limit_file_size(6000);
    bool synced = tail_sync(&b->segments, &err);
    limit_file_size(RLIM_INFINITY);
    assert_false(synced);
    assert_non_null(strstr(err.text, "write"));
    assert_true(tail_holds(&b->segments, &before));
    for (unsigned i = 0; i < 3; i++)
        assert_false(tail_holds(&b->segments, &lost[i]));
    assert_false(append(b, 20, "still the same group", 5, &after));
    tail_begin(&b->segments);
    assert_true(append(b, 21, "after", 5, &after) && tail_sync(&b->segments, &err));
    expect_record(b, 1, &before, "before", 6);
    expect_record(b, 21, &after, "after", 5);
    assert_int_equal(after.offset, before.offset + SEGMENT_HEAD + 6);
}

static void a_segment_that_cannot_be_made_refuses_the_rest(void **state) {
    struct bench *b = *state;
    struct place kept, place;
    struct err err = {""};
    static char body[20 << 10];
    assert_true(append(b, 1, body, sizeof body, &kept));
    limit_file_size(1000);
    bool appended = append(b, 2, body, sizeof body, &place), small = append(b, 3, "x", 1, &place);
    limit_file_size(RLIM_INFINITY);
    assert_false(appended);
    assert_false(small);
    assert_false(tail_sync(&b->segments, &err));
    assert_int_equal(faccessat(b->segment_dir, "0000000002.seg", F_OK, 0), -1);
    tail_begin(&b->segments);
    assert_true(append(b, 2, body, sizeof body, &place) && tail_sync(&b->segments, &err));
    expect_record(b, 2, &place, body, sizeof body);
}

static void a_failed_sync_gives_the_segment_up(void **state) {
    struct bench *b = *state;
    struct place kept, lost, next;
    struct err err = {""};
    assert_true(append(b, 1, "kept", 4, &kept) && tail_sync(&b->segments, &err));
    tail_begin(&b->segments);
    int null = open("/dev/null", O_WRONLY); // takes writes, and cannot be synced
    assert_true(append(b, 2, "lost", 4, &lost));
    assert_true(dup2(null, b->segments.tail[SEGMENT_HOT].fd) >= 0);
    close(null);
    assert_false(tail_sync(&b->segments, &err));
    assert_non_null(strstr(err.text, "sync"));
    assert_true(tail_holds(&b->segments, &kept));
    assert_false(tail_holds(&b->segments, &lost));
    assert_true(segments_find(&b->segments, kept.segment)->sealed);
    tail_begin(&b->segments);
    assert_true(append(b, 3, "next", 4, &next) && tail_sync(&b->segments, &err));
    assert_int_equal(next.segment, kept.segment + 1);
    expect_record(b, 3, &next, "next", 4);
}

// ---- the account
// ---------------------------------------------------------------------------------------------

static void save(struct bench *b) {
    struct db_txn *txn;
    struct err err;
    assert_true(db_begin(b->db, &txn, &err));
    assert_true(segments_save(&b->segments, txn, &err));
    assert_true(db_commit(txn, &err));
    segments_settle(&b->segments);
}

static void reopen(struct bench *b) {
    struct err err = {""};
    bench_close(b);
    bench_open(b);
    struct db_txn *txn;
    assert_true(db_begin(b->db, &txn, &err));
    struct db_walk walk = {.txn = txn, .table = TABLE_SEGMENT};
    for (bool at = db_seek(&walk, BYTES("")); at; at = db_next(&walk))
        assert_true(segments_learn(&b->segments, walk.key, walk.value, &err));
    db_walk_end(&walk);
    db_abort(txn);
    assert_true(segments_sweep(&b->segments, &err));
    tail_begin(&b->segments);
}

static void the_account_survives_and_the_spent_are_unlinked(void **state) {
    struct bench *b = *state;
    struct place a, c;
    static char body[20 << 10];
    assert_true(append(b, 1, body, sizeof body, &a) && append(b, 2, body, sizeof body, &c));
    assert_true(tail_sync(&b->segments, NULL));
    segments_claim(&b->segments, &a);
    segments_claim(&b->segments, &c);
    save(b);
    assert_int_equal(b->segments.live, 2 * (SEGMENT_HEAD + sizeof body));
    segments_drop(&b->segments, &a);
    segments_rewind(&b->segments); // a commit that failed
    assert_int_equal(segments_find(&b->segments, a.segment)->live, SEGMENT_HEAD + sizeof body);
    reopen(b);
    assert_int_equal(b->segments.live, 2 * (SEGMENT_HEAD + sizeof body));
    struct file *reading = files_get(&b->files, a.segment, NULL);
    segments_drop(&b->segments, &a);
    save(b);
    assert_int_equal(faccessat(b->segment_dir, "0000000001.seg", F_OK, 0), -1);
    assert_null(segments_find(&b->segments, a.segment));
    char byte;
    assert_int_equal(pread(file_fd(reading), &byte, 1, 0), 1); // who had it open keeps it
    file_put(&reading);
    assert_null(files_get(&b->files, a.segment, NULL));
    segments_drop(&b->segments, &c);
    save(b);
    assert_non_null(segments_find(&b->segments, c.segment)); // the tail stays
    assert_int_equal(b->segments.live, 0);
}

static void the_tail_goes_on_where_the_commit_ended(void **state) {
    struct bench *b = *state;
    struct place a, uncommitted, next;
    assert_true(append(b, 1, "committed", 9, &a) && tail_sync(&b->segments, NULL));
    segments_claim(&b->segments, &a);
    save(b);
    assert_true(append(b, 2, "dies with us", 12, &uncommitted) && tail_sync(&b->segments, NULL));
    reopen(b);
    assert_true(append(b, 3, "next", 4, &next) && tail_sync(&b->segments, NULL));
    assert_true(next.segment == a.segment && next.offset == uncommitted.offset);
    expect_record(b, 1, &a, "committed", 9);
    expect_record(b, 3, &next, "next", 4);
}

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(heads_decode_only_whole),
        CASE(rows_of_other_shapes_are_refused),
        CASE(file_names_are_told_apart),
        CASE(bodies_lie_where_they_were_told),
        CASE(hundreds_in_one_group),
        CASE(a_full_tail_is_sealed_and_cut),
        CASE(a_body_above_a_segments_size_gets_its_own),
        CASE(a_source_that_fails_fails_alone),
        CASE(a_failed_write_loses_its_own_run_only),
        CASE(a_segment_that_cannot_be_made_refuses_the_rest),
        CASE(a_failed_sync_gives_the_segment_up),
        CASE(the_account_survives_and_the_spent_are_unlinked),
        CASE(the_tail_goes_on_where_the_commit_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
