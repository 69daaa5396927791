// SPDX-License-Identifier: MIT
#include "relay/targets.h"

#include "base/bug.h"
#include "policy/answer.h"
#include "relay/worker.h"

#include <netinet/in.h>

static int64_t now_ms(void) { return clock_monotonic_us() / 1000; }

// Those that are in reach, as far as anybody knows, or those that are not.
static void add_hosts(struct targets *t, const struct exchange_answer *answer, bool out) {
    for (size_t i = 0; i < answer->count; i++) {
        const struct exchange_host *h = &answer->hosts[i];
        const char *name = arena_z(t->arena, bytes_of(h->name));
        const char *canonical = h->canonical ? arena_z(t->arena, bytes_of(h->canonical)) : NULL;
        for (size_t k = 0; k < h->count; k++) {
            if (reach_is_out(t->reach, &h->addresses[k], now_ms()) != out) continue;
            t->at[t->count++] = (struct target){.addr = h->addresses[k], .host = name, .canonical = canonical, .authentic = h->authentic};
        }
    }
}

static void on_exchange(void *arg, const struct exchange_answer *answer) {
    struct targets *t = arg;
    size_t total = 0;
    t->ticket = NULL;
    if (answer->count == 0) return t->found(t->arg, &answer->failure);
    for (size_t i = 0; i < answer->count; i++) total += answer->hosts[i].count;
    t->at = arena_alloc(t->arena, 2 * total * sizeof *t->at);
    add_hosts(t, answer, false);
    add_hosts(t, answer, true);
    t->found(t->arg, NULL);
}

static int family_of(const struct identity *who, const struct conf *conf) {
    // An identity bound to one address family never leaves from an address that is not its own.
    if (who->source4.len && !who->source6.len) return AF_INET;
    if (who->source6.len && !who->source4.len) return AF_INET6;
    const char *family = conf->family;
    return !family ? 0 : strcmp(family, "4") == 0 ? AF_INET : strcmp(family, "6") == 0 ? AF_INET6 : 0;
}

// What no resolver has to be asked for. Code 0: nothing is in the way.
static struct reply refusal(const struct conf *conf, const struct plan *plan, struct bytes where) {
    // Law 7: without that nothing counts as signed, and every host would do as it likes. "dane_or_verify" demands a certificate then.
    if (plan->tls == LEVEL_DANE && !conf->dns_trust_ad)
        return reply_make(451, "4.7.5", "tls = \"dane\" needs a validating resolver that is believed: dns.trust_ad = true");
    // An address goes round whatever the policy says by domain; route.relay can name it where it is meant.
    if (plan->via.kind == VIA_DIRECT && bytes_starts(where, BYTES("[")))
        return reply_make(550, "5.1.2", "mail to an address literal is not delivered directly");
    return (struct reply){0};
}

bool targets_find(struct targets *t, struct worker *w, const struct conf *conf, const struct plan *plan, struct bytes domain,
                  struct arena *arena, void (*found)(void *arg, const struct reply *failure), void *arg, struct reply *refused) {
    const struct via *via = &plan->via;
    bool direct = via->kind == VIA_DIRECT;
    const char *where = arena_z(arena, direct ? domain : via->host), **own = arena_alloc(arena, sizeof *own);
    *refused = refusal(conf, plan, bytes_of(where));
    if (refused->code) return false;
    *own = conf->hostname;
    struct exchange_options options = {
        .port = (uint16_t)(direct && (via->port == 0 || via->port == 25) ? conf->smtp_port : via->port),
        .family = family_of(&plan->identity, conf), .allowed = via->mx, .public_only = direct && !conf->private_mx,
        .own_names = own, .own_name_count = direct ? 1 : 0,
    };
    *t = (struct targets){.domain = direct ? where : NULL, .reach = &w->reach, .arena = arena, .found = found, .arg = arg};
    t->ticket = exchange_find(w->dns, where, direct ? EXCHANGE_MX : EXCHANGE_HOST, &options, on_exchange, t);
    return true;
}

void targets_model(struct targets *t, const struct plan *plan, struct bytes domain, struct arena *arena) {
    *t = (struct targets){.at = arena_alloc(arena, sizeof *t->at), .count = 1};
    bug_if(!addr_parse(BYTES("192.0.2.25:25"), &t->at->addr, NULL));
    t->at->host = arena_z(arena, plan->via.kind == VIA_DIRECT ? domain : plan->via.host);
}

const struct target *targets_current(const struct targets *t) { return t->next < t->count ? &t->at[t->next] : NULL; }

int64_t targets_patience_ms(const struct targets *t, int64_t most_ms) {
    bool others = t->next + 1 < t->count && !t->at[t->next].put_off;
    return others && most_ms > TARGETS_PATIENCE_MS ? TARGETS_PATIENCE_MS : most_ms;
}

void targets_pass(struct targets *t) { t->next++; }

void targets_connected(struct targets *t) { reach_answered(t->reach, &t->at[t->next].addr); }

void targets_unreachable(struct targets *t, bool silent) {
    struct target *now = &t->at[t->next];
    bool others = t->next + 1 < t->count;
    if (t->reach) reach_failed(t->reach, &now->addr, now_ms()); // not in a simulation
    if (silent && others && !now->put_off) {
        t->at[t->count] = *now;
        t->at[t->count++].put_off = true;
    }
    targets_pass(t);
}

void targets_cancel(struct targets *t) { exchange_cancel(&t->ticket); }
