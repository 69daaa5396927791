// SPDX-License-Identifier: MIT
// job: a message with those of its recipients that are being worked on, in memory; and an attempt, its trip through a lane.
//
// A job belongs to the worker that owns the message's id (its runner made it and frees it, when no recipient is
// open any more). An attempt takes some of the job's recipients, those with one plan, to the lane's worker and back.
// While it is away the job's message and records are read-only for everybody. All texts live in the job's arena.
#pragma once

#include "policy/hooks.h"
#include "relay/ledger.h"
#include "relay/worker.h"
#include "smtp/client.h"

struct job_recipient {
    struct recipient record;      // as it was in the store when picked up
    struct recipient_facts facts;
    const struct plan *plan;      // what route said; NULL until then
    const struct plan *routed;    // the same, while `plan` may become an alternative of it; NULL where decisions are not kept
    struct hook_trace trace;      // of route
    struct hook_ticket *hook;
    bool open;                    // not yet settled
};

struct job {
    struct worker *owner;
    struct arena arena;
    struct message message;
    struct message_facts facts;
    struct fresh_body *fresh;      // the body, where it is still in memory
    char id_text[ID_TEXT];
    int64_t picked_ms;
    struct generation *generation; // the version that routes it, and answers retry for it
    struct job_recipient *recipients;
    size_t count, open, routing;
};

// Results are there; no room in the lane, or it rests: wait in the store; a limit has no room; not tried, look again soon.
enum attempt_end { ATTEMPT_TRIED, ATTEMPT_PARK, ATTEMPT_LIMITED, ATTEMPT_BACK };

// Of the alternatives that had no room, the one that will have some first.
struct soonest {
    const struct plan *plan; // NULL: none was tried yet
    int64_t until_ms;
    const struct spend *spend; // NULL: its lane rests
    uint64_t used;
    bool unreachable; // as in struct refusal
};

struct attempt {
    struct task task;        // for its way between workers
    struct attempt *next;    // in a lane's line
    struct job *job;
    const struct plan *plan;
    size_t *which;           // indexes into job->recipients
    size_t count;
    struct lane *lane;       // while it asks for its grant
    struct grant *grant;     // of what plan.spends say; settled by attempt_return
    struct soonest soonest;  // among the plans tried before this one
    bool begun;              // the peer has heard of it
    bool again;              // put back once already, because a reused connection turned out dead
    // What became of it.
    enum attempt_end end;
    struct refusal limited;  // LIMITED
    int64_t rest_until_ms;   // PARK: the lane rests; 0: it is full
    struct client_result *results; // one for each of `which`
    char peer[320];          // "mx.example.net [192.0.2.1]:25"
    char tls[96];            // "TLSv1.3 TLS_AES_256_GCM_SHA384", "" in the clear
    bool tls_verified;
    bool peer_has_dsn;       // it took over NOTIFY: we owe no report of success
    int64_t connect_ms, transfer_ms;
};

struct attempt *attempt_new(struct job *job, const struct plan *plan, const size_t *which, size_t count);
void attempt_free(struct attempt **a);
// Whose turn it is in the plan's lane: as the plan says, else the user's, else the sender's domain's.
struct bytes plan_turn(const struct plan *plan, const struct message *message);
struct attempt *attempt_split(struct attempt *a, size_t n); // keeps the first n; the others are the new one's
// Of one that was tried: whom the peer had no room for in that transaction though it took others (RFC 5321 4.5.3.1.10), with what it said to
// each; NULL: nobody. `most`: so many it takes at once; 0: it did not show.
struct attempt *attempt_left_over(struct attempt *a, size_t *most);
// The same result for every recipient.
void attempt_fill(struct attempt *a, const struct reply *reply, enum client_stage stage, bool local);
void attempt_go(struct attempt *a);     // owner's thread: to its lane's worker
void attempt_return(struct attempt *a); // lane's thread: to its owner, who settles it (relay/outcome)

struct job *job_new(struct worker *owner, const struct message *message); // copies the texts
void job_add(struct job *job, const struct recipient *record);            // copies the texts
void job_close(struct job *job, size_t i);                                // this recipient is settled
void job_free(struct job **job);
