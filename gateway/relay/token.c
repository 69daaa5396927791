// SPDX-License-Identifier: MIT
#include "relay/token.h"

#include "base/bug.h"
#include "base/map.h"
#include "relay/lanes.h"
#include "relay/oauth.h"
#include "relay/rotation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    ENDPOINT_MS = 20 * SECOND_MS, // for the endpoint to answer in
    RETRY_MS = 15 * SECOND_MS,
    RETRY_MOST_MS = 10 * MINUTE_MS,
    LASTING_MS = 5 * MINUTE_MS,
    LASTING_MOST_MS = 60 * MINUTE_MS,
    SPARE_MOST_MS =
        MINUTE_MS, // before its end a token is not given out any more; a tenth of its life, at most this
    YOUNG_MS = MINUTE_MS, // a token so new that is refused is not the reason
    IDLE_MS = 24 * 60 * MINUTE_MS,
    ACCOUNTS_MAX = 10000,
    ANSWER_MAX = 64 * 1024,
    FILE_MAX = 16 * 1024,
};

struct account {
    struct tokens *tokens;
    char *name; // user, URL, client and scope with NULs between: as it is known in the map and the store
    size_t name_len;
    const struct plan *plan; // of who asked last: it says how to log in
    uint64_t secrets;        // hash of what it says that the name does not
    int64_t asked_ms;
    struct buf token;
    int64_t fetched_ms, expires_ms, renew_ms;
    struct buf configured; // the refresh token as configured, and
    struct buf refresh;    // the one in use, while the endpoint is asked
    struct buf secret;
    struct buf successor, successor_of; // the last one given by the endpoint: the store may not have it yet
    int64_t rotated_ms, refresh_expires_ms; // 0: never, not known
    int failures;                           // in a row
    int64_t failed_ms, retry_ms;
    struct err why;
    struct fetch_ticket *fetch;
    struct token_ticket *waiting, **waiting_end;
    struct timer *timer;
};

struct tokens {
    struct worker *worker;
    struct map accounts;
};

// Goes from its asker to the owner of the account and home again; whose loop it is posted to, that thread may
// touch it. `cancelled` is the asker's alone.
struct token_ticket {
    struct task task;
    struct token_ticket *next; // among those that wait
    struct worker *asker, *owner;
    const struct plan *plan;
    struct buf refused, token;
    struct err why;
    bool cancelled;
    void (*answer)(void *arg, const struct token_answer *answer);
    void *arg;
};

static int64_t now_of(const struct account *a) {
    return clock_ms(&a->tokens->worker->gateway->clock);
}

static void wipe(struct buf *b) {
    if (b->at) explicit_bzero(b->at, b->cap);
    buf_release(b);
}

static void put(struct buf *b, struct bytes secret) {
    wipe(b);
    buf_reserve(b, secret.len + 1);
    buf_add(b, secret);
}

// ---- tickets ------------------------------------------------------------------------------------

static void ticket_free(struct token_ticket *t) {
    plan_free(&t->plan);
    wipe(&t->refused);
    wipe(&t->token);
    free(t);
}

static void deliver(struct task *task) {
    struct token_ticket *t = (struct token_ticket *)task;
    if (!t->cancelled)
        t->answer(t->arg, &(struct token_answer){.token = buf_bytes(&t->token), .why = t->why.text});
    ticket_free(t);
}

static void go_home(struct token_ticket *t) {
    t->task.run = deliver;
    loop_post(t->asker->loop, &t->task);
}

// The owner is being closed, all threads have ended. An asker that is gone itself has cancelled before.
static void decline(struct token_ticket *t) {
    if (t->cancelled) return ticket_free(t);
    err_set(&t->why, "the gateway is stopping");
    go_home(t);
}

static void give(struct token_ticket *t, const struct account *a) {
    put(&t->token, buf_bytes(&a->token));
    t->why.text[0] = 0;
    go_home(t);
}

static void refuse(struct token_ticket *t, const char *why) {
    err_set(&t->why, "%s", why);
    go_home(t);
}

