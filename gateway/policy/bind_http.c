// SPDX-License-Identifier: MIT
// The table `http`: request{...} asks a web server and suspends the hook until the answer is there.
//
// Only https, and only hosts that the configuration names (http.hosts): what a script sends where is for the
// operator to allow, not for whoever may write its data. Everything else that can go wrong is nil and words.
#include "base/jsonl.h"
#include "policy/lookup.h"
#include "policy/made.h"
#include "policy/wall.h"

#include <stdio.h>

// What a request costs of the hook's steps, whatever it brings: with the usual budget about fifty can be
// made.
enum { STEPS = 100 * 1000, HEADERS_MAX = 50, TIMEOUT_MAX_S = 300 };

enum { REQUEST_URL, REQUEST_METHOD, REQUEST_HEADERS, REQUEST_BODY, REQUEST_TIMEOUT };
static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", NULL};
static const struct made_row request_rows[] = {
    [REQUEST_URL] = {"url", MADE_TEXT, .required = true},
    [REQUEST_METHOD] = {"method", MADE_CHOICE, .choices = methods},
    [REQUEST_HEADERS] = {"headers", MADE_TABLE},
    [REQUEST_BODY] = {"body", MADE_BYTES},
    [REQUEST_TIMEOUT] = {"timeout", MADE_SECONDS, .min = 1, .max = TIMEOUT_MAX_S},
    {0},
};
static const struct made_shape request_shape = {"http.request", 0, false, request_rows, NULL};

static void on_answer(void *arg, const struct fetch_answer *answer) {
    struct hook_ticket *t = arg;
    t->fetch = NULL;
    t->fetch_answer = answer;
    ticket_go_on(t);
}

// A field that came more than once is joined by commas (RFC 9110 5.3).
static void push_headers(lua_State *l, const struct fetch_answer *a) {
    lua_createtable(l, 0, (int)a->header_count);
    for (size_t i = 0; i < a->header_count; i++) {
        const struct fetch_header *h = &a->headers[i];
        lua_pushlstring(l, h->name.at, h->name.len);
        lua_pushvalue(l, -1);
        bool again = lua_rawget(l, -3) == LUA_TSTRING;
        if (again) lua_pushliteral(l, ", ");
        lua_pushlstring(l, h->value.at, h->value.len);
        if (again)
            lua_concat(l, 3);
        else
            lua_remove(l, -2);
        lua_rawset(l, -3);
    }
}

// {"requested":"POST https://api.example.com/x","status":200}, or why not. What follows a '?' may be nobody
// else's affair.
static void tell_witness(lua_State *l, struct hook_ticket *t, const struct fetch_answer *a) {
    const struct witness *w = t->g->options.witness;
    if (!w || !w->looked) return;
    struct bytes url = made_text(l, 2, REQUEST_URL);
    ptrdiff_t query = bytes_find(url, '?');
    struct buf *scratch = &t->g->scratch, line = {0};
    buf_reset(scratch);
    buf_format(scratch, "%s %.*s", methods[made_int(l, 2, REQUEST_METHOD, 0)],
               BYTES_FMT(bytes_first(url, query < 0 ? url.len : (size_t)query)));
    struct jsonl j = jsonl_begin(&line);
    jsonl_text(&j, "requested", buf_bytes(scratch));
    if (a->status)
        jsonl_int(&j, "status", a->status);
    else
        jsonl_textz(&j, "failed", a->why);
    jsonl_close(&j, '}');
    w->looked(w->arg, buf_bytes(&line));
    buf_release(&line);
}

// What follows a '?', and what is sent, may be nobody else's affair: as a hash.
static struct bytes question_of(lua_State *l, char out[LOOKUP_QUESTION]) { // the request is at 2
    struct bytes url = made_text(l, 2, REQUEST_URL), body = made_text(l, 2, REQUEST_BODY);
    ptrdiff_t query = bytes_find(url, '?');
    int len = snprintf(out, LOOKUP_QUESTION, "%s #%016llx%016llx %.*s", methods[made_int(l, 2, REQUEST_METHOD, 0)],
                       (unsigned long long)bytes_hash(url), (unsigned long long)bytes_hash(body),
                       BYTES_FMT(bytes_first(url, query < 0 ? url.len : (size_t)query)));
    return bytes_range(out, len < LOOKUP_QUESTION ? (size_t)len : LOOKUP_QUESTION - 1);
}

static int after_wait(lua_State *l, int status, intptr_t context) {
    (void)status;
    (void)context;
    struct hook_ticket *t = ticket_of(l);
    const struct fetch_answer *a = t->fetch_answer;
    if (!a) return luaL_error(l, "http: this request was given up");
    tell_witness(l, t, a);
    char text[LOOKUP_QUESTION];
    struct bytes question = question_of(l, text);
    if (!a->status) {
        lua_pushnil(l);
        lua_pushstring(l, a->why);
        lua_pushboolean(l, a->temporary);
        lookup_keep_failure(l, question);
        return 3;
    }
    vm_charge(l, a->body.len / 16);
    lua_createtable(l, 0, 3);
    lua_pushinteger(l, a->status);
    lua_setfield(l, -2, "status");
    lua_pushlstring(l, a->body.len ? a->body.at : "", a->body.len);
    lua_setfield(l, -2, "body");
    push_headers(l, a);
    lua_setfield(l, -2, "headers");
    lookup_keep(l, question, -1);
    return 1;
}

