// SPDX-License-Identifier: MIT
// journal: what is kept of each decision, so that it can be shown and decided again.
//
// The store's journal (store.h) has one ring of entries, in the order of messages. An entry is an event's JSON line, for
// people, and behind its LF what replay needs, in binary:
//
//     an outcome      each time a recipient's fate is written: the call of `route` that led to it, and that of `retry` where there
//                     was one. With the first of recipient 0 goes the transaction.
//     a transaction   session, envelope, kept header fields, and the calls of the session's hooks. As long as recipient 0 has no
//                     outcome the message is in the queue, and the transaction is made of its record (journal_of_message).
//     a refusal       a transaction that came to no message: an entry of its own, without an event. They are bounded.
//
// So keeping decisions costs no entry, only bytes in those that were there: a tree that is written at its end alone stays
// cheap. Until then the calls travel in the message's record, as its trail. All is packed (packing.h), and what the event or
// the transaction already says is not said again: an ordinary delivery's decisions take some 350 bytes.
// Nothing here waits or fails; what does not fit is not kept and says so. Reading: any thread; what was read points into the
// entry and the arena. Both begin with a version: what another tidegate has written is not read (journal_is_foreign).
#pragma once

#include "policy/hooks.h"
#include "relay/kept_fields.h"
#include "relay/worker.h"

enum journal_hook { JOURNAL_CONNECT, JOURNAL_SENDER, JOURNAL_RECIPIENT, JOURNAL_MESSAGE, JOURNAL_ROUTE, JOURNAL_RETRY };
extern const char *const journal_hook_name[]; // as the lab and decisions have them

// ---- writing: transactions

enum { JOURNAL_CALLS_MAX = 64 * 1024 }; // of one transaction; of more none are kept, and JOURNAL_CUT says so

// Appends what a session's hook said. `subject`: the recipient asked about; of a sender it is the transaction's.
void journal_call(struct buf *calls, enum journal_hook hook, const struct hook_trace *trace, struct bytes subject,
                  const struct answer *answer);

// What the record of a message keeps of how it was taken (store/record.h).
enum { JOURNAL_SMTPUTF8 = 1, JOURNAL_CUT = 2, JOURNAL_EDITED = 4, JOURNAL_FOREIGN = 8 /* read: of another version, so it has no calls */ };
struct journal_trail {
    unsigned flags;
    uint64_t size, size_said; // as its hook saw it; by MAIL, 0
    struct bytes head;        // EDITED: the kept fields as its hook saw them, before its edits
    struct bytes calls;
};
struct bytes journal_trail(struct arena *arena, const struct journal_trail *trail);

enum { JOURNAL_STORED = 1, JOURNAL_REPORT = 2 };
struct journal_transaction {
    unsigned flags;
    int64_t received_ms, expires_ms;
    uint64_t size;              // of the message, with its hook's edits
    uint32_t recipients;        // accepted ones
    struct bytes policy;        // version
    struct bytes session;       // JSON object text as stored with messages; "" for a report of ours
    struct bytes sender, tags;
    struct bytes head;          // kept fields; to journal_refusal: all
    uint32_t kept;              // which names were kept (kept_fields.hash)
    struct journal_trail trail;
};
// `head` holds its head.
struct journal_transaction journal_of_message(const struct message *m, struct buf *head, const struct kept_fields *kept);

// Not more than an eighth of the journal a day, over all workers. Gone if that is used up.
void journal_refusal(struct worker *w, struct journal_transaction *t);

// ---- writing: outcomes

struct journal_route {
    uint32_t n, attempts;
    int64_t last_ms;
    struct bytes last; // the recipient's last outcome, JSON object text, ""
    const struct plan *plan;
    struct hook_trace trace;
    bool said; // the event says by which policy, where and why
};
struct journal_retry {
    const struct outcome_facts *outcome;
    const struct verdict *verdict;
    struct hook_trace trace;
};
// Behind the event's line; retry NULL: it was not asked. `message`: its transaction is to be kept with it; NULL.
void journal_outcome(struct buf *entry, const struct journal_route *route, const struct journal_retry *retry,
                     const struct message *message, const struct kept_fields *kept);

// ---- reading

struct bytes journal_event(struct bytes entry); // the event without its LF; "" for a refusal
bool journal_is_foreign(struct bytes entry); // decisions are kept there, but by another version of the program
// Of a refusal, or of an outcome that has one; false: there is none, or it is damaged.
bool must_use journal_read_transaction(struct bytes entry, struct arena *arena, struct journal_transaction *out);

struct journal_called {
    enum journal_hook hook;
    bool plain, fault;      // plain: the default accept of a hook that the policy does not have; no decision is given then
    int64_t at_ms;
    struct bytes subject;
    struct bytes decision;  // JSON object text (policy/decision.h); of route: the plan's text
    struct bytes where, because, policy;
    struct bytes looked;
};
bool journal_next_call(struct bytes *calls, const struct journal_transaction *of, struct arena *arena, struct journal_called *out); // of its trail

struct journal_read_outcome {
    struct journal_route route; // without plan
    struct journal_called routed, retried;
    bool has_retry;
    struct outcome_facts outcome;
};
bool must_use journal_read_outcome(struct bytes entry, struct arena *arena, struct journal_read_outcome *out); // false: nothing is kept there, or damaged

// ---- forgetting

// Drops what is older than the configuration's journal.keep, a few thousand entries at a time. Main loop.
struct journal_broom;
struct journal_broom *journal_broom_new(struct gateway *g);
void journal_broom_free(struct journal_broom **broom); // before the store is closed; what is under way is waited for by that