void token_cancel(struct token_ticket **ticket) {
    if (*ticket) (*ticket)->cancelled = true;
    *ticket = NULL;
}

// ---- accounts -----------------------------------------------------------------------------------

static void add_name(struct buf *out, const struct plan *plan) {
    const struct oauth *o = &plan->via.oauth;
    const struct bytes *parts[] = {&plan->via.user, &o->token_url, &o->client_id, &o->scope};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_add(out, *parts[i]);
        buf_byte(out, 0);
    }
}

static uint64_t secrets_of(const struct plan *plan) {
    const struct oauth *o = &plan->via.oauth;
    const struct bytes *parts[] = {&o->client_secret, &o->client_secret_file, &o->refresh_token,
                                   &o->refresh_token_file};
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        all = all * 31 + bytes_hash(*parts[i]);
    return all;
}

static struct bytes name_of(const struct account *a) {
    return bytes_range(a->name, a->name_len);
}

static void on_timer(void *arg);

static struct account *account_new(struct tokens *ts, struct bytes name, const struct plan *plan) {
    struct account *a = must_alloc(sizeof *a);
    a->tokens = ts;
    a->name = bytes_dupz(name);
    a->name_len = name.len;
    a->plan = plan_ref(plan);
    a->secrets = secrets_of(plan);
    a->waiting_end = &a->waiting;
    a->timer = timer_new(ts->worker->loop, on_timer, a);
    map_put(&ts->accounts, name, a);
    return a;
}

static void forget_secrets(struct account *a) {
    wipe(&a->configured);
    wipe(&a->refresh);
    wipe(&a->secret);
}

static void account_free(struct account *a) {
    bug_if(a->waiting);
    fetch_cancel(&a->fetch);
    timer_free(&a->timer);
    plan_free(&a->plan);
    forget_secrets(a);
    wipe(&a->successor);
    wipe(&a->successor_of);
    wipe(&a->token);
    map_remove(&a->tokens->accounts, name_of(a));
    free(a->name);
    free(a);
}

static int64_t spare_ms(const struct account *a) {
    int64_t tenth = (a->expires_ms - a->fetched_ms) / 10;
    return tenth < SPARE_MOST_MS ? tenth : SPARE_MOST_MS;
}

static bool is_good(const struct account *a) {
    return a->token.len && now_of(a) < a->expires_ms - spare_ms(a);
}

static void tell_waiting(struct account *a) {
    struct token_ticket *t = a->waiting;
    a->waiting = NULL;
    a->waiting_end = &a->waiting;
    for (struct token_ticket *next; t; t = next) {
        next = t->next;
        if (is_good(a))
            give(t, a);
        else
            refuse(t, a->why.text);
    }
}

// ---- telling ------------------------------------------------------------------------------------

static void put_account(struct jsonl *j, const struct account *a) {
    jsonl_text(j, "login", a->plan->via.user);
    jsonl_text(j, "identity", a->plan->identity.name);
    jsonl_text(j, "token_url", a->plan->via.oauth.token_url);
}

static void tell_failure(struct account *a, bool lasting) {
    struct worker *w = a->tokens->worker;
    log_warn(&w->gateway->log, "login %.*s: no new access token: %s", BYTES_FMT(a->plan->via.user),
             a->why.text);
    atomic_fetch_add(&w->gateway->counters.faults, 1);
    struct jsonl *j = event_begin(w->events, "fault");
    put_account(j, a);
    jsonl_textz(j, "because", a->why.text);
    jsonl_bool(j, "lasting", lasting);
    jsonl_int(j, "failures", a->failures);
    jsonl_time(j, "due", a->retry_ms);
    if (is_good(a)) jsonl_time(j, "expires", a->expires_ms);
    event_end(w->events);
}

static void tell_news(struct account *a, const char *because) {
    struct worker *w = a->tokens->worker;
    struct jsonl *j = event_begin(w->events, "token");
    put_account(j, a);
    jsonl_time(j, "expires", a->expires_ms);
    jsonl_textz(j, "because", because);
    event_end(w->events);
}

// ---- what comes back ----------------------------------------------------------------------------

