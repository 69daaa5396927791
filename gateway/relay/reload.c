// SPDX-License-Identifier: MIT
#include "relay/reload.h"

#include "relay/lanes.h"
#include "relay/ledger.h"
#include "relay/rounds.h"
#include "relay/token.h"
#include "relay/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum phase { PHASE_BUILD, PHASE_KEEP, PHASE_SWITCH };

// In TABLE_POLICY: the version that is on trial, or was taken back. While the scripts folder holds it a start does not run it.
static const char trial_key[] = "trial";

struct reload {
    struct gateway *gateway;
    struct site *site;
    struct bundle *bundle;
    struct canary_wish canary; // share 0: none
    char wanted[16];           // the version that was checked; "": any
    enum phase phase;
    pthread_t builder;
    bool joined;            // it has ended, waited for by reload_end
    struct generation **candidates; // one a worker, from the builder until the switch
    int count;              // of workers
    int waiting;            // workers whose answer is outstanding
    bool failed;
    bool next_start;        // a stop came between its commit and the switch
    struct reload_result result;
    reload_fn done;
    void *arg;
    int64_t started_us;
    struct store_op keep;
    struct buf encoded, encoded_before;
    struct task step;       // the builder's and the writer's way back to the main loop
};

static void next_phase(struct reload *r);

static void on_step(struct task *task) { next_phase((struct reload *)((char *)task - offsetof(struct reload, step))); }

static void step_home(struct reload *r) {
    r->step.run = on_step;
    loop_post(r->gateway->loop, &r->step);
}

static void fail(struct reload *r, const struct err *why) {
    r->failed = true;
    r->result.why = *why;
}

// ---- on each worker --------------------------------------------------------------------------------------------------------

struct switched {
    struct task task;
    struct reload *reload;
};

static void heard(struct task *task) {
    struct reload *r = ((struct switched *)task)->reload;
    free(task);
    if (--r->waiting == 0) next_phase(r);
}

static void answer(struct reload *r) {
    struct switched *a = must_alloc(sizeof *a);
    *a = (struct switched){.task = {.run = heard}, .reload = r};
    loop_post(r->gateway->loop, &a->task);
}

static void switch_there(struct worker *w, void *arg) {
    struct reload *r = arg;
    generation_free(&w->generation);
    w->generation = r->candidates[w->index];
    r->candidates[w->index] = NULL;
    site_free(&w->site);
    w->site = site_ref(r->site);
    tokens_look_again(w->tokens, true); // first: lanes ask for them
    lanes_look_again(w->lanes, true); // what waited for a way out may now have another
    ledger_look_again(w->ledger);     // and what waited for a limit a higher one
    rounds_policy_changed(w->rounds); // and all the others in their turn
    answer(r);
}

static void try_there(struct worker *w, void *arg) {
    struct reload *r = arg;
    generation_free(&w->canary);
    w->canary = r->candidates[w->index];
    r->candidates[w->index] = NULL;
    generation_try(w->canary);
    answer(r);
}

// ---- on the main loop ---------------------------------------------------------------------------------------------------------

static void finish(struct reload *r) {
    struct gateway *g = r->gateway;
    r->result.done = !r->failed;
    r->result.took_ms = (clock_monotonic_us() - r->started_us) / 1000;
    if (r->failed) {
        log_fault(&g->log, "reload refused, %s stays in force: %s", bundle_version(g->bundle), r->result.why.text);
    } else if (r->canary.share) {
        r->result.canary = true;
        canary_start(g->canary, r->bundle, &r->canary);
    } else if (r->next_start) {
        log_note(&g->log, "policy %s is kept as the last good one; the gateway is stopping, and starts with what the scripts folder holds", r->result.version);
    } else {
        log_note(&g->log, "policy %s is in force (was %s), %lld ms", r->result.version, r->result.was,
                 (long long)r->result.took_ms);
    }
    g->reload = NULL;
    if (r->done) r->done(r->arg, &r->result);
    for (int i = 0; i < r->count; i++) generation_free(&r->candidates[i]);
    free(r->candidates);
    buf_release(&r->encoded);
    buf_release(&r->encoded_before);
    buf_release(&r->result.changes);
    buf_release(&r->result.warnings);
    bundle_free(&r->bundle);
    site_free(&r->site);
    free(r);
}

// A reload of the same scripts (for a certificate, say) leaves what there is to go back to.
static bool is_another(const struct reload *r) { return strcmp(r->result.version, r->result.was) != 0; }

static bool keep_bundle(struct store_op *op, struct txn *txn, struct err *err) {
    struct reload *r = (struct reload *)((char *)op - offsetof(struct reload, keep));
    if (r->canary.share) return txn_put(txn, TABLE_POLICY, bytes_of(trial_key), bytes_of(r->result.version), err);
    return txn_delete(txn, TABLE_POLICY, bytes_of(trial_key), err) &&
           txn_put(txn, TABLE_POLICY, BYTES("good"), buf_bytes(&r->encoded), err) &&
           (!is_another(r) || txn_put(txn, TABLE_POLICY, BYTES("previous"), buf_bytes(&r->encoded_before), err));
}

