// SPDX-License-Identifier: MIT
// token and rotation: several workers over one real store and a small web server, in one thread, by a virtual
// clock.
#include "relay/token.h"

#include "net_pem.h"
#include "pocket_web.h"
#include "policy/plan.h"
#include "relay/rotation.h"
#include "store_kit.h"

enum { WORKERS = 3, MINUTE = 60 * 1000, HOUR = 60 * MINUTE };
static const int64_t start_ms = 1800000000000;

struct bench {
    struct kit kit;
    struct pem_kit pem;
    struct tls_context *tls;
    struct dns *dns;
    struct web web;
    struct site site;
    struct conf conf;
    struct gateway gateway;
    struct worker workers[WORKERS], *list[WORKERS];
    char answer[1000], url[100];
};

// The endpoint's answer from now on.
static void answer(struct bench *b, int status, const char *json) {
    snprintf(b->answer, sizeof b->answer, "HTTP/1.1 %d x\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(json), json);
    b->web.answer = b->answer;
}

static void open_tokens(struct bench *b) {
    for (int i = 0; i < WORKERS; i++)
        b->workers[i].tokens = tokens_new(&b->workers[i]);
}

static void open_worker(struct bench *b, unsigned i) {
    struct err err;
    struct worker *w = &b->workers[i];
    *w = (struct worker){.gateway = &b->gateway, .index = i, .site = &b->site};
    b->list[i] = w;
    w->loop = loop_new(&err);
    w->reader = reader_new(b->kit.store, &err);
    w->events = event_writer_new(b->gateway.events, w->loop, &b->gateway.clock);
    struct fetch_options options = {.ca_file = b->pem.authority.certificate_path, .private_ok = true};
    w->dns =
        dns_new(w->loop, &(struct dns_options){.servers = "127.0.0.1:9", .clock = &b->gateway.clock}, &err);
    w->fetch = fetch_new(w->loop, w->dns, &options);
    assert_non_null(w->reader);
}

static int setup(void **state) {
    struct bench *b = must_alloc(sizeof *b);
    struct err err;
    char path[100];
    kit_init(&b->kit);
    b->gateway.clock.frozen_ms = start_ms;
    b->gateway.log = b->kit.log;
    b->kit.options.clock = &b->gateway.clock;
    kit_open(&b->kit);
    snprintf(path, sizeof path, "%s/events", b->kit.path);
    b->gateway.events = events_open(path, &b->kit.log, &err);
    b->gateway.store = b->kit.store;
    b->gateway.workers = b->list;
    b->gateway.worker_count = WORKERS;
    b->site.conf = &b->conf;
    b->conf.base = b->kit.path;
    pem_kit_make(&b->pem);
    b->tls = tls_server_new(
        &(struct tls_server_options){.certificate = b->pem.server.certificate_path, .key = b->pem.server.key_path}, &err);
    for (unsigned i = 0; i < WORKERS; i++)
        open_worker(b, i);
    web_open(&b->web, b->workers[0].loop, b->tls);
    snprintf(b->url, sizeof b->url, "https://127.0.0.1:%u/token", addr_port(&b->web.at));
    answer(b, 200, "{\"access_token\":\"one\",\"expires_in\":3600}");
    open_tokens(b);
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    web_close(&b->web);
    for (int i = 0; i < WORKERS; i++) { // in the order of worker_free
        struct worker *w = &b->workers[i];
        tokens_free(&w->tokens);
        event_writer_free(&w->events);
        reader_free(&w->reader);
        fetch_free(&w->fetch);
        dns_free(&w->dns);
        loop_free(&w->loop);
    }
    events_close(&b->gateway.events);
    tls_context_free(&b->tls);
    pem_kit_release(&b->pem);
    kit_remove(&b->kit);
    free(b);
    return 0;
}

struct stopper {
    struct task task;
    struct loop *loop;
};

static void stop_loop(struct task *task) {
    loop_stop(((struct stopper *)task)->loop);
}

static void turn(struct bench *b) {
    for (int i = 0; i < WORKERS; i++) {
        struct stopper stop = {.task = {.run = stop_loop}, .loop = b->workers[i].loop};
        run_for(stop.loop, 1);
        loop_post(stop.loop, &stop.task);
        loop_run(stop.loop);
    }
}

static void advance(struct bench *b, int64_t ms) {
    clock_shift(&b->gateway.clock, ms);
    for (int i = 0; i < WORKERS; i++)
        tokens_look_again(b->workers[i].tokens, false);
}

// ---- asking

struct asked {
    struct token_ticket *ticket;
    int calls;
    char token[100], why[600];
};

static void on_token(void *arg, const struct token_answer *a) {
    struct asked *asked = arg;
    asked->ticket = NULL;
    asked->calls++;
    snprintf(asked->token, sizeof asked->token, "%.*s", BYTES_FMT(a->token));
    snprintf(asked->why, sizeof asked->why, "%s", a->why);
    assert_true((a->token.len == 0) == (a->why[0] != 0));
}

static const struct plan *plan_of(struct bench *b, const char *user, const char *refresh) {
    struct plan draft = {.kind = PLAN_SEND, .identity = {.name = bytes_of(user)}};
    draft.via =
        (struct via){.kind = VIA_RELAY, .host = BYTES("h"), .user = bytes_of(user), .login_xoauth2 = true};
    draft.via.oauth = (struct oauth){
        .token_url = bytes_of(b->url), .client_id = BYTES("c"), .refresh_token = bytes_of(refresh)};
    if (refresh[0] == '@') {
        draft.via.oauth.refresh_token = BYTES("");
        draft.via.oauth.refresh_token_file = bytes_of(refresh + 1);
    }
    return plan_make(&draft, BYTES("d"));
}

static void start(struct bench *b, struct asked *a, unsigned worker, const char *user, const char *refresh,
                  const char *refused) {
    const struct plan *plan = plan_of(b, user, refresh);
    *a = (struct asked){0};
    a->ticket = token_ask(&b->workers[worker], plan, bytes_of(refused), on_token, a);
    assert_int_equal(a->calls, 0); // never before the asking call has returned
    plan_free(&plan);
}

static void wait_for(struct bench *b, struct asked *a) {
    int64_t began = clock_monotonic_us();
    while (!a->calls) {
        if (clock_monotonic_us() - began > 20000000) fail_msg("no answer");
        turn(b);
    }
    assert_int_equal(a->calls, 1);
}

static void ask(struct bench *b, struct asked *a, const char *user, const char *refused) {
    start(b, a, 1, user, "r1", refused);
    wait_for(b, a);
}

static void expect(struct bench *b, const char *refused, const char *token) {
    struct asked a;
    ask(b, &a, "ann", refused);
    if (strcmp(a.token, token) != 0) fail_msg("expected '%s', came '%s' (%s)", token, a.token, a.why);
}

static void expect_none(struct bench *b, const char *refused, const char *why) {
    struct asked a;
    ask(b, &a, "ann", refused);
    assert_string_equal(a.token, "");
    if (!strstr(a.why, why)) fail_msg("expected '%s', came '%s'", why, a.why);
}

static void until_asked(struct bench *b, size_t count) {
    int64_t began = clock_monotonic_us();
    while (b->web.asked < count) {
        if (clock_monotonic_us() - began > 20000000) fail_msg("%zu requests, not %zu", b->web.asked, count);
        turn(b);
    }
    for (int i = 0; i < 5; i++)
        turn(b); // and the answer is taken
    assert_int_equal(b->web.asked, count);
}

static void heard(struct bench *b, const char *part) {
    if (!strstr(buf_z(&b->web.heard), part)) fail_msg("'%s' is not in:\n%s", part, buf_z(&b->web.heard));
}

struct shown {
    char text[3000];
};

static void on_row(void *arg, struct bytes json) {
    struct shown *s = arg;
    size_t len = strlen(s->text);
    snprintf(s->text + len, sizeof s->text - len, "%.*s", BYTES_FMT(json));
}

static void shows(struct bench *b, const char *part, bool there) {
    struct shown s = {""};
    for (int i = 0; i < WORKERS; i++)
        tokens_show(b->workers[i].tokens, on_row, &s);
    if ((strstr(s.text, part) != NULL) != there) fail_msg("'%s' in: %s", part, s.text);
    assert_null(strstr(s.text, "r1"));
    assert_null(strstr(s.text, "\"one\""));
}

// ---- tests

static void asked_by_many_fetched_once(void **state) {
    struct bench *b = *state;
    struct asked a[6];
    for (unsigned i = 0; i < 6; i++)
        start(b, &a[i], i % WORKERS, "ann", "r1", "");
    for (int i = 0; i < 6; i++) {
        wait_for(b, &a[i]);
        assert_string_equal(a[i].token, "one");
    }
    assert_int_equal(b->web.asked, 1);
    heard(b, "POST /token ");
    heard(b, "grant_type=refresh_token&client_id=c&refresh_token=r1");
    ask(b, &a[0], "bob", ""); // another account
    assert_int_equal(b->web.asked, 2);
    shows(b, "\"state\":\"good\"", true);
}

static void renewed_while_it_is_good(void **state) {
    struct bench *b = *state;
    expect(b, "", "one");
    answer(b, 200, "{\"access_token\":\"two\",\"expires_in\":3600}");
    advance(b, HOUR * 74 / 100);
    expect(b, "", "one");
    advance(b, HOUR * 12 / 100);
    expect(b, "", "one"); // at once, however slow the endpoint is
    until_asked(b, 2);
    expect(b, "", "two");
    // So near its end that it might not last: not given any more.
    b->web.answer = NULL;
    advance(b, HOUR - 30 * 1000);
    struct asked a;
    start(b, &a, 0, "ann", "r1", "");
    until_asked(b, 3);
    assert_int_equal(a.calls, 0);
    token_cancel(&a.ticket);
}

static void nobody_uses_it_nobody_renews_it(void **state) {
    struct bench *b = *state;
    expect(b, "", "one");
    advance(b, 25 * HOUR);
    for (int i = 0; i < 5; i++)
        turn(b);
    assert_int_equal(b->web.asked, 1);
    shows(b, "ann", false);
}

static void a_failure_is_told_and_spares_the_endpoint(void **state) {
    struct bench *b = *state;
    answer(b, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"r1 is gone\"}");
    expect_none(b, "", "repeat a secret");
    answer(b, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"gone\"}");
    expect_none(b, "", "repeat a secret"); // at once, and nobody is asked
    assert_int_equal(b->web.asked, 1);
    shows(b, "\"state\":\"failing\"", true);
    advance(b, 5 * MINUTE);
    until_asked(b, 2);
    expect_none(b, "", "invalid_grant: gone");
    advance(b, 5 * MINUTE);
    expect_none(b, "", "invalid_grant");
    assert_int_equal(b->web.asked, 2); // ten minutes this time
    advance(b, 5 * MINUTE);
    until_asked(b, 3);
    answer(b, 200, "{\"access_token\":\"two\"}");
    for (int i = 0; i < WORKERS; i++)
        tokens_look_again(b->workers[i].tokens, true);
    until_asked(b, 4);
    expect(b, "", "two");
    shows(b, "\"failed_at\"", true);
    shows(b, "\"failures\"", false);
    assert_int_equal(atomic_load(&b->gateway.counters.faults), 3);
}

static void chance_is_tried_again_soon(void **state) {
    struct bench *b = *state;
    answer(b, 503, "no");
    expect_none(b, "", "answered 503");
    advance(b, 15000);
    until_asked(b, 2);
    advance(b, 15000);
    turn(b);
    assert_int_equal(b->web.asked, 2);
    advance(b, 15000);
    until_asked(b, 3);
}

static void the_old_one_serves_while_no_new_one_is_to_be_had(void **state) {
    struct bench *b = *state;
    expect(b, "", "one");
    answer(b, 500, "{}");
    advance(b, HOUR * 86 / 100);
    until_asked(b, 2);
    expect(b, "", "one");
    shows(b, "\"state\":\"ending\"", true);
    advance(b, HOUR * 13 / 100);
    until_asked(b, 3);
    expect_none(b, "", "answered 500");
}

static void a_refused_token_is_not_given_again(void **state) {
    struct bench *b = *state;
    expect(b, "", "one");
    answer(b, 200, "{\"access_token\":\"two\"}");
    expect_none(b, "one", "quite new");
    expect(b, "", "one");
    advance(b, MINUTE);
    expect(b, "one", "two");
    expect(b, "one", "two"); // who still has the old one gets what is there
    assert_int_equal(b->web.asked, 2);
}

static void another_secret_is_another_chance(void **state) {
    struct bench *b = *state;
    struct asked a;
    answer(b, 400, "{\"error\":\"invalid_grant\"}");
    expect_none(b, "", "invalid_grant");
    answer(b, 200, "{\"access_token\":\"two\"}");
    start(b, &a, 0, "ann", "r2", "");
    wait_for(b, &a);
    assert_string_equal(a.token, "two");
    heard(b, "refresh_token=r2");
}

static void secrets_come_from_files(void **state) {
    struct bench *b = *state;
    struct asked a;
    char path[100];
    start(b, &a, 0, "ann", "@secret", "");
    wait_for(b, &a);
    assert_non_null(strstr(a.why, "secret: No such file"));
    snprintf(path, sizeof path, "%s/secret", b->kit.path);
    FILE *f = fopen(path, "w");
    fputs("  in a file \nand more\n", f);
    fclose(f);
    advance(b, 5 * MINUTE);
    until_asked(b, 1);
    heard(b, "refresh_token=in%20a%20file");
    start(b, &a, 0, "ann", "@secret", "");
    wait_for(b, &a);
    assert_string_equal(a.token, "one");
}

static void close_tokens(struct bench *b) {
    for (int i = 0; i < WORKERS; i++)
        tokens_free(&b->workers[i].tokens);
}

// Keeps the store's writer busy for as long as the lock is held.
struct blocker {
    struct store_op op; // first
    pthread_mutex_t lock;
};

static bool block(struct store_op *op, struct txn *txn, struct err *err) {
    struct blocker *blocker = (struct blocker *)op;
    (void)txn, (void)err;
    pthread_mutex_lock(&blocker->lock);
    pthread_mutex_unlock(&blocker->lock);
    return true;
}

static void blocked(struct store_op *op, bool done, const struct err *why) {
    (void)op, (void)done, (void)why;
}

static void a_successor_is_kept(void **state) {
    struct bench *b = *state;
    struct asked a;
    struct blocker slow = {.op = {.apply = block, .finish = blocked, .file = -1},
                           .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_mutex_lock(&slow.lock);
    store_submit(b->kit.store, &slow.op);
    answer(b, 200, "{\"access_token\":\"one\",\"refresh_token\":\"n1\",\"refresh_token_expires_in\":600000}");
    expect(b, "", "one");
    shows(b, "\"rotated_at\"", true);
    shows(b, "\"refresh_expires_at\"", true);
    // At once: the store does not have it yet.
    answer(b, 200, "{\"access_token\":\"two\",\"refresh_token\":\"n2\"}");
    advance(b, HOUR);
    until_asked(b, 2);
    heard(b, "refresh_token=n1");
    pthread_mutex_unlock(&slow.lock);
    // After a restart, from the store.
    close_tokens(b);
    for (int i = 0; i < WORKERS; i++)
        reader_free(&b->workers[i].reader);
    kit_reopen(&b->kit); // has committed all that was submitted
    b->gateway.store = b->kit.store;
    for (int i = 0; i < WORKERS; i++)
        b->workers[i].reader = reader_new(b->kit.store, NULL);
    open_tokens(b);
    answer(b, 200, "{\"access_token\":\"three\"}");
    expect(b, "", "three");
    heard(b, "refresh_token=n2");
    // Another configured one is not its heir.
    start(b, &a, 0, "ann", "other", "");
    wait_for(b, &a);
    heard(b, "refresh_token=other");
    // Nor is another account's.
    ask(b, &a, "bob", "");
    heard(b, "refresh_token=r1");
}

static void given_up_anywhere(void **state) {
    struct bench *b = *state;
    struct asked a[4];
    start(b, &a[0], 0, "ann", "r1", ""); // on its way there
    token_cancel(&a[0].ticket);
    assert_null(a[0].ticket);
    token_cancel(&a[0].ticket);
    b->web.answer = NULL;
    start(b, &a[1], 0, "ann", "r1", ""); // waiting
    until_asked(b, 1);
    token_cancel(&a[1].ticket);
    // What waits and is on its way when all is closed hears of it, unless it has cancelled.
    start(b, &a[2], 2, "ann", "r1", "");
    turn(b);
    start(b, &a[3], 2, "bob", "r1", "");
    close_tokens(b);
    turn(b);
    turn(b);
    assert_int_equal(a[0].calls + a[1].calls, 0);
    assert_string_equal(a[2].why, "the gateway is stopping");
    assert_string_equal(a[3].why, "the gateway is stopping");
}

#define on_bench(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        on_bench(asked_by_many_fetched_once),
        on_bench(renewed_while_it_is_good),
        on_bench(nobody_uses_it_nobody_renews_it),
        on_bench(a_failure_is_told_and_spares_the_endpoint),
        on_bench(chance_is_tried_again_soon),
        on_bench(the_old_one_serves_while_no_new_one_is_to_be_had),
        on_bench(a_refused_token_is_not_given_again),
        on_bench(another_secret_is_another_chance),
        on_bench(secrets_come_from_files),
        on_bench(a_successor_is_kept),
        on_bench(given_up_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
