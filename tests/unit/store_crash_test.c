// SPDX-License-Identifier: MIT
// kill -9 at random moments: what was acknowledged is there, whole; what was settled stays settled.
//
// A child runs the store and tells over a pipe what was committed; the parent kills it after a random number
// of words, opens what it left behind and compares.
#include "store_kit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <fcntl.h>
#include <sys/wait.h>

enum { KILLS = 40, LANES = 6, WORDS_A_LIFE = 120, IDS = 400000 };
enum word_kind { WORD_ACCEPTED = 1, WORD_SETTLED = 2 };

// Words on the pipe: kind in the top byte, id below; atomic, as they are shorter than PIPE_BUF.
static uint64_t word_of(enum word_kind kind, uint64_t id) {
    return (uint64_t)kind << 56 | id;
}

static size_t body_of(uint64_t id, char *into) {
    size_t len = 10 + (id * 2654435761u >> 7) % 3000;
    for (size_t i = 0; i < len; i++)
        into[i] = (char)('a' + (id + i / 64) % 26);
    return len;
}

// ---- the child
// -----------------------------------------------------------------------------------------------

struct lane {
    struct store_op op; // first
    struct store *store;
    int pipe;
    bool settling;
    uint64_t id, step;
    struct message message;
    struct recipient recipient;
    struct iovec part;
    char body[4096];
};

static bool lane_apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct lane *l = (struct lane *)op;
    bool last;
    if (l->settling) return txn_drop_recipient(txn, l->id, 0, &last, err);
    l->message.body = op->place;
    return txn_put_message(txn, &l->message, err) && txn_put_recipient(txn, &l->recipient, err);
}

static void lane_next(struct lane *l) {
    l->settling = !l->settling && l->id % 4 != 0; // every fourth message stays
    if (!l->settling) {
        l->id += LANES;
        l->message = some_message(l->id);
        l->recipient = some_recipient(l->id, 0, (int64_t)l->id);
        l->part = (struct iovec){l->body, body_of(l->id, l->body)};
    }
    l->op.part_count = l->settling ? 0 : 1;
    l->op.parts = &l->part;
    l->op.body_id = l->id;
    store_submit(l->store, &l->op);
}

static void lane_finish(struct store_op *op, bool done, const struct err *why) {
    struct lane *l = (struct lane *)op;
    (void)why;
    uint64_t word = word_of(l->settling ? WORD_SETTLED : WORD_ACCEPTED, l->id);
    if (!done || write(l->pipe, &word, sizeof word) != sizeof word) _exit(3);
    lane_next(l);
}

static _Noreturn void child_main(struct kit *kit, uint64_t first_id, int pipe) {
    static struct lane lanes[LANES];
    struct err err;
    kit->store = store_open(&kit->options, &err);
    if (!kit->store) _exit(2);
    for (uint64_t i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){.store = kit->store, .pipe = pipe, .settling = true, .id = first_id + i};
        lanes[i].op = (struct store_op){.apply = lane_apply, .finish = lane_finish, .file = -1};
        lane_next(&lanes[i]);
    }
    for (;;)
        pause();
}

// ---- the parent
// ----------------------------------------------------------------------------------------------

struct ledger {
    uint8_t accepted[IDS], settled[IDS];
    uint64_t highest;
};

static bool hear(int pipe, struct ledger *ledger) {
    uint64_t word;
    ssize_t n;
    do
        n = read(pipe, &word, sizeof word);
    while (n < 0 && errno == EINTR);
    if (n != sizeof word) return false;
    uint64_t id = word & ((UINT64_C(1) << 56) - 1);
    assert_true(id < IDS);
    *(word >> 56 == WORD_SETTLED ? &ledger->settled[id] : &ledger->accepted[id]) = 1;
    if (id > ledger->highest) ledger->highest = id;
    return true;
}

static void one_life(struct kit *kit, struct ledger *ledger, unsigned words) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        child_main(kit, ledger->highest + LANES + 1, ends[1]);
    }
    close(ends[1]);
    bool alive = true;
    for (unsigned i = 0; i < words && alive; i++)
        alive = hear(ends[0], ledger);
    assert_true(alive);
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (hear(ends[0], ledger))
        continue; // what it had said before it died
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void expect_whole(struct kit *kit, uint64_t id) {
    struct err err = {""};
    char wanted[4096];
    size_t len = 0, wanted_len = body_of(id, wanted);
    char *body = kit_body(kit, id, &len, &err);
    if (!body) fail_msg("message %llu: %s", (unsigned long long)id, err.text);
    assert_int_equal(len, wanted_len);
    assert_memory_equal(body, wanted, len);
    free(body);
}

