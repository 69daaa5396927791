// SPDX-License-Identifier: MIT
// metrics: what `tidegate status` knows, as Prometheus' text exposition format (version 0.0.4) has it
//
// Names and units are for dashboards to rely on: they are added to, not changed. Lent text in, appended text out; nothing fails, what the
// row does not have is left out.
#pragma once

#include "base/bytes.h"
#include "script/json.h"

void metrics_of_status(struct buf *out, const struct json *row);
void metrics_nobody(struct buf *out); // no gateway answers
