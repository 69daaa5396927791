// SPDX-License-Identifier: MIT
// A month of warmup: three identities, four providers, more mail than they may send, and a virtual clock. The policy is asked as
// live mail asks it; what it says may be spent is spent on real accounts (relay/account). Never over a cap in any window of 24
// hours, the caps well used, and the rest goes where the policy says.
#include "policy_kit.h"
#include "warmup_policy.h"

#include "base/map.h"
#include "relay/account.h"

enum { DAYS = 30, TICK_S = 1800, SENDERS = 3, PROVIDERS = 4, CELLS = SENDERS * PROVIDERS, SENT_MAX = 20000 };
static const int64_t DAY_MS = 86400 * 1000;

static const char policy[] =
    WARMUP_POLICY("30", "8", "providers = { google = 0.5, yahoo = 0.75 }, jitter = i == 3 and 0.1 or 0");

static const char *const domains[PROVIDERS] = {"gmail.com", "yahoo.com", "outlook.com", "own.example"};

// One identity at one provider.
struct cell {
    struct account account;
    uint64_t cap;            // as last asked
    int64_t sent[SENT_MAX];  // when, in order
    size_t count;
    double share, shares;    // sum of used/cap after each tick
};

static struct kit k;
static struct map cells; // by account
static size_t relayed;
static uint64_t serial;

static struct cell *cell_of(const struct spend *s) {
    struct cell *c = map_get(&cells, s->account);
    if (c) return c;
    c = must_alloc(sizeof *c);
    account_init(&c->account, s->window_s, k.clock.frozen_ms);
    map_put(&cells, s->account, c);
    return c;
}

// No 24 hours that end now hold more than the cap in force now.
static void check_window(const struct cell *c) {
    size_t n = 0;
    while (n < c->count && c->sent[c->count - 1 - n] > k.clock.frozen_ms - DAY_MS)
        n++;
    assert_true(n <= c->cap);
}

static bool spend(const struct plan *plan) {
    assert_int_equal(plan->spend_count, 1);
    struct cell *c = cell_of(&plan->spends[0]);
    c->cap = plan->spends[0].cap;
    account_turn(&c->account, k.clock.frozen_ms);
    if (account_used(&c->account) + 1 > c->cap) return false;
    account_hold(&c->account, 1);
    account_spend(&c->account, 1);
    assert_true(c->count < SENT_MAX);
    c->sent[c->count++] = k.clock.frozen_ms;
    check_window(c);
    return true;
}

static bool overflowed;
static int asked;

static void take(const struct plan *plan) {
    assert_false(plan->origin.fault);
    size_t tried = 0;
    for (; plan->via.kind == VIA_DIRECT; plan = plan->otherwise, tried++)
        if (spend(plan)) return;
    // Only after all three were full.
    assert_int_equal(tried, SENDERS);
    assert_true(bytes_equal(plan->via.host, BYTES("relay.example")));
    relayed++;
    overflowed = true;
}

static void on_plan(void *arg, const struct plan *plan) {
    (void)arg;
    take(plan);
    if (--asked == 0) loop_stop(k.loop);
}

static void ask(const char *domain, int together) {
    for (asked = 0; asked < together; asked++) {
        char id[32], address[64];
        struct message_facts m = kit_message;
        struct recipient_facts r = kit_recipient;
        snprintf(id, sizeof id, "%016llx", (unsigned long long)++serial);
        snprintf(address, sizeof address, "r%llu@%s", (unsigned long long)serial, domain);
        m.id_text = bytes_of(id);
        r.address = bytes_of(address);
        r.domain = bytes_of(domain);
        hook_route(k.g, &m, &r, on_plan, NULL);
    }
    loop_run(k.loop);
}

// Mail comes until none of the three has room for this provider.
static void tick(void) {
    for (int p = 0; p < PROVIDERS; p++) {
        overflowed = false;
        while (!overflowed)
            ask(domains[p], 8);
    }
    struct bytes name;
    void *value;
    for (size_t at = 0; map_next(&cells, &at, &name, &value);) {
        struct cell *c = value;
        c->share += (double)account_used(&c->account) / (double)c->cap;
        c->shares += 1;
    }
}

static void a_month_of_warmup(void **state) {
    (void)state;
    kit_init(&k);
    k.clock.frozen_ms = INT64_C(1793491200000); // 2026-11-01
    kit_policy(&k, policy);
    for (int64_t t = 0; t < DAYS * (DAY_MS / 1000); t += TICK_S) {
        tick();
        k.clock.frozen_ms += TICK_S * 1000;
    }
    assert_int_equal(cells.count, CELLS);
    struct bytes name;
    void *value;
    size_t sent = 0;
    for (size_t at = 0; map_next(&cells, &at, &name, &value);) {
        struct cell *c = value;
        sent += c->count;
        if (c->share / c->shares < 0.98)
            fail_msg("%.*s: used to %.1f %% only", BYTES_FMT(name), 100 * c->share / c->shares);
        free(c);
    }
    assert_true(sent > 10000 && relayed > 0);
    map_release(&cells);
    kit_release(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_month_of_warmup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