static void kept(struct store_op *op, bool done, const struct err *why) {
    struct reload *r = (struct reload *)((char *)op - offsetof(struct reload, keep));
    if (!done) {
        fail(r, why);
        err_within(&r->result.why, "the policy could not be kept in the store");
    }
    step_home(r);
}

static void start_keeping(struct reload *r) {
    r->phase = PHASE_KEEP;
    bundle_encode(r->bundle, &r->encoded);
    bundle_encode(r->gateway->bundle, &r->encoded_before);
    r->keep = (struct store_op){.apply = keep_bundle, .finish = kept, .file = -1};
    store_submit(r->gateway->store, &r->keep);
}

static void ask_workers(struct reload *r, void (*fn)(struct worker *w, void *arg)) {
    r->waiting = r->count;
    for (int i = 0; i < r->count; i++) worker_post(r->gateway->workers[i], fn, r);
}

static void end_trial(struct reload *r) {
    struct canary *c = r->gateway->canary;
    bool promotion = canary_is(c, r->bundle);
    canary_end(c, promotion ? "promoted" : "replaced", promotion ? "its trial is over" : "by a reload");
}

// The commit cannot be taken back: to call it refused would be wrong as soon as the next start has read it.
static void leave_to_next_start(struct reload *r) {
    r->next_start = true;
    end_trial(r);
    finish(r);
}

static void switch_over(struct reload *r) {
    struct gateway *g = r->gateway;
    r->phase = PHASE_SWITCH;
    if (r->canary.share) {
        canary_end(g->canary, "replaced", "another is tried"); // first: workers forget that one before they take this one
        return ask_workers(r, try_there);
    }
    end_trial(r);
    bundle_free(is_another(r) ? &g->previous : &g->bundle);
    if (is_another(r)) g->previous = g->bundle;
    g->bundle = bundle_ref(r->bundle);
    site_free(&g->site);
    g->site = site_ref(r->site);
    g->log.level = g->site->conf->log_level;
    events_reopen(g->events);
    ask_workers(r, switch_there);
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
    r->site = site_load(g->site->conf->file, g->site, note_fault, &faults);
    if (!r->site) err_set(err, "%s", buf_z(&faults));
    buf_release(&faults);
    if (!r->site) return false;
    if (!same_listeners(g->site->conf, r->site->conf))
        return err_set(err, "%s: listeners have changed, which needs a restart; nothing was reloaded", g->site->conf->file);
    conf_fixed_changes(g->site->conf, r->site->conf, note_line, &r->result.warnings);
    return true;
}

// ---- building: on a thread of its own, since a script may take its whole budget to load --------------------------------------------

static bool build_generations(struct reload *r, struct err *err) {
    struct gateway *g = r->gateway;
    struct generation_options options;
    worker_generation_options(g, r->site, &options);
    options.check_keys = true;
    struct generation *trial = generation_new(r->bundle, &options, err);
    if (!trial) return false;
    generation_free(&trial);
    options.check_keys = false;
    for (int i = 0; i < r->count; i++) {
        worker_lend(g->workers[i], &options);
        r->candidates[i] = generation_new(r->bundle, &options, err);
        if (!r->candidates[i]) return false;
    }
    return true;
}

static bool is_wanted(const struct reload *r, struct err *err) {
    const char *version = bundle_version(r->bundle);
    return !*r->wanted || strcmp(r->wanted, version) == 0 ||
           err_set(err, "the scripts have changed since they were checked (%s was, %s is there now): check them again", r->wanted, version);
}

// What is read of the gateway here changes only by a reload, and there is but one.
static void build(struct reload *r) {
    struct gateway *g = r->gateway;
    struct err err;
    bool good = r->bundle || // rollback
                (read_site(g, r, &err) && (r->bundle = bundle_read(r->site->conf->scripts, r->site->conf->stdlib, &err)) != NULL);
    if (!good || !is_wanted(r, &err) || !build_generations(r, &err)) fail(r, &err);
}

static void *builder_main(void *arg) {
    build(arg);
    step_home(arg);
    return NULL;
}

static void built(struct reload *r) {
    struct gateway *g = r->gateway;
    if (!r->joined) pthread_join(r->builder, NULL);
    if (r->failed) return finish(r);
    snprintf(r->result.version, sizeof r->result.version, "%s", bundle_version(r->bundle));
    bundle_diff(g->bundle, r->bundle, note_line, &r->result.changes);
    start_keeping(r);
}

// A stop may come in between: what is kept or switched already ends well, all else ends here; no trial begins.
static void next_phase(struct reload *r) {
    struct err stopping;
    bool is_kept = r->phase == PHASE_KEEP && !r->canary.share;
    if (r->gateway->stopping && !r->failed && !is_kept && r->phase != PHASE_SWITCH) {
        err_set(&stopping, "the gateway is stopping");
        fail(r, &stopping);
    }
    if (r->phase == PHASE_BUILD) built(r);
    else if (r->failed || r->phase == PHASE_SWITCH) finish(r);
    else if (r->gateway->stopping) leave_to_next_start(r);
    else switch_over(r);
}

