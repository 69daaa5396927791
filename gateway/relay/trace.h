// SPDX-License-Identifier: MIT
// trace: the Received field: what a message carries of how it came.
#pragma once

#include "base/arena.h"
#include "policy/facts.h"

// RFC 5321 4.4, RFC 3848 ("with ESMTPSA"), RFC 8314 4.3 (tls clause). With CRLF and folds. `recipient`: "" leaves the for clause out.
void trace_received(struct buf *out, const struct session_facts *s, const char *protocol, const char *hostname,
                    struct bytes id, struct bytes recipient, int64_t now_ms);
