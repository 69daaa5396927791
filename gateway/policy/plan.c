// SPDX-License-Identifier: MIT
#include "policy/plan.h"

#include "base/bug.h"
#include "base/jsonl.h"
#include "policy/spends.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

const char *const tls_level_name[] = {"none", "opportunistic", "encrypt", "verify", "dane", "dane_or_verify", NULL};
const char *const plan_kind_name[] = {"send", "wait", "hold", "suppress", "fail", "discard", NULL};
const char *const via_kind_name[] = {"direct", "relay", "lmtp", "capture", NULL};

enum { LANE_PART = 130 };

struct counted {
    struct plan plan; // first: a plan is its counted self
    atomic_int refs;
    struct arena arena;
};

const struct plan *plan_ref(const struct plan *plan) {
    atomic_fetch_add(&((struct counted *)plan)->refs, 1);
    return plan;
}

void plan_free(const struct plan **plan) {
    struct counted *gone = (struct counted *)*plan;
    *plan = NULL;
    if (!gone || atomic_fetch_sub(&gone->refs, 1) > 1) return;
    for (size_t i = 0; i < gone->plan.identity.key_count; i++) {
        struct sign_key *key = gone->plan.identity.keys[i];
        sign_key_free(&key);
    }
    plan_free(&gone->plan.otherwise);
    arena_release(&gone->arena);
    free(gone);
}

// ---- its text

static void put_reply(struct jsonl *j, const struct reply *r) {
    struct buf text = {0};
    reply_text(r, &text);
    jsonl_text(j, "reply", buf_bytes(&text));
    buf_release(&text);
}

static void put_oauth(struct jsonl *j, const struct oauth *o) {
    jsonl_open(j, "xoauth2", '{');
    jsonl_text(j, "token_url", o->token_url);
    jsonl_text(j, "client_id", o->client_id);
    if (o->scope.len) jsonl_text(j, "scope", o->scope);
    bool refreshes = o->refresh_token.len || o->refresh_token_file.len;
    jsonl_text(j, refreshes ? "refresh_token" : "client_secret", BYTES("***"));
    jsonl_close(j, '}');
}

static void put_mx(struct jsonl *j, struct bytes mx) {
    jsonl_open(j, "mx", '[');
    while (mx.len) jsonl_text(j, NULL, bytes_cut(&mx, ' '));
    jsonl_close(j, ']');
}

static void put_via(struct jsonl *j, const struct via *v) {
    jsonl_open(j, "via", '{');
    jsonl_textz(j, "kind", via_kind_name[v->kind]);
    if (v->kind != VIA_CAPTURE) jsonl_int(j, "port", v->port);
    if (v->host.len) jsonl_text(j, "host", v->host);
    if (v->mx.len) put_mx(j, v->mx);
    if (v->dir.len) jsonl_text(j, "dir", v->dir);
    if (v->implicit_tls) jsonl_bool(j, "implicit_tls", true);
    if (v->user.len) {
        jsonl_open(j, "login", '{');
        jsonl_text(j, "user", v->user);
        if (v->oauth.token_url.len)
            put_oauth(j, &v->oauth);
        else
            jsonl_text(j, v->login_xoauth2 ? "token" : "password", BYTES("***"));
        if (v->login_plaintext) jsonl_bool(j, "plaintext", true);
        jsonl_close(j, '}');
    }
    jsonl_close(j, '}');
}

void plan_put_identity(struct jsonl *j, const struct identity *id) {
    char text[ADDR_TEXT];
    if (id->source4.len) {
        addr_ip_text(&id->source4, text);
        jsonl_textz(j, "source4", text);
    }
    if (id->source6.len) {
        addr_ip_text(&id->source6, text);
        jsonl_textz(j, "source6", text);
    }
    if (id->helo.len) jsonl_text(j, "helo", id->helo);
    if (id->return_path.len) jsonl_text(j, "return_path", id->return_path);
    if (id->key_count) jsonl_open(j, "dkim", '[');
    for (size_t i = 0; i < id->key_count; i++) {
        char key[600];
        snprintf(key, sizeof key, "%s/%s", sign_key_domain(id->keys[i]), sign_key_selector(id->keys[i]));
        jsonl_textz(j, NULL, key);
    }
    if (id->key_count) jsonl_close(j, ']');
}

