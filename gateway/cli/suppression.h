// SPDX-License-Identifier: MIT
// suppression: requests about the suppression list, as its verbs make them.
#pragma once

#include "base/jsonl.h"
#include "cli/options.h"
#include "script/json.h"

enum { SUPPRESSION_WAIT_S = 120 };

struct jsonl suppression_begin(struct buf *request, const char *action); // jsonl_end it
void suppression_put_entry(struct jsonl *j, const struct call *call);    // --scope, --reason, --expires
void suppression_put_filter(struct jsonl *j,
                            const struct call *call); // --address, --domain, --scope, --reason
int64_t suppression_count(const struct json *done, const char *name); // 0 where it is not there
