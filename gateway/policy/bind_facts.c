// SPDX-License-Identifier: MIT
// What hooks are told: session, login, address, message, recipient, outcome: handles that look into the
// ticket's facts.
//
// A handle costs one small userdata; a field is made when it is read. A handle kept beyond its hook raises.
#include "base/jsonl.h"
#include "mail/header.h"
#include "policy/lookup.h"
#include "policy/wall.h"
#include "script/frozen.h"
#include "script/marshal.h"

#include <stddef.h>

#define IN(member) offsetof(struct hook_facts, member)

struct handle {
    struct hook_ticket *ticket;
    uint64_t serial;
};

static struct hook_facts *look(lua_State *l, int i) {
    const struct handle *h = lua_touserdata(l, i);
    if (h->ticket->serial != h->serial)
        luaL_error(l, "these facts belonged to a hook that has ended; keep what you need of them in locals");
    return &h->ticket->facts;
}

static void push_bytes(lua_State *l, struct bytes text) {
    lua_pushlstring(l, text.len ? text.at : "", text.len);
}

// Time as scripts have it: seconds since 1970 with a fraction; nil for never.
static void push_time(lua_State *l, int64_t ms) {
    if (ms)
        lua_pushnumber(l, (double)ms / 1000);
    else
        lua_pushnil(l);
}

// A JSON object as a read-only table, {} for "". Kept in the handle's user value 1, by field.
static void push_json(lua_State *l, struct bytes text, const char *name) {
    if (lua_getiuservalue(l, 1, 1) != LUA_TTABLE) {
        lua_pop(l, 1);
        lua_newtable(l);
        lua_pushvalue(l, -1);
        lua_setiuservalue(l, 1, 1);
    }
    if (lua_getfield(l, -1, name) != LUA_TNIL) {
        lua_remove(l, -2);
        return;
    }
    lua_pop(l, 1);
    struct err err = {{0}};
    if (!marshal_push(l, text.len ? text : BYTES("{}"), &err)) luaL_error(l, "%s: %s", name, err.text);
    if (lua_istable(l, -1)) frozen_push(l);
    lua_pushvalue(l, -1);
    lua_setfield(l, -3, name);
    lua_remove(l, -2);
}

static int push_field(lua_State *l, const struct field *f) {
    struct hook_facts *facts = look(l, 1);
    const void *member = (const char *)facts + f->at;
    switch (f->kind) {
    case FIELD_TEXT:
        push_bytes(l, *(const struct bytes *)member);
        break;
    case FIELD_INT:
        lua_pushinteger(l, *(const int *)member);
        break;
    case FIELD_UINT:
        lua_pushinteger(l, *(const uint32_t *)member);
        break;
    case FIELD_U64:
        lua_pushinteger(l, (lua_Integer) * (const uint64_t *)member);
        break;
    case FIELD_SIZE:
        lua_pushinteger(l, (lua_Integer) * (const size_t *)member);
        break;
    case FIELD_TIME:
        push_time(l, *(const int64_t *)member);
        break;
    case FIELD_AGE:
        lua_pushnumber(l, (double)*(const int64_t *)member / 1000);
        break;
    case FIELD_BOOL:
        lua_pushboolean(l, *(const bool *)member);
        break;
    case FIELD_NOT:
        lua_pushboolean(l, !*(const bool *)member);
        break;
    case FIELD_JSON:
        push_json(l, *(const struct bytes *)member, f->name);
        break;
    case FIELD_CALL:
        return f->call(l);
    }
    return 1;
}

// Upvalue 1: name -> field as light userdata.
static int get(lua_State *l) {
    lua_pushvalue(l, 2);
    if (lua_rawget(l, lua_upvalueindex(1)) == LUA_TLIGHTUSERDATA) return push_field(l, lua_touserdata(l, -1));
    if (!lua_isnil(l, -1)) return 1; // a method
    const char *name = lua_type(l, 2) == LUA_TSTRING ? lua_tostring(l, 2) : luaL_typename(l, 2);
    luaL_getmetafield(l, 1, "__name");
    return luaL_error(l, "%s has no field '%s'", lua_tostring(l, -1), name);
}

static int set(lua_State *l) {
    return luaL_error(l, "facts are read-only");
}

// ---- fields with a shape of their own

