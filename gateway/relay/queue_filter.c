// SPDX-License-Identifier: MIT
#include "relay/queue_filter.h"

#include "base/nearest.h"

#include <fnmatch.h>
#include <stdlib.h>

// Longer than any message waits; and in milliseconds it still is a number.
static const int64_t older_than_most_s = 100 * INT64_C(366) * 86400;

void queue_filter_release(struct queue_filter *f) {
    free(f->sender);
    free(f->recipient);
    free(f->domain);
    free(f->identity);
    free(f->lane);
    free(f->state);
    json_free(&f->tags);
    *f = (struct queue_filter){0};
}

// ---- does it match? ----------------------------------------------------------------------------------------------------------

static struct bytes domain_of(struct bytes address) {
    ptrdiff_t at = bytes_find_last(address, '@');
    return at < 0 ? BYTES("") : bytes_skip(address, (size_t)at + 1);
}

// A whole address, "@domain", or anything with * as wildcard; case does not count.
static bool like(struct bytes address, const char *pattern) {
    if (pattern[0] == '@' && !strchr(pattern, '*')) return bytes_equal_nocase(domain_of(address), bytes_of(pattern + 1));
    if (!strpbrk(pattern, "*?[")) return bytes_equal_nocase(address, bytes_of(pattern));
    char *z = bytes_dupz(address);
    bool hit = fnmatch(pattern, z, FNM_CASEFOLD) == 0;
    free(z);
    return hit;
}

static bool tags_match(const struct json *wanted, struct bytes tags) {
    struct json *has = tags.len ? json_parse(tags, NULL) : NULL;
    bool match = has != NULL;
    void *at = NULL;
    struct bytes name, value, text;
    const struct json *v;
    while (match && json_next(wanted, &at, &name, &v)) {
        char *z = bytes_dupz(name);
        match = json_text(v, &value) && json_text(json_get(has, z), &text) && bytes_equal(value, text);
        free(z);
    }
    json_free(&has);
    return match;
}

bool queue_filter_matches(const struct queue_filter *f, const struct recipient *r, int64_t now_ms,
                          const struct message *(*message_of)(void *arg, uint64_t id), void *arg) {
    if (f->by_id && r->id != f->id) return false;
    if (f->state && strcmp(recipient_state_name[r->state], f->state) != 0) return false;
    if (f->recipient && !like(r->address, f->recipient)) return false;
    if (f->domain && !bytes_equal_nocase(domain_of(r->address), bytes_of(f->domain))) return false;
    if (f->lane && !bytes_equal(r->lane, bytes_of(f->lane))) return false;
    if (f->identity) { // a lane's key begins with its identity
        struct bytes lane = r->lane;
        if (!lane.len || !bytes_equal(bytes_cut(&lane, '|'), bytes_of(f->identity))) return false;
    }
    if (!f->sender && !f->older_than_ms && !f->tags) return true;
    const struct message *m = message_of(arg, r->id);
    if (!m || (f->sender && !like(m->sender, f->sender))) return false;
    if (f->older_than_ms && now_ms - m->received_ms < f->older_than_ms) return false;
    return !f->tags || tags_match(f->tags, m->tags);
}

// ---- reading the request -----------------------------------------------------------------------------------------------------

static bool read_text(const struct json *filter, const char *name, char **out) {
    struct bytes text;
    const struct json *v = json_get(filter, name);
    if (!v) return true;
    if (!json_text(v, &text)) return false;
    *out = bytes_dupz(text);
    return true;
}

static bool is_state(const char *name) {
    for (int s = RECIPIENT_DUE; s <= RECIPIENT_HELD; s++)
        if (strcmp(recipient_state_name[s], name) == 0) return true;
    return false;
}

// One that is not known might have been meant to spare something.
static bool knows_all(const struct json *filter, struct err *err) {
    static const char *const known[] = {"id", "sender", "recipient", "domain", "identity", "lane", "state", "older_than", "tag"};
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(filter, &at, &name, &value)) {
        struct nearest near = nearest_to(name);
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            nearest_offer(&near, known[i]);
            found = found || bytes_equal(name, bytes_of(known[i]));
        }
        if (found) continue;
        struct buf hint = {0};
        nearest_hint(&near, &hint);
        err_set(err, "unknown filter '%.*s'%s", BYTES_FMT(name), buf_z(&hint));
        buf_release(&hint);
        return false;
    }
    return true;
}

static bool read_age(const struct json *filter, int64_t *ms, struct err *err) {
    const struct json *older = json_get(filter, "older_than");
    int64_t s;
    if (!older) return true;
    if (!json_int(older, &s) || s < 0 || s > older_than_most_s) return err_set(err, "older_than is a number of seconds, at most a hundred years");
    *ms = s * 1000;
    return true;
}

static bool read_tags(const struct json *filter, struct json **out, struct err *err) {
    const struct json *tags = json_get(filter, "tag");
    if (!tags) return true;
    struct buf copy = {0};
    json_write(tags, &copy);
    *out = json_kind(tags) == JSON_MAP ? json_parse(buf_bytes(&copy), NULL) : NULL;
    buf_release(&copy);
    return *out || err_set(err, "tag is an object of names and texts");
}

bool queue_filter_read(const struct json *request, struct queue_filter *f, struct err *err) {
    const struct json *filter = json_get(request, "filter");
    struct bytes text;
    // Something else taken for an empty filter would mean the whole queue.
    if (filter && json_kind(filter) != JSON_MAP) return err_set(err, "filter is an object");
    if (!knows_all(filter, err)) return false;
    const struct json *id = json_get(request, "id") ? json_get(request, "id") : json_get(filter, "id");
    if (id) {
        f->by_id = true;
        if (!json_text(id, &text) || !id_parse(text, &f->id)) return err_set(err, "id: a message id is 16 hex digits");
    }
    if (!read_text(filter, "sender", &f->sender) || !read_text(filter, "recipient", &f->recipient) ||
        !read_text(filter, "domain", &f->domain) || !read_text(filter, "identity", &f->identity) ||
        !read_text(filter, "lane", &f->lane) || !read_text(filter, "state", &f->state))
        return err_set(err, "sender, recipient, domain, identity, lane and state are texts");
    if (f->state && !is_state(f->state)) return err_set(err, "state: '%s' is none of due, parked, held", f->state);
    return read_age(filter, &f->older_than_ms, err) && read_tags(filter, &f->tags, err);
}
