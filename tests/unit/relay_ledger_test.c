// SPDX-License-Identifier: MIT
// ledger and grant: several workers' ledgers over one real store, in one thread, by a virtual clock.
#include "relay/grant.h"

#include "policy/plan.h"
#include "relay/account.h"
#include "store_kit.h"

enum { WORKERS = 3 };
static const int64_t start_ms = 1800000000000;

struct bench {
    struct kit kit;
    struct gateway gateway;
    struct worker workers[WORKERS], *worker_list[WORKERS];
};

static void open_bench(struct bench *b) {
    struct err err;
    kit_open(&b->kit);
    b->gateway.store = b->kit.store;
    b->gateway.workers = b->worker_list;
    b->gateway.worker_count = WORKERS;
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &b->workers[i];
        *w = (struct worker){.gateway = &b->gateway, .index = i};
        b->worker_list[i] = w;
        w->loop = loop_new(&err);
        w->reader = reader_new(b->kit.store, &err);
        w->ledger = ledger_new(w);
        assert_non_null(w->reader);
    }
}

static struct bench *new_bench(void) {
    struct bench *b = calloc(1, sizeof *b);
    kit_init(&b->kit);
    b->gateway.clock.frozen_ms = start_ms;
    b->gateway.log = b->kit.log;
    b->kit.options.clock = &b->gateway.clock;
    open_bench(b);
    return b;
}

struct stopper {
    struct task task;
    struct loop *loop;
};

static void stop_loop(struct task *task) { loop_stop(((struct stopper *)task)->loop); }

// Everything that is posted now is run, and what that posts in its turn to loops that come later.
static void turn(struct bench *b) {
    for (int i = 0; i < WORKERS; i++) {
        struct stopper stop = {.task = {.run = stop_loop}, .loop = b->workers[i].loop};
        loop_post(stop.loop, &stop.task);
        loop_run(stop.loop);
    }
}

static void advance(struct bench *b, int64_t ms) {
    clock_shift(&b->gateway.clock, ms);
    for (int i = 0; i < WORKERS; i++) ledger_look_again(b->workers[i].ledger);
}

// Until so many answers are there. Where none comes for a while it waits for the virtual clock.
static void turn_until(struct bench *b, const size_t *number, size_t wanted) {
    int64_t began = clock_monotonic_us(), moved = began;
    while (*number < wanted) {
        int64_t now = clock_monotonic_us();
        if (now - began > 20000000) fail_msg("%zu of %zu", *number, wanted);
        turn(b);
        if (now - moved < 3000) continue;
        advance(b, 1000);
        moved = now;
    }
}

static void stop_bench(struct bench *b) {
    for (int i = 0; i < WORKERS; i++) ledger_stop(b->workers[i].ledger);
    for (bool idle = false; !idle;) {
        turn(b);
        idle = true;
        for (int i = 0; i < WORKERS; i++) idle &= ledger_is_idle(b->workers[i].ledger);
    }
}

static bool work_nothing(struct job *job, struct txn *txn, struct err *err) {
    (void)job;
    return txn_delete(txn, TABLE_META, BYTES("nothing"), err);
}

// As a crash leaves it: what the store has, and nothing else.
static void drop_bench(struct bench *b) {
    for (int i = 0; i < 4; i++) { // commits under way, and what they bring about
        struct job last = {.work = work_nothing};
        job_run(&last, b->kit.store);
        for (int k = 0; k < 5; k++) turn(b);
    }
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &b->workers[i];
        ledger_free(&w->ledger);
        reader_free(&w->reader);
        loop_free(&w->loop);
    }
    store_close(&b->kit.store);
}

static void free_bench(struct bench *b) {
    stop_bench(b);
    drop_bench(b);
    kit_remove(&b->kit);
    free(b);
}

// ---- asking

struct asked {
    struct bench *bench;
    struct grant *grant;
    bool granted, answered, trouble;
    struct refusal refused;
    size_t *count;
};

static uint64_t spent_on_disk(struct bench *b, const struct spend *s) {
    struct account a;
    struct bytes row;
    struct err err;
    struct reader *reader = reader_new(b->kit.store, &err);
    account_init(&a, s->window_s, clock_ms(&b->gateway.clock));
    reader_begin(reader);
    if (reader_get(reader, TABLE_LEDGER, s->account, &row)) assert_true(account_decode(&a, row));
    reader_end(reader);
    reader_free(&reader);
    account_turn(&a, clock_ms(&b->gateway.clock));
    return account_used(&a);
}