static bool start_builder(struct reload *r, struct err *err) {
    sigset_t all, was; // signals are the main thread's
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int code = pthread_create(&r->builder, NULL, builder_main, r);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (code) return err_set(err, "cannot start a thread: %s", strerror(code));
    pthread_setname_np(r->builder, "reload");
    return true;
}

static bool begin(struct gateway *g, struct bundle *bundle, const struct reload_wish *wish, reload_fn done, void *arg, struct err *err) {
    struct reload *r = must_alloc(sizeof *r);
    r->gateway = g;
    r->started_us = clock_monotonic_us();
    r->done = done;
    r->arg = arg;
    r->bundle = bundle;
    if (bundle) r->site = site_ref(g->site); // rollback
    if (wish) r->canary = wish->canary;
    if (wish) snprintf(r->wanted, sizeof r->wanted, "%.*s", BYTES_FMT(wish->version));
    r->count = g->worker_count;
    r->candidates = must_alloc((size_t)r->count * sizeof(struct generation *));
    snprintf(r->result.was, sizeof r->result.was, "%s", bundle_version(g->bundle));
    if (start_builder(r, err)) {
        g->reload = r;
        return true;
    }
    free(r->candidates);
    bundle_free(&r->bundle);
    site_free(&r->site);
    free(r);
    return false;
}

static bool may_start(struct gateway *g, struct err *err) {
    if (g->stopping) return err_set(err, "the gateway is stopping");
    return !g->reload || err_set(err, "another reload is under way, try again in a moment");
}

bool reload_start(struct gateway *g, const struct reload_wish *wish, reload_fn done, void *arg, struct err *err) {
    return may_start(g, err) && begin(g, NULL, wish, done, arg, err);
}

bool reload_to(struct gateway *g, struct bundle *bundle, reload_fn done, void *arg, struct err *err) {
    return may_start(g, err) && begin(g, bundle_ref(bundle), NULL, done, arg, err);
}

bool reload_rollback(struct gateway *g, reload_fn done, void *arg, struct err *err) {
    if (!may_start(g, err)) return false;
    if (!g->previous) return err_set(err, "there is no earlier policy to go back to");
    return begin(g, bundle_ref(g->previous), NULL, done, arg, err);
}

void reload_end(struct gateway *g) {
    if (!g->reload || g->reload->phase != PHASE_BUILD) return;
    pthread_join(g->reload->builder, NULL);
    g->reload->joined = true;
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

static bool was_on_trial(struct gateway *g, const struct bundle *b) {
    struct bytes version;
    struct err err;
    struct reader *reader = reader_new(g->store, &err);
    if (!reader) {
        log_fault(&g->log, "whether %s was on trial or taken back cannot be read: %s", bundle_version(b), err.text);
        return false;
    }
    reader_begin(reader);
    bool was = reader_get(reader, TABLE_POLICY, bytes_of(trial_key), &version) && bytes_equal(version, bytes_of(bundle_version(b)));
    reader_end(reader);
    reader_free(&reader);
    return was;
}

struct bundle *reload_first_bundle(struct gateway *g, struct err *err) {
    g->previous = stored_bundle(g, "previous", NULL);
    struct bundle *b = bundle_read(g->site->conf->scripts, g->site->conf->stdlib, err);
    struct err older;
    if (b && was_on_trial(g, b)) {
        struct bundle *good = stored_bundle(g, "good", &older);
        if (loads(g, good, &older)) {
            log_fault(&g->log, "THE SCRIPTS FOLDER HOLDS %s, WHICH WAS ON TRIAL OR TAKEN BACK: running the policy that was in force, %s; "
                      "`tidegate reload` takes the folder's", bundle_version(b), bundle_version(good));
            bundle_free(&b);
            return good;
        }
        log_fault(&g->log, "THE SCRIPTS FOLDER HOLDS %s, WHICH WAS ON TRIAL OR TAKEN BACK, AND THE POLICY THAT WAS IN FORCE DOES NOT LOAD: %s. "
                  "Running the folder's", bundle_version(b), older.text);
        bundle_free(&good);
    }
    if (loads(g, b, err)) return b;
    bundle_free(&b);
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

// What runs now is in force, though it was on trial.
static bool forget_trial(const struct gateway *g, struct txn *txn, struct err *err) {
    struct bytes version;
    bool found;
    if (!txn_get(txn, TABLE_POLICY, bytes_of(trial_key), &version, &found, err)) return false;
    if (!found || !bytes_equal(version, bytes_of(bundle_version(g->bundle)))) return true;
    return txn_delete(txn, TABLE_POLICY, bytes_of(trial_key), err);
}

static bool put_first(struct store_op *op, struct txn *txn, struct err *err) {
    struct first *f = (struct first *)op;
    return forget_trial(f->gateway, txn, err) && txn_put(txn, TABLE_POLICY, BYTES("good"), buf_bytes(&f->encoded), err);
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