static struct hook_ticket *ticket_at(lua_State *l) {
    return ((const struct handle *)lua_touserdata(l, 1))->ticket;
}

static int message_session(lua_State *l) {
    struct hook_facts *f = look(l, 1);
    if (f->has_session && !f->message.session.len)
        facts_push_session(l, ticket_at(l));
    else
        push_json(l, f->message.session, "session");
    return 1;
}

static int message_recipients(lua_State *l) {
    const struct message_facts *m = &look(l, 1)->message;
    if (!m->recipients) {
        lua_pushnil(l);
        return 1;
    }
    lua_createtable(l, (int)m->recipient_count, 0);
    for (size_t i = 0; i < m->recipient_count; i++) {
        push_bytes(l, m->recipients[i]);
        lua_rawseti(l, -2, (lua_Integer)i + 1);
    }
    frozen_push(l);
    return 1;
}

static int recipient_last(lua_State *l) {
    struct bytes text = look(l, 1)->recipient.last_outcome;
    if (text.len)
        push_json(l, text, "last");
    else
        lua_pushnil(l);
    return 1;
}

static int outcome_code(lua_State *l) {
    lua_pushinteger(l, look(l, 1)->outcome.reply.code);
    return 1;
}

static int outcome_status(lua_State *l) {
    char status[REPLY_STATUS];
    lua_pushstring(l, reply_status(&look(l, 1)->outcome.reply, status));
    return 1;
}

static int outcome_text(lua_State *l) {
    lua_pushstring(l, look(l, 1)->outcome.reply.text);
    return 1;
}

static int outcome_reply(lua_State *l) {
    const struct reply *r = &look(l, 1)->outcome.reply;
    struct buf *scratch = &ticket_at(l)->g->scratch;
    buf_reset(scratch);
    reply_text(r, scratch);
    push_bytes(l, buf_bytes(scratch));
    return 1;
}

static int outcome_permanent(lua_State *l) {
    lua_pushboolean(l, outcome_is_permanent(&look(l, 1)->outcome));
    return 1;
}

// ---- message:header(name), message:headers(name)

static struct bytes check_head(lua_State *l, struct bytes *name) {
    if (!luaL_testudata(l, 1, "message")) luaL_error(l, "a header is asked for with a colon: message:header(\"Subject\")");
    name->at = luaL_checklstring(l, 2, &name->len);
    struct bytes head = look(l, 1)->message.head;
    lookup_check_header(l, *name);
    vm_charge(l, head.len / 32);
    return head;
}

static void push_value(lua_State *l, struct bytes value) {
    struct buf *scratch = &ticket_at(l)->g->scratch;
    buf_reset(scratch);
    header_unfold(scratch, value);
    push_bytes(l, buf_bytes(scratch));
}

static int message_header(lua_State *l) {
    struct bytes name, head = check_head(l, &name);
    struct header_field field;
    if (header_get(head, name, 0, &field))
        push_value(l, field.value);
    else
        lua_pushnil(l);
    return 1;
}

static int message_headers(lua_State *l) {
    struct bytes name, head = check_head(l, &name);
    struct header_field field;
    lua_newtable(l);
    for (lua_Integer n = 1; header_next(&head, &field);)
        if (bytes_equal_nocase(field.name, name)) {
            push_value(l, field.value);
            lua_rawseti(l, -2, n++);
        }
    return 1;
}

// ---- the tables of fields

static const struct field session_fields[] = {
    {"id", FIELD_TEXT, IN(session.id), NULL},
    {"listener", FIELD_TEXT, IN(session.listener), NULL},
    {"kind", FIELD_TEXT, IN(session.kind), NULL},
    {"client_ip", FIELD_TEXT, IN(session.client_ip), NULL},
    {"client_port", FIELD_INT, IN(session.client_port), NULL},
    {"local_ip", FIELD_TEXT, IN(session.local_ip), NULL},
    {"local_port", FIELD_INT, IN(session.local_port), NULL},
    {"helo", FIELD_TEXT, IN(session.helo), NULL},
    {"tls_version", FIELD_TEXT, IN(session.tls_version), NULL},
    {"tls_cipher", FIELD_TEXT, IN(session.tls_cipher), NULL},
    {"client_certificate", FIELD_TEXT, IN(session.client_certificate), NULL},
    {"user", FIELD_TEXT, IN(session.user), NULL},
    {"user_facts", FIELD_JSON, IN(session.user_facts), NULL},
    {"trusted_network", FIELD_BOOL, IN(session.trusted_network), NULL},
    {0},
};

