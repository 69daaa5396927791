// SPDX-License-Identifier: MIT
#include "relay/explain.h"

#include "base/jsonl.h"
#include "mail/address.h"
#include "relay/admission.h"
#include "relay/trace.h"
#include "script/json.h"

#include <inttypes.h>
#include <stdio.h>

enum { CLIENT_PORT = 40000 };

struct explaining {
    const struct explain_place *place;
    const struct explain_ask *ask;
    void (*row)(void *arg, struct bytes json);
    void *arg;
    struct err *err;
    const struct conf_listener *listener;
    struct arena arena;
    struct session_facts session;
    struct bytes head, tags; // as the message is kept
    char id[ID_TEXT];
    int64_t now_ms, expires_ms;
    struct buf facts, decision, out;
    struct json *said;     // the last decision
    bool *taken;           // recipients that were not refused
    size_t taken_count;
};

// ---- rows

static struct bytes text_of(const struct json *map, const char *name) {
    struct bytes text = BYTES("");
    json_text(json_get(map, name), &text);
    return text;
}

static struct jsonl row_begin(struct explaining *e, const char *step) {
    buf_reset(&e->out);
    struct jsonl j = jsonl_begin(&e->out);
    jsonl_textz(&j, "step", step);
    return j;
}

static void row_end(struct explaining *e, struct jsonl *j) {
    jsonl_close(j, '}');
    e->row(e->arg, buf_bytes(&e->out));
}

static void copy_text(struct jsonl *j, const struct json *from, const char *name) {
    struct bytes text = text_of(from, name);
    if (text.len) jsonl_text(j, name, text);
}

static void copy_any(struct jsonl *j, const struct json *from, const char *name, const char *as) {
    const struct json *value = json_get(from, name);
    struct buf text = {0};
    if (!value) return;
    json_write(value, &text);
    jsonl_raw(j, as, buf_bytes(&text));
    buf_release(&text);
}

// As facts have times. To the millisecond, which jsonl_real would not keep.
static void put_seconds(struct jsonl *j, const char *name, int64_t ms) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
    jsonl_raw(j, name, bytes_of(text));
}

// ---- one hook

static bool ask_hook(struct explaining *e, const char *hook, struct bytes of) {
    buf_reset(&e->decision);
    json_free(&e->said);
    if (!lab_ask(e->place->lab, hook, buf_bytes(&e->facts), &e->decision, e->err)) return false;
    e->said = json_parse(buf_bytes(&e->decision), e->err);
    if (!e->said) return false;
    struct jsonl j = row_begin(e, "hook");
    jsonl_textz(&j, "hook", hook);
    jsonl_text(&j, "of", of);
    jsonl_raw(&j, "facts", buf_bytes(&e->facts));
    jsonl_raw(&j, "decision", buf_bytes(&e->decision));
    row_end(e, &j);
    return true;
}

static struct jsonl facts_begin(struct explaining *e) {
    struct buf session = {0};
    buf_reset(&e->facts);
    struct jsonl j = jsonl_begin(&e->facts);
    session_facts_encode(&e->session, &session);
    jsonl_raw(&j, "session", buf_bytes(&session));
    buf_release(&session);
    return j;
}

static bool has_accepted(const struct explaining *e) {
    struct bytes kind = text_of(e->said, "kind");
    return !bytes_equal(kind, BYTES("reject")) && !bytes_equal(kind, BYTES("defer"));
}

// ---- fates

static void tell_fate(struct explaining *e, size_t i, const char *fate, struct bytes reply) {
    struct jsonl j = row_begin(e, "fate");
    jsonl_text(&j, "recipient", e->ask->recipients[i]);
    jsonl_textz(&j, "fate", fate);
    if (reply.len) jsonl_text(&j, "reply", reply);
    copy_text(&j, e->said, "where");
    copy_text(&j, e->said, "because");
    row_end(e, &j);
}

