// SPDX-License-Identifier: MIT
// catchup and deed: reads see what was promised; a change is heard of once, whatever became of it.
#include "relay/catchup.h"

#include "relay/deed.h"
#include "store_kit.h"

struct bench {
    struct kit kit;
    struct gateway gateway;
    uint64_t id; // of the message looked for
    int called;
    bool before, seen; // was it there when it was promised, and when `then` was called
};

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    struct err err;
    kit_init(&b->kit);
    kit_open(&b->kit);
    b->gateway = (struct gateway){.store = b->kit.store, .loop = loop_new(&err)};
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    store_close(&b->kit.store); // what is under way comes back to the loop
    loop_free(&b->gateway.loop);
    kit_remove(&b->kit);
    free(b);
    return 0;
}

// ---- catchup ----

struct mail { // promised, and then committed
    struct store_op op; // first
    struct task told;
    struct bench *bench;
    struct message message;
    struct recipient recipient;
    struct iovec part;
    bool closed; // the writer stands still in apply until this
    pthread_mutex_t lock;
    pthread_cond_t opened;
};

static bool put_mail(struct store_op *op, struct txn *txn, struct err *err) {
    struct mail *m = (struct mail *)op;
    m->message.body = op->place;
    pthread_mutex_lock(&m->lock);
    while (m->closed) pthread_cond_wait(&m->opened, &m->lock);
    pthread_mutex_unlock(&m->lock);
    return txn_put_message(txn, &m->message, err) && txn_put_recipient(txn, &m->recipient, err);
}

static void is_committed(struct store_op *op, bool done, const struct err *why) {
    (void)op, (void)why;
    assert_true(done);
}

static bool is_visible(struct bench *b) {
    struct err err;
    struct message m;
    struct reader *r = reader_new(b->kit.store, &err);
    reader_begin(r);
    bool visible = reader_message(r, b->id, &m);
    reader_end(r);
    reader_free(&r);
    return visible;
}

static void then(void *arg) {
    struct bench *b = arg;
    b->called++;
    b->seen = is_visible(b);
    loop_stop(b->gateway.loop);
}

static void hear_promise(struct task *task) {
    struct mail *m = (struct mail *)((char *)task - offsetof(struct mail, told));
    m->bench->before = is_visible(m->bench);
    catchup_wait(&m->bench->gateway, then, m->bench);
}

static void promised(struct store_op *op) { loop_post(((struct mail *)op)->bench->gateway.loop, &((struct mail *)op)->told); }

static void submit(struct mail *m, struct bench *b, bool promise) {
    static char body[] = "x\r\n";
    *m = (struct mail){.op = {.apply = put_mail, .finish = is_committed, .promised = promise ? promised : NULL, .part_count = 1, .file = -1,
                              .body_id = b->id, .patient = promise},
                       .told = {.run = hear_promise}, .bench = b, .message = some_message(b->id), .recipient = some_recipient(b->id, 0, 1),
                       .part = {body, 3}, .closed = !promise, .lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};
    m->op.parts = &m->part;
    store_submit(b->kit.store, &m->op);
}

static void what_was_promised_is_seen(void **state) {
    struct bench *b = *state;
    struct mail m;
    assert_true(accept_mail(&b->kit, 1, 1, 1, BYTES("x"))); // the first segment is there: only then is a promise made
    b->before = true;
    // On a busy machine the commit may be the first to be noticed, and that says nothing.
    for (b->id = 2; b->before; b->id++) {
        assert_true(b->id < 1000);
        submit(&m, b, true);
        loop_run(b->gateway.loop);
        assert_int_equal(b->called, b->id - 1);
        assert_true(b->seen);
    }
}

// A disk that hangs: the asker is answered with what there is, and hears no second time when it goes on.
static void nobody_waits_for_ever(void **state) {
    struct bench *b = *state;
    struct mail m;
    b->id = 2;
    submit(&m, b, false);
    catchup_wait(&b->gateway, then, b);
    assert_int_equal(b->called, 0);
    loop_run(b->gateway.loop);
    assert_int_equal(b->called, 1);
    assert_false(b->seen);
    pthread_mutex_lock(&m.lock);
    m.closed = false;
    pthread_cond_signal(&m.opened);
    pthread_mutex_unlock(&m.lock);
    store_close(&b->kit.store);
    while (loop_drain(b->gateway.loop)) continue;
    assert_int_equal(b->called, 1);
}

// ---- deed ----

struct errand_of {
    struct deed deed; // first
    struct bench *bench;
    bool refuse;
};

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    if (((struct errand_of *)op)->refuse) return err_set(err, "not this");
    return txn_put(txn, TABLE_POLICY, BYTES("key"), BYTES("value"), err);
}

static void done(struct deed *e) {
    struct bench *b = ((struct errand_of *)e)->bench;
    b->called++;
    loop_stop(b->gateway.loop);
}

static void a_deed_is_heard_of(void **state) {
    struct bench *b = *state;
    struct errand_of good = {.bench = b}, bad = {.bench = b, .refuse = true};
    struct err err;
    struct bytes value;
    deed_run(&bad.deed, &b->gateway, apply, done);
    loop_run(b->gateway.loop);
    assert_false(bad.deed.stored);
    assert_string_equal(bad.deed.why.text, "not this");
    deed_run(&good.deed, &b->gateway, apply, done);
    loop_run(b->gateway.loop);
    assert_true(good.deed.stored);
    assert_int_equal(b->called, 2);
    struct reader *r = reader_new(b->kit.store, &err);
    reader_begin(r);
    assert_true(reader_get(r, TABLE_POLICY, BYTES("key"), &value));
    assert_memory_equal(value.at, "value", 5);
    reader_end(r);
    reader_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_promised_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_waits_for_ever, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deed_is_heard_of, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
