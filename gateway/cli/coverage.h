// SPDX-License-Identifier: MIT
// coverage: which lines of the operator's scripts have run, of those that can.
//
// Files of the shipped library are not counted. One thread.
#pragma once

#include "policy/bundle.h"

struct coverage;
struct coverage *coverage_new(const struct bundle *b); // all lines of its scripts, none of which ran
void coverage_free(struct coverage **c);
void coverage_mark(struct coverage *c, const char *file, int line); // it ran

struct coverage_file {
    struct bytes name;
    size_t lines, ran;  // with code; of those, how many ran
    struct bytes never; // the others: "41-43, 57"; lent until the next call
};
bool coverage_at(struct coverage *c, size_t i, struct coverage_file *out); // by name; false: there are fewer
