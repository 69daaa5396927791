// SPDX-License-Identifier: MIT
// settle: what the store refuses is kept and written again. The store refuses because no file may grow any more.
#include "relay/settle.h"

#include "relay/gateway.h"
#include "relay/runner.h"
#include "store_kit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { RECIPIENTS = 3, EVENT = 600000 };

struct bench {
    struct kit kit;
    struct gateway gateway;
    struct worker worker, *workers[1];
    struct conf conf;
    struct events *events;
    struct message message;
    struct timer *alarm;
    char *long_event;
    int done;
    bool stored;
};

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    char path[100];
    struct err err;
    kit_init(&b->kit);
    kit_open(&b->kit);
    b->gateway = (struct gateway){.log = b->kit.log, .store = b->kit.store, .workers = b->workers, .worker_count = 1};
    b->workers[0] = &b->worker;
    b->worker.gateway = &b->gateway;
    b->worker.loop = loop_new(&err);
    b->conf.hostname = (char *)(uintptr_t)"gate.example";
    b->conf.expire_s = 3600;
    snprintf(path, sizeof path, "%s/events.jsonl", b->kit.path);
    b->events = events_open(path, &b->gateway.log, &err);
    b->worker.events = event_writer_new(b->events, b->worker.loop, &b->gateway.clock);
    b->worker.runner = runner_new(&b->worker);
    runner_stop(b->worker.runner);
    b->message = some_message(1);
    b->long_event = malloc(EVENT);
    memset(b->long_event, 'e', EVENT);
    b->long_event[EVENT - 1] = '\n';
    assert_true(accept_mail(&b->kit, 1, RECIPIENTS, 1, (struct bytes){0}));
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    runner_free(&b->worker.runner);
    event_writer_free(&b->worker.events);
    timer_free(&b->alarm);
    loop_free(&b->worker.loop);
    events_close(&b->events);
    kit_remove(&b->kit);
    free(b->long_event);
    free(b);
    return 0;
}

static void limit(int what, rlim_t most) {
    struct rlimit now;
    assert_int_equal(getrlimit((__rlimit_resource_t)what, &now), 0);
    now.rlim_cur = most < now.rlim_max ? most : now.rlim_max;
    assert_int_equal(setrlimit((__rlimit_resource_t)what, &now), 0);
}

// The database may not grow: an event as long as ours finds no room in it.
static void fill(struct bench *b) {
    char path[100];
    struct stat stat_;
    snprintf(path, sizeof path, "%s/data.mdb", b->kit.path);
    assert_int_equal(stat(path, &stat_), 0);
    assert_true(stat_.st_size < EVENT);
    limit(RLIMIT_FSIZE, (rlim_t)stat_.st_size);
}

static void on_done(void *arg, bool stored, const struct err *why) {
    struct bench *b = arg;
    (void)why;
    b->done++;
    b->stored = stored;
    loop_stop(b->worker.loop);
}

static void on_alarm(void *arg) { loop_stop(((struct bench *)arg)->worker.loop); }

static void turn(struct bench *b, int64_t ms) {
    if (!b->alarm) b->alarm = timer_new(b->worker.loop, on_alarm, b);
    timer_set(b->alarm, ms);
    loop_run(b->worker.loop);
}

static const char *const address_of[RECIPIENTS] = {"ann@far.example", "ben@far.example", "cid@far.example"};

static void gone(struct bench *b, struct settle *s, uint32_t n, bool report, struct bytes event) {
    struct change *c = settle_add(s);
    c->fate = FATE_GONE;
    c->record = some_recipient(1, n, 0);
    c->event = event;
    c->report = report;
    c->reported = (struct report_recipient){.address = bytes_of(address_of[n]), .action = REPORT_FAILED, .status = BYTES("5.1.1"),
                                            .diagnostic = BYTES("550 5.1.1 no such user")};
    (void)b;
}

static struct settle *begin(struct bench *b) {
    return settle_new(&b->gateway, &b->conf, b->worker.loop, b->worker.events, &b->message);
}

static size_t events_written(struct bench *b) {
    char path[100];
    size_t lines = 0;
    turn(b, 20); // the writer writes at the end of a turn
    snprintf(path, sizeof path, "%s/events.jsonl", b->kit.path);
    FILE *f = fopen(path, "r");
    for (int c; f && (c = getc(f)) != EOF;) lines += c == '\n';
    if (f) fclose(f);
    return lines;
}

static void what_is_refused_is_kept_and_written_again(void **state) {
    struct bench *b = *state;
    struct settle *s = begin(b);
    gone(b, s, 0, false, bytes_range(b->long_event, EVENT));
    fill(b);
    settle_submit(s, &b->worker, on_done, b);
    turn(b, 300);
    assert_int_equal(b->done, 0);
    assert_int_equal(atomic_load(&b->gateway.unwritten), 1);
    assert_false(gateway_may_send(&b->gateway)); // though the store may have found out that it can commit something
    turn(b, 1500);
    assert_int_equal(b->done, 0);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    turn(b, 5000);
    assert_int_equal(b->done, 1);
    assert_true(b->stored);
    assert_true(gateway_may_send(&b->gateway));
    assert_int_equal(kit_stats(&b->kit).recipients, RECIPIENTS - 1);
    assert_int_equal(events_written(b), 1);
}

