// SPDX-License-Identifier: MIT
#include "relay/courier.h"

#include "base/bug.h"
#include "mail/header.h"
#include "net/conn.h"
#include "relay/dane.h"
#include "relay/job.h"
#include "relay/login.h"
#include "relay/parcel.h"
#include "relay/peer.h"
#include "relay/rehearsal.h"
#include "relay/slots.h"
#include "relay/targets.h"
#include "relay/token.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 16 * 1024, BODY_AHEAD = 128 * 1024, FAREWELL_MS = 5000 };

// [token ->] resolving -> [dane ->] dialing -> session <-> idle -> quitting;  a failure while dialing or greeting goes on to the next address
// session -> token -> dialing: once, where the peer refused the token
enum courier_state { COURIER_STARTING, COURIER_TOKEN, COURIER_RESOLVING, COURIER_DANE, COURIER_DIALING, COURIER_SESSION, COURIER_IDLE, COURIER_QUITTING };

struct courier {
    struct lane *lane;
    struct slot slot;
    struct worker *worker;
    struct site *site;
    const struct plan *plan;     // of the first attempt: login, TLS, source
    struct attempt *attempt;     // what it carries; NULL when idle
    bool begun;                  // the attempt's message was given to the client machine
    enum courier_state state;
    struct task start;
    bool starting, freed;
    struct arena arena;          // texts of options and targets
    struct dane_ticket *dane_ticket;
    struct dane_answer dane;     // of the target, where the plan says so
    struct token_ticket *token_ticket;
    struct buf token;            // of a login by XOAUTH2 whose tokens are fetched
    bool token_refused;          // once by the peer: another was asked for
    struct targets targets;
    bool without_tls;            // opportunistic TLS failed on this address: once more in the clear
    bool silent;                 // nothing came of the last connection that was tried, in its time
    struct reply last_failure;   // of the addresses tried so far
    enum client_stage last_stage;
    struct conn *conn;
    struct client *client;
    struct peer *peer;           // in a simulation, in the place of both
    bool securing;               // the handshake is not over, for all we know: in TLS 1.3 the peer judges it when we are done with it
    bool broken_tls;             // and it was its end
    bool opened, stands, lost, driving, ended, dismissed; // lost: the connection has ended under us
    struct timer *idle;
    struct client_options options;
    // The message under way.
    struct parcel parcel;
    int64_t dialed_us, started_us;
    int64_t connect_ms;
    int carried, per_connection; // messages; as the plan of the latest one says
};

static void drive(struct courier *c);
static void try_next(struct courier *c);

// ---- the end ---------------------------------------------------------------------------------------------------------

static void drop_message(struct courier *c) {
    parcel_release(&c->parcel);
    c->begun = false;
}

static void on_start(struct task *task);

static void release(struct courier *c) {
    slots_leave(lane_slots(c->lane), &c->slot);
    drop_message(c);
    targets_cancel(&c->targets);
    dane_cancel(&c->dane_ticket);
    token_cancel(&c->token_ticket);
    if (c->token.at) explicit_bzero(c->token.at, c->token.cap);
    buf_release(&c->token);
    if (c->conn) conn_free(&c->conn);
    if (c->client) client_free(&c->client);
    if (c->peer) peer_free(&c->peer);
    timer_free(&c->idle);
    plan_free(&c->plan);
    site_free(&c->site);
    arena_release(&c->arena);
    if (c->starting) c->freed = true;
    else free(c);
}

static void end(struct courier *c) {
    bug_if(c->attempt);
    c->ended = true;
    if (c->driving) return; // drive() comes back here when it is out of its loop
    lane_left(c->lane, c);
    release(c);
}

void courier_free(struct courier **at) {
    struct courier *c = *at;
    *at = NULL;
    if (!c) return;
    drop_message(c); // which lends from the attempt
    if (c->attempt) {
        c->attempt->end = ATTEMPT_BACK;
        attempt_return(c->attempt);
    }
    release(c);
}

static void hand_back(struct courier *c, enum attempt_end how) {
    struct attempt *a = c->attempt;
    c->attempt = NULL;
    drop_message(c);
    a->end = how;
    attempt_return(a);
}

