// SPDX-License-Identifier: MIT
// decision: what a hook answered, as one JSON object: for stories, explanations and whatever shows or
// compares decisions.
//
//     {"hook":"sender","kind":"reject","reply":"553 5.7.1 not you","code":553,"status":"5.7.1",
//      "where":"policy.lua:41","because":"...","version":"0123456789ab","fault":true}
//
// `fault` only where it is true, `reply` only where there is one. Besides: an accept its `tags`, `facts`,
// `headers` (a list of
// {"add"|"set"|"remove": name, "value"}), `expires` (seconds), `spend` (limits as in a plan), `shelf` (a list of {"key", "value", "expires_s"} or {"key", "drop"}); a plan its `plan` (as stored, secrets
// replaced), `lane` (its key) and `wait` (seconds); a verdict `wait`, `counts`, `suppress`, `shelf`, `pause` (seconds), `tally` (accounts) and
// `lane` ({"rest": seconds}, or {"lasts": seconds, "connections", "rate": "10/minute"}).
#pragma once

#include "base/jsonl.h"
#include "policy/answer.h"

extern const char *const answer_kind_name[];  // "accept", "reject", ...
extern const char *const verdict_kind_name[]; // "wait", "elsewhere", "give_up"

// Writes the fields; the caller opens the object and ends it.
void decision_answer(struct jsonl *j, const char *hook, const struct answer *a);
void decision_plan(struct jsonl *j, const struct plan *p);
void decision_verdict(struct jsonl *j, const struct verdict *v);

// In parts, for whoever keeps them apart (relay/journal): what all begin and end with, and what is between.
void decision_begin(struct jsonl *j, const char *hook, const char *kind);
void decision_answer_members(struct jsonl *j, const struct answer *a);
void decision_verdict_members(struct jsonl *j, const struct verdict *v);
void decision_end(struct jsonl *j, const struct origin *o);

enum { PACE_TEXT = 40 };
void pace_text(const struct pace *p, char out[PACE_TEXT]); // "10/minute"
