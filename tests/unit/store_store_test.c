// SPDX-License-Identifier: MIT
#include "store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <sys/stat.h>

static void expect_body(struct kit *kit, uint64_t id, struct bytes wanted) {
    struct err err = {""};
    size_t len = 0;
    char *body = kit_body(kit, id, &len, &err);
    if (!body) fail_msg("%s", err.text);
    assert_true(bytes_equal(bytes_range(body, len), wanted));
    free(body);
}

// ---- life of a message
// ---------------------------------------------------------------------------------------

static void a_message_lives_and_goes(void **state) {
    struct kit *kit = *state;
    bool last;
    assert_true(accept_mail(kit, 1000, 2, 500, BYTES("hello\r\nthere\r\n")));
    struct store_stats stats = kit_stats(kit);
    assert_int_equal(stats.messages, 1);
    assert_int_equal(stats.recipients, 2);
    assert_int_equal(stats.due, 2);
    expect_body(kit, 1000, BYTES("hello\r\nthere\r\n"));
    assert_true(drop_mail(kit, 1000, 0, &last));
    assert_false(last);
    assert_true(drop_mail(kit, 1000, 0, &last)); // twice: nothing to do
    assert_false(last);
    assert_true(drop_mail(kit, 1000, 1, &last));
    assert_true(last);
    stats = kit_stats(kit);
    assert_int_equal(stats.messages, 0);
    assert_int_equal(stats.recipients, 0);
    assert_int_equal(stats.body_bytes_live, 0);
    kit_expect_sound(kit);
}

static void everything_is_there_after_reopening(void **state) {
    struct kit *kit = *state;
    for (uint64_t id = 1; id <= 50; id++)
        assert_true(accept_mail(kit, id << 23, 3, (int64_t)id, BYTES("body")));
    struct recipient held = some_recipient(1 << 23, 1, 5);
    held.state = RECIPIENT_HELD;
    assert_true(put_recipient(kit, held));
    uint64_t live = kit_stats(kit).body_bytes_live;
    kit_reopen(kit);
    struct store_stats stats = kit_stats(kit);
    assert_int_equal(stats.messages, 50);
    assert_int_equal(stats.recipients, 150);
    assert_int_equal(stats.held, 1);
    assert_int_equal(stats.due, 149);
    assert_int_equal(stats.body_bytes_live, live);
    for (uint64_t id = 1; id <= 50; id++)
        expect_body(kit, id << 23, BYTES("body"));
    kit_expect_sound(kit);
}

static void bodies_of_all_kinds(void **state) {
    struct kit *kit = *state;
    assert_true(accept_mail(kit, 1, 1, 1, BYTES("")));               // a record without bytes
    assert_true(accept_mail(kit, 2, 1, 1, (struct bytes){NULL, 0})); // no record
    expect_body(kit, 1, BYTES(""));
    expect_body(kit, 2, BYTES(""));
    size_t size = (3 << 20) + 17; // three times a segment
    char *big = malloc(size);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 31 >> 3);
    assert_true(accept_mail(kit, 3, 1, 1, bytes_range(big, size)));
    expect_body(kit, 3, bytes_range(big, size));
    kit_expect_sound(kit);
    kit_reopen(kit);
    assert_true(accept_mail(kit, 4, 1, 1, BYTES("after")));
    expect_body(kit, 3, bytes_range(big, size));
    expect_body(kit, 4, BYTES("after"));
    free(big);
    for (uint64_t id = 1; id <= 4; id++)
        assert_true(drop_mail(kit, id, 0, NULL));
    kit_expect_sound(kit);
    assert_int_equal(kit_stats(kit).body_bytes_live, 0);
}

static void a_body_from_parts_and_a_file(void **state) {
    struct kit *kit = *state;
    FILE *spill = tmpfile();
    fputs("spilled to a file", spill);
    fflush(spill);
    struct message m = some_message(9);
    struct recipient r = some_recipient(9, 0, 1);
    struct iovec parts[2] = {{(void *)(uintptr_t) "kept, ", 6}, {(void *)(uintptr_t) "then ", 5}};
    struct job job = {.work = work_accept, .message = &m, .recipients = &r, .recipient_count = 1};
    job.op.parts = parts;
    job.op.part_count = 2;
    job.op.body_id = 9;
    job.op.file = fileno(spill);
    job.op.file_length = 17;
    assert_true(job_run(&job, kit->store));
    expect_body(kit, 9, BYTES("kept, then spilled to a file"));
    job.op.file_length = 18; // more than there is
    assert_false(job_run(&job, kit->store));
    assert_non_null(strstr(job.why.text, "shorter than announced"));
    fclose(spill);
    assert_true(accept_mail(kit, 10, 1, 1, BYTES("others are not harmed")));
    expect_body(kit, 10, BYTES("others are not harmed"));
    kit_expect_sound(kit);
}

