// SPDX-License-Identifier: MIT
// core.route: plans and ways out.
#include "policy/made.h"
#include "policy/plan.h"
#include "policy/wall.h"

#include "mail/address.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

enum { PORT_MAX = 65535, SECRET_MAX = 8000 };

// ---- ways out

enum { DIRECT_PORT, DIRECT_MX, MX_MAX = 64 };
static const struct made_row direct_rows[] = {[DIRECT_PORT] = {"port", MADE_INT, .min = 1, .max = PORT_MAX},
                                              [DIRECT_MX] = {"mx", MADE_TEXTS},
                                              {0}};

enum { OAUTH_TOKEN_URL, OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET, OAUTH_CLIENT_SECRET_FILE, OAUTH_REFRESH_TOKEN,
       OAUTH_REFRESH_TOKEN_FILE, OAUTH_SCOPE };
static const struct made_row oauth_rows[] = {
    [OAUTH_TOKEN_URL] = {"token_url", MADE_TEXT, .required = true},
    [OAUTH_CLIENT_ID] = {"client_id", MADE_TEXT, .required = true},
    [OAUTH_CLIENT_SECRET] = {"client_secret", MADE_TEXT},
    [OAUTH_CLIENT_SECRET_FILE] = {"client_secret_file", MADE_TEXT},
    [OAUTH_REFRESH_TOKEN] = {"refresh_token", MADE_TEXT, .max = SECRET_MAX},
    [OAUTH_REFRESH_TOKEN_FILE] = {"refresh_token_file", MADE_TEXT},
    [OAUTH_SCOPE] = {"scope", MADE_TEXT},
    {0},
};
static const struct made_shape oauth_shape = {"xoauth2", 0, false, oauth_rows, NULL};

enum { LOGIN_USER, LOGIN_PASSWORD, LOGIN_TOKEN, LOGIN_OAUTH, LOGIN_PLAINTEXT };
static const struct made_row login_rows[] = {
    [LOGIN_USER] = {"user", MADE_TEXT, .required = true},
    [LOGIN_PASSWORD] = {"password", MADE_TEXT},
    [LOGIN_TOKEN] = {"token", MADE_TEXT, .max = SECRET_MAX},
    [LOGIN_OAUTH] = {"xoauth2", MADE_INNER, .inner = &oauth_shape},
    [LOGIN_PLAINTEXT] = {"plaintext", MADE_BOOL},
    {0},
};
static const struct made_shape login_shape = {"login", 0, false, login_rows, NULL};

enum { RELAY_HOST, RELAY_PORT, RELAY_TLS, RELAY_LOGIN };
enum relay_tls { RELAY_NONE, RELAY_STARTTLS, RELAY_IMPLICIT };
static const char *const relay_tls_name[] = {"none", "starttls", "implicit", NULL};
static const struct made_row relay_rows[] = {
    [RELAY_HOST] = {"host", MADE_TEXT, .required = true},
    [RELAY_PORT] = {"port", MADE_INT, .min = 1, .max = PORT_MAX},
    [RELAY_TLS] = {"tls", MADE_CHOICE, .choices = relay_tls_name},
    [RELAY_LOGIN] = {"login", MADE_INNER, .inner = &login_shape},
    {0},
};

enum { LMTP_HOST, LMTP_PORT };
static const struct made_row lmtp_rows[] = {
    [LMTP_HOST] = {"host", MADE_TEXT, .required = true},
    [LMTP_PORT] = {"port", MADE_INT, .min = 1, .max = PORT_MAX},
    {0},
};

enum { CAPTURE_DIR };
static const struct made_row capture_rows[] = {[CAPTURE_DIR] = {"dir", MADE_TEXT}, {0}};

static void check_direct(lua_State *l, int i);
static void check_via(lua_State *l, int i);
static void check_send(lua_State *l, int i);

static const struct made_shape via_shapes[] = {
    [VIA_DIRECT] = {"route.direct", MADE_VIA, false, direct_rows, check_direct},
    [VIA_RELAY] = {"route.relay", MADE_VIA, false, relay_rows, check_via},
    [VIA_LMTP] = {"route.lmtp", MADE_VIA, false, lmtp_rows, check_via},
    [VIA_CAPTURE] = {"route.capture", MADE_VIA, false, capture_rows, check_via},
};

// ---- plans

enum { LANE_CONNECTIONS, LANE_PER_CONNECTION };
static const struct made_row lane_rows[] = {
    [LANE_CONNECTIONS] = {"connections", MADE_INT, .min = 1, .max = 1000},
    [LANE_PER_CONNECTION] = {"per_connection", MADE_INT, .min = 1, .max = 1000000},
    {0},
};
static const struct made_shape lane_shape = {"lane", 0, false, lane_rows, NULL};

