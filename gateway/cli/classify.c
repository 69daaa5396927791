// SPDX-License-Identifier: MIT
// classify: what is this bounce or complaint about, whose fault is it, and who is to be suppressed for it?

#include "cli/classify_show.h"
#include "cli/ask.h"
#include "cli/letter.h"
#include "cli/lookup.h"
#include "cli/progress.h"
#include "cli/suppression.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include "mail/address.h"
#include "mail/part.h"
#include "mail/verify.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>

enum { MESSAGE_MAX = 64 << 20, FOLDER_DEPTH = 3, SIGNATURES = 5 };

struct classifying {
    const struct call *call;
    struct conf *conf;        // NULL: --facts
    struct judging *judging;  // likewise
    struct lookup *lookup;    // --verify
    struct ask *ask;          // --apply
    struct buf message;
    struct progress progress;
    size_t seen, reports, unbelieved;
    int code;
};

// ---- is it from whom it says?

static bool look_txt(void *arg, const char *name, struct buf *out) {
    struct classifying *c = arg;
    const struct dns_answer *a = lookup_ask(c->lookup, name, DNS_TXT);
    if (a->status != DNS_OK || !a->count) return false;
    buf_add(out, a->records[0].text);
    return true;
}

static bool is_within(struct bytes domain, struct bytes parent) {
    if (domain.len < parent.len || bytes_find(parent, '.') < 0) return false;
    struct bytes end = bytes_skip(domain, domain.len - parent.len);
    return bytes_equal_nocase(end, parent) && (domain.len == parent.len || end.at[-1] == '.');
}

// Relaxed alignment (RFC 7489 3.1.1), without the list of public suffixes: a domain with no dot is nobody's.
static bool is_aligned(struct bytes a, struct bytes b) {
    return is_within(a, b) || is_within(b, a);
}

static struct bytes domain_of(struct bytes address) {
    ptrdiff_t at = bytes_find_last(address, '@');
    return at < 0 ? BYTES("") : bytes_skip(address, (size_t)at + 1);
}

static struct bytes domain_in(struct bytes field) {
    ptrdiff_t at = bytes_find_last(field, '<');
    struct bytes address = at < 0 ? field : bytes_skip(field, (size_t)at + 1);
    ptrdiff_t end = bytes_find(address, '>');
    return domain_of(bytes_trim(end < 0 ? address : bytes_first(address, (size_t)end)));
}

static void verify(struct classifying *c, struct bytes raw, const struct returned *what, struct belief *out) {
    struct verify_result results[SIGNATURES];
    struct buf message = {0};
    struct err err;
    size_t count = 0;
    letter_lines(raw, &message);
    struct bytes body = buf_bytes(&message), head = part_cut_head(&body), from = domain_in(what->from);
    bool asked = head.len && verify_message(head, body, look_txt, c, results, SIGNATURES, &count, &err);
    out->authentic = AUTHENTIC_NO;
    snprintf(out->why, sizeof out->why, "%s", !head.len ? "there is no header" : !asked ? err.text : "it carries no DKIM signature");
    for (size_t i = 0; asked && i < count && out->authentic == AUTHENTIC_NO; i++) {
        const struct verify_result *r = &results[i];
        bool aligned = r->passed && is_aligned(bytes_of(r->domain), from);
        if (aligned) out->authentic = AUTHENTIC_YES, snprintf(out->signer, sizeof out->signer, "%s", r->domain);
        if (aligned) snprintf(out->why, sizeof out->why, "DKIM signature of %s holds", r->domain);
        else if (r->passed) snprintf(out->why, sizeof out->why, "DKIM signature of %s holds, but From is of %.*s", r->domain, BYTES_FMT(bytes_first(from, 100)));
        else snprintf(out->why, sizeof out->why, "DKIM signature of %s: %s", r->domain, r->why);
    }
    buf_release(&message);
}

