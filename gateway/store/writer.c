// SPDX-License-Identifier: MIT
#include "store/writer.h"

#include "base/bug.h"
#include "store/group.h"
#include "store/inside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

// How often a sick database is tried and a missing reserve looked after; how often the housework may come
// between groups.
enum { UPKEEP_MS = 250, HOUSEWORK_EVERY_MS = 10 };
// How often a few suppressions are looked at, and how long it rests when all have been.
enum { SWEEP_MS = 250, SWEPT_REST_MS = 60000 };
// So long may a transaction stay open for others to join it, where all in it are promised or patient: many times what a commit
// takes, since nothing is promised meanwhile; but not long, since until then what a peer has taken may come to it twice.
enum { OPEN_US = 25000 };

struct writer {
    struct store *store;
    struct queue queue;
    int wake;
    atomic_bool stop;
    pthread_t thread;
    struct queue_node *oldest, *newest; // taken from the queue, not yet in a group
    int64_t upkeep_us, housework_us, sweep_at_us;
    struct group group;
};

static void take_waiting(struct writer *w) {
    struct queue_node *taken = queue_take_all(&w->queue);
    if (!taken) return;
    if (w->oldest)
        w->newest->next = taken;
    else
        w->oldest = taken;
    for (; taken; taken = taken->next)
        w->newest = taken;
}

// How long the open transaction may still wait for others; 0: its time has come.
static int64_t open_us(const struct writer *w) {
    int64_t left = w->group.since_us + OPEN_US - clock_monotonic_us();
    return left > 0 ? left : 0;
}

// One round, and the commit where it is time. False: there was nothing to do.
static bool turn(struct writer *w, bool at_once) {
    struct group *g = &w->group;
    take_waiting(w);
    bool any = w->oldest;
    while (w->oldest && group_has_room(g, (struct store_op *)w->oldest)) {
        struct queue_node *node = w->oldest;
        w->oldest = node->next;
        group_add(g, (struct store_op *)node);
    }
    if (any) group_round(g, w->store);
    bool full = w->oldest; // what is left had no room
    if (!group_is_open(g) || (!at_once && !full && open_us(w))) return any;
    group_commit(g, w->store);
    return true;
}

static int sooner(int a_ms, int b_ms) {
    return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

// What makes room: a piece of a spent file, or else, where the database is well, a step of compaction.
static int housework_turn(struct writer *w, bool busy, bool sick) {
    struct store *s = w->store;
    int64_t now = clock_monotonic_us();
    if (busy && now - w->housework_us < HOUSEWORK_EVERY_MS * 1000) return 0;
    int idle_ms = spent_give_back(&s->segments.spent) ? 0 : sick ? -1 : compact_step(&s->compact, s);
    w->housework_us = clock_monotonic_us();
    return idle_ms;
}

static int sweep_turn(struct writer *w) {
    int64_t now = clock_monotonic_us();
    if (now >= w->sweep_at_us)
        w->sweep_at_us = now + (group_sweep(w->store) ? SWEPT_REST_MS : SWEEP_MS) * INT64_C(1000);
    return (int)((w->sweep_at_us - now + 999) / 1000);
}

// Returns for how many ms there is nothing to do; -1: until somebody asks.
static int upkeep(struct writer *w, bool busy) {
    struct store *s = w->store;
    bool sick = atomic_load(&s->told.sick);
    int idle_ms = housework_turn(w, busy, sick);
    if (!sick) idle_ms = sooner(idle_ms, sweep_turn(w));
    if (!sick && s->space->has_reserve) return idle_ms;
    int64_t now = clock_monotonic_us();
    if (now - w->upkeep_us >= UPKEEP_MS * 1000) {
        w->upkeep_us = now;
        if (sick) group_probe(&w->group, s);
        space_take_reserve(s->space);
    }
    return sooner(idle_ms, UPKEEP_MS);
}

static void wait_for_work(struct writer *w, int64_t us) {
    struct pollfd ready = {.fd = w->wake, .events = POLLIN};
    struct timespec wait = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    uint64_t count;
    if (ppoll(&ready, 1, us < 0 ? NULL : &wait, NULL) > 0) bug_if(read(w->wake, &count, sizeof count) != sizeof count);
}

bool writer_turn(struct writer *w) {
    bool ran = turn(w, true); // nothing is gained by waiting for company: it is all here
    upkeep(w, ran);
    return ran;
}

static void *writer_main(void *arg) {
    struct writer *w = arg;
    for (;;) {
        bool stopping =
            atomic_load(&w->stop); // looked at first: what was submitted before it is then seen below
        bool ran = turn(w, stopping), open = group_is_open(&w->group);
        int64_t idle_ms = open ? 0 : upkeep(w, ran); // which has transactions of its own
        if (ran) continue;
        if (stopping) break;
        wait_for_work(w, open ? open_us(w) : idle_ms < 0 ? -1 : idle_ms * 1000);
    }
    if (w->group.kept) group_commit(&w->group, w->store); // a last try
    return NULL;
}

static void wake(struct writer *w) {
    const uint64_t one = 1;
    bug_if(write(w->wake, &one, sizeof one) != sizeof one);
}

void writer_submit(struct writer *w, struct store_op *op) {
    bug_if(atomic_load(&w->stop));
    if (queue_put(&w->queue, &op->node) && !w->store->fleeting) wake(w);
}

// Signals are the main thread's.
static int start_thread(struct writer *w) {
    sigset_t all, was;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int rc = pthread_create(&w->thread, NULL, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (rc == 0) pthread_setname_np(w->thread, "store-writer");
    return rc;
}

struct writer *writer_start(struct store *store, struct err *err) {
    struct writer *w = must_alloc(sizeof *w);
    w->store = store;
    w->wake = store->fleeting ? -1 : eventfd(0, EFD_CLOEXEC);
    if (store->fleeting) return w;
    int rc = w->wake < 0 ? errno : start_thread(w);
    if (rc == 0) return w;
    errno = rc;
    err_errno(err, "store: writer thread");
    if (w->wake >= 0) close(w->wake);
    free(w);
    return NULL;
}

void writer_stop(struct writer **writer) {
    struct writer *w = *writer;
    if (!w) return;
    atomic_store(&w->stop, true);
    if (w->store->fleeting) {
        while (writer_turn(w)) continue;
    } else {
        wake(w);
        pthread_join(w->thread, NULL);
        close(w->wake);
    }
    bug_if(!queue_is_empty(&w->queue));
    group_release(&w->group);
    free(w);
    *writer = NULL;
}
