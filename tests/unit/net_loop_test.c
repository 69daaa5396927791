// SPDX-License-Identifier: MIT
#include "net/loop.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct count {
    struct loop *loop;
    int calls, until;
    struct timer *timer;
    struct watch *watch;
};

static void counted(struct count *c) {
    if (++c->calls >= c->until) loop_stop(c->loop);
}

static void on_fire(void *arg) {
    counted(arg);
}

static void fires_once(void **state) {
    struct loop *loop = *state;
    struct count c = {.loop = loop, .until = 1}, quick = {.loop = loop, .until = 99}, never = quick;
    struct timer *last = timer_new(loop, on_fire, &c);
    struct timer *first = timer_new(loop, on_fire, &quick), *stopped = timer_new(loop, on_fire, &never);
    timer_set(first, 60000);
    timer_set(first, 1); // replaces
    timer_set(stopped, 1);
    timer_set(last, 20);
    timer_stop(stopped);
    assert_int_equal(quick.calls, 0);
    loop_run(loop);
    assert_int_equal(c.calls, 1);
    assert_int_equal(quick.calls, 1);
    assert_int_equal(never.calls, 0);
    timer_set(first, -5); // the past is now
    timer_set(last, 5);
    loop_run(loop);
    assert_int_equal(quick.calls, 2);
    timer_free(&first);
    timer_free(&last);
    timer_free(&stopped);
    timer_free(&stopped);
    assert_null(stopped);
}

static void on_fire_free(void *arg) {
    struct count *c = arg;
    timer_free(&c->timer);
    counted(c);
}

static void timer_frees_itself(void **state) {
    struct count c = {.loop = *state, .until = 1};
    c.timer = timer_new(c.loop, on_fire_free, &c);
    timer_set(c.timer, 0);
    loop_run(c.loop);
    assert_int_equal(c.calls, 1);
    assert_null(c.timer);
}

static void on_ready_free(void *arg, int what) {
    struct count *c = arg;
    assert_true(what == WATCH_READ || what == WATCH_WRITE);
    watch_free(&c->watch); // the other direction is ready in the same turn and must not be told
    counted(c);
}

static void watch_frees_itself(void **state) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    struct count c = {.loop = *state, .until = 1};
    c.watch = watch_new(c.loop, pair[0], on_ready_free, &c);
    watch_want(c.watch, WATCH_READ | WATCH_WRITE);
    loop_run(c.loop);
    assert_int_equal(c.calls, 1);
    close(pair[0]);
    close(pair[1]);
}

static void on_ready_count(void *arg, int what) {
    struct count *c = arg;
    c->calls += what;
    if (c->calls >= c->until) loop_stop(c->loop);
}

static void watch_wants(void **state) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    struct count c = {.loop = *state, .until = WATCH_READ * 3};
    c.watch = watch_new(c.loop, pair[0], on_ready_count, &c);
    watch_want(c.watch, WATCH_READ);
    loop_run(c.loop); // level triggered: told in three turns though nothing was read
    assert_int_equal(c.calls, 3);
    struct count end = {.loop = *state, .until = 1};
    watch_want(c.watch, 0);
    struct timer *t = timer_new(c.loop, on_fire, &end);
    timer_set(t, 5);
    loop_run(c.loop);
    assert_int_equal(c.calls, 3);
    c = (struct count){.loop = *state, .until = WATCH_WRITE, .watch = c.watch};
    watch_want(c.watch, WATCH_WRITE);
    loop_run(c.loop);
    assert_int_equal(c.calls, WATCH_WRITE);
    timer_free(&t);
    watch_free(&c.watch);
    close(pair[0]);
    close(pair[1]);
}

struct job {
    struct task task; // first
    struct count *count;
    int from, number;
    int *seen; // last number of each putter
};

static void on_job(struct task *task) {
    struct job *job = (struct job *)task;
    assert_int_equal(job->number, job->seen[job->from] + 1);
    job->seen[job->from] = job->number;
    counted(job->count);
    free(job);
}

enum { PUTTERS = 4, JOBS = 5000 };

struct putter {
    struct count *count;
    int *seen, from;
};

static void *put_jobs(void *arg) {
    struct putter *p = arg;
    for (int i = 1; i <= JOBS; i++) {
        struct job *job = must_alloc(sizeof *job);
        *job = (struct job){
            .task.run = on_job, .count = p->count, .from = p->from, .number = i, .seen = p->seen};
        loop_post(p->count->loop, &job->task);
        if (i % 64 == 0) sched_yield(); // lets the loop fall asleep now and then
    }
    return NULL;
}

static void posts_from_threads(void **state) {
    struct count c = {.loop = *state, .until = PUTTERS * JOBS};
    int seen[PUTTERS] = {0};
    pthread_t threads[PUTTERS];
    struct putter putters[PUTTERS];
    for (int i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){&c, seen, i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_jobs, &putters[i]), 0);
    }
    loop_run(c.loop);
    for (int i = 0; i < PUTTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(seen[i], JOBS);
    }
}

