// SPDX-License-Identifier: MIT
// The table `crypto`: sha256, hmac_sha256, random, base64, unbase64, hex, unhex, equal.
#include "policy/lookup.h"
#include "policy/wall.h"

#include "base/base64.h"
#include "base/bug.h"
#include "mail/digest.h"

#include <stdio.h>
#include <sys/random.h>

enum { BLOCK = 64, RANDOM_MAX = 1024 };

static struct bytes check(lua_State *l, int i, size_t cost) {
    struct bytes text;
    text.at = luaL_checklstring(l, i, &text.len);
    vm_charge(l, 10 + text.len / cost);
    return text;
}

static int sha256(lua_State *l) {
    uint8_t sum[DIGEST_SIZE];
    digest_sha256(check(l, 1, 8), sum);
    lua_pushlstring(l, (const char *)sum, sizeof sum);
    return 1;
}

// RFC 2104: hmac_sha256(key, text)
static int hmac_sha256(lua_State *l) {
    struct bytes key = check(l, 1, 8), text = check(l, 2, 8);
    uint8_t block[BLOCK] = {0}, sum[DIGEST_SIZE];
    if (key.len > BLOCK)
        digest_sha256(key, block);
    else
        memcpy(block, key.at, key.len);
    struct digest d = {0};
    for (int i = 0; i < BLOCK; i++)
        block[i] ^= 0x36;
    digest_add(&d, bytes_range(block, BLOCK));
    digest_add(&d, text);
    digest_end(&d, sum);
    for (int i = 0; i < BLOCK; i++)
        block[i] ^= 0x36 ^ 0x5c;
    digest_add(&d, bytes_range(block, BLOCK));
    digest_add(&d, bytes_range(sum, sizeof sum));
    digest_end(&d, sum);
    lua_pushlstring(l, (const char *)sum, sizeof sum);
    return 1;
}

static int hex(lua_State *l);
static int unhex(lua_State *l);

static int random_bytes(lua_State *l) {
    char out[RANDOM_MAX];
    lua_Integer n = luaL_checkinteger(l, 1);
    luaL_argcheck(l, n >= 1 && n <= RANDOM_MAX, 1, "1 to 1024 bytes are possible");
    char question[32];
    int len = snprintf(question, sizeof question, "random %d", (int)n);
    bool in_hook = vm_run(vm_of(l));
    if (in_hook && lookup_again(l, bytes_range(question, (size_t)len))) { // in hex: bytes have no JSON form
        lua_replace(l, 1);
        lua_settop(l, 1);
        return unhex(l);
    }
    for (ssize_t at = 0, got; at < n; at += got) {
        got = getrandom(out + at, (size_t)(n - at), 0);
        bug_if(got <= 0);
    }
    lua_pushlstring(l, out, (size_t)n);
    if (!in_hook) return 1;
    lua_pushvalue(l, -1);
    lua_replace(l, 1);
    hex(l);
    lookup_keep(l, bytes_range(question, (size_t)len), -1);
    lua_pop(l, 1);
    return 1;
}

static int base64(lua_State *l) {
    struct buf *out = &generation_of(l)->scratch;
    buf_reset(out);
    base64_encode(out, check(l, 1, 16));
    lua_pushlstring(l, out->len ? out->at : "", out->len);
    return 1;
}

static int unbase64(lua_State *l) {
    struct buf *out = &generation_of(l)->scratch;
    buf_reset(out);
    if (base64_decode(out, check(l, 1, 16)))
        lua_pushlstring(l, out->len ? out->at : "", out->len);
    else
        lua_pushnil(l);
    return 1;
}

static int hex(lua_State *l) {
    static const char digits[] = "0123456789abcdef";
    struct bytes text = check(l, 1, 8);
    luaL_Buffer out;
    luaL_buffinit(l, &out);
    for (size_t i = 0; i < text.len; i++) {
        luaL_addchar(&out, digits[(unsigned char)text.at[i] >> 4]);
        luaL_addchar(&out, digits[(unsigned char)text.at[i] & 15]);
    }
    luaL_pushresult(&out);
    return 1;
}

static int unhex(lua_State *l) {
    struct bytes text = check(l, 1, 8);
    luaL_Buffer out;
    luaL_buffinit(l, &out);
    bool good = text.len % 2 == 0;
    for (size_t i = 0; good && i < text.len; i += 2) {
        int high = hex_value(text.at[i]), low = hex_value(text.at[i + 1]);
        good = high >= 0 && low >= 0;
        if (good) luaL_addchar(&out, (char)(high << 4 | low));
    }
    luaL_pushresult(&out);
    if (!good) lua_pushnil(l);
    return 1;
}

// Takes as long for texts that differ early as for those that differ late.
static int equal(lua_State *l) {
    struct bytes a = check(l, 1, 16), b = check(l, 2, 16);
    unsigned char differ = a.len != b.len;
    for (size_t i = 0; i < a.len && i < b.len; i++)
        differ |= (unsigned char)(a.at[i] ^ b.at[i]);
    lua_pushboolean(l, !differ);
    return 1;
}

int open_crypto(lua_State *l) {
    static const luaL_Reg functions[] = {{"sha256", sha256},
                                         {"hmac_sha256", hmac_sha256},
                                         {"random", random_bytes},
                                         {"base64", base64},
                                         {"unbase64", unbase64},
                                         {"hex", hex},
                                         {"unhex", unhex},
                                         {"equal", equal},
                                         {NULL, NULL}};
    luaL_newlib(l, functions);
    return 1;
}
