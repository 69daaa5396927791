// SPDX-License-Identifier: MIT
// job: how an attempt is divided.
#include "policy/plan.h"
#include "relay/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { RECIPIENTS = 5 };

// What the peer said to each of five; of whom another transaction is to take, by number; and how many it takes at once.
static const struct {
    const char *said[RECIPIENTS];
    enum client_stage stage;
    bool local;
    const char *left;
    size_t most;
} cases[] = {
    {{"250", "250", "452 4.5.3 too many", "452 4.5.3 too many", "452 4.5.3 too many"}, STAGE_RCPT, false, "234", 2},
    {{"250", "250", "250", "452 too many", "452 too many"}, STAGE_RCPT, false, "34", 3},
    {{"250", "451 4.5.3 too many", "451 4.5.3 too many", "451 4.5.3 too many", "451 4.5.3 too many"}, STAGE_RCPT, false, "1234", 1},
    {{"550 5.1.1 unknown", "250", "250", "452 4.5.3 too many", "550 5.1.1 unknown"}, STAGE_RCPT, false, "3", 2},
    // One refused among others shows no number.
    {{"250", "452 its mailbox is full", "250", "452 its mailbox is full", "250"}, STAGE_RCPT, false, "13", 0},
    {{"250", "452 4.2.2 over quota", "452 4.3.1 disk full", "450 busy", "421 4.7.0 go away"}, STAGE_RCPT, false, "", 0},
    {{"452 4.5.3 too many", "452 4.5.3 too many", "452 too many", "452 too many", "550 5.1.1 unknown"}, STAGE_RCPT, false, "", 0},
    // What was taken has come to nothing: that it was one too many is no news then.
    {{"451 4.3.0 not now", "451 4.3.0 not now", "451 4.3.0 not now", "452 4.5.3 too many", "452 4.5.3 too many"}, STAGE_RCPT, false, "", 0},
    {{"250", "250", "250", "250", "452 4.5.3 too many"}, STAGE_CONTENT, false, "", 0}, // LMTP: content went
    {{"250", "250", "250", "250", "452 4.5.3 too many"}, STAGE_RCPT, true, "", 0},
    {{"250", "250", "250", "250", "250"}, STAGE_CONTENT, false, "", 0},
};

static struct reply said(const char *text) {
    struct reply r = {.code = atoi(text)};
    if (sscanf(text + 3, " %d.%d.%d", &r.status[0], &r.status[1], &r.status[2]) != 3) r.status[0] = 0;
    snprintf(r.text, sizeof r.text, "%s", text);
    return r;
}

static void whom_one_transaction_has_no_room_for(void **state) {
    (void)state;
    const struct plan *plan = plan_make(&(struct plan){.kind = PLAN_HOLD}, BYTES("far.example"));
    static const size_t which[RECIPIENTS] = {10, 11, 12, 13, 14};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct attempt *a = attempt_new(NULL, plan, which, RECIPIENTS);
        a->soonest.until_ms = 7;
        for (size_t i = 0; i < RECIPIENTS; i++)
            a->results[i] = (struct client_result){.reply = said(cases[k].said[i]), .stage = cases[k].stage, .local = cases[k].local};
        size_t most = 99, left = strlen(cases[k].left);
        struct attempt *rest = attempt_left_over(a, &most);
        assert_int_equal(rest ? rest->count : 0, left);
        assert_int_equal(most, cases[k].most);
        assert_int_equal(a->count, RECIPIENTS - left);
        for (size_t i = 0, gone = 0, stay = 0; i < RECIPIENTS; i++) {
            bool goes = gone < left && cases[k].left[gone] == (char)('0' + i);
            struct attempt *of = goes ? rest : a;
            size_t at = goes ? gone++ : stay++;
            assert_int_equal(of->which[at], 10 + i);
            assert_string_equal(of->results[at].reply.text, cases[k].said[i]);
        }
        if (rest) assert_true(rest->plan == plan && rest->soonest.until_ms == 7 && !rest->begun);
        attempt_free(&rest);
        attempt_free(&a);
    }
    plan_free(&plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whom_one_transaction_has_no_room_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
