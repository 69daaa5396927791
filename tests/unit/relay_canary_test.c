// SPDX-License-Identifier: MIT
// canary: who is on trial, and when it is taken back.
#include "relay/canary.h"

#include "relay/reload.h"
#include "store_kit.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char root[64];
static struct err err;
static struct gateway g;
static struct worker w;
static struct bundle *bundle;
static const struct canary_wish half = {.share = 5000, .for_s = 60, .margin = 0.1, .least = 10};

static void stop(void *arg) { loop_stop(arg); }

static struct generation *load(void) {
    struct generation *made = generation_new(bundle, &(struct generation_options){.clock = &g.clock, .log = &g.log}, &err);
    if (!made) fail_msg("%s", err.text);
    return made;
}

static void write_policy(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/policy.lua", root);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("return {}", f);
    fclose(f);
}

static int set_up(void **state) {
    (void)state;
    char path[128];
    memset(&g, 0, sizeof g);
    memset(&w, 0, sizeof w);
    snprintf(root, sizeof root, "/tmp/tidegate-canary-XXXXXX");
    assert_non_null(mkdtemp(root));
    write_policy();
    g.loop = loop_new(&err);
    g.log = (struct log){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .level = LOG_TRACE, .clock = &g.clock};
    bundle = bundle_read(root, "stdlib", &err);
    assert_non_null(bundle);
    g.bundle = bundle;
    snprintf(path, sizeof path, "%s/events", root);
    g.events = events_open(path, &g.log, &err);
    assert_non_null(g.events);
    g.event_writer = event_writer_new(g.events, g.loop, &g.clock);
    g.canary = canary_new(&g);
    w.gateway = &g;
    w.generation = load();
    w.canary = load();
    generation_try(w.canary);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[100];
    canary_free(&g.canary);
    event_writer_free(&g.event_writer);
    events_close(&g.events);
    generation_free(&w.generation);
    generation_free(&w.canary);
    bundle_free(&bundle);
    loop_free(&g.loop);
    close(g.log.fd);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void turn(int ms) {
    struct timer *timer = timer_new(g.loop, stop, g.loop);
    timer_set(timer, ms);
    loop_run(g.loop);
    timer_free(&timer);
}

// So many decisions of new messages on each side, that many of them faults.
static void decide(int count, int old_faults, int new_faults) {
    uint64_t id = id_make(clock_ms(&g.clock) + 1000, 0, 0);
    for (int i = 0; i < count; i++) {
        canary_tell(&w, id, w.generation, CANARY_DECIDED);
        canary_tell(&w, id, w.canary, CANARY_DECIDED);
        if (i < old_faults) canary_tell(&w, id, w.generation, CANARY_FAULTS);
        if (i < new_faults) canary_tell(&w, id, w.canary, CANARY_FAULTS);
    }
}

static void half_of_what_is_new(void **state) {
    (void)state;
    int64_t now = clock_ms(&g.clock);
    assert_ptr_equal(canary_generation(&w, id_make(now + 1000, 0, 1)), w.generation); // no trial
    canary_start(g.canary, bundle, &half);
    int chosen = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t id = id_make(now + 1000 + i, 3, i);
        assert_ptr_equal(canary_generation(&w, id), canary_generation(&w, id));
        chosen += canary_generation(&w, id) == w.canary;
        assert_ptr_equal(canary_generation(&w, id_make(now - 1, 3, i)), w.generation); // came before
    }
    assert_in_range(chosen, 430, 570);
    assert_in_range(canary_patience_s(&w), 60, 66);
    canary_end(g.canary, "withdrawn", "by hand");
    assert_ptr_equal(canary_generation(&w, id_make(now + 1000, 3, 7)), w.generation);
    assert_false(canary_withdraw(g.canary, "again", &err));
}

static void as_good_stays(void **state) {
    (void)state;
    canary_start(g.canary, bundle, &half);
    decide(100, 5, 14); // within the margin
    turn(700);
    assert_true(canary_is(g.canary, bundle));
}

static void few_do_not_count(void **state) {
    (void)state;
    canary_start(g.canary, bundle, &half);
    decide(9, 0, 9);
    turn(700);
    assert_true(canary_is(g.canary, bundle));
}

