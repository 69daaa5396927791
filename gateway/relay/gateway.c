// SPDX-License-Identifier: MIT
#include "relay/gateway.h"

#include "base/folder.h"
#include "net/listener.h"
#include "relay/canary.h"
#include "relay/control.h"
#include "relay/explain_control.h"
#include "relay/footprint.h"
#include "relay/intake.h"
#include "relay/journal.h"
#include "relay/lanes.h"
#include "relay/ledger.h"
#include "relay/password.h"
#include "relay/reload.h"
#include "relay/runner.h"
#include "relay/service.h"
#include "relay/token.h"
#include "relay/worker.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { BACKLOG = 1024, STOP_US = 25 * 1000000, STOP_LOOK_MS = 10, PASSWORD_THREADS = 2 };

struct worker *gateway_worker_of(struct gateway *g, uint64_t id) { return g->workers[id_worker(id) % (unsigned)g->worker_count]; }

struct worker *gateway_worker_of_lane(struct gateway *g, struct bytes lane) {
    return g->workers[bytes_hash(lane) % (unsigned)g->worker_count];
}

bool gateway_may_send(const struct gateway *g) {
    return !store_is_sick(g->store) && !atomic_load_explicit(&g->unwritten, memory_order_relaxed);
}

// ---- stopping -------------------------------------------------------------------------------------------------------------


static void wind_down(struct worker *w, void *arg) {
    (void)arg;
    worker_stop(w);
}

struct look {
    struct gateway *gateway;
    _Atomic int left, busy;
};

static void end_loops(struct gateway *g) {
    for (int i = 0; i < g->worker_count; i++) loop_stop(g->workers[i]->loop);
    loop_stop(g->loop);
}

// Each worker says whether it is quiet; the last one to answer tells the main loop by ending everything, or by leaving it to
// the next look.
static void look_there(struct worker *w, void *arg) {
    struct look *look = arg;
    if (!worker_is_quiet(w)) atomic_store(&look->busy, 1);
    if (atomic_fetch_sub(&look->left, 1) > 1) return;
    if (!atomic_load(&look->busy)) end_loops(look->gateway);
    free(look);
}

static void on_patience(void *arg) {
    struct gateway *g = arg;
    if (clock_monotonic_us() > g->stop_by_us) {
        log_warn(&g->log, "not all connections ended in time; what they carried is still in the queue");
        g->abandoned = true;
        return end_loops(g);
    }
    struct look *look = must_alloc(sizeof *look);
    look->gateway = g;
    atomic_init(&look->left, g->worker_count);
    for (int i = 0; i < g->worker_count; i++) worker_post(g->workers[i], look_there, look);
    timer_set(g->patience, STOP_LOOK_MS);
}

void gateway_stop(struct gateway *g) {
    if (g->stopping) { // asked twice: now
        g->abandoned = true;
        return end_loops(g);
    }
    g->stopping = true;
    explain_control_stop(g); // its threads ask the workers, who are still there
    g->stop_by_us = clock_monotonic_us() + STOP_US;
    log_note(&g->log, "stopping: finishing what is in flight");
    service_stopping();
    for (int i = 0; i < g->worker_count; i++) worker_post(g->workers[i], wind_down, NULL);
    g->patience = timer_new(g->loop, on_patience, g);
    timer_set(g->patience, STOP_LOOK_MS);
}

void gateway_set_draining(struct gateway *g, bool draining) {
    if (g->draining == draining) return;
    g->draining = draining;
    log_note(&g->log, draining ? "draining: no new mail is taken" : "taking new mail again");
}

static void look_again(struct worker *w, void *arg) {
    (void)arg;
    lanes_look_again(w->lanes, false);
    ledger_look_again(w->ledger);
    tokens_look_again(w->tokens, false);
    runner_wake(w->runner);
}

void gateway_clock_moved(struct gateway *g) {
    for (int i = 0; i < g->worker_count; i++) worker_post(g->workers[i], look_again, NULL);
}

// ---- signals and the watchdog -------------------------------------------------------------------------------------------------

struct signals {
    struct gateway *gateway;
    int fd;
    struct watch *watch;
    struct timer *watchdog;
    uint64_t turns[256];
};

static void reloaded(void *arg, const struct reload_result *result) {
    (void)arg; // the rest is logged by the reload itself
    service_ready(result->done ? "running" : "running; the last reload was refused");
}

static void hang_up(struct gateway *g) {
    struct err err;
    service_reloading();
    if (!reload_start(g, NULL, reloaded, NULL, &err)) service_ready("running; the last reload was refused");
}

static void on_signal(void *arg, int what) {
    struct signals *s = arg;
    struct signalfd_siginfo info;
    (void)what;
    while (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) hang_up(s->gateway);
        else if (info.ssi_signo == SIGUSR1) events_reopen(s->gateway->events);
        else gateway_stop(s->gateway);
    }
}

static bool open_signals(struct signals *s, struct err *err) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->fd >= 0 || err_errno(err, "signalfd");
}

