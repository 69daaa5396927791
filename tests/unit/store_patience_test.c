// SPDX-License-Identifier: MIT
// Ops that nobody waits for: they share a commit with others, and are never forgotten.
#include "store_kit.h"

enum { MANY = 200 };

static void put_later(struct kit *kit, struct job *job, struct recipient *r, bool patient) {
    *job = (struct job){.work = work_put, .recipients = r, .recipient_count = 1};
    job->op.patient = patient;
    job_submit(job, kit->store);
}

static void a_patient_op_alone_gets_its_turn(void **state) {
    struct kit *kit = *state;
    struct recipient r = some_recipient(1000, 0, 700);
    struct job job;
    assert_true(accept_mail(kit, 1000, 1, 500, BYTES("body\r\n")));
    put_later(kit, &job, &r, true);
    assert_true(job_wait(&job));
}

static void it_shares_the_commit_of_the_next(void **state) {
    struct kit *kit = *state;
    struct recipient r = some_recipient(1000, 0, 700);
    bool shared = false;
    assert_true(accept_mail(kit, 1000, 1, 500, BYTES("body\r\n")));
    for (int i = 0; i < 100 && !shared; i++) { // on a busy machine its patience may end before the other comes
        struct job patient, other;
        uint64_t before = kit_stats(kit).commits;
        put_later(kit, &patient, &r, true);
        put_later(kit, &other, &r, false);
        assert_true(job_wait(&other));
        assert_true(job_wait(&patient));
        uint64_t commits = kit_stats(kit).commits - before;
        assert_in_range(commits, 1, 2);
        shared = commits == 1;
    }
    assert_true(shared);
}

static void many_of_them_are_done_in_order(void **state) {
    struct kit *kit = *state;
    static struct job jobs[MANY];
    static struct recipient records[MANY];
    assert_true(accept_mail(kit, 1000, 1, 500, BYTES("body\r\n")));
    uint64_t before = kit_stats(kit).commits;
    for (int i = 0; i < MANY; i++) {
        records[i] = some_recipient(1000, 0, 1000 + i);
        put_later(kit, &jobs[i], &records[i], true);
    }
    for (int i = 0; i < MANY; i++) assert_true(job_wait(&jobs[i]));
    assert_true(kit_stats(kit).commits - before < MANY / 2);
    struct err err;
    struct recipient now;
    struct reader *reader = reader_new(kit->store, &err);
    reader_begin(reader);
    assert_true(reader_recipient(reader, 1000, 0, &now));
    assert_int_equal(now.due_ms, 1000 + MANY - 1);
    reader_end(reader);
    reader_free(&reader);
}

static void closing_does_what_was_submitted(void **state) {
    struct kit *kit = *state;
    struct recipient r = some_recipient(1000, 0, 700);
    struct job jobs[3];
    assert_true(accept_mail(kit, 1000, 1, 500, BYTES("body\r\n")));
    for (int i = 0; i < 3; i++) put_later(kit, &jobs[i], &r, true);
    kit_reopen(kit);
    for (int i = 0; i < 3; i++) {
        assert_true(jobs[i].finished);
        assert_true(job_wait(&jobs[i]));
    }
    assert_int_equal(kit_stats(kit).due, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_patient_op_alone_gets_its_turn, kit_set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(it_shares_the_commit_of_the_next, kit_set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(many_of_them_are_done_in_order, kit_set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(closing_does_what_was_submitted, kit_set_up, kit_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
