// SPDX-License-Identifier: MIT
#include "relay/conf_value.h"

#include "base/bug.h"
#include "base/quantity.h"
#include "mail/address.h"
#include "net/fetch.h"
#include "relay/conf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { PAIRS_MAX = 1000 };

static void *member(const struct conf_place *place, const struct conf_key *key) {
    return (char *)place->object + key->at;
}

static void put_number(const struct conf_place *place, const struct conf_key *key, int64_t n) {
    int narrow = (int)n;
    bug_if(key->size != sizeof narrow && key->size != sizeof n);
    if (key->size == sizeof narrow)
        memcpy(member(place, key), &narrow, sizeof narrow);
    else
        memcpy(member(place, key), &n, sizeof n);
}

static void put_text(const struct conf_place *place, const struct conf_key *key, const char *text) {
    memcpy(member(place, key), &text, sizeof text);
}

static const char *kind_of_value(const struct json *value) {
    static const char *const names[] = {
        [JSON_NOTHING] = "nothing",  [JSON_BOOL] = "true or false", [JSON_INT] = "a number",
        [JSON_FLOAT] = "a fraction", [JSON_TEXT] = "a text",        [JSON_LIST] = "a list",
        [JSON_MAP] = "a table"};
    return names[json_kind(value)];
}

static bool wrong_kind(const struct conf_key *key, const struct json *value, struct err *fault) {
    return err_set(fault, "is %s (it must be %s)", kind_of_value(value), conf_kind_words(key));
}

static bool wrong_text(const struct conf_key *key, struct bytes text, struct err *fault) {
    return err_set(fault, "'%.*s' (it must be %s)", BYTES_FMT(bytes_first(text, 80)), conf_kind_words(key));
}

// ---- numbers ------------------------------------------------------------------------------------

static void bound_words(const struct conf_key *key, int64_t bound, char out[QUANTITY_TEXT]) {
    if (key->kind == CONF_SIZE)
        quantity_size_text((uint64_t)bound, out);
    else if (key->kind == CONF_DURATION || key->kind == CONF_MILLIS)
        quantity_duration_text(bound, out);
    else
        snprintf(out, QUANTITY_TEXT, "%" PRId64, bound);
}

static bool check_bounds(const struct conf_key *key, double n, struct err *fault) {
    if ((!key->min && !key->max) || (n >= (double)key->min && n <= (double)key->max)) return true;
    char least[QUANTITY_TEXT], most[QUANTITY_TEXT];
    bound_words(key, key->min, least);
    bound_words(key, key->max, most);
    return err_set(fault, "is out of bounds (it must be between %s and %s)", least, most);
}

static bool read_number(const struct conf_place *place, const struct conf_key *key, const struct json *value,
                        struct err *fault) {
    int64_t n;
    if (!json_int(value, &n)) return wrong_kind(key, value, fault);
    if (!check_bounds(key, (double)n, fault)) return false;
    put_number(place, key, n);
    return true;
}

static bool read_size(const struct conf_place *place, const struct conf_key *key, const struct json *value,
                      struct err *fault) {
    struct bytes text;
    int64_t n;
    uint64_t size;
    if (json_text(value, &text)) {
        if (!quantity_size(text, &size)) return wrong_text(key, text, fault);
        n = (int64_t)size;
    } else if (!json_int(value, &n)) {
        return wrong_kind(key, value, fault);
    }
    if (!check_bounds(key, (double)n, fault)) return false;
    put_number(place, key, n);
    return true;
}

static bool read_duration(const struct conf_place *place, const struct conf_key *key,
                          const struct json *value, struct err *fault) {
    struct bytes text;
    int64_t whole;
    double n;
    if (json_text(value, &text)) {
        if (!quantity_duration(text, &whole)) return wrong_text(key, text, fault);
        n = (double)whole;
    } else if (!json_number(value, &n) || (key->kind == CONF_DURATION && n != floor(n))) {
        return wrong_kind(key, value, fault);
    }
    if (!check_bounds(key, n, fault)) return false;
    double unit = key->kind == CONF_MILLIS ? 1000 : 1;
    if (key->kind == CONF_MILLIS && n * unit < 1)
        return err_set(fault, "is nothing (say 0.5 or \"2s\", for example)");
    put_number(place, key, (int64_t)(n * unit));
    return true;
}

// ---- texts --------------------------------------------------------------------------------------

static const char *path_in(const struct conf_place *place, struct bytes text) {
    return text.at[0] == '/' ? arena_z(place->arena, text) : arena_format(place->arena, "%s/%.*s", place->base, BYTES_FMT(text)).at;
}

static bool read_path(const struct conf_place *place, const struct conf_key *key, struct bytes text,
                      struct err *fault) {
    if (text.len == 0) return err_set(fault, "is empty (leave the key out instead)");
    put_text(place, key, path_in(place, text));
    return true;
}

static int choice_index(const char *choices, struct bytes text) {
    int i = 0;
    for (struct bytes rest = bytes_of(choices); rest.len; i++)
        if (bytes_equal(bytes_cut(&rest, '|'), text)) return i;
    return -1;
}

