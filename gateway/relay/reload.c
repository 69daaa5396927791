// SPDX-License-Identifier: MIT
#include "relay/reload.h"

#include "relay/lane.h"
#include "relay/ledger.h"
#include "relay/token.h"
#include "relay/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum phase { PHASE_PREPARE, PHASE_KEEP, PHASE_SWITCH };

struct reload {
    struct gateway *gateway;
    struct site *site;
    struct bundle *bundle;
    enum phase phase;
    int waiting;            // workers whose answer is outstanding
    bool failed;
    struct reload_result result;
    reload_fn done;
    void *arg;
    int64_t started_us;
    struct store_op keep;
    struct buf encoded, encoded_before;
    struct task step;       // the writer's way back to the main loop
};

// ---- answers from the workers --------------------------------------------------------------------------------------------

struct answer_task {
    struct task task;
    struct reload *reload;
    bool good;
    struct err why;
};

static void next_phase(struct reload *r);

static void heard(struct task *task) {
    struct answer_task *a = (struct answer_task *)task;
    struct reload *r = a->reload;
    if (!a->good && !r->failed) {
        r->failed = true;
        r->result.why = a->why;
    }
    free(a);
    if (--r->waiting == 0) next_phase(r);
}

static void answer(struct reload *r, bool good, const struct err *why) {
    struct answer_task *a = must_alloc(sizeof *a);
    *a = (struct answer_task){.task = {.run = heard}, .reload = r, .good = good};
    if (!good) a->why = *why;
    loop_post(r->gateway->loop, &a->task);
}

static void ask_workers(struct reload *r, void (*fn)(struct worker *w, void *arg)) {
    struct gateway *g = r->gateway;
    r->waiting = g->worker_count;
    for (int i = 0; i < g->worker_count; i++) worker_post(g->workers[i], fn, r);
}

// ---- on each worker --------------------------------------------------------------------------------------------------------

static void prepare_there(struct worker *w, void *arg) {
    struct reload *r = arg;
    struct generation_options options;
    struct err err;
    worker_generation_options(w->gateway, r->site, &options);
    worker_lend(w, &options);
    generation_free(&w->candidate);
    w->candidate = generation_new(r->bundle, &options, &err);
    answer(r, w->candidate != NULL, &err);
}

static void switch_there(struct worker *w, void *arg) {
    struct reload *r = arg;
    generation_free(&w->generation);
    w->generation = w->candidate;
    w->candidate = NULL;
    site_free(&w->site);
    w->site = site_ref(r->site);
    tokens_look_again(w->tokens, true); // first: lanes ask for them
    lanes_look_again(w->lanes, true); // what waited for a way out may now have another
    ledger_look_again(w->ledger);     // and what waited for a limit a higher one
    answer(r, true, NULL);
}

static void forget_there(struct worker *w, void *arg) {
    (void)arg;
    generation_free(&w->candidate);
}

// ---- on the main loop ---------------------------------------------------------------------------------------------------------

static void finish(struct reload *r) {
    struct gateway *g = r->gateway;
    r->result.done = !r->failed;
    r->result.took_ms = (clock_monotonic_us() - r->started_us) / 1000;
    if (r->failed) {
        for (int i = 0; i < g->worker_count; i++) worker_post(g->workers[i], forget_there, NULL);
        log_fault(&g->log, "reload refused, %s stays in force: %s", bundle_version(g->bundle), r->result.why.text);
    } else {
        log_note(&g->log, "policy %s is in force (was %s), %lld ms", r->result.version, r->result.was,
                 (long long)r->result.took_ms);
    }
    g->reload = NULL;
    if (r->done) r->done(r->arg, &r->result);
    buf_release(&r->encoded);
    buf_release(&r->encoded_before);
    buf_release(&r->result.changes);
    buf_release(&r->result.warnings);
    bundle_free(&r->bundle);
    site_free(&r->site);
    free(r);
}

