// SPDX-License-Identifier: MIT
// explain: what would become of a message, and why; or what became of one, and what it waits for.

#include "cli/ask.h"
#include "cli/explain_show.h"
#include "cli/letter.h"
#include "cli/show.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include "base/jsonl.h"
#include "base/quantity.h"
#include "relay/explain.h"
#include "relay/lab_ledger.h"
#include "store/record.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

enum { FILE_MAX = 64 << 20, HEAD_MAX = 40 * 1024, WAIT_S = 120 };

struct explaining {
    const struct call *call;
    struct explain_page page;
    struct buf content; // the message, with CRLF
    struct bytes head;
    uint64_t body_size;
    struct bytes to[EXPLAIN_RECIPIENTS];
    size_t to_count;
    int64_t at_ms; // 0: now
};

// ---- what is asked

static bool read_time(struct explaining *e, const char *text, struct err *err) {
    struct tm tm = {.tm_isdst = -1};
    int64_t seconds;
    if (text[0] == '+') {
        if (!quantity_duration(bytes_of(text + 1), &seconds)) return err_set(err, "--at: '%s' is no duration: +2h is one", text);
        e->at_ms = ask_now() + seconds * 1000;
        return true;
    }
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest && (*rest == ' ' || *rest == 'T')) rest = strptime(rest + 1, "%H:%M", &tm);
    if (rest && *rest == ':') rest = strptime(rest + 1, "%S", &tm);
    bool utc = rest && *rest == 'Z';
    if (!rest || *(rest + utc)) return err_set(err, "--at: '%s' is no time: '2026-03-01 09:00', with Z for UTC, or +2h", text);
    e->at_ms = (int64_t)(utc ? timegm(&tm) : mktime(&tm)) * 1000;
    return e->at_ms > 0 || err_set(err, "--at: '%s' is before 1970", text);
}

static bool read_content(struct explaining *e, const char *path, struct err *err) {
    struct buf raw = {0};
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!f) return err_errno(err, "%s", path);
    buf_reserve(&raw, 65536);
    for (size_t n = 1; n && raw.len <= FILE_MAX; raw.len += n) {
        buf_reserve(&raw, 65536);
        n = fread(raw.at + raw.len, 1, 65536, f);
    }
    bool good = !ferror(f) || err_errno(err, "%s", path);
    if (f != stdin) fclose(f);
    good = good && (raw.len <= FILE_MAX || err_set(err, "%s: larger than %d MiB", path, FILE_MAX >> 20));
    letter_lines(buf_bytes(&raw), &e->content);
    buf_release(&raw);
    return good;
}

static void make_content(struct explaining *e) {
    const char *from = call_text(e->call, "from"), *to[EXPLAIN_RECIPIENTS];
    for (size_t i = 0; i < e->to_count; i++) to[i] = e->to[i].at;
    struct letter letter = {.from = from, .to = to, .to_count = e->to_count, .subject = "explain", .body = BYTES("explain\n"), .host = "localhost"};
    letter_write(&letter, ask_now(), &e->content);
}

static void split_content(struct explaining *e) {
    struct bytes all = buf_bytes(&e->content);
    ptrdiff_t end = bytes_starts(all, BYTES("\r\n")) ? 0 : bytes_search(all, BYTES("\r\n\r\n"));
    e->head = end < 0 ? all : bytes_first(all, end ? (size_t)end + 2 : 0);
    e->body_size = end < 0 ? 0 : all.len - e->head.len - 2;
}

static bool read_call(struct explaining *e, struct err *err) {
    const struct call *call = e->call;
    const char *to;
    if (!call_has(call, "from") || !call_has(call, "to"))
        return err_set(err, "say --from ADDRESS and --to ADDRESS, or the ID of a message");
    for (int i = 0; (to = call_nth(call, "to", i)); i++) {
        if (i == EXPLAIN_RECIPIENTS) return err_set(err, "at most %d recipients can be explained at once", EXPLAIN_RECIPIENTS);
        e->to[e->to_count++] = bytes_of(to);
    }
    if (call_has(call, "at") && !read_time(e, call_text(call, "at"), err)) return false;
    if (call_has(call, "message")) {
        if (!read_content(e, call_text(call, "message"), err)) return false;
    } else {
        make_content(e);
    }
    split_content(e);
    return true;
}

static struct bytes given(const struct call *call, const char *name) {
    const char *text = call_text(call, name);
    if (strcmp(name, "from") == 0 && text && strcmp(text, "<>") == 0) text = "";
    return bytes_of(text ? text : "");
}

// ---- what comes

static bool print_row(void *arg, const struct json *row, struct bytes text) {
    struct explaining *e = arg;
    int64_t at_ms;
    if (json_get(row, "at") && show_when(json_get(row, "at"), &at_ms)) e->page.now_ms = at_ms; // the gateway's clock is what counts
    if (call_has(e->call, "json")) printf("%.*s\n", BYTES_FMT(text));
    else explain_show_row(&e->page, row);
    return true;
}

static void on_row(void *arg, struct bytes text) {
    struct json *row = json_parse(text, NULL);
    if (row) print_row(arg, row, text);
    json_free(&row);
}

// ---- by the gateway

static int ask_gateway(struct explaining *e, struct buf *request) {
    int code = EX_OK;
    struct ask *ask = ask_open(e->call, &code);
    if (!ask) return code;
    code = ask_run(ask, buf_bytes(request), WAIT_S, print_row, e, NULL);
    ask_close(&ask);
    return code;
}

