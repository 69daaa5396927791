// SPDX-License-Identifier: MIT
#include "relay/control.h"

#include "base/nearest.h"
#include "base/utf8.h"
#include "base/version.h"
#include "net/listener.h"
#include "policy/spends.h"
#include "relay/asker.h"
#include "relay/canary.h"
#include "relay/catchup.h"
#include "relay/explain_control.h"
#include "relay/footprint.h"
#include "relay/identity_control.h"
#include "relay/lane_control.h"
#include "relay/lanes.h"
#include "relay/ledger.h"
#include "relay/log_control.h"
#include "relay/login.h"
#include "relay/queue_control.h"
#include "relay/reload.h"
#include "relay/runner.h"
#include "relay/shelf_control.h"
#include "relay/suppression_control.h"
#include "relay/token.h"
#include "relay/worker.h"

#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

struct control {
    struct listener *listener;
    struct askers *askers;
};

static void plain_done(struct asker *a) {
    asker_done_begin(a);
    asker_done_end(a);
}

// ---- asking every worker ------------------------------------------------------------------------------------------------------

// Each worker in turn adds its part; then `then` runs on the main loop.
struct round {
    struct task task;
    struct asker *asker;
    int next;
    void (*part)(struct worker *w, struct round *round);
    void (*then)(struct round *round);
    struct buf rows, identities; // lines of JSON
    uint64_t lanes, pauses, in_memory, script_memory, hooks, faults;
    int64_t oldest_ms; // when the queue's first message was received; 0: there is none
};

static void round_step(struct worker *w, void *arg) {
    struct round *round = arg;
    struct gateway *g = w->gateway;
    round->part(w, round);
    if (++round->next < g->worker_count) worker_post(g->workers[round->next], round_step, round);
    else loop_post(g->loop, &round->task);
}

static void round_home(struct task *task) {
    struct round *round = (struct round *)task;
    round->then(round);
    buf_release(&round->rows);
    buf_release(&round->identities);
    free(round);
}

static void start_round(struct asker *a, void (*part)(struct worker *, struct round *), void (*then)(struct round *)) {
    struct round *round = must_alloc(sizeof *round);
    round->task.run = round_home;
    round->asker = a;
    round->part = part;
    round->then = then;
    worker_post(asker_gateway(a)->workers[0], round_step, round);
}

// ---- status -------------------------------------------------------------------------------------------------------------------

static bool first_only(void *arg, const struct recipient *r) {
    *(uint64_t *)arg = r->id;
    return false;
}

// When it was received, in milliseconds; 0: nothing waits.
static int64_t oldest_of(struct reader *r) {
    struct message m = {0};
    uint64_t id = 0;
    reader_begin(r);
    bool found = !reader_recipients(r, 0, first_only, &id) && reader_message(r, id, &m);
    int64_t received_ms = found ? m.received_ms : 0;
    reader_end(r);
    return received_ms;
}

static void status_part(struct worker *w, struct round *round) {
    struct generation_stats stats;
    if (w->index == 0) round->oldest_ms = oldest_of(w->reader);
    generation_get_stats(w->generation, &stats);
    round->lanes += lanes_count(w->lanes);
    round->pauses = lanes_pauses(w->lanes); // all have the same
    round->in_memory += runner_in_memory(w->runner);
    round->script_memory += stats.memory;
    round->hooks += stats.hooks;
    round->faults += stats.faults;
}

static void put_store(struct jsonl *j, struct gateway *g) {
    struct store_stats s;
    store_get_stats(g->store, &s);
    jsonl_int(j, "messages", (int64_t)s.messages);
    jsonl_int(j, "recipients", (int64_t)s.recipients);
    jsonl_int(j, "due", (int64_t)s.due);
    jsonl_int(j, "parked", (int64_t)s.parked);
    jsonl_int(j, "held", (int64_t)s.held);
    jsonl_open(j, "store", '{');
    jsonl_textz(j, "path", g->site->conf->store);
    jsonl_int(j, "commits", (int64_t)s.commits);
    jsonl_int(j, "ops", (int64_t)s.ops);
    jsonl_int(j, "segments", (int64_t)s.segments);
    jsonl_int(j, "body_bytes_live", (int64_t)s.body_bytes_live);
    jsonl_int(j, "body_bytes_disk", (int64_t)s.body_bytes_disk);
    jsonl_int(j, "db_bytes", (int64_t)s.db_bytes);
    jsonl_int(j, "commit_us_last", (int64_t)s.commit_us_last);
    jsonl_int(j, "commit_us_max", (int64_t)s.commit_us_max);
    jsonl_bool(j, "has_room", store_has_room(g->store));
    jsonl_bool(j, "sick", store_is_sick(g->store));
    jsonl_int(j, "unwritten", (int64_t)atomic_load(&g->unwritten));
    jsonl_close(j, '}');
}

