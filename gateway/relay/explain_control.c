// SPDX-License-Identifier: MIT
#include "relay/explain_control.h"

#include "policy/spends.h"
#include "relay/explain.h"
#include "relay/explain_past.h"
#include "relay/lanes.h"
#include "relay/ledger.h"
#include "relay/worker.h"
#include "store/shelf.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>

enum { JOBS_MAX = 4, HOOK_MS = 10000 };

struct explain_job {
    struct task home; // first: posted when the thread has done its work
    struct explain_job *next;
    struct gateway *gateway;
    struct asker *asker;
    struct arena arena;
    pthread_t thread;
    bool joined;
    // What the thread stands on.
    struct site *site;
    struct bundle *bundle;
    struct reader *reader;
    struct lab *lab;
    struct generation_options usual;
    struct dns_options resolver;
    struct fetch_options web;
    struct reply closed;
    struct explain_ask ask;
    uint64_t id; // of the message that was taken; 0: about one that nobody sends
    int64_t n, now_ms;
    // What came of it.
    struct buf rows; // lines
    bool good;
    int code;
    struct err err;
};

// ---- eyes: asked of the worker where the thing lives; the job's thread waits, which nobody minds

struct look {
    sem_t there;
    const struct spend *spend;
    struct bytes key; // of the account or the lane
    uint64_t n;
    struct limit_state limit;
    struct way_state way;
    bool found;
};

static void look_at_limit(struct worker *w, void *arg) {
    struct look *look = arg;
    ledger_look(w->ledger, look->spend, look->n, &look->limit);
    sem_post(&look->there);
}

static void look_at_lane(struct worker *w, void *arg) {
    struct look *look = arg;
    look->found = lanes_look(w->lanes, look->key, &look->way);
    sem_post(&look->there);
}

static void look_there(struct gateway *g, struct look *look, void (*fn)(struct worker *w, void *arg)) {
    sem_init(&look->there, 0, 0);
    worker_post(gateway_worker_of_lane(g, look->key), fn, look);
    while (sem_wait(&look->there) != 0) {} // EINTR
    sem_destroy(&look->there);
}

static bool see_limit(void *arg, const struct spend *s, uint64_t n, struct limit_state *out) {
    struct explain_job *job = arg;
    char name[SPEND_ACCOUNT_MAX];
    struct look look = {.spend = s, .n = n, .key = spend_account(s, name)};
    look_there(job->gateway, &look, look_at_limit);
    *out = look.limit;
    return true;
}

static void look_limit(void *arg, const struct spend *s, uint64_t n, int64_t now_ms, struct limit_state *out) {
    (void)now_ms; // the ledger goes by the gateway's clock, whatever the question's is
    see_limit(arg, s, n, out);
}

static bool see_way(void *arg, struct bytes lane, struct way_state *out) {
    struct explain_job *job = arg;
    struct look look = {.key = lane};
    look_there(job->gateway, &look, look_at_lane);
    *out = look.way;
    return look.found;
}

static bool is_suppressed(void *arg, const struct bytes *scopes, size_t count, struct bytes address, struct arena *texts,
                          struct suppression *out) {
    struct explain_job *job = arg;
    reader_begin(job->reader);
    bool found = reader_suppressed(job->reader, scopes, count, address, job->now_ms, out);
    if (found) {
        out->reason = arena_copy(texts, out->reason);
        out->source = arena_copy(texts, out->source);
    }
    reader_end(job->reader);
    return found;
}

// ---- the thread

static void add_row(void *arg, struct bytes json) {
    struct explain_job *job = arg;
    buf_add(&job->rows, json);
    buf_byte(&job->rows, '\n');
}

static void tell_setting(struct explain_job *job) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    jsonl_textz(&j, "step", "setting");
    jsonl_bool(&j, "live", true);
    jsonl_textz(&j, "policy", bundle_version(job->bundle));
    jsonl_time(&j, "at", job->now_ms);
    jsonl_close(&j, '}');
    add_row(job, buf_bytes(&out));
    buf_release(&out);
}

static void explain(struct explain_job *job) {
    struct explain_place place = {.lab = job->lab, .conf = job->site->conf, .users = job->site->users,
                                  .closed = job->closed.code ? &job->closed : NULL};
    lab_clock(job->lab)->frozen_ms = job->now_ms;
    tell_setting(job);
    job->good = lab_use(job->lab, job->bundle, false, &job->err) && explain_message(&place, &job->ask, add_row, job, &job->err);
    job->code = EX_DATAERR;
}

// What of a message is still queued.
struct queued {
    struct explain_job *job;
    struct message message;
    struct recipient recipients[EXPLAIN_RECIPIENTS];
    size_t count;
};