static bool is_one_line(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f) return false;
    return true;
}

static bool read_address(const struct conf_place *place, const struct conf_key *key, struct bytes text,
                         struct err *fault) {
    struct err why;
    struct addr addr;
    if (!addr_parse(text, &addr, &why))
        return err_set(fault, "%s (it must be %s)", why.text, conf_kind_words(key));
    if (addr_family(&addr) != AF_UNIX && addr_port(&addr) == 0)
        return err_set(fault, "'%.*s' has no port (say %.*s:587, or whichever it is)", BYTES_FMT(text),
                       BYTES_FMT(text));
    memcpy(member(place, key), &addr, sizeof addr);
    return true;
}

static bool read_text(const struct conf_place *place, const struct conf_key *key, const struct json *value,
                      struct err *fault) {
    struct bytes text;
    if (!json_text(value, &text)) return wrong_kind(key, value, fault);
    int index = key->choices ? choice_index(key->choices, text) : 0;
    if (index < 0 || !is_one_line(text)) return wrong_text(key, text, fault);
    switch (key->kind) {
    case CONF_PATH:
        return read_path(place, key, text, fault);
    case CONF_ADDRESS:
        return read_address(place, key, text, fault);
    case CONF_LISTENER_KIND:
        put_number(place, key, index);
        return true;
    case CONF_LEVEL:
        put_number(place, key, LOG_FAULT + index);
        return true;
    case CONF_HOST:
        if (!domain_is_valid(text)) return wrong_text(key, text, fault);
        break;
    default:
        break;
    }
    put_text(place, key, arena_z(place->arena, text));
    return true;
}

// ---- lists --------------------------------------------------------------------------------------

static bool read_servers(const struct conf_place *place, const struct conf_key *key, const struct json *value,
                         struct err *fault) {
    struct buf all = {0};
    bool good = json_kind(value) == JSON_LIST || wrong_kind(key, value, fault);
    for (size_t i = 0; good && i < json_count(value); i++) {
        struct bytes text;
        struct addr addr;
        struct err why;
        good = json_text(json_item(value, i), &text) || wrong_kind(key, json_item(value, i), fault);
        if (good && !addr_parse(text, &addr, &why)) good = err_set(fault, "%s", why.text);
        if (good && addr_family(&addr) == AF_UNIX)
            good = err_set(fault, "'%.*s' is no address of a resolver", BYTES_FMT(text));
        if (good) buf_format(&all, "%s%.*s", all.len ? "," : "", BYTES_FMT(text));
    }
    if (good) put_text(place, key, all.len ? arena_z(place->arena, buf_bytes(&all)) : NULL);
    buf_release(&all);
    return good;
}

// A host and perhaps its port, or all hosts below a domain.
static bool is_web_host(struct bytes text) {
    struct fetch_place place;
    struct buf url = {0};
    for (size_t i = 0; i < text.len; i++)
        if (strchr("/?#@%,\\", text.at[i])) return false;
    bool below = bytes_starts(text, BYTES("*.")), anywhere = !below && bytes_ends_nocase(text, BYTES(".*"));
    if (below) text = bytes_skip(text, 2);
    if (anywhere) text.len -= 2;
    buf_format(&url, "https://%.*s/", BYTES_FMT(text));
    bool good = fetch_place(buf_bytes(&url), &place, NULL) && !((below || anywhere) && place.literal) && !(anywhere && place.port != 443);
    buf_release(&url);
    return good;
}

static bool read_web_hosts(const struct conf_place *place, const struct conf_key *key, const struct json *value,
                           struct err *fault) {
    struct buf all = {0};
    bool good = json_kind(value) == JSON_LIST || wrong_kind(key, value, fault);
    for (size_t i = 0; good && i < json_count(value); i++) {
        struct bytes text;
        good = json_text(json_item(value, i), &text) || wrong_kind(key, json_item(value, i), fault);
        if (good && !is_web_host(text)) good = wrong_text(key, text, fault);
        if (good) buf_format(&all, "%s%.*s", all.len ? "," : "", BYTES_FMT(text));
    }
    if (good) put_text(place, key, all.len ? arena_z(place->arena, buf_bytes(&all)) : NULL);
    buf_release(&all);
    return good;
}

static bool is_field_name(struct bytes text) { // RFC 5322 2.2
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] == ':' || text.at[i] == 0x7f) return false;
    return text.len > 0;
}

static bool read_fields(const struct conf_place *place, const struct conf_key *key, const struct json *value,
                        struct err *fault) {
    struct bytes text;
    struct buf all = {0};
    if (json_text(value, &text) && bytes_equal(text, BYTES("none"))) {
        put_text(place, key, "");
        return true;
    }
    bool good = json_kind(value) == JSON_LIST || wrong_kind(key, value, fault);
    for (size_t i = 0; good && i < json_count(value); i++) {
        good = json_text(json_item(value, i), &text) || wrong_kind(key, json_item(value, i), fault);
        if (good && !is_field_name(text)) good = wrong_text(key, text, fault);
        if (good) buf_format(&all, "%s%.*s", all.len ? " " : "", BYTES_FMT(text));
    }
    if (good) put_text(place, key, arena_z(place->arena, buf_bytes(&all)));
    buf_release(&all);
    return good;
}

