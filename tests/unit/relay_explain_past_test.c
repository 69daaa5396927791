// SPDX-License-Identifier: MIT
// explain_past: what happened comes from the journal, why one waits from its record and whoever knows limits and lanes.
#include "relay/explain_past.h"
#include "store_kit.h"

#include "script/json.h"

static struct kit k;
static struct reader *reader;
static struct buf rows;
static const int64_t now = 1767603600000;

static int set_up(void **state) {
    (void)state;
    struct err err;
    kit_init(&k);
    kit_open(&k);
    reader = reader_new(k.store, &err);
    assert_non_null(reader);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    reader_free(&reader);
    kit_remove(&k);
    buf_release(&rows);
    return 0;
}

static void on_row(void *arg, struct bytes text) {
    (void)arg;
    struct json *row = json_parse(text, NULL);
    assert_non_null(row);
    json_free(&row);
    buf_add(&rows, text);
    buf_byte(&rows, '\n');
}

static bool see_limit(void *arg, const struct spend *s, uint64_t n, struct limit_state *out) {
    (void)arg;
    assert_int_equal(n, 1);
    assert_true(bytes_equal(s->key, BYTES("box/ann")) && s->window_s == 86400 && s->cap == 40);
    *out = (struct limit_state){.used = 40, .room_at_ms = now + 60000, .next_free_ms = now + 60000};
    return true;
}

static bool see_way(void *arg, struct bytes lane, struct way_state *out) {
    int64_t until_ms = *(int64_t *)arg;
    assert_true(bytes_equal(lane, BYTES("a|b|c")));
    *out = (struct way_state){.rests_until_ms = until_ms};
    snprintf(out->why, sizeof out->why, "421 no");
    return true;
}

static bool tell(int64_t n, int64_t rests_until_ms) {
    struct prospect_eyes eyes = {.limit = see_limit, .way = see_way, .arg = &rests_until_ms};
    buf_reset(&rows);
    return explain_past(reader, 7, n, &eyes, now, on_row, NULL);
}

static void has(const char *part) {
    if (!strstr(buf_z(&rows), part)) fail_msg("'%s' is not in:\n%s", part, buf_z(&rows));
}

static void put(enum recipient_state state, const char *lane, int64_t due_ms) {
    struct recipient r = some_recipient(7, 0, due_ms);
    r.state = state;
    r.lane = bytes_of(lane);
    r.attempts = 2;
    r.decision = BYTES("{\"plan\":{\"do\":\"send\"},\"policy\":\"v\",\"where\":\"policy.lua:3\",\"because\":\"so\"}");
    r.outcome = BYTES("{\"stage\":\"rcpt\"}");
    assert_true(put_recipient(&k, r));
}

static bool work_journal(struct job *job, struct txn *txn, struct err *err) {
    (void)job;
    return txn_put_journal(txn, 7, now, BYTES("{\"type\":\"deferred\",\"n\":0}"), err) && txn_put_journal(txn, 7, now, BYTES("{\"type\":\"held\",\"n\":1}"), err);
}

static void each_kind_of_waiting_has_its_reason(void **state) {
    (void)state;
    assert_true(accept_mail(&k, 7, 1, now, BYTES("body")));
    put(RECIPIENT_DUE, "a|b|c", now + 90000);
    assert_true(tell(EXPLAIN_ALL, 0));
    has("{\"step\":\"message\",\"id\":\"0000000000000007\"");
    has("\"for\":\"time\",\"until\":\"2026-01-05T09:01:30.000Z\"");
    has("\"plan\":{\"do\":\"send\"},\"policy\":\"v\",\"where\":\"policy.lua:3\",\"because\":\"so\",\"last\":{\"stage\":\"rcpt\"}");
    put(RECIPIENT_DUE, "a|b|c", now);
    assert_true(tell(EXPLAIN_ALL, 0));
    has("\"for\":\"work\"");
    put(RECIPIENT_HELD, "", now + 5000);
    assert_true(tell(EXPLAIN_ALL, 0));
    has("\"state\":\"held\",\"attempts\":2,\"for\":\"operator\"");
    put(RECIPIENT_PARKED, "a|b|c", now + 900000);
    assert_true(tell(EXPLAIN_ALL, now + 30000));
    has("\"for\":\"lane\",\"lane\":\"a|b|c\",\"rests_because\":\"421 no\",\"rests_until\":\"2026-01-05T09:00:30.000Z\",\"until\":\"2026-01-05T09:00:30.000Z\"");
    assert_true(tell(EXPLAIN_ALL, INT64_MAX));
    has("\"rests_because\":\"421 no\",\"paused\":true,");
    put(RECIPIENT_PARKED, "limit:box/ann/86400/40", now + 900000);
    assert_true(tell(EXPLAIN_ALL, 0));
    has("\"for\":\"limit\",\"limit\":{\"key\":\"box/ann\",\"window_s\":86400,\"cap\":40,\"per\":\"message\",\"used\":40,\"left\":0,\"room\":false,"
        "\"room_at\":\"2026-01-05T09:01:00.000Z\"");
    has("\"until\":\"2026-01-05T09:01:00.000Z\"");
}

static void the_journal_tells_what_happened_to_each(void **state) {
    (void)state;
    assert_false(tell(EXPLAIN_ALL, 0));
    assert_true(job_run(&(struct job){.work = work_journal}, k.store));
    assert_true(tell(EXPLAIN_ALL, 0));
    assert_string_equal(buf_z(&rows), "{\"step\":\"journal\",\"event\":{\"type\":\"deferred\",\"n\":0}}\n{\"step\":\"journal\",\"event\":{\"type\":\"held\",\"n\":1}}\n");
    assert_true(tell(1, 0));
    assert_string_equal(buf_z(&rows), "{\"step\":\"journal\",\"event\":{\"type\":\"held\",\"n\":1}}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_kind_of_waiting_has_its_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_journal_tells_what_happened_to_each, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
