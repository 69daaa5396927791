// SPDX-License-Identifier: MIT
// catchup: waits until reads of the store see all that clients have been told is in the queue.
//
// A 250 is a few milliseconds ahead of the commit that shows its message (store.h, PROMISING). Whoever was told, and then asks the
// control socket, expects it to be there.
#pragma once

#include "relay/worker.h"

// `then` later, on the main loop, once: after a commit of all that was promised by now, or after half a second, for a disk that
// hangs is when an operator looks most.
void catchup_wait(struct gateway *g, void (*then)(void *arg), void *arg);
