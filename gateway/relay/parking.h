// SPDX-License-Identifier: MIT
// parking: recipients for whom there was no room wait in the store, in the place of the lane or limit that will have some first.
//
// There they are called from when it has (relay/recall, relay/waiters), and are due by themselves only at their end.
#pragma once

#include "relay/telling.h"

// Of an attempt that came home without room. False: they stand there already, and nothing is to be written.
bool parking_write(struct writing *w);
void parking_tell(struct writing *w); // they are on disk: tells whoever calls them
