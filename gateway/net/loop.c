// SPDX-License-Identifier: MIT
#include "net/loop.h"

#include "base/bug.h"
#include "base/bytes.h"
#include "net/timers.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
    struct event_base *base;
    struct event woken;     // the eventfd that other threads write to
    struct event heartbeat; // makes a turn a second where nothing else does
    int wake_fd;
    bool running;
    struct queue posted;
    _Atomic bool stopping;
    _Atomic bool
        asleep; // about to wait or waiting: who hands something over must wake it, and takes the flag away
    _Atomic uint64_t turns;
    int64_t now_ms;            // 0: not asked for in this turn
    struct errand at_turn_end; // rings, these being their heads
    struct errand at_free;
    char *scratch;
    struct clock *clock; // of a virtual loop, else NULL
    struct timers timers;
    bool (*idle)(void *arg);
    void *idle_arg;
};

struct timer {
    struct alarm alarm; // first; of a virtual loop
    struct loop *loop;
    struct event event;
    void (*fire)(void *arg);
    void *arg;
};

struct watch {
    struct loop *loop;
    struct event readable, writable;
    int want;
    void (*ready)(void *arg, int what);
    void *arg;
};

// Every callback comes through here first, so that a post from within one costs no system call.
static void woke(struct loop *l) {
    if (atomic_load_explicit(&l->asleep, memory_order_relaxed)) atomic_store(&l->asleep, false);
}

// The exchanges on both sides are what orders "I put something there" before "was it asleep?" against "I am
// asleep" before "is there something?" (see rest()).
static void wake(struct loop *l) {
    if (!atomic_exchange(&l->asleep, false)) return;
    uint64_t one = 1;
    ssize_t n = write(l->wake_fd, &one, sizeof one);
    (void)n; // EAGAIN only when 2^64 wakes are unread: it is awake then
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    woke(arg);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    woke(arg);
}

static void ring_init(struct errand *head) {
    head->next = head->prev = head;
}

static void ring_add(struct errand *head, struct errand *e) {
    if (e->next) return;
    e->prev = head->prev;
    e->next = head;
    head->prev->next = e;
    head->prev = e;
}

void errand_cancel(struct errand *e) {
    if (!e->next) return;
    e->next->prev = e->prev;
    e->prev->next = e->next;
    e->next = e->prev = NULL;
}

// Runs those that were set when it was called; what they set themselves waits for the next turn.
static void ring_run(struct errand *head) {
    struct errand now;
    if (head->next == head) return;
    now = *head;
    now.next->prev = now.prev->next = &now;
    ring_init(head);
    while (now.next != &now) {
        struct errand *e = now.next;
        errand_cancel(e);
        e->run(e);
    }
}

static void posted_run(struct loop *l) {
    if (queue_is_empty(&l->posted)) return;
    for (struct queue_node *node = queue_take_all(&l->posted), *next; node; node = next) {
        next = node->next;
        struct task *task = (struct task *)node;
        task->run(task);
    }
}

static struct event_base *base_new(void) {
    struct event_config *config = event_config_new();
    bug_if(!config);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_require_features(config, EV_FEATURE_O1);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct loop *loop_new(struct err *err) {
    // OpenSSL writes to sockets with write(2), which has no MSG_NOSIGNAL.
    signal(SIGPIPE, SIG_IGN);
    struct event_base *base = base_new();
    if (!base) {
        err_errno(err, "event loop");
        return NULL;
    }
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        err_errno(err, "event loop: eventfd");
        event_base_free(base);
        return NULL;
    }
    struct loop *l = must_alloc(sizeof *l);
    l->base = base;
    l->wake_fd = fd;
    ring_init(&l->at_turn_end);
    ring_init(&l->at_free);
    event_assign(&l->woken, base, fd, EV_READ | EV_PERSIST, on_wake, l);
    event_assign(&l->heartbeat, base, -1, EV_PERSIST, on_heartbeat, l);
    bug_if(event_add(&l->woken, NULL) != 0);
    const struct timeval second = {.tv_sec = 1};
    bug_if(event_add(&l->heartbeat, &second) != 0);
    return l;
}

struct loop *loop_new_virtual(struct clock *clock, bool (*idle)(void *arg), void *arg, struct err *err) {
    struct loop *l = loop_new(err);
    bug_if(!atomic_load(&clock->frozen_ms));
    if (!l) return NULL;
    l->clock = clock;
    l->idle = idle;
    l->idle_arg = arg;
    return l;
}

// One thing that has come due; false: there is nothing any more. Time does not go back where a clock was set ahead by others.
static bool go_on(struct loop *l) {
    if (!queue_is_empty(&l->posted) || l->at_turn_end.next != &l->at_turn_end || atomic_load(&l->stopping)) return true;
    if (l->idle && l->idle(l->idle_arg)) return true;
    struct timer *t = (struct timer *)timers_first(&l->timers);
    if (!t) return false;
    if (t->alarm.at_ms > atomic_load(&l->clock->frozen_ms)) atomic_store(&l->clock->frozen_ms, t->alarm.at_ms);
    timers_drop(&l->timers, &t->alarm);
    t->fire(t->arg);
    return true;
}

