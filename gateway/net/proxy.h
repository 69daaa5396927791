// SPDX-License-Identifier: MIT
// proxy: reads the PROXY protocol header (versions 1 and 2) that a load balancer puts before a connection's bytes.
// Source: "The PROXY protocol, versions 1 & 2" (HAProxy). A pure parser.
#pragma once

#include "net/addr.h"

enum proxy_result { PROXY_DONE, PROXY_MORE, PROXY_BAD };
// Looks at the front of `in`. DONE: *used bytes belong to the header; peer/local filled (len 0 for LOCAL/UNKNOWN: keep the
// socket's own). MORE: not complete yet (never once PROXY_MAX bytes are there; TLVs are passed over). BAD: close the connection.
enum { PROXY_MAX = 4096 };
enum proxy_result proxy_parse(struct bytes in, size_t *used, struct addr *peer, struct addr *local, struct err *err);
