// SPDX-License-Identifier: MIT
// footprint: what the gateway takes of its machine, what it may take, and how long the disk lasts.
//
// The main thread's. Looks at the store and its disk once a minute, and when it is asked. Nothing here fails: what the system does
// not tell is left out of what is shown.
#pragma once

#include "base/jsonl.h"

struct gateway;
struct footprint;

struct footprint *footprint_new(struct gateway *g);
void footprint_free(struct footprint **f); // NULL is fine

// Into an open object: "disk", "memory" and "limits". How long the disk lasts (`lasts_s`: until no new mail is taken) is there when
// it fills; `memory.most_bytes` is the machine's memory, or what a control group leaves of it. A limit has the name of what it bounds.
void footprint_show(struct footprint *f, struct jsonl *j);
uint64_t footprint_memory(void); // resident bytes

// The least memory that a control group allows: those that `file` (/proc/self/cgroup) names below `root`, and all above them.
// UINT64_MAX: none has a limit.
uint64_t footprint_memory_limit(const char *file, const char *root);
