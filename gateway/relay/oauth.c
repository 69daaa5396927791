// SPDX-License-Identifier: MIT
#include "relay/oauth.h"

#include "script/json.h"

enum {
    LIFE_S = 3600,
    LIFE_LEAST_S = 10,
    LIFE_MOST_S = 90 * 86400,
    REFRESH_LIFE_MOST_S = 10 * 366 * 86400,
    WORDS_MAX = 200
};

// ---- the request

static void put_escaped(struct buf *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c);
        if (plain && c)
            buf_byte(out, c);
        else
            buf_format(out, "%%%02X", (unsigned char)c);
    }
}

static void put_field(struct buf *out, const char *name, struct bytes value) {
    if (!value.len) return;
    if (out->len) buf_byte(out, '&');
    buf_addz(out, name);
    buf_byte(out, '=');
    put_escaped(out, value);
}

void oauth_request(struct buf *body, const struct oauth_grant *g) {
    put_field(body, "grant_type",
              g->refresh_token.len ? BYTES("refresh_token") : BYTES("client_credentials"));
    put_field(body, "client_id", g->client_id);
    put_field(body, "client_secret", g->client_secret);
    put_field(body, "refresh_token", g->refresh_token);
    put_field(body, "scope", g->scope);
}

// ---- the answer

// RFC 6749 appendix A.12 and A.17, without the space: it would end a word of SMTP.
static bool is_token(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f) return false;
    return text.len && text.len <= OAUTH_TOKEN_MAX;
}

// A number of seconds; some endpoints write it as a text.
static int64_t seconds(const struct json *value, int64_t unset, int64_t most) {
    struct bytes text;
    uint64_t n = 0;
    double number;
    if (json_text(value, &text) && bytes_to_u64(text, &n))
        number = (double)n;
    else if (!json_number(value, &number))
        return unset;
    return number < LIFE_LEAST_S ? LIFE_LEAST_S : number > (double)most ? most : (int64_t)number;
}

static bool is_lasting(struct bytes error) {
    static const char *const known[] = {
        "invalid_grant",       "invalid_client",         "invalid_scope",       "invalid_request",
        "unauthorized_client", "unsupported_grant_type", "interaction_required"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_equal(error, bytes_of(known[i]))) return true;
    return false;
}

// "invalid_grant: Token has been expired or revoked."
static void put_words(char out[WORDS_MAX + 8], struct bytes text) {
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < WORDS_MAX; i++) {
        unsigned char c = (unsigned char)text.at[i];
        out[n++] = c < ' ' || c >= 0x7f ? ' ' : (char)c;
    }
    out[n] = 0;
}

static bool refused(int status, const struct json *answer, bool *lasting, struct err *err) {
    struct bytes error = BYTES(""), description = BYTES("");
    char what[WORDS_MAX + 8], why[WORDS_MAX + 8];
    json_text(json_get(answer, "error"), &error);
    json_text(json_get(answer, "error_description"), &description);
    *lasting = is_lasting(error);
    put_words(what, error);
    put_words(why, description);
    if (!error.len) return err_set(err, "the token endpoint answered %d without a token", status);
    return err_set(err, "%s%s%s", what, description.len ? ": " : "", why);
}

static bool take(const struct json *answer, struct arena *arena, struct oauth_answer *out, struct err *err) {
    struct bytes access, type, refresh;
    if (!json_text(json_get(answer, "access_token"), &access) || !is_token(access))
        return err_set(err, "the token endpoint's access_token is none");
    if (json_text(json_get(answer, "token_type"), &type) && !bytes_equal_nocase(type, BYTES("Bearer")))
        return err_set(err, "the token endpoint gave a token that is not of type Bearer");
    bool rotated = json_text(json_get(answer, "refresh_token"), &refresh) && is_token(refresh);
    *out = (struct oauth_answer){
        .access_token = arena_copy(arena, access),
        .refresh_token = rotated ? arena_copy(arena, refresh) : BYTES(""),
        .life_s = seconds(json_get(answer, "expires_in"), LIFE_S, LIFE_MOST_S),
    };
    const struct json *life = json_get(answer, "refresh_token_expires_in");
    if (!life) life = json_get(answer, "refresh_expires_in");
    out->refresh_life_s = seconds(life, 0, REFRESH_LIFE_MOST_S);
    return true;
}

bool oauth_read(int status, struct bytes body, struct arena *arena, struct oauth_answer *out, bool *lasting,
                struct err *err) {
    struct err why;
    *lasting = false;
    struct json *answer = json_parse(body, &why);
    bool good;
    if (json_kind(answer) != JSON_MAP)
        good = err_set(err, "the token endpoint answered %d, and not as JSON", status);
    else if (status != 200 || !json_get(answer, "access_token"))
        good = refused(status, answer, lasting, err);
    else
        good = take(answer, arena, out, err);
    json_free(&answer);
    return good;
}
