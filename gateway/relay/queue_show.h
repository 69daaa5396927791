// SPDX-License-Identifier: MIT
// queue_show: recipients and messages of the queue, as rows for an operator.
//
// The fields are those of relay/README.md. Main loop only.
#pragma once

#include "relay/asker.h"
#include "store/store.h"

void queue_show_recipient(struct asker *a, const struct recipient *r, const struct message *m); // m NULL: without what it says
// The message, its recipients that are still queued, and what the journal has of it; ends the request.
void queue_show(struct asker *a, uint64_t id);
