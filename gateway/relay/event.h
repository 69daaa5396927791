// SPDX-License-Identifier: MIT
// event: every fate of mail as one JSON line. [design.md section 12; the schema is in gateway/relay/README.md]
//
// A worker writes through its own event_writer: lines gather for one turn of its loop and go out in one O_APPEND
// write, so lines of several threads never mix. The file is re-opened on reload (log rotation) and when it vanished.
// What must survive a crash is in the store's journal; this file is for people and programs that follow along.
#pragma once

#include "base/jsonl.h"
#include "base/log.h"
#include "net/loop.h"
#include "smtp/reply.h"

struct events;
struct events *events_open(const char *path, const struct log *log, struct err *err);
void events_reopen(struct events *e); // any thread
void events_close(struct events **e);
const char *events_path(const struct events *e);

struct event_writer;
struct event_writer *event_writer_new(struct events *events, struct loop *loop, const struct clock *clock);
// Hears every line (without its LF) as it is written: the settle hook. Called from event_put and event_end.
void event_writer_listen(struct event_writer *w, void (*heard)(void *arg, struct bytes line), void *arg);
void event_writer_free(struct event_writer **w); // writes what is left

// event_begin(w, "delivered") .. fields through jsonl_ .. event_end: the line is out by the end of this turn.
// For a line that is also kept elsewhere (journal): event_start writes into any buffer, jsonl_end closes it, event_put sends it.
struct jsonl event_start(struct buf *out, const struct clock *clock, const char *type);
void event_put(struct event_writer *w, struct bytes line); // with its LF

struct jsonl *event_begin(struct event_writer *w, const char *type);
void event_end(struct event_writer *w);

// Writes "reply":{"code","status","text"}: what a peer or a client heard; the enhanced status where it has one.
void event_put_reply(struct jsonl *j, const struct reply *r);
