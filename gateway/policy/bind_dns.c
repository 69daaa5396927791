// SPDX-License-Identifier: MIT
// The table `dns`: mx, a, aaaa, txt, ptr. Each suspends the hook until the answer is there.
#include "policy/lookup.h"
#include "policy/wall.h"

#include "base/jsonl.h"
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static void on_answer(void *arg, const struct dns_answer *answer) {
    struct hook_ticket *t = arg;
    t->dns = NULL;
    t->dns_answer = answer;
    ticket_go_on(t);
}

// nil, words, is it worth asking again
static int push_failure(lua_State *l, const struct dns_answer *a) {
    lua_pushnil(l);
    switch (a->status) {
    case DNS_NO_NAME:
        lua_pushliteral(l, "no such name");
        break;
    case DNS_NO_DATA:
        lua_pushliteral(l, "no such record");
        break;
    default:
        lua_pushstring(l, *a->why ? a->why : "no answer");
        break;
    }
    lua_pushboolean(l, a->status == DNS_TEMPORARY);
    return 3;
}

static int by_preference(const void *a, const void *b) {
    return ((const struct dns_record *)a)->mx.preference - ((const struct dns_record *)b)->mx.preference;
}

static void push_mx(lua_State *l, const struct dns_record *r) {
    lua_createtable(l, 0, 2);
    lua_pushstring(l, r->mx.host);
    lua_setfield(l, -2, "host");
    lua_pushinteger(l, r->mx.preference);
    lua_setfield(l, -2, "preference");
}

static void push_record(lua_State *l, const struct dns_record *r, enum dns_type type) {
    char text[INET6_ADDRSTRLEN];
    switch (type) {
    case DNS_MX:
        push_mx(l, r);
        break;
    case DNS_TXT:
        lua_pushlstring(l, r->text.len ? r->text.at : "", r->text.len);
        break;
    case DNS_PTR:
        lua_pushstring(l, r->name);
        break;
    default:
        lua_pushstring(l, inet_ntop(r->address.family, r->address.ip, text, sizeof text));
        break;
    }
}

static const char *type_name(enum dns_type type) {
    return type == DNS_MX ? "mx" : type == DNS_TXT ? "txt" : type == DNS_PTR ? "ptr" : type == DNS_A ? "a" : "aaaa";
}

enum { SHOWN_MAX = 20 };

static void put_found(struct jsonl *j, enum dns_type type, const struct dns_answer *a) {
    char text[INET6_ADDRSTRLEN];
    struct buf mx = {0};
    jsonl_int(j, "found", (int64_t)a->count);
    jsonl_open(j, "answers", '[');
    for (size_t i = 0; i < a->count && i < SHOWN_MAX; i++) {
        const struct dns_record *r = &a->records[i];
        buf_reset(&mx);
        if (type == DNS_MX) buf_format(&mx, "%u %s", r->mx.preference, r->mx.host);
        if (type == DNS_MX || type == DNS_TXT) jsonl_text(j, NULL, type == DNS_MX ? buf_bytes(&mx) : bytes_first(r->text, 500));
        else jsonl_textz(j, NULL, type == DNS_PTR ? r->name : inet_ntop(r->address.family, r->address.ip, text, sizeof text));
    }
    jsonl_close(j, ']');
    buf_release(&mx);
}

// {"looked_up":"mx example.net","found":2,"answers":["10 mx1.example.net",...]}, or why not.
static void tell_witness(struct hook_ticket *t, const char *name, enum dns_type type, const struct dns_answer *a) {
    const struct witness *w = t->g->options.witness;
    if (!w || !w->looked) return;
    static const char *const status[] = {[DNS_NO_DATA] = "no such record", [DNS_NO_NAME] = "no such name"};
    struct buf *scratch = &t->g->scratch;
    buf_reset(scratch);
    buf_format(scratch, "%s %s", type_name(type), name);
    struct buf line = {0};
    struct jsonl j = jsonl_begin(&line);
    jsonl_text(&j, "looked_up", buf_bytes(scratch));
    if (a->status == DNS_OK) put_found(&j, type, a);
    else jsonl_textz(&j, "failed", *a->why || a->status > DNS_NO_NAME ? a->why : status[a->status]);
    jsonl_close(&j, '}');
    w->looked(w->arg, buf_bytes(&line));
    buf_release(&line);
}

static struct bytes question_of(char out[LOOKUP_QUESTION], const char *name, enum dns_type type) {
    int len = snprintf(out, LOOKUP_QUESTION, "%s %s", type_name(type), name);
    return bytes_range(out, len < LOOKUP_QUESTION ? (size_t)len : LOOKUP_QUESTION - 1);
}

static int after_wait(lua_State *l, int status, intptr_t context) {
    (void)status;
    (void)context;
    struct hook_ticket *t = ticket_of(l);
    const struct dns_answer *a = t->dns_answer;
    enum dns_type type = (enum dns_type)lua_tointeger(l, 2);
    if (!a) return luaL_error(l, "dns: this question was given up");
    tell_witness(t, lua_tostring(l, 1), type, a);
    char text[LOOKUP_QUESTION];
    struct bytes question = question_of(text, lua_tostring(l, 1), type);
    if (a->status != DNS_OK) {
        push_failure(l, a);
        lookup_keep_failure(l, question);
        return 3;
    }
    vm_charge(l, a->count);
    lua_createtable(l, (int)a->count, 0);
    struct dns_record *sorted = lua_newuserdatauv(l, a->count * sizeof *sorted + 1, 0);
    memcpy(sorted, a->records, a->count * sizeof *sorted);
    if (type == DNS_MX) qsort(sorted, a->count, sizeof *sorted, by_preference);
    for (size_t i = 0; i < a->count; i++) {
        push_record(l, &sorted[i], type);
        lua_rawseti(l, 3, (lua_Integer)i + 1);
    }
    lua_settop(l, 3);
    lookup_keep(l, question, 3);
    return 1;
}

static int ask(lua_State *l, const char *name, enum dns_type type) {
    struct hook_ticket *t = ticket_of(l);
    char text[LOOKUP_QUESTION];
    if (lookup_again(l, question_of(text, name, type))) return lookup_push_failure(l);
    if (!t->g->options.dns) return luaL_error(l, "dns: there is no resolver here");
    ticket_before_wait(l, "dns", 1000);
    lua_settop(l, 1);
    lua_pushinteger(l, type);
    t->dns = dns_ask(t->g->options.dns, name, type, on_answer, t);
    return vm_wait(l, after_wait);
}

static int ask_name(lua_State *l, enum dns_type type) {
    size_t len;
    const char *name = luaL_checklstring(l, 1, &len);
    luaL_argcheck(l, strlen(name) == len, 1, "a name without NUL is expected");
    return ask(l, name, type);
}

static int dns_mx(lua_State *l) {
    return ask_name(l, DNS_MX);
}
static int dns_a(lua_State *l) {
    return ask_name(l, DNS_A);
}
static int dns_aaaa(lua_State *l) {
    return ask_name(l, DNS_AAAA);
}
static int dns_txt(lua_State *l) {
    return ask_name(l, DNS_TXT);
}

static int dns_ptr(lua_State *l) {
    char name[ADDR_REVERSE];
    if (!addr_reverse(luaL_checkstring(l, 1), name)) return luaL_argerror(l, 1, "an IP address is expected");
    return ask(l, name, DNS_PTR);
}

int open_dns(lua_State *l) {
    static const luaL_Reg functions[] = {{"mx", dns_mx},   {"a", dns_a},     {"aaaa", dns_aaaa},
                                         {"txt", dns_txt}, {"ptr", dns_ptr}, {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
