// SPDX-License-Identifier: MIT
#include "cli/judging.h"

#include "base/jsonl.h"
#include "policy/lab.h"
#include "relay/lab_ledger.h"

#include <stdio.h>
#include <stdlib.h>

struct judging {
    struct generation_options usual;
    struct lab_ledger *ledger;
    struct lab *lab;
    struct bundle *bundle;
};

// The policy as it is, with the module that answers for it loaded before: on its first line, so that all lines keep their numbers.
static struct bundle *with_module(const struct bundle *b, struct err *err) {
    struct bytes text;
    struct buf whole = {0};
    if (!bundle_find(b, "policy.lua", &text)) text = BYTES("");
    if (bytes_starts(text, BYTES("\xef\xbb\xbf"))) text = bytes_skip(text, 3);
    buf_addz(&whole, "require \"stdlib.returned\"; ");
    buf_add(&whole, text);
    struct bundle *other = bundle_with(b, BYTES("policy.lua"), buf_bytes(&whole), err);
    buf_release(&whole);
    return other;
}

struct judging *judging_new(const struct conf *conf, int64_t now_ms, struct err *err) {
    struct judging *j = must_alloc(sizeof *j);
    conf_script_options(conf, &j->usual);
    j->ledger = lab_ledger_new();
    struct lab_options options = {.usual = &j->usual, .limits = lab_ledger_limits(j->ledger)};
    j->bundle = bundle_read(conf->scripts, conf->stdlib, err);
    struct bundle *asked = j->bundle ? with_module(j->bundle, err) : NULL;
    if (asked) j->lab = lab_new(&options, err);
    if (j->lab) lab_clock(j->lab)->frozen_ms = now_ms;
    bool good = j->lab && lab_use(j->lab, asked, false, err);
    if (asked) bundle_free(&asked);
    if (!good) judging_free(&j);
    return j;
}

void judging_free(struct judging **at) {
    struct judging *j = *at;
    *at = NULL;
    if (!j) return;
    lab_free(&j->lab);
    lab_ledger_free(&j->ledger);
    if (j->bundle) bundle_free(&j->bundle);
    free(j);
}

const char *judging_version(const struct judging *j) {
    return bundle_version(j->bundle);
}

// ---- what is asked

static int code_of(const struct returned_recipient *to) {
    if (to->code) return to->code;
    bool waits = bytes_equal(to->action, BYTES("delayed")) || (to->status.len && to->status.at[0] == '4');
    return waits ? 450 : 550;
}

static bool is_refusal(const struct returned_recipient *to) {
    return to->action.len && (bytes_equal(to->action, BYTES("failed")) || bytes_equal(to->action, BYTES("delayed")));
}

// The reply's words without the codes that stand before them.
static struct bytes words_of(const struct returned_recipient *to) {
    struct bytes text = to->text;
    char code[8];
    snprintf(code, sizeof code, "%d", code_of(to));
    if (bytes_starts(text, bytes_of(code))) text = bytes_trim(bytes_skip(text, 3));
    if (text.len && text.at[0] == '-') text = bytes_skip(text, 1);
    if (to->status.len && bytes_starts(text, to->status)) text = bytes_trim(bytes_skip(text, to->status.len));
    return text.len ? text : BYTES("-");
}

static void put_recipient(struct jsonl *j, const struct returned_recipient *to) {
    jsonl_open(j, NULL, '{');
    jsonl_text(j, "address", to->address);
    if (is_refusal(to)) {
        jsonl_int(j, "code", code_of(to));
        jsonl_text(j, "text", words_of(to));
        if (to->status.len) jsonl_text(j, "status", to->status);
        jsonl_textz(j, "stage", to->stage);
        jsonl_text(j, "peer", to->remote);
        jsonl_bool(j, "from_peer", to->from_peer);
    }
    jsonl_close(j, '}');
}

static bool ask_module(struct judging *g, const struct returned *what, struct judgement *out, struct err *err) {
    struct buf question = {0}, list = {0};
    struct jsonl j = jsonl_begin(&question);
    jsonl_textz(&j, "kind", returned_kind_name[what->kind]);
    jsonl_text(&j, "feedback_type", what->feedback_type);
    jsonl_text(&j, "sender", what->mail_from);
    jsonl_text(&j, "source_ip", what->source_ip);
    jsonl_text(&j, "reported_domain", what->reported_domain);
    jsonl_open(&j, "recipients", '[');
    for (size_t i = 0; i < what->count; i++) put_recipient(&j, &what->recipients[i]);
    jsonl_close(&j, ']');
    jsonl_close(&j, '}');
    bool good = lab_describe(g->lab, "returned", buf_bytes(&question), &list, err);
    if (good) out->told = json_parse(buf_bytes(&list), err);
    buf_release(&question);
    buf_release(&list);
    return good && out->told;
}

static bool ask_retry(struct judging *g, const struct returned *what, size_t n, struct judgement *out, struct err *err) {
    const struct returned_recipient *to = &what->recipients[n];
    struct buf facts = {0}, reply = {0}, decision = {0};
    buf_format(&reply, "%d ", code_of(to));
    if (to->status.len) buf_add(&reply, to->status), buf_byte(&reply, ' ');
    buf_add(&reply, words_of(to));
    struct jsonl j = jsonl_begin(&facts);
    jsonl_open(&j, "message", '{');
    jsonl_text(&j, "sender", what->mail_from);
    if (what->original.id.len) jsonl_text(&j, "id", what->original.id);
    jsonl_close(&j, '}');
    jsonl_open(&j, "recipient", '{');
    jsonl_text(&j, "address", to->address);
    jsonl_close(&j, '}');
    jsonl_open(&j, "outcome", '{');
    jsonl_text(&j, "reply", buf_bytes(&reply));
    jsonl_textz(&j, "stage", to->stage);
    jsonl_bool(&j, "from_peer", to->from_peer);
    jsonl_textz(&j, "via", "direct");
    jsonl_text(&j, "peer", to->remote);
    jsonl_int(&j, "attempt", 1);
    jsonl_close(&j, '}');
    jsonl_close(&j, '}');
    bool good = lab_ask(g->lab, "retry", buf_bytes(&facts), &decision, err);
    if (good) out->retry[n] = json_parse(buf_bytes(&decision), err);
    buf_release(&facts);
    buf_release(&reply);
    buf_release(&decision);
    return good && out->retry[n];
}

bool judging_ask(struct judging *g, const struct returned *what, struct judgement *out, struct err *err) {
    *out = (struct judgement){0};
    if (!what->count) return true;
    bool good = ask_module(g, what, out, err);
    bool failed = what->kind == RETURNED_BOUNCE || what->kind == RETURNED_DELAYED;
    for (size_t i = 0; good && failed && i < what->count; i++) {
        const struct returned_recipient *to = &what->recipients[i];
        if (is_refusal(to) && bytes_find(to->address, '@') > 0) good = ask_retry(g, what, i, out, err);
    }
    return good;
}

void judgement_release(struct judgement *j) {
    json_free(&j->told);
    for (size_t i = 0; i < RETURNED_RECIPIENTS; i++) json_free(&j->retry[i]);
}

const struct json *judgement_entry(const struct judgement *j, size_t n) {
    const struct json *asked = json_get(j->retry[n], "suppress");
    return asked ? asked : json_get(json_item(j->told, n), "suppress");
}

const struct json *judgement_verdict(const struct judgement *j, size_t n) {
    return json_get(json_item(j->told, n), "verdict");
}
