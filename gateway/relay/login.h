// SPDX-License-Identifier: MIT
// login: what became of our logins with peers, the last time.
//
// One a worker, of the couriers of its lanes; kept while the gateway runs. Bounded: beyond 10,000 logins new
// ones are not noted.
#pragma once

#include "policy/answer.h"
#include "relay/worker.h"

struct logins;

struct logins *logins_new(const struct clock *clock);
void logins_free(struct logins **logins);
void logins_accepted(struct logins *logins, const struct plan *plan); // plan has a via.user
void logins_refused(struct logins *logins, const struct plan *plan, const struct reply *why);
// {"identity","login","kind","session":{"host","accepted_at","refused_at","refused"}} a login
void logins_show(struct logins *logins, void (*row)(void *arg, struct bytes json), void *arg);

// What `identity` shows: a row for each of `identities` (generation_identities), with all its logins, which
// are joined from the rows of logins_show and tokens_show of every worker; then a row for the logins of none.
// All are lines of JSON objects.
void logins_join(struct bytes identities, struct bytes logins, void (*row)(void *arg, struct bytes json),
                 void *arg);
