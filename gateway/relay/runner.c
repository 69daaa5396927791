// SPDX-License-Identifier: MIT
#include "relay/runner.h"

#include "base/bug.h"
#include "base/map.h"
#include "relay/canary.h"
#include "relay/job.h"
#include "relay/keeping.h"
#include "relay/leap.h"
#include "relay/outcome.h"

#include <stdlib.h>

enum { SCAN_BATCH = 256, PAUSE_MS = 1000, ATTEMPT_RECIPIENTS = 100, LONGEST_SLEEP_MS = 60000, AWAKE_MS = 60000 };

struct runner {
    struct worker *worker;
    struct timer *alarm;  // at the next due time
    struct task soon;     // posted while `scheduled`
    struct map working;   // (id, n) of what is in memory; the value is the runner itself: only presence counts
    struct due *batch;    // what one scan found
    size_t batch_count;
    bool scheduled, stopped, freed;
    struct leap leap;
    int64_t here_since_ms; // nobody who was due before then could be picked up in time
    // The clock was set back by lead_ms: what was written before is due by the clock as it was. Looked for up to led_ms.
    int64_t lead_ms, led_ms, led_until_ms; // until the clock says again what it said
    bool starved;         // the last scan stopped for want of room: look again when there is some
    bool caught_up;       // it came to the end of what was due
};

// ---- what is in memory -----------------------------------------------------------------------------------------------

struct key {
    char at[12];
};

static struct key key_of(uint64_t id, uint32_t n) {
    struct key k;
    put_be64(k.at, id);
    put_be32(k.at + 8, n);
    return k;
}

static bool is_working(const struct runner *r, uint64_t id, uint32_t n) {
    struct key k = key_of(id, n);
    return map_get(&r->working, bytes_range(k.at, sizeof k.at)) != NULL;
}

static void set_working(struct runner *r, uint64_t id, uint32_t n) {
    struct key k = key_of(id, n);
    map_put(&r->working, bytes_range(k.at, sizeof k.at), r);
}

size_t runner_in_memory(const struct runner *r) { return r->working.count; }

static size_t capacity(const struct runner *r) { return (size_t)r->worker->site->conf->limits.queue_in_memory; }

void runner_done(struct runner *r, uint64_t id, uint32_t n) {
    struct key k = key_of(id, n);
    map_remove(&r->working, bytes_range(k.at, sizeof k.at));
    // A quarter of the room at once: a scan walks over what is in memory, so it should be worth its while.
    if (r->starved && runner_in_memory(r) <= capacity(r) / 4 * 3) runner_wake(r);
}

// ---- routing ----------------------------------------------------------------------------------------------------------

static void tell_plan(struct job *job, const struct job_recipient *r) {
    const struct plan *p = r->plan;
    struct jsonl *j = event_begin(job->owner->events, "routed");
    jsonl_textz(j, "id", job->id_text);
    jsonl_int(j, "n", r->record.n);
    jsonl_text(j, "recipient", r->record.address);
    jsonl_textz(j, "plan", plan_kind_name[p->kind]);
    jsonl_text(j, "identity", p->identity.name);
    jsonl_text(j, "lane", p->lane);
    jsonl_int(j, "attempt", r->record.attempts + 1);
    jsonl_text(j, "policy", p->origin.version);
    jsonl_text(j, "where", p->origin.where);
    jsonl_text(j, "because", p->origin.because);
    event_end(job->owner->events);
}

static void dispatch(struct job *job) {
    size_t *which = must_alloc(job->count * sizeof *which);
    bool *taken = must_alloc(job->count * sizeof *taken);
    // job_close may free the job once its last recipient is settled, but never before this function has handed all out:
    // everything below answers later, from the loop.
    size_t total = job->count;
    for (size_t i = 0; i < total; i++) {
        const struct plan *plan = job->recipients[i].plan;
        if (taken[i]) continue;
        if (plan->kind != PLAN_SEND) {
            outcome_of_plan(job, i);
            continue;
        }
        size_t n = 0;
        for (size_t k = i; k < total && n < ATTEMPT_RECIPIENTS; k++) {
            const struct plan *other = job->recipients[k].plan;
            if (taken[k] || other->kind != PLAN_SEND || other->group != plan->group) continue;
            taken[k] = true;
            which[n++] = k;
        }
        attempt_go(attempt_new(job, plan, which, n));
    }
    free(taken);
    free(which);
}

