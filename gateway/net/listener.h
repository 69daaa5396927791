// SPDX-License-Identifier: MIT
// listener: a listening socket on a loop. Sockets are opened (bound) before privileges are dropped; every worker
// then watches the same descriptor and takes one connection a turn, so that the least busy takes most. Losing the
// race for one costs an EAGAIN.
#pragma once

#include "base/log.h"
#include "net/addr.h"
#include "net/loop.h"

// The descriptor, non-blocking and close-on-exec; -1. An IPv6 socket takes no IPv4. A unix socket gets mode 0660 less the
// umask; one that nobody answers at is replaced.
int listener_open(const struct addr *address, int backlog, struct err *err);
struct listener;
// accepted(): fd is non-blocking, close-on-exec, TCP_NODELAY; the callee owns it. Out of descriptors: rests 100 ms and says so once.
// The listener may be freed in there.
struct listener *listener_new(struct loop *loop, int fd, void (*accepted)(void *arg, int fd, const struct addr *peer), void *arg);
void listener_log(struct listener *listener, const struct log *log); // where to say that descriptors have run out
void listener_free(struct listener **listener); // does not close fd