static void put_shared_limits(struct jsonl *j, const struct gateway *g) {
    char text[ADDR_TEXT];
    const struct addr *redis = &g->site->conf->ledger_redis;
    if (!redis->len) return;
    addr_text(redis, text);
    jsonl_open(j, "shared_limits", '{');
    jsonl_textz(j, "redis", text);
    jsonl_bool(j, "in_reach", atomic_load(&g->commons_lost) == 0);
    jsonl_close(j, '}');
}

static void put_listeners(struct jsonl *j, const struct conf *conf) {
    jsonl_open(j, "listeners", '[');
    for (size_t i = 0; i < conf->listener_count; i++) {
        char text[ADDR_TEXT];
        addr_text(&conf->listeners[i].address, text);
        jsonl_open(j, NULL, '{');
        jsonl_textz(j, "name", conf->listeners[i].name);
        jsonl_textz(j, "kind", listener_kind_name[conf->listeners[i].kind]);
        jsonl_textz(j, "address", text);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}

static void status_then(struct round *round) {
    struct gateway *g = asker_gateway(round->asker);
    struct counters *c = &g->counters;
    struct buf row = {0};
    struct jsonl j = jsonl_begin(&row);
    jsonl_textz(&j, "version", TIDEGATE_VERSION);
    jsonl_int(&j, "pid", getpid());
    jsonl_int(&j, "uptime_s", (clock_ms(&g->clock) - g->started_ms) / 1000);
    jsonl_textz(&j, "hostname", g->site->conf->hostname);
    jsonl_textz(&j, "policy", bundle_version(g->bundle));
    jsonl_textz(&j, "previous_policy", g->previous ? bundle_version(g->previous) : "");
    canary_show(g->canary, &j);
    jsonl_int(&j, "workers", g->worker_count);
    jsonl_bool(&j, "draining", g->draining);
    jsonl_bool(&j, "stopping", g->stopping);
    put_listeners(&j, g->site->conf);
    jsonl_int(&j, "connections", (int64_t)atomic_load(&c->sessions_in));
    jsonl_int(&j, "connections_out", (int64_t)atomic_load(&c->connections_out.taken));
    put_store(&j, g);
    put_shared_limits(&j, g);
    int64_t oldest_ms = clock_ms(&g->clock) - round->oldest_ms;
    if (round->oldest_ms) jsonl_int(&j, "oldest_s", oldest_ms > 0 ? oldest_ms / 1000 : 0);
    jsonl_int(&j, "lanes", (int64_t)round->lanes);
    jsonl_int(&j, "pauses", (int64_t)round->pauses);
    jsonl_int(&j, "in_memory", (int64_t)round->in_memory);
    jsonl_int(&j, "accepted", (int64_t)atomic_load(&c->accepted));
    jsonl_int(&j, "refused", (int64_t)atomic_load(&c->refused));
    jsonl_int(&j, "delivered", (int64_t)atomic_load(&c->delivered));
    jsonl_int(&j, "deferred", (int64_t)atomic_load(&c->deferred));
    jsonl_int(&j, "bounced", (int64_t)atomic_load(&c->bounced));
    jsonl_int(&j, "suppressed", (int64_t)atomic_load(&c->suppressed));
    jsonl_int(&j, "expired", (int64_t)atomic_load(&c->expired));
    jsonl_int(&j, "faults", (int64_t)atomic_load(&c->faults));
    jsonl_int(&j, "hooks", (int64_t)round->hooks);
    jsonl_int(&j, "script_memory", (int64_t)round->script_memory);
    jsonl_int(&j, "memory_in_flight", (int64_t)atomic_load(&c->memory_in_flight));
    jsonl_int(&j, "memory_fresh", (int64_t)atomic_load(&c->memory_fresh));
    jsonl_int(&j, "memory_rss", (int64_t)footprint_memory());
    footprint_show(g->footprint, &j);
    jsonl_time(&j, "now", clock_ms(&g->clock));
    jsonl_end(&j);
    asker_row(round->asker, buf_bytes(&row));
    buf_release(&row);
    plain_done(round->asker);
}

static void do_status(struct asker *a, const struct json *request) {
    (void)request;
    start_round(a, status_part, status_then);
}

// ---- lane -----------------------------------------------------------------------------------------------------------------------

static void add_row(void *arg, struct bytes json) { buf_add(arg, json); }
static void lane_part(struct worker *w, struct round *round) { lanes_show(w->lanes, add_row, &round->rows); }

static void rows_then(struct round *round) {
    struct bytes rest = buf_bytes(&round->rows);
    while (rest.len) asker_row(round->asker, bytes_cut(&rest, '\n'));
    plain_done(round->asker);
}

static void do_lane(struct asker *a, const struct json *request) {
    struct bytes action;
    if (json_text(json_get(request, "action"), &action) && !bytes_equal(action, BYTES("list"))) return lane_control(a, request);
    start_round(a, lane_part, rows_then);
}

// ---- limit ----------------------------------------------------------------------------------------------------------------------

static void limit_part(struct worker *w, struct round *round) { ledger_show(w->ledger, add_row, &round->rows); }

// What no message of ours shows: a complaint from a provider's feedback loop, a bounce that came by mail.
static void count_limit(struct asker *a, const struct json *request) {
    struct bytes key;
    int64_t n = 0, window_s = 86400;
    char account[SPEND_ACCOUNT_MAX];
    if (!json_text(json_get(request, "key"), &key) || key.len == 0 || key.len > SPEND_KEY_MAX || !utf8_is_valid(key))
        return asker_error(a, EX_USAGE, "key: a limit's key of 1 to %d bytes is expected", SPEND_KEY_MAX);
    if (!json_int(json_get(request, "count"), &n) || n < 1 || n > 1000000)
        return asker_error(a, EX_USAGE, "count: a number from 1 to 1000000 is expected");
    bool window = !json_get(request, "window_s") || json_int(json_get(request, "window_s"), &window_s);
    if (!window || window_s < 1 || window_s > 31 * 86400)
        return asker_error(a, EX_USAGE, "window_s: seconds from 1 to 31 days are expected");
    struct spend spend = {.key = key, .window_s = (uint32_t)window_s};
    ledger_count(asker_gateway(a), spend_account(&spend, account), (uint64_t)n);
    plain_done(a);
}

static void do_limit(struct asker *a, const struct json *request) {
    if (json_get(request, "count")) return count_limit(a, request);
    start_round(a, limit_part, rows_then);
}

// ---- identity -------------------------------------------------------------------------------------------------------------------

static void send_identity(void *arg, struct bytes json) { asker_row(arg, json); }

// All workers run the same scripts: one tells of the identities.
static void identity_part(struct worker *w, struct round *round) {
    if (w->index == 0) buf_add(&round->identities, generation_identities(w->generation));
    logins_show(w->logins, add_row, &round->rows);
    tokens_show(w->tokens, add_row, &round->rows);
}

static void identity_then(struct round *round) {
    logins_join(buf_bytes(&round->identities), buf_bytes(&round->rows), send_identity, round->asker);
    plain_done(round->asker);
}

static void do_identity(struct asker *a, const struct json *request) {
    if (json_get(request, "name")) return identity_control_show(a, request);
    start_round(a, identity_part, identity_then);
}

// ---- reload, rollback -----------------------------------------------------------------------------------------------------------

static void put_lines(struct jsonl *j, const char *name, const struct buf *lines) {
    struct bytes rest = buf_bytes(lines);
    jsonl_open(j, name, '[');
    while (rest.len) jsonl_text(j, NULL, bytes_cut(&rest, '\n'));
    jsonl_close(j, ']');
}

static void reload_done(void *arg, const struct reload_result *r) {
    struct asker *a = arg;
    struct gateway *g = asker_gateway(a);
    if (!r->canary) { // that has events of its own
        struct jsonl *e = event_begin(g->event_writer, r->done ? "reloaded" : "fault");
        jsonl_textz(e, "policy", bundle_version(g->bundle));
        jsonl_textz(e, "was", r->was);
        if (!r->done) jsonl_textz(e, "because", r->why.text);
        event_end(g->event_writer);
    }
    if (!r->done) return asker_error(a, EX_CONFIG, "%s", r->why.text);
    struct jsonl *j = asker_done_begin(a);
    jsonl_textz(j, "version", r->version);
    jsonl_textz(j, "was", r->was);
    if (r->canary) jsonl_bool(j, "canary", true);
    put_lines(j, "changed", &r->changes);
    put_lines(j, "warnings", &r->warnings);
    jsonl_int(j, "took_ms", r->took_ms);
    asker_done_end(a);
}

// canary (percent), for_s, margin (points), least; version.
static bool read_wish(const struct json *request, struct reload_wish *wish, struct err *err) {
    double share = 0, margin = 5;
    int64_t for_s = 600, least = 50;
    const struct json *canary = json_get(request, "canary"), *m = json_get(request, "margin");
    json_text(json_get(request, "version"), &wish->version);
    if (!canary) return true;
    if (!json_number(canary, &share) || share < 0.01 || share > 100) return err_set(err, "canary: a share from 0.01 to 100 percent is expected");
    if (m && (!json_number(m, &margin) || margin < 0 || margin > 100)) return err_set(err, "margin: 0 to 100 points are possible");
    json_int(json_get(request, "for_s"), &for_s);
    json_int(json_get(request, "least"), &least);
    if (for_s < 1 || for_s > 30 * 86400) return err_set(err, "for: 1 second to 30 days are possible");
    if (least < 1 || least > 1000000) return err_set(err, "least: 1 to 1,000,000 are possible");
    wish->canary = (struct canary_wish){(uint32_t)(share * 100 + 0.5), for_s, margin / 100, (uint32_t)least};
    return true;
}

static void do_canary(struct asker *a, const struct json *request) {
    struct canary *c = asker_gateway(a)->canary;
    struct bytes action = BYTES("");
    struct err err = {{0}};
    json_text(json_get(request, "action"), &action);
    bool good = bytes_equal(action, BYTES("promote")) ? canary_promote(c, &err)
                : bytes_equal(action, BYTES("withdraw")) ? canary_withdraw(c, "by hand", &err)
                                                        : err_set(&err, "canary: action is promote or withdraw");
    if (!good) return asker_error(a, EX_UNAVAILABLE, "%s", err.text);
    plain_done(a);
}

static void do_reload(struct asker *a, const struct json *request) {
    struct err err;
    struct reload_wish wish = {.version = BYTES("")};
    if (!read_wish(request, &wish, &err)) return asker_error(a, EX_USAGE, "reload: %s", err.text);
    if (!reload_start(asker_gateway(a), &wish, reload_done, a, &err)) asker_error(a, EX_CONFIG, "%s", err.text);
}

static void do_rollback(struct asker *a, const struct json *request) {
    struct err err;
    (void)request;
    if (!reload_rollback(asker_gateway(a), reload_done, a, &err)) asker_error(a, EX_UNAVAILABLE, "%s", err.text);
}

// ---- the small ones -----------------------------------------------------------------------------------------------------------------

static void do_drain(struct asker *a, const struct json *request) {
    (void)request;
    gateway_set_draining(asker_gateway(a), true);
    plain_done(a);
}

static void do_resume(struct asker *a, const struct json *request) {
    (void)request;
    gateway_set_draining(asker_gateway(a), false);
    plain_done(a);
}

static void do_stop(struct asker *a, const struct json *request) {
    (void)request;
    struct gateway *g = asker_gateway(a);
    plain_done(a);
    gateway_stop(g);
}

static void do_clock(struct asker *a, const struct json *request) {
    struct gateway *g = asker_gateway(a);
    int64_t seconds = 0;
    if (!g->options.virtual_clock) return asker_error(a, EX_USAGE, "clock: only with `tidegate run --virtual-clock`");
    if (json_get(request, "advance_s") && !json_int(json_get(request, "advance_s"), &seconds))
        return asker_error(a, EX_USAGE, "clock: advance_s is a number of seconds");
    clock_shift(&g->clock, seconds * 1000);
    gateway_clock_moved(g);
    struct jsonl *j = asker_done_begin(a);
    jsonl_time(j, "now", clock_ms(&g->clock));
    asker_done_end(a);
}

// ---- requests -----------------------------------------------------------------------------------------------------------------------

static const struct verb_row {
    const char *name;
    void (*run)(struct asker *a, const struct json *request);
    const char *fields; // besides "verb", separated by spaces
    bool tells_of_queue; // what was acknowledged is expected there
} verbs[] = {
    {"status", do_status, "", true},
    {"lane", do_lane, "action lane identity domain for_s because", false},
    {"identity", do_identity, "name", false},
    {"warmup", identity_control_warmup, "name", false},
    {"limit", do_limit, "key count window_s", false},
    {"suppression", suppression_control, "action address scope reason source expires_s filter limit format", false},
    {"shelf", shelf_control, "action key value expires_s prefix limit", false},
    {"explain", explain_control, "from to user client helo listener head body_size at_ms as id n", true},
    {"queue", queue_control, "action id filter limit count_only progress", true},
    {"reload", do_reload, "version canary for_s margin least", false},
    {"canary", do_canary, "action", false},
    {"rollback", do_rollback, "", false},
    {"drain", do_drain, "", false},
    {"resume", do_resume, "", false},
    {"log", log_control, "n follow id type address identity", false},
    {"clock", do_clock, "advance_s", false},
    {"stop", do_stop, "", false},
};

static bool is_listed(const char *list, struct bytes name) {
    struct bytes rest = bytes_of(list);
    while (rest.len)
        if (bytes_equal(bytes_cut(&rest, ' '), name)) return true;
    return false;
}

static bool check_fields(struct asker *a, const struct verb_row *row, const struct json *request) {
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(request, &at, &name, &value))
        if (!bytes_equal(name, BYTES("verb")) && !is_listed(row->fields, name)) {
            asker_error(a, EX_USAGE, "%s: unknown field '%.*s' (known: %s)", row->name, BYTES_FMT(name), row->fields);
            return false;
        }
    return true;
}

