// SPDX-License-Identifier: MIT
// generation: one version of the operator's scripts, loaded in one Lua state of one worker. [script/vm]
//
//     bundle      the files, read once, and their version (policy/bundle.h). Shared, immutable.
//     generation  a bundle running in a worker's own Lua state. Reference counted within its thread: a transaction holds
//                 the one it began on; the last one out closes the state.
//
// Reload builds generations off to the side and swaps pointers (relay/reload); nothing is patched in place.
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/dns.h"
#include "net/fetch.h"
#include "net/loop.h"
#include "policy/answer.h"
#include "policy/bundle.h"
#include "store/suppression.h"

// For those who want to see how an answer came about: tests of a policy, explanations. Live mail has none.
struct witness {
    // What a hook looked up and found, as one JSON object; during the hook.
    void (*looked)(void *arg, struct bytes json);
    void (*on_line)(void *arg, const char *file, int line); // see script/vm.h; may be NULL
    void *arg;
};

struct limit_look; // a question to the ledger under way

// Answers in the place of the world what hooks look up (policy/lookup.h); during the hook.
struct lookup_source {
    bool (*find)(void *arg, struct bytes question, struct bytes *answer, int64_t *after_ms); // false: not known
    bool (*knows_header)(void *arg, struct bytes name); // whether the header block tells of this field, there or not
    void *arg;
};

struct generation_options {
    uint64_t memory_max;   // bytes of one Lua state; 0: 64 MiB
    uint64_t steps_max;    // VM instructions of one hook; 0: 5 million
    int64_t time_max_ms;   // wall time of one hook, waits included; 0: 30 s
    int64_t load_steps_max; // while the scripts load; 0: 100 million
    struct loop *loop;     // NULL: only for checking: hooks that wait fail
    struct dns *dns;       // NULL: dns.* fails with words
    struct fetch *fetch;   // NULL: http.request fails with words
    const char *http_hosts; // whom http.request may ask: "api.example.com,*.example.org,mta-sts.*,host:8443"; NULL: nobody
    bool http_reads;       // http.request only with GET and HEAD, which change nothing (RFC 9110 9.2.1); others are nil and words
    const char *key_dir;   // relative paths of DKIM keys in scripts start here (the configuration's folder)
    const char *hostname;
    bool check_keys;       // have libopendkim verify a first signature of each DKIM key: for the trial before a load, not on every worker
    bool watch;            // for generation_watched (policy/watched.h)
    const struct clock *clock;
    const struct log *log;
    // Is this address on the suppression list (store/suppression.h)? Asked on the generation's own thread; texts of *out are kept in
    // `texts`. NULL: suppression.has fails with words.
    bool (*suppressed)(void *arg, const struct bytes *scopes, size_t count, struct bytes address, struct arena *texts,
                       struct suppression *out);
    void *suppressed_arg;
    // What the shelf (store/shelf.h) has under this key, as JSON kept in `texts`; likewise. NULL: shelf.get fails with words.
    bool (*shelved)(void *arg, struct bytes key, struct arena *texts, struct bytes *value);
    void *shelved_arg;
    const struct witness *witness; // NULL: none; else as long as the generation
    // How much of this limit is used (its key and window count)? Told at once (true), or later by `answer`, from the loop, unless
    // the look is cancelled. NULL: limit.left fails with words.
    bool (*limit_used)(void *arg, const struct spend *spend, uint64_t *used, void (*answer)(void *arg, uint64_t used),
                       void *answer_arg, struct limit_look **look);
    void (*limit_cancel)(struct limit_look **look);
    void *limit_arg;
    bool keep_lookups;                  // hook_trace tells what was looked up
    const struct lookup_source *source; // NULL: the world; else as long as the generation
};

struct generation;
struct generation *generation_new(struct bundle *b, const struct generation_options *options, struct err *err);
struct generation *generation_ref(struct generation *g); // its own thread only
void generation_free(struct generation **g);             // drops one reference; its own thread only
const char *generation_version(const struct generation *g);
// The identities the scripts have defined: {"identity":"acme","where":"policy.lua:3","helo":...}, a line each.
struct bytes generation_identities(const struct generation *g);

// A candidate beside the policy in force (relay/canary): set once, before anything is asked of it.
void generation_try(struct generation *g);
bool generation_is_on_trial(const struct generation *g);

struct generation_stats {
    uint64_t hooks, faults, memory, waiting; // asked, failed, bytes in the Lua state, suspended now
};
void generation_get_stats(const struct generation *g, struct generation_stats *out);
