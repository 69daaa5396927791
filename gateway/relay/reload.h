// SPDX-License-Identifier: MIT
// reload: a new configuration and policy, on all workers or on none.
//
//     build     configuration, users, certificates, scripts are read, a generation for each worker is built: any fault, and nothing has
//               changed. On a thread of its own: a script may take its whole budget to load
//     keep      the bundle is written to the store: a restart with broken scripts finds the last good one
//     (trial)   with a canary, every worker takes it beside the one in force, and the switch comes later, or never (relay/canary)
//     switch    every worker takes the new one; transactions under way end on the version they began on
//
// One at a time. The loops, the main one and the workers', go on meanwhile.
#pragma once

#include "relay/canary.h"
#include "relay/gateway.h"

struct reload_result {
    bool done;
    bool canary;                       // it is on trial, and not in force yet
    struct err why;                    // where it was refused
    char version[16], was[16];
    int64_t took_ms;
    struct buf changes;                // a line a file: "changed policy.lua"
    struct buf warnings;               // a line a key that needs a restart
};

// What is asked of a reload besides; zeroed: a plain one.
struct reload_wish {
    struct bytes version;      // the bundle that was checked; another one is refused. "": any
    struct canary_wish canary; // share 0: in force at once
};

typedef void (*reload_fn)(void *arg, const struct reload_result *result);
// `done` comes later, once, from the main loop, whatever is wrong with the scripts; NULL is fine. False: one is under way already,
// or we are stopping.
bool must_use reload_start(struct gateway *g, const struct reload_wish *wish, reload_fn done, void *arg, struct err *err);
// To this policy; configuration and users stay.
bool must_use reload_to(struct gateway *g, struct bundle *bundle, reload_fn done, void *arg, struct err *err);
// Back to the policy that was in force before this one (configuration and users stay).
bool must_use reload_rollback(struct gateway *g, reload_fn done, void *arg, struct err *err);
// The loops have ended: waits until nothing of it runs any more.
void reload_end(struct gateway *g);
// At start: the scripts, or the last good ones from the store when they do not load. NULL: neither.
struct bundle *reload_first_bundle(struct gateway *g, struct err *err);
// At start, once the workers run it: it becomes the last good one.
void reload_keep_first(struct gateway *g);
