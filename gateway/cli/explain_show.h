// SPDX-License-Identifier: MIT
// explain_show: the rows of an explanation (relay/explain.h, relay/explain_past.h) as a page for people, in 100 columns.
#pragma once

#include "script/json.h"

#include <stdio.h>

struct explain_page {
    FILE *out;
    int64_t now_ms; // of the question: waits are told from here
};

void explain_show_row(struct explain_page *page, const struct json *row);