// Refused for all that were not refused by themselves before.
static void refuse_all(struct explaining *e, struct bytes reply) {
    for (size_t i = 0; i < e->ask->recipient_count; i++)
        if (e->taken[i]) tell_fate(e, i, "refused", reply);
    e->taken_count = 0;
}

static void refuse_by_protocol(struct explaining *e, const char *command, const struct reply *reply, const char *because) {
    struct buf text = {0};
    json_free(&e->said);
    reply_text(reply, &text);
    struct jsonl j = row_begin(e, "refused");
    jsonl_textz(&j, "by", command);
    jsonl_text(&j, "reply", buf_bytes(&text));
    jsonl_textz(&j, "because", because);
    row_end(e, &j);
    refuse_all(e, buf_bytes(&text));
    buf_release(&text);
}

// ---- the session

static const struct conf_listener *listener_of_kind(const struct conf *conf, bool submission) {
    for (size_t i = 0; i < conf->listener_count; i++) {
        enum listener_kind kind = conf->listeners[i].kind;
        bool is = submission ? kind == LISTENER_SUBMISSION || kind == LISTENER_SUBMISSIONS : kind == LISTENER_RELAY;
        if (is) return &conf->listeners[i];
    }
    return conf->listener_count ? &conf->listeners[0] : NULL;
}

static bool find_listener(struct explaining *e) {
    const struct conf *conf = e->place->conf;
    struct bytes name = e->ask->listener;
    if (!name.len) e->listener = listener_of_kind(conf, e->ask->user.len > 0);
    for (size_t i = 0; name.len && i < conf->listener_count; i++)
        if (bytes_equal(name, bytes_of(conf->listeners[i].name))) e->listener = &conf->listeners[i];
    return e->listener || err_set(e->err, "there is no listener '%.*s' in the configuration", BYTES_FMT(bytes_first(name, 100)));
}

static bool is_submission(const struct conf_listener *l) {
    return l->kind == LISTENER_SUBMISSION || l->kind == LISTENER_SUBMISSIONS;
}

static void put_tls(struct explaining *e) {
    e->session.tls_version = BYTES("TLSv1.3");
    e->session.tls_cipher = BYTES("TLS_AES_256_GCM_SHA384");
}

static bool start_session(struct explaining *e) {
    const struct conf_listener *l = e->listener;
    struct bytes client = e->ask->client.len ? e->ask->client : BYTES("127.0.0.1");
    struct addr peer;
    char text[ADDR_TEXT];
    if (!addr_parse(client, &peer, e->err) || addr_family(&peer) == AF_UNIX || addr_port(&peer))
        return err_set(e->err, "client: '%.*s' is no IP address", BYTES_FMT(bytes_first(client, 100)));
    addr_ip_text(&peer, text);
    e->session = (struct session_facts){.id = BYTES("c-explain"), .listener = bytes_of(l->name), .kind = bytes_of(listener_kind_name[l->kind]),
                                        .client_ip = arena_copy(&e->arena, bytes_of(text)), .client_port = CLIENT_PORT};
    addr_ip_text(&l->address, text);
    e->session.local_ip = arena_copy(&e->arena, bytes_of(text));
    e->session.local_port = addr_port(&l->address);
    for (size_t i = 0; i < l->allow_count; i++) e->session.trusted_network |= network_has(&l->allow[i], &peer);
    if (l->kind == LISTENER_SUBMISSIONS) put_tls(e); // it comes before the banner
    struct jsonl j = facts_begin(e);
    jsonl_close(&j, '}');
    return true;
}

static void say_hello(struct explaining *e) {
    e->session.helo = e->ask->helo.len ? e->ask->helo : arena_format(&e->arena, "[%.*s]", BYTES_FMT(e->session.client_ip));
    if (is_submission(e->listener) || e->listener->tls_required || e->ask->user.len) put_tls(e);
}

