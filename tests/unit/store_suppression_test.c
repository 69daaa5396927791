// SPDX-License-Identifier: MIT
#include "store_kit.h"

#include "store/key.h"
#include "store/suppression.h"

#include <poll.h>

static const int64_t now = 1763821804678;
static const struct bytes all_only[] = {{"all", 3}};

static int set_up(void **state) {
    struct kit *kit = malloc(sizeof *kit);
    kit_init(kit);
    kit->clock.frozen_ms = now;
    kit_open(kit);
    *state = kit;
    return 0;
}

// ---- writing, one entry or many at a time

struct batch {
    const struct suppression *entries;
    size_t count;
    enum suppression_put how;
    int64_t now_ms;
    bool drop;
    uint64_t count_gone;
};

static bool work_batch(struct job *job, struct txn *txn, struct err *err) {
    struct batch *b = job->with;
    for (size_t i = 0; i < b->count; i++) {
        const struct suppression *s = &b->entries[i];
        bool good = b->drop ? txn_drop_suppression(txn, s->address, s->scope, &b->count_gone, err)
                            : txn_put_suppression(txn, s, b->how, b->now_ms, err);
        if (!good) return false;
    }
    return true;
}

static bool put_many(struct kit *kit, const struct suppression *entries, size_t count, int64_t now_ms) {
    struct batch b = {.entries = entries, .count = count, .now_ms = now_ms};
    struct job job = {.work = work_batch, .with = &b};
    return job_run(&job, kit->store);
}

static struct suppression entry(const char *address, const char *scope, const char *reason,
                                int64_t until_ms) {
    return (struct suppression){.address = bytes_of(address),
                                .scope = bytes_of(scope),
                                .reason = bytes_of(reason),
                                .source = BYTES("test"),
                                .added_ms = now,
                                .until_ms = until_ms};
}

static void put(struct kit *kit, const char *address, const char *scope, const char *reason,
                int64_t until_ms) {
    struct suppression s = entry(address, scope, reason, until_ms);
    assert_true(put_many(kit, &s, 1, now));
}

static int drop(struct kit *kit, const char *address, const char *scope) {
    struct suppression s = entry(address, scope, "", 0);
    struct batch b = {.entries = &s, .count = 1, .drop = true};
    struct job job = {.work = work_batch, .with = &b};
    assert_true(job_run(&job, kit->store));
    return (int)b.count_gone;
}

// ---- looking up

static char told[400];

static const char *look(struct kit *kit, const char *address, const struct bytes *scopes, size_t count,
                        int64_t at_ms) {
    struct suppression s;
    struct err err;
    struct reader *r = reader_new(kit->store, &err);
    assert_non_null(r);
    reader_begin(r);
    if (reader_suppressed(r, scopes, count, bytes_of(address), at_ms, &s))
        snprintf(told, sizeof told, "%.*s %.*s %.*s %.*s", BYTES_FMT(bytes_first(s.address, 100)),
                 BYTES_FMT(s.scope), BYTES_FMT(s.reason), BYTES_FMT(s.source));
    else
        snprintf(told, sizeof told, "no");
    reader_end(r);
    reader_free(&r);
    return told;
}

static const char *look_all(struct kit *kit, const char *address) {
    return look(kit, address, all_only, 1, now);
}

static void put_in_it_is_found_and_taken_out_it_is_not(void **state) {
    struct kit *kit = *state;
    assert_string_equal(look_all(kit, "bob@example.net"), "no");
    put(kit, "bob@example.net", "all", "hard bounce", 0);
    assert_string_equal(look_all(kit, "bob@example.net"), "bob@example.net all hard bounce test");
    assert_string_equal(look_all(kit, "bo@example.net"), "no");
    assert_string_equal(look_all(kit, "bob@example.net.org"), "no");
    kit_reopen(kit);
    assert_string_equal(look_all(kit, "bob@example.net"), "bob@example.net all hard bounce test");
    put(kit, "bob@example.net", "all", "complaint", 0); // another word replaces the first
    assert_string_equal(look_all(kit, "bob@example.net"), "bob@example.net all complaint test");
    assert_true(drop(kit, "bob@example.net", "all"));
    assert_false(drop(kit, "bob@example.net", "all"));
    assert_string_equal(look_all(kit, "bob@example.net"), "no");
}

