// SPDX-License-Identifier: MIT
#include "relay/dane.h"

#include <stdio.h>
#include <stdlib.h>

struct dane_ticket {
    struct dns_ticket *question;
    void (*call)(void *arg, const struct dane_answer *answer);
    void *arg;
    struct tls_pin pins[DANE_PINS_MAX];
};

void dane_cancel(struct dane_ticket **ticket) {
    struct dane_ticket *t = *ticket;
    *ticket = NULL;
    if (!t) return;
    dns_cancel(&t->question);
    free(t);
}

static size_t usable(struct dane_ticket *t, const struct dns_answer *a) {
    size_t count = 0;
    for (size_t i = 0; i < a->count && i < DANE_PINS_MAX; i++) {
        const struct dns_record *r = &a->records[i];
        struct tls_pin pin = {r->tlsa.usage, r->tlsa.selector, r->tlsa.matching, r->tlsa.data};
        if (tls_pin_is_usable(&pin)) t->pins[count++] = pin;
    }
    return count;
}

static void on_records(void *arg, const struct dns_answer *a) {
    struct dane_ticket *t = arg;
    struct dane_answer answer = {.demand = DANE_NOTHING, .pins = t->pins, .why = ""};
    t->question = NULL;
    if (a->status == DNS_TEMPORARY) {
        answer.demand = DANE_UNKNOWN;
        answer.why = a->why;
    } else if (a->status == DNS_OK && a->authentic) {
        answer.count = usable(t, a);
        answer.demand = answer.count ? DANE_MATCH : DANE_TLS;
    }
    t->call(t->arg, &answer);
    free(t);
}

struct dane_ticket *dane_ask(struct dns *dns, const char *host, uint16_t port, void (*answer)(void *arg, const struct dane_answer *answer), void *arg) {
    struct dane_ticket *t = must_alloc(sizeof *t);
    char name[300];
    *t = (struct dane_ticket){.call = answer, .arg = arg};
    snprintf(name, sizeof name, "_%u._tcp.%s", port, host);
    t->question = dns_ask(dns, name, DNS_TLSA, on_records, t);
    return t;
}
