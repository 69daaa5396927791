// SPDX-License-Identifier: MIT
// password: checks passwords off the event loops, since crypt(3) is slow on purpose. [libcrypt]
//
// A tiny pool of threads. For an unknown user the same work is done against a fixed hash, so that time does not tell who exists.
// A bounded queue: beyond it a check is answered "busy" (the client hears 454 4.7.0).
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "net/loop.h"

struct password_pool;
enum password_result { PASSWORD_RIGHT, PASSWORD_WRONG, PASSWORD_BUSY };
struct password_pool *password_pool_new(int threads, struct err *err);
void password_pool_free(struct password_pool **pool); // after all loops have stopped
struct password_ticket;
// hash NULL: unknown user. The answer comes on `loop`.
struct password_ticket *password_check(struct password_pool *pool, struct loop *loop, const char *hash, struct bytes password,
                                       void (*answer)(void *arg, enum password_result result), void *arg);
void password_cancel(struct password_ticket **ticket);
bool password_hash(struct bytes password, struct buf *out, struct err *err); // a new yescrypt hash, for `tidegate passwd` and make run
