// SPDX-License-Identifier: MIT
// password: checks passwords off the event loops, since crypt(3) is slow on purpose. [libcrypt]
//
// A tiny pool of threads with a bounded queue: beyond it a check is answered "busy" (the client hears
// 454 4.7.0). For an unknown or locked user the same work is done against a hash made at start, so that time
// does not tell who exists. The pool is made before the loops run and freed after they have stopped and
// before loop_free: what was not checked by then is answered "busy" by the loop's last turn. A ticket belongs
// to its asker until it is cancelled or its answer has come. Passwords are wiped when they are done with.
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "net/loop.h"

struct password_pool;
struct password_ticket;
enum password_result { PASSWORD_RIGHT, PASSWORD_WRONG, PASSWORD_BUSY };
typedef void (*password_fn)(void *arg, enum password_result result);

struct password_pool *password_pool_new(int threads, struct err *err); // NULL on failure
void password_pool_free(struct password_pool **pool);
// Any loop's thread. hash NULL: unknown user. The answer comes on `loop`, at most once, never before this
// returned.
struct password_ticket *password_check(struct password_pool *pool, struct loop *loop, const char *hash,
                                       struct bytes password, password_fn answer, void *arg);
void password_cancel(
    struct password_ticket **ticket); // on the loop's thread; no answer comes; NULL inside is fine

bool must_use password_hash(struct bytes password, struct buf *out,
                            struct err *err);                   // appends a new yescrypt hash; slow
bool password_matches(const char *hash, struct bytes password); // slow; for tools and tests, not for a loop
