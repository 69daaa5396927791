// SPDX-License-Identifier: MIT
// warmup_table: how warmups stand, a line for each and provider: for `tidegate warmup` and `tidegate identity show`.
#pragma once

#include "cli/table.h"
#include "script/json.h"

struct table *warmup_table_new(int width);
void warmup_table_add(struct table *t, const struct json *row, int64_t now); // as the gateway tells it
