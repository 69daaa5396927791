// SPDX-License-Identifier: MIT
#include "cli/lookup.h"

#include "base/bug.h"

#include <stdlib.h>

struct lookup {
    struct loop *loop;
    struct dns *dns;
    struct arena arena;
    struct clock clock;
    struct log log;
    struct dns_answer *got;
};

struct lookup *lookup_new(const char *servers, int timeout_ms, struct err *err) {
    struct lookup *l = must_alloc(sizeof *l);
    log_open(&l->log, LOG_FAULT, &l->clock);
    l->loop = loop_new(err);
    struct dns_options options = {.servers = servers,
                                  .timeout_ms = timeout_ms,
                                  .tries = 2,
                                  .trust_ad = true,
                                  .clock = &l->clock,
                                  .log = &l->log};
    if (l->loop) l->dns = dns_new(l->loop, &options, err);
    if (!l->dns) lookup_free(&l);
    return l;
}

static void take_record(struct arena *arena, enum dns_type type, const struct dns_record *from,
                        struct dns_record *to) {
    *to = *from;
    if (type == DNS_TXT) to->text = arena_copy(arena, from->text);
    if (type == DNS_MX) to->mx.host = arena_z(arena, bytes_of(from->mx.host));
    if (type == DNS_PTR) to->name = arena_z(arena, bytes_of(from->name));
}

struct asking {
    struct lookup *lookup;
    enum dns_type type;
};

static void heard(void *arg, const struct dns_answer *answer) {
    struct asking *a = arg;
    struct lookup *l = a->lookup;
    struct dns_record *records =
        answer->count ? arena_alloc(&l->arena, answer->count * sizeof *records) : NULL;
    for (size_t i = 0; i < answer->count; i++)
        take_record(&l->arena, a->type, &answer->records[i], &records[i]);
    l->got = arena_alloc(&l->arena, sizeof *l->got);
    *l->got = *answer;
    l->got->records = records;
    l->got->why = arena_z(&l->arena, bytes_of(answer->why));
    loop_stop(l->loop);
}

const struct dns_answer *lookup_ask(struct lookup *l, const char *name, enum dns_type type) {
    bug_if(type != DNS_A && type != DNS_AAAA && type != DNS_MX && type != DNS_PTR && type != DNS_TXT);
    struct asking asking = {l, type};
    dns_ask(l->dns, name, type, heard, &asking);
    loop_run(l->loop);
    return l->got;
}

void lookup_free(struct lookup **at) {
    struct lookup *l = *at;
    *at = NULL;
    if (!l) return;
    if (l->dns) dns_free(&l->dns);
    if (l->loop) loop_free(&l->loop);
    arena_release(&l->arena);
    free(l);
}