static bool keep_recipient(void *arg, const struct recipient *r) {
    struct queued *q = arg;
    if (q->job->n != EXPLAIN_ALL && q->job->n != r->n) return true;
    recipient_copy(&q->job->arena, r, &q->recipients[q->count++]);
    return q->count < EXPLAIN_RECIPIENTS;
}

static void find_queued(struct queued *q) {
    struct message m;
    reader_begin(q->job->reader);
    if (reader_message(q->job->reader, q->job->id, &m)) {
        message_copy(&q->job->arena, &m, &q->message);
        reader_recipients_of(q->job->reader, q->job->id, keep_recipient, q);
    }
    reader_end(q->job->reader);
}

// What route would say now of those that wait.
static bool explain_what_is_queued(struct explain_job *job) {
    struct explain_place place = {.lab = job->lab, .conf = job->site->conf, .users = job->site->users};
    struct queued *q = must_alloc(sizeof *q);
    bool good = true;
    q->job = job;
    find_queued(q);
    lab_clock(job->lab)->frozen_ms = job->now_ms;
    if (q->count) good = lab_use(job->lab, job->bundle, false, &job->err);
    for (size_t i = 0; good && i < q->count; i++)
        good = explain_queued(&place, &q->message, &q->recipients[i], add_row, job, &job->err);
    free(q);
    return good;
}

static void explain_the_past(struct explain_job *job) {
    struct prospect_eyes eyes = {.limit = see_limit, .way = see_way, .arg = job};
    char id[ID_TEXT];
    id_text(job->id, id);
    tell_setting(job);
    job->code = EX_DATAERR;
    if (explain_past(job->reader, job->id, job->n, &eyes, job->now_ms, add_row, job)) job->good = explain_what_is_queued(job);
    else err_set(&job->err, "%s is neither in the queue nor in the journal", id);
}

static void *thread_main(void *arg) {
    struct explain_job *job = arg;
    if (job->id) explain_the_past(job);
    else explain(job);
    reader_free(&job->reader); // the way home may be longer than the store's life, when the gateway stops
    loop_post(job->gateway->loop, &job->home);
    return NULL;
}

// ---- at home

static void job_free(struct explain_job *job) {
    lab_free(&job->lab);
    reader_free(&job->reader);
    if (job->bundle) bundle_free(&job->bundle);
    site_free(&job->site);
    buf_release(&job->rows);
    arena_release(&job->arena);
    free(job);
}

static void forget(struct explain_job *job) {
    struct explain_job **at = &job->gateway->explaining;
    while (*at != job) at = &(*at)->next;
    *at = job->next;
    if (!job->joined) pthread_join(job->thread, NULL);
}

static void come_home(struct task *task) {
    struct explain_job *job = (struct explain_job *)task;
    struct asker *a = job->asker;
    forget(job);
    struct bytes rest = buf_bytes(&job->rows);
    while (rest.len) asker_row(a, bytes_cut(&rest, '\n'));
    if (job->good) {
        asker_done_begin(a);
        asker_done_end(a);
    } else {
        asker_error(a, job->code, "explain: %s", job->err.text);
    }
    job_free(job);
}

void explain_control_stop(struct gateway *g) {
    for (struct explain_job *job = g->explaining; job; job = job->next)
        lab_abandon(job->lab);
    for (struct explain_job *job = g->explaining; job; job = job->next) {
        if (!job->joined) pthread_join(job->thread, NULL);
        job->joined = true;
    }
}

// ---- the question

static bool read_text(struct explain_job *job, const struct json *request, const char *name, struct bytes *out) {
    struct bytes text;
    const struct json *value = json_get(request, name);
    *out = BYTES("");
    if (!value) return true;
    if (!json_text(value, &text)) return err_set(&job->err, "%s is a text", name);
    *out = arena_copy(&job->arena, text);
    return true;
}

static bool read_recipients(struct explain_job *job, const struct json *request) {
    const struct json *to = json_get(request, "to");
    size_t count = json_count(to);
    if (json_kind(to) != JSON_LIST || !count || count > EXPLAIN_RECIPIENTS)
        return err_set(&job->err, "to is a list of 1 to %d addresses", EXPLAIN_RECIPIENTS);
    struct bytes *recipients = arena_alloc(&job->arena, count * sizeof *recipients), text;
    for (size_t i = 0; i < count; i++) {
        if (!json_text(json_item(to, i), &text)) return err_set(&job->err, "to is a list of addresses");
        recipients[i] = arena_copy(&job->arena, text);
    }
    job->ask.recipients = recipients;
    job->ask.recipient_count = count;
    return true;
}