// ---- who said what ------------------------------------------------------------------------------------------------------

static void note_peer(struct courier *c) {
    struct attempt *a = c->attempt;
    char text[ADDR_TEXT];
    const struct target *t = targets_current(&c->targets);
    if (!a || !t) return;
    if (addr_family(&t->addr) == AF_UNIX) {
        addr_text(&t->addr, text);
        snprintf(a->peer, sizeof a->peer, "%s", text);
    } else {
        addr_ip_text(&t->addr, text);
        snprintf(a->peer, sizeof a->peer, "%s [%s]:%d", t->host, text, addr_port(&t->addr));
    }
    a->connect_ms = c->connect_ms;
    a->transfer_ms = c->started_us ? (clock_monotonic_us() - c->started_us) / 1000 : 0;
    const struct tls_facts *tls = c->conn ? conn_tls_facts(c->conn) : NULL;
    a->tls[0] = 0; // of the address before this one
    a->tls_verified = false;
    if (!tls) return;
    snprintf(a->tls, sizeof a->tls, "%s %s", tls->version, tls->cipher);
    a->tls_verified = tls->verified;
}

// The way out as such failed for every address: this attempt counts, the lane rests.
static void way_failed(struct courier *c) {
    struct reply why = c->last_failure;
    if (c->attempt) {
        attempt_fill(c->attempt, &why, c->last_stage, true);
        hand_back(c, ATTEMPT_TRIED);
    }
    lane_failed(c->lane, &why);
    end(c);
}

static void close_conn(struct courier *c) {
    if (c->conn) conn_free(&c->conn);
    if (c->client) client_free(&c->client);
    if (c->peer) peer_free(&c->peer);
    c->opened = c->securing = c->broken_tls = c->stands = c->lost = false;
}

// What no outcome will tell of: one address of several did not do, or `left` recipients were too many for a transaction.
static void tell_attempt(struct courier *c, const struct reply *why, enum client_stage stage, size_t left) {
    if (!c->attempt) return;
    struct jsonl *j = event_begin(c->worker->events, "attempted");
    jsonl_textz(j, "id", c->attempt->job->id_text);
    jsonl_textz(j, "peer", c->attempt->peer);
    jsonl_text(j, "identity", c->plan->identity.name);
    jsonl_text(j, "lane", c->plan->lane);
    jsonl_textz(j, "stage", client_stage_name(stage));
    event_put_reply(j, why);
    if (left) jsonl_int(j, "left", (int64_t)left);
    event_end(c->worker->events);
}

// Law 7: in the clear only because the plan said "opportunistic", or "dane", and there the host's domain publishes nothing.
static bool may_go_without(const struct courier *c) {
    return c->plan->tls == LEVEL_OPPORTUNISTIC || (c->plan->tls == LEVEL_DANE && c->dane.demand == DANE_NOTHING);
}

static void address_failed(struct courier *c, const struct reply *why, enum client_stage stage) {
    c->last_failure = *why;
    c->last_stage = stage;
    note_peer(c);
    tell_attempt(c, why, stage, 0);
    close_conn(c);
    bool tls_trouble = stage == STAGE_TLS && may_go_without(c) && !c->without_tls;
    if (tls_trouble) c->without_tls = true;
    else {
        c->without_tls = false;
        if (stage == STAGE_CONNECT) targets_unreachable(&c->targets, c->silent);
        else targets_pass(&c->targets);
    }
    try_next(c);
}

// ---- the message ------------------------------------------------------------------------------------------------------------

static void pack_failed(struct courier *c, const struct err *err) {
    // Another time can mend a key or a disk, but brings no From, without which there is nothing to sign (RFC 6376 5.4).
    bool hopeless = c->attempt->plan->identity.key_count && !header_count(c->attempt->job->message.head, BYTES("From"));
    struct reply r = reply_make(hopeless ? 550 : 451, hopeless ? "5.6.0" : "4.3.0", "%s", err->text);
    log_fault(&c->worker->gateway->log, "%s: %s", c->attempt->job->id_text, err->text);
    attempt_fill(c->attempt, &r, STAGE_CONTENT, true);
    hand_back(c, ATTEMPT_TRIED);
}