struct relay {
    struct task task; // first
    struct loop *loop, *other;
    int hops;
};

static void on_hop(struct task *task) {
    struct relay *r = (struct relay *)task;
    struct loop *here = r->loop;
    r->loop = r->other;
    r->other = here;
    if (++r->hops < 2000) {
        loop_post(r->loop, &r->task);
        return;
    }
    loop_stop(r->loop);
    loop_stop(here);
}

static void *run_loop(void *arg) {
    loop_run(arg);
    return NULL;
}

// Each post finds the other loop asleep or falling asleep: a wake that got lost would hang here.
static void no_wake_is_lost(void **state) {
    struct loop *other = loop_new(NULL);
    struct relay r = {.task.run = on_hop, .loop = *state, .other = other};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_loop, other), 0);
    loop_post(*state, &r.task);
    loop_run(*state);
    pthread_join(thread, NULL);
    assert_int_equal(r.hops, 2000);
    loop_free(&other);
}

static void on_soon(struct task *task) {
    struct job *job = (struct job *)task;
    counted(job->count);
}

static void runs_at_free(void **state) {
    (void)state;
    struct loop *loop = loop_new(NULL);
    struct count c = {.loop = loop, .until = 99};
    struct job job = {.task.run = on_soon, .count = &c};
    loop_post(loop, &job.task);
    assert_int_equal(c.calls, 0); // not from inside
    loop_free(&loop);
    assert_int_equal(c.calls, 1);
    assert_null(loop);
    loop_free(&loop);
}

static void drains_what_is_posted(void **state) {
    struct count c = {.loop = *state, .until = 99};
    struct job job = {.task.run = on_soon, .count = &c};
    assert_false(loop_drain(*state));
    loop_post(*state, &job.task);
    assert_true(loop_drain(*state));
    assert_int_equal(c.calls, 1);
    assert_false(loop_drain(*state));
}

static void stop_before_run(void **state) {
    loop_stop(*state);
    loop_run(*state);
    struct count c = {.loop = *state, .until = 1};
    struct timer *t = timer_new(*state, on_fire, &c);
    timer_set(t, 1);
    loop_run(*state); // and the stop was used up
    assert_int_equal(c.calls, 1);
    timer_free(&t);
}

struct chore {
    struct errand errand; // first
    struct count *count;
    struct chore *cancels, *sets;
    uint64_t turn;
};

static void on_chore(struct errand *errand) {
    struct chore *chore = (struct chore *)errand;
    chore->turn = loop_turns(chore->count->loop);
    if (chore->cancels) errand_cancel(&chore->cancels->errand);
    if (chore->sets) loop_at_turn_end(chore->count->loop, &chore->sets->errand);
    chore->sets = NULL;
    counted(chore->count);
}

static void errands(void **state) {
    struct count c = {.loop = *state, .until = 3};
    struct chore cancelled = {{.run = on_chore}, &c, NULL, NULL, 0};
    struct chore a = {{.run = on_chore}, &c, &cancelled, &a, 0}, b = {{.run = on_chore}, &c, NULL, NULL, 0};
    loop_at_turn_end(*state, &a.errand);
    loop_at_turn_end(*state, &b.errand);
    loop_at_turn_end(*state, &cancelled.errand);
    loop_at_turn_end(*state, &a.errand); // set twice is set once
    loop_run(*state);
    assert_int_equal(c.calls, 3); // a, b, and a again
    assert_int_equal(a.turn, b.turn + 1);
    errand_cancel(&b.errand);
}

// Looks from outside, as the watchdog does, until an idle loop has turned twice; gives up after a generous while.
static void *watch_turns(void *arg) {
    struct loop *loop = arg;
    uint64_t before = loop_turns(loop);
    bool alive = false;
    for (int i = 0; i < 3000 && !alive; i++) {
        usleep(10000);
        alive = loop_turns(loop) >= before + 2;
    }
    loop_stop(loop);
    return alive ? loop : NULL;
}

static void has_a_heartbeat(void **state) {
    pthread_t watcher;
    void *alive = NULL;
    assert_int_equal(pthread_create(&watcher, NULL, watch_turns, *state), 0);
    loop_run(*state);
    pthread_join(watcher, &alive);
    assert_non_null(alive);
}

static int setup(void **state) {
    *state = loop_new(NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state) {
    loop_free((struct loop **)state);
    return 0;
}

#define on_loop(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        on_loop(fires_once),
        on_loop(timer_frees_itself),
        on_loop(watch_frees_itself),
        on_loop(watch_wants),
        on_loop(posts_from_threads),
        on_loop(no_wake_is_lost),
        cmocka_unit_test(runs_at_free),
        on_loop(drains_what_is_posted),
        on_loop(stop_before_run),
        on_loop(errands),
        on_loop(has_a_heartbeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
