// SPDX-License-Identifier: MIT
// transaction: one message on its way in: sender, recipients, and what its content shows (RFC 5321 3.3).
//
// Owned by the server machine; a zeroed one is none. Everything in it is good until transaction_forget, which keeps
// little memory for the next.
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "smtp/gauge.h"
#include "smtp/server.h"

struct transaction {
    struct arena arena;
    struct server_path sender, pending; // pending: the path that the policy is asked about
    struct server_path *recipients;
    size_t count, room;
    struct map seen; // of recipients, from the second on
    struct buf key;
    bool refused_recipient; // at least one, for the words when there is none in the end
    struct buf spoilt;      // why the content can't be kept, as it goes out
    struct gauge gauge;
};

void transaction_ask(struct transaction *t, const struct server_path *path); // keeps a copy of it in pending
void transaction_open(struct transaction *t);                                // pending is the sender
// Whether pending is a recipient already; asked once of each, before transaction_add, which is then for those that are not.
bool transaction_has(struct transaction *t);
void transaction_add(struct transaction *t);                                 // pending is a recipient
void transaction_forget(struct transaction *t);
void transaction_release(struct transaction *t); // also what forget keeps

// What is said to content as it is so far: a reply line with CRLF, "" where nothing is wrong with it.
struct bytes transaction_fault(const struct transaction *t, const struct gauge_limits *limits);