static bool log_in(struct explaining *e) {
    struct bytes known = BYTES("");
    const char *hash = users_hash(e->place->users, e->ask->user, &known);
    struct jsonl j = facts_begin(e);
    jsonl_open(&j, "login", '{');
    jsonl_textz(&j, "mechanism", "PLAIN");
    jsonl_text(&j, "user", e->ask->user);
    jsonl_bool(&j, "password_matches", hash && hash[0] != '!' && hash[0] != '*');
    if (known.len) jsonl_raw(&j, "known", known);
    jsonl_close(&j, '}');
    jsonl_close(&j, '}');
    if (!ask_hook(e, "authenticate", e->ask->user)) return false;
    if (!bytes_equal(text_of(e->said, "kind"), BYTES("accept"))) {
        refuse_all(e, text_of(e->said, "reply"));
        return true;
    }
    struct buf facts = {0};
    const struct json *given = json_get(e->said, "facts");
    if (given) json_write(given, &facts);
    e->session.user = e->ask->user;
    e->session.user_facts = arena_copy(&e->arena, buf_bytes(&facts));
    buf_release(&facts);
    return true;
}

// ---- the envelope

static bool ask_address(struct explaining *e, const char *hook, struct bytes address) {
    struct jsonl j = facts_begin(e);
    jsonl_open(&j, "address", '{');
    jsonl_text(&j, "address", address);
    jsonl_close(&j, '}');
    jsonl_close(&j, '}');
    return ask_hook(e, hook, address);
}

static bool ask_recipients(struct explaining *e) {
    for (size_t i = 0; i < e->ask->recipient_count; i++) {
        if (!ask_address(e, "recipient", e->ask->recipients[i])) return false;
        if (has_accepted(e)) continue;
        tell_fate(e, i, "refused", text_of(e->said, "reply"));
        e->taken[i] = false;
        e->taken_count--;
    }
    return true;
}

// ---- the message

static const char *protocol_name(const struct explaining *e) {
    static const char *const names[2][4] = {{"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"}, {"LMTP", "LMTPA", "LMTPS", "LMTPSA"}};
    return names[e->listener->kind == LISTENER_LMTP][(e->session.user.len > 0) + 2 * (e->session.tls_version.len > 0)];
}

static void put_message(struct explaining *e, struct jsonl *j, bool whole) {
    jsonl_open(j, "message", '{');
    jsonl_textz(j, "id", e->id);
    jsonl_text(j, "sender", e->ask->sender);
    jsonl_text(j, "user", e->session.user);
    jsonl_int(j, "size", (int64_t)(e->head.len + 2 + e->ask->body_size));
    put_seconds(j, "received_at", e->now_ms);
    put_seconds(j, "expires_at", e->expires_ms);
    jsonl_int(j, "recipient_count", (int64_t)e->taken_count);
    jsonl_text(j, "head", e->head);
    if (whole) {
        jsonl_open(j, "recipients", '[');
        for (size_t i = 0; i < e->ask->recipient_count; i++)
            if (e->taken[i]) jsonl_text(j, NULL, e->ask->recipients[i]);
        jsonl_close(j, ']');
    } else if (e->tags.len) {
        jsonl_raw(j, "tags", e->tags);
    }
    jsonl_close(j, '}');
}

static void receive_head(struct explaining *e) {
    struct buf head = {0};
    struct bytes only = BYTES("");
    for (size_t i = 0; i < e->ask->recipient_count; i++)
        if (e->taken[i]) only = e->taken_count == 1 ? e->ask->recipients[i] : only;
    trace_received(&head, &e->session, protocol_name(e), e->place->conf->hostname, bytes_of(e->id), only, e->now_ms);
    buf_add(&head, e->ask->head);
    e->head = arena_copy(&e->arena, buf_bytes(&head));
    buf_release(&head);
}

