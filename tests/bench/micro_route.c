// SPDX-License-Identifier: MIT
// micro_route: what asking the policy costs, hook by hook, from the facts in C to the checked answer in C.
//
//     micro_route SCRIPTS STDLIB [HOOK]
#include "micro.h"
#include "policy/hooks.h"

struct asking {
    struct generation *g;
    struct loop *loop;
    struct session_facts session;
    struct message_facts message;
    struct address_facts address;
    struct recipient_facts recipient;
    struct outcome_facts outcome;
    int open;
};

static void answered(void *arg, const struct answer *answer) {
    struct asking *a = arg;
    bug_if(answer->origin.fault);
    if (--a->open == 0) loop_stop(a->loop);
}
static void planned(void *arg, const struct plan *plan) {
    struct asking *a = arg;
    bug_if(plan->origin.fault);
    if (--a->open == 0) loop_stop(a->loop);
}
static void judged(void *arg, const struct verdict *verdict) {
    struct asking *a = arg;
    bug_if(verdict->origin.fault);
    if (--a->open == 0) loop_stop(a->loop);
}

// A hundred at a time, so that a turn of the loop does not weigh in.
enum { TOGETHER = 100 };
static void ask_sender(void *arg) {
    struct asking *a = arg;
    for (a->open = 0; a->open < TOGETHER; a->open++)
        hook_sender(a->g, &a->session, &a->address, answered, a);
    loop_run(a->loop);
}
static void ask_recipient(void *arg) {
    struct asking *a = arg;
    for (a->open = 0; a->open < TOGETHER; a->open++)
        hook_recipient(a->g, &a->session, &a->address, answered, a);
    loop_run(a->loop);
}
static void ask_message(void *arg) {
    struct asking *a = arg;
    for (a->open = 0; a->open < TOGETHER; a->open++)
        hook_message(a->g, &a->session, &a->message, answered, a);
    loop_run(a->loop);
}
static void ask_route(void *arg) {
    struct asking *a = arg;
    for (a->open = 0; a->open < TOGETHER; a->open++)
        hook_route(a->g, &a->message, &a->recipient, planned, a);
    loop_run(a->loop);
}
static void ask_retry(void *arg) {
    struct asking *a = arg;
    for (a->open = 0; a->open < TOGETHER; a->open++)
        hook_retry(a->g, &a->message, &a->recipient, &a->outcome, judged, a);
    loop_run(a->loop);
}

static void run(struct asking *a, const char *name, void (*call)(void *arg)) {
    char label[64];
    snprintf(label, sizeof label, "%s, %d asked together", name, TOGETHER);
    double us = micro_run("hooks", label, 0, call, a);
    printf("{\"bench\": \"hooks\", \"case\": \"%s\", \"us\": %.3f, \"per_s\": %.0f}\n", name, us / TOGETHER,
           1e6 * TOGETHER / us);
}

static void set_facts(struct asking *a, int64_t now_ms) {
    a->session = (struct session_facts){.id = BYTES("c-1"),
                                        .listener = BYTES("relay"),
                                        .kind = BYTES("relay"),
                                        .client_ip = BYTES("127.0.0.1"),
                                        .client_port = 40000,
                                        .local_ip = BYTES("127.0.0.1"),
                                        .local_port = 2525,
                                        .helo = BYTES("load.example"),
                                        .trusted_network = true};
    static struct buf session;
    session_facts_encode(&a->session, &session);
    a->address = (struct address_facts){.address = BYTES("recipient@sink.example"),
                                        .local = BYTES("recipient"),
                                        .domain = BYTES("sink.example"),
                                        .size = 2048};
    a->message =
        (struct message_facts){.id = 1,
                               .id_text = BYTES("0000000000000001"),
                               .sender = BYTES("sender@load.example"),
                               .session = buf_bytes(&session),
                               .size = 2048,
                               .received_ms = now_ms,
                               .expires_ms = now_ms + 432000000,
                               .recipient_count = 1,
                               .head = BYTES("From: <sender@load.example>\r\nTo: <recipient@sink.example>\r\n"
                                             "Subject: a message\r\nMessage-ID: <1@load.example>\r\n"),
                               .recipients = &a->address.address};
    a->recipient = (struct recipient_facts){
        .address = a->address.address, .local = a->address.local, .domain = a->address.domain};
    struct err err;
    a->outcome = (struct outcome_facts){.stage = BYTES("rcpt"),
                                        .peer = BYTES("sink.example [127.0.0.1]:25"),
                                        .attempt = 1,
                                        .expires_ms = now_ms + 432000000};
    bug_if(!reply_from_text(BYTES("450 4.2.0 later"), &a->outcome.reply, &err));
}

static bool nothing_is_used(void *arg, const struct spend *spend, uint64_t *used,
                            void (*answer)(void *arg, uint64_t used), void *answer_arg,
                            struct limit_look **look) {
    (void)arg, (void)spend, (void)answer, (void)answer_arg, (void)look;
    *used = 0;
    return true;
}

// Without a store: what looking into the list costs is micro_store's to say.
static bool nobody_is_suppressed(void *arg, const struct bytes *scopes, size_t count, struct bytes address,
                                 struct arena *texts, struct suppression *out) {
    (void)arg, (void)scopes, (void)count, (void)address, (void)texts, (void)out;
    return false;
}

int main(int argc, char **argv) {
    struct err err = {""};
    struct clock clock = {0};
    struct log log = {.fd = 2, .level = LOG_WARN, .clock = &clock};
    struct asking a = {0};
    if (argc < 3) return 64;
    double began = micro_cpu_us();
    struct bundle *bundle = bundle_read(argv[1], argv[2], &err);
    a.loop = loop_new(&err);
    struct generation_options options = {.loop = a.loop,
                                         .clock = &clock,
                                         .log = &log,
                                         .key_dir = ".",
                                         .hostname = "gateway.example",
                                         .suppressed = nobody_is_suppressed,
                                         .limit_used = nothing_is_used};
    if (bundle && a.loop) a.g = generation_new(bundle, &options, &err);
    if (!a.g) fprintf(stderr, "%s\n", err.text);
    if (!a.g) return 1;
    printf("{\"bench\": \"hooks\", \"case\": \"read and load the scripts\", \"us\": %.0f}\n",
           micro_cpu_us() - began);
    set_facts(&a, clock_ms(&clock));
    static const struct {
        const char *name;
        void (*ask)(void *arg);
    } hooks[] = {{"sender", ask_sender}, {"recipient", ask_recipient}, {"message", ask_message}, {"route", ask_route}, {"retry", ask_retry}};
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
        if (argc < 4 || strcmp(argv[3], hooks[i].name) == 0) run(&a, hooks[i].name, hooks[i].ask);
    generation_free(&a.g);
    bundle_free(&bundle);
    loop_free(&a.loop);
    return 0;
}
