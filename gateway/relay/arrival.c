// SPDX-License-Identifier: MIT
#include "relay/arrival.h"

#include "policy/hooks.h"
#include "relay/accept.h"
#include "relay/admission.h"
#include "relay/trace.h"

#include <inttypes.h>
#include <stdlib.h>

struct arriving {
    struct worker *worker;
    struct arrival in;
    struct arrived out;
    struct arena arena;
    struct session_facts facts;
    struct login_facts login;
    struct generation *generation;
    struct accept *accept;
    struct admission *admission;
    struct bytes *taken; // recipients the policy took
    size_t at;           // the recipient that is asked about
    void (*done)(void *arg, const struct arrived *what);
    void *arg;
};

static void end(struct arriving *s) {
    admission_settle(&s->admission, s->out.id != 0);
    s->done(s->arg, &s->out);
    accept_free(&s->accept);
    generation_free(&s->generation);
    free(s->taken);
    arena_release(&s->arena);
    free(s);
}

static void refuse(struct arriving *s, const struct reply *why) {
    s->out.reply = *why;
    s->out.refused = s->in.count;
    s->out.taken = 0;
    atomic_fetch_add(&s->worker->gateway->counters.refused, 1);
    end(s);
}

// True: it was refused.
static bool is_refusal(struct arriving *s, const struct answer *a) {
    if (a->origin.fault) atomic_fetch_add(&s->worker->gateway->counters.faults, 1);
    return a->kind == ANSWER_REJECT || a->kind == ANSWER_DEFER;
}

// ---- the store

static void stored(void *arg, bool good, const struct err *why) {
    struct arriving *s = arg;
    uint64_t id = accept_message(s->accept)->id;
    s->accept = NULL; // frees itself after this
    if (!good) {
        struct reply r = reply_make(452, "4.3.1", "%s", why->text);
        return refuse(s, &r);
    }
    atomic_fetch_add(&s->worker->gateway->counters.accepted, 1);
    s->out.id = id;
    end(s);
}

static void admitted(void *arg, const struct reply *refused) {
    struct arriving *s = arg;
    if (!refused) return accept_submit(s->accept, false, stored, s);
    s->admission = NULL; // gone with its answer
    refuse(s, refused);
}

static void complete(struct arriving *s, const struct answer *a) {
    struct arena *arena = accept_arena(s->accept);
    struct message *m = accept_message(s->accept);
    struct buf facts = {0};
    m->expires_ms = m->received_ms + (a->expires_s ? a->expires_s : s->worker->site->conf->expire_s) * 1000;
    m->tags = arena_copy(arena, a->tags.len ? a->tags : s->in.tags);
    m->policy = arena_copy(arena, a->origin.version);
    struct keeping keeping = keeping_of(arena, a->keeps, generation_is_on_trial(s->generation) ? 0 : a->keep_count, m->id, a->origin.where);
    accept_keep(s->accept, &keeping);
    m->user = arena_copy(arena, s->facts.user);
    session_facts_encode(&s->facts, &facts);
    m->facts = arena_copy(arena, buf_bytes(&facts));
    buf_release(&facts);
    for (size_t i = 0; i < s->out.taken; i++) {
        struct recipient r = {.address = arena_copy(arena, s->taken[i])};
        accept_recipient(s->accept, &r);
    }
    accept_copies(s->accept, a);
}

// ---- the hooks, last to first

static void on_message(void *arg, const struct answer *a) {
    struct arriving *s = arg;
    struct err err;
    if (is_refusal(s, a)) return refuse(s, &a->reply);
    if (a->kind == ANSWER_DISCARD) {
        s->out.discarded = true;
        return end(s);
    }
    if (!answer_edit(a, &accept_content(s->accept)->head, &err)) {
        struct reply r = reply_make(451, "4.3.0", "header edit: %s", err.text);
        return refuse(s, &r);
    }
    complete(s, a);
    if (!a->spend_count) return accept_submit(s->accept, a->kind == ANSWER_HOLD, stored, s);
    struct admission_of of = {.session = s->facts.id, .sender = accept_message(s->accept)->sender, .user = s->facts.user};
    s->admission = admission_ask(s->worker, a, s->out.taken, &of, admitted, s);
}