static void worse_is_taken_back(void **state) {
    (void)state;
    canary_start(g.canary, bundle, &half);
    decide(100, 5, 16);
    turn(700);
    assert_false(canary_is(g.canary, bundle));
    struct buf shown = {0};
    struct jsonl j = jsonl_begin(&shown);
    canary_show(g.canary, &j);
    assert_int_equal(shown.len, 1);
    buf_release(&shown);
}

static void what_is_being_promoted_is_not_taken_back(void **state) {
    (void)state;
    struct conf conf = {.base = root, .hostname = "gate.example"};
    struct site site = {.refs = 1, .conf = &conf};
    g.site = &site;
    canary_start(g.canary, bundle, &half);
    if (!canary_promote(g.canary, &err)) fail_msg("%s", err.text);
    assert_false(canary_withdraw(g.canary, "by hand", &err));
    assert_non_null(strstr(err.text, "is being promoted"));
    assert_true(canary_is(g.canary, bundle));
    g.stopping = true; // the reload comes to nothing, and the trial ends with it
    for (int i = 0; i < 200 && g.reload; i++) turn(50);
    assert_false(canary_is(g.canary, bundle));
    assert_int_equal(site.refs, 1);
}

static bool was_told(const char *action) {
    char path[128], wanted[60], line[2000];
    bool found = false;
    snprintf(path, sizeof path, "%s/events", root);
    snprintf(wanted, sizeof wanted, "\"action\":\"%s\"", action);
    event_writer_free(&g.event_writer);
    events_close(&g.events);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) found = found || strstr(line, wanted);
    fclose(f);
    return found;
}

// The reload's next one: what there is to say of the start is out before.
static void wait_for_step(void) {
    for (int i = 0; i < 10000 && !loop_drain(g.loop); i++) usleep(1000);
}

// The commit of a promotion stands: the next start runs that version without a word about a trial.
static void a_stop_behind_the_commit_is_no_withdrawal(void **state) {
    (void)state;
    struct conf conf = {.base = root, .hostname = "gate.example", .scripts = root, .stdlib = (char *)"stdlib"};
    struct site site = {.refs = 1, .conf = &conf};
    struct kit kit;
    kit_init(&kit);
    kit_open(&kit);
    g.site = &site;
    g.store = kit.store;
    canary_start(g.canary, bundle, &half);
    while (loop_drain(g.loop)) {}
    if (!canary_promote(g.canary, &err)) fail_msg("%s", err.text);
    wait_for_step(); // built; now it is being kept
    assert_non_null(g.reload);
    g.stopping = true;
    wait_for_step();
    assert_null(g.reload);
    assert_false(canary_is(g.canary, bundle));
    struct bundle *good = reload_first_bundle(&g, &err);
    if (!good) fail_msg("%s", err.text);
    assert_string_equal(bundle_version(good), bundle_version(bundle));
    assert_true(was_told("promoted"));
    bundle_free(&good);
    bundle_free(&g.previous);
    kit_remove(&kit);
}

static void waits_for_a_reload(void **state) {
    (void)state;
    struct conf conf = {.base = root, .hostname = "gate.example"};
    struct site site = {.refs = 1, .conf = &conf};
    g.site = &site;
    canary_start(g.canary, bundle, &half);
    decide(100, 5, 16);
    while (loop_drain(g.loop)) {}
    if (!reload_to(&g, bundle, NULL, NULL, &err)) fail_msg("%s", err.text); // as a plain reload does
    assert_false(canary_withdraw(g.canary, "by hand", &err));
    assert_non_null(strstr(err.text, "a reload is under way"));
    g.stopping = true; // it comes to nothing, and the trial goes its way
    wait_for_step();
    assert_null(g.reload);
    assert_true(canary_is(g.canary, bundle));
    turn(700);
    assert_false(canary_is(g.canary, bundle));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(half_of_what_is_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_good_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_do_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(worse_is_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_being_promoted_is_not_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_behind_the_commit_is_no_withdrawal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waits_for_a_reload, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