static const struct field login_fields[] = {
    {"mechanism", FIELD_TEXT, IN(login.mechanism), NULL},
    {"user", FIELD_TEXT, IN(login.user), NULL},
    {"password", FIELD_TEXT, IN(login.password), NULL},
    {"authzid", FIELD_TEXT, IN(login.authzid), NULL},
    {"known", FIELD_JSON, IN(login.known), NULL},
    {"password_matches", FIELD_BOOL, IN(login.password_matches), NULL},
    {0},
};

static const struct field address_fields[] = {
    {"address", FIELD_TEXT, IN(address.address), NULL},   {"local_part", FIELD_TEXT, IN(address.local), NULL},
    {"domain", FIELD_TEXT, IN(address.domain), NULL},     {"size", FIELD_U64, IN(address.size), NULL},
    {"smtputf8", FIELD_BOOL, IN(address.smtputf8), NULL}, {0},
};

static const struct field message_fields[] = {
    {"id", FIELD_TEXT, IN(message.id_text), NULL},
    {"sender", FIELD_TEXT, IN(message.sender), NULL},
    {"user", FIELD_TEXT, IN(message.user), NULL},
    {"session", FIELD_CALL, 0, message_session},
    {"tags", FIELD_JSON, IN(message.tags), NULL},
    {"size", FIELD_U64, IN(message.size), NULL},
    {"received_at", FIELD_TIME, IN(message.received_ms), NULL},
    {"expires_at", FIELD_TIME, IN(message.expires_ms), NULL},
    {"recipient_count", FIELD_SIZE, IN(message.recipient_count), NULL},
    {"recipients", FIELD_CALL, 0, message_recipients},
    {"is_report", FIELD_BOOL, IN(message.is_report), NULL},
    {0},
};

static const struct field recipient_fields[] = {
    {"address", FIELD_TEXT, IN(recipient.address), NULL},
    {"local_part", FIELD_TEXT, IN(recipient.local), NULL},
    {"domain", FIELD_TEXT, IN(recipient.domain), NULL},
    {"number", FIELD_UINT, IN(recipient.n), NULL},
    {"attempts", FIELD_UINT, IN(recipient.attempts), NULL},
    {"last_at", FIELD_TIME, IN(recipient.last_ms), NULL},
    {"last", FIELD_CALL, 0, recipient_last},
    {0},
};

static const struct field outcome_fields[] = {
    {"reply", FIELD_CALL, 0, outcome_reply},
    {"code", FIELD_CALL, 0, outcome_code},
    {"status", FIELD_CALL, 0, outcome_status},
    {"text", FIELD_CALL, 0, outcome_text},
    {"permanent", FIELD_CALL, 0, outcome_permanent},
    {"from_peer", FIELD_NOT, IN(outcome.local), NULL},
    {"stage", FIELD_TEXT, IN(outcome.stage), NULL},
    {"peer", FIELD_TEXT, IN(outcome.peer), NULL},
    {"via", FIELD_TEXT, IN(outcome.via), NULL},
    {"identity", FIELD_TEXT, IN(outcome.identity), NULL},
    {"lane", FIELD_TEXT, IN(outcome.lane), NULL},
    {"exhaustible", FIELD_JSON, IN(outcome.exhaustible), NULL},
    {"attempt", FIELD_UINT, IN(outcome.attempt), NULL},
    {"age", FIELD_AGE, IN(outcome.age_ms), NULL},
    {"expires_at", FIELD_TIME, IN(outcome.expires_ms), NULL},
    {0},
};

static const struct {
    const char *name;
    const struct field *fields;
} kinds[] = {{"session", session_fields}, {"login", login_fields},         {"address", address_fields},
             {"message", message_fields}, {"recipient", recipient_fields}, {"outcome", outcome_fields}};

const struct field *facts_fields(const char *kind) {
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(kinds[k].name, kind) == 0) return kinds[k].fields;
    return NULL;
}

