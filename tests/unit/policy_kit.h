// SPDX-License-Identifier: MIT
// policy_kit: for tests of the wall: a generation of given scripts on a real loop, and hooks asked one after the other.
//
// DNS is a fake by way of the linker: dns_ask and dns_cancel of this file take the place of net/dns.
#pragma once

#include "policy/hooks.h"
#include "policy/wall.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

// ---- DNS that answers when it is told to

struct dns_ticket {
    char name[256];
    enum dns_type type;
    void (*answer)(void *arg, const struct dns_answer *answer);
    void *arg;
};
static struct dns_ticket *kit_question; // the one that is open
static int kit_questions, kit_cancelled;

struct dns_ticket *dns_ask(struct dns *dns, const char *name, enum dns_type type,
                           void (*answer)(void *arg, const struct dns_answer *answer), void *arg) {
    (void)dns;
    assert_null(kit_question);
    kit_question = must_alloc(sizeof *kit_question);
    snprintf(kit_question->name, sizeof kit_question->name, "%s", name);
    kit_question->type = type;
    kit_question->answer = answer;
    kit_question->arg = arg;
    kit_questions++;
    return kit_question;
}

void dns_cancel(struct dns_ticket **ticket) {
    if (!*ticket) return;
    assert_ptr_equal(*ticket, kit_question);
    free(kit_question);
    kit_question = NULL;
    *ticket = NULL;
    kit_cancelled++;
}

static inline void kit_dns(const struct dns_answer *answer) {
    assert_non_null(kit_question);
    struct dns_ticket q = *kit_question;
    free(kit_question);
    kit_question = NULL;
    q.answer(q.arg, answer);
}

// ---- scripts on disk

struct kit {
    char root[64];
    struct loop *loop;
    struct clock clock;
    struct log log;
    struct generation *g;
    struct err err;
};