static void a_message_put_again_claims_its_body_once(void **state) {
    struct kit *kit = *state;
    assert_true(accept_mail(kit, 5, 1, 1, BYTES("body")));
    assert_true(accept_mail(kit, 6, 1, 1, BYTES("body")));
    uint64_t live = kit_stats(kit).body_bytes_live;
    struct place place;
    assert_true(kit_place(kit, 5, &place));
    struct message m = some_message(5);
    m.body = place;
    m.head = BYTES("X: edited\r\n");
    struct job job = {.work = work_accept, .message = &m};
    assert_true(job_run(&job, kit->store));
    assert_int_equal(kit_stats(kit).body_bytes_live, live);
    kit_expect_sound(kit);
}

// ---- walks
// ---------------------------------------------------------------------------------------------------

struct seen {
    int count, stop_after;
    uint64_t ids[64];
    uint32_t ns[64];
    char lanes[8][32];
    size_t lane_len[8];
    struct reader *reader;
};

static bool see_due(void *arg, const struct due *due) {
    struct seen *s = arg;
    s->ids[s->count] = due->id;
    s->ns[s->count] = due->n;
    return ++s->count != s->stop_after;
}

static bool see_parked(void *arg, uint64_t id, uint32_t n) {
    return see_due(arg, &(struct due){.id = id, .n = n});
}

static bool see_recipient(void *arg, const struct recipient *r) {
    return see_due(arg, &(struct due){.id = r->id, .n = r->n});
}

static bool see_lane(void *arg, struct bytes lane) {
    struct seen *s = arg;
    snprintf(s->lanes[s->count], sizeof s->lanes[0], "%.*s", (int)(lane.len < 31 ? lane.len : 31), lane.at);
    s->lane_len[s->count] = lane.len;
    return ++s->count != s->stop_after;
}

static void what_is_due_comes_in_order(void **state) {
    struct kit *kit = *state;
    struct err err;
    assert_true(accept_mail(kit, 1, 1, 300, BYTES("a")));
    assert_true(accept_mail(kit, 2, 2, 100, BYTES("b")));
    assert_true(accept_mail(kit, 3, 1, 200, BYTES("c")));
    struct reader *reader = reader_new(kit->store, &err);
    struct seen seen = {.count = 0};
    struct due from = {0};
    int64_t next;
    reader_begin(reader);
    assert_true(reader_due(reader, &from, 200, see_due, &seen));
    assert_int_equal(seen.count, 3);
    assert_true(seen.ids[0] == 2 && seen.ns[0] == 0 && seen.ids[1] == 2 && seen.ns[1] == 1 &&
                seen.ids[2] == 3);
    seen = (struct seen){.stop_after = 1};
    from = (struct due){100, 2, 0}; // exclusive
    assert_false(reader_due(reader, &from, 1000, see_due, &seen));
    assert_true(seen.count == 1 && seen.ids[0] == 2 && seen.ns[0] == 1);
    assert_true(reader_due_next(reader, 100, &next) && next == 200);
    assert_true(reader_due_next(reader, -1, &next) && next == 100);
    assert_false(reader_due_next(reader, 300, &next));
    assert_false(reader_due_next(reader, INT64_MAX, &next));
    reader_end(reader);
    assert_true(put_recipient(kit, some_recipient(2, 0, 900)));
    assert_true(drop_mail(kit, 3, 0, NULL));
    seen = (struct seen){.count = 0};
    from = (struct due){0};
    reader_begin(reader);
    assert_true(reader_due(reader, &from, INT64_MAX, see_due, &seen));
    reader_end(reader);
    assert_int_equal(seen.count, 3);
    assert_true(seen.ids[0] == 2 && seen.ns[0] == 1 && seen.ids[1] == 1 && seen.ids[2] == 2);
    reader_free(&reader);
}

static void park(struct kit *kit, uint64_t id, uint32_t n, struct bytes lane) {
    struct recipient r = some_recipient(id, n, 5000);
    r.state = RECIPIENT_PARKED;
    r.lane = lane;
    assert_true(put_recipient(kit, r));
}

static int count_parked(struct reader *reader, struct bytes lane) {
    struct seen seen = {.count = 0};
    reader_begin(reader);
    assert_true(reader_parked(reader, lane, see_parked, &seen));
    reader_end(reader);
    return seen.count;
}

