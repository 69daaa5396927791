// SPDX-License-Identifier: MIT
#include "relay/suppression_control.h"

#include "base/nearest.h"
#include "mail/address.h"
#include "relay/deed.h"
#include "relay/suppression_import.h"
#include "relay/suppression_line.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <sysexits.h>

enum { PIECE = 4000, LIST_DEFAULT = 100 };

static int64_t now_of(struct asker *a) {
    return clock_ms(&asker_gateway(a)->clock);
}

static void done(struct asker *a, uint64_t count) {
    struct jsonl *j = asker_done_begin(a);
    jsonl_int(j, "count", (int64_t)count);
    asker_done_end(a);
}

static void show_row(struct asker *a, const struct suppression *s) {
    struct buf row = {0};
    suppression_line_json(s, &row);
    asker_row(a, buf_bytes(&row));
    buf_release(&row);
}

// ---- add, remove --------------------------------------------------------------------------------

struct change {
    struct deed deed; // first
    struct asker *asker;
    struct arena arena;
    struct suppression entry;
    bool remove;
    uint64_t count;
};

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct change *c = (struct change *)op;
    const struct suppression *s = &c->entry;
    if (c->remove) return txn_drop_suppression(txn, s->address, s->scope, &c->count, err);
    c->count = 1;
    return txn_put_suppression(txn, s, SUPPRESSION_REPLACE, s->added_ms, err);
}

static void changed(struct deed *e) {
    struct change *c = (struct change *)e;
    if (e->stored)
        done(c->asker, c->count);
    else
        asker_error(c->asker, EX_IOERR, "suppression: %s", e->why.text);
    arena_release(&c->arena);
    free(c);
}

static struct bytes text_of(const struct json *request, const char *name, const char *otherwise) {
    struct bytes text;
    return json_text(json_get(request, name), &text) ? text : bytes_of(otherwise);
}

static bool read_entry(const struct json *request, int64_t now, struct arena *arena, struct suppression *out,
                       struct err *err) {
    struct buf address = {0};
    int64_t until_ms = 0;
    if (!address_listed(text_of(request, "address", ""), &address, err)) return err_within(err, "address");
    bool timed = asker_until(request, now, &until_ms, err);
    *out = (struct suppression){.address = arena_copy(arena, buf_bytes(&address)),
                                .scope = arena_copy(arena, text_of(request, "scope", "")),
                                .reason = arena_copy(arena, text_of(request, "reason", "")),
                                .source = arena_copy(arena, text_of(request, "source", "operator")),
                                .added_ms = now,
                                .until_ms = until_ms};
    buf_release(&address);
    return timed;
}

static void change(struct asker *a, const struct json *request, bool remove) {
    struct err err;
    struct change *c = must_alloc(sizeof *c);
    c->asker = a;
    c->remove = remove;
    bool good = read_entry(request, now_of(a), &c->arena, &c->entry, &err);
    if (good && !remove) {
        if (!c->entry.scope.len) c->entry.scope = BYTES("all");
        good = suppression_check(&c->entry, &err);
    } else if (good && c->entry.scope.len && !suppression_scope_is_valid(c->entry.scope)) {
        good = err_set(&err, "the scope is all, stream:NAME or identity:NAME");
    }
    if (!good) {
        arena_release(&c->arena);
        free(c);
        return asker_error(a, EX_USAGE, "suppression: %s", err.text);
    }
    deed_run(&c->deed, asker_gateway(a), apply, changed);
}

// ---- has: all entries in force for an address and its domain ------------------------------------

struct having {
    struct asker *asker;
    uint64_t count;
};

static bool show_one(void *arg, const struct suppression *s) {
    struct having *h = arg;
    h->count++;
    show_row(h->asker, s);
    return true;
}

static void has(struct asker *a, const struct json *request) {
    struct err err;
    struct having h = {.asker = a};
    struct buf address = {0};
    bool good = address_listed(text_of(request, "address", ""), &address, &err);
    struct reader *r = good ? reader_new(asker_gateway(a)->store, &err) : NULL;
    bool looked = r;
    if (looked) {
        ptrdiff_t at = bytes_find_last(buf_bytes(&address), '@');
        reader_begin(r);
        reader_suppressions_of(r, buf_bytes(&address), now_of(a), show_one, &h);
        if (at > 0)
            reader_suppressions_of(r, bytes_skip(buf_bytes(&address), (size_t)at), now_of(a), show_one, &h);
        reader_end(r);
        reader_free(&r);
    }
    buf_release(&address);
    if (looked)
        done(a, h.count);
    else
        asker_error(a, good ? EX_OSERR : EX_USAGE, "suppression: %s%s", good ? "" : "address: ", err.text);
}

// ---- list, export, count ------------------------------------------------------------------------

struct walk {
    struct asker *asker;
    char *address, *domain, *scope, *reason; // patterns; NULL: not given
    bool count_only, complete, begun;
    uint64_t count, limit;               // 0: no limit
    int64_t now;                         // of the whole walk
    size_t seen;                         // in this piece
    struct buf last_address, last_scope; // where it stands
    struct task go_on;
};

static void free_walk(struct walk *w) {
    buf_release(&w->last_address);
    buf_release(&w->last_scope);
    free(w->address);
    free(w->domain);
    free(w->scope);
    free(w->reason);
    free(w);
}

static void end_walk(struct walk *w) {
    struct asker *a = w->asker;
    uint64_t count = w->count;
    free_walk(w);
    done(a, count);
}

