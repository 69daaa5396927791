// SPDX-License-Identifier: MIT
#include "net/conn.h"

#include "base/bug.h"
#include "net/inbox.h"
#include "net/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

// DIALLING -> OPEN <-> SECURING; OPEN -> LEAVING -> LINGERING when finished; any -> DEAD.
enum state {
    DIALLING,  // connect(2) is under way
    OPEN,      // bytes move
    SECURING,  // first what was written in plain goes out, then the TLS handshake
    LEAVING,   // ownerless: output goes out, then close_notify
    LINGERING, // ownerless: nothing more to say, the peer's end is awaited
    DEAD,      // `closed` is due or told; ownerless: to be freed
};

enum {
    SEND_ROUNDS = 4,        // how often in one turn `drained` may be answered by more output
    LINGER_BYTES = 1048576, // how much is listened to from a peer that talks on after our end
};

struct conn {
    struct loop *loop;
    struct watch *watch;
    struct timer *timer; // made when the first limit is set
    const struct conn_events *events;
    void *arg;
    int fd;
    enum state state;
    enum conn_end how;
    bool owned;            // false from conn_finish on
    bool telling, freed;   // inside an event; conn_free was called there
    bool paused;           // set at once, but the watch for reading goes only when something comes
    bool reading;          // the watch for reading is wanted
    bool blocked;          // output waits for the socket
    bool blocked_on_read;  // ... rather for input (TLS)
    bool read_needs_write; // input waits for the socket to take bytes (TLS)
    bool again;            // there is input that the socket will not tell of (inside TLS)
    bool announce;         // untaken bytes are to be told of again
    bool say_drained;      // conn_flush sent everything: to be told outside of it
    bool output_broken;    // the peer takes no more; what it said before its end is still read (a 421)
    bool shaking;          // the handshake has begun
    int handshake_wants;   // WATCH_READ or WATCH_WRITE
    struct inbox in;
    struct buf out; // out.at + out_at: to be sent
    size_t out_at;
    size_t plain_left; // SECURING: so much of it was written before TLS was asked for
    size_t lingered;
    struct tls_session *tls;
    struct tls_facts *facts;
    int64_t last_ms, idle_ms;        // last traffic; limit for its absence
    int64_t dial_until, deadline_at; // 0: none
    int64_t armed_at;                // when the timer will fire; may be earlier than needed. 0: it is not set
    uint64_t bytes_in, bytes_out;
    struct addr peer; // of conn_dial
    struct errand turn, end;
    struct err *why;
};

static void on_ready(void *arg, int what);
static void on_turn_end(struct errand *errand);

// ---- lifetime ----

static struct conn *conn_new(struct loop *loop, int fd, size_t input_max, const struct conn_events *events,
                             void *arg) {
    struct conn *c = must_alloc(sizeof *c);
    c->loop = loop;
    c->fd = fd;
    c->in.max = input_max ? input_max : 1;
    c->events = events;
    c->arg = arg;
    c->owned = true;
    c->turn.run = on_turn_end;
    c->last_ms = loop_now_ms(loop);
    if (fd >= 0) c->watch = watch_new(loop, fd, on_ready, c);
    return c;
}

static void release(struct conn *c) {
    errand_cancel(&c->turn);
    errand_cancel(&c->end);
    watch_free(&c->watch);
    timer_free(&c->timer);
    tls_session_free(&c->tls);
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    inbox_drop(&c->in);
    buf_release(&c->out);
    free(c->facts);
    free(c->why);
}

void conn_free(struct conn **conn) {
    struct conn *c = *conn;
    if (!c) return;
    *conn = NULL;
    release(c);
    c->state = DEAD;
    c->freed = true;
    if (!c->telling) free(c);
}

// Runs one of the owner's callbacks; false: the conn is gone.
static bool tell(struct conn *c, void (*event)(void *arg)) {
    if (!event || !c->owned) return true;
    bug_if(c->telling);
    c->telling = true;
    event(c->arg);
    c->telling = false;
    if (!c->freed) return true;
    free(c);
    return false;
}

static void soon(struct conn *c) {
    loop_at_turn_end(c->loop, &c->turn);
}

