// SPDX-License-Identifier: MIT
#include "relay/packing.h"

#include "base/bug.h"

enum { OPEN_LENGTH = 4, NUMBER_MOST = 10 };
enum { AS_IT_IS, IN_FEW_BYTES };

// ---- numbers of seven bits a byte, the last one without its highest bit; texts behind their length

static char *put_number(char *at, uint64_t n) {
    for (; n >= 128; n >>= 7) *at++ = (char)(n | 128);
    *at++ = (char)n;
    return at;
}

void pack_long_number(struct buf *out, uint64_t n) {
    buf_reserve(out, NUMBER_MOST);
    out->len = (size_t)(put_number(out->at + out->len, n) - out->at);
}

void pack_text(struct buf *out, struct bytes text) {
    buf_reserve(out, NUMBER_MOST + text.len);
    char *at = put_number(out->at + out->len, text.len);
    if (text.len) memcpy(at, text.at, text.len);
    out->len = (size_t)(at - out->at) + text.len;
}

size_t pack_open(struct buf *out) {
    buf_reserve(out, OPEN_LENGTH);
    out->len += OPEN_LENGTH;
    return out->len;
}

void pack_close(struct buf *out, size_t text) {
    size_t len = out->len - text;
    bug_if(len >> (7 * OPEN_LENGTH));
    for (int i = 0; i < OPEN_LENGTH; i++, len >>= 7) out->at[text - OPEN_LENGTH + (size_t)i] = (char)((len & 127) | (i < OPEN_LENGTH - 1 ? 128 : 0));
}

uint64_t unpack_number(struct unpacking *u) {
    uint64_t n = 0;
    for (size_t i = 0; i < NUMBER_MOST && i < u->rest.len && !u->bad; i++) {
        unsigned char c = (unsigned char)u->rest.at[i];
        n |= (uint64_t)(c & 127) << (7 * i);
        if (c >= 128) continue;
        u->rest = bytes_skip(u->rest, i + 1);
        return n;
    }
    u->bad = true;
    return 0;
}

struct bytes unpack_text(struct unpacking *u) {
    uint64_t len = unpack_number(u);
    if (u->bad || len > u->rest.len) {
        u->bad = true;
        return BYTES("");
    }
    struct bytes text = bytes_first(u->rest, len);
    u->rest = bytes_skip(u->rest, len);
    return text;
}

// ---- facts of a session: what stands between their values, as session_facts_encode (policy/facts.h) writes it

#define SHAPE_BEFORE_FACTS(BETWEEN)                                                                                             \
    BETWEEN("{\"id\":\"") BETWEEN("\",\"listener\":\"") BETWEEN("\",\"kind\":\"") BETWEEN("\",\"client_ip\":\"")                    \
    BETWEEN("\",\"client_port\":") BETWEEN(",\"local_ip\":\"") BETWEEN("\",\"local_port\":") BETWEEN(",\"helo\":\"")              \
    BETWEEN("\",\"tls_version\":\"") BETWEEN("\",\"tls_cipher\":\"") BETWEEN("\",\"client_certificate\":\"") BETWEEN("\",\"user\":\"")
#define BEFORE_FACTS "\",\"user_facts\":"
#define BEHIND_FACTS ",\"trusted_network\":"

static const struct bytes shape[] = {
#define BETWEEN(literal) {literal, sizeof(literal) - 1},
    SHAPE_BEFORE_FACTS(BETWEEN) BETWEEN(BEFORE_FACTS) BETWEEN(BEHIND_FACTS)
#undef BETWEEN
};
enum { VALUES = sizeof shape / sizeof *shape };

// A value of up to 127 bytes that has none of ',' and '"', which all that may follow begins with.
static void put_value(struct buf *out, struct bytes *facts) {
    char *length = out->at + out->len;
    const char *from = facts->at;
    size_t len = 0, most = facts->len < 127 ? facts->len : 127;
    for (; len < most && from[len] != '"' && from[len] != ','; len++) length[1 + len] = from[len];
    *length = (char)len;
    out->len += 1 + len;
    *facts = bytes_skip(*facts, len);
}

static bool put_values(struct buf *out, struct bytes facts) {
#define BETWEEN(literal)                                                                                                    \
    if (facts.len < sizeof(literal) || memcmp(facts.at, literal, sizeof(literal) - 1) != 0) return false;                   \
    facts = bytes_skip(facts, sizeof(literal) - 1);                                                                         \
    put_value(out, &facts);
    SHAPE_BEFORE_FACTS(BETWEEN)
#undef BETWEEN
    // User facts are any JSON object: what ends them is looked for from behind.
    static const char *const ends[] = {BEHIND_FACTS "true}", BEHIND_FACTS "false}"};
    if (!bytes_starts(facts, BYTES(BEFORE_FACTS))) return false;
    facts = bytes_skip(facts, sizeof(BEFORE_FACTS) - 1);
    for (size_t i = 0; i < 2; i++) {
        size_t end = strlen(ends[i]);
        if (facts.len < end || memcmp(facts.at + facts.len - end, ends[i], end) != 0) continue;
        pack_text(out, bytes_first(facts, facts.len - end));
        pack_text(out, i ? BYTES("false") : BYTES("true"));
        return true;
    }
    return false;
}

void pack_session(struct buf *out, struct bytes facts) {
    size_t start = out->len;
    buf_reserve(out, NUMBER_MOST * (VALUES + 1) + facts.len);
    out->at[out->len++] = IN_FEW_BYTES;
    if (put_values(out, facts)) return;
    out->len = start;
    pack_number(out, AS_IT_IS);
    pack_text(out, facts);
}

struct bytes unpack_session(struct unpacking *u, struct arena *arena) {
    struct bytes values[VALUES];
    size_t len = 1;
    if (unpack_number(u) != IN_FEW_BYTES) return unpack_text(u);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = unpack_text(u);
        len += shape[i].len + values[i].len;
    }
    if (u->bad) return BYTES("");
    char *text = arena_alloc(arena, len), *at = text;
    for (size_t i = 0; i < VALUES; i++) {
        memcpy(at, shape[i].at, shape[i].len);
        if (values[i].len) memcpy(at + shape[i].len, values[i].at, values[i].len);
        at += shape[i].len + values[i].len;
    }
    *at = '}';
    return bytes_range(text, len);
}