enum { SEND_VIA, SEND_IDENTITY, SEND_LANE, SEND_TLS, SEND_BECAUSE, SEND_SPEND, SEND_PRIORITY, SEND_TURN, SEND_8BIT, SEND_SHELF };
static const char *const priorities[] = {"urgent", "normal", "bulk", NULL};
static const struct made_row send_rows[] = {
    [SEND_VIA] = {"via", MADE_MADE, .required = true, .groups = MADE_VIA},
    [SEND_IDENTITY] = {"identity", MADE_HANDLE, .handle = identity_kind},
    [SEND_LANE] = {"lane", MADE_INNER, .inner = &lane_shape},
    [SEND_TLS] = {"tls", MADE_CHOICE, .choices = tls_level_name},
    [SEND_BECAUSE] = {"because", MADE_TEXT},
    [SEND_SPEND] = {"spend", MADE_LIST, .max = SPENDS_MAX, .groups = MADE_LIMIT},
    [SEND_PRIORITY] = {"priority", MADE_CHOICE, .choices = priorities},
    [SEND_TURN] = {"turn", MADE_TEXT, .max = TURN_MAX},
    [SEND_8BIT] = {"send_8bit", MADE_BOOL},
    [SEND_SHELF] = {"shelf", MADE_LIST, .max = KEEPS_MAX, .groups = MADE_KEEP},
    {0},
};

enum { WAIT_SECONDS, WAIT_BECAUSE };
static const struct made_row wait_rows[] = {
    [WAIT_SECONDS] = {"seconds", MADE_SECONDS, .required = true, .min = 1, .max = 30.0 * 86400},
    [WAIT_BECAUSE] = {"because", MADE_TEXT, .required = true},
    {0},
};

enum { FAIL_REPLY, FAIL_BECAUSE, FAIL_SUPPRESS };
static const char *const permanent[] = {"5", NULL};
static const struct made_row fail_rows[] = {
    [FAIL_REPLY] = {"reply", MADE_REPLY, .required = true, .choices = permanent},
    [FAIL_BECAUSE] = {"because", MADE_TEXT},
    [FAIL_SUPPRESS] = {"suppress", MADE_INNER, .inner = &suppress_shape},
    {0},
};

enum { SUPPRESS_BECAUSE, SUPPRESS_REPLY, SUPPRESS_ENTRY };
static const struct made_row suppress_rows[] = {
    [SUPPRESS_BECAUSE] = {"because", MADE_TEXT, .required = true},
    [SUPPRESS_REPLY] = {"reply", MADE_REPLY, .choices = permanent},
    [SUPPRESS_ENTRY] = {"suppress", MADE_INNER, .inner = &suppress_shape},
    {0},
};

static const struct made_row because_rows[] = {{"because", MADE_TEXT, .required = true}, {0}};

static const struct made_shape plan_shapes[] = {
    [PLAN_SEND] = {"route.send", MADE_PLAN, false, send_rows, check_send},
    [PLAN_WAIT] = {"route.wait", MADE_PLAN, true, wait_rows},
    [PLAN_HOLD] = {"route.hold", MADE_PLAN, true, because_rows},
    [PLAN_SUPPRESS] = {"route.suppress", MADE_PLAN, true, suppress_rows},
    [PLAN_FAIL] = {"route.fail", MADE_PLAN, true, fail_rows},
    [PLAN_DISCARD] = {"route.discard", MADE_PLAN, true, because_rows},
};

// ---- alternatives

enum { FIRST_PLANS, ALTERNATIVES_MAX = 16 };
static const struct made_row first_rows[] = {
    [FIRST_PLANS] = {"plans", MADE_LIST, .required = true, .min = 1, .max = ALTERNATIVES_MAX, .groups = MADE_PLAN}, {0}};