// A signature says who wrote it, not that he may speak for others: a server for its own mailboxes, and whom --trust names for all.
static bool is_believed(const struct classifying *c, const struct belief *b, struct bytes recipient) {
    const char *trusted;
    for (int i = 0; (trusted = call_nth(c->call, "trust", i)); i++)
        if (strcmp(trusted, "any") == 0 || is_within(bytes_of(b->signer), bytes_of(trusted))) return true;
    return b->authentic == AUTHENTIC_YES && is_within(domain_of(recipient), bytes_of(b->signer));
}

// ---- the list

static bool add_entry(struct classifying *c, struct bytes address, const struct json *entry) {
    struct buf request = {0};
    struct bytes scope = BYTES("all"), reason = BYTES("");
    int64_t expires_s = 0;
    json_text(json_get(entry, "scope"), &scope);
    json_text(json_get(entry, "reason"), &reason);
    struct jsonl j = suppression_begin(&request, "add");
    jsonl_text(&j, "address", address);
    jsonl_text(&j, "scope", scope);
    jsonl_text(&j, "reason", reason);
    if (json_int(json_get(entry, "expires_s"), &expires_s) && expires_s > 0) jsonl_int(&j, "expires_s", expires_s);
    jsonl_end(&j);
    int code = ask_run(c->ask, buf_bytes(&request), SUPPRESSION_WAIT_S, NULL, NULL, NULL);
    buf_release(&request);
    if (code != EX_OK) c->code = code;
    return code == EX_OK;
}

static void apply(struct classifying *c, const struct returned *what, const struct judgement *judged, struct belief *belief) {
    for (size_t i = 0; c->code == EX_OK && i < what->count; i++) {
        const struct json *entry = judgement_entry(judged, i);
        struct bytes address = what->recipients[i].address;
        if (json_kind(entry) != JSON_MAP || bytes_find(address, '@') <= 0) continue;
        // Whom the report does not name nobody is suppressed for.
        if (what->recipients[i].guessed || !is_believed(c, belief, address)) c->unbelieved++, belief->refused++;
        else if (add_entry(c, address, entry)) belief->applied++;
    }
}

// ---- one message

static void classify(struct classifying *c, const char *name, struct bytes message) {
    struct arena arena = {0};
    struct returned *what = must_alloc(sizeof *what);
    struct judgement judged = {0};
    struct belief belief = {.authentic = AUTHENTIC_UNKNOWN, .why = "not looked at (--verify)"};
    struct err err;
    returned_read(message, &arena, what);
    c->seen++;
    c->reports += what->kind != RETURNED_OTHER;
    if (c->judging && !judging_ask(c->judging, what, &judged, &err)) c->code = tool_fail(c->call, EX_CONFIG, "%s: %s", name, err.text);
    if (c->lookup && what->kind != RETURNED_OTHER) verify(c, message, what, &belief);
    if (c->ask) apply(c, what, &judged, &belief);
    struct verdict_page page = {.name = name, .what = what, .judged = &judged, .belief = &belief, .applying = c->ask,
                                .policy = c->judging ? judging_version(c->judging) : NULL};
    struct buf out = {0};
    if (call_has(c->call, "json")) classify_json(&page, &out);
    else classify_text(&page, &out);
    fwrite(out.at, 1, out.len, stdout);
    buf_release(&out);
    judgement_release(&judged);
    free(what);
    arena_release(&arena);
}

// ---- where they lie

static bool read_all(struct classifying *c, FILE *f, const char *name) {
    buf_reset(&c->message);
    for (size_t n = 1; n && c->message.len < MESSAGE_MAX; c->message.len += n) {
        buf_reserve(&c->message, 65536);
        n = fread(c->message.at + c->message.len, 1, 65536, f);
    }
    buf_reserve(&c->message, 65536);
    while (f == stdin && fread(c->message.at + c->message.len, 1, 65536, f)) continue; // whoever writes into the pipe is not to be hurt
    if (!ferror(f)) return true;
    c->code = tool_fail(c->call, EX_NOINPUT, "%s: %s", name, strerror(errno));
    return false;
}

