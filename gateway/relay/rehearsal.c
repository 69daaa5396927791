// SPDX-License-Identifier: MIT
#include "relay/rehearsal.h"

#include "base/bug.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_MS = 3600 * 1000, LOOK_MS = 1000 };

struct rehearsal {
    struct rehearsal_options options;
    struct gateway gateway;
    struct worker *worker;
    struct peers *peers;
    struct timer *stop;
    char folder[4096]; // "": not made
};

struct worker *rehearsal_worker(struct rehearsal *r) { return r->worker; }
int64_t rehearsal_now(const struct rehearsal *r) { return clock_ms(&r->gateway.clock); }

struct peers *rehearsal_peers(const struct worker *w) { return w->gateway->rehearsal ? w->gateway->rehearsal->peers : NULL; }

void rehearsal_tell(const struct rehearsal *r, const struct rehearsed_fate *fate) {
    if (r->options.fate) r->options.fate(r->options.arg, fate);
}

static bool write_store(void *arg) { return store_turn(((struct rehearsal *)arg)->gateway.store); }

struct loop *rehearsal_loop(const struct rehearsal *r, struct err *err) {
    // The loop is the one who moves the clock; all that is ours here is lent to it.
    struct rehearsal *mine = (struct rehearsal *)(uintptr_t)r;
    return loop_new_virtual(&mine->gateway.clock, write_store, mine, err);
}

static void warn(void *arg, const char *text) { log_warn(&((struct rehearsal *)arg)->gateway.log, "%s", text); }

// In memory where the system has a folder for that: nothing in it has to last.
static bool make_folder(struct rehearsal *r, struct err *err) {
    const char *given = getenv("TMPDIR");
    const char *above = given && given[0] ? given : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(r->folder, sizeof r->folder, "%s/tidegate-simulate-XXXXXX", above);
    if (mkdtemp(r->folder)) return true;
    err_errno(err, "a temporary folder below %s ($TMPDIR)", above);
    r->folder[0] = 0;
    return false;
}

static bool open_store(struct rehearsal *r, struct err *err) {
    struct gateway *g = &r->gateway;
    if (!make_folder(r, err)) return false;
    struct store_options options = {.path = r->folder, .segment_bytes = 4 << 20, .reserve_bytes = 1, .journal_max = 1, .fleeting = true,
                                    .clock = &g->clock, .log = &g->log};
    g->store = store_open(&options, err);
    return g->store != NULL;
}

static bool open_gateway(struct rehearsal *r, struct err *err) {
    struct gateway *g = &r->gateway;
    g->rehearsal = r;
    g->control_fd = -1;
    atomic_store(&g->clock.frozen_ms, r->options.start_ms);
    log_open(&g->log, r->options.log_level, &g->clock);
    g->started_ms = r->options.start_ms;
    g->site = site_of_values(r->options.conf, warn, r);
    g->bundle = r->options.bundle;
    g->events = events_open("/dev/null", &g->log, err);
    if (!g->events || !open_store(r, err)) return false;
    g->workers = &r->worker;
    g->worker_count = 1;
    r->worker = worker_new(g, 0, err);
    return r->worker != NULL;
}

static void on_stop(void *arg) { loop_stop(((struct rehearsal *)arg)->worker->loop); }

struct rehearsal *rehearsal_open(const struct rehearsal_options *options, struct err *err) {
    struct rehearsal *r = must_alloc(sizeof *r);
    r->options = *options;
    if (!open_gateway(r, err)) {
        rehearsal_close(&r);
        return NULL;
    }
    struct peers_options peers = {.rules = options->rules, .loop = r->worker->loop, .clock = &r->gateway.clock, .seed = options->seed,
                                  .accepted = options->accepted, .arg = options->arg};
    r->peers = peers_new(&peers);
    r->stop = timer_new(r->worker->loop, on_stop, r);
    worker_begin(r->worker);
    return r;
}

void rehearsal_run(struct rehearsal *r, int64_t until_ms) {
    timer_set(r->stop, until_ms - rehearsal_now(r));
    loop_run(r->worker->loop);
}

void rehearsal_teach_mx(struct rehearsal *r, struct bytes domain, struct bytes mx) {
    char name[256], host[256];
    snprintf(name, sizeof name, "%.*s", BYTES_FMT(domain));
    snprintf(host, sizeof host, "%.*s", BYTES_FMT(mx));
    struct dns_record record = {.mx = {.preference = 10, .host = host}};
    struct dns_answer answer = {.status = DNS_OK, .ttl_s = 3600, .count = 1, .records = &record, .why = ""};
    if (!dns_teach(r->worker->dns, name, DNS_MX, &answer, NULL))
        log_info(&r->gateway.log, "%s is no domain for DNS", name);
}

// What is in flight comes to its end, in virtual time; nobody counts it any more.
static void wind_down(struct rehearsal *r) {
    int64_t until = rehearsal_now(r) + PATIENCE_MS;
    r->options.fate = NULL;
    worker_stop(r->worker);
    while (!worker_is_quiet(r->worker) && rehearsal_now(r) < until) rehearsal_run(r, rehearsal_now(r) + LOOK_MS);
    bug_if(!worker_is_quiet(r->worker));
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw) {
    (void)st, (void)what, (void)ftw;
    return remove(path);
}

void rehearsal_close(struct rehearsal **at) {
    struct rehearsal *r = *at;
    if (!r) return;
    struct gateway *g = &r->gateway;
    if (r->stop) wind_down(r); // those who are called back may still ask what time it is
    *at = NULL;
    timer_free(&r->stop);
    worker_free(&r->worker);
    peers_free(&r->peers);
    if (g->store) store_close(&g->store);
    if (g->events) events_close(&g->events);
    site_free(&g->site);
    if (r->folder[0]) nftw(r->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(r);
}