// The event itself follows at the end of the turn, so that it never comes from inside a conn_ function.
static void die(struct conn *c, enum conn_end how, const struct err *why) {
    if (c->state == DEAD) return;
    c->state = DEAD;
    c->how = how;
    if (!c->why) {
        c->why = must_alloc(sizeof *c->why);
        *c->why = *why;
    }
    watch_free(&c->watch);
    timer_free(&c->timer);
    buf_release(&c->out);
    c->out_at = 0;
    soon(c);
}

static void bury(struct conn *c) {
    if (!c->owned) {
        conn_free(&c);
        return;
    }
    if (!c->events->closed) return;
    c->telling = true;
    c->events->closed(c->arg, c->how, c->why);
    c->telling = false;
    if (c->freed) free(c);
}

// ---- time ----

static void sooner(int64_t *best, int64_t moment) {
    if (moment && (!*best || moment < *best)) *best = moment;
}

static int64_t next_moment(const struct conn *c) {
    int64_t best = c->dial_until;
    sooner(&best, c->deadline_at);
    if (c->idle_ms) sooner(&best, c->last_ms + c->idle_ms);
    return best;
}

static void on_timer(void *arg);

// Traffic and limits that move away do not touch the timer: it fires early then, looks, and is set again.
static void arm(struct conn *c) {
    int64_t moment = next_moment(c);
    if (!moment || (c->armed_at && c->armed_at <= moment) || c->state == DEAD) return;
    if (!c->timer) c->timer = timer_new(c->loop, on_timer, c);
    int64_t wait = moment - loop_now_ms(c->loop);
    timer_set(c->timer, wait > 0 ? wait : 1);
    c->armed_at = moment;
}

static void on_timer(void *arg) {
    struct conn *c = arg;
    int64_t now = loop_now_ms(c->loop);
    struct err err;
    c->armed_at = 0;
    if (c->dial_until && now >= c->dial_until) {
        char text[ADDR_TEXT];
        addr_text(&c->peer, text);
        err_set(&err, "connect to %s: no answer in time", text);
        die(c, CONN_TIMEOUT, &err);
    } else if (c->deadline_at && now >= c->deadline_at) {
        err_set(&err, "the time for it is over");
        die(c, CONN_TIMEOUT, &err);
    } else if (c->idle_ms && now >= c->last_ms + c->idle_ms) {
        err_set(&err, "no traffic for %.3g s", (double)c->idle_ms / 1000);
        die(c, CONN_TIMEOUT, &err);
    } else
        arm(c);
}

static void touch(struct conn *c) {
    c->last_ms = loop_now_ms(c->loop);
}

void conn_idle_limit(struct conn *c, int64_t ms) {
    c->idle_ms = ms;
    arm(c);
}

void conn_deadline(struct conn *c, int64_t ms) {
    c->deadline_at = ms ? loop_now_ms(c->loop) + ms : 0;
    arm(c);
}

// ---- what is there ----

size_t conn_unsent(const struct conn *c) {
    return c->out.len - c->out_at;
}

static void set_watch(struct conn *c) {
    int want = 0;
    switch (c->state) {
    case DIALLING:
        want = WATCH_WRITE;
        break;
    case SECURING:
        want = c->plain_left ? WATCH_WRITE : c->handshake_wants;
        break;
    case OPEN:
        want = (c->reading ? WATCH_READ : 0) | (c->blocked || c->read_needs_write ? WATCH_WRITE : 0);
        break;
    case LEAVING:
        want = c->blocked ? WATCH_WRITE : 0;
        break;
    case LINGERING:
        want = WATCH_READ;
        break;
    case DEAD:
        return;
    }
    watch_want(c->watch, want);
}

// ---- output ----

// A peer that ended the connection may have said why just before, and that is still to be read.
static void output_fails(struct conn *c, bool ended, const struct err *err) {
    if (!ended || c->paused || !c->reading || !c->owned) {
        die(c, CONN_ERROR, err);
        return;
    }
    c->output_broken = true;
    shutdown(c->fd, SHUT_WR); // and one that is still there, after all, is not to wait for the rest
    c->why = must_alloc(sizeof *c->why);
    *c->why = *err;
    buf_release(&c->out);
    c->out_at = 0;
}

