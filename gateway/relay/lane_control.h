// SPDX-License-Identifier: MIT
// lane_control: an operator's hand on the lanes: pause and resume, and the list of pauses.
//
// {"verb":"lane","action":"pause","identity":"acme","for_s":3600,"because":"..."}; instead of identity: lane (its whole key) or domain.
// "resume" takes the same pause back, and ends what else holds those lanes up (rests, narrowness, a pace). "pauses": a row for each
// pause. It is on disk, and every worker has heard of it, when the request is done.
#pragma once

#include "relay/asker.h"
#include "relay/pause.h"

// Any thread: the policy pauses lanes, by itself; likewise durable and told of. Texts are copied.
void lane_control_pause(struct gateway *g, const struct pause *p);

void lane_control(struct asker *a, const struct json *request);