static void the_parked_are_found_by_lane(void **state) {
    struct kit *kit = *state;
    struct err err;
    for (uint64_t id = 1; id <= 4; id++)
        assert_true(accept_mail(kit, id, 2, 10, BYTES("x")));
    park(kit, 3, 0, BYTES("acme"));
    park(kit, 1, 1, BYTES("acme"));
    park(kit, 2, 0, BYTES("acme2"));
    park(kit, 4, 0, BYTES("zeta"));
    struct reader *reader = reader_new(kit->store, &err);
    struct seen seen = {.count = 0};
    reader_begin(reader);
    assert_true(reader_parked(reader, BYTES("acme"), see_parked, &seen));
    assert_true(seen.count == 2 && seen.ids[0] == 1 && seen.ns[0] == 1 && seen.ids[1] == 3);
    seen = (struct seen){.count = 0};
    assert_true(reader_parked(reader, BYTES("acm"), see_parked, &seen));
    assert_int_equal(seen.count, 0);
    assert_true(reader_parked_lanes(reader, BYTES(""), see_lane, &seen));
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.lanes[0], "acme");
    assert_string_equal(seen.lanes[1], "zeta"); // shorter names first
    assert_string_equal(seen.lanes[2], "acme2");
    seen = (struct seen){.count = 0};
    assert_true(reader_parked_lanes(reader, BYTES("acme"), see_lane, &seen));
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.lanes[0], "zeta");
    seen = (struct seen){.count = 0};
    assert_true(reader_parked_lanes(reader, BYTES("acme2"), see_lane, &seen));
    assert_int_equal(seen.count, 0);
    reader_end(reader);
    assert_int_equal(kit_stats(kit).parked, 4);
    park(kit, 3, 0, BYTES("zeta"));                            // moves
    assert_true(put_recipient(kit, some_recipient(1, 1, 20))); // leaves
    assert_int_equal(count_parked(reader, BYTES("acme")), 0);
    assert_int_equal(count_parked(reader, BYTES("zeta")), 2);
    assert_true(drop_mail(kit, 4, 0, NULL));
    assert_int_equal(count_parked(reader, BYTES("zeta")), 1);
    assert_int_equal(kit_stats(kit).parked, 2);
    reader_free(&reader);
    kit_expect_sound(kit);
}

static void park_in_turn(struct kit *kit, uint64_t id, uint32_t n, struct bytes lane, enum priority priority, struct bytes turn) {
    struct recipient r = some_recipient(id, n, 5000);
    r.state = RECIPIENT_PARKED;
    r.lane = lane;
    r.priority = priority;
    r.turn = turn;
    assert_true(put_recipient(kit, r));
}

struct turns {
    struct parked_turn at[8];
    char names[8][16];
    int count, most;
};

static bool see_turn(void *arg, const struct parked_turn *turn) {
    struct turns *t = arg;
    t->at[t->count] = *turn;
    snprintf(t->names[t->count], sizeof t->names[0], "%.*s", BYTES_FMT(turn->name));
    return ++t->count != t->most;
}

// Those that a version before turns has parked are there too, in front.
static void the_parked_are_found_by_turn(void **state) {
    struct kit *kit = *state;
    struct err err;
    struct bytes lane = BYTES("acme"), news = BYTES("news"), shop = BYTES("shop");
    for (uint64_t id = 1; id <= 8; id++)
        assert_true(accept_mail(kit, id, 1, 10, BYTES("x")));
    for (uint64_t id = 1; id <= 3; id++)
        park_in_turn(kit, id, 0, lane, PRIORITY_BULK, news);
    park_in_turn(kit, 4, 0, lane, PRIORITY_URGENT, shop);
    park_in_turn(kit, 5, 0, lane, PRIORITY_BULK, shop);
    park(kit, 6, 0, lane);
    park(kit, 7, 0, lane);
    park(kit, 8, 0, BYTES("zeta"));
    kit_expect_sound(kit);
    struct reader *reader = reader_new(kit->store, &err);
    struct turns turns = {.count = 0};
    struct parked_turn from = {0};
    struct due first = {0}, one = {.id = 1};
    struct seen seen = {.count = 0};
    reader_begin(reader);
    assert_true(reader_parked_turns(reader, lane, &from, see_turn, &turns));
    assert_int_equal(turns.count, 4);
    assert_int_equal(turns.at[0].priority, PRIORITY_NONE);
    assert_int_equal(turns.at[1].priority, PRIORITY_URGENT);
    assert_string_equal(turns.names[1], "shop");
    assert_true(turns.at[2].priority == PRIORITY_BULK && turns.at[3].priority == PRIORITY_BULK);
    assert_string_not_equal(turns.names[2], turns.names[3]);
    struct turns rest = {.most = 1};
    assert_false(reader_parked_turns(reader, lane, &turns.at[1], see_turn, &rest));
    assert_string_equal(rest.names[0], turns.names[2]);
    assert_true(reader_parked_of(reader, lane, PRIORITY_BULK, bytes_hash(news), &one, see_parked, &seen));
    assert_true(seen.count == 2 && seen.ids[0] == 2 && seen.ids[1] == 3);
    seen = (struct seen){.count = 0};
    assert_true(reader_parked_of(reader, lane, PRIORITY_NONE, 0, &first, see_parked, &seen));
    assert_true(seen.count == 2 && seen.ids[0] == 6 && seen.ids[1] == 7);
    seen = (struct seen){.count = 0};
    assert_true(reader_parked(reader, lane, see_parked, &seen));
    assert_int_equal(seen.count, 7);
    seen = (struct seen){.count = 0};
    assert_true(reader_parked_lanes(reader, BYTES(""), see_lane, &seen));
    assert_int_equal(seen.count, 2);
    reader_end(reader);
    park_in_turn(kit, 6, 0, lane, PRIORITY_NORMAL, news); // called back, and parked again by this version
    assert_true(put_recipient(kit, some_recipient(4, 0, 20)));
    kit_expect_sound(kit);
    assert_int_equal(kit_stats(kit).parked, 7);
    turns = (struct turns){.count = 0};
    reader_begin(reader);
    assert_true(reader_parked_turns(reader, lane, &from, see_turn, &turns));
    assert_true(turns.count == 4 && turns.at[0].priority == PRIORITY_NONE && turns.at[1].priority == PRIORITY_NORMAL);
    reader_end(reader);
    reader_free(&reader);
}

