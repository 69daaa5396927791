// SPDX-License-Identifier: MIT
// conn: one byte stream over a socket, plain or TLS, with buffers that have an end.
//
// The owner gets events and moves bytes; the conn moves them over the network. Events never come from inside a
// conn_ function, and none comes after conn_free or conn_finish; each may be NULL, and each may free or finish its
// conn. After `closed` the conn is dead: only conn_peek, conn_take, the facts and conn_free are of use, the rest does
// nothing. TCP_NODELAY is set on both sides (by listener_open for those accepted).
//
// An end of the stream is told when it is met, even with input untaken: who must not lose sight of input while it waits
// for an answer (QUIT behind a message that is being stored) pauses, and meets the end after it has resumed.
// Input stops being read from the socket while input_max bytes wait unread (back-pressure); output is never
// refused, the owner looks at conn_unsent before it adds bulk and waits for `drained`.
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

enum conn_end { CONN_EOF, CONN_TIMEOUT, CONN_ERROR };

struct conn_events {
    void (*opened)(void *arg);   // conn_dial: connected. Not for accepted ones.
    void (*readable)(void *arg); // new bytes in conn_peek
    void (*drained)(void *arg);  // all output has been given to the kernel
    void (*secured)(void *arg);  // handshake done; conn_tls_facts is filled
    void (*closed)(void *arg, enum conn_end how, const struct err *why); // also: connect failed, handshake failed
};

// Takes over a connected, non-blocking, close-on-exec socket.
struct conn *conn_adopt(struct loop *loop, int fd, size_t input_max, const struct conn_events *events, void *arg);
// Starts to connect from `source` (len 0: the system's choice; port 0) to `peer` within timeout_ms.
struct conn *conn_dial(struct loop *loop, const struct addr *source, const struct addr *peer, int64_t timeout_ms,
                       size_t input_max, const struct conn_events *events, void *arg);
void conn_free(struct conn **conn); // closes at once, output not yet sent is lost
// Hands it to the loop, with no more events: sends what waits, says that nothing follows (close_notify, FIN), waits for the
// peer's own end so that no reset overtakes the last reply, frees. One that is connecting or shaking hands is just closed.
void conn_finish(struct conn **conn, int64_t timeout_ms);

struct bytes conn_peek(struct conn *conn);           // what has come and was not taken; good until the next conn_ call or turn
void conn_take(struct conn *conn, size_t n);         // the first n bytes are done with
void conn_write(struct conn *conn, struct bytes b);  // copies; sent at the end of this turn of the loop, in one go where possible
void conn_pass(struct conn *conn, struct buf *b);    // the same without a copy where nothing waits before it; b is empty then, in any case
void conn_flush(struct conn *conn);                  // sends now what it can
size_t conn_unsent(const struct conn *conn);
// Paused: no reading, no `readable` (a peer's close is noticed later). Resumed: `readable` again where bytes wait untaken.
void conn_pause(struct conn *conn, bool paused);
// Closed with CONN_TIMEOUT when nothing came or went for this long; 0: never. Re-armed by traffic.
void conn_idle_limit(struct conn *conn, int64_t ms);
// Closed with CONN_TIMEOUT at this moment from now whatever comes; 0: takes the limit away. For commands and totals.
void conn_deadline(struct conn *conn, int64_t ms);

// What was written before goes out in plain, what is written from now on waits for `secured`.
// Both need an empty input buffer (CVE-2011-0411): false and nothing done where there are bytes; the caller decides what to say.
bool conn_secure_server(struct conn *conn, struct tls_context *context);
bool conn_secure_client(struct conn *conn, struct tls_context *context, const struct tls_peer *peer);
const struct tls_facts *conn_tls_facts(const struct conn *conn); // NULL: not secured

void conn_local(const struct conn *conn, struct addr *out); // tests: as the socket says, so is the next
void conn_peer(const struct conn *conn, struct addr *out);  // tests
uint64_t conn_bytes_in(const struct conn *conn);            // tests
uint64_t conn_bytes_out(const struct conn *conn);           // tests
