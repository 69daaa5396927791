// SPDX-License-Identifier: MIT
// explain_past: what was decided about a message, and why it waits and until when.
//
// From the store: the message and its recipients where they are still queued, and the journal. Who knows how limits and lanes stand now is
// behind struct prospect_eyes; without eyes what the store says is all. What route would say now: relay/explain.h.
#pragma once

#include "policy/prospect.h"
#include "store/store.h"

enum { EXPLAIN_ALL = -1 };

// Rows as JSON objects:
//     {"step":"message","id","sender","user","received","expires","tags","policy","session":{...}}           where it is still queued
//     {"step":"decided","hook","of","at","kind","decision","where","because","policy","looked":[{"question","answer"}]}   what a hook said then
//     {"step":"journal","event":{...},"foreign":true}                              what happened, oldest first; foreign: its decisions are not read
//     {"step":"waits","n","recipient","state","attempts","for":"limit"|"lane"|"time"|"operator"|"work","until","because","where","policy",
//      "plan","last", "limit":{"key","window_s","cap","used","left","room_at",...} or "lane","rests_until","rests_because"}
// n: one recipient, or EXPLAIN_ALL. False: neither in the queue nor in the journal.
must_use bool explain_past(struct reader *reader, uint64_t id, int64_t n, const struct prospect_eyes *eyes, int64_t now_ms,
                           void (*row)(void *arg, struct bytes json), void *arg);
