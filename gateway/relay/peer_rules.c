// SPDX-License-Identifier: MIT
#include "relay/peer_rules.h"

#include "base/map.h"
#include "relay/fields.h"
#include "script/values.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW_MS = 86400 * 1000, CONNECT_MS = 50, LATENCY_MS = 150, LIST_MAX = 1000 };

static const char *const per_names[] = {"identity", "source", "login", "sender_domain", "all", NULL};
static const char *const rule_keys[] = {"domains", "hosts", "mx", "connect", "latency", "bounce", "defer", "greylist",
                                        "quota", "storms", "down", "connections", NULL};

static void take_reply(struct fields *f, const struct json *map, int klass, struct reply *reply) {
    struct bytes text;
    struct err why;
    if (!fields_text(f, map, "reply", &text)) return;
    if (!reply_from_text(text, reply, &why)) return fields_fault(f, "reply", "%s", why.text);
    bool fits = klass ? reply->code / 100 == klass : reply->code >= 400;
    if (!fits) fields_fault(f, "reply", "a reply with a code of %s is expected", klass == 5 ? "5xx" : klass == 4 ? "4xx" : "4xx or 5xx");
}

// { share = 0.01, reply = "550 5.1.1 no such user" }, or the share alone.
static void read_share(struct fields *f, const struct json *rule, const char *name, int klass, double *share, struct reply *reply) {
    static const char *const keys[] = {"share", "reply", NULL};
    const struct json *map = json_get(rule, name);
    char was[300];
    if (json_kind(map) != JSON_MAP) {
        fields_number(f, rule, name, 0, 1, share);
        return;
    }
    fields_enter(f, bytes_of(name), was);
    fields_known(f, map, keys);
    if (!fields_number(f, map, "share", 0, 1, share)) fields_fault(f, "share", "is missing: how many of all, from 0 to 1");
    take_reply(f, map, klass, reply);
    fields_leave(f, was);
}

static void read_greylist(struct fields *f, const struct json *rule, struct peer_rule *r) {
    static const char *const keys[] = {"time", "share", "reply", NULL};
    const struct json *map = json_get(rule, "greylist");
    char was[300];
    if (!map || f->bad) return;
    fields_enter(f, BYTES("greylist"), was);
    fields_known(f, map, keys);
    r->grey_ms = 300 * 1000;
    fields_duration(f, map, "time", &r->grey_ms);
    fields_number(f, map, "share", 0, 1, &r->grey_share);
    take_reply(f, map, 4, &r->grey_reply);
    fields_leave(f, was);
}

// A list of tables; one table alone is a list of one.
static size_t list_of(struct fields *f, const struct json *rule, const char *name) {
    const struct json *list = json_get(rule, name);
    if (json_kind(list) == JSON_MAP) return 1;
    if (list && json_kind(list) != JSON_LIST) fields_fault(f, name, "a table is expected");
    if (json_count(list) > LIST_MAX) fields_fault(f, name, "more than %d", LIST_MAX);
    return f->bad ? 0 : json_count(list);
}

static const struct json *nth(const struct json *rule, const char *name, size_t i) {
    const struct json *list = json_get(rule, name);
    return json_kind(list) == JSON_MAP ? list : json_item(list, i);
}

static void read_quotas(struct fields *f, const struct json *rule, struct peer_rule *r) {
    static const char *const keys[] = {"per", "messages", "recipients", "window", "reply", NULL};
    char was[300];
    r->quota_count = list_of(f, rule, "quota");
    r->quotas = arena_alloc(f->arena, (r->quota_count + 1) * sizeof *r->quotas);
    for (size_t i = 0; i < r->quota_count; i++) {
        const struct json *map = nth(rule, "quota", i);
        struct peer_quota *q = &r->quotas[i];
        int per = PER_IDENTITY;
        *q = (struct peer_quota){.window_ms = WINDOW_MS, .reply = reply_make(550, "5.4.5", "Daily user sending limit exceeded")};
        fields_enter_item(f, "quota", i, was);
        fields_known(f, map, keys);
        fields_choice(f, map, "per", per_names, &per);
        bool messages = fields_count(f, map, "messages", 0, 1000000000, &q->most);
        q->recipients = fields_count(f, map, "recipients", 0, 1000000000, &q->most);
        if (messages == q->recipients) fields_fault(f, "messages", "either messages or recipients is expected");
        if (fields_duration(f, map, "window", &q->window_ms) && !q->window_ms) fields_fault(f, "window", "longer than nothing is expected");
        take_reply(f, map, 0, &q->reply);
        q->per = (enum peer_per)per;
        fields_leave(f, was);
    }
}