static void push(struct conn *c) {
    struct err err;
    while (!c->blocked && !c->blocked_on_read) {
        size_t put, n = c->state == SECURING ? c->plain_left : conn_unsent(c);
        if (n == 0) break;
        struct tls_session *tls = c->state == SECURING ? NULL : c->tls;
        enum tls_result result = wire_send(c->fd, tls, bytes_range(c->out.at + c->out_at, n), &put, &err);
        c->out_at += put;
        c->bytes_out += put;
        if (c->state == SECURING) c->plain_left -= put;
        if (put) touch(c);
        if (result == TLS_WANT_WRITE) c->blocked = true;
        if (result == TLS_WANT_READ) c->blocked_on_read = true;
        if (result == TLS_CLOSED || result == TLS_FAILED) {
            output_fails(c, result == TLS_CLOSED, &err);
            break;
        }
    }
    if (conn_unsent(c) == 0) {
        buf_release(&c->out);
        c->out_at = 0;
    }
    set_watch(c);
}

// push, and `drained` where it emptied the output. False: the conn is gone.
static bool push_and_tell(struct conn *c) {
    for (int round = 0; round < SEND_ROUNDS && c->state == OPEN; round++) {
        bool had = conn_unsent(c) > 0;
        if (had) push(c);
        if (c->state != OPEN || c->output_broken || conn_unsent(c) || !(had || c->say_drained)) break;
        c->say_drained = false;
        if (!tell(c, c->events->drained)) return false;
    }
    return true;
}

void conn_write(struct conn *c, struct bytes b) {
    if (c->state == DEAD || c->output_broken || b.len == 0) return;
    if (c->out_at && c->out_at >= conn_unsent(c)) {
        buf_drop(&c->out, c->out_at);
        c->out_at = 0;
    }
    buf_add(&c->out, b);
    if (c->state == OPEN && !c->blocked) soon(c);
}

void conn_pass(struct conn *c, struct buf *b) {
    if (c->state == OPEN && !c->output_broken && b->len && conn_unsent(c) == 0) {
        buf_release(&c->out);
        c->out = *b;
        c->out_at = 0;
        *b = (struct buf){0};
        if (!c->blocked) soon(c);
    } else {
        conn_write(c, buf_bytes(b));
        buf_reset(b);
    }
}

void conn_flush(struct conn *c) {
    if (c->state != OPEN || conn_unsent(c) == 0) return;
    push(c);
    if (c->state != OPEN || c->output_broken || conn_unsent(c)) return;
    c->say_drained = true;
    soon(c);
}

// ---- input ----

// Bytes came: the owner hears of them. False: the conn is gone.
static bool arrive(struct conn *c, char *landing, size_t got) {
    touch(c);
    c->bytes_in += got;
    c->announce = false;
    inbox_arrived(&c->in, landing, got);
    if (!tell(c, c->events->readable)) return false;
    inbox_keep(&c->in);
    return true;
}

static void input_ends(struct conn *c, enum tls_result result, struct err *err) {
    // Who closes only its own direction still reads: it gets what was written in this turn.
    if (result == TLS_CLOSED && conn_unsent(c)) push(c);
    if (result == TLS_CLOSED && !c->output_broken) {
        err_set(err, "the peer closed the connection");
        die(c, CONN_EOF, err);
    } else
        die(c, CONN_ERROR, err); // where output_broken, its own words stand
}

// Reads once what the socket has. False: the conn is gone.
static bool pull(struct conn *c) {
    struct err err;
    size_t size, got;
    if (c->paused && c->output_broken) {
        die(c, CONN_ERROR, c->why);
        return true;
    }
    if (c->paused || !inbox_room(&c->in)) {
        c->reading = false;
        set_watch(c);
        return true;
    }
    char *into = inbox_landing(&c->in, loop_scratch(c->loop), LOOP_SCRATCH, &size);
    enum tls_result result = wire_receive(c->fd, c->tls, into, size, &got, &err);
    c->again = c->tls && got && (result == TLS_CLOSED || (result == TLS_DONE && tls_has_pending(c->tls)));
    c->read_needs_write = result == TLS_WANT_WRITE;
    if (got && !arrive(c, into, got)) return false;
    if (c->state != OPEN) return true;
    if (result == TLS_FAILED || (result == TLS_CLOSED && !got)) {
        input_ends(c, result, &err);
        return true;
    }
    if (c->blocked_on_read) {
        c->blocked_on_read = false;
        soon(c);
    }
    if (c->again) soon(c);
    set_watch(c);
    return true;
}

