// SPDX-License-Identifier: MIT
#include "relay/lab_ledger.h"

#include "base/map.h"
#include "policy/spends.h"
#include "relay/account.h"

#include <stdlib.h>

struct lab_ledger {
    struct map accounts; // by "KEY/SECONDS"
};

struct lab_ledger *lab_ledger_new(void) {
    return must_alloc(sizeof(struct lab_ledger));
}

static void clear(void *arg) {
    struct lab_ledger *l = arg;
    size_t at = 0;
    void *value;
    while (map_next(&l->accounts, &at, NULL, &value))
        free(value);
    map_release(&l->accounts);
    l->accounts = (struct map){0};
}

void lab_ledger_free(struct lab_ledger **at) {
    struct lab_ledger *l = *at;
    *at = NULL;
    if (!l) return;
    clear(l);
    free(l);
}

static struct account *account_at(struct lab_ledger *l, const struct spend *s, int64_t now_ms) {
    char text[SPEND_ACCOUNT_MAX];
    struct bytes name = spend_account(s, text);
    struct account *a = map_get(&l->accounts, name);
    if (!a) {
        a = must_alloc(sizeof *a);
        account_init(a, s->window_s, now_ms);
        map_put(&l->accounts, name, a);
    }
    account_turn(a, now_ms);
    return a;
}

static void look(void *arg, const struct spend *s, uint64_t n, int64_t now_ms, struct limit_state *out) {
    const struct account *a = account_at(arg, s, now_ms);
    bool fits = account_taken(a) + n <= s->cap;
    *out = (struct limit_state){.used = account_used(a),
                                .room_at_ms = fits ? 0 : account_free_at(a, s->cap, n),
                                .next_free_ms = account_taken(a) ? account_next_free(a) : 0,
                                .full_until_ms = a->full_until_ms};
}

static void spend(void *arg, const struct spend *s, uint64_t n, int64_t now_ms) {
    struct account *a = account_at(arg, s, now_ms);
    uint64_t most = ACCOUNT_CAP_MAX - account_used(a);
    if (n > most) n = most;
    account_hold(a, n);
    account_spend(a, n);
}

static void fill(void *arg, const struct spend *s, int64_t until_ms, int64_t now_ms) {
    account_fill(account_at(arg, s, now_ms), until_ms);
}

struct lab_limits lab_ledger_limits(struct lab_ledger *l) {
    return (struct lab_limits){.look = look, .spend = spend, .fill = fill, .clear = clear, .arg = l};
}
