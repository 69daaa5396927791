// SPDX-License-Identifier: MIT
// targets: the addresses to which a plan's connections may go, in the order to try.
//
// In the order of the MX records, but what took no connection lately (relay/reach) comes behind all others. While there are others, an
// address is not waited for as long as the configuration allows: one that stays silent is put off behind them, and then gets all the
// time there is.
//
// A value of who connects; a zeroed one is empty, and all that it points to lives in the arena it was given. `found` comes at most once, never
// before targets_find has returned and not after targets_cancel.
#pragma once

#include "base/arena.h"
#include "relay/exchange.h"

struct conf;
struct plan;
struct worker;

struct target {
    struct addr addr;
    const char *host; // for certificate and events
    const char *canonical; // what that is an alias of; NULL: none
    bool authentic;   // what DNS says of it came signed
    bool put_off;     // once: it is the last time now
};

struct targets {
    struct target *at; // with room for twice as many as were found
    size_t count, next; // next: the one that is being tried
    const char *domain; // of the recipients, where the plan goes to their mail hosts; NULL where it names a host
    // While they are looked for.
    struct reach *reach;
    struct arena *arena;
    struct exchange_ticket *ticket;
    void (*found)(void *arg, const struct reply *failure);
    void *arg;
};

// `domain` is the recipients'. False: nobody is asked, `refused` says why. A failure that is permanent is the recipients' affair, not the
// way's. `found` is told NULL where there are some.
must_use bool targets_find(struct targets *t, struct worker *w, const struct conf *conf, const struct plan *plan, struct bytes domain,
                           struct arena *arena, void (*found)(void *arg, const struct reply *failure), void *arg, struct reply *refused);
void targets_model(struct targets *t, const struct plan *plan, struct bytes domain, struct arena *arena); // in a simulation: one address
const struct target *targets_current(const struct targets *t); // NULL: all have been tried
enum { TARGETS_PATIENCE_MS = 3000 };
// How long to wait until it connects, of `most_ms`.
int64_t targets_patience_ms(const struct targets *t, int64_t most_ms);
void targets_connected(struct targets *t);             // the current one did
void targets_pass(struct targets *t);                  // the current one will not do; goes on to the next
void targets_unreachable(struct targets *t, bool silent); // the current one did not: the same. silent: in the time it was given
void targets_cancel(struct targets *t);