static void long_lanes_are_found_too(void **state) {
    struct kit *kit = *state;
    struct err err;
    char text[2000];
    memset(text, 'l', sizeof text);
    for (uint64_t id = 1; id <= 3; id++)
        assert_true(accept_mail(kit, id, 1, 10, BYTES("x")));
    park(kit, 1, 0, bytes_range(text, 1000));
    park(kit, 2, 0, bytes_range(text, 1001));
    park(kit, 3, 0, bytes_range(text, 1001));
    struct reader *reader = reader_new(kit->store, &err);
    assert_int_equal(count_parked(reader, bytes_range(text, 1000)), 1);
    assert_int_equal(count_parked(reader, bytes_range(text, 1001)), 2);
    assert_int_equal(count_parked(reader, bytes_range(text, 1002)), 0);
    struct seen seen = {.count = 0};
    reader_begin(reader);
    assert_true(reader_parked_lanes(reader, BYTES(""), see_lane, &seen));
    reader_end(reader);
    assert_int_equal(seen.count, 2);
    assert_true(seen.lane_len[0] == 1000 && seen.lane_len[1] == 1001);
    reader_free(&reader);
    kit_expect_sound(kit);
}

static bool walk_within(void *arg, const struct recipient *r) {
    struct seen *outer = arg, inner = {.count = 0};
    assert_true(reader_recipients_of(outer->reader, r->id, see_recipient, &inner));
    assert_int_equal(inner.count, 3);
    return see_recipient(arg, r);
}

static void walks_may_nest_and_stop(void **state) {
    struct kit *kit = *state;
    struct err err;
    for (uint64_t id = 1; id <= 5; id++)
        assert_true(accept_mail(kit, id, 3, 10, BYTES("x")));
    struct seen seen = {.reader = reader_new(kit->store, &err)};
    reader_begin(seen.reader);
    assert_true(reader_recipients(seen.reader, 2, walk_within, &seen));
    assert_true(seen.count == 12 && seen.ids[0] == 2 && seen.ids[11] == 5);
    seen.count = 0;
    seen.stop_after = 4;
    assert_false(reader_recipients(seen.reader, 0, walk_within, &seen));
    assert_int_equal(seen.count, 4);
    seen.count = 0;
    assert_true(reader_recipients_of(seen.reader, 77, see_recipient, &seen));
    assert_int_equal(seen.count, 0);
    reader_end(seen.reader);
    reader_free(&seen.reader);
}

static void a_snapshot_stays_as_it_was(void **state) {
    struct kit *kit = *state;
    struct err err;
    struct message m;
    struct recipient r;
    assert_true(accept_mail(kit, 1, 1, 10, BYTES("x")));
    struct reader *reader = reader_new(kit->store, &err);
    reader_begin(reader);
    assert_true(reader_message(reader, 1, &m));
    assert_true(drop_mail(kit, 1, 0, NULL));
    assert_true(bytes_equal(m.sender, BYTES("anna@sender.example")));
    assert_true(reader_recipient(reader, 1, 0, &r));
    reader_end(reader);
    reader_begin(reader);
    assert_false(reader_message(reader, 1, &m));
    assert_false(reader_recipient(reader, 1, 0, &r));
    reader_end(reader);
    reader_free(&reader);
}

// ---- named values and the journal
// ----------------------------------------------------------------------------

static bool work_values(struct job *job, struct txn *txn, struct err *err) {
    struct bytes value;
    bool found;
    if (!txn_put(txn, TABLE_SHELF, BYTES("a/1"), BYTES("one"), err)) return false;
    if (!txn_put(txn, TABLE_SHELF, BYTES("a/2"), BYTES("two"), err)) return false;
    if (!txn_put(txn, TABLE_SHELF, BYTES("b/1"), BYTES(""), err)) return false;
    if (!txn_get(txn, TABLE_SHELF, BYTES("a/2"), &value, &found, err)) return false;
    job->last = found && bytes_equal(value, BYTES("two"));
    return txn_delete(txn, TABLE_SHELF, BYTES("never there"), err) &&
           txn_delete(txn, TABLE_SHELF, BYTES("a/2"), err);
}

static bool count_entry(void *arg, struct bytes key, struct bytes value) {
    (void)key, (void)value;
    ++*(int *)arg;
    return true;
}

static void named_values(void **state) {
    struct kit *kit = *state;
    struct err err;
    struct bytes value;
    int count = 0;
    struct job job = {.work = work_values};
    assert_true(job_run(&job, kit->store) && job.last);
    struct reader *reader = reader_new(kit->store, &err);
    reader_begin(reader);
    assert_true(reader_get(reader, TABLE_SHELF, BYTES("a/1"), &value) && bytes_equal(value, BYTES("one")));
    assert_true(reader_get(reader, TABLE_SHELF, BYTES("b/1"), &value) && value.len == 0);
    assert_false(reader_get(reader, TABLE_SHELF, BYTES("a/2"), &value));
    assert_true(reader_walk(reader, TABLE_SHELF, BYTES("a/"), count_entry, &count));
    assert_int_equal(count, 1);
    assert_true(reader_walk(reader, TABLE_SHELF, BYTES(""), count_entry, &count));
    assert_int_equal(count, 3);
    reader_end(reader);
    reader_free(&reader);
}