// False: nothing to send (the attempt went back).
static bool begin_message(struct courier *c) {
    struct err err;
    c->started_us = clock_monotonic_us();
    if (!c->peer && !parcel_pack(&c->parcel, c->worker->gateway, c->attempt, &err)) {
        pack_failed(c, &err);
        return false;
    }
    c->begun = c->attempt->begun = true;
    c->carried++;
    c->per_connection = c->attempt->plan->per_connection;
    if (c->peer) {
        peer_send(c->peer, c->attempt);
        return true;
    }
    client_send(c->client, &c->parcel.message);
    return true;
}

static void pour(struct courier *c) {
    struct err err;
    if (parcel_pour(&c->parcel, c->client, &err)) return;
    struct reply r = reply_make(451, "4.3.0", "%s", err.text);
    log_fault(&c->worker->gateway->log, "%s: %s", c->attempt->job->id_text, err.text);
    client_body_fail(c->client, &r);
}

// ---- capture -----------------------------------------------------------------------------------------------------------------

static void capture(struct courier *c) {
    struct attempt *a = c->attempt;
    struct err err;
    struct bytes dir = arena_format(&c->arena, "%s/%.*s", c->site->conf->capture, BYTES_FMT(a->plan->via.dir));
    if (bytes_equal(a->plan->via.dir, BYTES(""))) dir = bytes_of(c->site->conf->capture);
    c->started_us = clock_monotonic_us();
    if (!parcel_pack(&c->parcel, c->worker->gateway, a, &err)) return pack_failed(c, &err);
    snprintf(a->peer, sizeof a->peer, "%s", dir.at);
    a->begun = true;
    for (size_t i = 0; i < a->count; i++) {
        bool good = parcel_capture(&c->parcel, a, i, dir.at, &err);
        struct reply reply = good ? reply_make(250, "2.0.0", "captured in %s", dir.at) : reply_make(451, "4.3.0", "%s", err.text);
        a->results[i] = (struct client_result){.reply = reply, .stage = STAGE_CONTENT, .local = true};
    }
    hand_back(c, ATTEMPT_TRIED);
}

static void start_soon(struct courier *c) {
    c->starting = true;
    loop_post(c->worker->loop, &c->start);
}

// One at a turn of the loop: each syncs a file and a folder, and sessions wait meanwhile.
static void capture_next(struct courier *c) {
    lane_succeeded(c->lane);
    capture(c);
    c->attempt = lane_take(c->lane, c->plan->same);
    if (c->attempt) start_soon(c);
    else end(c);
}

// ---- resolving ---------------------------------------------------------------------------------------------------------------

static void dns_failed(struct courier *c, const struct reply *why) {
    // A domain that takes no mail is the recipient's affair; the lane has nothing to rest from.
    if (reply_is_permanent(why)) {
        do {
            attempt_fill(c->attempt, why, STAGE_DNS, true);
            hand_back(c, ATTEMPT_TRIED);
            c->attempt = lane_take(c->lane, c->plan->same);
        } while (c->attempt);
        return end(c);
    }
    c->last_failure = *why;
    c->last_stage = STAGE_DNS;
    way_failed(c);
}

static void on_targets(void *arg, const struct reply *failure) {
    struct courier *c = arg;
    if (failure) dns_failed(c, failure);
    else try_next(c);
}

static void resolve(struct courier *c) {
    struct bytes domain = c->attempt->job->recipients[c->attempt->which[0]].facts.domain;
    struct reply refused;
    c->state = COURIER_RESOLVING;
    if (rehearsal_peers(c->worker)) {
        targets_model(&c->targets, c->plan, domain, &c->arena);
        return try_next(c);
    }
    if (!targets_find(&c->targets, c->worker, c->site->conf, c->plan, domain, &c->arena, on_targets, c, &refused)) dns_failed(c, &refused);
}

// ---- the token of a login -------------------------------------------------------------------------------------------------------

static void on_token(void *arg, const struct token_answer *answer);

static void ask_token(struct courier *c) {
    c->state = COURIER_TOKEN;
    c->token_ticket = token_ask(c->worker, c->plan, buf_bytes(&c->token), on_token, c);
}

