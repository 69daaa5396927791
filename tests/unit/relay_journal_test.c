// SPDX-License-Identifier: MIT
// journal: what is written is read back; what is damaged is refused.
#include "relay/journal.h"

#include "policy/decision.h"
#include "policy/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;
static const struct hook_trace trace = {1763821804678, {"looked", 6}};
static const struct hook_trace nothing = {1763821804600, {"", 0}};

static struct answer accepted(const char *where) {
    return (struct answer){.kind = ANSWER_ACCEPT, .origin = {.version = BYTES("0123456789ab"), .where = bytes_of(where), .because = BYTES("why")},
                           .user_facts = BYTES(""), .tags = BYTES("{\"a\":1}")};
}

static void transactions(void **state) {
    (void)state;
    struct buf calls = {0}, entry = {0};
    struct answer plain = accepted(""), said = accepted("policy.lua:7");
    journal_call(&calls, JOURNAL_SENDER, &nothing, BYTES("a@b.example"), &plain);
    journal_call(&calls, JOURNAL_RECIPIENT, &trace, BYTES("c@d.example"), &said);
    journal_call(&calls, JOURNAL_MESSAGE, &trace, BYTES(""), &said);
    struct kept_fields kept = kept_fields_of(BYTES("from list-id"), &arena);
    struct bytes trail = journal_trail(&arena, &(struct journal_trail){.size = 300, .size_said = 290, .flags = JOURNAL_SMTPUTF8, .calls = buf_bytes(&calls)});
    struct message m = {.id = 1, .received_ms = 1763821804500, .expires_ms = 1764253804500, .recipients = 1, .policy = BYTES("0123456789ab"),
                        .facts = BYTES("{\"id\":\"c-1\"}"), .sender = BYTES("a@b.example"), .tags = BYTES("{}"),
                        .head = BYTES("Subject: s\r\nFrom: <a@b.example>,\r\n <c@d.example>\r\nX: y\r\n"), .trail = trail, .body = {.length = 8}};
    const struct plan *plan = plan_make(&(struct plan){.kind = PLAN_HOLD, .origin = {.version = BYTES("v"), .where = BYTES(""), .because = BYTES("")}}, BYTES(""));
    buf_addz(&entry, "{\"type\":\"held\"}\n");
    journal_outcome(&entry, &(struct journal_route){.last = BYTES(""), .plan = plan, .trace = nothing}, NULL, &m, &kept);
    plan_free(&plan);
    struct journal_transaction t;
    assert_true(journal_read_transaction(buf_bytes(&entry), &arena, &t));
    assert_int_equal(t.flags, JOURNAL_STORED);
    assert_int_equal(t.expires_ms, 1764253804500);
    assert_int_equal(t.size, m.head.len + 10);
    assert_int_equal(t.trail.size + t.trail.size_said + t.recipients + t.trail.flags, 592);
    assert_int_equal(t.kept, kept.hash);
    assert_true(bytes_equal(t.session, m.facts) && bytes_equal(t.policy, m.policy));
    assert_true(bytes_equal(t.head, BYTES("From: <a@b.example>,\r\n <c@d.example>\r\n")));
    struct journal_called c;
    assert_true(journal_next_call(&t.trail.calls, &t, &arena, &c));
    assert_true(c.plain && c.hook == JOURNAL_SENDER && bytes_equal(c.subject, BYTES("a@b.example")));
    assert_true(journal_next_call(&t.trail.calls, &t, &arena, &c));
    assert_false(c.plain || c.fault);
    assert_int_equal(c.at_ms, trace.at_ms);
    assert_true(bytes_equal(c.looked, BYTES("looked")));
    struct buf as_said = {0};
    struct jsonl j = jsonl_begin(&as_said);
    decision_answer(&j, "recipient", &said);
    jsonl_close(&j, '}');
    assert_true(bytes_equal(c.decision, buf_bytes(&as_said)));
    assert_true(bytes_equal(c.where, BYTES("policy.lua:7")) && bytes_equal(c.policy, m.policy));
    assert_true(journal_next_call(&t.trail.calls, &t, &arena, &c));
    assert_true(c.hook == JOURNAL_MESSAGE && bytes_search(c.decision, BYTES("\"tags\":{}")) > 0); // the message's own
    assert_false(journal_next_call(&t.trail.calls, &t, &arena, &c));
    assert_true(bytes_equal(journal_event(buf_bytes(&entry)), BYTES("{\"type\":\"held\"}")));
    for (size_t n = 0; n < entry.len; n++) { // cut anywhere
        struct bytes part = bytes_first(buf_bytes(&entry), n);
        struct journal_read_outcome o;
        assert_false(journal_read_outcome(part, &arena, &o));
    }
    buf_release(&as_said);
    arena_release(&arena);
    buf_release(&calls);
    buf_release(&entry);
}