static bool keep_bundle(struct store_op *op, struct txn *txn, struct err *err) {
    struct reload *r = (struct reload *)((char *)op - offsetof(struct reload, keep));
    return txn_put(txn, TABLE_POLICY, BYTES("good"), buf_bytes(&r->encoded), err) &&
           txn_put(txn, TABLE_POLICY, BYTES("previous"), buf_bytes(&r->encoded_before), err);
}

static void on_kept(struct task *task) { next_phase((struct reload *)((char *)task - offsetof(struct reload, step))); }

static void kept(struct store_op *op, bool done, const struct err *why) {
    struct reload *r = (struct reload *)((char *)op - offsetof(struct reload, keep));
    if (!done) {
        r->failed = true;
        r->result.why = *why;
        err_within(&r->result.why, "the policy could not be kept in the store");
    }
    r->step.run = on_kept;
    loop_post(r->gateway->loop, &r->step);
}

static void start_keeping(struct reload *r) {
    r->phase = PHASE_KEEP;
    bundle_encode(r->bundle, &r->encoded);
    bundle_encode(r->gateway->bundle, &r->encoded_before);
    r->keep = (struct store_op){.apply = keep_bundle, .finish = kept, .file = -1};
    store_submit(r->gateway->store, &r->keep);
}

static void switch_over(struct reload *r) {
    struct gateway *g = r->gateway;
    r->phase = PHASE_SWITCH;
    bundle_free(&g->previous);
    g->previous = g->bundle;
    g->bundle = bundle_ref(r->bundle);
    site_free(&g->site);
    g->site = site_ref(r->site);
    g->log.level = g->site->conf->log_level;
    events_reopen(g->events);
    ask_workers(r, switch_there);
}

static void next_phase(struct reload *r) {
    if (r->failed || r->phase == PHASE_SWITCH) return finish(r);
    if (r->phase == PHASE_PREPARE) start_keeping(r);
    else switch_over(r);
}

static void note_line(void *arg, const char *text) { buf_format(arg, "%s\n", text); }

static void note_fault(void *arg, const char *text) {
    struct buf *faults = arg;
    buf_format(faults, "%s%s", faults->len ? "; " : "", text);
}

static bool same_listeners(const struct conf *a, const struct conf *b) {
    if (a->listener_count != b->listener_count) return false;
    for (size_t i = 0; i < a->listener_count; i++)
        if (a->listeners[i].address.len != b->listeners[i].address.len ||
            memcmp(&a->listeners[i].address.sa, &b->listeners[i].address.sa, a->listeners[i].address.len) != 0 ||
            a->listeners[i].kind != b->listeners[i].kind)
            return false;
    return true;
}

// Everything that can be wrong is found here, before anything has changed.
static bool read_site(struct gateway *g, struct reload *r, struct err *err) {
    struct buf faults = {0};
    r->site = site_load(g->site->conf->file, note_fault, &faults);
    if (!r->site) err_set(err, "%s", buf_z(&faults));
    buf_release(&faults);
    if (!r->site) return false;
    if (!same_listeners(g->site->conf, r->site->conf))
        return err_set(err, "%s: listeners have changed, which needs a restart; nothing was reloaded", g->site->conf->file);
    conf_fixed_changes(g->site->conf, r->site->conf, note_line, &r->result.warnings);
    return true;
}

static bool check_bundle(struct gateway *g, struct reload *r, struct err *err) {
    struct generation_options options;
    worker_generation_options(g, r->site, &options);
    options.check_keys = true;
    struct generation *trial = generation_new(r->bundle, &options, err);
    if (!trial) return false;
    generation_free(&trial);
    return true;
}