// No token: nothing was tried, so the lane rests and the message waits for it, uncounted. A token that the peer refused, and no
// better one: that was tried.
static void no_token(struct courier *c, const char *why) {
    if (c->token_refused) return way_failed(c);
    struct reply r = reply_make(451, "4.7.0", "no access token for %.*s: %s", BYTES_FMT(c->plan->via.user), why);
    struct attempt *a = c->attempt;
    c->attempt = NULL;
    drop_message(c);
    lane_put_back(c->lane, a);
    lane_failed(c->lane, &r);
    end(c);
}

static void on_token(void *arg, const struct token_answer *answer) {
    struct courier *c = arg;
    c->token_ticket = NULL;
    if (!answer->token.len) return no_token(c, answer->why);
    buf_reset(&c->token);
    buf_reserve(&c->token, answer->token.len + 1);
    buf_add(&c->token, answer->token);
    if (c->token_refused) try_next(c); // the same address again
    else resolve(c);
}

// The peer takes the login for wrong: the token may have ended before its time. Asked for once, and not of every address.
static bool wants_other_token(struct courier *c, const struct client_result *failure) {
    if (!c->plan->via.oauth.token_url.len || c->token_refused || !failure || failure->local) return false;
    return failure->stage == STAGE_AUTH && failure->reply.code == 535;
}

static void ask_other_token(struct courier *c, const struct client_result *failure) {
    c->last_failure = failure->reply;
    c->last_stage = failure->stage;
    c->token_refused = true;
    note_peer(c);
    tell_attempt(c, &c->last_failure, c->last_stage, 0);
    close_conn(c);
    ask_token(c);
}

// ---- connecting ----------------------------------------------------------------------------------------------------------------

static void on_opened(void *arg);
static void on_readable(void *arg);
static void on_drained(void *arg);
static void on_secured(void *arg);
static void on_closed(void *arg, enum conn_end how, const struct err *why);
static const struct conn_events courier_events = {
    .opened = on_opened, .readable = on_readable, .drained = on_drained, .secured = on_secured, .closed = on_closed};

static void dial(struct courier *c) {
    const struct target *t = targets_current(&c->targets);
    const struct identity *who = &c->plan->identity;
    int family = addr_family(&t->addr);
    static const struct addr any = {.len = 0};
    const struct addr *source = family == AF_INET ? &who->source4 : family == AF_INET6 ? &who->source6 : &any;
    int64_t patience_ms = targets_patience_ms(&c->targets, c->site->conf->connect_timeout_s * 1000);
    c->dialed_us = clock_monotonic_us();
    c->state = COURIER_DIALING;
    c->conn = conn_dial(c->worker->loop, source, &t->addr, patience_ms, INPUT_MAX, &courier_events, c);
}

static void host_is_out(struct courier *c, const char *why) {
    struct reply r = reply_make(451, "4.7.5", "DANE: %s", why);
    address_failed(c, &r, STAGE_TLS);
}

static void on_dane(void *arg, const struct dane_answer *answer) {
    struct courier *c = arg;
    struct tls_pin *pins = arena_alloc(&c->arena, answer->count * sizeof *pins + 1);
    c->dane_ticket = NULL;
    c->dane = *answer;
    for (size_t i = 0; i < answer->count; i++) {
        pins[i] = answer->pins[i];
        pins[i].data = arena_copy(&c->arena, answer->pins[i].data);
    }
    c->dane.pins = pins;
    if (answer->demand == DANE_UNKNOWN) host_is_out(c, answer->why);
    else dial(c);
}

// What the host's domain has published, before a word is said to it.
static void ask_dane(struct courier *c) {
    const struct target *t = targets_current(&c->targets);
    c->dane = (struct dane_answer){.demand = DANE_NOTHING};
    if (!t->authentic) return dial(c);
    c->state = COURIER_DANE;
    c->dane_ticket = dane_ask(c->worker->dns, t->host, t->canonical, addr_port(&t->addr), on_dane, c);
}

