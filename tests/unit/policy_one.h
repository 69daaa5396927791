// SPDX-License-Identifier: MIT
// policy_one: for a file of tests that each want one kit (policy_kit.h) and one answer, new for each.
#pragma once

#include "policy_kit.h"

static struct kit k;
static struct kit_answer a;

static inline int set_up(void **state) {
    (void)state;
    kit_init(&k);
    memset(&a, 0, sizeof a);
    return 0;
}

static inline int tear_down(void **state) {
    (void)state;
    plan_free(&a.plan);
    kit_release(&k);
    return 0;
}

// What was asked is answered in this turn, and only then.
static inline void turn_once(void) {
    assert_int_equal(a.calls, 0);
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
    a.calls = 0;
}
