// SPDX-License-Identifier: MIT
// intake: a worker's listeners and the sessions that came in through them.
#pragma once

#include "relay/worker.h"

struct intake;
struct intake *intake_new(struct worker *w); // watches every listener of the gateway
void intake_free(struct intake **intake);
// No new connections, and sessions end with 421 4.3.2 at their next quiet moment.
void intake_stop(struct intake *intake);
bool intake_is_empty(const struct intake *intake);