// Next time it is looked at: to renew the token, to try again, or to be forgotten.
static void set_timer(struct account *a) {
    int64_t at = a->failures ? a->retry_ms : a->renew_ms;
    timer_set(a->timer, at - now_of(a));
}

static void hide(struct err *err, const struct buf *secret) {
    if (secret->len && bytes_search(bytes_of(err->text), buf_bytes(secret)) >= 0)
        err_set(err, "the token endpoint refused, in words that repeat a secret");
}

static void failed(struct account *a, bool lasting, const char *why) {
    int64_t wait = lasting ? LASTING_MS : RETRY_MS, most = lasting ? LASTING_MOST_MS : RETRY_MOST_MS;
    for (int i = 0; i < a->failures && wait < most; i++)
        wait *= 2;
    a->failures++;
    a->failed_ms = now_of(a);
    a->retry_ms = a->failed_ms + (wait < most ? wait : most);
    err_set(&a->why, "%s", why);
    hide(&a->why, &a->configured);
    hide(&a->why, &a->refresh);
    hide(&a->why, &a->secret);
    forget_secrets(a);
    tell_failure(a, lasting);
    tell_waiting(a);
    set_timer(a);
}

// 75 to 85 % of its life: accounts that began together must not ask together for ever.
static int64_t renewal_of(int64_t life_ms) {
    uint16_t lot = 0;
    if (getrandom(&lot, sizeof lot, 0) != sizeof lot) lot = 0;
    return life_ms * 3 / 4 + life_ms / 10 * lot / 65536;
}

static void rotate(struct account *a, struct bytes token) {
    if (!token.len || bytes_equal(token, buf_bytes(&a->refresh))) return;
    a->rotated_ms = now_of(a);
    put(&a->successor, token);
    put(&a->successor_of, buf_bytes(&a->configured));
    rotation_keep(a->tokens->worker->gateway, name_of(a), buf_bytes(&a->configured), token);
}

static void wake_lanes(struct worker *w, void *arg) {
    if (w->lanes) lanes_login_back(w->lanes, bytes_of(arg));
    free(arg);
}

static void works_again(struct account *a) {
    struct gateway *g = a->tokens->worker->gateway;
    tell_news(a, "it works again");
    for (int i = 0; i < g->worker_count; i++)
        worker_post(g->workers[i], wake_lanes, bytes_dupz(a->plan->via.user));
}

static void took(struct account *a, const struct oauth_answer *answer) {
    int64_t now = now_of(a);
    put(&a->token, answer->access_token);
    a->fetched_ms = now;
    a->expires_ms = now + answer->life_s * SECOND_MS;
    a->renew_ms = now + renewal_of(answer->life_s * SECOND_MS);
    a->refresh_expires_ms = answer->refresh_life_s ? now + answer->refresh_life_s * SECOND_MS : 0;
    rotate(a, answer->refresh_token);
    forget_secrets(a);
    if (a->failures) works_again(a);
    a->failures = 0;
    tell_waiting(a);
    set_timer(a);
}

static void on_fetched(void *arg, const struct fetch_answer *f) {
    struct account *a = arg;
    struct arena arena = {0};
    struct oauth_answer answer;
    struct err err = {{0}};
    bool lasting = false;
    a->fetch = NULL;
    if (!f->status)
        failed(a, !f->temporary, f->why);
    else if (!oauth_read(f->status, f->body, &arena, &answer, &lasting, &err))
        failed(a, lasting, err.text);
    else {
        took(a, &answer);
        explicit_bzero((char *)answer.access_token.at, answer.access_token.len);
    }
    arena_release(&arena);
}

// ---- asking the endpoint ------------------------------------------------------------------------

