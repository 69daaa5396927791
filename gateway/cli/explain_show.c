// SPDX-License-Identifier: MIT
#include "cli/explain_show.h"

#include "base/quantity.h"
#include "cli/show.h"

enum { WIDTH = 100, LABEL = 14 };

// ---- lines: a label, and words behind it that are folded at the page's width

static void print_words(const struct explain_page *p, int indent, struct bytes words) {
    size_t column = (size_t)indent, room;
    bool first = true;
    while (words.len) {
        struct bytes word = bytes_cut(&words, ' ');
        size_t wide = show_columns(word);
        room = column < WIDTH ? WIDTH - column : 0;
        if (!word.len) continue;
        if (!first && wide + 1 > room) {
            fprintf(p->out, "\n%*s", indent, "");
            column = (size_t)indent;
            first = true;
        }
        fprintf(p->out, "%s%.*s", first ? "" : " ", BYTES_FMT(word));
        column += wide + !first;
        first = false;
    }
    fputc('\n', p->out);
}

static void print_line(const struct explain_page *p, int depth, const char *label, struct buf *words) {
    struct buf clean = {0}, name = {0};
    show_clean(&clean, buf_bytes(words));
    show_clean(&name, bytes_of(label));
    int indent = depth * 2;
    size_t wide = show_columns(buf_bytes(&name));
    fprintf(p->out, "%*s%s%*s", indent, "", buf_z(&name), (int)(wide < LABEL ? LABEL - wide : 1), "");
    print_words(p, indent + LABEL, buf_bytes(&clean));
    buf_release(&clean);
    buf_release(&name);
    buf_reset(words);
}

// ---- parts

static struct bytes text_of(const struct json *map, const char *name) {
    struct bytes text = BYTES("");
    json_text(json_get(map, name), &text);
    return text;
}

static int64_t int_of(const struct json *map, const char *name) {
    int64_t n = 0;
    json_int(json_get(map, name), &n);
    return n;
}

static bool is(const struct json *map, const char *name, const char *value) { return bytes_equal(text_of(map, name), bytes_of(value)); }

static void add_text(struct buf *out, const char *before, const struct json *map, const char *name) {
    struct bytes text = text_of(map, name);
    if (!text.len) return;
    buf_addz(out, before);
    buf_add(out, text);
}

static void add_origin(struct buf *out, const struct json *map) {
    bool fault = false;
    add_text(out, out->len ? ", " : "", map, "where");
    add_text(out, text_of(map, "where").len ? ": " : out->len ? ", " : "", map, "because");
    if (json_bool(json_get(map, "fault"), &fault) && fault) buf_addz(out, " (a fault of the policy)");
}

static void add_time(const struct explain_page *p, struct buf *out, const struct json *map, const char *name) {
    int64_t ms;
    if (!show_when(json_get(map, name), &ms)) return;
    show_time(out, ms);
    buf_addz(out, " (");
    show_relative(out, ms, p->now_ms);
    buf_byte(out, ')');
}

static void add_value(struct buf *out, const char *before, const struct json *map, const char *name) {
    const struct json *value = json_get(map, name);
    if (!value || show_is_empty(value)) return;
    buf_addz(out, before);
    show_value(out, name, value);
}

static void add_reply(struct buf *out, const char *before, const struct json *map) {
    const struct json *reply = json_get(map, "reply");
    if (!reply) return;
    buf_addz(out, before);
    if (json_kind(reply) == JSON_TEXT) buf_add(out, text_of(map, "reply"));
    else show_value(out, "reply", reply);
}

// "40 of 40 in 1d, no room before 2026-11-22 19:10:39 (in 3h)"
static void add_limit(const struct explain_page *p, struct buf *out, const struct json *l) {
    char window[QUANTITY_TEXT];
    bool room = true;
    quantity_duration_text(int_of(l, "window_s"), window);
    buf_format(out, "%lld of %lld used in any %s, %lld left", (long long)int_of(l, "used"), (long long)int_of(l, "cap"), window,
               (long long)int_of(l, "left"));
    if (json_get(l, "full_until")) {
        buf_addz(out, "; the peer says there is none until ");
        add_time(p, out, l, "full_until");
    }
    if (json_bool(json_get(l, "room"), &room) && !room) {
        buf_addz(out, "; no room before ");
        add_time(p, out, l, "room_at");
    } else if (json_get(l, "next_free")) {
        buf_addz(out, "; the next one falls free ");
        add_time(p, out, l, "next_free");
    }
}

// ---- what a hook looked up

