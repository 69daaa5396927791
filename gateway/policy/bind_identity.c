// SPDX-License-Identifier: MIT
// core.identity: define{...}: a source address, a HELO name, DKIM keys, a return path under one name; has_key(file).
//
// Both only while the scripts load: keys are files, and running hooks open none.
#include "mail/verify.h"
#include "policy/made.h"
#include "policy/plan.h"
#include "policy/wall.h"
#include "policy/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

const char identity_kind[] = "identity";
static const char defined[] = "identities by name"; // registry: name -> where it was defined

enum { KEYS_MAX = 8, PEM_MAX = 16384 };

enum { DEFINE_NAME, DEFINE_SOURCE, DEFINE_HELO, DEFINE_RETURN_PATH, DEFINE_DKIM };
static const struct made_row define_rows[] = {
    [DEFINE_NAME] = {"name", MADE_TEXT, .required = true},
    [DEFINE_SOURCE] = {"source", MADE_TEXTS},
    [DEFINE_HELO] = {"helo", MADE_TEXT},
    [DEFINE_RETURN_PATH] = {"return_path", MADE_TEXT},
    [DEFINE_DKIM] = {"dkim", MADE_TABLE},
    {0},
};
static const struct made_shape define_shape = {"identity.define", 0, false, define_rows, NULL};

enum { DKIM_DOMAIN, DKIM_SELECTOR, DKIM_KEY };
static const struct made_row dkim_rows[] = {
    [DKIM_DOMAIN] = {"domain", MADE_TEXT, .required = true},
    [DKIM_SELECTOR] = {"selector", MADE_TEXT, .required = true},
    [DKIM_KEY] = {"key", MADE_TEXT, .required = true},
    {0},
};
static const struct made_shape dkim_shape = {"identity.define: dkim", 0, false, dkim_rows, NULL};

struct handle {
    struct identity id;
    struct arena arena;
    struct sign_key *keys[KEYS_MAX];
};

static int drop(lua_State *l) {
    struct handle *h = lua_touserdata(l, 1);
    for (size_t i = 0; i < h->id.key_count; i++)
        sign_key_free(&h->keys[i]);
    h->id.key_count = 0;
    arena_release(&h->arena);
    return 0;
}

// What scripts may read of an identity: its name.
static int get(lua_State *l) {
    const struct handle *h = lua_touserdata(l, 1);
    if (lua_type(l, 2) == LUA_TSTRING && strcmp(lua_tostring(l, 2), "name") == 0)
        lua_pushlstring(l, h->id.name.at, h->id.name.len);
    else
        lua_pushnil(l);
    return 1;
}

static int set(lua_State *l) {
    return luaL_error(l, "an identity is read-only");
}

static struct bytes keep(lua_State *l, struct handle *h, int made, int row) {
    struct bytes text = made_text(l, made, row);
    return text.len ? arena_copy(&h->arena, text) : BYTES("");
}

static void check_name(lua_State *l, int made, struct bytes name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] == '|' || name.at[i] == ' ') made_refuse(l, made, "name: no '|' and no space");
    if (name.len > 100) made_refuse(l, made, "name: longer than 100 bytes");
    luaL_getsubtable(l, LUA_REGISTRYINDEX, defined);
    lua_pushlstring(l, name.at, name.len);
    if (lua_rawget(l, -2) != LUA_TNIL)
        made_refuse(l, made, "'%.*s' is already defined at %s", BYTES_FMT(name), lua_tostring(l, -1));
    lua_pop(l, 1);
    lua_pushlstring(l, name.at, name.len);
    lua_pushstring(l, made_where(l, made));
    lua_rawset(l, -3);
    lua_pop(l, 1);
}

static void take_source(lua_State *l, struct handle *h, int made, struct bytes text) {
    struct addr a;
    struct err err = {{0}};
    if (!addr_parse(text, &a, &err)) made_refuse(l, made, "source: %s", err.text);
    if (addr_port(&a)) made_refuse(l, made, "source: an address without a port is expected");
    int family = addr_family(&a);
    if (family != AF_INET && family != AF_INET6) made_refuse(l, made, "source: an IP address is expected");
    struct addr *to = family == AF_INET ? &h->id.source4 : &h->id.source6;
    if (to->len) made_refuse(l, made, "source: one IPv4 and one IPv6 address at the most");
    *to = a;
}