// The first of an accept's limits that has no room refuses it, as relay/admission does.
static bool refuse_for_limit(struct explaining *e) {
    const struct json *limits = json_get(e->said, "limits"), *spends = json_get(e->said, "spend");
    for (size_t i = 0; i < json_count(limits); i++) {
        const struct json *limit = json_item(limits, i), *spend = json_item(spends, i);
        bool room = true;
        int64_t window_s = 0, cap = 0, wait_ms = 0;
        if (!json_bool(json_get(limit, "room"), &room) || room) continue;
        json_int(json_get(limit, "window_s"), &window_s);
        json_int(json_get(limit, "cap"), &cap);
        json_int(json_get(limit, "room_in_ms"), &wait_ms);
        struct spend s = {.key = text_of(limit, "key"), .window_s = (uint32_t)window_s, .cap = (uint64_t)cap,
                          .recipients = bytes_equal(text_of(spend, "per"), BYTES("recipient"))};
        struct reply reply = admission_refusal(&s, e->taken_count, e->now_ms + wait_ms, e->now_ms);
        struct buf text = {0};
        reply_text(&reply, &text);
        refuse_all(e, buf_bytes(&text));
        buf_release(&text);
        return true;
    }
    return false;
}

static bool keep_message(struct explaining *e) {
    struct buf tags = {0};
    int64_t expires_s;
    if (json_get(e->said, "head_failed")) { // live: 451
        refuse_all(e, BYTES("451 4.3.0 Local policy error, try again later"));
        return true;
    }
    if (refuse_for_limit(e)) return true;
    if (json_int(json_get(e->said, "expires"), &expires_s)) e->expires_ms = e->now_ms + expires_s * 1000;
    if (json_get(e->said, "tags")) json_write(json_get(e->said, "tags"), &tags);
    e->tags = arena_copy(&e->arena, buf_bytes(&tags));
    buf_release(&tags);
    if (json_get(e->said, "head")) e->head = arena_copy(&e->arena, text_of(e->said, "head"));
    return true;
}

static bool ask_message(struct explaining *e) {
    receive_head(e);
    struct jsonl j = facts_begin(e);
    put_message(e, &j, true);
    jsonl_close(&j, '}');
    if (!ask_hook(e, "message", e->ask->sender)) return false;
    struct bytes kind = text_of(e->said, "kind");
    const char *fate = bytes_equal(kind, BYTES("hold")) ? "holds" : bytes_equal(kind, BYTES("discard")) ? "discarded" : NULL;
    if (!has_accepted(e)) {
        refuse_all(e, text_of(e->said, "reply"));
        return true;
    }
    if (!bytes_equal(kind, BYTES("discard")) && !keep_message(e)) return false;
    if (!fate || !e->taken_count) return true;
    for (size_t i = 0; i < e->ask->recipient_count; i++)
        if (e->taken[i]) tell_fate(e, i, fate, BYTES(""));
    e->taken_count = 0;
    return true;
}

// ---- the route

static const char *fate_of_kind(struct bytes kind) {
    static const char *const fates[][2] = {{"send", "sends"}, {"wait", "waits"}, {"hold", "holds"}, {"suppress", "suppressed"},
                                           {"fail", "bounces"}, {"discard", "discarded"}};
    for (size_t i = 0; i < sizeof fates / sizeof *fates; i++)
        if (bytes_equal(kind, bytes_of(fates[i][0]))) return fates[i][1];
    return "refused";
}

static void put_wait(struct explaining *e, struct jsonl *j, int64_t wait_s) {
    int64_t until_ms = e->now_ms + wait_s * 1000;
    jsonl_int(j, "waits_s", wait_s);
    jsonl_time(j, "until", until_ms < e->expires_ms ? until_ms : e->expires_ms);
}

