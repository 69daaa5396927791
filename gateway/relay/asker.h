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
// The end that a request names as "expires_s" from now; 0: it names none. False with words: no number, or above a hundred years.
bool must_use asker_until(const struct json *request, int64_t now_ms, int64_t *until_ms, struct err *err);
bool asker_is_gone(const struct asker *a);        // nobody listens any more: a long walk may stop
bool asker_is_full(const struct asker *a);        // the other side reads slowly: go on when `ready` is called
void asker_when_ready(struct asker *a, void (*ready)(void *arg), void *arg); // once; also called when it is gone
// A request whose content follows as lines, after it, up to a line "."; what begins with a dot comes with one more (as in RFC 5321
// 4.5.2). `take` gets each line without its LF, cut at ASKER_LINE_MAX bytes; false: no more for now, until asker_more. From LAST (the line
// ".") or GONE (nobody listens any more) on there are no more, and the request may be ended, not before. Call asker_lines
// last: take may be called before it returns.
enum asker_said { ASKER_LINE, ASKER_LAST, ASKER_GONE };
enum { ASKER_LINE_MAX = 16384 };
void asker_lines(struct asker *a, bool (*take)(void *arg, enum asker_said said, struct bytes line), void *arg);
void asker_more(struct asker *a);
void asker_row(struct asker *a, struct bytes object);  // JSON object text; a final LF is fine
// Ends the request. The object's members stand beside "done": asker_done_begin, jsonl_*, asker_done_end.
struct jsonl *asker_done_begin(struct asker *a);
void asker_done_end(struct asker *a);
void asker_error(struct asker *a, int code, const char *format, ...) __attribute__((format(printf, 3, 4))); // code: sysexits.h

// ---- for relay/control: all that are connected ------------------------------------------------------------------------------

struct askers;

// `request` gets each line; the asker is busy from then until the verb ends the request, which may free it.
struct askers *askers_new(struct gateway *g, void (*request)(struct asker *a, struct bytes line));
void askers_accept(struct askers *all, int fd); // a connection; closed at once where there are too many
// No more requests: what was answered still arrives, and a verb that has something under way finds nobody listening.
void askers_free(struct askers **all);
