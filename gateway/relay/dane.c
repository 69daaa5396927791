// SPDX-License-Identifier: MIT
#include "relay/dane.h"

#include <stdio.h>
#include <stdlib.h>

struct dane_ticket {
    struct dns *dns;
    struct dns_ticket *question;
    const char *host, *base, *next; // base: the name that is asked for; next: the one after it
    uint16_t port;
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

static void ask_next(struct dane_ticket *t);

static void on_records(void *arg, const struct dns_answer *a) {
    struct dane_ticket *t = arg;
    struct dane_answer answer = {.demand = DANE_NOTHING, .pins = t->pins, .base = t->base, .why = ""};
    t->question = NULL;
    if (a->status == DNS_TEMPORARY) {
        answer.demand = DANE_UNKNOWN;
        answer.why = a->why;
    } else if (a->status == DNS_OK && a->authentic) {
        answer.count = usable(t, a);
        answer.demand = answer.count ? DANE_MATCH : DANE_TLS;
    } else if (t->next) {
        ask_next(t);
        return;
    }
    t->call(t->arg, &answer);
    free(t);
}

static void ask_next(struct dane_ticket *t) {
    char name[300];
    t->base = t->next;
    t->next = t->base == t->host ? NULL : t->host;
    snprintf(name, sizeof name, "_%u._tcp.%s", t->port, t->base);
    t->question = dns_ask(t->dns, name, DNS_TLSA, on_records, t);
}

struct dane_ticket *dane_ask(struct dns *dns, const char *host, const char *canonical, uint16_t port,
                             void (*answer)(void *arg, const struct dane_answer *answer), void *arg) {
    struct dane_ticket *t = must_alloc(sizeof *t);
    *t = (struct dane_ticket){.dns = dns, .host = host, .next = canonical ? canonical : host, .port = port, .call = answer, .arg = arg};
    ask_next(t);
    return t;
}