static void tell_way(struct explaining *e, struct jsonl *j, int64_t goes) {
    const struct json *way = json_item(json_get(e->said, "ways"), (size_t)goes - 1), *plan = json_get(e->said, "plan");
    struct bytes kind = text_of(way, "do");
    int64_t wait_s = 0;
    for (int64_t i = 1; i < goes; i++) plan = json_get(plan, "otherwise");
    jsonl_textz(j, "fate", fate_of_kind(kind));
    jsonl_int(j, "way", goes);
    jsonl_int(j, "ways", (int64_t)json_count(json_get(e->said, "ways")));
    copy_text(j, way, "identity");
    copy_text(j, way, "lane");
    copy_text(j, way, "tls");
    copy_any(j, plan, "via", "via");
    copy_any(j, plan, "reply", "reply");
    if (bytes_equal(kind, BYTES("send"))) copy_any(j, e->said, "pause_ms", "pause_ms");
    if (json_int(json_get(plan, "wait_s"), &wait_s)) put_wait(e, j, wait_s);
    copy_text(j, way, "where");
    copy_text(j, way, "because");
}

static void tell_route(struct explaining *e, size_t i) {
    int64_t goes = 0, wait_s = 0;
    struct jsonl j = row_begin(e, "fate");
    jsonl_text(&j, "recipient", e->ask->recipients[i]);
    if (json_int(json_get(e->said, "goes"), &goes)) {
        tell_way(e, &j, goes);
    } else {
        bool no_room = json_get(e->said, "ways");
        jsonl_textz(&j, "fate", no_room ? "waits" : fate_of_kind(text_of(e->said, "kind")));
        copy_any(&j, e->said, "waits_s", "waits_s");
        copy_any(&j, e->said, "until", "until");
        copy_text(&j, e->said, "waits_for");
        copy_text(&j, e->said, "reply");
        if (json_int(json_get(e->said, "wait"), &wait_s)) put_wait(e, &j, wait_s);
        copy_text(&j, e->said, "where");
        copy_text(&j, e->said, "because");
    }
    row_end(e, &j);
}

static bool ask_route(struct explaining *e) {
    uint32_t n = 0;
    for (size_t i = 0; i < e->ask->recipient_count; i++) {
        if (!e->taken[i]) continue;
        struct jsonl j = facts_begin(e);
        put_message(e, &j, false);
        jsonl_open(&j, "recipient", '{');
        jsonl_text(&j, "address", e->ask->recipients[i]);
        jsonl_int(&j, "number", n++);
        jsonl_close(&j, '}');
        jsonl_close(&j, '}');
        if (!ask_hook(e, "route", e->ask->recipients[i])) return false;
        tell_route(e, i);
    }
    return true;
}

// ---- of what is queued

// As relay/job has them.
static void put_queued(struct explaining *e, const struct message *m, const struct recipient *r) {
    buf_reset(&e->facts);
    struct jsonl j = jsonl_begin(&e->facts);
    jsonl_open(&j, "message", '{');
    jsonl_textz(&j, "id", e->id);
    jsonl_text(&j, "sender", m->sender);
    jsonl_text(&j, "user", m->user);
    jsonl_raw(&j, "session", m->facts.len ? m->facts : BYTES("{}"));
    if (m->tags.len) jsonl_raw(&j, "tags", m->tags);
    jsonl_text(&j, "head", m->head);
    jsonl_int(&j, "size", (int64_t)(m->head.len + 2 + m->body.length));
    put_seconds(&j, "received_at", m->received_ms);
    put_seconds(&j, "expires_at", m->expires_ms);
    jsonl_int(&j, "recipient_count", m->recipients);
    jsonl_bool(&j, "is_report", m->flags & MESSAGE_REPORT);
    jsonl_close(&j, '}');
    jsonl_open(&j, "recipient", '{');
    jsonl_text(&j, "address", r->address);
    jsonl_int(&j, "number", r->n);
    jsonl_int(&j, "attempts", r->attempts);
    if (r->last_ms) put_seconds(&j, "last_at", r->last_ms);
    if (r->outcome.len) jsonl_raw(&j, "last", r->outcome);
    jsonl_close(&j, '}');
    jsonl_close(&j, '}');
}

