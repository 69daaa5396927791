// SPDX-License-Identifier: MIT
// prospect: what would become of a plan at this moment: its alternatives in the order in which the gateway
// tries them, each with its limits and its way out. Nothing is spent.
//
// Who knows the limits and the ways is behind struct prospect_eyes: the gateway's own ledger and lanes, or a
// lab's.
#pragma once

#include "base/jsonl.h"
#include "policy/answer.h"

enum { PROSPECT_PATIENCE_MS = 2000 }; // what will have room so soon goes, after a pause (relay/ledger.h)

struct limit_state {
    uint64_t used; // held ones included; ACCOUNT_CAP_MAX is not in it while the peer says that it is full
    int64_t room_at_ms;    // when so many more fit, unless others are faster; 0: they do now
    int64_t next_free_ms;  // when the oldest of those used falls out; 0: nothing is used
    int64_t full_until_ms; // the peer has said that there is no room before; 0: it has not
};

struct way_state {
    int64_t rests_until_ms; // 0: it does not rest; INT64_MAX: until an operator says otherwise
    char why[200];          // of the last failure, ""
};

struct prospect_eyes {
    // So many more of this limit. False: nobody knows, then it is taken to have room.
    bool (*limit)(void *arg, const struct spend *s, uint64_t n, struct limit_state *out);
    bool (*way)(void *arg, struct bytes lane,
                struct way_state *out); // NULL: no way rests. False: it does not stand yet
    void *arg;
};

// For an accept that spends: "limits" as below, "room", and "until" where there is none.
void prospect_tell_spends(struct jsonl *j, const struct spend *spends, size_t count, size_t recipients,
                          const struct prospect_eyes *eyes, int64_t now_ms);

// For a plan that sends. Adds to the object that is open:
//     "ways":[{"identity","lane","tls","where","because","limits":[{"key","window_s","cap","used","left","room","room_at","room_in_ms","next_free",
//              "full_until"}],"rests_until","rests_because","room"}, ...]
// the last may be {"do":"wait", ...} or another that sends nothing. And either "goes": the number of the way
// taken, from 1, and "pause_ms" where it has room in a moment; or "waits_s", "until", "waits_for": the key of
// the limit, or "lane".
void prospect_tell(struct jsonl *j, const struct plan *plan, const struct prospect_eyes *eyes,
                   int64_t now_ms);
