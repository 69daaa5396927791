// SPDX-License-Identifier: MIT
// called_kit: a worker with a store, and a runner that only notes what it was told to pick up.
#pragma once

#include "relay/runner.h"
#include "store_kit.h"

static struct kit kit;
static struct worker worker;
static struct bytes called_for; // the account that the runner must hear of
static char called[8000];       // "1.0 1.1 2.0 "
static const int64_t start_ms = 1800000000000;

void runner_call(struct gateway *g, struct bytes account, const struct due *parked, size_t count) {
    (void)g;
    assert_true(bytes_equal(account, called_for));
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(called);
        snprintf(called + at, sizeof called - at, "%llu.%u ", (unsigned long long)parked[i].id, parked[i].n);
    }
}

static inline int called_set_up(struct bytes account) {
    struct err err;
    called_for = account;
    kit_init(&kit);
    kit_open(&kit);
    worker = (struct worker){.reader = reader_new(kit.store, &err)};
    return worker.reader ? 0 : -1;
}

static inline int called_tear_down(void) {
    reader_free(&worker.reader);
    kit_remove(&kit);
    return 0;
}