static void scopes_are_lists_of_their_own(void **state) {
    struct kit *kit = *state;
    const struct bytes scopes[] = {BYTES("all"), BYTES("stream:news"), BYTES("identity:acme")};
    put(kit, "ann@example.net", "stream:news", "unsubscribed", 0);
    assert_string_equal(look(kit, "ann@example.net", scopes, 1, now), "no");
    assert_string_equal(look(kit, "ann@example.net", scopes, 3, now),
                        "ann@example.net stream:news unsubscribed test");
    const struct bytes other[] = {BYTES("stream:new"), BYTES("stream:newss"), BYTES("identity:news"),
                                  BYTES("")};
    assert_string_equal(look(kit, "ann@example.net", other, 4, now), "no");
    put(kit, "ann@example.net", "all", "complaint", 0); // the scopes are asked in their order
    assert_string_equal(look(kit, "ann@example.net", scopes, 3, now), "ann@example.net all complaint test");
    assert_true(drop(kit, "ann@example.net", "all"));
    assert_string_equal(look(kit, "ann@example.net", scopes, 3, now),
                        "ann@example.net stream:news unsubscribed test");
    put(kit, "ann@example.net", "all", "", 0);
    put(kit, "ann@example.net", "identity:acme", "", 0);
    put(kit, "ann@example.network", "all", "", 0);
    put(kit, "@example.net", "all", "", 0);
    assert_int_equal(drop(kit, "ann@example.net", ""), 3); // all of hers, and nobody else's
    assert_int_equal(drop(kit, "ann@example.net", ""), 0);
    assert_string_equal(look(kit, "ann@example.net", scopes, 3, now), "@example.net all  test");
    assert_string_equal(look_all(kit, "ann@example.network"), "ann@example.network all  test");
}

static void a_domain_stands_for_all_of_it(void **state) {
    struct kit *kit = *state;
    put(kit, "@example.net", "all", "asked for it", 0);
    assert_string_equal(look_all(kit, "bob@example.net"), "@example.net all asked for it test");
    assert_string_equal(look_all(kit, "@example.net"), "@example.net all asked for it test");
    assert_string_equal(look_all(kit, "bob@mail.example.net"), "no");
    assert_string_equal(look_all(kit, "bob@ample.net"), "no");
    assert_string_equal(look_all(kit, "example.net"), "no");
    put(kit, "bob@example.net", "all", "bounced", 0); // the nearer one is told
    assert_string_equal(look_all(kit, "bob@example.net"), "bob@example.net all bounced test");
    assert_string_equal(look_all(kit, "\"a@b\"@example.net"), "@example.net all asked for it test");
}

static void what_is_over_is_not_seen(void **state) {
    struct kit *kit = *state;
    put(kit, "bob@example.net", "all", "for a minute", now + 60000);
    put(kit, "@example.net", "all", "for two", now + 120000);
    assert_string_equal(look(kit, "bob@example.net", all_only, 1, now + 59999),
                        "bob@example.net all for a minute test");
    assert_string_equal(look(kit, "bob@example.net", all_only, 1, now + 60000),
                        "@example.net all for two test");
    assert_string_equal(look(kit, "bob@example.net", all_only, 1, now + 120000), "no");
}

static bool count_raw(void *arg, struct bytes key, struct bytes value) {
    (void)key;
    (void)value;
    ++*(size_t *)arg;
    return true;
}

static size_t entries_on_disk(struct kit *kit) {
    struct err err;
    struct reader *r = reader_new(kit->store, &err);
    size_t count = 0;
    reader_begin(r);
    reader_walk(r, TABLE_SUPPRESSION, BYTES(""), count_raw, &count);
    reader_end(r);
    reader_free(&r);
    return count;
}

