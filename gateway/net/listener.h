// SPDX-License-Identifier: MIT
// listener: a listening socket on a loop. Sockets are opened (bound) before privileges are dropped, then
// watched by each worker with SO_REUSEPORT-free sharing: every worker watches the same descriptor (EPOLLEXCLUSIVE
// where libevent gives it; otherwise losing an accept race costs one EAGAIN).
#pragma once

#include "net/addr.h"
#include "net/loop.h"

int listener_open(const struct addr *address, int backlog, struct err *err); // fd, non-blocking; -1. For unix: unlinks a stale socket
struct listener;
// accepted(): fd is non-blocking, close-on-exec, TCP_NODELAY; the callee owns it. Out of descriptors: rests 100 ms and says so once.
struct listener *listener_new(struct loop *loop, int fd, void (*accepted)(void *arg, int fd, const struct addr *peer), void *arg);
void listener_free(struct listener **listener); // does not close fd