static bool work_bad_key(struct job *job, struct txn *txn, struct err *err) {
    char key[600];
    memset(key, 'k', sizeof key);
    return txn_put(txn, TABLE_SHELF, bytes_range(key, job->n), BYTES("x"), err);
}

static void a_key_of_no_size_harms_only_its_asker(void **state) {
    struct kit *kit = *state;
    for (uint32_t size = 0; size <= 512; size += 512) {
        struct job job = {.work = work_bad_key, .n = size};
        assert_false(job_run(&job, kit->store));
        assert_non_null(strstr(job.why.text, "1 to 511 bytes"));
    }
    assert_false(store_is_sick(kit->store));
    struct job job = {.work = work_bad_key, .n = 511};
    assert_true(job_run(&job, kit->store));
}

static bool work_journal(struct job *job, struct txn *txn, struct err *err) {
    for (uint32_t i = 0; i < job->n; i++)
        if (!txn_put_journal(txn, job->id, 1000 + i / 3, BYTES("{}"), err))
            return false; // three a millisecond
    return true;
}

static bool see_entry(void *arg, int64_t at_ms, struct bytes entry) {
    assert_true(bytes_equal(entry, BYTES("{}")));
    return see_due(arg, &(struct due){.id = (uint64_t)at_ms});
}

static int count_journal(struct kit *kit, uint64_t id) {
    struct err err;
    struct seen seen = {.reader = reader_new(kit->store, &err)};
    reader_begin(seen.reader);
    assert_true(reader_journal_of(seen.reader, id, see_entry, &seen));
    reader_end(seen.reader);
    reader_free(&seen.reader);
    for (int i = 1; i < seen.count; i++)
        assert_true(seen.ids[i - 1] <= seen.ids[i]);
    return seen.count;
}

static void the_journal_is_a_ring(void **state) {
    struct kit *kit = *state;
    store_close(&kit->store);
    kit->options.journal_max = 50;
    kit_open(kit);
    for (uint64_t id = 1; id <= 3; id++) {
        struct job job = {.work = work_journal, .id = id, .n = 20};
        assert_true(job_run(&job, kit->store));
    }
    assert_int_equal(count_journal(kit, 1), 10); // 60 came, the 10 oldest are gone
    assert_int_equal(count_journal(kit, 2), 20);
    assert_int_equal(count_journal(kit, 3), 20);
    kit_reopen(kit);
    struct job job = {.work = work_journal, .id = 3, .n = 3}; // the same times again
    assert_true(job_run(&job, kit->store));
    assert_int_equal(count_journal(kit, 3), 23);
    store_close(&kit->store);
    kit->options.journal_max = 10; // a lowered bound is reached by and by
    kit_open(kit);
    job = (struct job){.work = work_journal, .id = 4, .n = 45};
    assert_true(job_run(&job, kit->store));
    assert_int_equal(count_journal(kit, 3), 0);
    assert_int_equal(count_journal(kit, 4), 10);
}

// ---- groups
// --------------------------------------------------------------------------------------------------

// Holds the writer in its apply until told, so that what is submitted meanwhile waits together.
struct gate {
    struct job job;
    sem_t entered, open;
};

static bool work_gate(struct job *job, struct txn *txn, struct err *err) {
    (void)txn, (void)err;
    struct gate *gate = (struct gate *)job;
    sem_post(&gate->entered);
    while (sem_wait(&gate->open) != 0 && errno == EINTR)
        continue;
    return true;
}

static void gate_shut(struct gate *gate, struct kit *kit) {
    *gate = (struct gate){.job = {.work = work_gate}};
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->open, 0, 0);
    job_submit(&gate->job, kit->store);
    sem_wait(&gate->entered);
}

static void gate_open(struct gate *gate) {
    sem_post(&gate->open);
    assert_true(job_wait(&gate->job));
    sem_destroy(&gate->entered);
    sem_destroy(&gate->open);
}

static bool work_refuse(struct job *job, struct txn *txn, struct err *err) {
    bool last;
    if (!txn_drop_recipient(txn, job->id, 0, &last, err)) return false; // must be undone
    return err_set(err, "I would rather not");
}

static void who_refuses_is_undone_alone(void **state) {
    struct kit *kit = *state;
    struct gate gate;
    struct job jobs[30];
    for (uint64_t id = 1; id <= 30; id++)
        assert_true(accept_mail(kit, id, 1, 10, BYTES("x")));
    gate_shut(&gate, kit);
    for (uint64_t i = 0; i < 30; i++) {
        jobs[i] = (struct job){.work = i % 10 == 4 ? work_refuse : work_drop, .id = i + 1};
        job_submit(&jobs[i], kit->store);
    }
    gate_open(&gate);
    for (int i = 0; i < 30; i++) {
        assert_true(job_wait(&jobs[i]) == (i % 10 != 4));
        if (i % 10 == 4) assert_string_equal(jobs[i].why.text, "I would rather not");
    }
    assert_int_equal(kit_stats(kit).messages, 3);
    assert_int_equal(kit_stats(kit).recipients, 3);
    assert_false(store_is_sick(kit->store));
    for (uint64_t id = 5; id <= 25; id += 10)
        expect_body(kit, id, BYTES("x"));
    kit_expect_sound(kit);
}

