// SPDX-License-Identifier: MIT
// peer: the far end of a courier's connection in a simulation: no socket, no bytes, answers by rules (relay/peer_rules).
//
// It has the shape of the client machine (smtp/client), so that the courier drives one or the other: READ while an answer is on
// its way, READY, DONE with the results, CLOSE. What it decides by chance is a hash of the seed and of what it decides about:
// the same address is unknown every time, and a run can be repeated.
#pragma once

#include "net/loop.h"
#include "relay/peer_rules.h"
#include "smtp/client.h"

struct attempt;
struct plan;
struct peers;
struct peer;

struct peers_options {
    const struct peer_rules *rules;
    struct loop *loop;
    const struct clock *clock;
    uint64_t seed;
    // A message was accepted for so many recipients, at this moment; as the peer counts it.
    void (*accepted)(void *arg, const struct plan *plan, size_t recipients);
    void *arg;
};
struct peers *peers_new(const struct peers_options *options);
void peers_free(struct peers **peers); // after all connections

// `moved` is called, from the loop, whenever peer_next may say something else. domain: the recipients', for a plan that goes there.
struct peer *peer_dial(struct peers *peers, const struct plan *plan, struct bytes domain, void (*moved)(void *arg), void *arg);
enum client_next peer_next(struct peer *p);
void peer_send(struct peer *p, const struct attempt *a);                    // at READY; lent until DONE
const struct client_result *peer_result(const struct peer *p, size_t i);    // from DONE to the next peer_send
const struct client_result *peer_failure(const struct peer *p);             // at CLOSE; NULL: it was our QUIT
void peer_quit(struct peer *p);
void peer_free(struct peer **p);