// A text, or a file's first line where one is named.
static bool read_secret(struct account *a, struct bytes text, struct bytes file, struct buf *out,
                        struct err *err) {
    char path[PATH_MAX], content[FILE_MAX];
    if (!file.len) {
        put(out, text);
        return true;
    }
    bool whole = file.at[0] == '/';
    snprintf(path, sizeof path, "%s%s%s", whole ? "" : a->tokens->worker->site->conf->base, whole ? "" : "/",
             file.at);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof content);
    int code = errno;
    if (fd >= 0) close(fd);
    errno = code;
    if (n < 0) return err_errno(err, "%s", path);
    struct bytes rest = bytes_range(content, (size_t)n);
    put(out, bytes_trim(bytes_cut(&rest, '\n')));
    explicit_bzero(content, (size_t)n);
    return out->len || err_set(err, "%s: is empty", path);
}

static bool read_secrets(struct account *a, struct err *err) {
    const struct oauth *o = &a->plan->via.oauth;
    wipe(&a->refresh);
    if (!read_secret(a, o->client_secret, o->client_secret_file, &a->secret, err)) return false;
    if (!read_secret(a, o->refresh_token, o->refresh_token_file, &a->configured, err)) return false;
    buf_reserve(&a->refresh, OAUTH_TOKEN_MAX);
    if (a->successor.len && bytes_equal(buf_bytes(&a->successor_of), buf_bytes(&a->configured)))
        put(&a->refresh, buf_bytes(&a->successor));
    else if (a->configured.len)
        rotation_find(a->tokens->worker->reader, name_of(a), buf_bytes(&a->configured), &a->refresh);
    return true;
}

static void renew(struct account *a) {
    static const struct fetch_header headers[] = {
        {{"Content-Type", 12}, {"application/x-www-form-urlencoded", 33}},
        {{"Accept", 6}, {"application/json", 16}}};
    const struct oauth *o = &a->plan->via.oauth;
    struct buf body = {0};
    struct err err = {{0}};
    timer_stop(a->timer);
    if (!read_secrets(a, &err)) return failed(a, true, err.text);
    buf_reserve(&body, 4 * OAUTH_TOKEN_MAX);
    oauth_request(&body, &(struct oauth_grant){.client_id = o->client_id,
                                               .scope = o->scope,
                                               .client_secret = buf_bytes(&a->secret),
                                               .refresh_token = buf_bytes(&a->refresh)});
    struct fetch_request request = {.method = "POST",
                                    .url = o->token_url,
                                    .headers = headers,
                                    .header_count = 2,
                                    .body = buf_bytes(&body),
                                    .timeout_ms = ENDPOINT_MS,
                                    .answer_max = ANSWER_MAX};
    a->fetch = fetch_ask(a->tokens->worker->fetch, &request, on_fetched, a);
    wipe(&body);
}

static void on_timer(void *arg) {
    struct account *a = arg;
    int64_t now = now_of(a), at = a->failures ? a->retry_ms : a->renew_ms;
    if (a->fetch) return; // set again when it is answered
    if (now < at)
        set_timer(a);
    else if (now - a->asked_ms <= IDLE_MS)
        renew(a);
    else if (now < a->expires_ms)
        timer_set(a->timer, a->expires_ms - now);
    else
        account_free(a);
}

// ---- asks ---------------------------------------------------------------------------------------

// The policy may say another secret than before: what failed with the old one says nothing about the new one.
static void take_plan(struct account *a, const struct plan *plan) {
    if (a->plan == plan) return;
    const struct plan *was = a->plan;
    a->plan = plan_ref(plan);
    plan_free(&was);
    if (secrets_of(plan) == a->secrets) return;
    a->secrets = secrets_of(plan);
    a->failures = 0;
    wipe(&a->token);
    fetch_cancel(&a->fetch);
}

static void serve(struct account *a, struct token_ticket *t) {
    int64_t now = now_of(a);
    a->asked_ms = now;
    take_plan(a, t->plan);
    if (t->refused.len && bytes_equal(buf_bytes(&t->refused), buf_bytes(&a->token))) {
        if (now - a->fetched_ms < YOUNG_MS) return refuse(t, "the peer refuses a token that is quite new");
        wipe(&a->token);
    }
    if (is_good(a)) return give(t, a);
    if (!a->fetch && a->failures && now < a->retry_ms) return refuse(t, a->why.text);
    *a->waiting_end = t;
    a->waiting_end = &t->next;
    if (!a->fetch) renew(a);
}

