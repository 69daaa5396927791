// SPDX-License-Identifier: MIT
#include "relay/worker.h"

#include "policy/hooks.h"
#include "relay/intake.h"
#include "relay/lanes.h"
#include "relay/ledger.h"
#include "relay/limit_look.h"
#include "relay/login.h"
#include "relay/rehearsal.h"
#include "relay/rounds.h"
#include "relay/runner.h"
#include "relay/token.h"
#include "store/shelf.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 1000 };

// ---- ids ------------------------------------------------------------------------------------------------------------

// The stamp counts up through milliseconds and sequence as one number: it takes the clock's time when that is later,
// and simply counts on when it is not (a burst, or a clock that was set back). So no id is ever made twice.
uint64_t worker_next_id(struct worker *w) {
    uint64_t now = (uint64_t)clock_ms(&w->gateway->clock) * ID_SEQUENCES;
    uint64_t was = atomic_load_explicit(&w->id_stamp, memory_order_relaxed), next;
    do next = now > was ? now : was + 1;
    while (!atomic_compare_exchange_weak(&w->id_stamp, &was, next));
    return id_make((int64_t)(next / ID_SEQUENCES), w->index, (unsigned)(next % ID_SEQUENCES));
}

static void start_ids(struct worker *w) {
    uint64_t last = store_last_id(w->gateway->store);
    if (last) atomic_store(&w->id_stamp, (uint64_t)(id_ms(last) + 1) * ID_SEQUENCES);
}

// ---- posts ------------------------------------------------------------------------------------------------------------

struct post {
    struct task task;
    struct worker *worker;
    void (*fn)(struct worker *w, void *arg);
    void *arg;
};

static void run_post(struct task *task) {
    struct post *p = (struct post *)task;
    p->fn(p->worker, p->arg);
    free(p);
}

void worker_post(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg) {
    struct post *p = must_alloc(sizeof *p);
    *p = (struct post){.task = {.run = run_post}, .worker = w, .fn = fn, .arg = arg};
    loop_post(w->loop, &p->task);
}

static void tell_settle(void *arg, struct bytes event) {
    struct worker *w = arg;
    struct generation *g = w->generation;
    // The version on trial hears of what it decided itself.
    if (w->canary) {
        char policy[40];
        int len = snprintf(policy, sizeof policy, "\"policy\":\"%s\"", generation_version(w->canary));
        if (bytes_search(event, bytes_range(policy, (size_t)len)) >= 0) g = w->canary;
    }
    if (hook_is_defined(g, "settle")) hook_settle(g, event);
}

static void settle_there(struct worker *w, void *arg) {
    tell_settle(w, bytes_of(arg));
    free(arg);
}

void worker_tell(struct worker *w, struct bytes event) { worker_post(w, settle_there, bytes_dupz(event)); }

// ---- life --------------------------------------------------------------------------------------------------------------

void worker_generation_options(const struct gateway *g, const struct site *site, struct generation_options *out) {
    conf_script_options(site->conf, out);
    out->clock = &g->clock;
    out->log = &g->log;
    out->keep_lookups = site->conf->journal_decisions;
}

static struct dns *open_dns(struct worker *w, struct err *err) {
    const struct conf *conf = w->site->conf;
    struct dns_options options = {.servers = conf->dns_servers, .timeout_ms = conf->dns_timeout_ms,
                                  .trust_ad = conf->dns_trust_ad, .offline = w->gateway->rehearsal, .clock = &w->gateway->clock, .log = &w->gateway->log};
    return dns_new(w->loop, &options, err);
}

static struct fetch *open_fetch(struct worker *w) {
    const struct conf *conf = w->site->conf;
    struct fetch_options options = {.ca_file = conf->http_ca ? conf->http_ca : conf->ca, .private_ok = conf->http_private};
    return fetch_new(w->loop, w->dns, &options);
}

static bool is_suppressed(void *arg, const struct bytes *scopes, size_t count, struct bytes address, struct arena *texts,
                          struct suppression *out) {
    struct worker *w = arg;
    reader_begin(w->script_reader);
    bool found = reader_suppressed(w->script_reader, scopes, count, address, clock_ms(&w->gateway->clock), out);
    if (found) {
        out->reason = arena_copy(texts, out->reason);
        out->source = arena_copy(texts, out->source);
    }
    reader_end(w->script_reader);
    return found;
}

static bool is_shelved(void *arg, struct bytes key, struct arena *texts, struct bytes *value) {
    struct worker *w = arg;
    struct shelf_entry e;
    reader_begin(w->script_reader);
    bool found = reader_shelf(w->script_reader, key, clock_ms(&w->gateway->clock), &e);
    if (found) *value = arena_copy(texts, e.value);
    reader_end(w->script_reader);
    return found;
}