static void fail_walk(struct walk *w, const struct err *why) {
    struct asker *a = w->asker;
    free_walk(w);
    asker_error(a, EX_OSERR, "suppression: %s", why->text);
}

// The whole text, or anything with * as wildcard; case does not count.
static bool like(struct bytes text, const char *pattern) {
    if (!pattern) return true;
    if (!strpbrk(pattern, "*?[")) return bytes_equal_nocase(text, bytes_of(pattern));
    char *z = bytes_dupz(text);
    bool hit = fnmatch(pattern, z, FNM_CASEFOLD) == 0;
    free(z);
    return hit;
}

static bool matches(const struct walk *w, const struct suppression *s) {
    struct bytes domain = bytes_skip(s->address, (size_t)(bytes_find_last(s->address, '@') + 1));
    return like(s->address, w->address) && like(domain, w->domain) && like(s->scope, w->scope) &&
           like(s->reason, w->reason);
}

static void stand_at(struct walk *w, const struct suppression *s) {
    buf_reset(&w->last_address);
    buf_add(&w->last_address, s->address);
    buf_reset(&w->last_scope);
    buf_add(&w->last_scope, s->scope);
    w->begun = true;
}

static bool visit(void *arg, const struct suppression *s) {
    struct walk *w = arg;
    if (matches(w, s)) {
        if (!w->count_only) show_row(w->asker, s);
        w->count++;
        w->complete = w->limit && w->count >= w->limit;
    }
    bool more = !w->complete && ++w->seen < PIECE && (w->count_only || !asker_is_full(w->asker));
    if (!more) stand_at(w, s);
    return more;
}

static void step(struct walk *w);
static void on_go_on(struct task *task) {
    step((struct walk *)((char *)task - offsetof(struct walk, go_on)));
}
static void on_ready(void *arg) {
    step(arg);
}

static void step(struct walk *w) {
    if (asker_is_gone(w->asker) || w->complete) return end_walk(w);
    struct suppression at = {.address = buf_bytes(&w->last_address), .scope = buf_bytes(&w->last_scope)};
    struct err err;
    w->seen = 0;
    struct reader *r = reader_new(asker_gateway(w->asker)->store,
                                  &err); // not kept: the store may close before a slow listener
    if (!r) return fail_walk(w, &err);
    reader_begin(r);
    if (reader_suppressions(r, w->begun ? &at : NULL, w->now, visit, w)) w->complete = true;
    reader_end(r);
    reader_free(&r);
    if (asker_is_full(w->asker)) return asker_when_ready(w->asker, on_ready, w);
    w->go_on.run = on_go_on;
    loop_post(asker_gateway(w->asker)->loop, &w->go_on);
}

static bool read_filter(struct walk *w, const struct json *filter, struct err *err) {
    const struct {
        const char *name;
        char **to;
    } known[] = {
        {"address", &w->address}, {"domain", &w->domain}, {"scope", &w->scope}, {"reason", &w->reason}};
    void *at = NULL;
    struct bytes name, text;
    const struct json *value;
    while (json_next(filter, &at, &name, &value)) {
        struct nearest near = nearest_to(name);
        char **to = NULL;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            nearest_offer(&near, known[i].name);
            if (bytes_equal(name, bytes_of(known[i].name))) to = known[i].to;
        }
        if (to && json_text(value, &text)) {
            *to = bytes_dupz(text);
            continue;
        }
        struct buf hint = {0};
        if (!to) nearest_hint(&near, &hint);
        err_set(err, to ? "filter '%.*s' is a text%s" : "unknown filter '%.*s'%s", BYTES_FMT(name),
                buf_z(&hint));
        buf_release(&hint);
        return false;
    }
    return true;
}

static void list(struct asker *a, const struct json *request, uint64_t limit, bool count_only) {
    struct err err;
    struct walk *w = must_alloc(sizeof *w);
    const struct json *filter = json_get(request, "filter"), *said = json_get(request, "limit");
    int64_t n = (int64_t)limit;
    w->asker = a;
    w->now = now_of(a);
    w->count_only = count_only;
    bool good = !filter || json_kind(filter) == JSON_MAP || err_set(&err, "filter is an object");
    if (good && said && (!json_int(said, &n) || n < 0)) good = err_set(&err, "limit is a number; 0: all");
    w->limit = (uint64_t)n;
    good = good && read_filter(w, filter, &err);
    if (good) return step(w);
    free_walk(w);
    asker_error(a, EX_USAGE, "suppression: %s", err.text);
}

// ---- the request --------------------------------------------------------------------------------

static void do_add(struct asker *a, const struct json *request) {
    change(a, request, false);
}
static void do_remove(struct asker *a, const struct json *request) {
    change(a, request, true);
}
static void do_list(struct asker *a, const struct json *request) {
    list(a, request, LIST_DEFAULT, false);
}
static void do_export(struct asker *a, const struct json *request) {
    list(a, request, 0, false);
}
static void do_count(struct asker *a, const struct json *request) {
    list(a, request, 0, true);
}

static const struct {
    const char *name;
    void (*run)(struct asker *a, const struct json *request);
} actions[] = {{"add", do_add},
               {"remove", do_remove},
               {"has", has},
               {"list", do_list},
               {"export", do_export},
               {"count", do_count},
               {"import", suppression_import}};

void suppression_control(struct asker *a, const struct json *request) {
    struct bytes action = text_of(request, "action", "");
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (bytes_equal(action, bytes_of(actions[i].name))) return actions[i].run(a, request);
    asker_error(a, EX_USAGE, "suppression: action is one of add, remove, has, list, export, count, import");
}