static void too_many_calls(void **state) {
    (void)state;
    struct buf calls = {0};
    struct answer said = accepted("policy.lua:7");
    while (calls.len <= JOURNAL_CALLS_MAX) journal_call(&calls, JOURNAL_RECIPIENT, &trace, BYTES("c@d.example"), &said);
    struct bytes trail = journal_trail(&arena, &(struct journal_trail){.calls = buf_bytes(&calls)});
    struct message m = {.trail = trail, .head = BYTES("")};
    struct buf head = {0};
    struct journal_transaction t = journal_of_message(&m, &head, &(struct kept_fields){.names = BYTES("")});
    assert_int_equal(t.trail.flags, JOURNAL_CUT);
    assert_int_equal(t.trail.calls.len, 0);
    buf_release(&calls);
    arena_release(&arena);
}

static void outcomes(void **state) {
    (void)state;
    const struct plan *plan = plan_make(&(struct plan){.kind = PLAN_WAIT, .wait_s = 9, .origin = {.version = BYTES("v"), .where = BYTES("policy.lua:3"), .because = BYTES("so")}}, BYTES(""));
    struct outcome_facts o = {.reply = reply_make(450, "4.2.0", "full\nreally"), .stage = BYTES("rcpt"), .peer = BYTES("mx"), .via = BYTES("direct"),
                              .identity = BYTES("acme"), .exhaustible = BYTES("{}"), .lane = BYTES("l"), .attempt = 3, .age_ms = 123456789, .expires_ms = 1764253804500};
    struct verdict v = {.kind = VERDICT_WAIT, .wait_s = 60, .counts = true, .origin = {.version = BYTES("v"), .where = BYTES("stdlib/retry.lua:9"), .because = BYTES("ladder")}};
    struct buf entry = {0};
    struct journal_read_outcome r;
    buf_addz(&entry, "{\"type\":\"deferred\"}\n");
    assert_false(journal_read_outcome(buf_bytes(&entry), &arena, &r)); // as those of operators are
    journal_outcome(&entry, &(struct journal_route){2, 5, 1763821804000, BYTES("{\"code\":450}"), plan, trace, false}, &(struct journal_retry){&o, &v, nothing}, NULL, NULL);
    assert_true(bytes_equal(journal_event(buf_bytes(&entry)), BYTES("{\"type\":\"deferred\"}")));
    assert_true(journal_read_outcome(buf_bytes(&entry), &arena, &r));
    assert_int_equal(r.route.n * 10 + r.route.attempts, 25);
    assert_true(bytes_equal(r.routed.decision, plan->json));
    assert_true(bytes_equal(r.routed.because, BYTES("so")));
    assert_true(r.has_retry);
    assert_true(bytes_equal(r.retried.where, BYTES("stdlib/retry.lua:9")));
    assert_int_equal(r.outcome.reply.code, 450);
    assert_string_equal(r.outcome.reply.text, "full\nreally");
    assert_int_equal(r.outcome.age_ms, 123456789);
    struct buf as_said = {0};
    struct jsonl j = jsonl_begin(&as_said);
    decision_verdict(&j, &v);
    jsonl_close(&j, '}');
    assert_true(bytes_equal(r.retried.decision, buf_bytes(&as_said)));
    buf_release(&as_said);
    for (size_t n = 0; n < entry.len; n++) assert_false(journal_read_outcome(bytes_first(buf_bytes(&entry), n), &arena, &r));
    // What the event says is taken from there.
    buf_reset(&entry);
    buf_addz(&entry, "{\"policy\":\"v\",\"where\":\"policy.lua:3\",\"because\":\"so\"}\n");
    size_t event = entry.len;
    journal_outcome(&entry, &(struct journal_route){.last = BYTES(""), .plan = plan, .trace = nothing, .said = true}, NULL, NULL, NULL);
    assert_true(journal_read_outcome(buf_bytes(&entry), &arena, &r));
    assert_true(bytes_equal(r.routed.policy, BYTES("v")) && bytes_equal(r.routed.where, BYTES("policy.lua:3")));
    assert_true(bytes_equal(r.routed.because, BYTES("so")));
    assert_false(journal_is_foreign(buf_bytes(&entry)));
    entry.at[event] = 1; // as version 1 began
    assert_true(journal_is_foreign(buf_bytes(&entry)));
    assert_false(journal_read_outcome(buf_bytes(&entry), &arena, &r));
    plan_free(&plan);
    buf_release(&entry);
    arena_release(&arena);
}

// As version 1 had it: flags, two sizes, a head, calls.
static void foreign_trail(void **state) {
    (void)state;
    struct message m = {.trail = BYTES("\x01\x10\x00\x00\x03\x01\x01\x00"), .head = BYTES("")};
    struct buf head = {0};
    struct journal_transaction t = journal_of_message(&m, &head, &(struct kept_fields){.names = BYTES("")});
    assert_int_equal(t.trail.flags, JOURNAL_FOREIGN);
    assert_int_equal(t.trail.calls.len, 0);
    m.trail = BYTES("");
    t = journal_of_message(&m, &head, &(struct kept_fields){.names = BYTES("")});
    assert_int_equal(t.trail.flags, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(transactions), cmocka_unit_test(too_many_calls), cmocka_unit_test(outcomes),
                                       cmocka_unit_test(foreign_trail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
