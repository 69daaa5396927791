// SPDX-License-Identifier: MIT
// capability: what a peer's EHLO or LHLO reply offers (RFC 5321 4.1.1.1), as far as we use it.
#pragma once

#include "base/bytes.h"

struct capability {
    int lines;            // of the reply; the first names the peer and offers nothing
    bool pipelining, eightbitmime, smtputf8, dsn, starttls, chunking, enhanced;
    bool size;            // SIZE was offered
    uint64_t size_max;    // 0: no limit was named
    bool auth_plain, auth_login, auth_xoauth2;
};

// A line of the reply, in order; fits reply_read's each_line. What is unknown or malformed offers nothing.
void capability_line(void *capability, struct bytes line);
