// SPDX-License-Identifier: MIT
#include "relay/login.h"

#include "base/map.h"
#include "script/json.h"

#include <stdlib.h>

enum { LOGINS_MAX = 10000 };

struct login {
    char *identity, *user, *host;
    bool xoauth2;
    int64_t accepted_ms, refused_ms; // 0: never
    struct reply refused;
};

struct logins {
    const struct clock *clock;
    struct map known;
};

static void add_name(struct buf *out, const struct plan *plan) {
    const struct via *v = &plan->via;
    buf_format(out, "%.*s%c%.*s%c%d", BYTES_FMT(plan->identity.name), 0, BYTES_FMT(v->user), 0,
               v->login_xoauth2);
}

static struct login *login_of(struct logins *ls, const struct plan *plan) {
    struct buf name = {0};
    add_name(&name, plan);
    struct login *login = map_get(&ls->known, buf_bytes(&name));
    if (!login && ls->known.count < LOGINS_MAX) {
        login = must_alloc(sizeof *login);
        login->identity = bytes_dupz(plan->identity.name);
        login->user = bytes_dupz(plan->via.user);
        login->xoauth2 = plan->via.login_xoauth2;
        map_put(&ls->known, buf_bytes(&name), login);
    }
    buf_release(&name);
    if (!login) return NULL;
    free(login->host); // where it was seen last
    login->host = bytes_dupz(plan->via.host);
    return login;
}

void logins_accepted(struct logins *ls, const struct plan *plan) {
    struct login *login = login_of(ls, plan);
    if (login) login->accepted_ms = clock_ms(ls->clock);
}

void logins_refused(struct logins *ls, const struct plan *plan, const struct reply *why) {
    struct login *login = login_of(ls, plan);
    if (!login) return;
    login->refused_ms = clock_ms(ls->clock);
    login->refused = *why;
}

void logins_show(struct logins *ls, void (*row)(void *arg, struct bytes json), void *arg) {
    size_t at = 0;
    void *value;
    struct buf out = {0}, said = {0};
    while (map_next(&ls->known, &at, NULL, &value)) {
        const struct login *login = value;
        buf_reset(&out);
        buf_reset(&said);
        if (login->refused_ms) reply_text(&login->refused, &said);
        struct jsonl j = jsonl_begin(&out);
        jsonl_textz(&j, "identity", login->identity);
        jsonl_textz(&j, "login", login->user);
        jsonl_textz(&j, "kind", login->xoauth2 ? "xoauth2" : "password");
        jsonl_open(&j, "session", '{');
        jsonl_textz(&j, "host", login->host);
        if (login->accepted_ms) jsonl_time(&j, "accepted_at", login->accepted_ms);
        if (login->refused_ms) jsonl_time(&j, "refused_at", login->refused_ms);
        if (login->refused_ms) jsonl_text(&j, "refused", buf_bytes(&said));
        jsonl_close(&j, '}');
        jsonl_end(&j);
        row(arg, buf_bytes(&out));
    }
    buf_release(&out);
    buf_release(&said);
}

struct logins *logins_new(const struct clock *clock) {
    struct logins *ls = must_alloc(sizeof *ls);
    ls->clock = clock;
    return ls;
}

void logins_free(struct logins **at) {
    struct logins *ls = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!ls) return;
    while (map_next(&ls->known, &i, NULL, &value)) {
        struct login *login = value;
        free(login->identity);
        free(login->user);
        free(login->host);
        free(login);
    }
    map_release(&ls->known);
    free(ls);
}

// ---- joining ------------------------------------------------------------------------------------

// A login as several workers know it: the owner of its token, and those of its lanes.
struct joined {
    struct joined *next; // of its identity
    struct bytes identity, user, kind;
    struct bytes session, token; // JSON, "" for none
    bool shown;
};

struct joining {
    struct arena arena;
    struct map by_name;
    struct map by_identity; // first of them
    void (*row)(void *arg, struct bytes json);
    void *arg;
};

static struct bytes text_of(struct joining *all, const struct json *object, const char *name) {
    struct bytes text;
    return json_text(json_get(object, name), &text) && text.len ? arena_copy(&all->arena, text) : BYTES("");
}

