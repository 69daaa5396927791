// SPDX-License-Identifier: MIT
// suppression_import: takes a list of addresses in: read line by line, sorted by the window, written some
// thousands a commit.
//
// Request: {"verb":"suppression","action":"import","format":"csv"}, and for what lines do not say "scope", "reason",
// "source", "expires_s". Row: {"ready":true}; then come the lines, then a line "." (relay/asker.h). Rows meanwhile:
// {"line":7,"fault":"...","text":"..."} for each that is malformed, and the others go on; {"lines":N,"written":M} after
// each commit. At the end {"done":true,"lines":...,"written":...,"malformed":...,"past":...}: past are those whose time
// is over already. What was written stays written, whatever comes later.
//
// Four at a time; the next is refused with 75.
//
// Sorting is what makes it fast: a commit of random keys touches as many pages as it has entries, a sorted
// one few.
#pragma once

#include "relay/asker.h"

void suppression_import(struct asker *a, const struct json *request);
