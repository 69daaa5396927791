// SPDX-License-Identifier: MIT
// simulate_report: what a simulation came to, for people, for spreadsheets, for programs, and as a picture.
//
// Reads the tally, which must outlive the report, and changes nothing in it; the same tally and seed give the same bytes.
#pragma once

#include "base/bytes.h"
#include "relay/tally.h"

#include <stdio.h>

struct simulate_report {
    struct tally *tally;
    int64_t start_ms;
    uint64_t seed;
    const char *policy; // its version
};

void simulate_report_print(const struct simulate_report *r, FILE *out); // tables and sentences
void simulate_report_json(const struct simulate_report *r, FILE *out);  // a line for each day, identity and provider, then one in sum
void simulate_report_csv(const struct simulate_report *r, struct buf *out);
void simulate_report_svg(const struct simulate_report *r, struct buf *out);
