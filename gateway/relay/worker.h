// SPDX-License-Identifier: MIT
// worker: one thread with its own loop, Lua state, resolver channel, readers and connections.
//
// Workers share nothing but the store (and the atomics of struct gateway). What must reach one from another
// thread goes through worker_post.
#pragma once

#include "net/dns.h"
#include "net/fetch.h"
#include "relay/fresh.h"
#include "relay/gateway.h"
#include "relay/reach.h"

#include <pthread.h>

struct intake;
struct runner;
struct lanes;
struct ledger;
struct rounds;
struct tokens;
struct logins;

// What refusals may still take of the journal (relay/journal).
struct journal_share {
    double left;
    int64_t looked_ms; // 0: never
};

struct worker {
    struct gateway *gateway;
    unsigned index;
    pthread_t thread;
    struct loop *loop;
    struct dns *dns;
    struct fetch *fetch;
    struct reader *reader;
    struct reader *script_reader;    // for look-ups of scripts: a hook may run while `reader` is in use
    struct site *site;               // the current one
    struct generation *generation;   // the current one
    struct generation *canary;       // on trial beside it (relay/canary), NULL
    struct event_writer *events;
    struct intake *intake;
    struct runner *runner;
    struct fresh fresh;
    struct lanes *lanes;
    struct ledger *ledger;
    struct rounds *rounds;
    struct tokens *tokens;
    struct logins *logins;
    struct reach reach;
    struct timer *tick;              // keeps the loop turning for the watchdog
    _Atomic uint64_t id_stamp;       // of the last id made: milliseconds and sequence in one word
    struct journal_share journal_share;
    struct buf telling;              // of relay/outcome: an event and its entry, while they are made
    size_t grants;                   // asked here and not settled yet
    size_t accepting;                // messages given to the store whose answer is outstanding
    bool stopping;
};

struct worker *worker_new(struct gateway *g, unsigned index, struct err *err);
bool must_use worker_start(struct worker *w, struct err *err);
void worker_begin(struct worker *w);           // its thread's first steps; a rehearsed one has no thread, and no intake
void worker_stop(struct worker *w);            // its thread: takes nothing new, finishes what is in flight
bool worker_is_quiet(const struct worker *w);  // its thread: after worker_stop, all is finished
void worker_free(struct worker **w); // after its thread has ended

uint64_t worker_next_id(struct worker *w); // a new message's id, which this worker owns; any thread
// Runs fn(w, arg) on the worker's thread, in order with other posts from the same thread.
void worker_post(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);

// An event of the main thread's, for the settle hook; any thread.
void worker_tell(struct worker *w, struct bytes event);

// Hooks run here too, for a generation built like the live ones but on the main thread (checks, reload).
void worker_generation_options(const struct gateway *g, const struct site *site, struct generation_options *out);
void worker_lend(struct worker *w, struct generation_options *options); // what its hooks may use: loop, resolver, store
