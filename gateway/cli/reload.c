// SPDX-License-Identifier: MIT
// reload: the verbs that ask the gateway to do one thing: reload, rollback, drain, resume.

#include "cli/ask.h"
#include "cli/show.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <sysexits.h>

// Asks, and gives what the gateway says of it; NULL: said why not on stderr.
static struct json *ask_for(const struct call *call, const char *request, int *code) {
    struct json *done = NULL;
    struct ask *ask = ask_open(call, code);
    if (!ask) return NULL;
    // Loading is bounded by the gateway itself; longer than this it is stuck.
    *code = ask_run(ask, bytes_of(request), 120, NULL, NULL, &done);
    ask_close(&ask);
    return done;
}

static void print_json(const struct json *done) {
    struct buf text = {0};
    json_write(done, &text);
    printf("%s\n", buf_z(&text));
    buf_release(&text);
}

static void print_list(const struct json *list, const char *prefix) {
    struct buf line = {0};
    for (size_t i = 0; i < json_count(list); i++) {
        buf_reset(&line);
        show_value(&line, "", json_item(list, i));
        printf("%s%s\n", prefix, buf_z(&line));
    }
    buf_release(&line);
}

static void print_version(const struct call *call, const struct json *done) {
    struct bytes version = BYTES("?"), was = BYTES("");
    int64_t took;
    struct buf line = {0};
    json_text(json_get(done, "version"), &version);
    json_text(json_get(done, "was"), &was);
    buf_format(&line, "%s: policy ", call->path);
    show_clean(&line, version);
    if (was.len) buf_format(&line, "%s (was ", bytes_equal(version, was) ? " as before" : "");
    if (was.len) show_clean(&line, was);
    if (was.len) buf_byte(&line, ')');
    if (json_int(json_get(done, "took_ms"), &took)) buf_format(&line, " in %lld ms", (long long)took);
    printf("%s\n", buf_z(&line));
    buf_release(&line);
    print_list(json_get(done, "changed"), "  ");
    print_list(json_get(done, "warnings"), "  warning: ");
}

static int change_version(const struct call *call, const char *request) {
    int code = EX_OK;
    struct json *done = ask_for(call, request, &code);
    if (done && call_has(call, "json"))
        print_json(done);
    else if (done)
        print_version(call, done);
    json_free(&done);
    return code;
}

int verb_reload(const struct call *call) {
    return change_version(call, "{\"verb\":\"reload\"}\n");
}

int verb_rollback(const struct call *call) {
    return change_version(call, "{\"verb\":\"rollback\"}\n");
}

static int set_draining(const struct call *call, const char *request, const char *words) {
    int code = EX_OK;
    struct json *done = ask_for(call, request, &code);
    if (done && call_has(call, "json"))
        print_json(done);
    else if (done)
        printf("%s\n", words);
    json_free(&done);
    return code;
}

int verb_drain(const struct call *call) {
    return set_draining(
        call, "{\"verb\":\"drain\"}\n",
        "draining: no new mail is taken, what is queued goes on leaving (`tidegate resume` ends it)");
}

int verb_resume(const struct call *call) {
    return set_draining(call, "{\"verb\":\"resume\"}\n", "taking mail again");
}
