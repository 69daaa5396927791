// SPDX-License-Identifier: MIT
// tally: what a simulation came to, by day, identity and provider; and whether every limit held, as the peers counted it.
//
// The provider is the recipient's: the peers file's name for its domain, or the domain itself (the first TALLY_DOMAINS of them; then
// "other"). Recipients are counted, not messages.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arrived;
struct peer_rules;
struct plan;
struct rehearsed_fate;

enum { TALLY_DOMAINS = 24 };

struct tally_cell {
    uint64_t sent, deferred, bounced, expired, suppressed, discarded;
    uint64_t waited;    // had to wait for a limit, first on this day
    uint64_t elsewhere; // sent by an alternative, since the plan before it had no room
    uint64_t waiting;   // in the queue when the day ended
};

struct tally_day {
    uint64_t messages, recipients, refused; // taken in; recipients that were refused
};

struct tally;
struct tally *tally_new(const struct peer_rules *rules, int64_t start_ms, int days);
void tally_free(struct tally **t);

void tally_arrived(struct tally *t, int64_t now_ms, const struct arrived *a);
void tally_fate(struct tally *t, int64_t now_ms, const struct rehearsed_fate *f);
void tally_accepted(struct tally *t, int64_t now_ms, const struct plan *plan, size_t recipients);
void tally_day_ends(struct tally *t, int day); // from 0

// ---- the result; identities and providers by name
int tally_days(const struct tally *t);
const struct tally_day *tally_day(const struct tally *t, int day);
// All pairs in order of identity and provider; false: there are fewer.
bool tally_pair(struct tally *t, size_t i, const char **identity, const char **provider, const struct tally_cell **days);
void tally_add(struct tally_cell *sum, const struct tally_cell *more); // but `waiting`, which is the later one's
struct tally_limits {
    size_t accounts;
    uint64_t checked;       // moments
    size_t broken;          // at so many was more in the window than the cap
    char worst[300];        // words about the first
};
struct tally_limits tally_limits(const struct tally *t);
