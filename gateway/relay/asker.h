// SPDX-License-Identifier: MIT
// asker: one connection on the control socket, as the verbs see it: rows go out, then one end.
//
// A verb that answers later (a commit, another thread) keeps the asker busy; when the other side hangs up meanwhile
// the asker lives on, deaf, until the verb has ended it. All on the main loop.
#pragma once

#include "base/jsonl.h"
#include "relay/gateway.h"
#include "script/json.h"

struct asker;

struct gateway *asker_gateway(struct asker *a);
bool asker_is_gone(const struct asker *a);        // nobody listens any more: a long walk may stop
bool asker_is_full(const struct asker *a);        // the other side reads slowly: go on when `ready` is called
void asker_when_ready(struct asker *a, void (*ready)(void *arg), void *arg); // once; also called when it is gone
void asker_row(struct asker *a, struct bytes object);  // JSON object text; a final LF is fine
// Ends the request. The object's members stand beside "done": asker_done_begin, jsonl_*, asker_done_end.
struct jsonl *asker_done_begin(struct asker *a);
void asker_done_end(struct asker *a);
void asker_error(struct asker *a, int code, const char *format, ...) __attribute__((format(printf, 3, 4))); // code: sysexits.h
