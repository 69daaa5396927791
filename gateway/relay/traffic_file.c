// SPDX-License-Identifier: MIT
// traffic_file: reads what traffic is made of. [contract: traffic_inside.h]
#include "base/clock.h"
#include "mail/address.h"
#include "relay/fields.h"
#include "relay/traffic_inside.h"
#include "script/values.h"

#include <stdlib.h>

enum { STREAMS_MAX = 1000, DAY_MS = 86400 * 1000, PER_DAY_MAX = 100000000, RECIPIENTS_MAX = 1000 };

static const char *const stream_keys[] = {"name", "per_day", "hours", "weekdays", "days", "user", "sender", "to", "addresses",
                                          "recipients", "size", "headers", "tags", "client_ip", "trusted", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

// ---- weights: "one", { "this", "that" }, or { ["this"] = 3, ["that"] = 1 }

static void add_choice(struct choice *c, struct bytes name, double weight) {
    double before = c->count ? c->upto[c->count - 1] : 0;
    c->names[c->count] = name;
    c->upto[c->count++] = before + weight;
}

static void read_choice(struct fields *f, const struct json *map, const char *name, struct choice *out) {
    const struct json *value = json_get(map, name);
    struct bytes *texts;
    char was[300];
    size_t count = json_kind(value) == JSON_MAP ? json_count(value) : fields_texts(f, map, name, &texts);
    out->names = arena_alloc(f->arena, (count + 1) * sizeof *out->names);
    out->upto = arena_alloc(f->arena, (count + 1) * sizeof *out->upto);
    if (json_kind(value) != JSON_MAP) {
        for (size_t i = 0; i < count; i++) add_choice(out, texts[i], 1);
        return;
    }
    fields_enter(f, bytes_of(name), was);
    const char **names = fields_names(f, value, &count);
    for (size_t i = 0; i < count; i++) {
        double weight = 0;
        fields_number(f, value, names[i], 0, 1e9, &weight);
        if (weight > 0) add_choice(out, bytes_of(names[i]), weight);
    }
    fields_leave(f, was);
}

static void check_senders(struct fields *f, const struct choice *c) {
    struct address address;
    for (size_t i = 0; i < c->count; i++)
        if (c->names[i].len && !address_parse(c->names[i], &address, NULL))
            fields_fault(f, "sender", "'%.*s' is no address", BYTES_FMT(c->names[i]));
}

static void check_domains(struct fields *f, const struct choice *c) {
    for (size_t i = 0; i < c->count; i++)
        if (!domain_is_valid(c->names[i])) fields_fault(f, "to", "'%.*s' is no domain", BYTES_FMT(c->names[i]));
}

// ---- when

static void read_hours(struct fields *f, const struct json *map, struct stream *s) {
    static const char *const keys[] = {"from", "to", NULL};
    const struct json *hours = json_get(map, "hours");
    char was[300];
    double sum = 0;
    int64_t from = 0, to = 24;
    if (json_kind(hours) == JSON_LIST && json_count(hours)) {
        if (json_count(hours) != 24) fields_fault(f, "hours", "24 weights are expected, from midnight UTC on, not %zu", json_count(hours));
        for (size_t i = 0; !f->bad && i < 24; i++)
            if (!json_number(json_item(hours, i), &s->hours[i]) || s->hours[i] < 0) fields_fault(f, "hours", "weight %zu is none", i + 1);
    } else {
        fields_enter(f, BYTES("hours"), was);
        if (hours) fields_known(f, hours, keys);
        fields_count(f, hours, "from", 0, 23, &from);
        fields_count(f, hours, "to", 1, 24, &to);
        if (to <= from) fields_fault(f, "to", "an hour after 'from' is expected");
        for (int64_t i = from; i < to && i < 24; i++) s->hours[i] = 1;
        fields_leave(f, was);
    }
    for (int i = 0; i < 24; i++) sum += s->hours[i];
    if (sum <= 0) fields_fault(f, "hours", "at least one weight above 0 is expected");
    for (int i = 0; i < 24; i++) s->hours[i] /= sum > 0 ? sum : 1;
}

static void read_days(struct fields *f, const struct json *map, struct stream *s) {
    static const char *const keys[] = {"from", "to", NULL};
    const struct json *days = json_get(map, "days"), *weekdays = json_get(map, "weekdays");
    char was[300];
    s->from_day = 1;
    s->to_day = INT64_MAX;
    fields_enter(f, BYTES("days"), was);
    if (days) fields_known(f, days, keys);
    fields_count(f, days, "from", 1, 100000, &s->from_day);
    fields_count(f, days, "to", 1, 100000, &s->to_day);
    if (s->to_day < s->from_day) fields_fault(f, "to", "a day not before 'from' is expected");
    fields_leave(f, was);
    for (int i = 0; i < 7; i++) s->weekdays[i] = 1;
    fields_enter(f, BYTES("weekdays"), was);
    if (weekdays) fields_known(f, weekdays, weekday_names);
    for (int i = 0; i < 7; i++) fields_number(f, weekdays, weekday_names[i], 0, 1000, &s->weekdays[i]);
    fields_leave(f, was);
}

// ---- what

static void read_recipients(struct fields *f, const struct json *map, struct stream *s) {
    const struct json *value = json_get(map, "recipients");
    s->recipients_least = s->recipients_most = 1;
    if (json_kind(value) != JSON_LIST) {
        if (fields_count(f, map, "recipients", 1, RECIPIENTS_MAX, &s->recipients_least)) s->recipients_most = s->recipients_least;
        return;
    }
    bool good = json_count(value) == 2 && json_int(json_item(value, 0), &s->recipients_least) &&
                json_int(json_item(value, 1), &s->recipients_most) && s->recipients_least >= 1 &&
                s->recipients_most >= s->recipients_least && s->recipients_most <= RECIPIENTS_MAX;
    if (!good) fields_fault(f, "recipients", "a number or { least, most } is expected, from 1 to %d", RECIPIENTS_MAX);
}

static bool is_field_name(struct bytes name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] <= ' ' || name.at[i] > '~' || name.at[i] == ':') return false;
    return name.len > 0 && name.len < 100;
}