static void add_answers(struct buf *out, const struct json *look) {
    const struct json *answers = json_get(look, "answers");
    for (size_t i = 0; i < json_count(answers); i++) {
        struct bytes one = BYTES("");
        json_text(json_item(answers, i), &one);
        buf_addz(out, i ? ", " : ": ");
        buf_add(out, one);
    }
    if (json_get(look, "failed")) add_text(out, ": ", look, "failed");
}

static void add_pool(struct buf *out, const struct json *pool) {
    const struct json *members = json_get(pool, "members");
    add_text(out, "by ", pool, "by");
    for (size_t i = 0; i < json_count(members); i++) {
        const struct json *m = json_item(members, i);
        buf_addz(out, i ? "; " : ": ");
        buf_add(out, text_of(m, "name"));
        if (json_get(m, "candidate")) buf_format(out, " is candidate %lld", (long long)int_of(m, "candidate"));
        add_text(out, " is not: ", m, "why");
    }
}

static void add_shaping(struct buf *out, const struct json *s) {
    add_text(out, "", s, "provider");
    add_text(out, ": ", s, "name");
    add_value(out, " ", s, "value");
    add_text(out, ", ", s, "layer");
    add_text(out, " for ", s, "group");
    add_text(out, ", ", s, "source");
    add_text(out, " of ", s, "date");
    add_text(out, " (", s, "where");
    if (text_of(s, "where").len) buf_byte(out, ')');
}

static void add_warmup(struct buf *out, const struct json *w) {
    add_text(out, "", w, "name");
    add_text(out, " at ", w, "provider");
    if (json_get(w, "cap")) buf_format(out, ": %lld a ", (long long)int_of(w, "cap"));
    else buf_addz(out, ": no cap any more by the ");
    add_text(out, "", w, "unit");
    add_text(out, " by ladder ", w, "ladder");
    add_text(out, ", ", w, "because");
}

static void add_suppression(struct buf *out, const struct json *s) {
    const struct json *found = json_get(s, "found");
    add_text(out, "", s, "suppression");
    add_value(out, " in ", s, "scopes");
    if (!found) {
        buf_addz(out, ": not on the list");
        return;
    }
    add_text(out, ": on the list as ", found, "address");
    add_text(out, " for ", found, "scope");
    add_text(out, ", ", found, "reason");
}

static void show_look(const struct explain_page *p, const struct json *look) {
    struct buf out = {0};
    const char *label = "looked up";
    if (json_get(look, "looked_up")) {
        add_text(&out, "", look, "looked_up");
        add_answers(&out, look);
    } else if (json_get(look, "provider")) {
        const struct json *v = json_get(look, "provider");
        label = "provider";
        add_text(&out, "", v, "group");
        add_text(&out, " for ", v, "domain");
        add_text(&out, ", by ", v, "how");
    } else if (json_get(look, "pool")) {
        label = "pool";
        add_pool(&out, json_get(look, "pool"));
    } else if (json_get(look, "shaping")) {
        label = "shaping";
        add_shaping(&out, json_get(look, "shaping"));
    } else if (json_get(look, "warmup")) {
        label = "warmup";
        add_warmup(&out, json_get(look, "warmup"));
    } else if (json_get(look, "suppression")) {
        label = "suppression";
        add_suppression(&out, look);
    } else if (json_get(look, "limit")) {
        label = "limit.left";
        buf_format(&out, "%lld of %lld left of ", (long long)int_of(look, "left"), (long long)int_of(look, "cap"));
        add_text(&out, "", look, "limit");
    } else {
        show_value(&out, "looked", look);
    }
    print_line(p, 1, label, &out);
    buf_release(&out);
}

// ---- a hook

static void add_via(struct buf *out, const struct json *plan) {
    const struct json *via = json_get(plan, "via");
    add_text(out, "by ", via, "kind");
    add_text(out, " ", via, "host");
    if (json_get(via, "port") && json_get(via, "host")) buf_format(out, ":%lld", (long long)int_of(via, "port"));
    add_text(out, " as ", json_get(via, "login"), "user");
    const struct json *mx = json_get(via, "mx");
    for (size_t i = 0; i < json_count(mx); i++) {
        struct bytes name = BYTES("");
        json_text(json_item(mx, i), &name);
        buf_format(out, "%s%.*s", i ? ", " : " (only ", BYTES_FMT(name));
    }
    if (json_count(mx)) buf_byte(out, ')');
}