static void check_first(lua_State *l, int i) {
    made_push(l, i, FIRST_PLANS);
    int list = lua_gettop(l), count = (int)lua_rawlen(l, list);
    for (int k = 1; k <= count; k++) {
        lua_rawgeti(l, list, k);
        const struct made_shape *shape = made_shape_at(l, -1);
        bool sends = shape == &plan_shapes[PLAN_SEND], last = k == count && k > 1 && shape->rows != first_rows;
        if (!sends && !last)
            made_refuse(l, i, "plans: number %d is %s; all are route.send, and the last may say what to do where none has room",
                        k, shape->name);
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
}

static const struct made_shape first_shape = {"route.first", MADE_PLAN, true, first_rows, check_first};

int open_route(lua_State *l) {
    lua_newtable(l);
    for (size_t i = 0; i < sizeof via_shapes / sizeof *via_shapes; i++) {
        made_push_constructor(l, &via_shapes[i]);
        lua_setfield(l, -2, strchr(via_shapes[i].name, '.') + 1);
    }
    for (size_t i = 0; i < sizeof plan_shapes / sizeof *plan_shapes; i++) {
        made_push_constructor(l, &plan_shapes[i]);
        lua_setfield(l, -2, strchr(plan_shapes[i].name, '.') + 1);
    }
    made_push_constructor(l, &first_shape);
    lua_setfield(l, -2, "first");
    return 1;
}

// ---- reading. Texts of a draft point into the made values, which are on the stack until plan_make has
// copied them.

static void read_host(lua_State *l, struct via *v, int i) {
    v->host = made_text(l, i, 0); // every shape with a host has it first
    for (size_t k = 0; k < v->host.len; k++) {
        unsigned char c = (unsigned char)v->host.at[k];
        if (c <= ' ' || strchr("<>()@,;\"|", c)) made_refuse(l, i, "host: '%s' is no host name", v->host.at);
    }
}

// While the scripts load, a file that is not there is an error; later its reader says so.
static void check_file(lua_State *l, int i, const char *field, struct bytes file) {
    const struct generation *g = generation_of(l);
    char path[PATH_MAX];
    if (!file.len || !g->loading) return;
    generation_path(g, file.at, path);
    if (access(path, R_OK) != 0) made_refuse(l, i, "login.xoauth2.%s: %s: %s", field, path, strerror(errno));
}

static void check_oauth(lua_State *l, int i, const struct oauth *o) {
    struct fetch_place place;
    struct err err;
    if (!fetch_place(o->token_url, &place, &err)) made_refuse(l, i, "login.xoauth2.token_url: %s", err.text);
    if (!place.tls) made_refuse(l, i, "login.xoauth2.token_url: only https is possible");
    bool secret = o->client_secret.len || o->client_secret_file.len, token = o->refresh_token.len || o->refresh_token_file.len;
    if (o->client_secret.len && o->client_secret_file.len)
        made_refuse(l, i, "login.xoauth2: client_secret or client_secret_file, not both");
    if (o->refresh_token.len && o->refresh_token_file.len)
        made_refuse(l, i, "login.xoauth2: refresh_token or refresh_token_file, not both");
    if (!secret && !token)
        made_refuse(l, i, "login.xoauth2: a refresh_token is expected, or the client_secret of a client that sends for itself "
                          "(each may be in a file: refresh_token_file, client_secret_file)");
    check_file(l, i, "client_secret_file", o->client_secret_file);
    check_file(l, i, "refresh_token_file", o->refresh_token_file);
}

static void read_oauth(lua_State *l, struct via *v, int i, int login) {
    if (!made_push(l, login, LOGIN_OAUTH)) return;
    int row = lua_gettop(l);
    v->oauth = (struct oauth){
        .token_url = made_text(l, row, OAUTH_TOKEN_URL), .client_id = made_text(l, row, OAUTH_CLIENT_ID),
        .client_secret = made_text(l, row, OAUTH_CLIENT_SECRET),
        .client_secret_file = made_text(l, row, OAUTH_CLIENT_SECRET_FILE),
        .refresh_token = made_text(l, row, OAUTH_REFRESH_TOKEN),
        .refresh_token_file = made_text(l, row, OAUTH_REFRESH_TOKEN_FILE), .scope = made_text(l, row, OAUTH_SCOPE)};
    lua_pop(l, 1);
    check_oauth(l, i, &v->oauth);
}

static void read_login(lua_State *l, struct via *v, int i) {
    if (!made_push(l, i, RELAY_LOGIN)) return;
    int login = lua_gettop(l);
    struct bytes password = made_text(l, login, LOGIN_PASSWORD), token = made_text(l, login, LOGIN_TOKEN);
    read_oauth(l, v, i, login);
    if ((password.len > 0) + (token.len > 0) + (v->oauth.token_url.len > 0) != 1)
        made_refuse(l, i, "login: one of password, token and xoauth2 is expected");
    v->user = made_text(l, login, LOGIN_USER);
    v->login_xoauth2 = !password.len;
    v->secret = token.len ? token : password;
    v->login_plaintext = made_bool(l, login, LOGIN_PLAINTEXT);
    lua_pop(l, 1);
}

// The TLS level that a plan has where route.send does not say: credentials and relays want a proven peer.
static enum tls_level read_relay(lua_State *l, struct via *v, int i) {
    enum relay_tls tls = (enum relay_tls)made_int(l, i, RELAY_TLS, RELAY_STARTTLS);
    read_host(l, v, i);
    v->implicit_tls = tls == RELAY_IMPLICIT;
    v->port = (int)made_int(l, i, RELAY_PORT, tls == RELAY_IMPLICIT ? 465 : 587);
    read_login(l, v, i);
    return tls == RELAY_NONE ? LEVEL_NONE : LEVEL_VERIFY;
}

static void read_capture(lua_State *l, struct via *v, int i) {
    v->dir = made_text(l, i, CAPTURE_DIR);
    struct bytes rest = v->dir;
    bool good = v->dir.len <= 200;
    while (rest.len && good) {
        struct bytes part = bytes_cut(&rest, '/');
        good = part.len && part.at[0] != '.';
    }
    if (!good) made_refuse(l, i, "dir: a name below the capture folder is expected, not '%s'", v->dir.at);
}

static enum tls_level read_via(lua_State *l, struct via *v, int i) {
    const struct made_shape *shape = made_shape_at(l, i);
    *v = (struct via){.kind = (enum via_kind)(shape - via_shapes)};
    switch (v->kind) {
    case VIA_DIRECT:
        v->port = (int)made_int(l, i, DIRECT_PORT, 25);
        v->mx = made_text(l, i, DIRECT_MX);
        return LEVEL_OPPORTUNISTIC;
    case VIA_RELAY:
        return read_relay(l, v, i);
    case VIA_LMTP:
        read_host(l, v, i);
        v->port = (int)made_int(l, i, LMTP_PORT, 24);
        return LEVEL_NONE;
    case VIA_CAPTURE:
        read_capture(l, v, i);
        break;
    }
    return LEVEL_NONE;
}

static void check_tls(lua_State *l, int i, const struct plan *p, enum tls_level natural) {
    const struct via *v = &p->via;
    bool relay_without = v->kind == VIA_RELAY && natural == LEVEL_NONE;
    // A host that the operator names has a certificate that the operator can have verified; and no login may hang on what DNS says.
    if (v->kind != VIA_DIRECT && tls_level_asks_dane(p->tls))
        made_refuse(l, i, "tls: \"%s\" is for route.direct; \"verify\" for a host by name", tls_level_name[p->tls]);
    if (relay_without && p->tls != LEVEL_NONE)
        made_refuse(l, i, "tls: \"%s\", but the relay says tls = \"none\"", tls_level_name[p->tls]);
    if (v->implicit_tls && p->tls < LEVEL_ENCRYPT)
        made_refuse(l, i, "tls: \"%s\", but the relay says tls = \"implicit\"", tls_level_name[p->tls]);
    if (v->user.len && p->tls < LEVEL_ENCRYPT && !v->login_plaintext)
        made_refuse(l, i,
                    "a login without certain TLS would show the password to the network "
                    "(login.plaintext = true says that this is all right)");
}

// One name, or all right below one: "*.example.net" (RFC 8461 4.1). It is at the top.
static void add_mx(lua_State *l, int i, struct buf *all) {
    struct bytes text = {.at = NULL};
    if (lua_type(l, -1) != LUA_TSTRING) made_refuse(l, i, "mx: a host name, as \"*.example.net\", or a list of them is expected");
    text.at = lua_tolstring(l, -1, &text.len);
    bool below = bytes_starts(text, BYTES("*."));
    struct bytes name = bytes_skip(text, below ? 2 : 0);
    if (name.len && name.at[name.len - 1] == '.') name.len--;
    if (!domain_is_valid(name)) made_refuse(l, i, "mx: '%s' is no host name", text.at);
    buf_format(all, "%s%s", all->len ? " " : "", below ? "*." : "");
    for (size_t k = 0; k < name.len; k++) buf_byte(all, (char)tolower((unsigned char)name.at[k]));
}

// Kept as one text: what the script does to its own table afterwards changes nothing.
static void check_direct(lua_State *l, int i) {
    struct buf *all = &generation_of(l)->scratch;
    if (!made_push(l, i, DIRECT_MX)) return;
    bool one = !lua_istable(l, -1);
    lua_Integer count = one ? 1 : (lua_Integer)lua_rawlen(l, -1);
    if (count < 1 || count > MX_MAX) made_refuse(l, i, "mx: 1 to %d names are possible", MX_MAX);
    buf_reset(all);
    for (lua_Integer k = 1; k <= count; k++) {
        if (one) lua_pushvalue(l, -1);
        else lua_rawgeti(l, -1, k);
        add_mx(l, i, all);
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
    lua_pushlstring(l, all->at, all->len);
    lua_setiuservalue(l, i, DIRECT_MX + 1);
}

static void check_via(lua_State *l, int i) {
    read_via(l, &(struct via){0}, i);
}

static void read_way(lua_State *l, struct plan *p, int i) {
    made_push(l, i, SEND_VIA);
    enum tls_level natural = read_via(l, &p->via, lua_gettop(l));
    lua_pop(l, 1);
    p->tls = (enum tls_level)made_int(l, i, SEND_TLS, natural);
    // A capture stands in for another way while a policy is tried: the tls of that one may stay written, and means nothing.
    if (p->via.kind == VIA_CAPTURE) p->tls = LEVEL_NONE;
    check_tls(l, i, p, natural);
}

static void check_send(lua_State *l, int i) {
    read_way(l, &(struct plan){0}, i);
}

static void read_send(lua_State *l, struct plan *p, struct hook_ticket *t, int i) {
    read_way(l, p, i);
    p->spends = spends_read(l, t, i, SEND_SPEND, &p->spend_count);
    p->connections = 4;
    p->per_connection = 100;
    if (made_push(l, i, SEND_LANE)) {
        p->connections = (int)made_int(l, lua_gettop(l), LANE_CONNECTIONS, p->connections);
        p->per_connection = (int)made_int(l, lua_gettop(l), LANE_PER_CONNECTION, p->per_connection);
        lua_pop(l, 1);
    }
    p->priority = (enum priority)(PRIORITY_URGENT + made_int(l, i, SEND_PRIORITY, PRIORITY_NORMAL - PRIORITY_URGENT));
    p->send_8bit = made_bool(l, i, SEND_8BIT);
    p->turn = made_text(l, i, SEND_TURN);
    p->keeps = keeps_read(l, t, i, SEND_SHELF, &p->keep_count);
    if (made_push(l, i, SEND_IDENTITY)) identity_lend(l, lua_gettop(l), &p->identity);
    if (p->via.kind == VIA_DIRECT && !t->facts.recipient.domain.len)
        made_refuse(l, i, "the recipient's address has no domain to send to directly");
}

static const struct reply suppressed = {550, {5, 7, 1}, "the recipient is on the suppression list"};

// The plan at i, before the one that the ticket has: that one is tried when this one has no room.
static void read_plan(lua_State *l, struct hook_ticket *t, int i) {
    struct plan draft = {.kind = (enum plan_kind)(made_shape_at(l, i) - plan_shapes), .otherwise = t->plan};
    int because = 0;
    if (draft.kind == PLAN_SEND) {
        because = SEND_BECAUSE;
        read_send(l, &draft, t, i);
    } else if (draft.kind == PLAN_WAIT) {
        because = WAIT_BECAUSE;
        draft.wait_s = made_int(l, i, WAIT_SECONDS, 0);
    } else if (draft.kind == PLAN_FAIL) {
        because = FAIL_BECAUSE;
        draft.reply = made_reply(l, i, FAIL_REPLY);
        draft.suppress = suppress_read(l, i, FAIL_SUPPRESS);
    } else if (draft.kind == PLAN_SUPPRESS) {
        draft.reply = made_has(l, i, SUPPRESS_REPLY) ? made_reply(l, i, SUPPRESS_REPLY) : suppressed;
        draft.suppress = suppress_read(l, i, SUPPRESS_ENTRY);
    }
    draft.origin = origin_at(l, t, &t->arena, i, made_text(l, i, because));
    const struct plan *plan = plan_make(&draft, t->facts.recipient.domain);
    plan_free(&t->plan);
    t->plan = plan;
}

static void read_first(lua_State *l, struct hook_ticket *t, int i) {
    made_push(l, i, FIRST_PLANS);
    int list = lua_gettop(l);
    for (lua_Integer k = (lua_Integer)lua_rawlen(l, list); k > 0; k--) {
        lua_rawgeti(l, list, k);
        read_plan(l, t, lua_gettop(l));
        lua_pop(l, 1);
    }
}

void plan_read(lua_State *l, struct hook_ticket *t) {
    int i = lua_gettop(l);
    const struct made_shape *shape = made_shape_at(l, i);
    if (!shape || shape->group != MADE_PLAN)
        luaL_error(l, "route returned %s%s; a plan is expected (route.send{...}, route.hold(...), ...)",
                   shape || lua_isnil(l, i) ? "" : "a ",
                   shape             ? shape->name
                   : lua_isnil(l, i) ? "nothing"
                                     : luaL_typename(l, i));
    if (shape == &first_shape) read_first(l, t, i);
    else read_plan(l, t, i);
}