static void release(struct explaining *e) {
    json_free(&e->said);
    struct buf *bufs[] = {&e->facts, &e->decision, &e->out};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) buf_release(bufs[i]);
    arena_release(&e->arena);
}

bool explain_queued(const struct explain_place *place, const struct message *m, const struct recipient *r,
                    void (*row)(void *arg, struct bytes json), void *arg, struct err *err) {
    struct explain_ask ask = {.recipients = &r->address, .recipient_count = 1};
    struct explaining e = {.place = place, .ask = &ask, .row = row, .arg = arg, .err = err, .expires_ms = m->expires_ms};
    e.now_ms = lab_clock(place->lab)->frozen_ms;
    id_text(m->id, e.id);
    put_queued(&e, m, r);
    bool good = ask_hook(&e, "route", r->address);
    if (good) tell_route(&e, 0);
    release(&e);
    return good;
}

// ---- all of it

static bool check_address(struct explaining *e, const char *what, struct bytes text, bool may_be_null) {
    struct address parsed;
    if (!text.len && may_be_null) return true;
    return address_parse(text, &parsed, e->err) || err_within(e->err, "%s <%.*s>", what, BYTES_FMT(bytes_first(text, 100)));
}

static bool check(struct explaining *e) {
    if (!e->ask->recipient_count || e->ask->recipient_count > EXPLAIN_RECIPIENTS)
        return err_set(e->err, "one to %d recipients can be explained at once", EXPLAIN_RECIPIENTS);
    if (!check_address(e, "sender", e->ask->sender, true)) return false;
    for (size_t i = 0; i < e->ask->recipient_count; i++)
        if (!check_address(e, "recipient", e->ask->recipients[i], false)) return false;
    return find_listener(e);
}

// Each step ends early where nobody is left to ask about.
static bool go(struct explaining *e) {
    const struct reply closed = e->place->closed ? *e->place->closed : (struct reply){0};
    const struct reply no_login = reply_make(530, "5.7.0", "Authentication required");
    if (!start_session(e) || !ask_hook(e, "connect", e->session.client_ip)) return false;
    if (!has_accepted(e)) {
        refuse_all(e, text_of(e->said, "reply"));
        return true;
    }
    say_hello(e);
    if (e->ask->user.len && !log_in(e)) return false;
    if (!e->taken_count) return true;
    if (e->listener->auth_required && !e->session.user.len) {
        refuse_by_protocol(e, "MAIL", &no_login, "this listener wants a login (say --user)");
        return true;
    }
    if (closed.code) {
        refuse_by_protocol(e, "MAIL", &closed, "no mail is taken now");
        return true;
    }
    if (!ask_address(e, "sender", e->ask->sender)) return false;
    if (!has_accepted(e)) {
        refuse_all(e, text_of(e->said, "reply"));
        return true;
    }
    if (!ask_recipients(e)) return false;
    return !e->taken_count || (ask_message(e) && (!e->taken_count || ask_route(e)));
}

bool explain_message(const struct explain_place *place, const struct explain_ask *ask, void (*row)(void *arg, struct bytes json),
                     void *arg, struct err *err) {
    struct explaining e = {.place = place, .ask = ask, .row = row, .arg = arg, .err = err};
    e.now_ms = lab_clock(place->lab)->frozen_ms;
    e.expires_ms = e.now_ms + place->conf->expire_s * 1000;
    id_text(ask->id ? ask->id : id_make(e.now_ms, 0, 0), e.id);
    e.taken = arena_alloc(&e.arena, ask->recipient_count + 1);
    for (size_t i = 0; i < ask->recipient_count; i++) e.taken[i] = true;
    e.taken_count = ask->recipient_count;
    bool good = check(&e) && go(&e);
    release(&e);
    return good;
}