static void puts_sweep_out_what_is_over(void **state) {
    struct kit *kit = *state;
    char address[40];
    for (int i = 0; i < 200; i++) {
        snprintf(address, sizeof address, "u%03d@example.net", i);
        put(kit, address, "all", "short", i % 4 ? now + 1000 : 0);
    }
    assert_int_equal(entries_on_disk(kit), 200);
    // Each put looks at two: two hundred later every old one has been looked at.
    for (int i = 0; i < 200; i++) {
        snprintf(address, sizeof address, "v%03d@example.net", i);
        struct suppression s = entry(address, "all", "later", 0);
        assert_true(put_many(kit, &s, 1, now + 2000));
    }
    assert_int_equal(entries_on_disk(kit), 50 + 200);
}

static void an_idle_writer_sweeps_too(void **state) {
    struct kit *kit = *state;
    char address[40];
    for (int i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "u%03d@example.net", i);
        put(kit, address, "all", "short", i % 4 ? now + 1000 : 0);
    }
    store_close(&kit->store);
    clock_shift(&kit->clock, 2000);
    kit_open(kit);
    for (int turn = 0; turn < 1000 && entries_on_disk(kit) > 25; turn++)
        poll(NULL, 0, 10);
    assert_int_equal(entries_on_disk(kit), 25);
}

static void rules_never_shorten_an_entry(void **state) {
    struct kit *kit = *state;
    static const struct {
        int64_t there, added;
        bool stays;
    } cases[] = {{0, 500, true},   {0, 0, true},      {500, 0, false}, {500, 400, true},
                 {500, 500, true}, {500, 600, false}, {-1, 500, false}}; // -1: over already
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(kit, "bob@example.net", "all", "there", cases[i].there ? now + cases[i].there : 0);
        struct suppression s =
            entry("bob@example.net", "all", "added", cases[i].added ? now + cases[i].added : 0);
        struct batch b = {.entries = &s, .count = 1, .how = SUPPRESSION_LENGTHEN, .now_ms = now};
        struct job job = {.work = work_batch, .with = &b};
        assert_true(job_run(&job, kit->store));
        assert_string_equal(look_all(kit, "bob@example.net"), cases[i].stays
                                                                  ? "bob@example.net all there test"
                                                                  : "bob@example.net all added test");
    }
}

// ---- walks

struct seen {
    char text[1000];
    size_t count, stop_at;
    struct suppression last;
    char address[400], scope[130];
};

static bool see(void *arg, const struct suppression *s) {
    struct seen *seen = arg;
    size_t at = strlen(seen->text);
    snprintf(seen->text + at, sizeof seen->text - at, "%.*s/%.*s ", BYTES_FMT(bytes_first(s->address, 60)),
             BYTES_FMT(s->scope));
    snprintf(seen->address, sizeof seen->address, "%.*s", BYTES_FMT(s->address));
    snprintf(seen->scope, sizeof seen->scope, "%.*s", BYTES_FMT(s->scope));
    seen->last = (struct suppression){.address = bytes_of(seen->address), .scope = bytes_of(seen->scope)};
    return ++seen->count != seen->stop_at;
}

static void walks_go_on_where_they_stopped(void **state) {
    struct kit *kit = *state;
    char longest[400] = "";
    memset(longest, 'l', 350);
    strcpy(longest + 350, "@example.net");
    put(kit, "b@example.net", "all", "", 0);
    put(kit, "b@example.net", "stream:x", "", 0);
    put(kit, "b@example.network", "all", "", 0);
    put(kit, "a@example.net", "all", "", now - 1); // over
    put(kit, "@example.net", "identity:i", "", 0);
    put(kit, longest, "all", "", 0);
    struct err err;
    struct reader *r = reader_new(kit->store, &err);
    for (size_t step = 1; step <= 6; step++) {
        struct seen seen = {.text = ""};
        bool more = true;
        reader_begin(r);
        for (int turns = 0; more && turns < 10; turns++) {
            seen.stop_at = seen.count + step;
            more = !reader_suppressions(r, seen.count ? &seen.last : NULL, now, see, &seen);
        }
        reader_end(r);
        assert_false(more);
        assert_string_equal(
            seen.text,
            "@example.net/identity:i b@example.net/all b@example.net/stream:x b@example.network/all "
            "llllllllllllllllllllllllllllllllllllllllllllllllllllllllllll/all ");
    }
    struct seen of = {.text = ""};
    reader_begin(r);
    assert_true(reader_suppressions_of(r, BYTES("b@example.net"), now, see, &of));
    assert_string_equal(of.text, "b@example.net/all b@example.net/stream:x ");
    of = (struct seen){.text = ""};
    assert_true(reader_suppressions_of(r, bytes_of(longest), now, see, &of));
    assert_int_equal(of.count, 1);
    reader_end(r);
    reader_free(&r);
}

