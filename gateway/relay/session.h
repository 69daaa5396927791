// SPDX-License-Identifier: MIT
// session: one client's connection: drives the server machine (smtp/server), asks the hooks, gives content to the store.
//
// Belongs to its worker. A transaction's hooks all run on one generation, the one current at MAIL.
#pragma once

#include "net/conn.h"
#include "relay/worker.h"
#include "smtp/server.h"

struct session;
// Takes over fd. `peer` is the client as the policy shall see it (after PROXY), `listener` indexes w->site->conf->listeners.
// `gone` is called once, when the session has ended and freed itself.
struct session *session_new(struct worker *w, int fd, const struct addr *peer, const struct addr *local, size_t listener,
                            void (*gone)(void *arg, struct session *s), void *arg);
void session_dismiss(struct session *s, const struct reply *reply); // at its next quiet moment
void session_free(struct session **s); // at once; `gone` is not called