static bool read_ask(struct explain_job *job, const struct json *request) {
    struct explain_ask *ask = &job->ask;
    int64_t body_size = 0;
    struct bytes as;
    if (!read_text(job, request, "from", &ask->sender) || !read_text(job, request, "user", &ask->user) ||
        !read_text(job, request, "client", &ask->client) || !read_text(job, request, "helo", &ask->helo) ||
        !read_text(job, request, "listener", &ask->listener) || !read_text(job, request, "head", &ask->head) ||
        !read_text(job, request, "as", &as) || !read_recipients(job, request))
        return false;
    if (as.len && !id_parse(as, &ask->id)) return err_set(&job->err, "as: a message id is 16 hex digits");
    if (json_get(request, "body_size") && (!json_int(json_get(request, "body_size"), &body_size) || body_size < 0))
        return err_set(&job->err, "body_size is a number of bytes");
    if (json_get(request, "at_ms") && (!json_int(json_get(request, "at_ms"), &job->now_ms) || job->now_ms <= 0))
        return err_set(&job->err, "at_ms is a time in milliseconds since 1970");
    ask->body_size = (uint64_t)body_size;
    return true;
}

static bool read_past(struct explain_job *job, const struct json *request) {
    struct bytes id;
    job->n = EXPLAIN_ALL;
    if (!json_text(json_get(request, "id"), &id) || !id_parse(id, &job->id) || !job->id)
        return err_set(&job->err, "id: a message id is 16 hex digits");
    if (json_get(request, "n") && (!json_int(json_get(request, "n"), &job->n) || job->n < 0))
        return err_set(&job->err, "n is a recipient's number");
    return true;
}

static bool is_shelved(void *arg, struct bytes key, struct arena *texts, struct bytes *value) {
    struct explain_job *job = arg;
    struct shelf_entry e;
    reader_begin(job->reader);
    bool found = reader_shelf(job->reader, key, job->now_ms, &e);
    if (found) *value = arena_copy(texts, e.value);
    reader_end(job->reader);
    return found;
}

static bool open_lab(struct explain_job *job) {
    struct gateway *g = job->gateway;
    const struct conf *conf = job->site->conf;
    worker_generation_options(g, job->site, &job->usual);
    if (job->usual.time_max_ms > HOOK_MS) job->usual.time_max_ms = HOOK_MS;
    job->resolver = (struct dns_options){.servers = conf->dns_servers, .timeout_ms = conf->dns_timeout_ms,
                                         .trust_ad = conf->dns_trust_ad, .clock = &g->clock, .log = &g->log};
    job->web = (struct fetch_options){.ca_file = conf->http_ca ? conf->http_ca : conf->ca, .private_ok = conf->http_private};
    struct lab_options options = {
        .usual = &job->usual,
        .limits = {.look = look_limit, .arg = job},
        .world = {.resolver = &job->resolver, .web = &job->web, .suppressed = is_suppressed, .shelved = is_shelved, .way = see_way, .arg = job}};
    if (g->draining) job->closed = reply_make(421, "4.3.2", "%s is being drained, try again later", conf->hostname);
    else if (!store_has_room(g->store)) job->closed = reply_make(452, "4.3.1", "Insufficient system storage, try again later");
    job->lab = lab_new(&options, &job->err);
    return job->lab;
}

static bool start(struct explain_job *job, const struct json *request) {
    if (json_get(request, "id") ? !read_past(job, request) : !read_ask(job, request)) return false;
    job->code = EX_UNAVAILABLE;
    job->reader = reader_new(job->gateway->store, &job->err);
    if (!job->reader || !open_lab(job)) return false;
    sigset_t all, was; // signals are the main thread's
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int code = pthread_create(&job->thread, NULL, thread_main, job);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    return code == 0 || err_set(&job->err, "no thread: %s", strerror(code));
}

void explain_control(struct asker *a, const struct json *request) {
    struct gateway *g = asker_gateway(a);
    size_t count = 0;
    for (const struct explain_job *job = g->explaining; job; job = job->next) count++;
    if (g->stopping) return asker_error(a, EX_TEMPFAIL, "explain: the gateway is stopping");
    if (count >= JOBS_MAX) return asker_error(a, EX_TEMPFAIL, "explain: %d are being explained already, try again", JOBS_MAX);
    struct explain_job *job = must_alloc(sizeof *job);
    job->home.run = come_home;
    job->gateway = g;
    job->asker = a;
    job->now_ms = clock_ms(&g->clock);
    job->site = site_ref(g->site);
    job->bundle = bundle_ref(g->bundle);
    job->code = EX_USAGE;
    if (!start(job, request)) {
        asker_error(a, job->code, "explain: %s", job->err.text);
        return job_free(job);
    }
    job->next = g->explaining;
    g->explaining = job;
}
