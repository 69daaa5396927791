// SPDX-License-Identifier: MIT
// canary: a candidate policy on trial: a share of new messages runs on it, beside the one in force, until it is promoted or taken
// back.
//
//     whose      by the message's id, for all its hooks from `sender` on; `connect` and `authenticate`, messages that came before the
//                trial belong to the policy in force. Workers decide alike without asking each other.
//     undo       what cannot be undone is not done on the word of a version on trial: what it would refuse for good is put off
//                (451), what it would bounce, drop or suppress waits until the trial is over, and is decided again then.
//     taken back by itself, when the candidate has decided `least` times and its rate of faults, refusals, deferrals or bounces is more
//                than `margin` above that of the policy in force, of messages that came during the trial.
//     promoted   by itself, when `for_s` is over and it has decided `least` times; by the way of every reload (relay/reload).
//     stop       once a promotion is committed it is told as one, though the workers are gone before they have it.
//     restart    the store keeps the version on trial: while the scripts folder holds it, or one that was taken back, a start runs the
//                last good policy instead, loudly. Any successful reload ends that.
//
// The struct is the gateway's for its life; what is marked so is called by workers, all else by the main loop.
#pragma once

#include "relay/worker.h"

struct canary_wish {
    uint32_t share;  // of 10,000 messages; 0: no trial, at once
    int64_t for_s;
    double margin;   // of 1
    uint32_t least;
};

enum canary_side { CANARY_OLD, CANARY_NEW };
enum canary_count { CANARY_ANSWERED, CANARY_REFUSED, CANARY_DECIDED, CANARY_FAULTS, CANARY_DELIVERED, CANARY_DEFERRED, CANARY_BOUNCED,
                    CANARY_COUNTS };

struct canary;
struct canary *canary_new(struct gateway *g);
void canary_free(struct canary **c);

// ---- workers

// The version that a message of this id runs on; lent.
struct generation *canary_generation(struct worker *w, uint64_t id);
void canary_tell(struct worker *w, uint64_t id, const struct generation *g, enum canary_count what);
// How long what cannot be undone has to wait, seconds.
int64_t canary_patience_s(struct worker *w);

// ---- main loop

bool canary_is(const struct canary *c, const struct bundle *bundle); // is that the one on trial?
// The workers have it. `bundle` is referenced.
void canary_start(struct canary *c, struct bundle *bundle, const struct canary_wish *wish);
// It is over; the workers forget it. `action`: "promoted", "withdrawn" or "replaced", for the event.
void canary_end(struct canary *c, const char *action, const char *because);
bool canary_promote(struct canary *c, struct err *err);  // begins a reload
bool canary_withdraw(struct canary *c, const char *because, struct err *err);
void canary_show(const struct canary *c, struct jsonl *j); // member "canary", where there is one
