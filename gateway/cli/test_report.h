// SPDX-License-Identifier: MIT
// test_report: how stories went, for people, for programs and for whoever collects results (JUnit's XML).
//
// One a run of `tidegate test`, told of each story as it ends. Prints at once; only JUnit's cases are gathered, until
// test_report_write_junit, the one that can fail.
#pragma once

#include "cli/coverage.h"
#include "policy/story.h"

#include <stdio.h>

struct test_report {
    FILE *out;
    bool json;
    size_t passed, failed;
    struct buf cases; // <testcase> elements, where `junit`
    bool junit;
    struct bytes file; // being told
    int64_t took_us;   // all stories
};

void test_report_story(struct test_report *r,
                       const struct story_result *result); // one line, more where it failed
void test_report_file(struct test_report *r,
                      const char *fault); // r->file does not load: counts as a failed story
void test_report_coverage(struct test_report *r, struct coverage *c);
void test_report_end(struct test_report *r); // "12 passed, 0 failed"
must_use bool test_report_write_junit(const struct test_report *r, const char *path, struct err *err);
void test_report_release(struct test_report *r);
