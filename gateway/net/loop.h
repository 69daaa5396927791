// SPDX-License-Identifier: MIT
// loop: one thread's event loop: descriptors, timers, and work posted from other threads. [libevent]
//
// Everything made on a loop (timer, watch, conn, dns) belongs to the thread that runs it and is touched by no
// other; only loop_post and loop_stop may be called from anywhere. A callback may free the very timer or watch
// that called it. Nothing calls back before the function that asked for it has returned.
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct timer;
struct watch;

struct loop *loop_new(struct err *err); // NULL on failure. SIGPIPE is ignored from here on, in the whole process
// A loop that never waits: when nothing is posted and `idle` has nothing to do either (it says whether it did something: the work
// that in life another thread does), the clock, which must be frozen, is moved to the next timer. Its run ends too where none is
// left. For days played through in one thread: posts come from that thread only, and descriptors are never looked at.
struct loop *loop_new_virtual(struct clock *clock, bool (*idle)(void *arg), void *arg, struct err *err);
void loop_run(struct loop *loop);       // until loop_stop
void loop_stop(struct loop *loop);      // any thread; the loop ends after the callbacks under way
// After loop_run returned, while all that tasks touch is still there: runs what was posted. False: there was nothing.
bool loop_drain(struct loop *loop);
void loop_free(struct loop **loop);     // after loop_run returned; posted tasks that did not run are run first
uint64_t loop_turns(const struct loop *loop); // any thread; grows at least once a second while the loop is alive
int64_t loop_now_ms(struct loop *loop);       // monotonic, read once a turn: for deadlines on this loop only

// A task is embedded in what is handed over; `run` gets it back and owns it.
struct task {
    struct queue_node node; // first: a task is its queue node
    void (*run)(struct task *task);
};
void loop_post(struct loop *loop, struct task *task); // any thread, also the loop's own ("soon")

struct timer *timer_new(struct loop *loop, void (*fire)(void *arg), void *arg);
void timer_set(struct timer *timer, int64_t ms); // fires once, ms from now; replaces an earlier setting
void timer_stop(struct timer *timer);
void timer_free(struct timer **timer); // NULL inside is fine

enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch *watch_new(struct loop *loop, int fd, void (*ready)(void *arg, int what), void *arg);
void watch_want(struct watch *watch, int what); // WATCH_READ | WATCH_WRITE, level triggered; 0: neither
void watch_free(struct watch **watch);          // does not close fd

// An errand is embedded in its owner and runs once, on the loop's thread, unless cancelled before. A zeroed one is idle;
// `run` is set by the owner and may free the owner.
struct errand {
    struct errand *next, *prev;
    void (*run)(struct errand *errand);
};
void loop_at_turn_end(struct loop *loop, struct errand *errand); // after the callbacks of this turn; set twice is set once
void loop_at_free(struct loop *loop, struct errand *errand);     // in loop_free: for what the loop was left to finish
void errand_cancel(struct errand *errand);                       // idle is fine

// Memory lent to whoever is called by the loop right now, LOOP_SCRATCH bytes; what is in it is lost with the next callback.
enum { LOOP_SCRATCH = 65536 };
char *loop_scratch(struct loop *loop);
