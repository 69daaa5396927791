// SPDX-License-Identifier: MIT
// telling: what is told of a recipient's fate: the event, the journal's entry, what its record keeps of it, its part of a report.
//
// Texts live in the arena of the settlement they are written with.
#pragma once

#include "relay/job.h"
#include "relay/settle.h"

struct journal_retry;
struct asked;

// What is known of one recipient when its fate is written.
struct story {
    const char *type;              // event: "delivered", "deferred", ...
    const struct client_result *result; // NULL where nothing was tried
    const struct attempt *attempt; // NULL likewise
    const struct verdict *verdict; // NULL likewise
    const struct journal_retry *retry; // how it came about; NULL likewise
    struct bytes because;
    struct bytes where;
    struct bytes policy;
    int64_t due_ms;                // when it is looked at again; 0: never
    const struct plan *plan;       // NULL: expired
    const struct soonest *limited; // the limit that has no room; NULL: none
    const struct verdict *keeps;   // what it wants on the shelf; NULL: nothing
    const struct suppress *suppress; // what plan or verdict want on the suppression list; NULL: nothing
};

// A batch of one job's recipients on their way into the store.
struct writing {
    struct job *job;
    struct settle *settle;
    size_t *which;
    size_t count;
    struct attempt *attempt; // freed with it; NULL
    size_t asking;           // retry questions not yet answered
    struct buf exhaustible;  // as outcome_facts has it
    struct asked *asked;
    bool parking;
};

void telling_event(struct writing *w, const struct job_recipient *r, struct change *c, const struct story *st); // into c: event and entry
struct bytes telling_outcome(struct writing *w, const struct story *st);  // as recipient.outcome keeps it
struct bytes telling_decision(struct writing *w, const struct story *st); // as recipient.decision does
void telling_origin(struct jsonl *j, const struct story *st);             // the members it ends with: policy, where, because
// This recipient is named in the report to the sender. reply NULL: there was none.
void telling_report(struct writing *w, struct change *c, const struct job_recipient *r, const struct story *st,
                    enum report_action action, const struct reply *reply);
