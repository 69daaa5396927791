// SPDX-License-Identifier: MIT
// ledger: limits that hold: who may spend how much of which account, across workers, reloads and crashes.
//
// An account (a limit's key and window, relay/account.h) belongs to the worker its name hashes to; nobody else touches it. An
// ask travels from account to account and home again (relay/grant.h).
//
// A token of a window of a minute or more is granted only when the disk has it: the account's row says for each bucket how much
// may have been spent there. Asks gather while one commit is under way, and the next raises the lease by what they need, no
// more: so a crash strands at most what was in flight then. Whatever the row says after a crash was spent. Tokens in flight when
// a bucket closes are written into the next one; what the row says too much (refunds) is taken back when a bucket closes, and
// when the gateway stops. Shorter windows live in memory only.
//
// Where several gateways share their limits, the row goes to all of them before it is granted on (relay/commons), and what the others
// have spent is as good as spent here. It is heard with each such step, and every few seconds while the account is in use.
//
// An ask that does not fit waits for two seconds if that will do and nobody waits in the store; else it is refused with the time when
// it will fit, and what was refused waits in the store (relay/waiters.h).
#pragma once

#include "base/jsonl.h"
#include "policy/prospect.h"
#include "relay/worker.h"

struct ledger;

struct ledger *ledger_new(struct worker *w);
void ledger_free(struct ledger **ledger);
void ledger_recover(struct ledger *ledger);    // at start: finds who waited before, and the rows that nobody needs any more
void ledger_look_again(struct ledger *ledger); // time has jumped, or the policy changed
void ledger_stop(struct ledger *ledger);       // nobody waits any more; what was not spent goes back as grants are settled
bool ledger_is_idle(const struct ledger *ledger); // all is settled and, once stopped, written
void ledger_show(struct ledger *ledger, void (*row)(void *arg, struct bytes json), void *arg); // an object an account

// How it stands with one that lives here, for an ask of `n` that comes now. Nothing is asked for.
void ledger_look(struct ledger *ledger, const struct spend *spend, uint64_t n, struct limit_state *out);
uint64_t ledger_used(struct ledger *ledger, struct bytes account); // of one that lives here: "KEY/SECONDS"

// Any thread: the peer says that this account has no room, whatever was counted. Kept on disk where the account is.
void ledger_exhaust(struct gateway *g, struct bytes account, int64_t until_ms);

// Any thread: so many more are counted in this account, whatever its cap: for what happened and was not asked for, as a bounce. A crash may
// lose the last few.
void ledger_count(struct gateway *g, struct bytes account, uint64_t n);

// Any thread: somebody waits in the store under a place of waiters_place.
void ledger_tell_parked(struct gateway *g, struct bytes place);
// Any thread: what was called of this message for that account is done with, see waiters_back.
void ledger_tell_back(struct gateway *g, struct bytes account, uint64_t id, bool elsewhere);

// ---- for relay/grant: a leg is what one grant wants of one account -------------------------------------------------------------

struct entry;
struct grant;

struct leg {
    struct leg *next, *prev;    // in one of the account's lists
    struct grant *grant;
    const struct spend *spend;  // of the grant's plan
    struct entry *entry;        // where it is held; the owner's
    uint64_t n, counted;
    uint64_t id;                // of the message; 0: it is none of the queue's
    bool called;                // from where it waited in the store
    bool patient;               // may wait for a moment
    uint8_t outbid;             // times that another gateway was faster
    int64_t since_ms;           // when it came; once granted, when that was
    int64_t bucket;             // of one so old that it was taken for spent; -1
};

struct refusal {
    const struct spend *spend;  // of the plan; NULL: the store cannot record it, try again later
    uint64_t used;
    int64_t until_ms;           // when it will fit, unless others are faster
    bool unreachable;           // it may fit: those who share the limit cannot be asked (relay/commons)
    size_t room;                // so many recipients would fit now
};

// Writes "limit":{"key","window_s","cap","used","until"}: what an event says of a limit without room; "unreachable":true where that is
// not known. Any thread.
void ledger_put_refusal(struct jsonl *j, const struct refusal *r);

void ledger_take(struct ledger *owner, struct leg *leg, struct bytes from);
void ledger_settle(struct leg *leg); // counted ones are spent, the rest is free again
