// SPDX-License-Identifier: MIT
// gateway: the running whole. Everything hangs from here; opened bottom-up, closed top-down.
//
// Two gateways can run in one process: there are no globals beneath this struct (signals belong to gateway_run).
#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"
#include "policy/generation.h"
#include "relay/census.h"
#include "relay/event.h"
#include "relay/site.h"
#include "relay/slots.h"
#include "store/store.h"

#include <stdatomic.h>

struct worker;
struct control;
struct password_pool;
struct canary;
struct reload;
struct rehearsal;
struct journal_broom;
struct footprint;

// Counted by any thread, shown by `status`.
struct counters {
    _Atomic uint64_t accepted, refused, delivered, deferred, bounced, suppressed, expired, faults;
    _Atomic uint64_t connections_in, sessions_in;
    struct slots_shared connections_out;
    _Atomic uint64_t memory_in_flight; // content bytes held while being received
    _Atomic uint64_t memory_fresh;     // ... and until their first attempt is over (relay/fresh)
    _Atomic int64_t shelf_full_ms;     // when the log was last told so (relay/keeping); 0: never
};

struct gateway_options {
    const char *conf_file;  // NULL: conf_find
    bool virtual_clock;     // the control verb "clock" may shift time: for tests
};

struct gateway {
    struct gateway_options options;
    struct clock clock;
    struct log log;
    struct loop *loop;         // the main thread's: control, signals, reload
    struct site *site;         // the current one, for the main thread only: a worker has its own reference
    struct bundle *bundle;     // the policy in force
    struct bundle *previous;   // the one before it, for rollback; NULL
    struct store *store;
    struct events *events;
    struct event_writer *event_writer; // the main loop's
    struct census *census;
    struct password_pool *passwords;
    struct control *control;
    struct journal_broom *journal_broom;
    struct footprint *footprint;
    struct canary *canary;     // for life
    struct reload *reload;     // the one under way, NULL
    const struct rehearsal *rehearsal; // NULL: this is no play (relay/rehearsal.h)
    struct explain_job *explaining; // questions under way (relay/explain_control)
    struct worker **workers;
    int worker_count;
    int *listen_fds;           // one a listener of site->conf at start
    int control_fd;
    int64_t started_ms;
    _Atomic bool draining;     // no new mail is taken
    bool stopping;             // gracefully; a second request ends it at once
    bool abandoned;            // the time for a graceful end is over
    struct timer *patience;    // while stopping
    int64_t stop_by_us;
    struct counters counters;
    unsigned imports;          // of suppressions, under way; main thread
    _Atomic int rerouting;     // workers that go through what is parked (relay/rounds)
    _Atomic int commons_lost;  // workers for which the Redis of shared limits is out of reach (relay/commons)
    _Atomic uint64_t unwritten; // outcomes that the store could not take and that wait in memory (relay/settle)
};

// Runs until told to stop; the exit status (sysexits.h): 0, 78 wrong configuration, 73-77 what the system refused.
int gateway_run(const struct gateway_options *options);

void gateway_stop(struct gateway *g);      // main thread: gracefully; called twice: at once
void gateway_set_draining(struct gateway *g, bool draining);
// What cannot be recorded as sent must not be sent: false while the store is sick or an outcome could not be written. Any thread.
bool gateway_may_send(const struct gateway *g);
void gateway_clock_moved(struct gateway *g); // main thread: the virtual clock was shifted; everyone looks again
struct worker *gateway_worker_of(struct gateway *g, uint64_t id); // who runs this message
struct worker *gateway_worker_of_lane(struct gateway *g, struct bytes lane);
