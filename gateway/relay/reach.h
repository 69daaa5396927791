// SPDX-License-Identifier: MIT
// reach: which addresses took no connection lately, so that others of the same mail are tried before them.
//
// Advice, not knowledge: nobody is left out for it, and in its small table a later address may take an earlier one's place.
// One a worker; zeroed it knows of none. Times are milliseconds of any clock that does not go back.
#pragma once

#include "net/addr.h"

enum { REACH_KEPT = 256, REACH_REST_MS = 5 * 60 * 1000 };

struct reach_out {
    uint64_t address; // hashed, its port included; 0: none
    int64_t until_ms;
};
struct reach {
    struct reach_out out[REACH_KEPT];
};

void reach_failed(struct reach *r, const struct addr *a, int64_t now_ms);
void reach_answered(struct reach *r, const struct addr *a);
bool reach_is_out(const struct reach *r, const struct addr *a, int64_t now_ms);
