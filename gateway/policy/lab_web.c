// SPDX-License-Identifier: MIT
#include "policy/lab_web.h"

#include "base/jsonl.h"
#include "base/map.h"

#include <stdlib.h>

struct lesson {
    struct json *answers;
    size_t next; // of a list
};

struct lab_web {
    struct map lessons; // by request
    struct buf asked;
    struct buf key;
};

struct lab_web *lab_web_new(void) {
    return must_alloc(sizeof(struct lab_web));
}

static void drop(struct lesson *l) {
    if (!l) return;
    json_free(&l->answers);
    free(l);
}

void lab_web_clear(struct lab_web *web) {
    size_t at = 0;
    struct bytes key;
    void *lesson;
    while (map_next(&web->lessons, &at, &key, &lesson))
        drop(lesson);
    map_release(&web->lessons);
    buf_reset(&web->asked);
}

void lab_web_free(struct lab_web **at) {
    struct lab_web *web = *at;
    *at = NULL;
    if (!web) return;
    lab_web_clear(web);
    buf_release(&web->asked);
    buf_release(&web->key);
    free(web);
}

// ---- lessons

static bool check_headers(const struct json *headers, struct err *err) {
    if (json_kind(headers) == JSON_NOTHING) return true;
    if (json_kind(headers) != JSON_MAP) return err_set(err, "headers: texts by name are expected");
    void *at = NULL;
    struct bytes name, text;
    const struct json *value;
    while (json_next(headers, &at, &name, &value))
        if (!json_text(value, &text))
            return err_set(err, "headers: %.*s: a text is expected", BYTES_FMT(name));
    return true;
}

static bool check_answer(const struct json *answer, struct err *err) {
    struct bytes text;
    int64_t status;
    if (json_text(answer, &text)) return true;
    if (!json_int(json_get(answer, "status"), &status) || status < 200 || status > 599)
        return err_set(
            err, "an answer is { status = 200, body = \"...\" }, or a text that says why there is none");
    const struct json *body = json_get(answer, "body");
    if (body && !json_text(body, &text)) return err_set(err, "body: a text is expected");
    return check_headers(json_get(answer, "headers"), err);
}

// A copy of the tree: the caller keeps its own.
static struct json *copy(const struct json *from, struct err *err) {
    struct buf text = {0};
    json_write(from, &text);
    struct json *tree = json_parse(buf_bytes(&text), err);
    buf_release(&text);
    return tree;
}

bool lab_web_teach(struct lab_web *web, struct bytes request, const struct json *answers, struct err *err) {
    bool list = json_kind(answers) == JSON_LIST;
    bool ok =
        list ? json_count(answers) || err_set(err, "a list of answers is empty") : check_answer(answers, err);
    for (size_t i = 0; ok && list && i < json_count(answers); i++)
        ok = check_answer(json_item(answers, i), err);
    struct bytes rest = request, method = bytes_cut(&rest, ' ');
    struct fetch_place place;
    ok = ok && ((method.len && rest.len) ||
                err_set(err, "a request is named as \"GET https://api.example.com/x\""));
    ok = ok && fetch_place(rest, &place, err);
    struct json *tree = ok ? copy(answers, err) : NULL;
    if (!tree) return err_within(err, "%.*s", BYTES_FMT(bytes_first(request, 200)));
    struct lesson *l = must_alloc(sizeof *l);
    l->answers = tree;
    drop(map_put(&web->lessons, request, l));
    return true;
}

// ---- asking

static void remember(struct lab_web *web, const struct fetch_request *r) {
    if (web->asked.len) buf_byte(&web->asked, ',');
    struct jsonl j = jsonl_begin(&web->asked);
    jsonl_text(&j, "request", buf_bytes(&web->key));
    if (r->header_count) jsonl_open(&j, "headers", '{');
    for (size_t i = 0; i < r->header_count; i++) {
        char *name = bytes_dupz(r->headers[i].name);
        jsonl_text(&j, name, r->headers[i].value);
        free(name);
    }
    if (r->header_count) jsonl_close(&j, '}');
    if (r->body.len) jsonl_text(&j, "body", r->body);
    jsonl_close(&j, '}');
}

static void put_headers(const struct json *headers, struct arena *arena, struct fetch_answer *out) {
    size_t count = json_count(headers), n = 0;
    struct fetch_header *list = arena_alloc(arena, count * sizeof *list + 1);
    void *at = NULL;
    struct bytes name, text = {0};
    const struct json *value;
    while (n < count && json_next(headers, &at, &name, &value)) {
        char *lower = arena_z(arena, name);
        for (size_t i = 0; i < name.len; i++)
            lower[i] = byte_lower(lower[i]);
        if (json_text(value, &text))
            list[n++] = (struct fetch_header){bytes_range(lower, name.len), arena_copy(arena, text)};
    }
    out->headers = list;
    out->header_count = n;
}

static void put_answer(const struct json *answer, struct arena *arena, struct fetch_answer *out) {
    struct bytes text = {0};
    int64_t status = 0;
    if (json_text(answer, &text)) {
        out->why = arena_z(arena, text);
        out->temporary = true;
        return;
    }
    if (json_int(json_get(answer, "status"), &status)) out->status = (int)status;
    if (json_text(json_get(answer, "body"), &text)) out->body = arena_copy(arena, text);
    put_headers(json_get(answer, "headers"), arena, out);
}

void lab_web_answer(void *arg, const struct fetch_request *r, struct arena *arena, struct fetch_answer *out) {
    struct lab_web *web = arg;
    buf_reset(&web->key);
    buf_format(&web->key, "%s %.*s", r->method ? r->method : "GET", BYTES_FMT(r->url));
    remember(web, r);
    struct lesson *l = map_get(&web->lessons, buf_bytes(&web->key));
    if (!l) {
        out->why = arena_format(arena, "nothing was said of %.*s", BYTES_FMT(buf_bytes(&web->key))).at;
        return;
    }
    bool list = json_kind(l->answers) == JSON_LIST;
    put_answer(list ? json_item(l->answers, l->next) : l->answers, arena, out);
    if (list && l->next + 1 < json_count(l->answers)) l->next++;
}

struct bytes lab_web_asked(const struct lab_web *web) {
    return buf_bytes(&web->asked);
}

void lab_web_forget_asked(struct lab_web *web) {
    buf_reset(&web->asked);
}