static void read_head(struct fields *f, const struct json *map, struct stream *s, struct buf *head) {
    const struct json *headers = json_get(map, "headers");
    char was[300];
    size_t count;
    if (headers && json_kind(headers) != JSON_MAP && json_count(headers)) fields_fault(f, "headers", "a table of fields by name is expected");
    const char **names = fields_names(f, headers, &count);
    fields_enter(f, BYTES("headers"), was);
    for (size_t i = 0; i < count; i++) {
        struct bytes text = BYTES("");
        fields_text(f, headers, names[i], &text);
        if (!is_field_name(bytes_of(names[i])) || text.len > 900 || bytes_find(text, '\n') >= 0 || bytes_find(text, '\r') >= 0)
            fields_fault(f, names[i], "one line of a header field is expected");
        else buf_format(head, "%s: %.*s\r\n", names[i], BYTES_FMT(text));
    }
    fields_leave(f, was);
    s->head = arena_copy(f->arena, buf_bytes(head));
}

static void read_tags(struct fields *f, const struct json *map, struct stream *s) {
    const struct json *tags = json_get(map, "tags");
    struct buf text = {0};
    s->tags = BYTES("");
    if (!tags) return;
    if (json_kind(tags) != JSON_MAP) return fields_fault(f, "tags", "a table of tags by name is expected");
    json_write(tags, &text);
    s->tags = arena_copy(f->arena, buf_bytes(&text));
    buf_release(&text);
}

static void read_stream(struct fields *f, const struct json *map, struct stream *s, size_t i) {
    struct bytes name = arena_format(f->arena, "stream %zu", i + 1);
    struct buf head = {0};
    fields_known(f, map, stream_keys);
    fields_text(f, map, "name", &name);
    s->name = name.at;
    s->addresses = 10000;
    s->size = 10000;
    s->client_ip = BYTES("127.0.0.1");
    if (!fields_number(f, map, "per_day", 0, PER_DAY_MAX, &s->per_day)) fields_fault(f, "per_day", "is missing: how many messages a day");
    read_hours(f, map, s);
    read_days(f, map, s);
    read_choice(f, map, "user", &s->users);
    read_choice(f, map, "sender", &s->senders);
    read_choice(f, map, "to", &s->domains);
    if (!s->senders.count) fields_fault(f, "sender", "is missing: an address, several, or { [ADDRESS] = WEIGHT }");
    if (!s->domains.count) fields_fault(f, "to", "is missing: domains, or { [DOMAIN] = WEIGHT }");
    check_senders(f, &s->senders);
    check_domains(f, &s->domains);
    fields_count(f, map, "addresses", 1, 1000000000, &s->addresses);
    read_recipients(f, map, s);
    fields_size(f, map, "size", &s->size);
    read_head(f, map, s, &head);
    read_tags(f, map, s);
    fields_text(f, map, "client_ip", &s->client_ip);
    s->trusted = !s->users.count; // or nobody would take it
    fields_flag(f, map, "trusted", &s->trusted);
    buf_release(&head);
}

