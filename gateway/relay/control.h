// SPDX-License-Identifier: MIT
// control: the control socket and its verbs: one JSON object a line in, rows out. A unix socket, mode 0660, never the network.
//
// Request:  {"verb":"queue","action":"list","filter":{"domain":"example.net"},"limit":100}
// Response: {"row":{...}} any number of times, then exactly one of
//           {"done":true, ...what the verb says of the whole...}
//           {"error":"what and how to mend it","code":69}     code is the CLI's exit status (sysexits.h)
// A connection may send requests one after the other. Unknown verbs and fields are errors that name the nearest right one.
//
// explain: what would become of a message (from, to, ...), or why one waits (id): explain_control.h, rows as in explain.h, explain_past.h.
// verbs: status | explain | lane | identity | limit | queue | suppression | reload | rollback | drain | resume | log | clock (only with --virtual-clock) | stop
// queue actions: list, show (id), hold, release, retry, bounce, delete. Filters: id, sender, recipient, domain, identity,
//   lane, state, older_than (seconds), tag {k:v}; all given ones must hold; "count_only": say how many, do nothing.
//   `sender` and `recipient` match a whole address, or "@domain", or with * as wildcard.
// lane actions: list (the default), pauses, pause, resume (lane_control.h).
// suppression actions: add, remove (address, scope, reason, expires_s), has (address), list, export, count (filter: address, domain,
//   scope, reason; * as wildcard), import (suppression_import.h).
#pragma once

struct control;
struct gateway;
struct control *control_new(struct gateway *gateway, int fd); // on the gateway's main loop; fd is a listening socket
void control_free(struct control **control);