enum { CROWD = 600 };

static bool work_nothing(struct job *job, struct txn *txn, struct err *err) {
    (void)job, (void)txn, (void)err;
    return true;
}

static void those_who_wait_commit_together(void **state) {
    struct kit *kit = *state;
    struct gate gate;
    struct job *jobs = calloc(CROWD, sizeof *jobs);
    uint64_t before = kit_stats(kit).commits;
    gate_shut(&gate, kit);
    for (int i = 0; i < CROWD; i++) {
        jobs[i].work = work_nothing;
        job_submit(&jobs[i], kit->store);
    }
    gate_open(&gate);
    for (int i = 0; i < CROWD; i++)
        assert_true(job_wait(&jobs[i]));
    assert_int_equal(kit_stats(kit).commits - before, 1 + 3); // 256, 256, 88
    free(jobs);
}

static void a_group_is_bounded_in_bytes(void **state) {
    struct kit *kit = *state;
    struct gate gate;
    struct job jobs[10];
    struct message messages[10];
    struct recipient recipients[10];
    char *body = calloc(1, 3 << 20);
    uint64_t before = kit_stats(kit).commits;
    gate_shut(&gate, kit);
    for (uint64_t i = 0; i < 10; i++) {
        messages[i] = some_message(i + 1);
        recipients[i] = some_recipient(i + 1, 0, 5);
        jobs[i] = (struct job){.work = work_accept,
                               .message = &messages[i],
                               .recipients = &recipients[i],
                               .recipient_count = 1,
                               .part = {body, 3 << 20}};
        jobs[i].op.parts = &jobs[i].part;
        jobs[i].op.part_count = 1;
        jobs[i].op.body_id = i + 1;
        job_submit(&jobs[i], kit->store);
    }
    gate_open(&gate);
    for (int i = 0; i < 10; i++)
        assert_true(job_wait(&jobs[i]));
    assert_int_equal(kit_stats(kit).commits - before, 1 + 5); // two of 3 MiB fit into 8 MiB
    expect_body(kit, 10, bytes_range(body, 3 << 20));
    free(body);
    kit_expect_sound(kit);
}

static void closing_commits_what_was_submitted(void **state) {
    struct kit *kit = *state;
    struct job jobs[100];
    struct message messages[100];
    struct recipient recipients[100];
    for (uint64_t i = 0; i < 100; i++) {
        messages[i] = some_message(i + 1);
        recipients[i] = some_recipient(i + 1, 0, 5);
        jobs[i] = (struct job){.work = work_accept,
                               .message = &messages[i],
                               .recipients = &recipients[i],
                               .recipient_count = 1,
                               .part = {(void *)(uintptr_t) "body", 4}};
        jobs[i].op.parts = &jobs[i].part;
        jobs[i].op.part_count = 1;
        jobs[i].op.body_id = i + 1;
        job_submit(&jobs[i], kit->store);
    }
    kit_reopen(kit);
    for (int i = 0; i < 100; i++)
        assert_true(job_wait(&jobs[i]));
    assert_int_equal(kit_stats(kit).messages, 100);
    expect_body(kit, 100, BYTES("body"));
}

// ---- many threads
// --------------------------------------------------------------------------------------------

enum { THREADS = 4, ROUNDS = 150 };

struct worker {
    struct kit *kit;
    unsigned number;
    pthread_t thread;
    atomic_bool *stop;
    int faults, bodies;
};

static void live_through(struct worker *w, uint64_t id) {
    char body[300];
    size_t len = 20 + (id * 7) % 270;
    memset(body, 'a' + (int)(id % 26), len);
    if (!accept_mail(w->kit, id, 3, (int64_t)id, bytes_range(body, len))) w->faults++;
    struct recipient parked = some_recipient(id, 1, (int64_t)id + 10);
    parked.state = RECIPIENT_PARKED;
    parked.lane = id % 2 ? BYTES("odd") : BYTES("even");
    if (!put_recipient(w->kit, parked)) w->faults++;
    struct recipient held = some_recipient(id, 2, (int64_t)id + 20);
    held.state = RECIPIENT_HELD;
    if (!put_recipient(w->kit, held)) w->faults++;
    for (uint32_t n = 0; n < 3; n++)
        if (!drop_mail(w->kit, id, n, NULL)) w->faults++;
}

static void *live_many(void *arg) {
    struct worker *w = arg;
    for (unsigned i = 0; i < ROUNDS; i++)
        live_through(w, id_make(1700000000000 + i, w->number, i));
    return NULL;
}

static bool first_message(void *arg, const struct recipient *r) {
    *(uint64_t *)arg = r->id;
    return false;
}