// Alive means: every worker's loop has turned since the last look. A hung hook or disk then brings a restart.
static void on_watchdog(void *arg) {
    struct signals *s = arg;
    struct gateway *g = s->gateway;
    bool alive = true;
    for (int i = 0; i < g->worker_count; i++) {
        uint64_t turns = loop_turns(g->workers[i]->loop);
        if (turns == s->turns[i]) alive = false;
        s->turns[i] = turns;
    }
    if (alive) service_alive();
    else log_fault(&g->log, "a worker's loop does not turn; the watchdog is not fed");
    timer_set(s->watchdog, service_watchdog_ms());
}

static void watch_signals(struct signals *s, struct gateway *g) {
    s->gateway = g;
    s->watch = watch_new(g->loop, s->fd, on_signal, s);
    watch_want(s->watch, WATCH_READ);
    s->watchdog = timer_new(g->loop, on_watchdog, s);
    if (service_watchdog_ms() > 0) timer_set(s->watchdog, service_watchdog_ms() > 1000 ? service_watchdog_ms() : 1000);
}

static void close_signals(struct signals *s) {
    if (s->watch) watch_free(&s->watch);
    if (s->watchdog) timer_free(&s->watchdog);
    if (s->fd >= 0) close(s->fd);
}

// ---- opening, bottom-up -----------------------------------------------------------------------------------------------------------

static void print_fault(void *arg, const char *text) {
    (void)arg;
    fprintf(stderr, "tidegate: %s\n", text);
}

static bool open_listeners(struct gateway *g, struct err *err) {
    const struct conf *conf = g->site->conf;
    g->listen_fds = must_alloc((conf->listener_count + 1) * sizeof *g->listen_fds);
    for (size_t i = 0; i < conf->listener_count; i++) g->listen_fds[i] = -1;
    for (size_t i = 0; i < conf->listener_count; i++) {
        g->listen_fds[i] = listener_open(&conf->listeners[i].address, BACKLOG, err);
        if (g->listen_fds[i] < 0) return err_within(err, "listener %s", conf->listeners[i].name);
    }
    return true;
}

static bool open_control_socket(struct gateway *g, struct err *err) {
    struct addr address;
    char text[PATH_MAX + 8];
    snprintf(text, sizeof text, "unix:%s", g->site->conf->control);
    if (!folder_make_parents(g->site->conf->control, err) || !addr_parse(bytes_of(text), &address, err))
        return err_within(err, "control");
    mode_t was = umask(0117); // 0660: the group may talk to us
    g->control_fd = listener_open(&address, 16, err);
    umask(was);
    return g->control_fd >= 0 || err_within(err, "control");
}

static bool open_workers(struct gateway *g, struct err *err) {
    int count = g->site->conf->workers > 0 ? g->site->conf->workers : (int)sysconf(_SC_NPROCESSORS_ONLN);
    count = count < 1 ? 1 : count > 255 ? 255 : count;
    g->workers = must_alloc((size_t)count * sizeof *g->workers);
    for (; g->worker_count < count; g->worker_count++) {
        g->workers[g->worker_count] = worker_new(g, (unsigned)g->worker_count, err);
        if (!g->workers[g->worker_count]) return false;
    }
    return true;
}

// The exit status, 0 when all is open.
static int open_gateway(struct gateway *g, struct err *err) {
    const struct conf *conf = g->site->conf;
    service_raise_limits();
    if (!open_listeners(g, err)) return errno == EACCES ? EX_NOPERM : EX_OSERR;
    if (!open_control_socket(g, err)) return EX_CANTCREAT;
    if (!service_become(conf->user, err)) return EX_NOPERM;
    if (!folder_make_parents(conf->store, err) || !folder_make_parents(conf->events, err) || !folder_make_parents(conf->capture, err))
        return EX_CANTCREAT;
    g->loop = loop_new(err);
    if (!g->loop) return EX_OSERR;
    g->canary = canary_new(g);
    g->events = events_open(conf->events, &g->log, err);
    if (!g->events) return EX_CANTCREAT;
    g->event_writer = event_writer_new(g->events, g->loop, &g->clock);
    struct store_options options = {.path = conf->store, .segment_bytes = conf->segment_size, .ceiling_bytes = conf->store_ceiling,
                                    .reserve_bytes = conf->store_reserve, .journal_max = conf->journal_max, .clock = &g->clock,
                                    .log = &g->log};
    g->store = store_open(&options, err);
    if (!g->store) return EX_IOERR;
    g->bundle = reload_first_bundle(g, err);
    if (!g->bundle) return EX_CONFIG;
    g->passwords = password_pool_new(PASSWORD_THREADS, err);
    if (!g->passwords) return EX_OSERR;
    g->census = census_new();
    return open_workers(g, err) ? 0 : EX_OSERR;
}

// What threads still had to say to each other when the loops ended must not find its rooms gone.
static void hear_out(struct gateway *g) {
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < g->worker_count; i++) more = (g->workers[i] && loop_drain(g->workers[i]->loop)) || more;
        more = (g->loop && loop_drain(g->loop)) || more;
    }
}