static void put_identity(struct jsonl *j, const struct identity *id) {
    jsonl_open(j, "identity", '{');
    jsonl_text(j, "name", id->name);
    plan_put_identity(j, id);
    jsonl_close(j, '}');
}

static void put_suppress(struct jsonl *j, const struct suppress *s) {
    jsonl_open(j, "suppress", '{');
    jsonl_text(j, "scope", s->scope);
    if (s->reason.len) jsonl_text(j, "reason", s->reason);
    if (s->expires_s) jsonl_int(j, "expires_s", s->expires_s);
    jsonl_close(j, '}');
}

// One order of fields and no white space: equal plans have equal text. Returns how much of it matters to a connection.
static size_t put_plan(struct buf *out, const struct plan *p) {
    struct jsonl j = jsonl_begin(out);
    size_t matters = 0;
    jsonl_textz(&j, "do", plan_kind_name[p->kind]);
    if (p->kind == PLAN_SEND) {
        put_via(&j, &p->via);
        if (p->identity.name.len) put_identity(&j, &p->identity);
        jsonl_textz(&j, "tls", tls_level_name[p->tls]);
        if (p->send_8bit) jsonl_bool(&j, "send_8bit", true);
        matters = out->len;
        jsonl_int(&j, "connections", p->connections);
        jsonl_int(&j, "per_connection", p->per_connection);
        if (p->priority != PRIORITY_NORMAL) jsonl_textz(&j, "priority", priority_name[p->priority]);
        if (p->turn.len) jsonl_text(&j, "turn", p->turn);
    } else if (p->kind == PLAN_WAIT) {
        jsonl_int(&j, "wait_s", p->wait_s);
    } else if (p->reply.code) {
        put_reply(&j, &p->reply);
    }
    if (p->suppress.scope.len) put_suppress(&j, &p->suppress);
    spends_put(&j, p->spends, p->spend_count);
    if (p->otherwise) jsonl_raw(&j, "otherwise", p->otherwise->json);
    jsonl_close(&j, '}');
    return matters;
}

// ---- its lane

// A part that is too long keeps its front and gets a hash: lanes stay apart, and keys stay within what the
// store takes.
static void put_part(struct buf *out, struct bytes part) {
    if (part.len <= LANE_PART) {
        buf_add(out, part);
        return;
    }
    buf_add(out, bytes_first(part, LANE_PART - 20));
    buf_format(out, "~%016llx", (unsigned long long)bytes_hash(part));
}

static void put_lane(struct buf *out, const struct plan *p, struct bytes domain) {
    const struct via *v = &p->via;
    size_t start = out->len;
    if (bytes_starts(p->identity.name, BYTES("limit:"))) buf_byte(out, '-'); // so begin the places where limits are waited for
    put_part(out, p->identity.name.len ? p->identity.name : BYTES("-"));
    buf_format(out, "|%s:", via_kind_name[v->kind]);
    put_part(out, v->kind == VIA_DIRECT ? domain : v->kind == VIA_CAPTURE ? v->dir : v->host);
    if (v->kind != VIA_CAPTURE) buf_format(out, ":%d", v->port);
    buf_format(out, "|%s", tls_level_name[p->tls]);
    if (v->implicit_tls) buf_addz(out, "+implicit");
    if (v->mx.len) buf_format(out, "+mx~%08x", (unsigned)bytes_hash(v->mx));
    if (v->user.len) {
        buf_byte(out, '|');
        buf_add(out, bytes_first(v->user, 60));
    }
    // An identity that a reload has changed must not find itself on connections of its old address.
    if (p->identity.source4.len || p->identity.source6.len || p->identity.helo.len) {
        struct buf rest = {0};
        struct jsonl j = jsonl_begin(&rest);
        put_identity(&j, &p->identity);
        buf_format(out, "|%08x", (unsigned)bytes_hash(buf_bytes(&rest)));
        buf_release(&rest);
    }
    bug_if(out->len - start > LANE_MAX);
}