static void ask_message(struct arriving *s) {
    struct gateway *g = s->worker->gateway;
    const struct conf *conf = s->worker->site->conf;
    s->accept = accept_new(s->worker);
    struct content *content = accept_content(s->accept);
    struct message *m = accept_message(s->accept);
    m->id = worker_next_id(s->worker);
    m->received_ms = clock_ms(&g->clock);
    m->sender = arena_copy(accept_arena(s->accept), s->in.sender);
    char id[ID_TEXT];
    id_text(m->id, id);
    trace_received(&content->head, &s->facts, s->facts.user.len ? "ESMTPSA" : "ESMTP", conf->hostname, bytes_of(id),
                   s->out.taken == 1 ? s->taken[0] : BYTES(""), m->received_ms);
    buf_add(&content->head, s->in.head);
    accept_without_body(s->accept, s->in.size);
    struct message_facts facts = {
        .id = m->id, .id_text = bytes_of(id), .sender = m->sender, .user = s->facts.user, .head = buf_bytes(&content->head),
        .size = content->head.len + 2 + s->in.size, .received_ms = m->received_ms,
        .expires_ms = m->received_ms + conf->expire_s * 1000, .recipient_count = s->out.taken, .recipients = s->taken,
    };
    hook_message(s->generation, &s->facts, &facts, on_message, s);
}

static struct address_facts address_of(struct arriving *s, struct bytes address, uint64_t size) {
    struct address_facts f = {.address = address, .size = size};
    facts_split_address(address, &s->arena, &f.local, &f.domain);
    return f;
}

static void ask_recipient(struct arriving *s);

static void on_recipient(void *arg, const struct answer *a) {
    struct arriving *s = arg;
    if (is_refusal(s, a)) {
        s->out.refused++;
        s->out.reply = a->reply;
    } else {
        s->taken[s->out.taken++] = s->in.recipients[s->at];
    }
    s->at++;
    ask_recipient(s);
}

static void ask_recipient(struct arriving *s) {
    if (s->at == s->in.count) {
        if (s->out.taken) return ask_message(s);
        atomic_fetch_add(&s->worker->gateway->counters.refused, 1);
        return end(s);
    }
    struct address_facts facts = address_of(s, s->in.recipients[s->at], 0);
    hook_recipient(s->generation, &s->facts, &facts, on_recipient, s);
}

static void on_sender(void *arg, const struct answer *a) {
    struct arriving *s = arg;
    if (is_refusal(s, a)) return refuse(s, &a->reply);
    ask_recipient(s);
}

static void ask_sender(struct arriving *s) {
    struct address_facts facts = address_of(s, s->in.sender, s->in.size);
    hook_sender(s->generation, &s->facts, &facts, on_sender, s);
}

static void on_login(void *arg, const struct answer *a) {
    struct arriving *s = arg;
    if (is_refusal(s, a)) return refuse(s, &a->reply);
    s->facts.user = s->login.user;
    s->facts.user_facts = arena_copy(&s->arena, a->user_facts);
    ask_sender(s);
}

static void on_connect(void *arg, const struct answer *a) {
    struct arriving *s = arg;
    if (is_refusal(s, a)) return refuse(s, &a->reply);
    if (!s->in.user.len) return ask_sender(s);
    s->login = (struct login_facts){.mechanism = BYTES("PLAIN"), .user = arena_copy(&s->arena, s->in.user), .password_matches = true};
    users_hash(s->worker->site->users, s->login.user, &s->login.known);
    hook_authenticate(s->generation, &s->facts, &s->login, on_login, s);
}

void arrival_start(struct worker *w, const struct arrival *in, void (*done)(void *arg, const struct arrived *what), void *arg) {
    struct arriving *s = must_alloc(sizeof *s);
    uint64_t number = atomic_fetch_add(&w->gateway->counters.connections_in, 1) + 1;
    bool login = in->user.len > 0;
    s->worker = w;
    s->in = *in;
    s->done = done;
    s->arg = arg;
    s->taken = must_alloc((in->count + 1) * sizeof *s->taken);
    s->generation = generation_ref(w->generation);
    s->facts = (struct session_facts){
        .id = arena_format(&s->arena, "c-%" PRIx64, number), .listener = login ? BYTES("submission") : BYTES("relay"),
        .kind = login ? BYTES("submission") : BYTES("relay"), .client_ip = in->client_ip, .client_port = 40000,
        .local_ip = BYTES("127.0.0.1"), .local_port = login ? 587 : 25, .helo = BYTES("client.example"),
        .tls_version = login ? BYTES("TLSv1.3") : BYTES(""), .tls_cipher = login ? BYTES("TLS_AES_256_GCM_SHA384") : BYTES(""),
        .trusted_network = in->trusted,
    };
    hook_connect(s->generation, &s->facts, on_connect, s);
}