static void on_answer(void *arg, const struct refusal *refused) {
    struct asked *a = arg;
    assert_false(a->answered);
    a->answered = true;
    a->granted = !refused;
    if (refused) {
        a->grant = NULL;
        a->trouble = !refused->spend;
        a->refused = *refused;
    }
    if (a->count) ++*a->count;
}

static const struct plan *plan_of(const struct spend *spends, size_t count) {
    struct plan draft = {.kind = PLAN_SEND, .connections = 1, .per_connection = 1, .spends = spends, .spend_count = count,
                         .via = {.kind = VIA_CAPTURE, .dir = BYTES("")}, .identity = {.name = BYTES("")}};
    return plan_make(&draft, BYTES(""));
}

static void ask(struct bench *b, struct asked *a, unsigned worker, const struct plan *plan, size_t recipients, size_t *count) {
    *a = (struct asked){.bench = b, .count = count};
    a->grant = grant_ask(&b->workers[worker], plan, recipients, 0, BYTES(""), on_answer, a);
}

static bool ask_now(struct bench *b, struct asked *a, const struct plan *plan, size_t recipients) {
    static unsigned worker; // any of them, by turns
    size_t answers = 0;
    ask(b, a, worker++ % WORKERS, plan, recipients, &answers);
    turn_until(b, &answers, 1);
    return a->granted;
}

static void settle(struct bench *b, struct asked *a, size_t accepted) {
    grant_settle(&a->grant, accepted, accepted);
    for (int i = 0; i < 5; i++) turn(b);
}

#define DAY(name, most) {.key = BYTES(name), .window_s = 86400, .cap = (most)}
#define MINUTE(name, most) {.key = BYTES(name), .window_s = 60, .cap = (most)}
#define SECOND(name, most) {.key = BYTES(name), .window_s = 1, .cap = (most)}

static void up_to_the_cap_and_not_one_more(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend day[] = {DAY("acme", 5)};
    const struct plan *plan = plan_of(day, 1);
    struct asked a[6];
    for (int i = 0; i < 5; i++) {
        assert_true(ask_now(b, &a[i], plan, 1));
        assert_true(spent_on_disk(b, plan->spends) >= (uint64_t)i + 1); // before it was granted
    }
    assert_false(ask_now(b, &a[5], plan, 1));
    assert_ptr_equal(a[5].refused.spend, plan->spends);
    assert_int_equal(a[5].refused.used, 5);
    for (int i = 0; i < 5; i++) settle(b, &a[i], 1);
    advance(b, 3600000);
    assert_false(ask_now(b, &a[5], plan, 1));
    int64_t until = a[5].refused.until_ms;
    assert_in_range(until, start_ms + 86400000, start_ms + 86400000 + 2 * 900000 + 60000);
    advance(b, until - 2001 - clock_ms(&b->gateway.clock));
    assert_false(ask_now(b, &a[5], plan, 1));
    assert_int_equal(a[5].refused.until_ms, until);
    advance(b, 2001);
    assert_true(ask_now(b, &a[5], plan, 1));
    settle(b, &a[5], 1);
    plan_free(&plan);
    free_bench(b);
}

static void what_did_not_count_is_free_again(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend both[] = {DAY("messages", 3), {.key = BYTES("people"), .window_s = 3600, .cap = 10, .recipients = true},
                           {.key = BYTES("tries"), .window_s = 60, .cap = 200, .attempts = true, .recipients = true}};
    const struct plan *plan = plan_of(both, 3);
    struct asked a;
    for (int i = 0; i < 30; i++) { // refused by the peer each time
        assert_true(ask_now(b, &a, plan, 3));
        grant_settle(&a.grant, 0, 3);
    }
    assert_true(ask_now(b, &a, plan, 10));
    grant_settle(&a.grant, 4, 10); // four of ten were accepted
    assert_false(ask_now(b, &a, plan, 7));
    assert_int_equal(a.refused.used, 4);
    assert_int_equal(a.refused.room, 6);
    assert_true(ask_now(b, &a, plan, 6));
    settle(b, &a, 6);
    assert_false(ask_now(b, &a, plan, 1)); // 90 + 10 + 6 tries, and ten people
    stop_bench(b);
    for (size_t i = 0; i < plan->spend_count; i++) { // and the disk knows no more than that
        const struct spend *s = &plan->spends[i];
        assert_int_equal(spent_on_disk(b, s), s->window_s == 60 ? 106 : s->window_s == 3600 ? 10 : 2);
    }
    plan_free(&plan);
    free_bench(b);
}

