// SPDX-License-Identifier: MIT
// contrast: how a decision differs from the one that was made before, and of what class that is.
//
// Decisions are those of policy/decision.h. What they say about themselves (where, because, version) is not looked at: two that
// do the same are the same.
#pragma once

#include "relay/journal.h"
#include "script/json.h"

enum contrast { CONTRAST_NONE, CONTRAST_ROUTE, CONTRAST_IDENTITY, CONTRAST_LIMIT, CONTRAST_REFUSAL, CONTRAST_FAULT, CONTRAST_OTHER,
                CONTRAST_UNKNOWN, CONTRASTS };
extern const char *const contrast_name[CONTRASTS];

// before, after: of `route` the plans, of others the decisions.
//   refusal   accepted or sent, and refused, held, dropped or given up; or the other way round; or another reply
//   identity  sent as somebody else      route  another way, host or TLS demand, or sent and made to wait
//   limit     other limits               other  anything else: tags, header edits, sizes of a lane, how long to wait
enum contrast contrast_of(enum journal_hook hook, const struct json *before, const struct json *after);
// Appends what differs, up to `most` members: "identity.name: acme -> globex, tls: verify -> none".
void contrast_words(const struct json *before, const struct json *after, int most, struct buf *out);
