// SPDX-License-Identifier: MIT
// rounds: who stands in a place that nobody remembers, or was routed by a policy that is no more, is not forgotten.
#include "relay/rounds.h"

#include "rehearsal_kit.h"

static const char policy[] = "local route = require 'route'\n"
                             "return { route = function() return route.send { via = route.direct {}, because = 'that way' } end }";

struct parking { // a message that waits in the store, and nothing in memory knows of it
    struct store_op op; // first
    struct message message;
    struct recipient recipient;
    char decision[100];
};

static bool put(struct store_op *op, struct txn *txn, struct err *err) {
    struct parking *p = (struct parking *)op;
    p->message.body = op->place;
    return txn_put_message(txn, &p->message, err) && txn_put_recipient(txn, &p->recipient, err);
}

static void placed(struct store_op *op, bool done, const struct err *why) {
    (void)op, (void)why;
    assert_true(done);
}

static void park(struct kit *k, struct parking *p, const char *lane, const char *version) {
    static struct iovec body = {(void *)(uintptr_t)"x\r\n", 3};
    struct worker *w = rehearsal_worker(k->r);
    uint64_t id = worker_next_id(w);
    *p = (struct parking){.op = {.apply = put, .finish = placed, .file = -1, .parts = &body, .part_count = 1, .body_id = id}};
    snprintf(p->decision, sizeof p->decision, "{\"policy\":\"%s\",\"where\":\"\",\"because\":\"\"}", version);
    p->message = (struct message){.id = id, .received_ms = KIT_START, .expires_ms = KIT_START + 5 * 86400000, .sender = BYTES("a@example.org"),
                                  .head = BYTES("Subject: x\r\n"), .recipients = 1};
    p->recipient = (struct recipient){.id = id, .state = RECIPIENT_PARKED, .due_ms = p->message.expires_ms, .address = BYTES("b@b.example"),
                                      .lane = bytes_of(lane), .priority = PRIORITY_NORMAL, .turn = BYTES("example.org"),
                                      .decision = bytes_of(p->decision)};
    store_submit(w->gateway->store, &p->op);
}

static void on_fate(void *arg, const struct rehearsed_fate *f) { *(int *)arg += strcmp(f->type, "delivered") == 0; }

static void run_for(struct kit *k, int64_t minutes) { rehearsal_run(k->r, rehearsal_now(k->r) + minutes * 60000); }

static void a_forgotten_place_is_found(void **state) {
    (void)state;
    static const char *const places[] = {"-|direct:b.example:25|none", "limit:acme/86400/10", "limit:acme/86400/20/recipients"};
    enum { PLACES = sizeof places / sizeof *places };
    struct kit k;
    struct parking parked[PLACES];
    int delivered = 0;
    kit_open(&k, policy, NULL, &(struct rehearsal_options){.fate = on_fate, .arg = &delivered});
    for (int i = 0; i < PLACES; i++) park(&k, &parked[i], places[i], generation_version(rehearsal_worker(k.r)->generation));
    run_for(&k, 5);
    assert_int_equal(delivered, 0);
    run_for(&k, 10);
    assert_int_equal(delivered, PLACES);
    kit_close(&k);
}

// The places are as many as a step looks at, and some more.
static void many_places_are_gone_round_in_steps(void **state) {
    (void)state;
    enum { MANY = 450 };
    struct kit k;
    struct parking *parked = calloc(MANY, sizeof *parked);
    char (*lanes)[40] = calloc(MANY, sizeof *lanes);
    int delivered = 0;
    assert_true(parked && lanes);
    kit_open(&k, policy, NULL, &(struct rehearsal_options){.fate = on_fate, .arg = &delivered});
    for (int i = 0; i < MANY; i++) {
        snprintf(lanes[i], sizeof lanes[i], "-|direct:d%d.example:25|none", i);
        park(&k, &parked[i], lanes[i], generation_version(rehearsal_worker(k.r)->generation));
    }
    run_for(&k, 15);
    assert_int_equal(delivered, MANY);
    kit_close(&k);
    free(parked);
    free(lanes);
}

static void another_policy_is_asked_about_those_of_an_earlier_one(void **state) {
    (void)state;
    struct kit k;
    struct parking earlier, same;
    int delivered = 0;
    kit_open(&k, policy, NULL, &(struct rehearsal_options){.fate = on_fate, .arg = &delivered});
    struct worker *w = rehearsal_worker(k.r);
    park(&k, &earlier, "-|direct:gone.example:25|none", "000000000000");
    park(&k, &same, "-|direct:gone.example:25|none", generation_version(w->generation));
    rounds_policy_changed(w->rounds);
    run_for(&k, 1);
    assert_int_equal(delivered, 1);
    kit_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forgotten_place_is_found),
        cmocka_unit_test(many_places_are_gone_round_in_steps),
        cmocka_unit_test(another_policy_is_asked_about_those_of_an_earlier_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