bool traffic_read_streams(struct traffic *t, struct bytes text, const char *file, struct err *err) {
    static const char *const keys[] = {"streams", NULL};
    struct buf json = {0};
    struct json *root = values_read(text, file, &json, err) ? json_parse(buf_bytes(&json), err) : NULL;
    struct fields f = {.file = file, .arena = &t->arena, .err = err, .start_ms = t->start_ms, .bad = !root};
    const struct json *list = json_get(root, "streams");
    char was[300];
    if (root) fields_known(&f, root, keys);
    size_t count = json_count(list);
    if (root && (json_kind(list) != JSON_LIST || !count || count > STREAMS_MAX))
        fields_fault(&f, "streams", "a list of 1 to %d streams is expected", STREAMS_MAX);
    t->streams = arena_alloc(&t->arena, (count + 1) * sizeof *t->streams);
    for (; !f.bad && t->stream_count < count; t->stream_count++) {
        fields_enter_item(&f, "streams", t->stream_count, was);
        read_stream(&f, json_item(list, t->stream_count), &t->streams[t->stream_count], t->stream_count);
        fields_leave(&f, was);
    }
    json_free(&root);
    buf_release(&json);
    return !f.bad;
}

// ---- a recorded day: the lines of `tidegate log --json` for what was received

static bool is_address(struct bytes text) {
    struct address address;
    return address_parse(text, &address, NULL);
}

static bool read_line(struct traffic *t, const struct json *j, struct recorded *r, struct err *err) {
    struct bytes time = BYTES(""), text = BYTES("");
    const struct json *list = json_get(j, "recipients");
    struct arrival *a = &r->arrival;
    int64_t at, size = 0;
    *r = (struct recorded){.arrival = {.client_ip = BYTES("127.0.0.1"), .head = BYTES(""), .tags = BYTES("")}};
    if (!json_text(json_get(j, "time"), &time) || !clock_from_iso(time, &at)) return err_set(err, "time: a time is expected");
    if (!json_text(json_get(j, "sender"), &a->sender)) return err_set(err, "sender: an address is expected, or \"\"");
    a->count = json_count(list);
    if (json_kind(list) != JSON_LIST || !a->count || a->count > RECIPIENTS_MAX) return err_set(err, "recipients: a list of addresses is expected");
    struct bytes *recipients = arena_alloc(&t->arena, a->count * sizeof *recipients);
    for (size_t i = 0; i < a->count; i++) {
        if (!json_text(json_item(list, i), &text) || !is_address(text)) return err_set(err, "recipients: number %zu is no address", i + 1);
        recipients[i] = arena_copy(&t->arena, text);
    }
    json_text(json_get(j, "user"), &a->user);
    json_text(json_get(j, "client_ip"), &a->client_ip);
    json_int(json_get(j, "size"), &size);
    if (json_kind(json_get(j, "tags")) == JSON_MAP) {
        struct buf tags = {0};
        json_write(json_get(j, "tags"), &tags);
        a->tags = arena_copy(&t->arena, buf_bytes(&tags));
        buf_release(&tags);
    }
    a->sender = arena_copy(&t->arena, a->sender);
    a->user = arena_copy(&t->arena, a->user);
    a->client_ip = arena_copy(&t->arena, a->client_ip);
    a->size = size > 0 ? (uint64_t)size : 0;
    a->trusted = !a->user.len;
    a->recipients = recipients;
    r->at_ms = at % DAY_MS;
    return true;
}

static int by_time(const void *a, const void *b) {
    const struct recorded *x = a, *y = b;
    if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static bool is_received(const struct json *j) {
    struct bytes type;
    return !json_text(json_get(j, "type"), &type) || bytes_equal(type, BYTES("received"));
}

bool traffic_read_day(struct traffic *t, struct bytes text, const char *file, struct err *err) {
    size_t room = 0, line = 0;
    while (text.len) {
        struct bytes one = bytes_trim(bytes_cut(&text, '\n'));
        line++;
        if (!one.len) continue;
        struct json *j = json_parse(one, err);
        bool wanted = j && is_received(j);
        if (wanted && t->recorded_count == room) {
            room = room ? room * 2 : 256;
            t->recorded = must_realloc(t->recorded, room * sizeof *t->recorded);
        }
        bool good = j && (!wanted || read_line(t, j, &t->recorded[t->recorded_count], err));
        if (good && wanted) t->recorded[t->recorded_count].line = line;
        t->recorded_count += good && wanted;
        json_free(&j);
        if (!good) return err_within(err, "%s:%zu", file, line);
    }
    if (!t->recorded_count) return err_set(err, "%s: no line of it is a message that was received", file);
    qsort(t->recorded, t->recorded_count, sizeof *t->recorded, by_time);
    return true;
}