// ---- making one

static void copy(struct arena *a, struct bytes *text) {
    if (text->len)
        *text = arena_copy(a, *text);
    else
        *text = BYTES("");
}

static void copy_oauth(struct arena *a, struct oauth *o) {
    struct bytes *texts[] = {&o->token_url, &o->client_id, &o->scope, &o->client_secret, &o->client_secret_file,
                             &o->refresh_token, &o->refresh_token_file};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        copy(a, texts[i]);
}

static void copy_keeps(struct arena *a, struct plan *p) {
    if (!p->keep_count) return;
    struct keep *keeps = arena_alloc(a, p->keep_count * sizeof *keeps);
    for (size_t i = 0; i < p->keep_count; i++) {
        keeps[i] = p->keeps[i];
        copy(a, &keeps[i].key);
        copy(a, &keeps[i].value);
    }
    p->keeps = keeps;
}

static void copy_parts(struct arena *a, struct plan *p) {
    struct bytes *texts[] = {
        &p->origin.version, &p->origin.where,         &p->origin.because, &p->via.host,
        &p->via.user,       &p->via.secret,           &p->via.dir,        &p->via.mx, &p->identity.name,
        &p->identity.helo,  &p->identity.return_path, &p->suppress.scope, &p->suppress.reason, &p->turn};
    copy_oauth(a, &p->via.oauth);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        copy(a, texts[i]);
    copy_keeps(a, p);
    struct sign_key *const *from = p->identity.keys;
    if (!p->identity.key_count) return;
    struct sign_key **keys = arena_alloc(a, p->identity.key_count * sizeof(struct sign_key *));
    for (size_t i = 0; i < p->identity.key_count; i++)
        keys[i] = sign_key_ref(from[i]);
    p->identity.keys = keys;
}

static uint64_t hash_both(struct bytes a, struct bytes b) {
    char both[16];
    put_be64(both, bytes_hash(a));
    put_be64(both + 8, bytes_hash(b));
    return bytes_hash(bytes_range(both, sizeof both));
}

// What its text does not show.
static void put_secrets(struct buf *out, const struct via *v) {
    const struct oauth *o = &v->oauth;
    const struct bytes *texts[] = {&v->secret, &o->client_secret, &o->client_secret_file, &o->refresh_token,
                                   &o->refresh_token_file};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buf_add(out, *texts[i]);
        buf_byte(out, 0);
    }
}

const struct plan *plan_make(const struct plan *draft, struct bytes domain) {
    struct counted *c = must_alloc(sizeof *c);
    c->refs = 1;
    c->plan = *draft;
    if (c->plan.kind == PLAN_SEND && c->plan.priority == PRIORITY_NONE) c->plan.priority = PRIORITY_NORMAL;
    copy_parts(&c->arena, &c->plan);
    c->plan.spends = spends_make(&c->arena, draft->spends, &c->plan.spend_count);
    if (draft->otherwise) plan_ref(draft->otherwise);
    struct buf text = {0};
    buf_reserve(&text, 512); // most fit: one piece of memory
    size_t matters = put_plan(&text, &c->plan), whole = text.len;
    c->plan.json = arena_copy(&c->arena, buf_bytes(&text));
    c->plan.lane = BYTES("");
    if (draft->kind == PLAN_SEND) {
        put_lane(&text, &c->plan, domain);
        c->plan.lane = arena_copy(&c->arena, bytes_skip(buf_bytes(&text), whole));
    }
    put_secrets(&text, &c->plan.via);
    c->plan.same = hash_both(bytes_first(buf_bytes(&text), matters), bytes_skip(buf_bytes(&text), whole));
    if (draft->otherwise) buf_format(&text, "%llx", (unsigned long long)draft->otherwise->group);
    c->plan.group = bytes_hash(buf_bytes(&text));
    buf_release(&text);
    return &c->plan;
}
