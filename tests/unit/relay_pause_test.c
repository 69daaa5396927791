// SPDX-License-Identifier: MIT
// pause: which lanes an operator has stopped, and that the store keeps it.
#include "relay/pause.h"

#include "store_kit.h"

static bool put(struct job *job, struct txn *txn, struct err *err) { return txn_put_pause(txn, job->with, err); }

static bool drop(struct job *job, struct txn *txn, struct err *err) {
    bool found;
    if (!txn_drop_pause(txn, job->with, &found, err)) return false;
    job->last = found;
    return true;
}

static void read_all(struct kit *kit, int64_t now_ms, struct pauses *out) {
    struct err err;
    struct reader *reader = reader_new(kit->store, &err);
    reader_begin(reader);
    pauses_read(reader, now_ms, out);
    reader_end(reader);
    reader_free(&reader);
}

static bool run(struct kit *kit, bool (*work)(struct job *, struct txn *, struct err *), struct pause p) {
    struct job job = {.work = work, .with = &p};
    assert_true(job_run(&job, kit->store));
    return job.last;
}

static void pauses_are_kept(void **state) {
    (void)state;
    struct kit kit;
    struct pauses all;
    kit_init(&kit);
    kit_open(&kit);
    run(&kit, put, (struct pause){.kind = PAUSE_IDENTITY, .name = BYTES("acme"), .because = BYTES("a \"b\""), .since_ms = 5});
    run(&kit, put, (struct pause){.kind = PAUSE_DOMAIN, .name = BYTES("example.net"), .because = BYTES(""), .until_ms = 1000});
    kit_reopen(&kit);
    read_all(&kit, 999, &all);
    assert_int_equal(all.count, 2);
    assert_true(all.at[0].kind == PAUSE_DOMAIN && all.at[0].until_ms == 1000 && bytes_equal(all.at[0].name, BYTES("example.net")));
    assert_true(all.at[1].kind == PAUSE_IDENTITY && all.at[1].since_ms == 5 && bytes_equal(all.at[1].because, BYTES("a \"b\"")));
    pauses_release(&all);
    read_all(&kit, 1000, &all);
    assert_int_equal(all.count, 1); // one has ended
    pauses_release(&all);
    assert_false(run(&kit, drop, (struct pause){.kind = PAUSE_LANE, .name = BYTES("acme")}));
    assert_true(run(&kit, drop, (struct pause){.kind = PAUSE_IDENTITY, .name = BYTES("acme")}));
    read_all(&kit, 999, &all);
    assert_int_equal(all.count, 1);
    pauses_release(&all);
    kit_remove(&kit);
}

static bool fits(enum pause_kind kind, const char *name, const char *lane) {
    return pause_fits(&(struct pause){.kind = kind, .name = bytes_of(name)}, bytes_of(lane));
}

static void names_fit_lanes(void **state) {
    (void)state;
    assert_true(fits(PAUSE_LANE, "acme|direct:example.net:25|verify", "acme|direct:example.net:25|verify"));
    assert_false(fits(PAUSE_LANE, "acme|direct:example.net:25", "acme|direct:example.net:25|verify"));
    assert_true(fits(PAUSE_IDENTITY, "acme", "acme|direct:example.net:25|verify"));
    assert_false(fits(PAUSE_IDENTITY, "acm", "acme|direct:example.net:25|verify"));
    assert_true(fits(PAUSE_IDENTITY, "-", "-|capture:in|none"));
    assert_true(fits(PAUSE_DOMAIN, "Example.NET", "acme|direct:example.net:25|verify|1234abcd"));
    assert_false(fits(PAUSE_DOMAIN, "net", "acme|direct:example.net:25|verify"));
    assert_true(fits(PAUSE_DOMAIN, "smtp.example.org", "-|relay:smtp.example.org:587|verify+implicit|user:25"));
    assert_true(fits(PAUSE_DOMAIN, "2001:db8::1", "-|relay:2001:db8::1:25|none"));
    assert_true(fits(PAUSE_DOMAIN, "unix:/run/lmtp", "-|lmtp:unix:/run/lmtp:24|none"));
    assert_true(fits(PAUSE_DOMAIN, "in", "-|capture:in|none"));
    assert_false(fits(PAUSE_DOMAIN, "", "nonsense") && fits(PAUSE_IDENTITY, "", "nonsense"));
}

static void the_longest_holds(void **state) {
    (void)state;
    struct pause rows[] = {{.kind = PAUSE_DOMAIN, .name = BYTES("example.net"), .until_ms = 900},
                           {.kind = PAUSE_IDENTITY, .name = BYTES("acme"), .until_ms = 2000},
                           {.kind = PAUSE_LANE, .name = BYTES("b|direct:example.net:25|none")}};
    struct pauses all = {.at = rows, .count = 3};
    assert_ptr_equal(pauses_find(&all, BYTES("acme|direct:example.net:25|none")), &rows[1]);
    assert_ptr_equal(pauses_find(&all, BYTES("b|direct:example.net:25|none")), &rows[2]);
    assert_null(pauses_find(&all, BYTES("b|direct:example.org:25|none")));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pauses_are_kept), cmocka_unit_test(names_fit_lanes),
                                       cmocka_unit_test(the_longest_holds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