static void all_or_none(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct asked a;
    for (int full = 0; full < 4; full++) { // the one that is full is asked first, later, last; and lives anywhere
        char names[4][16];
        struct spend spends[4];
        for (int i = 0; i < 4; i++) {
            snprintf(names[i], sizeof names[i], "%c%d", 'a' + i, full);
            spends[i] = (struct spend)MINUTE("", 100);
            spends[i].key = bytes_of(names[i]);
        }
        spends[full].cap = 0;
        const struct plan *plan = plan_of(spends, 4);
        assert_int_equal(plan->spend_count, 4);
        for (int i = 0; i < 200; i++) {
            assert_false(ask_now(b, &a, plan, 1));
            assert_int_equal(a.refused.spend->cap, 0);
        }
        plan_free(&plan);
        spends[full].cap = 100;
        plan = plan_of(spends, 4);
        struct asked each[100];
        for (int i = 0; i < 100; i++) assert_true(ask_now(b, &each[i], plan, 1));
        for (int i = 0; i < 100; i++) grant_settle(&each[i].grant, 1, 1);
        plan_free(&plan);
    }
    free_bench(b);
}

static void many_asks_share_a_commit(void **state) {
    (void)state;
    enum { MANY = 2000 };
    struct bench *b = new_bench();
    struct spend day[] = {DAY("acme", MANY - 500)};
    const struct plan *plan = plan_of(day, 1);
    static struct asked a[MANY];
    size_t answers = 0, granted = 0;
    uint64_t before = kit_stats(&b->kit).ops;
    for (int i = 0; i < MANY; i++) ask(b, &a[i], (unsigned)i % WORKERS, plan, 1, &answers);
    turn_until(b, &answers, MANY);
    assert_true(kit_stats(&b->kit).ops - before <= 20);
    for (int i = 0; i < MANY; i++)
        if (a[i].granted) {
            granted++;
            grant_settle(&a[i].grant, i % 2, 1);
        }
    assert_int_equal(granted, MANY - 500);
    stop_bench(b);
    assert_int_equal(spent_on_disk(b, plan->spends), (MANY - 500) / 2);
    plan_free(&plan);
    free_bench(b);
}

static void one_account_many_caps(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend low[] = {DAY("acme", 2)}, high[] = {DAY("acme", 4)};
    const struct plan *few = plan_of(low, 1), *more = plan_of(high, 1);
    struct asked a[5];
    assert_true(ask_now(b, &a[0], few, 1));
    assert_true(ask_now(b, &a[1], few, 1));
    assert_false(ask_now(b, &a[4], few, 1));
    assert_true(ask_now(b, &a[2], more, 1));
    assert_true(ask_now(b, &a[3], more, 1));
    assert_false(ask_now(b, &a[4], more, 1));
    for (int i = 0; i < 4; i++) settle(b, &a[i], 1);
    plan_free(&few);
    plan_free(&more);
    free_bench(b);
}

static void a_moment_is_waited_for(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend rate[] = {SECOND("acme", 10)};
    const struct plan *plan = plan_of(rate, 1);
    struct asked a[40];
    size_t answers = 0;
    for (int i = 0; i < 40; i++) ask(b, &a[i], (unsigned)i % WORKERS, plan, 1, &answers);
    for (int i = 0; i < 10; i++) turn(b);
    assert_int_equal(answers, 40 - 10); // ten go, ten will, the others would have to wait for too long
    size_t granted = 0;
    for (int i = 0; i < 40; i++) {
        granted += a[i].granted;
        if (a[i].granted) settle(b, &a[i], 1);
    }
    assert_int_equal(granted, 10);
    advance(b, 1030);
    turn_until(b, &answers, 40);
    for (int i = 0; i < 40; i++)
        if (a[i].granted && a[i].grant) settle(b, &a[i], 1);
    assert_int_equal(spent_on_disk(b, plan->spends), 0); // such short ones are never written
    plan_free(&plan);
    free_bench(b);
}

static void cancelled_asks_leave_nothing_behind(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend both[] = {DAY("acme", 50), MINUTE("acme", 50)};
    const struct plan *plan = plan_of(both, 2);
    struct asked a;
    for (int i = 0; i < 300; i++) {
        ask(b, &a, (unsigned)i % WORKERS, plan, 1, NULL);
        for (int k = 0; k < i % 3; k++) turn(b);
        if (!a.answered) grant_cancel(&a.grant);
        else if (a.granted) settle(b, &a, 0);
    }
    stop_bench(b);
    assert_int_equal(spent_on_disk(b, &plan->spends[0]), 0);
    assert_int_equal(spent_on_disk(b, &plan->spends[1]), 0);
    plan_free(&plan);
    free_bench(b);
}