static size_t read_spells(struct fields *f, const struct json *rule, const char *name, bool storm, struct peer_spell **out) {
    static const char *const storm_keys[] = {"from", "to", "share", "reply", NULL}, *const down_keys[] = {"from", "to", NULL};
    size_t count = list_of(f, rule, name);
    char was[300];
    *out = arena_alloc(f->arena, (count + 1) * sizeof **out);
    for (size_t i = 0; i < count; i++) {
        const struct json *map = nth(rule, name, i);
        struct peer_spell *s = &(*out)[i];
        *s = (struct peer_spell){.from_ms = f->start_ms, .to_ms = INT64_MAX, .share = 1,
                                 .reply = reply_make(451, "4.7.500", "Server busy. Please try again later")};
        fields_enter_item(f, name, i, was);
        fields_known(f, map, storm ? storm_keys : down_keys);
        fields_time(f, map, "from", &s->from_ms);
        fields_time(f, map, "to", &s->to_ms);
        if (s->to_ms <= s->from_ms) fields_fault(f, "to", "a time after 'from' is expected");
        if (storm) fields_number(f, map, "share", 0, 1, &s->share);
        if (storm) take_reply(f, map, 4, &s->reply);
        fields_leave(f, was);
    }
    return count;
}

static void read_connections(struct fields *f, const struct json *rule, struct peer_rule *r) {
    static const char *const keys[] = {"most", "per", "reply", NULL};
    const struct json *map = json_get(rule, "connections");
    int per = PER_SOURCE;
    char was[300];
    if (!map || f->bad) return;
    if (json_kind(map) != JSON_MAP) {
        fields_count(f, rule, "connections", 1, 1000000, &r->connections);
        return;
    }
    fields_enter(f, BYTES("connections"), was);
    fields_known(f, map, keys);
    fields_count(f, map, "most", 1, 1000000, &r->connections);
    fields_choice(f, map, "per", per_names, &per);
    take_reply(f, map, 4, &r->connections_reply);
    r->connections_per = (enum peer_per)per;
    fields_leave(f, was);
}

static struct peer_rule plain(const char *name) {
    return (struct peer_rule){
        .name = name, .connect_ms = CONNECT_MS, .latency_ms = LATENCY_MS, .mx = BYTES(""), .grey_share = 1,
        .connections_per = PER_SOURCE,
        .bounce_reply = reply_make(550, "5.1.1", "The email account that you tried to reach does not exist"),
        .defer_reply = reply_make(451, "4.3.0", "Temporary failure, try again later"),
        .grey_reply = reply_make(450, "4.7.1", "Greylisted, try again later"),
        .connections_reply = reply_make(421, "4.7.0", "Too many connections from your address"),
    };
}

static void read_rule(struct fields *f, const struct json *map, struct peer_rule *r) {
    fields_known(f, map, rule_keys);
    r->domain_count = fields_texts(f, map, "domains", &r->domains);
    r->host_count = fields_texts(f, map, "hosts", &r->hosts);
    fields_text(f, map, "mx", &r->mx);
    fields_duration(f, map, "connect", &r->connect_ms);
    fields_duration(f, map, "latency", &r->latency_ms);
    read_share(f, map, "bounce", 5, &r->bounce, &r->bounce_reply);
    read_share(f, map, "defer", 4, &r->defer, &r->defer_reply);
    read_greylist(f, map, r);
    read_quotas(f, map, r);
    r->storm_count = read_spells(f, map, "storms", true, &r->storms);
    r->down_count = read_spells(f, map, "down", false, &r->downs);
    read_connections(f, map, r);
}