struct asking {
    struct job *job;
    size_t at;
};

static void routed(void *arg) {
    struct job *job = arg;
    if (--job->routing == 0) dispatch(job);
}

static void on_plan(void *arg, const struct plan *plan) {
    struct asking *asking = arg;
    struct job *job = asking->job;
    struct job_recipient *r = &job->recipients[asking->at];
    if (job->owner->site->conf->journal_decisions) {
        r->routed = plan_ref(plan);
        r->trace = hook_trace(r->hook);
        r->trace.looked = arena_copy(&job->arena, r->trace.looked);
    }
    canary_tell(job->owner, job->message.id, job->generation, CANARY_DECIDED);
    if (plan->origin.fault) canary_tell(job->owner, job->message.id, job->generation, CANARY_FAULTS);
    r->hook = NULL;
    r->plan = plan_ref(plan);
    tell_plan(job, r);
    // A canary's scripts leave nothing behind.
    bool kept = !generation_is_on_trial(job->generation) && keeping_run(job->owner, plan, job->message.id, routed, job);
    if (!kept) routed(job);
}

// Due before its end, and picked up only after it: we were away, or the clock has jumped. What came of that is not the recipient's
// fault: it gets its attempt, and if that does not settle it, the time it is due next is its end. One that was to be called back is due
// only at its end: it had nobody to call it if that came while we were away.
static bool has_missed_its_turn(const struct job *job) {
    int64_t end = job->message.expires_ms, awake_ms = job->owner->runner->here_since_ms + AWAKE_MS;
    for (size_t i = 0; i < job->count; i++) {
        const struct recipient *r = &job->recipients[i].record;
        if (r->due_ms < end || (r->state == RECIPIENT_PARKED && r->due_ms == end && end < awake_ms)) return true;
    }
    return false;
}

static void route(struct job *job) {
    int64_t now = clock_ms(&job->owner->gateway->clock);
    if (now >= job->message.expires_ms && !has_missed_its_turn(job)) {
        for (size_t i = 0, n = job->count; i < n; i++) outcome_expired(job, i);
        return;
    }
    job->routing = job->count;
    for (size_t i = 0; i < job->count; i++) {
        struct asking *asking = arena_alloc(&job->arena, sizeof *asking);
        *asking = (struct asking){job, i};
        job->recipients[i].hook = hook_route(job->generation, &job->facts, &job->recipients[i].facts, on_plan, asking);
    }
}

// ---- picking up ---------------------------------------------------------------------------------------------------------

static bool is_ripe(const struct runner *r, const struct recipient *rec, bool called) {
    if (is_working(r, rec->id, rec->n)) return false;
    if (rec->state == RECIPIENT_HELD && rec->due_ms > clock_ms(&r->worker->gateway->clock)) return false;
    return called || rec->due_ms <= clock_ms(&r->worker->gateway->clock);
}

// Loads `count` recipients of one message, all inside one read of the store. NULL: none of them is to be worked on.
static struct job *load(struct runner *r, const struct due *due, size_t count, bool called) {
    struct message m;
    struct job *job = NULL;
    for (size_t i = 0; i < count; i++) {
        struct recipient rec;
        if (!reader_recipient(r->worker->reader, due[i].id, due[i].n, &rec) || !is_ripe(r, &rec, called)) continue;
        if (!job && !reader_message(r->worker->reader, due[i].id, &m)) break;
        if (!job) job = job_new(r->worker, &m);
        job_add(job, &rec);
        set_working(r, rec.id, rec.n);
    }
    return job;
}

