// SPDX-License-Identifier: MIT
#include "policy_kit.h"

#include "policy/lab_shelf.h"
#include "policy/lookup.h"

static struct kit k;
static struct lab_shelf *shelf;

// What came back, as text: within the callback, as it is lent.
struct said {
    int calls;
    bool fault;
    char because[300], keeps[300];
    struct buf looked;
    struct hook_ticket *ticket;
};

static int set_up(void **state) {
    (void)state;
    kit_init(&k);
    shelf = lab_shelf_new(&k.clock);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kit_release(&k);
    lab_shelf_free(&shelf);
    return 0;
}

static void note_keeps(struct said *s, const struct keep *keeps, size_t count, const struct origin *o) {
    s->calls++;
    s->fault = o->fault;
    snprintf(s->because, sizeof s->because, "%.*s", BYTES_FMT(o->because));
    size_t at = 0;
    s->keeps[0] = 0;
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(s->keeps + at, sizeof s->keeps - at, "%.*s=%.*s for %d;", BYTES_FMT(keeps[i].key), BYTES_FMT(keeps[i].value),
                               (int)keeps[i].expires_s);
}

static void on_answer(void *arg, const struct answer *a) {
    struct said *s = arg;
    note_keeps(s, a->keeps, a->keep_count, &a->origin);
    buf_add(&s->looked, hook_trace(s->ticket).looked);
}

static void on_verdict(void *arg, const struct verdict *v) { note_keeps(arg, v->keeps, v->keep_count, &v->origin); }

static const struct generation_options *options(void) {
    static struct generation_options o;
    o = (struct generation_options){.shelved = lab_shelf_get, .shelved_arg = shelf, .keep_lookups = true};
    return &o;
}

static struct said message(const char *body) {
    char policy[1000];
    struct said s = {0};
    snprintf(policy, sizeof policy, "local answer = require 'answer'\nreturn { message = function(s, m) %s end }", body);
    kit_policy_with(&k, policy, options());
    s.ticket = hook_message(k.g, &kit_session, &kit_message, on_answer, &s);
    kit_turn(&k);
    assert_int_equal(s.calls, 1);
    buf_release(&s.looked);
    return s;
}

static void keep(const char *key, const char *value, int64_t expires_s) {
    lab_shelf_keep(shelf, &(struct keep){bytes_of(key), bytes_of(value), expires_s});
}

static void what_is_there_is_read(void **state) {
    (void)state;
    keep("a", "{\"n\":[1,2]}", 0);
    keep("b", "false", 10);
    assert_string_equal(message("return answer.hold(shelf.get('a').n[2] .. tostring(shelf.get('b')) .. tostring(shelf.get('c')))").because, "2falsenil");
    k.clock.frozen_ms += 10000;
    assert_string_equal(message("return answer.hold(tostring(shelf.get('b')))").because, "nil");
    keep("a", "", 0);
    assert_string_equal(message("return answer.hold(tostring(shelf.get('a')))").because, "nil");
}

static void accepting_asks_for_entries(void **state) {
    (void)state;
    struct said s = message("local v = { n = 1 }; local p = shelf.put('x/1', v, '2h'); v.n = 2\n"
                            "return answer.accept { shelf = { p, shelf.put { key = 'y', value = 'text' }, shelf.drop 'z' } }");
    assert_string_equal(s.because, "");
    assert_string_equal(s.keeps, "x/1={\"n\":1} for 7200;y=\"text\" for 2592000;z= for 0;");
}

static void a_verdict_asks_for_entries(void **state) {
    (void)state;
    static const char *const verdicts[] = {"wait { seconds = 60, shelf = %s }", "elsewhere { because = 'x', shelf = %s }",
                                           "give_up { because = 'x', shelf = %s }"};
    struct outcome_facts o = kit_outcome(450);
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        char call[200], policy[400];
        struct said s = {0};
        snprintf(call, sizeof call, verdicts[i], "{ shelf.put('k', true, 5) }");
        snprintf(policy, sizeof policy, "local retry = require 'retry'\nreturn { retry = function() return retry.%s end }", call);
        kit_policy_with(&k, policy, options());
        hook_retry(k.g, &kit_message, &kit_recipient, &o, on_verdict, &s);
        kit_turn(&k);
        assert_string_equal(s.keeps, "k=true for 5;");
    }
}

static void what_cannot_be_kept_is_refused(void **state) {
    (void)state;
    static const char *const faults[][2] = {
        {"return answer.accept { shelf = { shelf.put('k', function() end) } }", "no JSON form"},
        {"return answer.accept { shelf = { shelf.put('k', json.null) } }", "null is no value"},
        {"return answer.accept { shelf = { shelf.put('k') } }", "value: is missing"},
        {"return answer.accept { shelf = { shelf.put('', 1) } }", "key: the text is empty"},
        {"return answer.accept { shelf = { shelf.put('a\\0b', 1) } }", "control character"},
        {"return answer.accept { shelf = { shelf.put(('k'):rep(201), 1) } }", "too long"},
        {"return answer.accept { shelf = { shelf.put('k', ('v'):rep(3500)) } }", "more than 3500 bytes"},
        {"return answer.accept { shelf = { shelf.put('k', 1, 0) } }", "seconds are possible"},
        {"return answer.accept { shelf = { 1 } }", "an entry (shelf.put or shelf.drop) is expected"},
        {"return answer.accept { shelf = shelf.put('k', 1) }", "a list"},
        {"shelf.get('\\0pause\\0identity\\0acme')", "without control characters"},
        {"shelf.get()", "string expected"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct said s = message(faults[i][0]);
        assert_true(s.fault);
        if (!strstr(s.because, faults[i][1])) fail_msg("%s: %s", faults[i][0], s.because);
    }
}

static void other_hooks_have_no_commit_to_keep_in(void **state) {
    (void)state;
    struct said s = {0};
    kit_policy_with(&k, "return { sender = function() return require 'answer'.accept { shelf = { shelf.drop 'k' } } end }", options());
    s.ticket = hook_sender(k.g, &kit_session, &kit_address, on_answer, &s);
    kit_turn(&k);
    buf_release(&s.looked);
    assert_non_null(strstr(s.because, "'shelf' has no meaning in sender, only in message"));
}

static void what_was_read_is_kept_with_the_decision(void **state) {
    (void)state;
    struct said s = {0};
    struct lookup l;
    keep("a", "{\"n\":1}", 0);
    kit_policy_with(&k, "return { message = function() local a, b = shelf.get 'a', shelf.get 'none' return require 'answer'.accept {} end }", options());
    s.ticket = hook_message(k.g, &kit_session, &kit_message, on_answer, &s);
    kit_turn(&k);
    struct bytes rest = buf_bytes(&s.looked);
    assert_true(lookup_next(&rest, &l));
    assert_true(bytes_equal(l.question, BYTES("shelf a")) && bytes_equal(l.answer, BYTES("{\"n\":1}")));
    assert_true(lookup_next(&rest, &l));
    assert_true(bytes_equal(l.question, BYTES("shelf none")) && bytes_equal(l.answer, BYTES("null")));
    buf_release(&s.looked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_there_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(accepting_asks_for_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_verdict_asks_for_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_hooks_have_no_commit_to_keep_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_read_is_kept_with_the_decision, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
