// SPDX-License-Identifier: MIT
// lookup: asks DNS and waits for the answer, for tools that have nothing else to do meanwhile
//
// The questions go the way the gateway's own go (net/dns): the same servers, the same patience. Answers live
// as long as the lookup.
#pragma once

#include "net/dns.h"

struct lookup;

// servers NULL: those of /etc/resolv.conf. Believes the AD bit, for those who want to know whether it comes.
struct lookup *lookup_new(const char *servers, int timeout_ms, struct err *err);
const struct dns_answer *lookup_ask(struct lookup *l, const char *name, enum dns_type type);
void lookup_free(struct lookup **l);