struct held_up {
    struct asker *asker;
    const struct verb_row *row;
    struct json *request;
};

static void run_held_up(void *arg) {
    struct held_up *h = arg;
    h->row->run(h->asker, h->request);
    json_free(&h->request);
    free(h);
}

// Takes the request.
static void run_verb(struct asker *a, const struct verb_row *row, struct json *request) {
    struct held_up *h = must_alloc(sizeof *h);
    *h = (struct held_up){a, row, request};
    if (row->tells_of_queue) catchup_wait(asker_gateway(a), run_held_up, h);
    else run_held_up(h);
}

static void run_request(struct asker *a, struct bytes line) {
    struct err err;
    struct bytes verb;
    struct json *request = json_parse(line, &err);
    if (!request) return asker_error(a, EX_USAGE, "not a JSON object: %s", err.text);
    if (!json_text(json_get(request, "verb"), &verb)) {
        asker_error(a, EX_USAGE, "a request is an object with a \"verb\"");
        return json_free(&request);
    }
    struct nearest near = nearest_to(verb);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        nearest_offer(&near, verbs[i].name);
        if (!bytes_equal(verb, bytes_of(verbs[i].name))) continue;
        if (!check_fields(a, &verbs[i], request)) return json_free(&request);
        return run_verb(a, &verbs[i], request);
    }
    struct buf hint = {0};
    nearest_hint(&near, &hint);
    asker_error(a, EX_USAGE, "unknown verb '%.*s'%s", BYTES_FMT(verb), buf_z(&hint));
    buf_release(&hint);
    json_free(&request);
}

// ---- the socket ---------------------------------------------------------------------------------------------------------------------

static void on_accepted(void *arg, int fd, const struct addr *peer) {
    struct control *c = arg;
    (void)peer;
    askers_accept(c->askers, fd);
}

struct control *control_new(struct gateway *g, int fd) {
    struct control *c = must_alloc(sizeof *c);
    c->askers = askers_new(g, run_request);
    c->listener = listener_new(g->loop, fd, on_accepted, c);
    return c;
}

void control_free(struct control **at) {
    struct control *c = *at;
    *at = NULL;
    if (!c) return;
    listener_free(&c->listener);
    askers_free(&c->askers);
    free(c);
}