// An mbox: "From " lines behind a blank line part it.
static void classify_mbox(struct classifying *c, const char *name, struct bytes all) {
    size_t start = 0, n = 1;
    for (size_t i = 1; i <= all.len && c->code == EX_OK; i++) {
        bool blank = i < all.len && all.at[i - 1] == '\n' && i >= 2 && (all.at[i - 2] == '\n' || (i >= 3 && all.at[i - 2] == '\r' && all.at[i - 3] == '\n'));
        if (i < all.len && !(blank && bytes_starts(bytes_skip(all, i), BYTES("From ")))) continue;
        char numbered[4200];
        snprintf(numbered, sizeof numbered, i < all.len || n > 1 ? "%s:%zu" : "%s", name, n);
        n++;
        classify(c, numbered, (struct bytes){all.at + start, i - start});
        start = i;
    }
}

static void classify_file(struct classifying *c, const char *path) {
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "re");
    if (!f) {
        c->code = tool_fail(c->call, EX_NOINPUT, "%s: %s", path, strerror(errno));
        return;
    }
    if (read_all(c, f, path)) {
        struct bytes all = buf_bytes(&c->message);
        if (bytes_starts(all, BYTES("From "))) classify_mbox(c, is_stdin ? "-" : path, all);
        else classify(c, is_stdin ? "-" : path, all);
    }
    if (!is_stdin) fclose(f);
    progress_at(&c->progress, c->seen, c->seen, "messages");
}

static int is_visible(const struct dirent *e) {
    return e->d_name[0] != '.';
}

static void classify_path(struct classifying *c, const char *path, int depth) {
    struct stat st;
    struct dirent **list;
    if (strcmp(path, "-") == 0 || stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        classify_file(c, path);
        return;
    }
    int n = depth ? scandir(path, &list, is_visible, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        char inside[4096];
        int length = snprintf(inside, sizeof inside, "%s/%s", path, list[i]->d_name);
        bool fits = length < (int)sizeof inside && strcmp(list[i]->d_name, "tmp") != 0; // a maildir's half-written ones
        if (c->code == EX_OK && fits) classify_path(c, inside, depth - 1);
        free(list[i]);
    }
    if (n > 0) free(list);
}

// ---- the verb

static bool prepare(struct classifying *c) {
    const struct call *call = c->call;
    struct err err;
    if (call_has(call, "facts") && (call_has(call, "apply") || call_has(call, "scripts"))) {
        c->code = tool_fail(call, EX_USAGE, "--facts asks no policy: there is nothing to apply");
        return false;
    }
    if (!call_has(call, "facts")) {
        c->conf = tool_conf_values(call, &c->code);
        if (!c->conf) return false;
        if (call_has(call, "scripts")) c->conf->scripts = call_text(call, "scripts");
        c->judging = judging_new(c->conf, ask_now(), &err);
        if (!c->judging) return tool_fail(call, c->code = EX_CONFIG, "%s", err.text) == EX_OK;
    }
    if (call_has(call, "verify") || call_has(call, "apply")) {
        c->lookup = lookup_new(c->conf ? c->conf->dns_servers : NULL, c->conf ? c->conf->dns_timeout_ms : 5000, &err);
        if (!c->lookup) return tool_fail(call, c->code = EX_OSERR, "%s", err.text) == EX_OK;
    }
    if (call_has(call, "apply") && !(c->ask = ask_open(call, &c->code))) return false;
    return true;
}

int verb_classify(const struct call *call) {
    struct classifying c = {.call = call, .code = EX_OK};
    if (prepare(&c)) {
        if (call->argument_count > 1) c.progress = progress_begin("classifying", 0);
        for (int i = 0; i < call->argument_count && c.code == EX_OK; i++) classify_path(&c, call->arguments[i], FOLDER_DEPTH);
        if (!call->argument_count) classify_file(&c, "-");
        progress_end(&c.progress);
    }
    if (c.code == EX_OK && c.unbelieved) c.code = EX_NOPERM;
    else if (c.code == EX_OK && !c.reports) c.code = EX_DATAERR;
    ask_close(&c.ask);
    lookup_free(&c.lookup);
    judging_free(&c.judging);
    if (c.conf) conf_free(&c.conf);
    buf_release(&c.message);
    return c.code;
}