static int explain_live(struct explaining *e) {
    static const char *const names[] = {"user", "client", "helo", "listener", "as"};
    struct buf request = {0};
    if (e->head.len > HEAD_MAX)
        return tool_fail(e->call, EX_DATAERR, "the message's header is larger than %d KiB: this goes with --offline only", HEAD_MAX >> 10);
    struct jsonl j = jsonl_begin(&request);
    jsonl_textz(&j, "verb", "explain");
    jsonl_text(&j, "from", given(e->call, "from"));
    jsonl_open(&j, "to", '[');
    for (size_t i = 0; i < e->to_count; i++) jsonl_text(&j, NULL, e->to[i]);
    jsonl_close(&j, ']');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (call_has(e->call, names[i])) jsonl_text(&j, names[i], given(e->call, names[i]));
    jsonl_text(&j, "head", e->head);
    jsonl_int(&j, "body_size", (int64_t)e->body_size);
    if (e->at_ms) jsonl_int(&j, "at_ms", e->at_ms);
    jsonl_end(&j);
    int code = ask_gateway(e, &request);
    buf_release(&request);
    return code;
}

static int explain_id(struct explaining *e) {
    struct buf request = {0};
    uint64_t n;
    struct jsonl j = jsonl_begin(&request);
    jsonl_textz(&j, "verb", "explain");
    jsonl_textz(&j, "id", e->call->arguments[0]);
    if (e->call->argument_count > 1) {
        if (!bytes_to_u64(bytes_of(e->call->arguments[1]), &n) || n > UINT32_MAX) {
            buf_release(&request);
            return tool_fail(e->call, EX_USAGE, "'%s' is no recipient's number: the first is 0", e->call->arguments[1]);
        }
        jsonl_int(&j, "n", (int64_t)n);
    }
    jsonl_end(&j);
    int code = ask_gateway(e, &request);
    buf_release(&request);
    return code;
}

// ---- without one

static void tell_setting(struct explaining *e, struct bundle *bundle, int64_t now_ms) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    jsonl_textz(&j, "step", "setting");
    jsonl_bool(&j, "live", false);
    jsonl_textz(&j, "policy", bundle_version(bundle));
    jsonl_time(&j, "at", now_ms);
    jsonl_close(&j, '}');
    on_row(e, buf_bytes(&out));
    buf_release(&out);
}

static bool explain_in_lab(struct explaining *e, const struct conf *conf, const struct users *users, struct bundle *bundle, struct err *err) {
    static const struct clock machine;
    struct generation_options usual;
    conf_script_options(conf, &usual);
    struct log log;
    log_open(&log, LOG_WARN, &machine);
    struct dns_options resolver = {.servers = conf->dns_servers, .timeout_ms = conf->dns_timeout_ms, .trust_ad = conf->dns_trust_ad,
                                   .clock = &machine, .log = &log};
    struct fetch_options web = {.ca_file = conf->http_ca ? conf->http_ca : conf->ca, .private_ok = conf->http_private};
    struct lab_ledger *ledger = lab_ledger_new();
    struct lab_options options = {.usual = &usual, .limits = lab_ledger_limits(ledger), .world = {.resolver = &resolver, .web = &web}};
    struct explain_place place = {.lab = lab_new(&options, err), .conf = conf, .users = users};
    struct explain_ask ask = {.sender = given(e->call, "from"), .recipients = e->to, .recipient_count = e->to_count,
                              .user = given(e->call, "user"), .client = given(e->call, "client"), .helo = given(e->call, "helo"),
                              .listener = given(e->call, "listener"), .head = e->head, .body_size = e->body_size};
    const char *as = call_text(e->call, "as");
    bool good = place.lab && (!as || id_parse(bytes_of(as), &ask.id) || err_set(err, "--as: a message id is 16 hex digits"));
    if (good) {
        lab_clock(place.lab)->frozen_ms = e->page.now_ms;
        tell_setting(e, bundle, e->page.now_ms);
        good = lab_use(place.lab, bundle, false, err) && explain_message(&place, &ask, on_row, e, err);
    }
    lab_free(&place.lab);
    lab_ledger_free(&ledger);
    return good;
}

static int explain_offline(struct explaining *e) {
    int code = EX_OK;
    struct err err;
    struct conf *conf = tool_conf_values(e->call, &code);
    if (!conf) return code;
    if (call_has(e->call, "scripts")) conf->scripts = call_text(e->call, "scripts");
    struct users *users = users_load(conf->users, &err);
    struct bundle *bundle = users ? bundle_read(conf->scripts, conf->stdlib, &err) : NULL;
    if (!bundle) code = tool_fail(e->call, EX_CONFIG, "%s", err.text);
    else if (!explain_in_lab(e, conf, users, bundle, &err)) code = tool_fail(e->call, EX_DATAERR, "%s", err.text);
    if (bundle) bundle_free(&bundle);
    users_free(&users);
    conf_free(&conf);
    return code;
}

int verb_explain(const struct call *call) {
    struct explaining e = {.call = call, .page = {.out = stdout, .now_ms = ask_now()}};
    struct err err;
    int code;
    if (call->argument_count) return explain_id(&e);
    if (!read_call(&e, &err)) {
        code = tool_fail(call, EX_USAGE, "%s", err.text);
    } else {
        if (e.at_ms) e.page.now_ms = e.at_ms;
        bool offline = call_has(call, "offline") || call_has(call, "scripts");
        if (!offline && !ask_is_there(call)) {
            fprintf(stderr, "tidegate explain: no gateway answers; this is by configuration and scripts alone\n");
            offline = true;
        }
        code = offline ? explain_offline(&e) : explain_live(&e);
    }
    buf_release(&e.content);
    return code;
}