static void a_hanging_peer_does_not_hold_a_rate_for_ever(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend rate[] = {MINUTE("acme", 2)};
    const struct plan *plan = plan_of(rate, 1);
    struct asked hangs[2], a;
    assert_true(ask_now(b, &hangs[0], plan, 1));
    assert_true(ask_now(b, &hangs[1], plan, 1));
    advance(b, 59000);
    assert_false(ask_now(b, &a, plan, 1));
    advance(b, 2000); // taken for spent
    assert_false(ask_now(b, &a, plan, 1));
    advance(b, 63000);
    assert_true(ask_now(b, &a, plan, 1));
    settle(b, &a, 1);
    settle(b, &hangs[0], 1); // it ended just now: counted from now on
    settle(b, &hangs[1], 0);
    assert_false(ask_now(b, &a, plan, 1));
    assert_int_equal(a.refused.used, 2);
    plan_free(&plan);
    free_bench(b);
}

static void what_is_in_flight_moves_on_with_the_time(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend rate[] = {MINUTE("acme", 2)};
    const struct plan *plan = plan_of(rate, 1), *held = plan;
    struct asked a;
    assert_true(ask_now(b, &a, plan, 1));
    for (int i = 0; i < 40; i++) {
        advance(b, 1000);
        for (int k = 0; k < 50; k++) turn(b);
    }
    drop_bench(b); // 40 seconds after it was granted; the peer may have taken it just now
    free(a.grant);
    plan_free(&held);
    open_bench(b);
    clock_shift(&b->gateway.clock, 59000);
    assert_int_equal(spent_on_disk(b, plan->spends), 1);
    clock_shift(&b->gateway.clock, 4000);
    assert_int_equal(spent_on_disk(b, plan->spends), 0);
    plan_free(&plan);
    free_bench(b);
}

static void old_rows_go(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend many[] = {DAY("one", 9), DAY("two", 9), MINUTE("three", 9)};
    for (size_t i = 0; i < 3; i++) {
        const struct plan *plan = plan_of(&many[i], 1);
        struct asked a;
        assert_true(ask_now(b, &a, plan, 1));
        settle(b, &a, 1);
        plan_free(&plan);
    }
    stop_bench(b);
    drop_bench(b);
    clock_shift(&b->gateway.clock, 3 * 86400000ll);
    open_bench(b);
    for (int i = 0; i < WORKERS; i++) ledger_recover(b->workers[i].ledger);
    for (size_t left = 1; left;) {
        struct err err;
        struct reader *reader = reader_new(b->kit.store, &err);
        struct bytes row;
        left = 0;
        turn(b);
        reader_begin(reader);
        for (size_t i = 0; i < 3; i++) {
            char name[32];
            snprintf(name, sizeof name, "%s/%u", many[i].key.at, many[i].window_s);
            left += reader_get(reader, TABLE_LEDGER, bytes_of(name), &row);
        }
        reader_end(reader);
        reader_free(&reader);
    }
    free_bench(b);
}

static bool work_spoil(struct job *job, struct txn *txn, struct err *err) {
    (void)job;
    return txn_put(txn, TABLE_LEDGER, BYTES("acme/86400"), BYTES("what is this"), err);
}

static void a_peer_that_has_no_room(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend limits[] = {DAY("acme", 100), SECOND("acme", 5)};
    const struct plan *plan = plan_of(limits, 2);
    struct asked a;
    assert_true(ask_now(b, &a, plan, 1));
    settle(b, &a, 1);
    int64_t until = start_ms + 3600000;
    for (int i = 0; i < 2; i++) ledger_exhaust(&b->gateway, plan->spends[i].account, until);
    for (int i = 0; i < 5; i++) turn(b);
    assert_false(ask_now(b, &a, plan, 1));
    assert_int_equal(a.refused.until_ms, until);
    // It is known after a restart, for windows that are on disk.
    stop_bench(b);
    drop_bench(b);
    open_bench(b);
    const struct plan *day = plan_of(&limits[0], 1);
    assert_false(ask_now(b, &a, day, 1));
    assert_int_equal(a.refused.until_ms, until);
    assert_int_equal(a.refused.used, 1);
    advance(b, until - 3000 - clock_ms(&b->gateway.clock)); // more than the two seconds that an ask waits
    assert_false(ask_now(b, &a, day, 1));
    advance(b, 3000);
    assert_true(ask_now(b, &a, day, 1));
    settle(b, &a, 1);
    plan_free(&day);
    plan_free(&plan);
    free_bench(b);
}

