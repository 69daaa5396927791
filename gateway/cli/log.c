// SPDX-License-Identifier: MIT
#include "base/jsonl.h"
#include "base/nearest.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <sysexits.h>

static void put_request(struct buf *out, const struct call *call) {
    struct jsonl j = jsonl_begin(out);
    jsonl_textz(&j, "verb", "log");
    jsonl_int(&j, "n", call_number(call, "lines", 20));
    if (call_has(call, "follow")) jsonl_bool(&j, "follow", true);
    static const char *const only[] = {"id", "address", "identity", "type"};
    for (size_t i = 0; i < sizeof only / sizeof *only; i++)
        if (call_has(call, only[i])) jsonl_textz(&j, only[i], call_text(call, only[i]));
    jsonl_end(&j);
}

static void put(struct buf *out, const struct json *event, const char *name, const char *before) {
    const struct json *value = json_get(event, name);
    struct bytes text;
    if (!value || (json_text(value, &text) && text.len == 0)) return;
    buf_addz(out, before);
    show_value(out, name, value);
}

// Of a reload and a canary: which policy, in the place of which.
static void put_versions(struct buf *out, const struct json *event) {
    put(out, event, "action", " ");
    put(out, event, "policy", " policy ");
    put(out, event, "was", ", was ");
}

// Time, type, id, who to whom, by which way, what was said, why.
static void put_event(struct buf *out, const struct json *event) {
    static const struct {
        const char *name, *before;
    } parts[] = {
        {"time", ""},          {"type", "  "},         {"id", " "},          {"sender", " from "},
        {"recipient", " to "}, {"recipients", " to "}, {"identity", " as "}, {"lane", " by "},
        {"hook", " in "},      {"state", " "},         {"until", " until "}, {"reply", ": "},
        {"due", "; next "},    {"because", " - "},     {"where", " at "},
    };
    enum { LANE = 7 };
    struct bytes type = {0};
    json_text(json_get(event, "type"), &type);
    bool refused = bytes_equal(type, BYTES("refused")); // of others it would be one word too many
    bool versions = bytes_equal(type, BYTES("reloaded")) || bytes_equal(type, BYTES("canary"));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        put(out, event, parts[i].name, parts[i].before);
        if (i == LANE) put(out, json_get(event, "limit"), "key", ", no room in ");
        if (i == 1 && versions) put_versions(out, event);
        if (i != 1 || !refused) continue;
        put(out, event, "stage", " at ");
        put(out, event, "client_ip", ", client ");
        put(out, event, "user", " logged in as ");
        put(out, event, "login", " logging in as ");
    }
}

static bool print_event(void *arg, const struct json *event, struct bytes text) {
    const struct call *call = arg;
    if (call_has(call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
    } else {
        struct buf line = {0};
        put_event(&line, event);
        printf("%s\n", buf_z(&line));
        buf_release(&line);
    }
    return fflush(stdout) == 0; // whoever reads along is gone: so are we
}

// All there are (relay/README.md): a slip would find nothing, and look as if nothing had happened.
static const char *const types[] = {
    "attempted", "bounced", "canary", "deferred", "deleted", "delivered", "discarded", "expired", "fault", "held", "lane",
    "limit", "received", "refused", "released", "reloaded", "routed", "suppressed", "token", "waiting", NULL,
};

static bool is_type(const struct call *call) {
    const char *type = call_text(call, "type");
    struct nearest near = nearest_to(bytes_of(type));
    struct buf hint = {0};
    for (const char *const *t = types; type && *t; t++) {
        if (strcmp(*t, type) == 0) return true;
        nearest_offer(&near, *t);
    }
    nearest_hint(&near, &hint);
    if (type) tool_fail(call, EX_USAGE, "--type: there are no events of type '%s'%s", type, buf_z(&hint));
    buf_release(&hint);
    return !type;
}

int verb_log(const struct call *call) {
    int code = EX_OK;
    if (!is_type(call)) return EX_USAGE;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct buf request = {0};
    put_request(&request, call);
    code = ask_run(ask, buf_bytes(&request), call_has(call, "follow") ? 0 : 60, print_event, (void *)call, NULL);
    buf_release(&request);
    ask_close(&ask);
    return code;
}