// ---- where it may go

// `hosts` is the configuration's list: "api.example.com", "*.example.org" (what is below it), "mta-sts.*" (that name in
// any domain), "api.example.com:8443".
static bool is_allowed(const char *hosts, const struct fetch_place *p) {
    char name[300];
    bool six = p->literal && strchr(p->host, ':');
    snprintf(name, sizeof name, "%s%s%s", six ? "[" : "", p->host, six ? "]" : "");
    if (p->port != 443) snprintf(name + strlen(name), sizeof name - strlen(name), ":%u", p->port);
    for (struct bytes rest = bytes_of(hosts); rest.len;) {
        struct bytes host = bytes_cut(&rest, ',');
        if (bytes_ends_nocase(host, BYTES(":443"))) host.len -= 4;
        if (bytes_equal_nocase(host, bytes_of(name))) return true;
        bool below = bytes_starts(host, BYTES("*.")) && !p->literal;
        if (below && bytes_ends_nocase(bytes_of(name), bytes_skip(host, 1))) return true;
        bool anywhere = bytes_ends_nocase(host, BYTES(".*")) && !p->literal && p->port == 443;
        if (anywhere && bytes_starts_nocase(bytes_of(name), bytes_first(host, host.len - 1))) return true;
    }
    return false;
}

static void check_place(lua_State *l, const char *hosts, int made) {
    struct fetch_place place;
    struct err err;
    if (!fetch_place(made_text(l, made, REQUEST_URL), &place, &err))
        made_refuse(l, made, "url: %s", err.text);
    if (!place.tls) made_refuse(l, made, "url: only https is possible");
    if (!is_allowed(hosts, &place))
        made_refuse(l, made, "url: the configuration does not allow '%s' (http.hosts lists who may be asked)",
                    place.host);
}

// ---- the request

// The table of headers is at the top. Texts are the table's, which the made value keeps.
static size_t read_headers(lua_State *l, int made, struct fetch_header out[HEADERS_MAX]) {
    size_t count = 0;
    for (lua_pushnil(l); lua_next(l, -2); lua_pop(l, 1)) {
        if (lua_type(l, -2) != LUA_TSTRING || lua_type(l, -1) != LUA_TSTRING)
            made_refuse(l, made,
                        "headers: names and texts are expected: { [\"Content-Type\"] = \"text/plain\" }");
        if (count == HEADERS_MAX) made_refuse(l, made, "headers: more than %d", HEADERS_MAX);
        struct fetch_header *h = &out[count++];
        h->name.at = lua_tolstring(l, -2, &h->name.len);
        h->value.at = lua_tolstring(l, -1, &h->value.len);
    }
    return count;
}

// As if the server could not be reached: that is what the policy has to be ready for.
static int refuse_change(lua_State *l) {
    lua_pushnil(l);
    lua_pushfstring(l, "%s is not sent here: an explanation changes nothing", methods[made_int(l, 2, REQUEST_METHOD, 0)]);
    lua_pushboolean(l, 1);
    return 3;
}

static int request(lua_State *l) {
    struct hook_ticket *t = ticket_of(l);
    struct fetch_header headers[HEADERS_MAX];
    lua_settop(l, 1);
    made_check(l, &request_shape, 1);
    if (!t->g->options.fetch && !t->g->options.source) return luaL_error(l, "http: nobody can be asked here");
    check_place(l, t->g->options.http_hosts, 2);
    char text[LOOKUP_QUESTION];
    if (lookup_again(l, question_of(l, text))) return lookup_push_failure(l);
    if (t->g->options.http_reads && made_int(l, 2, REQUEST_METHOD, 0) > 1) return refuse_change(l);
    struct fetch_request r = {.method = methods[made_int(l, 2, REQUEST_METHOD, 0)],
                              .url = made_text(l, 2, REQUEST_URL),
                              .body = made_text(l, 2, REQUEST_BODY),
                              .headers = headers,
                              .timeout_ms = made_int(l, 2, REQUEST_TIMEOUT, 10) * 1000};
    if (made_push(l, 2, REQUEST_HEADERS)) r.header_count = read_headers(l, 2, headers);
    ticket_before_wait(l, "http", STEPS + r.body.len / 16);
    t->fetch = fetch_ask(t->g->options.fetch, &r, on_answer, t);
    return vm_wait(l, after_wait);
}

// Also while the scripts load, so that what needs a host that is not allowed can say so before there is mail.
static int allows(lua_State *l) {
    struct fetch_place place;
    struct bytes url = {.at = NULL};
    url.at = luaL_checklstring(l, 1, &url.len);
    lua_pushboolean(l, fetch_place(url, &place, NULL) && place.tls && is_allowed(generation_of(l)->options.http_hosts, &place));
    return 1;
}

int open_http(lua_State *l) {
    static const luaL_Reg functions[] = {{"allows", allows}, {"request", request}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
