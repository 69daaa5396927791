// SPDX-License-Identifier: MIT
// reload: the verbs that ask the gateway to do one thing: reload, rollback, drain, resume.

#include "cli/ask.h"
#include "cli/replaying.h"
#include "cli/show.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
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
    printf("%s%s\n", buf_z(&line), json_get(done, "canary") ? ", on trial: `tidegate status` shows how it does" : "");
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

// ---- reload, with its gates

enum { FAILED = 1, TRIAL_S = 600, LEAST = 50, EXAMPLES = 2 };
static const char replay_unless[] = "fault > 0 or changed > 5% or mean_us > 2000";

// "5%" or "5": percent.
static bool read_percent(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && (!*end || strcmp(end, "%") == 0) && *out >= 0 && *out <= 100;
}

static int refuse(const struct call *call, int code, const char *gate, const char *why) {
    if (call_has(call, "json")) {
        struct buf line = {0};
        struct jsonl j = jsonl_begin(&line);
        jsonl_textz(&j, "refused", gate);
        jsonl_textz(&j, "because", why);
        jsonl_end(&j);
        fwrite(line.at, 1, line.len, stdout);
        buf_release(&line);
    }
    return tool_fail(call, code, "nothing was reloaded: refused at the gate '%s': %s", gate, why);
}

// Another verb, with the options that all have.
static int run_as(const struct call *call, const char *name, int (*run)(const struct call *call)) {
    struct call gate = *call;
    snprintf(gate.path, sizeof gate.path, "%s: %s", call->path, name);
    fprintf(stderr, "-- %s\n", name);
    int code = run(&gate);
    fflush(stdout);
    return code;
}

static int replay_gate(const struct call *call, const struct conf *conf) {
    int code = EX_OK;
    struct replaying r = {.conf = conf, .scripts = conf->scripts, .since_s = call_number(call, "replay", 0), .sample = call_text(call, "sample"),
                          .fail_if = call_has(call, "fail-if") ? call_text(call, "fail-if") : replay_unless, .examples = EXAMPLES};
    fprintf(stderr, "-- replay\n");
    if (replaying_run(&r, call, &code)) {
        replaying_print(&r, call_has(call, "json"));
        fflush(stdout);
        if (r.failed) code = refuse(call, FAILED, "replay", buf_z(&r.why));
        else code = EX_OK;
    }
    replaying_release(&r);
    return code;
}

// In the order of what they cost; what is plainly wrong is not asked about further.
static int pass_gates(const struct call *call, const struct conf *conf) {
    int code = run_as(call, "check", verb_check);
    if (code) return refuse(call, code, "check", "see above");
    if (call_has(call, "test") && (code = run_as(call, "test", verb_test)) != EX_OK) return refuse(call, code, "test", "see above");
    return call_has(call, "replay") ? replay_gate(call, conf) : EX_OK;
}

static bool read_shares(const struct call *call, double *share, double *margin) {
    const char *canary = call_text(call, "canary"), *points = call_text(call, "margin");
    *share = 0;
    *margin = 5;
    return !canary || (read_percent(canary, share) && (!points || read_percent(points, margin)));
}

static void write_request(const struct call *call, const char *version, struct buf *out) {
    double share, margin;
    struct jsonl j = jsonl_begin(out);
    jsonl_textz(&j, "verb", "reload");
    if (version) jsonl_textz(&j, "version", version);
    if (read_shares(call, &share, &margin) && call_has(call, "canary")) {
        jsonl_real(&j, "canary", share);
        jsonl_real(&j, "margin", margin);
        jsonl_int(&j, "for_s", call_number(call, "for", TRIAL_S));
        jsonl_int(&j, "least", call_number(call, "least", LEAST));
    }
    jsonl_end(&j);
}

static int send_request(const struct call *call, const char *version) {
    struct buf request = {0};
    write_request(call, version, &request);
    int code = change_version(call, buf_z(&request));
    buf_release(&request);
    return code;
}

// What goes through the gates is what is reloaded: the gateway refuses another version.
static int gated_reload(const struct call *call) {
    int code = EX_OK;
    struct err err;
    struct conf *conf = tool_conf_values(call, &code);
    if (!conf) return refuse(call, code, "check", "the configuration, see above");
    struct bundle *bundle = bundle_read(conf->scripts, conf->stdlib, &err);
    if (bundle) code = pass_gates(call, conf);
    else code = refuse(call, EX_CONFIG, "check", err.text);
    if (!code) code = send_request(call, bundle_version(bundle));
    if (bundle) bundle_free(&bundle);
    conf_free(&conf);
    return code;
}

static int end_trial(const struct call *call, const char *request, const char *words) {
    int code = EX_OK;
    struct json *done = ask_for(call, request, &code);
    if (done && call_has(call, "json")) print_json(done);
    else if (done) printf("%s\n", words);
    json_free(&done);
    return code;
}

int verb_reload(const struct call *call) {
    bool canary = call_has(call, "canary");
    double share, margin;
    if (!read_shares(call, &share, &margin)) return tool_fail(call, EX_USAGE, "--canary and --margin are shares: 5%%");
    if (!canary && (call_has(call, "for") || call_has(call, "margin") || call_has(call, "least")))
        return tool_fail(call, EX_USAGE, "--for, --margin and --least belong to --canary");
    if (!call_has(call, "replay") && (call_has(call, "fail-if") || call_has(call, "sample")))
        return tool_fail(call, EX_USAGE, "--fail-if and --sample belong to --replay");
    if (call_has(call, "promote"))
        return end_trial(call, "{\"verb\":\"canary\",\"action\":\"promote\"}\n", "promoting: `tidegate status` shows when it is in force");
    if (call_has(call, "withdraw"))
        return end_trial(call, "{\"verb\":\"canary\",\"action\":\"withdraw\"}\n", "taken back: all mail is on the policy in force");
    if (canary || call_has(call, "test") || call_has(call, "replay")) return gated_reload(call);
    return send_request(call, NULL);
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
