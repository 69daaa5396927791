// SPDX-License-Identifier: MIT
// lab: a policy away from live mail: hooks asked one at a time, with facts and decisions as JSON.
//
// The policy runs as it runs live (generation, hooks), on a loop of the lab's own. What is around it is not
// the world: the clock stands until it is moved, DNS and web know what they were taught, the suppression list
// what was put there, the log goes into the decisions. One thread; every call blocks until it is done.
// Stories are told here; explanations and replays ask here.
#pragma once

#include "policy/generation.h"
#include "policy/prospect.h"
#include "script/json.h"

#define LAB_MORNING INT64_C(1767603600000) // 2026-01-05 09:00 UTC, a Monday: the time on a fresh lab's clock

// Who knows how much of each limit is used: relay/lab_ledger, or a running gateway's ledger. A look at so many more.
struct lab_limits {
    void (*look)(void *arg, const struct spend *s, uint64_t n, int64_t now_ms,
                 struct limit_state *out); // NULL: nobody knows; limit.left fails with words
    void (*spend)(void *arg, const struct spend *s, uint64_t n, int64_t now_ms); // NULL: only looks are possible
    void (*fill)(void *arg, const struct spend *s, int64_t until_ms, int64_t now_ms); // no room before, says the peer
    void (*clear)(void *arg);
    void *arg;
};

// Of the world what a lab is not to make up itself: for explanations. All zero: it makes up all of it.
struct lab_world {
    const struct dns_options *resolver; // asks these; nothing can be taught then. Lent for the lab's life
    const struct fetch_options *web;    // asks web servers, but only what changes nothing (GET, HEAD). Likewise
    // Who must not be written to, as in generation_options.
    bool (*suppressed)(void *arg, const struct bytes *scopes, size_t count, struct bytes address, struct arena *texts,
                       struct suppression *out);
    bool (*shelved)(void *arg, struct bytes key, struct arena *texts, struct bytes *value); // likewise
    bool (*way)(void *arg, struct bytes lane, struct way_state *out); // as in prospect_eyes
    void *arg;                                                       // of all
};

struct lab;
struct lab_options {
    const struct generation_options
        *usual; // budgets, key_dir and hostname are taken from here; lent for the lab's life
    struct lab_limits limits;
    struct lab_world world;
    void (*on_line)(void *arg, const char *file,
                    int line); // each line of the policy that runs; NULL: nobody counts
    void *arg;
};
struct lab *lab_new(const struct lab_options *options, struct err *err);
void lab_free(struct lab **lab);
// Any thread: what is being asked is given up, and all that is asked from now on; lab_ask is false then.
void lab_abandon(struct lab *lab);

// As new: LAB_MORNING, nothing known of DNS and web, nobody suppressed, nothing spent, no policy.
void lab_reset(struct lab *lab);
// This is the policy from here on, loaded afresh. False where it does not load; there is none then.
// `counted`: its lines are told to on_line.
must_use bool lab_use(struct lab *lab, struct bundle *b, bool counted, struct err *err);
bool lab_has_policy(const struct lab *lab);

struct clock *lab_clock(struct lab *lab);
struct loop *lab_loop(struct lab *lab);
// records: of type "mx" [[10,"mx.example.net"],...], of the others a list of texts, [] for a name without
// such a record; or a text: why the question fails for now. name and type as dns.* has them; "ptr" by IP
// address.
must_use bool lab_teach(struct lab *lab, const char *name, const char *type, const struct json *records,
                        struct err *err);

// What web servers answer to http.request; see policy/lab_web.h. Hosts are those that `usual` allows.
must_use bool lab_teach_web(struct lab *lab, struct bytes request, const struct json *answers,
                            struct err *err);

// Puts an entry on the lab's suppression list, as the gateway would: address is a recipient's or
// "@example.net"; expires_s 0: for ever.
must_use bool lab_suppress(struct lab *lab, struct bytes address, struct bytes scope, struct bytes reason,
                           int64_t expires_s, struct err *err);

// Puts this on the lab's shelf, or takes it off.
void lab_keep(struct lab *lab, const struct keep *keep);

// The limit's key and window count. spend: so much of it is used now; fill: it has no room for so long.
must_use bool lab_spend(struct lab *lab, const struct spend *s, uint64_t n, struct err *err);
must_use bool lab_fill(struct lab *lab, const struct spend *s, int64_t seconds, struct err *err);

// Asks one hook. route and retry see the session that is told as what was kept with the message. facts:
// {"session":{...},"address":{...},...}, the names scripts see (stdlib/README.md); what is not told is empty.
// Appends the decision (decision.h), with "looked" (what it looked up) and "log" (lines it wrote) where there
// are any, "requests" (what it sent to web servers), for `message` the `head` that would be stored, and for a plan that
// sends what would become of it now (prospect.h). A fault of the policy is a decision; false is for facts that are none, and
// an unknown hook.
must_use bool lab_ask(struct lab *lab, const char *hook, struct bytes facts, struct buf *decision,
                      struct err *err);

// What the scripts know of themselves (hook_describe): appends the list as JSON. False with words: they failed.
must_use bool lab_describe(struct lab *lab, const char *what, struct bytes question, struct buf *list, struct err *err);
