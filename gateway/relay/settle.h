// SPDX-License-Identifier: MIT
// settle: recipients' new fates in one commit, with their journal entries and the report owed to the sender.
//
// Either all that is written at once is on disk or none. A recipient that an operator deleted meanwhile is left alone, one that was put on
// hold meanwhile stays held. Events go out after the commit. The report names nobody who was settled by others meanwhile: where one of
// those it names is found gone nothing is written, it is built again without them, and all is written with that one.
//
// What a peer has accepted and the store cannot take down (a full or sick disk) is kept in memory and written again every
// second, never attempted again; meanwhile nothing is sent (gateway_may_send). Those named in a report wait for room for its
// body; the others are written without them.
#pragma once

#include "mail/report.h"
#include "relay/keeping.h"
#include "relay/worker.h"
#include "store/suppression.h"

enum fate { FATE_GONE, FATE_STAYS }; // settled for good; or changed and queued on

struct change {
    enum fate fate;
    struct recipient record;     // STAYS: as it shall be. GONE: id and n count
    struct bytes event;          // the JSON line, with LF: for the event file
    struct bytes entry;          // for the journal: the same, and what relay/journal puts behind it
    bool report;                 // this recipient is to be named in the report
    struct report_recipient reported;
    struct suppression suppress; // put on the suppression list with it; scope "": nothing is
    struct keeping keeping;      // put on the shelf with it, or taken off
    bool skipped;                // found gone when it was written: no event
    bool named;                  // settle's own: in the report as it was built last
};

struct settle;
// `conf` is the caller's current one (of its worker's site): read until settle_submit returns.
struct settle *settle_new(struct gateway *g, const struct conf *conf, struct loop *home, struct event_writer *events,
                          const struct message *message);
struct arena *settle_arena(struct settle *s);  // texts of changes live here (or outlive the commit elsewhere)
struct change *settle_add(struct settle *s);
size_t settle_count(const struct settle *s);
size_t settle_changed(const struct settle *s); // how many were not settled by others meanwhile; for `done`, in which it is still there
void settle_forget(struct settle **s);         // not submitted: nothing is to be written
// `done` on the home loop, once. stored false: not all was written; look at the store for what is as it was.
// `keeper`, a worker on whose loop this is: false only once that worker stops, or where the store takes others but never this. NULL: one try.
void settle_submit(struct settle *s, const struct worker *keeper, void (*done)(void *arg, bool stored, const struct err *why), void *arg);
