// SPDX-License-Identifier: MIT
// plan: makes plans: immutable, counted, each with its canonical text, its lane and its hash.
#pragma once

#include "base/jsonl.h"
#include "policy/answer.h"

// Copies everything out of `draft` (its keys are counted up). domain: the recipient's, for the lane of VIA_DIRECT.
// draft's json, lane, same and group, and its spends' accounts, are not looked at: they are made here.
const struct plan *plan_make(const struct plan *draft, struct bytes domain);

// Members of an identity but for its name: sources, HELO, return path, the keys it signs with.
void plan_put_identity(struct jsonl *j, const struct identity *id);