void facts_open(lua_State *l) {
    static const luaL_Reg methods[] = {
        {"header", message_header}, {"headers", message_headers}, {NULL, NULL}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        luaL_newmetatable(l, kinds[k].name);
        lua_newtable(l);
        for (const struct field *f = kinds[k].fields; f->name; f++) {
            lua_pushlightuserdata(l, (void *)f);
            lua_setfield(l, -2, f->name);
        }
        if (kinds[k].fields == message_fields) luaL_setfuncs(l, methods, 0);
        lua_pushcclosure(l, get, 1);
        lua_setfield(l, -2, "__index");
        lua_pushcfunction(l, set);
        lua_setfield(l, -2, "__newindex");
        lua_pushboolean(l, 0);
        lua_setfield(l, -2, "__metatable");
        lua_pop(l, 1);
    }
}

static void push_handle(lua_State *l, struct hook_ticket *t, const char *kind) {
    struct handle *h = lua_newuserdatauv(l, sizeof *h, 1);
    *h = (struct handle){t, t->serial};
    luaL_setmetatable(l, kind);
}

void facts_push_session(lua_State *l, struct hook_ticket *t) {
    push_handle(l, t, "session");
}
void facts_push_login(lua_State *l, struct hook_ticket *t) {
    push_handle(l, t, "login");
}
void facts_push_address(lua_State *l, struct hook_ticket *t) {
    push_handle(l, t, "address");
}
void facts_push_message(lua_State *l, struct hook_ticket *t) {
    push_handle(l, t, "message");
}
void facts_push_recipient(lua_State *l, struct hook_ticket *t) {
    push_handle(l, t, "recipient");
}
void facts_push_outcome(lua_State *l, struct hook_ticket *t) {
    push_handle(l, t, "outcome");
}

void facts_push_event(lua_State *l, struct hook_ticket *t) {
    struct err err = {{0}};
    if (!marshal_push(l, t->facts.event, &err)) luaL_error(l, "settle: %s", err.text);
    if (lua_istable(l, -1)) frozen_push(l);
}

// ---- keeping

static const size_t texts[] = {
    IN(session.id),
    IN(session.listener),
    IN(session.kind),
    IN(session.client_ip),
    IN(session.local_ip),
    IN(session.helo),
    IN(session.tls_version),
    IN(session.tls_cipher),
    IN(session.client_certificate),
    IN(session.user),
    IN(session.user_facts),
    IN(login.mechanism),
    IN(login.user),
    IN(login.password),
    IN(login.authzid),
    IN(login.known),
    IN(address.address),
    IN(address.local),
    IN(address.domain),
    IN(message.id_text),
    IN(message.sender),
    IN(message.user),
    IN(message.session),
    IN(message.tags),
    IN(message.head),
    IN(recipient.address),
    IN(recipient.local),
    IN(recipient.domain),
    IN(recipient.last_outcome),
    IN(outcome.stage),
    IN(outcome.via),
    IN(outcome.peer),
    IN(outcome.identity),
    IN(outcome.lane),
    IN(outcome.exhaustible),
    IN(event),
};

void facts_keep(struct hook_facts *f, struct arena *arena) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bytes *text = (struct bytes *)((char *)f + texts[i]);
        if (text->len) *text = arena_copy(arena, *text);
    }
    if (!f->message.recipients) return;
    struct bytes *copy = arena_alloc(arena, f->message.recipient_count * sizeof *copy + 1);
    for (size_t i = 0; i < f->message.recipient_count; i++)
        copy[i] = arena_copy(arena, f->message.recipients[i]);
    f->message.recipients = copy;
}

void session_facts_encode(const struct session_facts *s, struct buf *out) {
    struct hook_facts whole = {.session = *s};
    struct jsonl j = jsonl_begin(out);
    for (const struct field *f = session_fields; f->name; f++) {
        const void *member = (const char *)&whole + f->at;
        const struct bytes *text = member;
        if (f->kind == FIELD_INT)
            jsonl_int(&j, f->name, *(const int *)member);
        else if (f->kind == FIELD_BOOL)
            jsonl_bool(&j, f->name, *(const bool *)member);
        else if (f->kind == FIELD_TEXT)
            jsonl_text(&j, f->name, *text);
        else
            jsonl_raw(&j, f->name, text->len ? *text : BYTES("{}"));
    }
    jsonl_close(&j, '}');
}