struct bytes conn_peek(struct conn *c) {
    return inbox_bytes(&c->in);
}

void conn_take(struct conn *c, size_t n) {
    inbox_take(&c->in, n);
    if (c->reading || c->paused || c->state != OPEN || !inbox_room(&c->in)) return;
    c->reading = true;
    if (c->again) soon(c);
    set_watch(c);
}

void conn_pause(struct conn *c, bool paused) {
    bool resumed = c->paused && !paused;
    c->paused = paused;
    if (!resumed || c->state != OPEN) return;
    c->announce = inbox_bytes(&c->in).len > 0 && !inbox_is_lent(&c->in);
    if (c->announce || c->again) soon(c);
    if (c->reading || !inbox_room(&c->in)) return;
    c->reading = true;
    set_watch(c);
}

// ---- TLS ----

// False: the conn is gone.
static bool shake(struct conn *c) {
    struct err err;
    enum tls_result result = tls_handshake(c->tls, &err);
    if (result == TLS_FAILED || result == TLS_CLOSED) {
        die(c, CONN_ERROR, &err);
        return true;
    }
    touch(c);
    if (result != TLS_DONE) {
        c->handshake_wants = result == TLS_WANT_WRITE ? WATCH_WRITE : WATCH_READ;
        set_watch(c);
        return true;
    }
    c->facts = must_alloc(sizeof *c->facts);
    tls_get_facts(c->tls, c->facts);
    c->state = OPEN;
    c->reading = true;
    c->blocked = false;
    c->again = tls_has_pending(c->tls);
    soon(c);
    set_watch(c);
    return tell(c, c->events->secured);
}

// Plain output first; then a client speaks and a server listens. False: the conn is gone.
static bool secure_on(struct conn *c) {
    if (c->plain_left) push(c);
    if (c->state != SECURING || c->plain_left) return true;
    if (c->shaking) return shake(c);
    c->shaking = true;
    if (c->handshake_wants == WATCH_WRITE) return shake(c);
    set_watch(c);
    return true;
}

static bool may_secure(struct conn *c) {
    bug_if(c->tls || c->state == DIALLING || !c->owned);
    return inbox_bytes(&c->in).len == 0;
}

static void secure_begin(struct conn *c, struct tls_session *tls, int wants) {
    c->tls = tls;
    c->state = SECURING;
    c->plain_left = conn_unsent(c);
    c->handshake_wants = wants;
    soon(c);
}

bool conn_secure_server(struct conn *c, struct tls_context *context) {
    if (c->state == DEAD) return true;
    if (!may_secure(c)) return false;
    secure_begin(c, tls_accept(context, c->fd), WATCH_READ);
    return true;
}

bool conn_secure_client(struct conn *c, struct tls_context *context, const struct tls_peer *peer) {
    if (c->state == DEAD) return true;
    if (!may_secure(c)) return false;
    secure_begin(c, tls_connect(context, c->fd, peer), WATCH_WRITE);
    return true;
}

const struct tls_facts *conn_tls_facts(const struct conn *c) {
    return c->facts;
}

// ---- the end ----

static void linger(struct conn *c) {
    struct err over;
    ssize_t n = recv(c->fd, loop_scratch(c->loop), LOOP_SCRATCH, 0);
    if (n > 0) c->lingered += (size_t)n;
    bool waits = n > 0 ? c->lingered < LINGER_BYTES : n < 0 && (errno == EAGAIN || errno == EINTR);
    if (waits) return;
    err_set(&over, "finished");
    die(c, CONN_EOF, &over);
}

static void leave(struct conn *c) {
    push(c);
    if (c->state != LEAVING || conn_unsent(c)) return;
    if (c->tls && tls_bye(c->tls) == TLS_WANT_WRITE) {
        c->blocked = true;
        set_watch(c);
        return;
    }
    shutdown(c->fd, SHUT_WR);
    c->state = LINGERING;
    set_watch(c);
}

static void on_loop_end(struct errand *errand) {
    struct conn *c = (struct conn *)((char *)errand - offsetof(struct conn, end));
    conn_free(&c);
}