static void damage_counts_as_spent(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend day[] = {DAY("acme", 100)};
    const struct plan *plan = plan_of(day, 1);
    struct asked a;
    struct job spoil = {.work = work_spoil};
    assert_true(job_run(&spoil, b->kit.store));
    b->gateway.log.level = LOG_FAULT - 1;
    assert_false(ask_now(b, &a, plan, 1));
    advance(b, 2 * 86400000ll);
    assert_true(ask_now(b, &a, plan, 1));
    settle(b, &a, 1);
    plan_free(&plan);
    free_bench(b);
}

// ---- days of it, with crashes: nobody's window is ever above the cap, whatever the process did

static uint64_t seed = 7;
static uint64_t dice(uint64_t sides) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % sides;
}

enum { EVENTS = 40000, FLYING = 12 };
struct flight {
    struct asked asked;
    int64_t began, ends;
};
static int64_t events[EVENTS];
static size_t event_count;

static int by_time(const void *a, const void *b) { return (*(const int64_t *)a > *(const int64_t *)b) - (*(const int64_t *)a < *(const int64_t *)b); }

static void count_at_peer(int64_t from, int64_t to) {
    assert_true(event_count < EVENTS);
    events[event_count++] = from + (int64_t)dice((uint64_t)(to - from) + 1);
}

static void land(struct bench *b, struct flight *f, size_t *landed) {
    int64_t now = clock_ms(&b->gateway.clock);
    bool counts = dice(5) != 0;
    if (counts) count_at_peer(f->began, now);
    grant_settle(&f->asked.grant, counts, 1);
    ++*landed;
}

static void crash(struct bench *b, const struct plan *plan, struct flight *flights, size_t *count) {
    int64_t now = clock_ms(&b->gateway.clock);
    for (size_t i = 0; i < *count; i++)
        if (dice(2)) count_at_peer(flights[i].began, now); // nobody will ever know
    drop_bench(b);
    for (size_t i = 0; i < *count; i++) { // memory that dies with a process
        free(flights[i].asked.grant);
        const struct plan *held = plan;
        plan_free(&held);
    }
    *count = 0;
    open_bench(b);
}

static void days_of_crashes(void **state) {
    (void)state;
    struct bench *b = new_bench();
    struct spend spends[] = {DAY("acme", 150), {.key = BYTES("acme"), .window_s = 3600, .cap = 20}, MINUTE("acme", 4)};
    const struct plan *plan = plan_of(spends, 3);
    struct flight flights[FLYING];
    size_t count = 0, landed = 0, crashes = 0;
    while (clock_ms(&b->gateway.clock) < start_ms + 5 * 86400000ll) {
        advance(b, (int64_t)dice(dice(10) == 0 ? 600000 : 30000));
        for (size_t i = count; i-- > 0;)
            if (flights[i].ends <= clock_ms(&b->gateway.clock)) {
                land(b, &flights[i], &landed);
                flights[i] = flights[--count];
            }
        while (count < FLYING) {
            struct flight f = {.began = clock_ms(&b->gateway.clock)};
            if (!ask_now(b, &f.asked, plan, 1)) break;
            f.ends = f.began + (int64_t)dice(20000);
            flights[count++] = f;
        }
        if (dice(60) == 0) {
            crash(b, plan, flights, &count);
            crashes++;
        }
    }
    for (size_t i = 0; i < count; i++) land(b, &flights[i], &landed);
    qsort(events, event_count, sizeof *events, by_time);
    for (size_t s = 0; s < 3; s++)
        for (size_t first = 0, i = 0; i < event_count; i++) {
            while (events[first] <= events[i] - (int64_t)spends[s].window_s * 1000) first++;
            if (i - first + 1 > spends[s].cap)
                fail_msg("%zu in %u s, %d are allowed", i - first + 1, spends[s].window_s, (int)spends[s].cap);
        }
    assert_true(crashes > 20);
    assert_true(event_count > 300);
    plan_free(&plan);
    free_bench(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(up_to_the_cap_and_not_one_more),
        cmocka_unit_test(what_did_not_count_is_free_again),
        cmocka_unit_test(all_or_none),
        cmocka_unit_test(many_asks_share_a_commit),
        cmocka_unit_test(one_account_many_caps),
        cmocka_unit_test(a_moment_is_waited_for),
        cmocka_unit_test(cancelled_asks_leave_nothing_behind),
        cmocka_unit_test(a_hanging_peer_does_not_hold_a_rate_for_ever),
        cmocka_unit_test(what_is_in_flight_moves_on_with_the_time),
        cmocka_unit_test(old_rows_go),
        cmocka_unit_test(a_peer_that_has_no_room),
        cmocka_unit_test(damage_counts_as_spent),
        cmocka_unit_test(days_of_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
