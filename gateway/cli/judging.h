// SPDX-License-Identifier: MIT
// judging: what the policy makes of a message that came back: whose fault each refusal is, and what it would suppress.
//
// The policy's own code decides, away from live mail (policy/lab): refusals are put to its retry hook as if an attempt of ours had met them,
// and to the rules by which it reads replies; complaints and unsubscriptions to stdlib/returned.lua. Nothing is changed by it. One thread.
#pragma once

#include "mail/returned.h"
#include "relay/conf.h"
#include "script/json.h"

struct judging;
struct judging *judging_new(const struct conf *conf, int64_t now_ms, struct err *err); // NULL with words: the scripts do not load
void judging_free(struct judging **j);
const char *judging_version(const struct judging *j); // of the policy

struct judgement {
    struct json *told;   // a list, one for each recipient: {"verdict", "suppress"}
    struct json *retry[RETURNED_RECIPIENTS]; // the retry hook's decisions; NULL where it was not asked
};
must_use bool judging_ask(struct judging *j, const struct returned *what, struct judgement *out, struct err *err);
void judgement_release(struct judgement *j);
// What would be suppressed for this recipient, a map with scope, reason and perhaps expires_s; NULL: nothing. blames (may be NULL): whose fault it is.
const struct json *judgement_entry(const struct judgement *j, size_t n);
const struct json *judgement_verdict(const struct judgement *j, size_t n);
