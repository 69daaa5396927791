// SPDX-License-Identifier: MIT
// census: how many connections each client address has, over all workers, without a lock.
//
// A fixed table of counters, chosen by a seeded hash of the address (IPv6: of its /64, which is what one
// customer gets). Two addresses may share a counter; with 65,536 of them that costs an honest client a place only
// while thousands are connected, and never lets anybody have more than the limit.
#pragma once

#include "base/bytes.h"
#include "net/addr.h"

struct census;
struct census *census_new(void);
void census_free(struct census **c);
int census_enter(struct census *c, const struct addr *a); // how many there are now, this one included
void census_leave(struct census *c, const struct addr *a);