static void close_gateway(struct gateway *g) {
    if (g->control) control_free(&g->control);
    if (g->patience) timer_free(&g->patience);
    footprint_free(&g->footprint);
    journal_broom_free(&g->journal_broom);
    if (g->passwords) password_pool_free(&g->passwords);
    reload_end(g);
    hear_out(g);
    for (int i = 0; i < g->worker_count; i++) worker_free(&g->workers[i]);
    free(g->workers);
    g->workers = NULL;
    g->worker_count = 0;
    if (g->store) store_close(&g->store);
    while (g->loop && loop_drain(g->loop)) {} // what was told of the last commits: a reload, too, and what becomes of its trial
    canary_free(&g->canary);
    if (g->event_writer) event_writer_free(&g->event_writer);
    if (g->loop) loop_free(&g->loop);
    if (g->events) events_close(&g->events);
    bundle_free(&g->bundle);
    bundle_free(&g->previous);
    if (g->census) census_free(&g->census);
    for (size_t i = 0; g->site && g->listen_fds && i < g->site->conf->listener_count; i++)
        if (g->listen_fds[i] >= 0) close(g->listen_fds[i]);
    free(g->listen_fds);
    if (g->control_fd >= 0) {
        unlink(g->site->conf->control);
        close(g->control_fd);
    }
    site_free(&g->site);
}

static void tell_first_worker(void *arg, struct bytes event) { worker_tell(((struct gateway *)arg)->workers[0], event); }

static void announce(struct gateway *g) {
    const struct conf *conf = g->site->conf;
    for (size_t i = 0; i < conf->listener_count; i++) {
        char text[ADDR_TEXT];
        addr_text(&conf->listeners[i].address, text);
        log_note(&g->log, "listening on %s (%s, %s)", text, listener_kind_name[conf->listeners[i].kind], conf->listeners[i].name);
    }
    log_note(&g->log, "%s is ready: policy %s, %d worker%s, queue %s, control %s", conf->hostname, bundle_version(g->bundle),
             g->worker_count, g->worker_count == 1 ? "" : "s", conf->store, conf->control);
    service_ready("running");
}

static int run(struct gateway *g, struct signals *signals) {
    struct err err;
    int status = open_gateway(g, &err);
    if (status == 0) {
        watch_signals(signals, g);
        g->control = control_new(g, g->control_fd);
    }
    int started = 0;
    for (; status == 0 && started < g->worker_count; started++)
        if (!worker_start(g->workers[started], &err)) status = EX_OSERR;
    if (status != 0) {
        const char *user = g->site->conf->user; // whom root has become by now: these are his rights
        bool denied = user && geteuid() != 0 && strstr(err.text, "Permission denied");
        fprintf(stderr, denied ? "tidegate: %s (the gateway is user '%s' by now, who needs the right to it)\n" : "tidegate: %s\n", err.text, user);
        if (started) _exit(status); // some threads run already: nothing has been accepted yet
        return status;
    }
    event_writer_listen(g->event_writer, tell_first_worker, g);
    reload_keep_first(g);
    g->footprint = footprint_new(g);
    g->journal_broom = journal_broom_new(g);
    announce(g);
    loop_run(g->loop);
    for (int i = 0; i < g->worker_count; i++) {
        loop_stop(g->workers[i]->loop);
        pthread_join(g->workers[i]->thread, NULL);
    }
    return 0;
}

// Connections are still open and hold on to their workers: only what counts is closed, so that every outcome that was given
// to the store is on disk.
static _Noreturn void leave(struct gateway *g) {
    for (int i = 0; i < g->worker_count; i++) {
        reader_free(&g->workers[i]->reader);
        reader_free(&g->workers[i]->script_reader);
        event_writer_free(&g->workers[i]->events);
    }
    if (g->control) control_free(&g->control);
    store_close(&g->store);
    event_writer_free(&g->event_writer);
    unlink(g->site->conf->control);
    log_note(&g->log, "stopped");
    _exit(0);
}

int gateway_run(const struct gateway_options *options) {
    struct gateway *g = must_alloc(sizeof *g);
    struct signals signals = {.fd = -1};
    struct err err;
    g->options = *options;
    g->control_fd = -1;
    log_open(&g->log, LOG_NOTE, &g->clock);
    const char *file = options->conf_file ? options->conf_file : conf_find();
    if (!file) print_fault(NULL, "no configuration: give --conf FILE (looked for conf/tidegate.lua and /etc/tidegate/tidegate.lua)");
    g->site = file ? site_load(file, NULL, print_fault, NULL) : NULL;
    int status = g->site ? 0 : EX_CONFIG;
    if (status == 0 && !open_signals(&signals, &err)) {
        print_fault(NULL, err.text);
        status = EX_OSERR;
    }
    if (status == 0) {
        g->log.level = g->site->conf->log_level;
        g->started_ms = clock_ms(&g->clock);
        status = run(g, &signals);
    }
    if (g->abandoned) leave(g);
    close_signals(&signals);
    close_gateway(g);
    if (status == 0) log_note(&g->log, "stopped");
    free(g);
    return status;
}
