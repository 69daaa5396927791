// SPDX-License-Identifier: MIT
// rehearsal: a gateway that plays days through: the rooms are the real ones, the world around them is not.
//
// One worker without a thread, on a loop whose clock goes from one thing to the next (net/loop); a store in a temporary folder that
// never syncs and does its writing whenever the loop has nothing else to do (store.h, fleeting); peers by rules (relay/peer); a
// DNS that knows what it was taught. Nothing of it is random: the same configuration, scripts, rules and calls give the same days.
// What happens to each recipient is told as it is decided, instead of events and journal; the settle hook, which can change
// nothing, is not asked.
#pragma once

#include "relay/peer.h"
#include "relay/worker.h"

struct rehearsed_fate {
    const char *type;           // as of the events: "delivered", "deferred", "limit", ... (gateway/relay/README.md)
    uint64_t id;
    uint32_t n;
    struct bytes recipient;
    const struct plan *plan;    // NULL: none was made
    const struct plan *instead_of; // the plan before it, which had no room; NULL: there was none
    int code;                   // of the peer's or our reply; 0
};

struct rehearsal_options {
    struct conf *conf;               // handed over
    struct bundle *bundle;           // lent
    const struct peer_rules *rules;  // lent
    int64_t start_ms;
    uint64_t seed;
    enum log_level log_level;
    void (*fate)(void *arg, const struct rehearsed_fate *fate);
    void (*accepted)(void *arg, const struct plan *plan, size_t recipients); // as peers count it
    void *arg;
};

struct rehearsal;
struct rehearsal *rehearsal_open(const struct rehearsal_options *options, struct err *err);
void rehearsal_close(struct rehearsal **r);           // what is in the queue is forgotten
struct worker *rehearsal_worker(struct rehearsal *r); // its only one; on the caller's thread
int64_t rehearsal_now(const struct rehearsal *r);
void rehearsal_run(struct rehearsal *r, int64_t until_ms); // all that happens until then
// The domain has this MX, and is known to DNS from now on. What cannot be a domain is left alone.
void rehearsal_teach_mx(struct rehearsal *r, struct bytes domain, struct bytes mx);

// For the rooms that are played with: ------------------------------------------------------------------------------------
struct loop *rehearsal_loop(const struct rehearsal *r, struct err *err); // the worker's
struct peers *rehearsal_peers(const struct worker *w); // NULL: in life
void rehearsal_tell(const struct rehearsal *r, const struct rehearsed_fate *fate);