static struct joined *joined_of(struct joining *all, const struct json *object) {
    struct joined *made = arena_alloc(&all->arena, sizeof *made);
    *made = (struct joined){.identity = text_of(all, object, "identity"),
                            .user = text_of(all, object, "login"),
                            .kind = text_of(all, object, "kind"),
                            .session = BYTES(""),
                            .token = BYTES("")};
    struct bytes name = arena_format(&all->arena, "%.*s%c%.*s%c%.*s", BYTES_FMT(made->identity), 0,
                                     BYTES_FMT(made->user), 0, BYTES_FMT(made->kind));
    struct joined *known = map_get(&all->by_name, name);
    if (known) return known;
    map_put(&all->by_name, name, made);
    made->next = map_put(&all->by_identity, made->identity, made);
    return made;
}

// Of two sessions the one that was more lately accepted or refused tells more.
static struct bytes latest(const struct json *session) {
    struct bytes accepted = BYTES(""), refused = BYTES("");
    json_text(json_get(session, "accepted_at"), &accepted);
    json_text(json_get(session, "refused_at"), &refused);
    return bytes_compare(accepted, refused) > 0 ? accepted : refused; // ISO 8601 sorts
}

static void take_session(struct joining *all, struct joined *login, const struct json *session) {
    struct json *was = login->session.len ? json_parse(login->session, NULL) : NULL;
    struct buf text = {0};
    if (!was || bytes_compare(latest(session), latest(was)) > 0) {
        json_write(session, &text);
        login->session = arena_copy(&all->arena, buf_bytes(&text));
    }
    buf_release(&text);
    json_free(&was);
}

static void take_login(struct joining *all, struct bytes line) {
    struct json *object = json_parse(line, NULL);
    if (object) {
        struct joined *login = joined_of(all, object);
        struct buf text = {0};
        if (json_get(object, "session")) take_session(all, login, json_get(object, "session"));
        if (json_get(object, "token")) {
            json_write(json_get(object, "token"), &text);
            login->token = arena_copy(&all->arena, buf_bytes(&text));
        }
        buf_release(&text);
    }
    json_free(&object);
}

static void put_logins(struct jsonl *j, struct joined *login) {
    jsonl_open(j, "logins", '[');
    for (; login; login = login->next) {
        login->shown = true;
        jsonl_open(j, NULL, '{');
        jsonl_text(j, "login", login->user);
        jsonl_text(j, "kind", login->kind);
        if (login->token.len) jsonl_raw(j, "token", login->token);
        if (login->session.len) jsonl_raw(j, "session", login->session);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}

static void put_identity(struct joining *all, struct bytes line) {
    struct json *object = json_parse(line, NULL);
    struct bytes name;
    struct buf out = {0};
    if (json_text(json_get(object, "identity"), &name)) {
        buf_add(&out, bytes_first(line, line.len - 1)); // all but its '}'
        struct jsonl j = {.out = &out, .comma = true};
        put_logins(&j, map_get(&all->by_identity, name));
        jsonl_end(&j);
        all->row(all->arg, buf_bytes(&out));
    }
    buf_release(&out);
    json_free(&object);
}

// Of identities that the policy does not have (any more), and of plans without one.
static void put_others(struct joining *all) {
    size_t at = 0;
    void *value;
    struct buf out = {0};
    while (map_next(&all->by_identity, &at, NULL, &value)) {
        struct joined *first = value;
        if (first->shown) continue;
        buf_reset(&out);
        struct jsonl j = jsonl_begin(&out);
        jsonl_text(&j, "identity", first->identity);
        put_logins(&j, first);
        jsonl_end(&j);
        all->row(all->arg, buf_bytes(&out));
    }
    buf_release(&out);
}

void logins_join(struct bytes identities, struct bytes logins, void (*row)(void *arg, struct bytes json),
                 void *arg) {
    struct joining all = {.row = row, .arg = arg};
    while (logins.len)
        take_login(&all, bytes_cut(&logins, '\n'));
    while (identities.len)
        put_identity(&all, bytes_cut(&identities, '\n'));
    put_others(&all);
    map_release(&all.by_name);
    map_release(&all.by_identity);
    arena_release(&all.arena);
}