struct census {
    struct ledger *ledger;
    unsigned unheard, lingering;
    uint8_t here[IDS];
};

static bool count(void *arg, const struct recipient *r) {
    struct census *c = arg;
    assert_true(r->id < IDS);
    c->here[r->id] = 1;
    if (!c->ledger->accepted[r->id]) c->unheard++; // committed, killed before it could say so
    if (c->ledger->settled[r->id]) c->lingering++;
    if (r->id > c->ledger->highest) c->ledger->highest = r->id;
    return true;
}

static void note(void *arg, const char *text) {
    snprintf(arg, 512, "%s", text);
}

static void expect_promise_kept(struct kit *kit, struct ledger *ledger) {
    struct census *census = calloc(1, sizeof *census);
    struct err err;
    char fault[512] = "";
    unsigned missing = 0;
    census->ledger = ledger;
    kit_open(kit);
    struct reader *reader = reader_new(kit->store, &err);
    reader_begin(reader);
    reader_recipients(reader, 0, count, census);
    reader_end(reader);
    reader_free(&reader);
    assert_int_equal(census->lingering, 0);
    assert_true(census->unheard <= LANES);
    for (uint64_t id = 0; id < IDS; id++) {
        if (census->here[id]) expect_whole(kit, id);
        if (census->here[id]) ledger->accepted[id] = 1;
        if (!ledger->accepted[id] || ledger->settled[id] || census->here[id]) continue;
        assert_true(id % 4 != 0); // nobody settles those
        ledger->settled[id] = 1;  // the one settlement in flight on each lane may have been committed unheard
        missing++;
    }
    assert_true(missing <= LANES);
    assert_true(store_last_id(kit->store) >= ledger->highest);
    if (!store_check(kit->store, note, fault, NULL)) fail_msg("%s", fault);
    store_close(&kit->store);
    free(census);
}

static void what_was_acknowledged_survives(void **state) {
    (void)state;
    struct kit kit;
    struct ledger *ledger = calloc(1, sizeof *ledger);
    unsigned seed = 12345;
    kit_init(&kit);
    kit.options.segment_bytes = 32 << 10; // many rolls, and stragglers enough for compaction
    for (int life = 0; life < KILLS; life++) {
        seed = seed * 1103515245 + 12345;
        one_life(&kit, ledger, seed >> 16 & 1 ? 1 + (seed >> 20) % 10 : 1 + (seed >> 20) % WORDS_A_LIFE);
        expect_promise_kept(&kit, ledger);
    }
    kit_remove(&kit);
    free(ledger);
}

static void cut(struct kit *kit, off_t size) {
    char name[128];
    snprintf(name, sizeof name, "%s/data.mdb", kit->path);
    assert_int_equal(truncate(name, size), 0);
}

// LMDB's first write of all, cut short: nothing was ever in that file, so it must not keep the gateway from starting.
static void half_made_is_made_again(void **state) {
    (void)state;
    const long page = sysconf(_SC_PAGESIZE);
    const off_t sizes[] = {1, page / 2, page};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct kit kit;
        char name[128];
        kit_init(&kit);
        kit_open(&kit);
        store_close(&kit.store);
        snprintf(name, sizeof name, "%s/segments", kit.path);
        rmdir(name); // as it is before the first mail
        cut(&kit, sizes[i]);
        kit_open(&kit);
        kit_reopen(&kit);
        kit_remove(&kit);
    }
}

// But what was a whole database is not thrown away.
static void damaged_is_refused(void **state) {
    (void)state;
    struct kit kit;
    struct err err = {""};
    char name[128], zeros[16] = {0};
    kit_init(&kit);
    kit_open(&kit);
    store_close(&kit.store);
    snprintf(name, sizeof name, "%s/data.mdb", kit.path);
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, 16), sizeof zeros);
    close(fd);
    assert_null(store_open(&kit.options, &err));
    assert_non_null(strstr(err.text, "data.mdb"));
    kit_remove(&kit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives),
        cmocka_unit_test(half_made_is_made_again),
        cmocka_unit_test(damaged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