static void try_next(struct courier *c) {
    if (c->dismissed && c->attempt && !c->begun) { // shutting down: it was not tried to the end
        hand_back(c, ATTEMPT_BACK);
        return end(c);
    }
    if (!targets_current(&c->targets)) return way_failed(c);
    if (rehearsal_peers(c->worker)) {
        c->dialed_us = clock_monotonic_us();
        c->state = COURIER_SESSION;
        c->peer = peer_dial(rehearsal_peers(c->worker), c->plan, bytes_of(targets_current(&c->targets)->host), on_readable, c);
        return;
    }
    if (tls_level_asks_dane(c->plan->tls)) ask_dane(c);
    else dial(c);
}

static enum client_tls starttls_demand(const struct courier *c) {
    if (c->without_tls || c->plan->tls == LEVEL_NONE || c->plan->via.implicit_tls) return CLIENT_TLS_NONE;
    return may_go_without(c) ? CLIENT_TLS_MAY : CLIENT_TLS_MUST;
}

// Records that say "TLS" and no more (RFC 7672 2.2) take nothing from a certificate that has to hold anyway.
static enum tls_demand certificate_demand(const struct courier *c) {
    bool verified = c->plan->tls == LEVEL_VERIFY || c->plan->tls == LEVEL_DANE_OR_VERIFY;
    if (tls_level_asks_dane(c->plan->tls) && c->dane.demand == DANE_MATCH) return TLS_MATCH;
    return verified ? TLS_VERIFY : TLS_ANY;
}

static bool secure(struct courier *c) {
    enum tls_demand demand = certificate_demand(c);
    struct tls_peer peer = {.host = demand == TLS_MATCH ? c->dane.base : targets_current(&c->targets)->host,
                            .demand = demand,
                            .pins = c->dane.pins, .pin_count = c->dane.count,
                            .domain = c->targets.domain};
    conn_flush(c->conn);
    c->securing = true;
    return conn_secure_client(c->conn, c->site->client_tls, &peer);
}

static void start_client(struct courier *c, bool secured) {
    const struct via *via = &c->plan->via;
    const struct identity *who = &c->plan->identity;
    c->options = (struct client_options){
        .lmtp = via->kind == VIA_LMTP,
        .helo = who->helo.len ? arena_z(&c->arena, who->helo) : c->site->conf->hostname,
        .secured = secured,
        .tls = starttls_demand(c),
        .login = !via->user.len ? LOGIN_NONE : via->login_xoauth2 ? LOGIN_XOAUTH2 : LOGIN_PASSWORD,
        .login_plaintext_ok = via->login_plaintext,
        .send_8bit_anyway = c->plan->send_8bit,
        .user = arena_z(&c->arena, via->user),
        .secret = via->oauth.token_url.len ? buf_z(&c->token) : arena_z(&c->arena, via->secret),
        .timeout_ms = (int)(c->site->conf->smtp_timeout_s * 1000),
    };
    c->client = client_new(&c->options);
    c->state = COURIER_SESSION;
}

static void on_opened(void *arg) {
    struct courier *c = arg;
    c->connect_ms = (clock_monotonic_us() - c->dialed_us) / 1000;
    c->opened = true;
    targets_connected(&c->targets);
    if (c->plan->via.implicit_tls) {
        conn_deadline(c->conn, c->site->conf->connect_timeout_s * 1000);
        secure(c);
        return;
    }
    start_client(c, false);
    drive(c);
}

static void on_secured(void *arg) {
    struct courier *c = arg;
    conn_deadline(c->conn, 0);
    if (!c->client) start_client(c, true);
    else client_secured(c->client);
    drive(c);
}

static void on_readable(void *arg) {
    struct courier *c = arg;
    c->securing = false; // what comes can be read: the peer holds it for secured
    drive(c);
}
static void on_drained(void *arg) { drive(arg); }

static void on_closed(void *arg, enum conn_end how, const struct err *why) {
    struct courier *c = arg;
    const char *words = why && why->text[0] ? why->text : "connection lost";
    if (!c->client) { // never got as far as a greeting
        enum client_stage stage = c->opened ? STAGE_TLS : STAGE_CONNECT;
        c->silent = how == CONN_TIMEOUT;
        struct reply r = reply_make(451, stage == STAGE_TLS ? "4.7.5" : "4.4.1", "%s", words);
        return address_failed(c, &r, stage);
    }
    if (c->state == COURIER_IDLE || c->state == COURIER_QUITTING) return end(c);
    bool timeout = how == CONN_TIMEOUT;
    c->broken_tls = c->securing && !timeout;
    struct reply r = reply_make(451, c->broken_tls ? "4.7.5" : "4.4.2", "%s", timeout ? "timed out waiting for the peer" : words);
    c->lost = true;
    client_lost(c->client, &r);
    drive(c);
}