void conn_finish(struct conn **conn, int64_t timeout_ms) {
    struct conn *c = *conn;
    if (!c || c->state != OPEN || c->output_broken) {
        conn_free(conn);
        return;
    }
    *conn = NULL;
    c->owned = false;
    c->state = LEAVING;
    inbox_drop(&c->in);
    c->idle_ms = 0;
    c->end.run = on_loop_end;
    loop_at_free(c->loop, &c->end);
    conn_deadline(c, timeout_ms > 0 ? timeout_ms : 1);
    soon(c);
}

// ---- what the loop calls ----

// False: the conn is gone.
static bool connected(struct conn *c) {
    struct err err;
    c->dial_until = 0;
    if (!wire_is_connected(c->fd, &c->peer, &err)) {
        die(c, CONN_ERROR, &err);
        return true;
    }
    c->state = OPEN;
    c->reading = true;
    touch(c);
    if (conn_unsent(c)) soon(c);
    set_watch(c);
    return tell(c, c->events->opened);
}

static void on_ready(void *arg, int what) {
    struct conn *c = arg;
    if (what == WATCH_WRITE) c->blocked = false;
    switch (c->state) {
    case DIALLING:
        connected(c);
        return;
    case SECURING:
        secure_on(c);
        return;
    case OPEN:
        if (what == WATCH_READ || c->read_needs_write) {
            if (!pull(c)) return;
        }
        if (what == WATCH_WRITE) push_and_tell(c);
        return;
    case LEAVING:
        leave(c);
        return;
    case LINGERING:
        linger(c);
        return;
    case DEAD:
        return;
    }
}

static bool has_more_to_do(const struct conn *c) {
    if (c->state != OPEN) return c->state != LINGERING;
    return c->say_drained || (conn_unsent(c) && !c->blocked && !c->blocked_on_read) ||
           (!c->paused && (c->announce || (c->again && inbox_room(&c->in))));
}

static void on_turn_end(struct errand *errand) {
    struct conn *c = (struct conn *)((char *)errand - offsetof(struct conn, turn));
    if (c->state == OPEN && c->announce && !c->paused) {
        c->announce = false;
        if (!tell(c, c->events->readable)) return;
    }
    if (c->state == OPEN && c->again && !c->paused && !pull(c)) return;
    if (c->state == OPEN) {
        if (!push_and_tell(c)) return;
        set_watch(c);
        // What was asked for by the callbacks is done already, more often than not.
        if (!has_more_to_do(c)) errand_cancel(&c->turn);
    } else if (c->state == SECURING) {
        secure_on(c);
    } else if (c->state == LEAVING) {
        leave(c);
    } else if (c->state == DEAD && !c->turn.next) {
        bury(c);
    }
}

// ---- making ----

struct conn *conn_adopt(struct loop *loop, int fd, size_t input_max, const struct conn_events *events,
                        void *arg) {
    struct conn *c = conn_new(loop, fd, input_max, events, arg);
    c->state = OPEN;
    c->reading = true;
    set_watch(c);
    return c;
}

struct conn *conn_dial(struct loop *loop, const struct addr *source, const struct addr *peer,
                       int64_t timeout_ms, size_t input_max, const struct conn_events *events, void *arg) {
    struct err err;
    int fd = wire_dial(source, peer, &err);
    struct conn *c = conn_new(loop, fd, input_max, events, arg);
    c->peer = *peer;
    c->state = DIALLING;
    if (fd < 0) {
        die(c, CONN_ERROR, &err);
        return c;
    }
    if (timeout_ms) c->dial_until = loop_now_ms(loop) + timeout_ms;
    arm(c);
    set_watch(c);
    return c;
}

// ---- facts ----

void conn_local(const struct conn *c, struct addr *out) {
    *out = (struct addr){.len = sizeof out->sa};
    if (c->fd < 0 || getsockname(c->fd, (struct sockaddr *)&out->sa, &out->len) != 0) out->len = 0;
}

void conn_peer(const struct conn *c, struct addr *out) {
    *out = c->peer;
    if (out->len || c->fd < 0) return;
    out->len = sizeof out->sa;
    if (getpeername(c->fd, (struct sockaddr *)&out->sa, &out->len) != 0) out->len = 0;
}

uint64_t conn_bytes_in(const struct conn *c) {
    return c->bytes_in;
}
uint64_t conn_bytes_out(const struct conn *c) {
    return c->bytes_out;
}