static void add_place(struct fields *f, struct peer_rules *p, struct bytes place, struct peer_rule *rule) {
    const struct peer_rule *was = map_get(p->places, place);
    if (was && was != rule) fields_fault(f, "", "'%.*s' belongs to '%s' already", BYTES_FMT(place), was->name);
    map_put(p->places, place, rule);
}

static void read_file(struct fields *f, const struct json *root, struct peer_rules *p) {
    static const char *const keys[] = {"providers", "default", NULL};
    const struct json *providers = json_get(root, "providers");
    char was[300];
    fields_known(f, root, keys);
    if (providers && json_kind(providers) != JSON_MAP && json_count(providers)) fields_fault(f, "providers", "a table of providers by name is expected");
    const char **names = fields_names(f, providers, &p->count);
    p->rules = arena_alloc(&p->arena, (p->count + 1) * sizeof *p->rules);
    for (size_t i = 0; i < p->count; i++) p->rules[i] = plain(names[i]);
    for (size_t i = 0; i < p->count && !f->bad; i++) {
        struct peer_rule *r = &p->rules[i];
        fields_enter(f, BYTES("providers"), was);
        char within[300];
        fields_enter(f, bytes_of(r->name), within);
        read_rule(f, json_get(providers, r->name), r);
        for (size_t k = 0; k < r->domain_count; k++) add_place(f, p, r->domains[k], r);
        for (size_t k = 0; k < r->host_count; k++) add_place(f, p, r->hosts[k], r);
        if (!r->domain_count && !r->host_count) fields_fault(f, "domains", "either domains or hosts is expected");
        fields_leave(f, was);
    }
    if (!json_get(root, "default")) return;
    fields_enter(f, BYTES("default"), was);
    read_rule(f, json_get(root, "default"), &p->usual);
    if (p->usual.domain_count || p->usual.host_count) fields_fault(f, "domains", "the default is for all that no provider names");
    fields_leave(f, was);
}

struct peer_rules *peer_rules_usual(void) {
    struct peer_rules *p = must_alloc(sizeof *p);
    p->places = must_alloc(sizeof *p->places);
    p->usual = plain("");
    return p;
}

struct peer_rules *peer_rules_read(struct bytes text, const char *file, int64_t start_ms, struct err *err) {
    struct buf json = {0};
    struct peer_rules *p = peer_rules_usual();
    struct json *root = values_read(text, file, &json, err) ? json_parse(buf_bytes(&json), err) : NULL;
    struct fields f = {.file = file, .arena = &p->arena, .err = err, .start_ms = start_ms, .bad = !root};
    if (root) read_file(&f, root, p);
    json_free(&root);
    buf_release(&json);
    if (f.bad) peer_rules_free(&p);
    return p;
}

void peer_rules_free(struct peer_rules **at) {
    struct peer_rules *p = *at;
    *at = NULL;
    if (!p) return;
    map_release(p->places);
    free(p->places);
    arena_release(&p->arena);
    free(p);
}

const struct peer_rule *peer_rules_of(const struct peer_rules *p, struct bytes place) {
    const struct peer_rule *rule = map_get(p->places, place);
    for (struct bytes rest = place; !rule && rest.len;) {
        char wild[260];
        ptrdiff_t dot = bytes_find(rest, '.');
        if (dot < 0) break;
        rest = bytes_skip(rest, (size_t)dot + 1);
        int n = snprintf(wild, sizeof wild, "*.%.*s", BYTES_FMT(rest));
        if (n < (int)sizeof wild) rule = map_get(p->places, bytes_of(wild));
    }
    return rule ? rule : &p->usual;
}