static bool read_networks(const struct conf_place *place, const struct conf_key *key,
                          const struct json *value, struct err *fault) {
    size_t count = json_count(value);
    if (json_kind(value) != JSON_LIST && count + (json_kind(value) != JSON_MAP))
        return wrong_kind(key, value, fault);
    struct network *networks = arena_alloc(place->arena, count * sizeof *networks);
    for (size_t i = 0; i < count; i++) {
        struct bytes text;
        struct err why;
        if (!json_text(json_item(value, i), &text)) return wrong_kind(key, json_item(value, i), fault);
        if (!network_parse(text, &networks[i], &why)) return err_set(fault, "%s", why.text);
        if (networks[i].bits == 0)
            return err_set(fault, "'%.*s' is the whole internet (name the networks that are yours)",
                           BYTES_FMT(text));
    }
    struct {
        struct network *at;
        size_t count;
    } list = {networks, count};
    memcpy(member(place, key), &list, sizeof list);
    return true;
}

static bool read_pairs(const struct conf_place *place, const struct conf_key *key, const struct json *value, struct err *fault) {
    size_t count = json_count(value);
    if (count > PAIRS_MAX || (json_kind(value) != JSON_LIST && count + (json_kind(value) != JSON_MAP))) return wrong_kind(key, value, fault);
    struct tls_pair *pairs = arena_alloc(place->arena, count * sizeof *pairs);
    for (size_t i = 0; i < count; i++) {
        const struct json *one = json_item(value, i);
        struct bytes certificate = BYTES(""), own_key = BYTES("");
        json_text(json_get(one, "certificate"), &certificate);
        json_text(json_get(one, "key"), &own_key);
        if (!certificate.len || !own_key.len || json_count(one) != 2)
            return err_set(fault, "number %zu is not { certificate = \"...\", key = \"...\" } (it must be %s)", i + 1, conf_kind_words(key));
        pairs[i] = (struct tls_pair){path_in(place, certificate), path_in(place, own_key)};
    }
    struct {
        struct tls_pair *at;
        size_t count;
    } list = {pairs, count};
    memcpy(member(place, key), &list, sizeof list);
    return true;
}

// ---- any ----------------------------------------------------------------------------------------

bool conf_value_read(const struct conf_place *place, const struct conf_key *key, const struct json *value,
                     struct err *fault) {
    bool truth;
    switch (key->kind) {
    case CONF_BOOL:
        if (!json_bool(value, &truth)) return wrong_kind(key, value, fault);
        memcpy(member(place, key), &truth, sizeof truth);
        return true;
    case CONF_COUNT:
    case CONF_NUMBER:
        return read_number(place, key, value, fault);
    case CONF_SIZE:
        return read_size(place, key, value, fault);
    case CONF_DURATION:
    case CONF_MILLIS:
        return read_duration(place, key, value, fault);
    case CONF_SERVERS:
        return read_servers(place, key, value, fault);
    case CONF_WEB_HOSTS:
        return read_web_hosts(place, key, value, fault);
    case CONF_FIELDS:
        return read_fields(place, key, value, fault);
    case CONF_NETWORKS:
        return read_networks(place, key, value, fault);
    case CONF_PAIRS:
        return read_pairs(place, key, value, fault);
    case CONF_LISTENERS:
        bug_if("listeners are read by conf.c");
    default:
        return read_text(place, key, value, fault);
    }
}

// The row's default is written as a person would write it; as JSON it is a number or a text; of a list it has the names.
void conf_value_unset(const struct conf_place *place, const struct conf_key *key) {
    if (!key->unset) return;
    if (key->kind == CONF_FIELDS) return put_text(place, key, key->unset);
    bool bare = key->kind == CONF_BOOL || key->kind == CONF_COUNT || key->kind == CONF_NUMBER;
    struct buf text = {0};
    buf_format(&text, bare ? "%s" : "\"%s\"", key->unset);
    struct json *value = json_parse(buf_bytes(&text), NULL);
    struct err fault;
    bug_if(!value || !conf_value_read(place, key, value, &fault));
    json_free(&value);
    buf_release(&text);
}

bool conf_value_same(const struct conf_key *key, const void *a, const void *b) {
    const char *x = (const char *)a + key->at, *y = (const char *)b + key->at;
    const char *one, *other;
    switch (key->kind) {
    case CONF_TEXT:
    case CONF_PATH:
    case CONF_HOST:
    case CONF_CHOICE:
    case CONF_SERVERS:
    case CONF_WEB_HOSTS:
    case CONF_FIELDS:
        memcpy(&one, x, sizeof one);
        memcpy(&other, y, sizeof other);
        return one == other || (one && other && strcmp(one, other) == 0);
    default:
        return memcmp(x, y, key->size) == 0;
    }
}
