// SPDX-License-Identifier: MIT
// queue_control: the queue as an operator handles it: list, show, hold, release, retry, bounce, delete, by filter.
//
// Walks the store in pieces, so that a million messages neither stall the main loop nor fill its memory; every change is a
// synced commit before it is counted.
#pragma once

#include "relay/asker.h"

void queue_control(struct asker *a, const struct json *request);