static void show_way(const struct explain_page *p, const struct json *way, const struct json *plan, size_t number, bool taken) {
    struct buf out = {0};
    char label[32];
    bool room = true;
    const struct json *limits = json_get(way, "limits");
    json_bool(json_get(way, "room"), &room);
    snprintf(label, sizeof label, "way %zu", number);
    if (is(way, "do", "send")) {
        add_text(&out, "", way, "identity");
        if (out.len) buf_byte(&out, ' ');
        add_via(&out, plan);
        add_text(&out, ", tls ", way, "tls");
    } else {
        add_text(&out, "", way, "do");
    }
    buf_addz(&out, taken ? " -- TAKEN" : room ? " -- not needed" : " -- no room");
    print_line(p, 1, label, &out);
    if (json_get(way, "rests_until") || json_get(way, "paused")) {
        buf_addz(&out, json_get(way, "paused") ? "an operator has paused its lane" : "its lane rests until ");
        add_time(p, &out, way, "rests_until");
        add_text(&out, ": ", way, "rests_because");
        print_line(p, 2, "lane", &out);
    }
    for (size_t i = 0; i < json_count(limits); i++) {
        const struct json *l = json_item(limits, i);
        add_text(&out, "", l, "key");
        buf_addz(&out, ": ");
        add_limit(p, &out, l);
        print_line(p, 2, "limit", &out);
    }
    add_origin(&out, way);
    print_line(p, 2, "because", &out);
    buf_release(&out);
}

static void show_ways(const struct explain_page *p, const struct json *decision) {
    const struct json *ways = json_get(decision, "ways"), *plan = json_get(decision, "plan");
    for (size_t i = 0; i < json_count(ways); i++, plan = json_get(plan, "otherwise"))
        show_way(p, json_item(ways, i), plan, i + 1, int_of(decision, "goes") == (int64_t)i + 1);
}

static void show_answer(const struct explain_page *p, const struct json *row, const struct json *decision) {
    struct buf out = {0};
    char label[16];
    snprintf(label, sizeof label, "%.*s", BYTES_FMT(bytes_first(text_of(row, "hook"), 15)));
    add_text(&out, "", row, "of");
    if (out.len) buf_addz(&out, ": ");
    add_text(&out, "", decision, "kind");
    add_text(&out, " ", decision, "reply");
    add_origin(&out, decision);
    print_line(p, 0, label, &out);
    buf_release(&out);
}

static void show_more(const struct explain_page *p, const struct json *decision, const char *name, const char *label) {
    struct buf out = {0};
    add_value(&out, "", decision, name);
    if (out.len) print_line(p, 1, label, &out);
    buf_release(&out);
}

static void show_edits(const struct explain_page *p, const struct json *edits) {
    static const char *const verbs[] = {"add", "set", "remove"};
    struct buf out = {0};
    for (size_t i = 0; i < json_count(edits); i++) {
        const struct json *edit = json_item(edits, i);
        for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++) {
            if (!json_get(edit, verbs[v])) continue;
            buf_format(&out, "%s ", verbs[v]);
            buf_add(&out, text_of(edit, verbs[v]));
        }
        add_text(&out, ": ", edit, "value");
        print_line(p, 1, "header", &out);
    }
    buf_release(&out);
}

// A pool's members often ask for the same.
static bool is_repeated(const struct json *list, size_t i) {
    struct buf this = {0}, other = {0};
    bool repeated = false;
    json_write(json_item(list, i), &this);
    for (size_t k = 0; k < i && !repeated; k++) {
        buf_reset(&other);
        json_write(json_item(list, k), &other);
        repeated = bytes_equal(buf_bytes(&this), buf_bytes(&other));
    }
    buf_release(&this);
    buf_release(&other);
    return repeated;
}

static void show_hook(const struct explain_page *p, const struct json *row) {
    const struct json *decision = json_get(row, "decision"), *looked = json_get(decision, "looked");
    const struct json *log = json_get(decision, "log"), *limits = json_get(decision, "limits");
    struct buf out = {0};
    show_answer(p, row, decision);
    for (size_t i = 0; i < json_count(looked); i++)
        if (!is_repeated(looked, i)) show_look(p, json_item(looked, i));
    for (size_t i = 0; i < json_count(log); i++) {
        struct bytes line = BYTES("");
        json_text(json_item(log, i), &line);
        buf_add(&out, line);
        print_line(p, 1, "log", &out);
    }
    show_more(p, decision, "facts", "user facts");
    show_more(p, decision, "tags", "tags");
    show_edits(p, json_get(decision, "headers"));
    show_more(p, decision, "copies", "copies");
    for (size_t i = 0; i < json_count(limits); i++) {
        add_text(&out, "", json_item(limits, i), "key");
        buf_addz(&out, ": ");
        add_limit(p, &out, json_item(limits, i));
        print_line(p, 1, "limit", &out);
    }
    show_ways(p, decision);
    buf_release(&out);
}

