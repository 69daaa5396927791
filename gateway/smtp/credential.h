// SPDX-License-Identifier: MIT
// credential: the client's half of an AUTH exchange (RFC 4954): PLAIN (RFC 4616), LOGIN and XOAUTH2. The other half is auth.h.
//
// A value; its texts are lent by whoever fills it in and outlive it. One exchange: what is given out is a line without its CRLF, and has the
// secret in it.
#pragma once

#include "smtp/client.h"

struct credential {
    enum client_login_kind kind;
    const char *user, *secret;
    bool by_login; // AUTH LOGIN
    int turns;     // challenges answered
};

// The AUTH command, behind what is in `out`. False: the peer offers no mechanism for it.
bool credential_begin(struct credential *c, const struct capability *offered, struct buf *out);
// What answers a 334. False: the peer asks for more than its mechanism has.
bool credential_answer(struct credential *c, struct buf *out);