void worker_lend(struct worker *w, struct generation_options *options) {
    options->loop = w->loop;
    options->dns = w->dns;
    options->fetch = w->fetch;
    options->suppressed = is_suppressed;
    options->suppressed_arg = w;
    options->shelved = is_shelved;
    options->shelved_arg = w;
    options->limit_used = limit_look_used;
    options->limit_cancel = limit_look_cancel;
    options->limit_arg = w;
}

static bool open_generation(struct worker *w, struct err *err) {
    struct generation_options options;
    worker_generation_options(w->gateway, w->site, &options);
    worker_lend(w, &options);
    w->generation = generation_new(w->gateway->bundle, &options, err);
    return w->generation != NULL;
}

static void on_tick(void *arg) {
    struct worker *w = arg;
    fresh_forget_old(&w->fresh, loop_now_ms(w->loop));
    timer_set(w->tick, TICK_MS);
}

struct worker *worker_new(struct gateway *g, unsigned index, struct err *err) {
    struct worker *w = must_alloc(sizeof *w);
    w->gateway = g;
    w->index = index;
    w->site = site_ref(g->site);
    start_ids(w);
    w->loop = g->rehearsal ? rehearsal_loop(g->rehearsal, err) : loop_new(err);
    if (!w->loop) goto failed;
    w->dns = open_dns(w, err);
    if (!w->dns) goto failed;
    if (!g->rehearsal) w->fetch = open_fetch(w);
    w->reader = reader_new(g->store, err);
    if (!w->reader) goto failed;
    w->script_reader = reader_new(g->store, err);
    if (!w->script_reader) goto failed;
    if (!open_generation(w, err)) goto failed;
    w->events = event_writer_new(g->events, w->loop, &g->clock);
    event_writer_listen(w->events, tell_settle, w);
    w->runner = runner_new(w);
    fresh_init(&w->fresh, &g->counters.memory_fresh);
    w->lanes = lanes_new(w);
    w->ledger = ledger_new(w);
    w->rounds = rounds_new(w);
    w->tokens = tokens_new(w);
    w->logins = logins_new(&g->clock);
    w->tick = timer_new(w->loop, on_tick, w);
    return w;
failed:
    worker_free(&w);
    return NULL;
}

void worker_begin(struct worker *w) {
    lanes_recover(w->lanes);
    ledger_recover(w->ledger);
    rounds_begin(w->rounds);
    runner_wake(w->runner);
}

void worker_stop(struct worker *w) {
    w->stopping = true;
    if (w->intake) intake_stop(w->intake);
    runner_stop(w->runner);
    lanes_stop(w->lanes);
    ledger_stop(w->ledger);
    rounds_stop(w->rounds);
}

bool worker_is_quiet(const struct worker *w) {
    return (!w->intake || intake_is_empty(w->intake)) && runner_is_idle(w->runner) && lanes_is_idle(w->lanes) &&
           ledger_is_idle(w->ledger) && w->accepting == 0;
}

static void *thread_main(void *arg) {
    struct worker *w = arg;
    w->intake = intake_new(w);
    timer_set(w->tick, TICK_MS);
    worker_begin(w);
    loop_run(w->loop);
    return NULL;
}

bool worker_start(struct worker *w, struct err *err) {
    sigset_t all, was; // signals are the main thread's
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int code = pthread_create(&w->thread, NULL, thread_main, w);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    return code == 0 || err_set(err, "cannot start worker %u: %s", w->index, strerror(code));
}

void worker_free(struct worker **at) {
    struct worker *w = *at;
    *at = NULL;
    if (!w) return;
    if (w->intake) intake_free(&w->intake);
    if (w->lanes) lanes_free(&w->lanes);
    ledger_free(&w->ledger);
    rounds_free(&w->rounds);
    tokens_free(&w->tokens);
    logins_free(&w->logins);
    if (w->runner) runner_free(&w->runner);
    fresh_release(&w->fresh);
    if (w->tick) timer_free(&w->tick);
    generation_free(&w->generation);
    generation_free(&w->canary);
    if (w->events) event_writer_free(&w->events);
    if (w->reader) reader_free(&w->reader);
    if (w->script_reader) reader_free(&w->script_reader);
    fetch_free(&w->fetch);
    if (w->dns) dns_free(&w->dns);
    if (w->loop) loop_free(&w->loop);
    site_free(&w->site);
    buf_release(&w->telling);
    free(w);
}