static bool begin(struct gateway *g, struct bundle *bundle, reload_fn done, void *arg, struct err *err) {
    struct reload *r = must_alloc(sizeof *r);
    r->gateway = g;
    r->started_us = clock_monotonic_us();
    r->done = done;
    r->arg = arg;
    r->bundle = bundle;
    bool good = true;
    if (bundle) r->site = site_ref(g->site); // rollback
    else good = read_site(g, r, err) && (r->bundle = bundle_read(r->site->conf->scripts, r->site->conf->stdlib, err)) != NULL;
    good = good && check_bundle(g, r, err);
    if (!good) {
        log_fault(&g->log, "reload refused, %s stays in force: %s", bundle_version(g->bundle), err->text);
        bundle_free(&r->bundle);
        site_free(&r->site);
        buf_release(&r->result.warnings);
        free(r);
        return false;
    }
    snprintf(r->result.version, sizeof r->result.version, "%s", bundle_version(r->bundle));
    snprintf(r->result.was, sizeof r->result.was, "%s", bundle_version(g->bundle));
    bundle_diff(g->bundle, r->bundle, note_line, &r->result.changes);
    g->reload = r;
    ask_workers(r, prepare_there);
    return true;
}

static bool may_start(struct gateway *g, struct err *err) {
    if (g->stopping) return err_set(err, "the gateway is stopping");
    return !g->reload || err_set(err, "another reload is under way, try again in a moment");
}

bool reload_start(struct gateway *g, reload_fn done, void *arg, struct err *err) {
    return may_start(g, err) && begin(g, NULL, done, arg, err);
}

bool reload_rollback(struct gateway *g, reload_fn done, void *arg, struct err *err) {
    if (!may_start(g, err)) return false;
    if (!g->previous) return err_set(err, "there is no earlier policy to go back to");
    return begin(g, bundle_ref(g->previous), done, arg, err);
}

static struct bundle *stored_bundle(struct gateway *g, const char *name, struct err *err) {
    struct reader *reader = reader_new(g->store, err);
    struct bundle *b = NULL;
    struct bytes value;
    if (!reader) return NULL;
    reader_begin(reader);
    if (reader_get(reader, TABLE_POLICY, bytes_of(name), &value)) b = bundle_decode(value, err);
    else err_set(err, "the store keeps no %s policy", name);
    reader_end(reader);
    reader_free(&reader);
    return b;
}

static bool loads(struct gateway *g, struct bundle *b, struct err *err) {
    struct generation_options options;
    worker_generation_options(g, g->site, &options);
    options.check_keys = true;
    struct generation *trial = b ? generation_new(b, &options, err) : NULL;
    bool good = trial != NULL;
    generation_free(&trial);
    return good;
}

struct bundle *reload_first_bundle(struct gateway *g, struct err *err) {
    g->previous = stored_bundle(g, "previous", NULL);
    struct bundle *b = bundle_read(g->site->conf->scripts, g->site->conf->stdlib, err);
    if (loads(g, b, err)) return b;
    bundle_free(&b);
    struct err older;
    b = stored_bundle(g, "good", &older);
    if (!loads(g, b, &older)) {
        struct err scripts = *err;
        bundle_free(&b);
        err_set(err, "%s (and %s)", scripts.text, older.text);
        return NULL;
    }
    log_fault(&g->log, "THE SCRIPTS DO NOT LOAD: %s. Running the last good policy, %s, from the store; mend the scripts and reload",
              err->text, bundle_version(b));
    return b;
}

struct first {
    struct store_op op; // first
    struct gateway *gateway;
    struct buf encoded;
};

static bool put_first(struct store_op *op, struct txn *txn, struct err *err) {
    return txn_put(txn, TABLE_POLICY, BYTES("good"), buf_bytes(&((struct first *)op)->encoded), err);
}

static void first_kept(struct store_op *op, bool done, const struct err *why) {
    struct first *f = (struct first *)op;
    if (!done) log_warn(&f->gateway->log, "the policy could not be kept in the store: %s", why->text);
    buf_release(&f->encoded);
    free(f);
}

void reload_keep_first(struct gateway *g) {
    struct first *f = must_alloc(sizeof *f);
    f->op = (struct store_op){.apply = put_first, .finish = first_kept, .file = -1};
    f->gateway = g;
    bundle_encode(g->bundle, &f->encoded);
    store_submit(g->store, &f->op);
}
