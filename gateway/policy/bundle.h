// SPDX-License-Identifier: MIT
// bundle: the operator's scripts and the shipped library as they were read at one moment, and the version they are.
//
// The same names and bytes give the same version. Immutable and reference counted: any thread may hold one. After
// bundle_read nothing looks at the folders again; `require` is answered from here.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct bundle;
// Reads scripts/**.lua (without *.story.lua) and the stdlib folder, whose files are named "stdlib/...". A missing
// policy.lua is an error. Hidden files and folders, links to folders, and what is not *.lua are passed over.
struct bundle *bundle_read(const char *scripts, const char *stdlib, struct err *err);
struct bundle *bundle_ref(struct bundle *b); // any thread
void bundle_free(struct bundle **b);         // any thread
const char *bundle_version(const struct bundle *b); // 12 hex digits of a SHA-256 over names and contents
void bundle_encode(const struct bundle *b, struct buf *out); // for TABLE_POLICY: the last good one survives
struct bundle *bundle_decode(struct bytes from, struct err *err);
// One line a file: "changed policy.lua", "added ...", "removed ...", for the reload's reply. `was` may be NULL.
void bundle_diff(const struct bundle *was, const struct bundle *now, void (*line)(void *arg, const char *text), void *arg);

bool bundle_find(const struct bundle *b, const char *name, struct bytes *text); // "policy.lua", "stdlib/route.lua"
bool bundle_at(const struct bundle *b, size_t i, struct bytes *name, struct bytes *text); // by name; false: there are fewer
// The same with this file in the place of what has its name, or beside the others: another bundle with a version of its own.
struct bundle *bundle_with(const struct bundle *b, struct bytes name, struct bytes text, struct err *err);