static bool note_due(void *arg, const struct due *due) {
    struct runner *r = arg;
    if (gateway_worker_of(r->worker->gateway, due->id) != r->worker || is_working(r, due->id, due->n)) return true;
    if (r->batch_count == SCAN_BATCH || runner_in_memory(r) + r->batch_count >= capacity(r)) return false;
    r->batch[r->batch_count++] = *due;
    return true;
}

static size_t same_message(const struct due *due, size_t count) {
    size_t n = 1;
    while (n < count && due[n].id == due[0].id) n++;
    return n;
}

static void start_batch(struct runner *r, bool called) {
    struct job *jobs[SCAN_BATCH];
    size_t count = 0;
    reader_begin(r->worker->reader);
    for (size_t i = 0, n; i < r->batch_count; i += n) {
        n = same_message(r->batch + i, r->batch_count - i);
        struct job *job = load(r, r->batch + i, n, called);
        if (job) jobs[count++] = job;
    }
    reader_end(r->worker->reader);
    for (size_t i = 0; i < count; i++) route(jobs[i]);
}

static void sleep_until_next(struct runner *r, int64_t now) {
    int64_t next;
    reader_begin(r->worker->reader);
    bool any = reader_due_next(r->worker->reader, now, &next);
    reader_end(r->worker->reader);
    // Not longer than a minute: the machine's clock may be set.
    int64_t longest = r->lead_ms ? PAUSE_MS : LONGEST_SLEEP_MS;
    int64_t wait = any && next - now < longest ? next - now : longest;
    timer_set(r->alarm, wait > 0 ? wait : 1);
}

static void set_back(struct runner *r, int64_t by_ms, int64_t now) {
    r->lead_ms = r->lead_ms + by_ms;
    r->led_ms = now;
    r->led_until_ms = now + r->lead_ms;
    log_warn(&r->worker->gateway->log, "the clock was set back by %lld s: what waits is due by the clock as it was", (long long)by_ms / 1000);
}

// A play's clock only leaps (relay/rehearsal).
static void look_at_clock(struct runner *r) {
    struct gateway *g = r->worker->gateway;
    int64_t now = clock_ms(&g->clock), by = g->rehearsal ? 0 : leap_look(&r->leap, now, clock_monotonic_us() / 1000);
    if (!r->here_since_ms && !g->rehearsal) { // it may have been set while nobody was here: no message is of a later time than now
        uint64_t last = store_last_id(g->store);
        if (last && id_ms(last) >= now + LEAP_LEAST_MS) by = now - id_ms(last);
    }
    if (by || !r->here_since_ms) r->here_since_ms = now;
    if (by < 0) set_back(r, -by, now);
    if (now >= r->led_until_ms) r->lead_ms = 0;
}

// Written before the clock was set back: it tells of a time that has not come. What was put off since then is due as it says.
static bool note_led(void *arg, const struct due *due) {
    struct runner *r = arg;
    struct recipient rec;
    int64_t now = clock_ms(&r->worker->gateway->clock);
    if (r->batch_count == SCAN_BATCH || runner_in_memory(r) + r->batch_count >= capacity(r)) return false;
    r->led_ms = due->due_ms - 1;
    if (gateway_worker_of(r->worker->gateway, due->id) != r->worker || is_working(r, due->id, due->n)) return true;
    if (!reader_recipient(r->worker->reader, due->id, due->n, &rec) || rec.state != RECIPIENT_DUE) return true;
    if ((rec.last_ms ? rec.last_ms : id_ms(rec.id)) > now) r->batch[r->batch_count++] = *due;
    return true;
}

// Each is looked at once, when its time comes by the clock as it was.
static void scan_led(struct runner *r, int64_t now) {
    r->batch_count = 0;
    reader_begin(r->worker->reader);
    bool complete = reader_due(r->worker->reader, &(struct due){.due_ms = r->led_ms, .id = UINT64_MAX, .n = UINT32_MAX}, now + r->lead_ms, note_led, r);
    reader_end(r->worker->reader);
    if (complete) r->led_ms = now + r->lead_ms;
    else if (runner_in_memory(r) + r->batch_count < capacity(r)) runner_wake(r);
    else r->starved = true;
    start_batch(r, true);
}

