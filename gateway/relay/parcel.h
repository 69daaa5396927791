// SPDX-License-Identifier: MIT
// parcel: an attempt's message made ready to go: signed, with its envelope, its content piece by piece.
//
// A value of whoever carries the attempt; a zeroed one is empty. Packed as late as can be, since it holds the body open (which keeps its
// segment) and lends from the attempt, which must outlive it. Fails only where the disk or a key does: nothing was said to a peer then, or
// the transaction must not complete.
#pragma once

#include "relay/gateway.h"
#include "smtp/client.h"

struct attempt;

struct parcel {
    struct buf prefix;           // signatures, head, empty line; empty once they have been poured
    struct body *body;
    uint64_t poured;             // of the body
    struct client_recipient *recipients;
    struct client_message message; // for client_send; lent until parcel_release
};

must_use bool parcel_pack(struct parcel *p, struct gateway *g, const struct attempt *a, struct err *err);
// The next piece to the peer, and the end behind the last.
must_use bool parcel_pour(struct parcel *p, struct client *client, struct err *err);
// Instead of all that: as a file in the Maildir `dir` for recipient `i` of the attempt.
must_use bool parcel_capture(struct parcel *p, const struct attempt *a, size_t i, const char *dir, struct err *err);
void parcel_release(struct parcel *p); // empty again