static void take_sources(lua_State *l, struct handle *h, int made) {
    if (!made_push(l, made, DEFINE_SOURCE)) return;
    if (lua_type(l, -1) == LUA_TSTRING) take_source(l, h, made, made_text(l, made, DEFINE_SOURCE));
    lua_Integer n = lua_istable(l, -1) ? (lua_Integer)lua_rawlen(l, -1) : 0;
    for (lua_Integer i = 1; i <= n && i <= 3; i++) {
        struct bytes text = {.at = NULL};
        if (lua_rawgeti(l, -1, i) != LUA_TSTRING)
            made_refuse(l, made, "source: a list of addresses is expected");
        text.at = lua_tolstring(l, -1, &text.len);
        take_source(l, h, made, text);
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
}

static bool read_pem(const char *path, struct buf *out, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_errno(err, "%s", path);
    buf_reserve(out, PEM_MAX + 1);
    ssize_t n = read(fd, out->at, PEM_MAX + 1);
    int code = errno;
    close(fd);
    errno = code;
    if (n < 0) return err_errno(err, "%s", path);
    if (n > PEM_MAX) return err_set(err, "%s: too long for a key", path);
    out->len = (size_t)n;
    return true;
}

static struct sign_key *load_key(struct generation *g, const char *domain, const char *selector,
                                 const char *file, struct err *err) {
    char path[PATH_MAX];
    generation_path(g, file, path);
    struct buf pem = {0};
    struct sign_key *key = NULL;
    if (read_pem(path, &pem, err)) {
        key = sign_key_load(domain, selector, buf_bytes(&pem), err);
        if (key && g->options.check_keys && !verify_key(key, err)) sign_key_free(&key);
        if (!key) err_within(err, "%s", path);
        explicit_bzero(pem.at, pem.len);
    }
    buf_release(&pem);
    return key;
}

static void take_key(lua_State *l, struct handle *h, int made, int n) {
    if (!lua_istable(l, -1)) made_refuse(l, made, "dkim[%d]: { domain =, selector =, key = } is expected", n);
    made_check(l, &dkim_shape, -1);
    int row = lua_gettop(l);
    struct err err = {{0}};
    struct sign_key *key =
        load_key(generation_of(l), made_text(l, row, DKIM_DOMAIN).at, made_text(l, row, DKIM_SELECTOR).at,
                 made_text(l, row, DKIM_KEY).at, &err);
    if (!key) made_refuse(l, made, "dkim[%d].key: %s%s", n, err.text, strstr(err.text, strerror(ENOENT)) ? " (`tidegate key new` makes one)" : "");
    h->keys[h->id.key_count++] = key;
    lua_pop(l, 1);
}

static void take_keys(lua_State *l, struct handle *h, int made) {
    if (!made_push(l, made, DEFINE_DKIM)) return;
    lua_Integer n = (lua_Integer)lua_rawlen(l, -1);
    if (n == 0) made_refuse(l, made, "dkim: a list is expected: { { domain =, selector =, key = }, ... }");
    if (n > KEYS_MAX) made_refuse(l, made, "dkim: more than %d keys", KEYS_MAX);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(l, -1, i);
        take_key(l, h, made, (int)i);
        lua_pop(l, 1);
    }
    lua_pop(l, 1);
}

static void check_path(lua_State *l, int made, struct bytes path) {
    if (!path.len) return;
    ptrdiff_t at = bytes_find_last(path, '@');
    if (at < 1 || (size_t)at + 1 == path.len || bytes_find(path, '<') >= 0 || bytes_find(path, '>') >= 0 ||
        bytes_find(path, ' ') >= 0)
        made_refuse(l, made, "return_path: '%s' is no address", path.at);
}

static struct generation *while_loading(lua_State *l, const char *who) {
    struct generation *g = generation_of(l);
    if (!g->loading) luaL_error(l, "identity.%s: only while the scripts load, not in a hook", who);
    return g;
}

// Is there such a file? For policies that are to load before the key is made; a bad key still fails in define.
static int has_key(lua_State *l) {
    char path[PATH_MAX];
    generation_path(while_loading(l, "has_key"), luaL_checkstring(l, 1), path);
    lua_pushboolean(l, access(path, F_OK) == 0);
    return 1;
}

// What is to be published, so that it can be compared with what is.
static void note_key(struct jsonl *j, const struct sign_key *key) {
    struct buf record = {0};
    sign_public_record(key, &record);
    jsonl_open(j, NULL, '{');
    jsonl_textz(j, "domain", sign_key_domain(key));
    jsonl_textz(j, "selector", sign_key_selector(key));
    jsonl_int(j, "bits", sign_key_bits(key));
    jsonl_bool(j, "weak", sign_key_is_weak(key));
    jsonl_text(j, "record", buf_bytes(&record));
    jsonl_close(j, '}');
    buf_release(&record);
}

static void note(struct generation *g, const struct identity *id, const char *where) {
    struct jsonl j = jsonl_begin(&g->identities);
    jsonl_text(&j, "identity", id->name);
    jsonl_textz(&j, "where", where);
    plan_put_identity(&j, id);
    if (id->key_count) jsonl_open(&j, "keys", '[');
    for (size_t i = 0; i < id->key_count; i++) note_key(&j, id->keys[i]);
    if (id->key_count) jsonl_close(&j, ']');
    jsonl_end(&j);
}

static int define(lua_State *l) {
    struct generation *g = while_loading(l, "define");
    lua_settop(l, 1);
    made_check(l, &define_shape, 1);
    int made = 2;
    struct handle *h = lua_newuserdatauv(l, sizeof *h, 0);
    *h = (struct handle){0};
    luaL_setmetatable(l, identity_kind);
    h->id.keys = h->keys;
    check_name(l, made, made_text(l, made, DEFINE_NAME));
    h->id.name = keep(l, h, made, DEFINE_NAME);
    h->id.helo = keep(l, h, made, DEFINE_HELO);
    h->id.return_path = keep(l, h, made, DEFINE_RETURN_PATH);
    check_path(l, made, h->id.return_path);
    take_sources(l, h, made);
    take_keys(l, h, made);
    note(g, &h->id, made_where(l, made));
    watched_note(l, -1, "identity", h->id.name, made_where(l, made));
    return 1;
}

void identity_lend(lua_State *l, int i, struct identity *out) {
    const struct handle *h = luaL_checkudata(l, i, identity_kind);
    *out = h->id;
}

int open_identity(lua_State *l) {
    static const luaL_Reg meta[] = {{"__gc", drop}, {"__index", get}, {"__newindex", set}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"define", define}, {"has_key", has_key}, {NULL, NULL}};
    luaL_newmetatable(l, identity_kind);
    luaL_setfuncs(l, meta, 0);
    lua_pushboolean(l, 0);
    lua_setfield(l, -2, "__metatable");
    lua_pop(l, 1);
    luaL_newlib(l, functions);
    return 1;
}