// ---- driving the machine ---------------------------------------------------------------------------------------------------------

static enum client_next next_of(struct courier *c, struct bytes *input, struct client_want *want) {
    return c->peer ? peer_next(c->peer) : client_next(c->client, input, want);
}

static const struct client_result *result_of(const struct courier *c, size_t i) {
    return c->peer ? peer_result(c->peer, i) : client_result(c->client, i);
}

static void write_output(struct courier *c) {
    if (c->peer) return;
    struct buf *out = client_output(c->client);
    if (out->len && c->conn && !c->lost) conn_pass(c->conn, out);
    buf_reset(out);
    if (out->cap > 2 * BODY_AHEAD) buf_release(out);
}

static void rest(struct courier *c) {
    c->state = COURIER_IDLE;
    slots_idle(lane_slots(c->lane), &c->slot);
    if (c->conn) conn_deadline(c->conn, 0);
    timer_set(c->idle, (int64_t)c->site->conf->lane_idle_s * 1000);
}

static void quit(struct courier *c) {
    c->state = COURIER_QUITTING;
    slots_busy(lane_slots(c->lane), &c->slot);
    if (c->peer) peer_quit(c->peer);
    else client_quit(c->client);
}

static bool is_worn(const struct courier *c) {
    return c->dismissed || slot_is_due(lane_slots(c->lane), &c->slot) ||
           (c->per_connection > 0 && c->carried >= c->per_connection);
}

// The session stands and nothing is under way. True: the machine has something to do.
static bool ready(struct courier *c) {
    if (!c->stands) {
        c->stands = true;
        lane_succeeded(c->lane);
        if (c->plan->via.user.len) logins_accepted(c->worker->logins, c->plan);
    }
    c->state = COURIER_SESSION;
    if (!c->attempt && !is_worn(c)) c->attempt = lane_take(c->lane, c->plan->same);
    while (c->attempt) {
        if (begin_message(c)) return true;
        if (!is_worn(c)) c->attempt = lane_take(c->lane, c->plan->same);
    }
    if (is_worn(c) || c->site->conf->lane_idle_s == 0 || slots_are_wanted(lane_slots(c->lane))) {
        quit(c);
        return true;
    }
    rest(c);
    return false;
}

// A kept connection that the peer had closed meanwhile: nothing was said about this message, so a fresh one gets it.
static bool was_stale(const struct courier *c) {
    const struct client_result *r = result_of(c, 0);
    return !c->attempt->again && c->carried > 1 && r->local && r->stage == STAGE_MAIL && r->reply.status[1] == 4 &&
           r->reply.status[2] == 2;
}

static void done(struct courier *c) {
    struct attempt *a = c->attempt;
    note_peer(c);
    if (was_stale(c)) {
        a->again = true;
        c->attempt = NULL;
        drop_message(c);
        return lane_put_back(c->lane, a);
    }
    for (size_t i = 0; i < a->count; i++) a->results[i] = *result_of(c, i);
    a->peer_has_dsn = c->client && client_has_dsn(c->client);
    size_t most;
    struct attempt *rest = attempt_left_over(a, &most);
    if (rest) tell_attempt(c, &rest->results[0].reply, STAGE_RCPT, rest->count);
    hand_back(c, ATTEMPT_TRIED);
    if (rest) lane_resume(c->lane, rest, most);
}

