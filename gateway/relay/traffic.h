// SPDX-License-Identifier: MIT
// traffic: the mail that comes in during a simulation, message by message, in order of time. [scripts/README.md has the format]
//
// Either streams, described by a Lua table of plain values (so many a day, at these hours, from these senders to these domains),
// or a recorded day: JSON lines as `tidegate log` prints them for what was received, of which every day is a repetition. What a
// stream does by chance comes from the seed and the hour: the same file, seed and start give the same messages.
#pragma once

#include "relay/arrival.h"

struct traffic;
// `file` ends in ".jsonl": a recorded day. start_ms begins the first day.
struct traffic *traffic_read(struct bytes text, const char *file, int64_t start_ms, uint64_t seed, struct err *err);
void traffic_free(struct traffic **t);
// The next message, and when it comes; its texts are put into `arena` or live as long as the traffic.
void traffic_next(struct traffic *t, struct arena *arena, int64_t *at_ms, struct arrival *out);
