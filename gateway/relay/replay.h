// SPDX-License-Identifier: MIT
// replay: the recorded decisions of a message, decided again by another policy, in a lab.
//
// The hooks run as they do live, at the recorded time, with the recorded facts and look-ups (relay/journal). What the record does
// not have - a name that was not looked up then, a header field that was not kept - is not guessed: that decision is unknown.
// Decisions follow from each other as they would: where the candidate tags or edits a message otherwise, its routes see that; what
// it refuses is not routed. One thread each; the tallies of several add up.
#pragma once

#include "policy/lab.h"
#include "relay/contrast.h"

enum { REPLAY_EXAMPLES = 20 };

struct replay_example {
    enum contrast contrast;
    enum journal_hook hook;
    uint64_t id;
    char subject[100], where[100], was_where[100]; // the address; which line decides now, and then
    char words[400];                              // what differs
};

struct replay_tally {
    uint64_t messages, decisions;
    uint64_t incomplete;           // messages whose transaction the journal has lost
    uint64_t unkept;               // transactions too large to be kept whole: their session is left out
    uint64_t foreign;              // messages of which another version of the program has recorded all or a part, which is left out
    uint64_t counts[CONTRASTS];    // of decisions
    int64_t took_us, longest_us;   // CPU of the candidate, in all and at most for one
    struct replay_example examples[CONTRASTS][REPLAY_EXAMPLES]; // the first ones of each class
};
void replay_add(struct replay_tally *to, const struct replay_tally *from);

struct replay_options {
    struct bundle *bundle;                   // the candidate
    const struct generation_options *usual;  // as a lab wants them; lent
    const struct kept_fields *kept;          // configuration: journal.headers; lent
    int64_t expire_s;                        // configuration: delivery.expire
};
struct replay;
struct replay *replay_new(const struct replay_options *options, struct err *err);
void replay_free(struct replay **replay);
// All that the journal has of a message. The reader is at rest before and behind, and while hooks run.
void replay_message(struct replay *replay, struct reader *reader, uint64_t id);
const struct replay_tally *replay_result(const struct replay *replay);