static void closing(struct courier *c) {
    const struct client_result *failure = c->peer ? peer_failure(c->peer) : client_failure(c->client);
    write_output(c);
    if (failure && failure->stage == STAGE_AUTH) logins_refused(c->worker->logins, c->plan, &failure->reply);
    if (c->attempt && wants_other_token(c, failure)) return ask_other_token(c, failure);
    if (c->attempt) { // the session failed before the message was begun: another address may do
        struct reply why = failure ? failure->reply : reply_make(451, "4.4.2", "the peer closed the session");
        return address_failed(c, &why, c->broken_tls ? STAGE_TLS : failure ? failure->stage : STAGE_GREETING);
    }
    if (c->conn && !c->lost) conn_finish(&c->conn, FAREWELL_MS);
    end(c);
}

// A peer that is slow to take leave keeps nobody waiting for its slot.
static int patience(const struct courier *c, int timeout_ms) {
    return c->state == COURIER_QUITTING && timeout_ms > FAREWELL_MS ? FAREWELL_MS : timeout_ms;
}

static bool obey(struct courier *c, enum client_next next, const struct client_want *want) {
    switch (next) {
    case CLIENT_READ:
        write_output(c);
        if (c->conn) conn_deadline(c->conn, patience(c, want->timeout_ms));
        return false;
    case CLIENT_TLS:
        write_output(c);
        if (!secure(c)) {
            struct reply r = reply_make(451, "4.7.0", "the peer sent bytes behind its answer to STARTTLS");
            client_lost(c->client, &r);
            return true;
        }
        return false;
    case CLIENT_READY: return ready(c);
    case CLIENT_BODY:
        write_output(c);
        if (conn_unsent(c->conn) > BODY_AHEAD) {
            conn_deadline(c->conn, want->timeout_ms);
            return false; // goes on when drained
        }
        pour(c);
        return true;
    case CLIENT_DONE: done(c); return true;
    case CLIENT_CLOSE: closing(c); return false;
    }
    return false;
}

static void drive(struct courier *c) {
    if (c->driving) return;
    c->driving = true;
    bool more = true;
    while (more && (c->client || c->peer) && !c->ended) {
        struct client_want want = {0};
        struct bytes input = c->conn ? conn_peek(c->conn) : (struct bytes){0};
        size_t had = input.len;
        enum client_next next = next_of(c, &input, &want);
        if (had != input.len) conn_take(c->conn, had - input.len);
        more = obey(c, next, &want);
    }
    c->driving = false;
    if (c->ended) end(c);
}

// ---- the lane's side ---------------------------------------------------------------------------------------------------------------

static void on_idle(void *arg) {
    struct courier *c = arg;
    if (c->state != COURIER_IDLE) return;
    quit(c);
    drive(c);
}

void courier_wake(struct courier *c) {
    if (c->state != COURIER_IDLE) return;
    slots_busy(lane_slots(c->lane), &c->slot);
    timer_stop(c->idle);
    drive(c);
}

void courier_dismiss(struct courier *c) {
    c->dismissed = true;
    if (c->state == COURIER_IDLE) on_idle(c);
}

void courier_stop(struct courier *c) {
    c->dismissed = true;
    if (c->state == COURIER_IDLE) return on_idle(c);
    if (!c->attempt || c->begun) return;
    hand_back(c, ATTEMPT_BACK);
    end(c);
}

bool courier_is_idle(const struct courier *c) { return c->state == COURIER_IDLE; }
bool courier_stands(const struct courier *c) { return c->stands; }
uint64_t courier_same(const struct courier *c) { return c->plan->same; }

static void on_start(struct task *task) {
    struct courier *c = (struct courier *)((char *)task - offsetof(struct courier, start));
    c->starting = false;
    if (c->freed) return free(c);
    if (rehearsal_peers(c->worker)) resolve(c);
    else if (c->plan->via.kind == VIA_CAPTURE) capture_next(c);
    else if (c->plan->via.oauth.token_url.len) ask_token(c);
    else resolve(c);
}

struct courier *courier_new(struct lane *lane, struct attempt *first) {
    struct courier *c = must_alloc(sizeof *c);
    c->lane = lane;
    c->worker = lane_worker(lane);
    slots_seat(lane_slots(lane), &c->slot, c);
    c->site = site_ref(c->worker->site);
    c->plan = plan_ref(first->plan);
    c->attempt = first;
    c->idle = timer_new(c->worker->loop, on_idle, c);
    c->start.run = on_start;
    start_soon(c);
    return c;
}