// Waits for events and runs their callbacks, unless there is work already: then it only looks.
static void rest(struct loop *l) {
    atomic_exchange(&l->asleep, true);
    bool busy =
        !queue_is_empty(&l->posted) || l->at_turn_end.next != &l->at_turn_end || atomic_load(&l->stopping);
    if (busy) atomic_store(&l->asleep, false);
    l->now_ms = 0;
    bug_if(event_base_loop(l->base, EVLOOP_ONCE | (busy ? EVLOOP_NONBLOCK : 0)) < 0);
    woke(l);
    atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);
}

void loop_run(struct loop *l) {
    l->running = true;
    l->now_ms = 0;
    for (;;) {
        posted_run(l);
        ring_run(&l->at_turn_end);
        if (atomic_load(&l->stopping)) break;
        if (!l->clock) rest(l);
        else if (!go_on(l)) break;
    }
    atomic_store(&l->stopping, false);
    l->running = false;
}

void loop_stop(struct loop *l) {
    atomic_store(&l->stopping, true);
    wake(l);
}

bool loop_drain(struct loop *l) {
    if (queue_is_empty(&l->posted)) return false;
    posted_run(l);
    return true;
}

void loop_free(struct loop **loop) {
    struct loop *l = *loop;
    if (!l) return;
    do {
        posted_run(l);
        ring_run(&l->at_turn_end);
        ring_run(&l->at_free);
    } while (!queue_is_empty(&l->posted) || l->at_free.next != &l->at_free ||
             l->at_turn_end.next != &l->at_turn_end);
    event_del(&l->woken);
    event_del(&l->heartbeat);
    event_base_free(l->base);
    close(l->wake_fd);
    timers_release(&l->timers);
    free(l->scratch);
    free(l);
    *loop = NULL;
}

uint64_t loop_turns(const struct loop *l) {
    return atomic_load_explicit(&l->turns, memory_order_relaxed);
}

int64_t loop_now_ms(struct loop *l) {
    if (l->clock) return clock_ms(l->clock);
    if (!l->running) return clock_monotonic_us() / 1000;
    if (!l->now_ms) l->now_ms = clock_monotonic_us() / 1000;
    return l->now_ms;
}

void loop_post(struct loop *l, struct task *task) {
    queue_put(&l->posted, &task->node);
    wake(l);
}

void loop_at_turn_end(struct loop *l, struct errand *errand) {
    ring_add(&l->at_turn_end, errand);
}

void loop_at_free(struct loop *l, struct errand *errand) {
    ring_add(&l->at_free, errand);
}

char *loop_scratch(struct loop *l) {
    if (!l->scratch) l->scratch = must_alloc(LOOP_SCRATCH);
    return l->scratch;
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct timer *t = arg;
    woke(t->loop);
    t->fire(t->arg);
}

struct timer *timer_new(struct loop *loop, void (*fire)(void *arg), void *arg) {
    struct timer *t = must_alloc(sizeof *t);
    *t = (struct timer){.loop = loop, .fire = fire, .arg = arg};
    event_assign(&t->event, loop->base, -1, 0, on_timer, t);
    return t;
}

void timer_set(struct timer *t, int64_t ms) {
    if (ms < 0) ms = 0;
    if (t->loop->clock) return timers_set(&t->loop->timers, &t->alarm, clock_ms(t->loop->clock) + ms);
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    bug_if(event_add(&t->event, &wait) != 0);
}

void timer_stop(struct timer *t) {
    timers_drop(&t->loop->timers, &t->alarm);
    event_del(&t->event);
}

void timer_free(struct timer **timer) {
    struct timer *t = *timer;
    if (!t) return;
    timer_stop(t);
    free(t);
    *timer = NULL;
}

static void on_ready(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    struct watch *w = arg;
    woke(w->loop);
    w->ready(w->arg, what & EV_READ ? WATCH_READ : WATCH_WRITE);
}

struct watch *watch_new(struct loop *loop, int fd, void (*ready)(void *arg, int what), void *arg) {
    struct watch *w = must_alloc(sizeof *w);
    w->loop = loop;
    w->ready = ready;
    w->arg = arg;
    event_assign(&w->readable, loop->base, fd, EV_READ | EV_PERSIST, on_ready, w);
    event_assign(&w->writable, loop->base, fd, EV_WRITE | EV_PERSIST, on_ready, w);
    return w;
}

static void set(struct event *event, bool on) {
    if (on)
        bug_if(event_add(event, NULL) != 0);
    else
        event_del(event);
}

void watch_want(struct watch *w, int what) {
    int change = w->want ^ what;
    w->want = what;
    if (change & WATCH_READ) set(&w->readable, what & WATCH_READ);
    if (change & WATCH_WRITE) set(&w->writable, what & WATCH_WRITE);
}

void watch_free(struct watch **watch) {
    struct watch *w = *watch;
    if (!w) return;
    watch_want(w, 0);
    free(w);
    *watch = NULL;
}