static void read_one(struct worker *w, struct reader *reader) {
    uint64_t id = 0;
    struct message m;
    struct err err;
    char text[512];
    size_t got;
    reader_begin(reader);
    reader_recipients(reader, 0, first_message, &id);
    bool found = id && reader_message(reader, id, &m);
    struct place place = found ? m.body : (struct place){0};
    reader_end(reader);
    if (!found) return;
    struct body *body = body_open(w->kit->store, id, &place, &err);
    if (!body) return; // settled meanwhile
    if (!body_read(body, 0, text, sizeof text, &got, &err)) w->faults++;
    for (size_t i = 0; i < got; i++)
        if (text[i] != 'a' + (int)(id % 26)) w->faults++;
    w->bodies++;
    body_close(&body);
}

static void *read_many(void *arg) {
    struct worker *w = arg;
    struct err err;
    struct reader *reader = reader_new(w->kit->store, &err);
    while (!atomic_load(w->stop)) {
        struct store_stats stats;
        read_one(w, reader);
        store_get_stats(w->kit->store, &stats);
        store_has_room(w->kit->store);
    }
    reader_free(&reader);
    return NULL;
}

static void many_threads_live_many_lives(void **state) {
    struct kit *kit = *state;
    store_close(&kit->store);
    kit->options.segment_bytes = 16 << 10;
    kit_open(kit);
    struct worker workers[THREADS + 1] = {{0}};
    atomic_bool stop = false;
    for (unsigned i = 0; i <= THREADS; i++) {
        workers[i] = (struct worker){.kit = kit, .number = i, .stop = &stop};
        assert_int_equal(
            pthread_create(&workers[i].thread, NULL, i < THREADS ? live_many : read_many, &workers[i]), 0);
    }
    for (unsigned i = 0; i <= THREADS; i++) {
        if (i == THREADS) atomic_store(&stop, true);
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].faults, 0);
    }
    struct store_stats stats = kit_stats(kit);
    assert_true(stats.messages == 0 && stats.recipients == 0 && stats.parked == 0 && stats.held == 0);
    assert_true(stats.body_bytes_live == 0 && stats.due == 0);
    kit_expect_sound(kit);
}

// ---- opening
// -------------------------------------------------------------------------------------------------

static void ids_are_never_used_twice(void **state) {
    struct kit *kit = *state;
    uint64_t id = id_make(1700000000000, 3, 9);
    assert_int_equal(store_last_id(kit->store), 0);
    assert_true(accept_mail(kit, id, 1, 10, BYTES("x")));
    assert_true(drop_mail(kit, id, 0, NULL)); // the newest is gone, and its id must not come again
    kit_reopen(kit);
    assert_true(store_last_id(kit->store) >= id);
    assert_true(id_ms(store_last_id(kit->store)) < 1700000000000 + 10000);
}

static void a_second_opening_is_refused_with_the_holders_pid(void **state) {
    struct kit *kit = *state;
    struct err err;
    char wanted[64], path[128];
    assert_null(store_open(&kit->options, &err));
    snprintf(wanted, sizeof wanted, "in use by process %ld", (long)getpid());
    assert_non_null(strstr(err.text, wanted));
    snprintf(path, sizeof path, "%s/lock", kit->path);
    FILE *lock = fopen(path, "w");
    fputs("not a pid \xff", lock);
    fclose(lock);
    assert_null(store_open(&kit->options, &err));
    assert_non_null(strstr(err.text, "in use by another process"));
    kit_reopen(kit); // nobody holds it: garbage in it does not matter
}

static bool work_newer(struct job *job, struct txn *txn, struct err *err) {
    (void)job;
    return txn_put(txn, TABLE_META, BYTES("version"), BYTES("\0\0\0\0\0\0\1\0"), err);
}

static void a_newer_database_is_refused_in_clear_words(void **state) {
    struct kit *kit = *state;
    struct err err;
    struct job job = {.work = work_newer};
    assert_true(job_run(&job, kit->store));
    store_close(&kit->store);
    assert_null(store_open(&kit->options, &err));
    assert_non_null(strstr(err.text, "newer tidegate"));
}

static void bodies_without_their_database_are_not_swept(void **state) {
    struct kit *kit = *state;
    struct err err;
    char path[128];
    struct stat stat_of;
    assert_true(accept_mail(kit, 1, 1, 1, BYTES("precious")));
    store_close(&kit->store);
    snprintf(path, sizeof path, "%s/data.mdb", kit->path);
    assert_int_equal(unlink(path), 0);
    assert_null(store_open(&kit->options, &err));
    assert_non_null(strstr(err.text, "data.mdb is new"));
    assert_null(store_open(&kit->options, &err)); // and not the second time either
    snprintf(path, sizeof path, "%s/segments/0000000001.seg", kit->path);
    assert_int_equal(stat(path, &stat_of), 0);
}

