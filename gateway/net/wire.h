// SPDX-License-Identifier: MIT
// wire: moves bytes over a non-blocking socket, with TLS or without, now or not at all. No events, no buffers: that is conn.
#pragma once

#include "net/addr.h"
#include "net/tls.h"

// Starts connect(2); the descriptor becomes writable when it is decided. -1: it failed at once.
int wire_dial(const struct addr *source, const struct addr *peer, struct err *err);
bool wire_is_connected(int fd, const struct addr *peer, struct err *err); // when it became writable: how it went

// tls NULL: in plain. DONE: all was put or something got; WANT_*: so much for now; CLOSED: the peer takes no more, though what
// it said before may still be read (send), or its end has come, maybe behind bytes (receive).
enum tls_result wire_send(int fd, struct tls_session *tls, struct bytes what, size_t *put, struct err *err);
enum tls_result wire_receive(int fd, struct tls_session *tls, char *into, size_t size, size_t *got, struct err *err);