// ---- hostile

static void lengths_have_an_end(void **state) {
    struct kit *kit = *state;
    char big[4096];
    static const size_t lengths[] = {1, 254, 319, 320, 321, 511, 512, SUPPRESSION_ADDRESS};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memset(big, 'x', sizeof big);
        big[lengths[i] - 1] = '@';
        big[lengths[i]] = 0;
        struct suppression s = entry(big, "all", "long", 0);
        struct key key = key_suppression(s.address, s.scope);
        assert_in_range(key.len, 1, KEY_MAX);
        bool good = lengths[i] > 1;
        assert_int_equal(put_many(kit, &s, 1, now), good);
        assert_int_equal(strcmp(look_all(kit, big), "no") != 0, good);
        if (!good) continue;
        big[lengths[i] - 2] ^= 1; // another of the same length, which differs behind what the key holds
        assert_string_equal(look_all(kit, big), "no");
    }
    memset(big, 'x', sizeof big);
    big[10] = '@';
    struct suppression s = entry("", "all", "", 0);
    s.address = bytes_range(big, SUPPRESSION_ADDRESS + 1);
    assert_false(put_many(kit, &s, 1, now));
    big[sizeof big - 1] = 0;
    assert_string_equal(look_all(kit, big), "no");
    assert_string_equal(look_all(kit, ""), "no");
    s = entry("bob@example.net", "all", "", 0);
    s.reason = bytes_range(big, SUPPRESSION_WORDS + 1);
    assert_false(put_many(kit, &s, 1, now));
    s.reason = bytes_range(big, SUPPRESSION_WORDS);
    assert_true(put_many(kit, &s, 1, now));
}

static void scopes_that_are_none_are_refused(void **state) {
    struct kit *kit = *state;
    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    memcpy(long_name, "stream:", 7);
    long_name[SUPPRESSION_SCOPE] = 0;
    assert_true(suppression_scope_is_valid(bytes_of(long_name)));
    long_name[SUPPRESSION_SCOPE] = 'n';
    long_name[SUPPRESSION_SCOPE + 1] = 0;
    static const char *const bad[] = {
        "", "ALL", "all ", "stream", "stream:", "identity:", "identity", "lane:x", "stream:a\nb"};
    assert_false(suppression_scope_is_valid(bytes_of(long_name)));
    assert_false(suppression_scope_is_valid(BYTES("stream:a\0b")));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(suppression_scope_is_valid(bytes_of(bad[i])));
        struct suppression s = entry("bob@example.net", bad[i], "", 0);
        assert_false(put_many(kit, &s, 1, now));
        if (bad[i][0]) assert_false(drop(kit, "bob@example.net", bad[i]));
    }
    struct suppression s = entry("bob@example.net", "all", "two\nlines", 0);
    assert_false(put_many(kit, &s, 1, now));
    s = entry("nobody", "all", "", 0);
    assert_false(put_many(kit, &s, 1, now));
    // A NUL in an address cannot make it look like another address in another scope.
    s = entry("", "all", "trick", 0);
    s.address = BYTES("bob@example.net\0stream:x");
    assert_true(put_many(kit, &s, 1, now));
    const struct bytes scopes[] = {BYTES("all"), BYTES("stream:x")};
    assert_string_equal(look(kit, "bob@example.net", scopes, 2, now), "no");
}

static bool work_raw(struct job *job, struct txn *txn, struct err *err) {
    struct bytes *kv = job->with;
    return txn_put(txn, TABLE_SUPPRESSION, kv[0], kv[1], err);
}

