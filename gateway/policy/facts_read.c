// SPDX-License-Identifier: MIT
// Facts from JSON, by the rows that show them to scripts: for those who ask the policy without live mail.
#include "base/nearest.h"
#include "policy/wall.h"

#include <stddef.h>
#include <stdlib.h>

struct reading {
    struct hook_facts *facts;
    struct arena *arena;
    struct err *err;
    const char *kind; // "session", for words
};

static bool refuse(struct reading *r, const char *name, const char *what) {
    return err_set(r->err, "%s.%s: %s is expected", r->kind, name, what);
}

static struct bytes keep(struct reading *r, struct bytes text) {
    return text.len ? arena_copy(r->arena, text) : BYTES("");
}

// ---- members of each kind

static bool read_text(struct reading *r, const struct json *value, struct bytes *out, const char *name) {
    struct bytes text;
    if (!json_text(value, &text)) return refuse(r, name, "a text");
    *out = keep(r, text);
    return true;
}

// A map as its JSON text; an empty one is "", as facts have it.
static bool read_map(struct reading *r, const struct json *value, struct bytes *out, const char *name) {
    if (json_kind(value) != JSON_MAP) return refuse(r, name, "a table of names and values");
    struct buf text = {0};
    if (json_count(value)) json_write(value, &text);
    *out = keep(r, buf_bytes(&text));
    buf_release(&text);
    return true;
}

static bool read_number(struct reading *r, const struct json *value, const struct field *f, void *member) {
    int64_t n;
    if (!json_int(value, &n) || n < 0) return refuse(r, f->name, "a whole number");
    bool fits = f->kind == FIELD_INT ? n <= INT32_MAX : f->kind != FIELD_UINT || n <= UINT32_MAX;
    if (!fits) return refuse(r, f->name, "a smaller number");
    if (f->kind == FIELD_INT)
        *(int *)member = (int)n;
    else if (f->kind == FIELD_UINT)
        *(uint32_t *)member = (uint32_t)n;
    else if (f->kind == FIELD_U64)
        *(uint64_t *)member = (uint64_t)n;
    else
        *(size_t *)member = (size_t)n;
    return true;
}

static bool read_seconds(struct reading *r, const struct json *value, const struct field *f, int64_t *ms) {
    double seconds;
    if (!json_number(value, &seconds) || seconds < 0 || seconds > 1e12)
        return refuse(r, f->name, "a time in seconds");
    *ms = (int64_t)(seconds * 1000 + 0.5);
    return true;
}

static bool read_truth(struct reading *r, const struct json *value, const struct field *f, bool *out) {
    if (!json_bool(value, out)) return refuse(r, f->name, "true or false");
    if (f->kind == FIELD_NOT) *out = !*out;
    return true;
}

// ---- members with a shape of their own

static bool read_recipients(struct reading *r, const struct json *value) {
    struct message_facts *m = &r->facts->message;
    size_t count = json_count(value);
    if (json_kind(value) != JSON_LIST) return refuse(r, "recipients", "a list of addresses");
    struct bytes *list = arena_alloc(r->arena, count * sizeof *list + 1);
    for (size_t i = 0; i < count; i++)
        if (!read_text(r, json_item(value, i), &list[i], "recipients")) return false;
    m->recipients = list;
    m->recipient_count = count;
    return true;
}

static bool read_reply(struct reading *r, const struct json *value) {
    struct bytes text;
    struct err err;
    if (!json_text(value, &text)) return refuse(r, "reply", "a text, as \"450 4.2.0 full\",");
    return reply_from_text(text, &r->facts->outcome.reply, &err) ||
           err_set(r->err, "outcome.reply: %s", err.text);
}

static bool read_special(struct reading *r, const struct field *f, const struct json *value) {
    if (strcmp(f->name, "session") == 0) return read_map(r, value, &r->facts->message.session, f->name);
    if (strcmp(f->name, "recipients") == 0) return read_recipients(r, value);
    if (strcmp(f->name, "last") == 0) return read_map(r, value, &r->facts->recipient.last_outcome, f->name);
    if (strcmp(f->name, "reply") == 0) return read_reply(r, value);
    return err_set(r->err, "%s.%s: follows from other facts and is not to be given", r->kind, f->name);
}

static bool read_field(struct reading *r, const struct field *f, const struct json *value) {
    void *member = (char *)r->facts + f->at;
    switch (f->kind) {
    case FIELD_TEXT:
        return read_text(r, value, member, f->name);
    case FIELD_INT:
    case FIELD_UINT:
    case FIELD_U64:
    case FIELD_SIZE:
        return read_number(r, value, f, member);
    case FIELD_TIME:
    case FIELD_AGE:
        return read_seconds(r, value, f, member);
    case FIELD_BOOL:
    case FIELD_NOT:
        return read_truth(r, value, f, member);
    case FIELD_JSON:
        return read_map(r, value, member, f->name);
    case FIELD_CALL:
        return read_special(r, f, value);
    }
    return true;
}

// ---- a kind

static bool read_named(struct reading *r, const struct field *fields, struct bytes name,
                       const struct json *value) {
    if (fields == facts_fields("message") && bytes_equal(name, BYTES("head")))
        return read_text(r, value, &r->facts->message.head, "head");
    char words[100];
    snprintf(words, sizeof words, "%.*s", BYTES_FMT(bytes_first(name, sizeof words - 1)));
    struct nearest near = nearest_to(bytes_of(words));
    for (const struct field *f = fields; f->name; f++) {
        if (strcmp(f->name, words) == 0) return read_field(r, f, value);
        nearest_offer(&near, f->name);
    }
    if (near.name)
        return err_set(r->err, "%s has no field '%s' (did you mean '%s'?)", r->kind, words, near.name);
    return err_set(r->err, "%s has no field '%s'", r->kind, words);
}

static bool read_kind(struct reading *r, const struct json *map) {
    const struct field *fields = facts_fields(r->kind);
    if (json_kind(map) != JSON_MAP)
        return json_kind(map) == JSON_NOTHING || err_set(r->err, "%s: a table is expected", r->kind);
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(map, &at, &name, &value))
        if (!read_named(r, fields, name, value)) return false;
    return true;
}

// ---- what follows from what was given

static bool read_id(struct reading *r) {
    struct message_facts *m = &r->facts->message;
    if (!m->id_text.len) return true;
    char digits[17], *end;
    snprintf(digits, sizeof digits, "%.*s", BYTES_FMT(bytes_first(m->id_text, 16)));
    m->id = strtoull(digits, &end, 16);
    return (m->id_text.len == 16 && !*end) || refuse(r, "id", "16 hex digits");
}

bool facts_read(struct hook_facts *f, struct arena *arena, const struct json *from, struct err *err) {
    static const char *const kinds[] = {"session",   "login",   "address", "message",
                                        "recipient", "outcome", NULL};
    struct reading r = {.facts = f, .arena = arena, .err = err};
    for (int k = 0; kinds[k]; k++) {
        r.kind = kinds[k];
        if (!read_kind(&r, json_get(from, r.kind))) return false;
    }
    r.kind = "event";
    const struct json *event = json_get(from, "event");
    if (event && !read_map(&r, event, &f->event, "event")) return false;
    f->has_session = json_get(from, "session");
    f->has_message = json_get(from, "message");
    if (!f->address.domain.len)
        facts_split_address(f->address.address, arena, &f->address.local, &f->address.domain);
    if (!f->recipient.domain.len)
        facts_split_address(f->recipient.address, arena, &f->recipient.local, &f->recipient.domain);
    r.kind = "message";
    return read_id(&r);
}