static void files_nobody_knows_are_swept(void **state) {
    struct kit *kit = *state;
    char stray[128], other[128];
    assert_true(accept_mail(kit, 1, 1, 1, BYTES("kept")));
    store_close(&kit->store);
    snprintf(stray, sizeof stray, "%s/segments/0000000077.seg", kit->path);
    snprintf(other, sizeof other, "%s/segments/notes.txt", kit->path);
    close(open(stray, O_CREAT | O_WRONLY, 0600));
    close(open(other, O_CREAT | O_WRONLY, 0600));
    kit_open(kit);
    assert_int_equal(access(stray, F_OK), -1);
    assert_int_equal(access(other, F_OK), 0);
    expect_body(kit, 1, BYTES("kept"));
    kit_expect_sound(kit);
}

static void folders_are_made_and_bad_ones_named(void **state) {
    struct kit *kit = *state;
    struct err err;
    char deep[128];
    struct stat made;
    snprintf(deep, sizeof deep, "%s/a/b/store", kit->path);
    struct store_options options = kit->options;
    options.path = deep;
    struct store *store = store_open(&options, &err);
    assert_non_null(store);
    store_close(&store);
    assert_int_equal(stat(deep, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0700);
    snprintf(deep, sizeof deep, "%s/lock", kit->path);
    assert_null(store_open(&options, &err));
    assert_non_null(strstr(err.text, "/lock"));
}

enum { BALLAST = 80, BALLAST_BYTES = 1 << 20 };

static bool work_ballast(struct job *job, struct txn *txn, struct err *err) {
    char key[8], *value = malloc(BALLAST_BYTES);
    bool done = true;
    for (uint32_t i = job->n; done && i < job->n + 10; i++) {
        snprintf(key, sizeof key, "%05u", i);
        memset(value, (int)i, BALLAST_BYTES);
        done = job->last ? txn_delete(txn, TABLE_SHELF, bytes_of(key), err)
                         : txn_put(txn, TABLE_SHELF, bytes_of(key), bytes_range(value, BALLAST_BYTES), err);
    }
    free(value);
    return done;
}

static bool is_its_ballast(void *arg, struct bytes key, struct bytes value) {
    uint64_t number;
    ++*(int *)arg;
    assert_true(bytes_to_u64(key, &number) && value.len == BALLAST_BYTES);
    for (size_t i = 0; i < value.len; i += 997)
        assert_int_equal((uint8_t)value.at[i], number);
    return true;
}

static void ballast(struct kit *kit, bool away) {
    for (uint32_t n = 0; n < BALLAST; n += 10) {
        struct job job = {.work = work_ballast, .n = n, .last = away};
        assert_true(job_run(&job, kit->store));
    }
}

// While it is read through the map, pages are let go of many times; after it is gone, so is most of the file.
static void a_database_that_was_large_is_small_again(void **state) {
    struct kit *kit = *state;
    struct err err;
    int seen = 0;
    assert_true(accept_mail(kit, 1, 1, 1, BYTES("kept")));
    ballast(kit, false);
    struct reader *reader = reader_new(kit->store, &err);
    for (int round = 0; round < 3; round++) {
        reader_begin(reader);
        assert_true(reader_walk(reader, TABLE_SHELF, BYTES(""), is_its_ballast, &seen));
        reader_end(reader);
    }
    reader_free(&reader);
    assert_int_equal(seen, 3 * BALLAST);
    ballast(kit, true);
    assert_true(kit_stats(kit).db_bytes > BALLAST << 20);
    kit_reopen(kit);
    assert_true(kit_stats(kit).db_bytes < 1 << 20);
    expect_body(kit, 1, BYTES("kept"));
    kit_expect_sound(kit);
    kit_reopen(kit);
    kit_expect_sound(kit);
}

static void garbage_for_a_database_is_refused(void **state) {
    struct kit *kit = *state;
    struct err err;
    char path[128];
    store_close(&kit->store);
    snprintf(path, sizeof path, "%s/data.mdb", kit->path);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 4096; i++)
        fputs("garbage ", file);
    fclose(file);
    assert_null(store_open(&kit->options, &err));
    assert_non_null(strstr(err.text, "data.mdb"));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_message_lives_and_goes),
        CASE(everything_is_there_after_reopening),
        CASE(bodies_of_all_kinds),
        CASE(a_body_from_parts_and_a_file),
        CASE(a_message_put_again_claims_its_body_once),
        CASE(what_is_due_comes_in_order),
        CASE(the_parked_are_found_by_lane),
        CASE(the_parked_are_found_by_turn),
        CASE(long_lanes_are_found_too),
        CASE(walks_may_nest_and_stop),
        CASE(a_snapshot_stays_as_it_was),
        CASE(named_values),
        CASE(a_key_of_no_size_harms_only_its_asker),
        CASE(the_journal_is_a_ring),
        CASE(who_refuses_is_undone_alone),
        CASE(those_who_wait_commit_together),
        CASE(a_group_is_bounded_in_bytes),
        CASE(closing_commits_what_was_submitted),
        CASE(many_threads_live_many_lives),
        CASE(ids_are_never_used_twice),
        CASE(a_second_opening_is_refused_with_the_holders_pid),
        CASE(a_newer_database_is_refused_in_clear_words),
        CASE(bodies_without_their_database_are_not_swept),
        CASE(files_nobody_knows_are_swept),
        CASE(folders_are_made_and_bad_ones_named),
        CASE(a_database_that_was_large_is_small_again),
        CASE(garbage_for_a_database_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