static void count_fault(void *arg, const char *text) {
    assert_non_null(strstr(text, "suppression"));
    ++*(int *)arg;
}

static void damaged_records_suppress_and_are_found(void **state) {
    struct kit *kit = *state;
    struct suppression good = entry("bob@example.net", "all", "reason", 0);
    struct buf record = {0};
    suppression_encode(&good, &record);
    struct key key = key_suppression(good.address, good.scope);
    for (size_t cut = 0; cut <= record.len; cut++) {
        struct suppression out;
        assert_int_equal(
            suppression_decode(key_bytes(&key), bytes_first(buf_bytes(&record), cut), &out, NULL),
            cut == record.len);
    }
    buf_byte(&record, 'x');
    struct bytes kv[2] = {key_bytes(&key), buf_bytes(&record)};
    struct job job = {.work = work_raw, .with = kv};
    assert_true(job_run(&job, kit->store));
    assert_string_equal(look_all(kit, "bob@example.net"), "bob@example.net all the entry is damaged store");
    int faults = 0;
    assert_false(store_check(kit->store, count_fault, &faults, NULL));
    assert_int_equal(faults, 1);
    put(kit, "bob@example.net", "all", "mended", 0);
    assert_true(store_check(kit->store, count_fault, &faults, NULL));
    struct suppression out;
    assert_false(suppression_decode(BYTES(""), buf_bytes(&record), &out, NULL));
    assert_false(suppression_decode(BYTES("no nul"), buf_bytes(&record), &out, NULL));
    record.at[0] = 2; // of a later version
    assert_false(
        suppression_decode(key_bytes(&key), bytes_first(buf_bytes(&record), record.len - 1), &out, NULL));
    buf_release(&record);
}

// ---- many

enum { MANY = 1000000, BATCH = 4096, ADDRESS_TEXT = 32 };

// In an order that has nothing to do with that of the keys: i times an odd number, modulo MANY.
static void many_address(size_t i, char out[ADDRESS_TEXT]) {
    snprintf(out, ADDRESS_TEXT, "u%06zu@d%02zu.example.net", i * 617231 % MANY, i % 37);
}

static void fill(struct kit *kit) {
    static char texts[BATCH][ADDRESS_TEXT];
    static struct suppression entries[BATCH];
    for (size_t i = 0; i < MANY;) {
        size_t count = 0;
        for (; count < BATCH && i < MANY; i++, count++) {
            many_address(i, texts[count]);
            entries[count] = entry(texts[count], "all", "bounce", 0);
        }
        assert_true(put_many(kit, entries, count, now));
    }
}

static void a_look_up_among_a_million_takes_microseconds(void **state) {
    struct kit *kit = *state;
    struct err err;
    fill(kit);
    const struct bytes scopes[] = {BYTES("all"), BYTES("stream:news"), BYTES("identity:acme")};
    struct reader *r = reader_new(kit->store, &err);
    size_t found = 0;
    struct suppression s;
    char address[ADDRESS_TEXT];
    int64_t began = clock_monotonic_us();
    for (size_t i = 0; i < 100000; i++) {
        many_address(i * 9, address);
        if (i % 2) address[0] = 'v';
        reader_begin(r);
        found += reader_suppressed(r, scopes, 3, bytes_of(address), now, &s);
        reader_end(r);
    }
    int64_t took = clock_monotonic_us() - began;
    reader_free(&r);
    assert_int_equal(found, 50000);
    // Some 2 microseconds each; what a walk would take, or a sanitizer's slowness, lie far on either side of
    // 100.
    assert_in_range(took, 0, 100000 * 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(put_in_it_is_found_and_taken_out_it_is_not, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(scopes_are_lists_of_their_own, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(a_domain_stands_for_all_of_it, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(what_is_over_is_not_seen, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(puts_sweep_out_what_is_over, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(an_idle_writer_sweeps_too, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(rules_never_shorten_an_entry, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(walks_go_on_where_they_stopped, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(lengths_have_an_end, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(scopes_that_are_none_are_refused, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(damaged_records_suppress_and_are_found, set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(a_look_up_among_a_million_takes_microseconds, set_up, kit_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