static void a_stop_gives_it_up(void **state) {
    struct bench *b = *state;
    struct settle *s = begin(b);
    gone(b, s, 0, false, bytes_range(b->long_event, EVENT));
    fill(b);
    settle_submit(s, &b->worker, on_done, b);
    turn(b, 300);
    b->worker.stopping = true;
    turn(b, 5000);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    assert_int_equal(b->done, 1);
    assert_false(b->stored);
    assert_int_equal(atomic_load(&b->gateway.unwritten), 0);
    assert_int_equal(kit_stats(&b->kit).recipients, RECIPIENTS);
    assert_int_equal(events_written(b), 0);
}

static void an_operators_change_is_tried_once(void **state) {
    struct bench *b = *state;
    struct settle *s = begin(b);
    gone(b, s, 0, false, bytes_range(b->long_event, EVENT));
    fill(b);
    settle_submit(s, NULL, on_done, b);
    turn(b, 5000);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    assert_int_equal(b->done, 1);
    assert_false(b->stored);
}

// A report's body asks for a segment, a file, and no file can be opened; the database is open.
static void a_report_waits_and_the_others_do_not(void **state) {
    struct bench *b = *state;
    struct settle *s = begin(b);
    gone(b, s, 0, true, BYTES("{\"first\"}\n"));
    gone(b, s, 1, false, BYTES("{\"second\"}\n"));
    gone(b, s, 2, true, BYTES("{\"third\"}\n"));
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    limit(RLIMIT_NOFILE, 3);
    settle_submit(s, &b->worker, on_done, b);
    turn(b, 300);
    assert_int_equal(b->done, 0);
    assert_true(gateway_may_send(&b->gateway));
    assert_int_equal(kit_stats(&b->kit).recipients, RECIPIENTS - 1);
    limit(RLIMIT_NOFILE, files.rlim_cur);
    assert_int_equal(events_written(b), 1);
    turn(b, 5000);
    assert_int_equal(b->done, 1);
    assert_true(b->stored);
    assert_int_equal(kit_stats(&b->kit).messages, 1); // the report alone, to whom it is owed
    assert_int_equal(kit_stats(&b->kit).recipients, 1);
    assert_int_equal(events_written(b), 3);
}

// An operator gives up on a recipient whose delivery is written first: its sender must not hear that it failed.
static void nobody_reports_what_was_settled_before(void **state) {
    struct bench *b = *state;
    struct settle *s = begin(b);
    gone(b, s, 0, true, BYTES("{\"first\"}\n"));
    assert_true(drop_mail(&b->kit, 1, 0, NULL));
    settle_submit(s, NULL, on_done, b);
    turn(b, 5000);
    assert_int_equal(b->done, 1);
    assert_true(b->stored);
    assert_int_equal(kit_stats(&b->kit).messages, 1);
    assert_int_equal(kit_stats(&b->kit).recipients, RECIPIENTS - 1);
    assert_int_equal(events_written(b), 0);
    kit_expect_sound(&b->kit);
}

static bool take_id(void *arg, const struct recipient *r) {
    *(uint64_t *)arg = r->id;
    return false;
}

// The body of what is queued besides the message; free() it.
static char *report_written(struct bench *b, size_t *len) {
    struct err err = {""};
    uint64_t id = 0;
    struct reader *reader = reader_new(b->kit.store, &err);
    assert_non_null(reader);
    reader_begin(reader);
    (void)!reader_recipients(reader, b->message.id + 1, take_id, &id);
    reader_end(reader);
    reader_free(&reader);
    char *body = kit_body(&b->kit, id, len, &err);
    if (!body) fail_msg("%s", err.text);
    return body;
}

// The same, of several: the others are reported, and he is not. A reload takes the conf away meanwhile.
static void a_report_names_only_who_was_still_there(void **state) {
    struct bench *b = *state;
    struct settle *s = begin(b);
    gone(b, s, 0, true, BYTES("{\"first\"}\n"));
    gone(b, s, 1, true, BYTES("{\"second\"}\n"));
    gone(b, s, 2, true, BYTES("{\"third\"}\n"));
    assert_true(drop_mail(&b->kit, 1, 1, NULL));
    settle_submit(s, NULL, on_done, b);
    b->conf = (struct conf){0};
    turn(b, 5000);
    assert_int_equal(b->done, 1);
    assert_true(b->stored);
    assert_int_equal(kit_stats(&b->kit).messages, 1); // the report
    assert_int_equal(kit_stats(&b->kit).recipients, 1);
    size_t len = 0;
    char *body = report_written(b, &len);
    assert_non_null(memmem(body, len, address_of[0], strlen(address_of[0])));
    assert_null(memmem(body, len, address_of[1], strlen(address_of[1])));
    assert_non_null(memmem(body, len, address_of[2], strlen(address_of[2])));
    free(body);
    assert_int_equal(events_written(b), 2);
    kit_expect_sound(&b->kit);
}

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(what_is_refused_is_kept_and_written_again),
        CASE(a_stop_gives_it_up),
        CASE(an_operators_change_is_tried_once),
        CASE(a_report_waits_and_the_others_do_not),
        CASE(nobody_reports_what_was_settled_before),
        CASE(a_report_names_only_who_was_still_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