static inline void kit_put(struct kit *k, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", k->root, name);
    for (char *slash = path + strlen(k->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline int kit_quiet(void) {
    return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static inline void kit_init(struct kit *k) {
    memset(k, 0, sizeof *k);
    snprintf(k->root, sizeof k->root, "/tmp/tidegate-policy-XXXXXX");
    assert_non_null(mkdtemp(k->root));
    k->loop = loop_new(&k->err);
    assert_non_null(k->loop);
    k->clock.frozen_ms = 1763821804678;
    k->log = (struct log){.fd = kit_quiet(), .level = LOG_TRACE, .clock = &k->clock};
    kit_put(k, "scripts/policy.lua", "return {}");
}

static inline struct generation *kit_generation(struct kit *k, const char *policy,
                                                const struct generation_options *more) {
    kit_put(k, "scripts/policy.lua", policy);
    char scripts[128];
    snprintf(scripts, sizeof scripts, "%s/scripts", k->root);
    struct bundle *b = bundle_read(scripts, "stdlib", &k->err);
    if (!b) return NULL;
    struct generation_options o = more ? *more : (struct generation_options){0};
    o.loop = k->loop;
    o.dns = (struct dns *)k; // never looked into
    o.clock = &k->clock;
    o.log = &k->log;
    o.key_dir = k->root;
    struct generation *g = generation_new(b, &o, &k->err);
    bundle_free(&b);
    return g;
}

// A policy that must load.
static inline void kit_policy_with(struct kit *k, const char *policy, const struct generation_options *more) {
    if (k->g) generation_free(&k->g);
    k->g = kit_generation(k, policy, more);
    if (!k->g) fail_msg("%s", k->err.text);
}
static inline void kit_policy(struct kit *k, const char *policy) {
    kit_policy_with(k, policy, NULL);
}

static inline void kit_remove(const char *path) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static inline void kit_release(struct kit *k) {
    if (k->g) generation_free(&k->g);
    assert_null(kit_question);
    loop_free(&k->loop);
    close(k->log.fd);
    kit_remove(k->root);
}

// Lets the loop run until what was posted is done.
static inline void kit_stop(void *arg) {
    loop_stop(arg);
}
static inline void kit_turn(struct kit *k) {
    struct timer *timer = timer_new(k->loop, kit_stop, k->loop);
    timer_set(timer, 1);
    loop_run(k->loop);
    timer_free(&timer);
}

// ---- what came back, copied

struct kit_answer {
    int calls;
    struct answer answer;
    struct verdict verdict;
    const struct plan *plan;
    struct arena arena;
    char because[600], where[100], tags[400], facts[400], edits[600];
};

static inline void kit_take_origin(struct kit_answer *a, const struct origin *o) {
    snprintf(a->because, sizeof a->because, "%.*s", BYTES_FMT(o->because));
    snprintf(a->where, sizeof a->where, "%.*s", BYTES_FMT(o->where));
    assert_int_equal(o->version.len, 12);
}

static inline void kit_on_answer(void *arg, const struct answer *answer) {
    struct kit_answer *a = arg;
    a->calls++;
    a->answer = *answer;
    kit_take_origin(a, &answer->origin);
    snprintf(a->tags, sizeof a->tags, "%.*s", BYTES_FMT(answer->tags));
    snprintf(a->facts, sizeof a->facts, "%.*s", BYTES_FMT(answer->user_facts));
    static const char sign[] = "+=-";
    size_t at = 0;
    a->edits[0] = 0;
    for (size_t i = 0; i < answer->edit_count; i++)
        at +=
            (size_t)snprintf(a->edits + at, sizeof a->edits - at, "%c%.*s:%.*s;", sign[answer->edits[i].kind],
                             BYTES_FMT(answer->edits[i].name), BYTES_FMT(answer->edits[i].value));
}

static inline void kit_on_plan(void *arg, const struct plan *plan) {
    struct kit_answer *a = arg;
    a->calls++;
    if (a->plan) plan_free(&a->plan);
    a->plan = plan_ref(plan);
    kit_take_origin(a, &plan->origin);
}

static inline void kit_on_verdict(void *arg, const struct verdict *verdict) {
    struct kit_answer *a = arg;
    a->calls++;
    a->verdict = *verdict;
    kit_take_origin(a, &verdict->origin);
}

// ---- facts to ask with

#define TEXT(literal)                                                                                        \
    { literal, sizeof(literal) - 1 } // BYTES is no constant
static const struct session_facts kit_session = {
    .id = TEXT("c-1"),
    .listener = TEXT("submission"),
    .kind = TEXT("submission"),
    .client_ip = TEXT("192.0.2.7"),
    .client_port = 4711,
    .local_ip = TEXT("127.0.0.1"),
    .local_port = 587,
    .helo = TEXT("client.example"),
    .tls_version = TEXT("TLSv1.3"),
    .tls_cipher = TEXT("TLS_AES_256_GCM_SHA384"),
    .user = TEXT("demo"),
    .user_facts = TEXT("{\"from\":\"*@example.org\",\"n\":[1,2]}"),
};
static const struct address_facts kit_address = {
    .address = TEXT("bob@example.net"), .local = TEXT("bob"), .domain = TEXT("example.net"), .size = 1234};
static const char kit_head[] = "Subject: one\r\n two\r\nX-Many: a\r\nX-Other: z\r\nx-many: b\r\n";
static const struct message_facts kit_message = {
    .id = 0x1234,
    .id_text = TEXT("0000000000001234"),
    .sender = TEXT("alice@example.org"),
    .user = TEXT("demo"),
    .session = TEXT("{\"client_ip\":\"192.0.2.9\"}"),
    .tags = TEXT("{\"campaign\":\"spring\"}"),
    .head = {kit_head, sizeof kit_head - 1},
    .size = 2048,
    .received_ms = 1763821800500,
    .expires_ms = 1764253800500,
    .recipient_count = 1,
};
static const struct recipient_facts kit_recipient = {.address = TEXT("bob@example.net"),
                                                     .local = TEXT("bob"),
                                                     .domain = TEXT("example.net"),
                                                     .n = 2,
                                                     .attempts = 1,
                                                     .last_ms = 1763821803000,
                                                     .last_outcome = TEXT("{\"code\":450}")};

static inline struct outcome_facts kit_outcome(int code) {
    return (struct outcome_facts){.reply =
                                      reply_make(code, code >= 500 ? "5.1.1" : "4.2.0", "words of the peer"),
                                  .stage = BYTES("rcpt"),
                                  .peer = BYTES("mx.example.net [192.0.2.1]:25"),
                                  .identity = BYTES("acme"),
                                  .lane = BYTES("acme|direct"),
                                  .attempt = 2,
                                  .age_ms = 61500,
                                  .expires_ms = 1764253800500};
}

// Asks, and lets the loop turn: the hook must have answered then.
static inline void kit_route(struct kit *k, struct kit_answer *a) {
    a->calls = 0;
    assert_non_null(hook_route(k->g, &kit_message, &kit_recipient, kit_on_plan, a));
    assert_int_equal(a->calls, 0); // never before the asking call returned
    kit_turn(k);
    assert_int_equal(a->calls, 1);
    a->calls = 0;
}