static void arrive(struct task *task) {
    struct token_ticket *t = (struct token_ticket *)task;
    struct tokens *ts = t->owner->tokens;
    if (!ts) return decline(t);
    struct buf name = {0};
    add_name(&name, t->plan);
    struct account *a = map_get(&ts->accounts, buf_bytes(&name));
    if (!a && ts->accounts.count >= ACCOUNTS_MAX)
        refuse(t, "there are too many logins by XOAUTH2 already");
    else
        serve(a ? a : account_new(ts, buf_bytes(&name), t->plan), t);
    buf_release(&name);
}

struct token_ticket *token_ask(struct worker *w, const struct plan *plan, struct bytes refused,
                               void (*answer)(void *arg, const struct token_answer *answer), void *arg) {
    struct token_ticket *t = must_alloc(sizeof *t);
    struct buf name = {0};
    add_name(&name, plan);
    *t = (struct token_ticket){
        .task = {.run = arrive}, .asker = w, .plan = plan_ref(plan), .answer = answer, .arg = arg};
    t->owner = gateway_worker_of_lane(w->gateway, buf_bytes(&name));
    put(&t->refused, refused);
    buf_release(&name);
    loop_post(t->owner->loop, &t->task);
    return t;
}

// ---- the room -----------------------------------------------------------------------------------

void tokens_look_again(struct tokens *ts, bool now) {
    size_t at = 0;
    void *value;
    while (map_next(&ts->accounts, &at, NULL, &value)) {
        struct account *a = value;
        if (now) a->retry_ms = 0;
        timer_set(a->timer, 0);
    }
}

static const char *state_of(const struct account *a) {
    if (!is_good(a)) return a->failures ? "failing" : a->fetch ? "asking" : "expired";
    return a->failures ? "ending" : "good";
}

void tokens_show(struct tokens *ts, void (*row)(void *arg, struct bytes json), void *arg) {
    size_t at = 0;
    void *value;
    struct buf out = {0};
    while (map_next(&ts->accounts, &at, NULL, &value)) {
        const struct account *a = value;
        buf_reset(&out);
        struct jsonl j = jsonl_begin(&out);
        jsonl_text(&j, "identity", a->plan->identity.name);
        jsonl_text(&j, "login", a->plan->via.user);
        jsonl_textz(&j, "kind", "xoauth2");
        jsonl_open(&j, "token", '{');
        jsonl_text(&j, "token_url", a->plan->via.oauth.token_url);
        jsonl_textz(&j, "state", state_of(a));
        if (a->token.len) jsonl_time(&j, "expires_at", a->expires_ms);
        if (a->token.len) jsonl_time(&j, "refreshed_at", a->fetched_ms);
        if (a->rotated_ms) jsonl_time(&j, "rotated_at", a->rotated_ms);
        if (a->refresh_expires_ms) jsonl_time(&j, "refresh_expires_at", a->refresh_expires_ms);
        jsonl_time(&j, "asked_at", a->asked_ms);
        if (!a->fetch) jsonl_time(&j, "next_at", a->failures ? a->retry_ms : a->renew_ms);
        if (a->failures) jsonl_int(&j, "failures", a->failures);
        if (a->failed_ms) jsonl_time(&j, "failed_at", a->failed_ms);
        if (a->failed_ms) jsonl_textz(&j, "last_error", a->why.text);
        jsonl_close(&j, '}');
        jsonl_end(&j);
        row(arg, buf_bytes(&out));
    }
    buf_release(&out);
}

struct tokens *tokens_new(struct worker *w) {
    struct tokens *ts = must_alloc(sizeof *ts);
    ts->worker = w;
    return ts;
}

void tokens_free(struct tokens **at) {
    struct tokens *ts = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!ts) return;
    while (map_next(&ts->accounts, &i, NULL, &value)) {
        struct account *a = value;
        for (struct token_ticket *t = a->waiting, *next; t; t = next) {
            next = t->next;
            decline(t);
        }
        a->waiting = NULL;
        account_free(a);
    }
    map_release(&ts->accounts);
    free(ts);
}
