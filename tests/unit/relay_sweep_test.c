// SPDX-License-Identifier: MIT
// sweep: rows of accounts in which nothing counts any more go, and no others.
#include "relay/sweep.h"

#include "relay/account.h"
#include "store_kit.h"

enum { WINDOW_S = 3600, ROUND_S = 256 * 10 };
static const int64_t start_ms = 1800000000000;

struct bench {
    struct kit kit;
    struct gateway gateway;
    struct worker mine, other, *workers[2];
    struct timer *alarm;
    struct sweep *sweep;
};

static bool is_in_memory(void *arg, struct bytes account) {
    (void)arg;
    return bytes_starts(account, BYTES("memory"));
}

static bool nothing_idle(void *arg) {
    (void)arg;
    return false;
}

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    struct err err;
    kit_init(&b->kit);
    kit_open(&b->kit);
    b->gateway = (struct gateway){.store = b->kit.store, .workers = b->workers, .worker_count = 1, .clock = {.frozen_ms = start_ms}};
    b->workers[0] = &b->mine;
    b->workers[1] = &b->other;
    b->mine = (struct worker){.gateway = &b->gateway, .reader = reader_new(b->kit.store, &err)};
    b->mine.loop = loop_new_virtual(&b->gateway.clock, nothing_idle, NULL, &err);
    b->sweep = sweep_new(&b->mine, is_in_memory, b);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    sweep_free(&b->sweep);
    timer_free(&b->alarm);
    loop_free(&b->mine.loop);
    reader_free(&b->mine.reader);
    kit_remove(&b->kit);
    free(b);
    return 0;
}

struct row {
    const char *name;
    struct buf value;
};

static bool work_row(struct job *job, struct txn *txn, struct err *err) {
    struct row *row = job->with;
    return txn_put(txn, TABLE_LEDGER, bytes_of(row->name), buf_bytes(&row->value), err);
}

// One was spent so long ago.
static struct row spent(const char *name, int64_t ago_s) {
    struct account a;
    struct row row = {.name = name};
    account_init(&a, WINDOW_S, start_ms - ago_s * 1000);
    account_hold(&a, 1);
    account_spend(&a, 1);
    account_encode(&a, &row.value);
    return row;
}

static void put(struct bench *b, struct row row) {
    struct job job = {.work = work_row, .with = &row};
    assert_true(job_run(&job, b->kit.store));
    buf_release(&row.value);
}

static bool work_nothing(struct job *job, struct txn *txn, struct err *err) {
    (void)job, (void)txn, (void)err;
    return true;
}

// What was submitted before this is done.
static bool is_there(struct bench *b, const char *name) {
    struct job job = {.work = work_nothing};
    struct bytes row;
    assert_true(job_run(&job, b->kit.store));
    reader_begin(b->mine.reader);
    bool there = reader_get(b->mine.reader, TABLE_LEDGER, bytes_of(name), &row);
    reader_end(b->mine.reader);
    return there;
}

static void on_alarm(void *arg) { loop_stop(((struct bench *)arg)->mine.loop); }

static void run_for(struct bench *b, int64_t seconds) {
    if (!b->alarm) b->alarm = timer_new(b->mine.loop, on_alarm, b);
    timer_set(b->alarm, seconds * 1000);
    loop_run(b->mine.loop);
}

static void a_start_looks_at_all(void **state) {
    struct bench *b = *state;
    struct row odd = {.name = "no account"}, damaged = {.name = "damaged/3600"};
    buf_addz(&odd.value, "x");
    buf_addz(&damaged.value, "x");
    put(b, odd);
    put(b, damaged);
    put(b, spent("old/3600", 3 * WINDOW_S));
    put(b, spent("young/3600", WINDOW_S / 2));
    put(b, spent("memory/3600", 3 * WINDOW_S));
    sweep_start(b->sweep);
    assert_false(is_there(b, "old/3600"));
    assert_true(is_there(b, "young/3600"));
    assert_true(is_there(b, "memory/3600")); // its account looks after it
    assert_true(is_there(b, "damaged/3600")); // counts as used up, and nobody knows until when
    assert_true(is_there(b, "no account"));
}

static void each_gets_its_turn(void **state) {
    struct bench *b = *state;
    sweep_start(b->sweep);
    put(b, spent("a/3600", WINDOW_S / 2));
    put(b, spent("z/3600", 3 * WINDOW_S));
    run_for(b, ROUND_S + 20);
    assert_false(is_there(b, "z/3600"));
    assert_true(is_there(b, "a/3600"));
    run_for(b, 3 * ROUND_S);
    assert_false(is_there(b, "a/3600"));
    put(b, spent("z/3600", 3 * WINDOW_S));
    sweep_stop(b->sweep);
    run_for(b, 3 * ROUND_S);
    assert_true(is_there(b, "z/3600"));
}

static void another_workers_are_left_alone(void **state) {
    struct bench *b = *state;
    char name[32];
    int mine = 0, others = 0;
    b->gateway.worker_count = 2;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "key%d/3600", i);
        put(b, spent(name, 3 * WINDOW_S));
    }
    sweep_start(b->sweep);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "key%d/3600", i);
        bool ours = gateway_worker_of_lane(&b->gateway, bytes_of(name)) == &b->mine;
        assert_int_equal(is_there(b, name), !ours);
        *(ours ? &mine : &others) += 1;
    }
    assert_true(mine && others);
}

// ---- a race with the owner ----

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
};

static bool work_wait(struct job *job, struct txn *txn, struct err *err) {
    struct gate *gate = job->with;
    (void)txn, (void)err;
    pthread_mutex_lock(&gate->lock);
    while (!gate->open) pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return true;
}

// The row is old when it is looked at, and young by the time it would be taken out.
static void what_was_written_meanwhile_stays(void **state) {
    struct bench *b = *state;
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    put(b, spent("old/3600", 3 * WINDOW_S));
    struct row young = spent("old/3600", 0);
    struct job shut = {.work = work_wait, .with = &gate}, write = {.work = work_row, .with = &young};
    job_submit(&shut, b->kit.store);
    job_submit(&write, b->kit.store);
    sweep_start(b->sweep);
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_signal(&gate.opened);
    pthread_mutex_unlock(&gate.lock);
    assert_true(job_wait(&shut) && job_wait(&write));
    assert_true(is_there(b, "old/3600"));
    buf_release(&young.value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_start_looks_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_gets_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_workers_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_written_meanwhile_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
