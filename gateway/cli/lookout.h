// SPDX-License-Identifier: MIT
// lookout: waits until a file in one of some folders changes.
//
// The folders are looked at with all that is below them (hidden ones are not). Made anew for each wait, so
// that folders that came meanwhile are seen too.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct lookout;
struct lookout *lookout_new(struct err *err);
void lookout_free(struct lookout **l);
must_use bool lookout_add(struct lookout *l, const char *folder, struct err *err);
// Blocks until something has changed and 50 ms have been quiet: an editor writes more than once. Appends a
// file's name.
must_use bool lookout_wait(struct lookout *l, struct buf *name, struct err *err);
