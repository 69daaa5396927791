// SPDX-License-Identifier: MIT
// rotation: refresh tokens that a provider has put in the place of those we were given, kept in the store.
//
// A new one is good instead of the configured one that it descends from, and only of that: when the operator
// configures another, that one counts. Kept in TABLE_SHELF under a key that scripts cannot name; the store's
// folder is readable for nobody else.
#pragma once

#include "relay/gateway.h"

// The one to use: `configured`, or what has replaced it. `account` names who logs in where.
void rotation_find(struct reader *reader, struct bytes account, struct bytes configured, struct buf *out);
// Any thread; copies. What could not be written is logged: the next start then has to do with an older one.
void rotation_keep(struct gateway *g, struct bytes account, struct bytes configured, struct bytes token);
