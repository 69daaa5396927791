// SPDX-License-Identifier: MIT
// generation: one version of the operator's scripts, loaded in one Lua state of one worker. [script/vm]
//
//     bundle      the files, read once, and their version: the same bytes give the same version. Shared, immutable.
//     generation  a bundle running in a worker's own Lua state. Reference counted within its thread: a transaction holds
//                 the one it began on; the last one out closes the state.
//
// Reload builds generations off to the side and swaps pointers (relay/reload); nothing is patched in place.
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/dns.h"
#include "net/loop.h"

struct bundle;
// Reads scripts/**.lua (without *.story.lua) and the stdlib folder. A missing policy.lua is an error; a fault names file and line.
struct bundle *bundle_read(const char *scripts, const char *stdlib, struct err *err);
struct bundle *bundle_ref(struct bundle *b);  // any thread
void bundle_free(struct bundle **b);          // any thread
const char *bundle_version(const struct bundle *b); // 12 hex digits of a SHA-256 over names and contents
void bundle_encode(const struct bundle *b, struct buf *out);              // for TABLE_POLICY: the last good one survives
struct bundle *bundle_decode(struct bytes from, struct err *err);
// One line a file: "changed policy.lua", "added ...", "removed ...", for the reload's reply.
void bundle_diff(const struct bundle *was, const struct bundle *now, void (*line)(void *arg, const char *text), void *arg);

struct generation_options {
    uint64_t memory_max;   // bytes of one Lua state; 0: 64 MiB
    uint64_t steps_max;    // VM instructions of one hook; 0: 5 million
    int64_t time_max_ms;   // wall time of one hook, waits included; 0: 30 s
    int64_t load_steps_max; // while the scripts load; 0: 500 million
    struct loop *loop;     // NULL: only for checking: hooks that wait fail
    struct dns *dns;       // NULL: dns.* fails with words
    const char *key_dir;   // relative paths of DKIM keys in scripts start here (the configuration's folder)
    const char *hostname;
    const struct clock *clock;
    const struct log *log;
};

struct generation;
struct generation *generation_new(struct bundle *b, const struct generation_options *options, struct err *err);
struct generation *generation_ref(struct generation *g); // its own thread only
void generation_free(struct generation **g);             // drops one reference; its own thread only
const char *generation_version(const struct generation *g);

struct generation_stats {
    uint64_t hooks, faults, memory, waiting; // asked, failed, bytes in the Lua state, suspended now
};
void generation_get_stats(const struct generation *g, struct generation_stats *out);
