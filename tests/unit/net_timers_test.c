// SPDX-License-Identifier: MIT
// The heap of timers, and the loop whose clock it moves.
#include "net/loop.h"
#include "net/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MANY = 500 };

// A small generator of our own, so that a failure can be had again.
static uint32_t next_number(uint32_t *seed) { return (*seed = *seed * 1664525 + 1013904223) >> 8; }

static void comes_in_order(void **state) {
    (void)state;
    static struct alarm alarms[MANY];
    struct timers t = {0};
    uint32_t seed = 7;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < MANY; i++) timers_set(&t, &alarms[i], next_number(&seed) % 50);
        for (int i = 0; i < MANY / 4; i++) timers_drop(&t, &alarms[next_number(&seed) % MANY]);
        for (int i = 0; i < MANY / 4; i++) timers_set(&t, &alarms[next_number(&seed) % MANY], next_number(&seed) % 50);
        struct alarm last = {.at_ms = -1};
        size_t left = t.count;
        assert_true(left >= MANY / 2);
        for (struct alarm *a; (a = timers_first(&t)); left--) {
            assert_true(a->at_ms > last.at_ms || (a->at_ms == last.at_ms && a->order > last.order));
            last = *a;
            timers_drop(&t, a);
            assert_int_equal(a->place, 0);
        }
        assert_int_equal(left, 0);
    }
    timers_release(&t);
}

struct play {
    struct loop *loop;
    struct clock clock;
    struct timer *a, *b;
    struct task task;
    char said[64];
    int idle;
};

static void say(struct play *p, char c) { p->said[strlen(p->said)] = c; }

static void on_a(void *arg) {
    struct play *p = arg;
    say(p, 'a');
    if (clock_ms(&p->clock) < 1000 + 3 * 3600000) timer_set(p->a, 3600000);
    else timer_free(&p->a);
}

static void on_b(void *arg) {
    struct play *p = arg;
    say(p, 'b');
    loop_post(p->loop, &p->task);
}

static void on_task(struct task *task) { say((struct play *)((char *)task - offsetof(struct play, task)), 't'); }

// Has something to do once after everything that happened.
static bool on_idle(void *arg) {
    struct play *p = arg;
    size_t said = strlen(p->said);
    if (!said || p->said[said - 1] == '.') return false;
    say(p, '.');
    p->idle++;
    return true;
}

static void hours_pass_in_no_time(void **state) {
    (void)state;
    struct play p = {.clock = {.frozen_ms = 1000}, .task = {.run = on_task}};
    p.loop = loop_new_virtual(&p.clock, on_idle, &p, NULL);
    p.a = timer_new(p.loop, on_a, &p);
    p.b = timer_new(p.loop, on_b, &p);
    timer_set(p.a, 3600000);
    timer_set(p.b, 2 * 3600000); // set before the second of a's: comes before it
    int64_t began = clock_monotonic_us();
    loop_run(p.loop); // until nothing is left to wait for
    assert_true(clock_monotonic_us() - began < 60 * 1000000);
    assert_string_equal(p.said, "a.bt.a.a.");
    assert_int_equal(clock_ms(&p.clock), 1000 + 3 * 3600000);
    assert_int_equal(loop_now_ms(p.loop), clock_ms(&p.clock));
    assert_int_equal(p.idle, 4);
    assert_null(p.a);
    timer_stop(p.b);
    timer_free(&p.b);
    loop_free(&p.loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(comes_in_order), cmocka_unit_test(hours_pass_in_no_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