static void scan(struct runner *r) {
    struct gateway *g = r->worker->gateway;
    look_at_clock(r);
    int64_t now = clock_ms(&g->clock);
    if (r->stopped) return;
    if (!gateway_may_send(g)) {
        timer_set(r->alarm, PAUSE_MS);
        return;
    }
    r->batch_count = 0;
    reader_begin(r->worker->reader);
    bool complete = reader_due(r->worker->reader, &(struct due){0}, now, note_due, r);
    reader_end(r->worker->reader);
    r->caught_up = complete;
    r->starved = !complete && runner_in_memory(r) + r->batch_count >= capacity(r);
    start_batch(r, false);
    if (complete && r->lead_ms) scan_led(r, now);
    if (complete) sleep_until_next(r, now);
    else if (!r->starved) runner_wake(r);
}

// Never past those that wait in the store for room, or for the first look.
bool runner_take(struct runner *r, const struct message *m, const struct recipient *recipients, size_t count) {
    if (r->stopped || !r->caught_up || count > SCAN_BATCH || runner_in_memory(r) + count > capacity(r)) return false;
    if (!gateway_may_send(r->worker->gateway)) return false;
    struct job *job = job_new(r->worker, m);
    for (size_t i = 0; i < count; i++) {
        job_add(job, &recipients[i]);
        set_working(r, m->id, recipients[i].n);
    }
    route(job);
    return true;
}

static void on_soon(struct task *task) {
    struct runner *r = (struct runner *)((char *)task - offsetof(struct runner, soon));
    r->scheduled = false;
    if (r->freed) free(r);
    else scan(r);
}

void runner_wake(struct runner *r) {
    if (r->scheduled || r->stopped) return;
    r->scheduled = true;
    loop_post(r->worker->loop, &r->soon);
}

static void wake(struct worker *w, void *arg) {
    (void)arg;
    runner_wake(w->runner);
}

void runner_wake_there(struct worker *w) { worker_post(w, wake, NULL); }

static void on_alarm(void *arg) { runner_wake(arg); }

struct called {
    size_t count;
    char account[SPEND_ACCOUNT_MAX]; // "": a lane called
    struct due parked[];
};

static void unpark(struct worker *w, void *arg) {
    struct called *c = arg;
    struct runner *r = w->runner;
    struct job *job = NULL;
    if (!r->stopped && gateway_may_send(w->gateway)) {
        reader_begin(w->reader);
        job = load(r, c->parked, c->count, true);
        reader_end(w->reader);
    }
    if (!job && c->account[0]) ledger_tell_back(w->gateway, bytes_of(c->account), c->parked[0].id, false);
    free(c);
    if (job) route(job);
}

void runner_call(struct gateway *g, struct bytes account, const struct due *parked, size_t count) {
    for (size_t i = 0, n; i < count; i += n) {
        n = same_message(parked + i, count - i);
        struct called *c = must_alloc(sizeof *c + n * sizeof *parked);
        c->count = n;
        bug_if(account.len >= sizeof c->account);
        memcpy(c->account, account.at, account.len);
        memcpy(c->parked, parked + i, n * sizeof *parked);
        worker_post(gateway_worker_of(g, parked[i].id), unpark, c);
    }
}

struct runner *runner_new(struct worker *w) {
    struct runner *r = must_alloc(sizeof *r);
    r->worker = w;
    r->alarm = timer_new(w->loop, on_alarm, r);
    r->soon.run = on_soon;
    r->batch = must_alloc(SCAN_BATCH * sizeof *r->batch);
    return r;
}

void runner_stop(struct runner *r) {
    r->stopped = true;
    timer_stop(r->alarm);
}

bool runner_is_idle(const struct runner *r) { return r->working.count == 0; }

void runner_free(struct runner **at) {
    struct runner *r = *at;
    *at = NULL;
    if (!r) return;
    timer_free(&r->alarm);
    map_release(&r->working);
    free(r->batch);
    if (r->scheduled) r->freed = true;
    else free(r);
}