// ---- the end of it

static void add_fate(const struct explain_page *p, struct buf *out, const struct json *row) {
    if (is(row, "fate", "sends")) {
        buf_addz(out, "would go now");
        add_text(out, " as ", row, "identity");
        buf_byte(out, ' ');
        add_via(out, row);
        add_text(out, ", tls ", row, "tls");
        if (json_get(row, "pause_ms")) buf_format(out, ", after a pause of %lld ms", (long long)int_of(row, "pause_ms"));
        add_text(out, ", lane ", row, "lane");
        return;
    }
    if (is(row, "fate", "waits")) {
        buf_addz(out, json_get(row, "until") ? "would wait until " : "would wait until an operator resumes its lane");
        add_time(p, out, row, "until");
        if (is(row, "waits_for", "lane")) buf_addz(out, json_get(row, "until") ? ": its way out rests" : "");
        else add_text(out, " for room in ", row, "waits_for");
        return;
    }
    static const char *const words[][2] = {{"holds", "would be held until an operator releases it"}, {"bounces", "would be given up, with a report to the sender"},
                                           {"suppressed", "would not be written to, with a report to the sender"},
                                           {"discarded", "would be forgotten, and nobody told"}, {"refused", "would be refused"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is(row, "fate", words[i][0])) buf_addz(out, words[i][1]);
    add_reply(out, ": ", row);
}

static void show_fate(const struct explain_page *p, const struct json *row) {
    struct buf out = {0};
    add_text(&out, "", row, "recipient");
    buf_byte(&out, ' ');
    add_fate(p, &out, row);
    print_line(p, 0, "==>", &out);
    add_origin(&out, row);
    if (out.len) print_line(p, 0, "", &out);
    buf_release(&out);
}

static void show_setting(const struct explain_page *p, const struct json *row) {
    struct buf out = {0};
    bool live = false;
    json_bool(json_get(row, "live"), &live);
    add_text(&out, "", row, "policy");
    buf_addz(&out, ", as of ");
    int64_t ms;
    if (show_when(json_get(row, "at"), &ms)) show_time(&out, ms);
    buf_addz(&out, live ? ", with the running gateway's limits, lanes and suppression list"
                        : ", offline: nothing counts as used or suppressed, no lane rests");
    print_line(p, 0, "policy", &out);
    buf_release(&out);
}

static void show_refused(const struct explain_page *p, const struct json *row) {
    struct buf out = {0};
    add_text(&out, "", row, "by");
    add_text(&out, ": ", row, "reply");
    add_text(&out, ", ", row, "because");
    print_line(p, 0, "protocol", &out);
    buf_release(&out);
}

// ---- the past

static void show_message(const struct explain_page *p, const struct json *row) {
    struct buf out = {0};
    add_text(&out, "", row, "id");
    add_text(&out, " from ", row, "sender");
    add_text(&out, ", user ", row, "user");
    buf_addz(&out, ", received ");
    add_time(p, &out, row, "received");
    buf_addz(&out, ", given up ");
    add_time(p, &out, row, "expires");
    add_value(&out, ", tags ", row, "tags");
    add_text(&out, ", taken by policy ", row, "policy");
    print_line(p, 0, "message", &out);
    buf_release(&out);
}

static void show_event(const struct explain_page *p, const struct json *row) {
    const struct json *event = json_get(row, "event");
    bool foreign = false;
    struct buf out = {0};
    int64_t ms;
    char label[16];
    snprintf(label, sizeof label, "%.*s", BYTES_FMT(bytes_first(text_of(event, "type"), 13)));
    if (show_when(json_get(event, "time"), &ms)) show_time(&out, ms);
    add_text(&out, " ", event, "recipient");
    add_text(&out, ", as ", event, "identity");
    add_text(&out, " by ", event, "lane");
    add_text(&out, " to ", event, "peer");
    add_reply(&out, ": ", event);
    if (json_get(event, "limit")) {
        const struct json *l = json_get(event, "limit");
        add_text(&out, "; limit ", l, "key");
        buf_format(&out, ": %lld of %lld used", (long long)int_of(l, "used"), (long long)int_of(l, "cap"));
        if (json_get(l, "unreachable")) buf_addz(&out, " as far as known, but the Redis in which it is shared was out of reach");
    }
    if (int_of(event, "attempt")) buf_format(&out, "; attempt %lld", (long long)int_of(event, "attempt"));
    if (json_get(event, "due") && show_when(json_get(event, "due"), &ms)) {
        buf_addz(&out, "; next ");
        show_time(&out, ms);
    }
    add_origin(&out, event);
    add_text(&out, ", policy ", event, "policy");
    if (json_bool(json_get(row, "foreign"), &foreign) && foreign)
        buf_addz(&out, "; the decisions behind it were recorded by another version of Tidegate, and are not read");
    print_line(p, 0, label, &out);
    buf_release(&out);
}

static void show_decided(const struct explain_page *p, const struct json *row) {
    const struct json *looked = json_get(row, "looked");
    struct buf out = {0};
    char label[16];
    int64_t ms;
    snprintf(label, sizeof label, "%.*s", BYTES_FMT(bytes_first(text_of(row, "hook"), 13)));
    if (show_when(json_get(row, "at"), &ms)) show_time(&out, ms);
    add_text(&out, " ", row, "of");
    add_text(&out, out.len ? ": " : "", row, "kind");
    add_reply(&out, " ", json_get(row, "decision"));
    add_origin(&out, row);
    add_text(&out, ", policy ", row, "policy");
    print_line(p, 0, label, &out);
    for (size_t i = 0; i < json_count(looked); i++) {
        add_text(&out, "", json_item(looked, i), "question");
        add_value(&out, ": ", json_item(looked, i), "answer");
        print_line(p, 1, "looked up", &out);
    }
    buf_release(&out);
}

static void add_reason(const struct explain_page *p, struct buf *out, const struct json *row) {
    const struct json *limit = json_get(row, "limit");
    if (limit) {
        add_text(out, "waits for room in limit ", limit, "key");
        if (json_get(limit, "used")) {
            buf_addz(out, ": ");
            add_limit(p, out, limit);
        }
        buf_addz(out, "; until ");
    } else if (is(row, "for", "lane")) {
        add_text(out, "waits for lane ", row, "lane");
        if (json_get(row, "paused")) buf_addz(out, ", which an operator has paused");
        else if (json_get(row, "rests_until")) buf_addz(out, ", which rests");
        else buf_addz(out, ", which has no room");
        add_text(out, " (", row, "rests_because");
        if (json_get(row, "rests_because")) buf_byte(out, ')');
        if (json_get(row, "until")) buf_addz(out, ", until ");
    } else if (is(row, "for", "operator")) {
        buf_addz(out, "is held until an operator releases it; expires ");
    } else if (is(row, "for", "work")) {
        buf_addz(out, "is being worked on, due since ");
    } else {
        buf_format(out, "waits for its next attempt after %lld, at ", (long long)int_of(row, "attempts"));
    }
    add_time(p, out, row, "until");
}

static void show_waiting(const struct explain_page *p, const struct json *row) {
    struct buf out = {0};
    const struct json *last = json_get(row, "last");
    add_text(&out, "", row, "recipient");
    buf_byte(&out, ' ');
    add_reason(p, &out, row);
    print_line(p, 0, "==>", &out);
    if (last) {
        add_text(&out, "at ", last, "stage");
        add_text(&out, " of ", last, "peer");
        add_reply(&out, ": ", last);
        print_line(p, 1, "last reply", &out);
    }
    if (json_get(row, "plan")) {
        add_text(&out, "", json_get(row, "plan"), "do");
        add_text(&out, " as ", json_get(json_get(row, "plan"), "identity"), "name");
        buf_byte(&out, ' ');
        add_via(&out, json_get(row, "plan"));
        print_line(p, 1, "plan", &out);
    }
    add_origin(&out, row);
    add_text(&out, ", policy ", row, "policy");
    if (out.len) print_line(p, 1, "because", &out);
    buf_release(&out);
}

void explain_show_row(struct explain_page *p, const struct json *row) {
    if (is(row, "step", "hook")) show_hook(p, row);
    else if (is(row, "step", "fate")) show_fate(p, row);
    else if (is(row, "step", "setting")) show_setting(p, row);
    else if (is(row, "step", "refused")) show_refused(p, row);
    else if (is(row, "step", "message")) show_message(p, row);
    else if (is(row, "step", "decided")) show_decided(p, row);
    else if (is(row, "step", "journal")) show_event(p, row);
    else if (is(row, "step", "waits")) show_waiting(p, row);
}
