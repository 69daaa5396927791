// SPDX-License-Identifier: MIT
// What was promised ahead of its commit: there after a crash at any point, whole, once; and nothing that was not.
#include "store/crc32c.h"
#include "store/inside.h"
#include "store/redo.h"
#include "store_kit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { BODY = 3000 };

// A message that asks for a promise. `then` runs on the writer thread when it is made: the moment before which the client
// hears nothing, and after which all must hold.
struct mail {
    struct job job; // first
    struct kit *kit;
    struct message message;
    struct recipient recipient;
    char body[BODY];
    bool promised;
    void (*then)(struct mail *mail);
    char copy[80]; // of the store's folder, as it was then
    struct job *also;
    bool seen;
};

static int setup(void **state) {
    struct kit *kit = calloc(1, sizeof *kit);
    kit_init(kit);
    kit_open(kit);
    // The first message is in the database: the tail is one it knows.
    assert_true(accept_mail(kit, 1, 1, 1, BYTES("first")));
    *state = kit;
    return 0;
}

static int teardown(void **state) {
    kit_remove(*state);
    free(*state);
    return 0;
}

static void on_promise(struct store_op *op) {
    struct mail *mail = (struct mail *)op;
    mail->promised = true;
    if (mail->then) mail->then(mail);
}

static void mail_submit(struct mail *mail, struct kit *kit, uint64_t id) {
    mail->kit = kit;
    mail->message = some_message(id);
    mail->recipient = some_recipient(id, 0, 7);
    for (size_t i = 0; i < BODY; i++)
        mail->body[i] = (char)('a' + (id + i / 64) % 26);
    mail->job = (struct job){.work = work_accept, .message = &mail->message, .recipients = &mail->recipient, .recipient_count = 1};
    mail->job.part = (struct iovec){mail->body, BODY};
    mail->job.op.parts = &mail->job.part;
    mail->job.op.part_count = 1;
    mail->job.op.body_id = id;
    mail->job.op.promised = on_promise;
    job_submit(&mail->job, kit->store);
}

static bool mail_run(struct mail *mail, struct kit *kit, uint64_t id) {
    mail_submit(mail, kit, id);
    return job_wait(&mail->job);
}

static void note(void *arg, const char *text) {
    snprintf(arg, 512, "%s", text);
}

static void expect_sound(struct kit *kit) {
    char fault[512] = "";
    if (!store_check(kit->store, note, fault, NULL)) fail_msg("%s", fault);
}

static bool is_queued(struct store *store, uint64_t id) {
    struct err err;
    struct message m;
    struct recipient r;
    struct reader *reader = reader_new(store, &err);
    reader_begin(reader);
    bool there = reader_message(reader, id, &m), to = reader_recipient(reader, id, 0, &r);
    reader_end(reader);
    reader_free(&reader);
    assert_int_equal(there, to);
    return there;
}

static void expect_body(struct kit *kit, const struct mail *mail, uint64_t id) {
    size_t len;
    struct err err = {""};
    char *body = kit_body(kit, id, &len, &err);
    if (!body) fail_msg("%s", err.text);
    assert_int_equal(len, BODY);
    assert_memory_equal(body, mail->body, BODY);
    free(body);
}

static void take_copy(struct mail *mail) {
    char command[256];
    snprintf(mail->copy, sizeof mail->copy, "%s.copy", mail->kit->path);
    snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", mail->copy, mail->kit->path, mail->copy);
    assert_int_equal(system(command), 0);
}

// The copy as a store of its own.
static struct kit crashed(const struct mail *mail) {
    struct kit kit = *mail->kit;
    kit.store = NULL;
    snprintf(kit.path, sizeof kit.path, "%s", mail->copy);
    return kit;
}

static void open_crashed(struct kit *kit) {
    kit->options.path = kit->path;
    kit->log.clock = &kit->clock;
    kit->options.log = &kit->log;
    kit->options.clock = &kit->clock;
    kit_open(kit);
}

// Changes one byte of the copy's segment.
static void damage(const struct kit *kit, uint64_t at) {
    char path[160], byte;
    snprintf(path, sizeof path, "%s/segments/0000000001.seg", kit->path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

// ---- the promise
// ---------------------------------------------------------------------------------------------

static void look_whether_seen(struct mail *mail) {
    mail->seen = is_queued(mail->kit->store, mail->message.id);
    char fault[512];
    mail->job.last = store_check(mail->kit->store, note, fault, NULL);
}

static void it_comes_before_the_commit_and_before_it_is_seen(void **state) {
    struct kit *kit = *state;
    struct mail mail = {.then = look_whether_seen};
    assert_true(mail_run(&mail, kit, 2));
    assert_true(mail.promised);
    assert_false(mail.seen);
    assert_true(mail.job.last); // check finds nothing wrong meanwhile
    assert_true(is_queued(kit->store, 2));
    expect_body(kit, &mail, 2);
    expect_sound(kit);
}

static void after_a_crash_it_is_kept(void **state) {
    struct kit *kit = *state;
    struct mail mail = {.then = take_copy};
    assert_true(mail_run(&mail, kit, 2));
    struct kit copy = crashed(&mail);
    for (int open = 0; open < 2; open++) { // the second finds nothing left to do
        open_crashed(&copy);
        assert_true(is_queued(copy.store, 1));
        assert_true(is_queued(copy.store, 2));
        assert_int_equal(kit_stats(&copy).messages, 2);
        assert_true(store_last_id(copy.store) >= 2);
        expect_body(&copy, &mail, 2);
        expect_sound(&copy);
        store_close(&copy.store);
    }
    open_crashed(&copy);
    assert_true(accept_mail(&copy, 3, 1, 1, BYTES("goes on")));
    expect_sound(&copy);
    kit_remove(&copy);
}

static void looking_does_not_disturb_it(void **state) {
    struct kit *kit = *state;
    struct mail mail = {.then = take_copy};
    struct err err;
    assert_true(mail_run(&mail, kit, 2));
    struct kit copy = crashed(&mail);
    struct store *look = store_look(copy.path, &kit->clock, &kit->log, &err);
    assert_non_null(look);
    assert_true(is_queued(look, 1));
    assert_false(is_queued(look, 2));
    store_close(&look);
    open_crashed(&copy);
    assert_true(is_queued(copy.store, 2));
    kit_remove(&copy);
}

// Two rounds of one transaction: the second is promised while the first waits, and only then the power fails.
static void submit_also(struct mail *mail) {
    mail->then = NULL;
    store_submit(mail->kit->store, &mail->also->op);
}

static void prepare(struct mail *mail, struct kit *kit, uint64_t id) { // as mail_submit, to be submitted by another
    mail_submit(mail, kit, id);
    assert_true(job_wait(&mail->job));
    mail->promised = false;
    mail->message.id = mail->recipient.id = mail->job.op.body_id = id + 1000;
    pthread_mutex_init(&mail->job.lock, NULL);
    pthread_cond_init(&mail->job.done, NULL);
    mail->job.finished = false;
}

static void all_rounds_of_a_transaction_are_kept(void **state) {
    struct kit *kit = *state;
    struct mail first = {0}, second = {0};
    prepare(&second, kit, 10);
    second.then = take_copy;
    first.then = submit_also;
    first.also = &second.job;
    mail_submit(&first, kit, 2);
    assert_true(job_wait(&second.job));
    assert_true(job_wait(&first.job));
    struct kit copy = crashed(&second);
    open_crashed(&copy);
    assert_true(is_queued(copy.store, 2));
    assert_true(is_queued(copy.store, 1010));
    expect_body(&copy, &first, 2);
    expect_sound(&copy);
    kit_remove(&copy);
}

static void submit_and_take_copy(struct mail *mail) {
    submit_also(mail);
    take_copy(mail);
}

// Delivered at once: its outcome finds it in the transaction that it was promised ahead of, and both commit as one.
static void what_is_settled_before_its_commit_is_in_no_table(void **state) {
    struct kit *kit = *state;
    struct job settled = {.work = work_drop, .id = 2};
    struct mail mail = {.then = submit_and_take_copy, .also = &settled};
    settled.op = (struct store_op){.apply = job_apply, .finish = job_finish, .file = -1, .patient = true};
    pthread_mutex_init(&settled.lock, NULL);
    pthread_cond_init(&settled.done, NULL);
    uint64_t before = kit_stats(kit).commits;
    mail_submit(&mail, kit, 2);
    assert_true(job_wait(&settled));
    assert_true(job_wait(&mail.job));
    assert_true(mail.promised);
    assert_int_equal(kit_stats(kit).commits - before, 1);
    assert_false(is_queued(kit->store, 2));
    assert_int_equal(kit_stats(kit).messages, 1); // that of setup
    expect_sound(kit);
    kit_reopen(kit);
    assert_false(is_queued(kit->store, 2)); // its record in the log is behind the commit
    expect_sound(kit);
    struct kit copy = crashed(&mail); // before that commit: the outcome is forgotten, the message is not
    open_crashed(&copy);
    assert_true(is_queued(copy.store, 2));
    expect_body(&copy, &mail, 2);
    expect_sound(&copy);
    kit_remove(&copy);
}

static void what_was_settled_does_not_rise_again(void **state) {
    struct kit *kit = *state;
    struct mail mail = {.then = take_copy}, next = {.then = take_copy};
    assert_true(mail_run(&mail, kit, 2));
    struct kit copy = crashed(&mail);
    open_crashed(&copy); // replayed, settled, and the power fails without a close
    assert_true(drop_mail(&copy, 2, 0, NULL));
    store_close(&copy.store);
    open_crashed(&copy);
    assert_false(is_queued(copy.store, 2));
    kit_remove(&copy);

    assert_true(drop_mail(kit, 2, 0, NULL)); // committed and settled, and then another is promised
    assert_true(mail_run(&next, kit, 3));
    copy = crashed(&next);
    open_crashed(&copy);
    assert_false(is_queued(copy.store, 2));
    assert_true(is_queued(copy.store, 3));
    expect_sound(&copy);
    kit_remove(&copy);
}

// ---- what is not whole
// -------------------------------------------------------------------------------------------

static void crash_with_damage(struct mail *mail, uint64_t at) {
    struct kit copy = crashed(mail);
    damage(&copy, at);
    open_crashed(&copy);
    assert_true(is_queued(copy.store, 1));
    assert_false(is_queued(copy.store, 2));
    expect_sound(&copy);
    struct mail next = {0};
    assert_true(mail_run(&next, &copy, 3));
    kit_reopen(&copy);
    assert_true(is_queued(copy.store, 3));
    assert_false(is_queued(copy.store, 2));
    expect_body(&copy, &next, 3);
    expect_sound(&copy);
    kit_remove(&copy);
}

static void what_is_torn_was_not_promised(void **state) {
    (void)state;
    uint64_t first = SEGMENT_HEAD + 5, record = first + SEGMENT_HEAD + BODY;
    for (int i = 0; i < 5; i++) {
        const uint64_t at[] = {first + 3, first + SEGMENT_HEAD + 100, record + 9, record + SEGMENT_HEAD + 3, record + SEGMENT_HEAD + 100};
        struct kit fresh;
        kit_init(&fresh);
        kit_open(&fresh);
        assert_true(accept_mail(&fresh, 1, 1, 1, BYTES("first")));
        struct mail mail = {.then = take_copy};
        assert_true(mail_run(&mail, &fresh, 2));
        crash_with_damage(&mail, at[i]);
        kit_remove(&fresh);
    }
}

static void append_raw(const struct kit *kit, uint64_t at, const void *bytes, size_t size) {
    char path[160];
    snprintf(path, sizeof path, "%s/segments/0000000001.seg", kit->path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, bytes, size, (off_t)at), size);
    close(fd);
}

// As redo would write it, but for the secret: so much a client could know.
static size_t forge(char *into, const char secret[REDO_SECRET], uint64_t at) {
    struct buf record = {0}, encoded = {0};
    struct message m = some_message(9);
    struct recipient r = some_recipient(9, 0, 1);
    static const char text[] = "forged body";
    struct segment_head body = {.id = 9, .length = sizeof text, .crc = crc32c(0, text, sizeof text)};
    m.body = (struct place){.segment = 1, .offset = at, .length = sizeof text};
    redo_begin(&record, secret);
    message_encode(&m, &encoded);
    redo_add(&record, REDO_MESSAGE, 9, 0, buf_bytes(&encoded));
    buf_reset(&encoded);
    recipient_encode(&r, &encoded);
    redo_add(&record, REDO_RECIPIENT, 9, 0, buf_bytes(&encoded));
    struct segment_head head = {.length = record.len, .crc = crc32c(0, record.at, record.len), .codec = SEGMENT_CODEC_REDO};
    segment_head_encode(&body, into);
    memcpy(into + SEGMENT_HEAD, text, sizeof text);
    size_t len = SEGMENT_HEAD + sizeof text;
    segment_head_encode(&head, into + len);
    memcpy(into + len + SEGMENT_HEAD, record.at, record.len);
    len += SEGMENT_HEAD + record.len;
    buf_release(&record);
    buf_release(&encoded);
    return len;
}

static void only_the_store_itself_can_write_a_record(void **state) {
    struct kit *kit = *state;
    char bytes[4096], secret[REDO_SECRET];
    uint64_t at = SEGMENT_HEAD + 5;
    memcpy(secret, kit->store->txn.redo_secret, sizeof secret);
    for (int known = 0; known < 2; known++) {
        store_close(&kit->store);
        secret[0] ^= !known;
        size_t len = forge(bytes, secret, at);
        secret[0] ^= !known;
        append_raw(kit, at, bytes, len);
        kit_open(kit);
        assert_int_equal(is_queued(kit->store, 9), known); // with the secret it counts: so it was only that
        expect_sound(kit);
    }
}

// ---- failures
// ----------------------------------------------------------------------------------------------------

static bool work_refused(struct job *job, struct txn *txn, struct err *err) {
    (void)job;
    return txn_put(txn, TABLE_SHELF, BYTES(""), BYTES("no key"), err);
}

static void an_op_that_fails_takes_no_promised_one_with_it(void **state) {
    struct kit *kit = *state;
    struct job refused = {.work = work_refused}, probe = {.work = work_refused};
    struct mail mail = {.then = submit_also, .also = &refused};
    assert_false(job_run(&probe, kit->store));
    refused = probe; // initialised
    refused.finished = false;
    refused.op.patient = true;
    pthread_mutex_init(&refused.lock, NULL);
    pthread_cond_init(&refused.done, NULL);
    uint64_t before = kit_stats(kit).commits;
    mail_submit(&mail, kit, 2);
    assert_false(job_wait(&refused));
    assert_true(job_wait(&mail.job));
    assert_int_equal(kit_stats(kit).commits - before, 1);
    assert_true(is_queued(kit->store, 2));
    expect_sound(kit);
}

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

// From now on neither the database nor a segment can be written.
static void break_disk(struct mail *mail) {
    (void)mail;
    limit_file_size(1);
}

static void wait_until_sick(struct kit *kit) {
    for (int turn = 0; turn < 2000 && !store_is_sick(kit->store); turn++)
        poll(NULL, 0, 5);
    assert_true(store_is_sick(kit->store));
}

static void what_cannot_be_committed_yet_is_kept_until_it_can(void **state) {
    struct kit *kit = *state;
    struct mail mail = {.then = break_disk}, meanwhile = {0}, after = {0};
    mail_submit(&mail, kit, 2);
    wait_until_sick(kit);
    assert_false(mail_run(&meanwhile, kit, 3)); // and nothing more is promised
    assert_false(meanwhile.promised);
    assert_false(drop_mail(kit, 1, 0, NULL));
    assert_false(mail.job.finished);
    assert_false(is_queued(kit->store, 2));
    limit_file_size(RLIM_INFINITY);
    assert_true(job_wait(&mail.job)); // it tries by itself
    assert_true(mail.promised);
    assert_false(store_is_sick(kit->store));
    assert_true(is_queued(kit->store, 2));
    assert_false(is_queued(kit->store, 3));
    expect_body(kit, &mail, 2);
    assert_true(mail_run(&after, kit, 4));
    expect_sound(kit);
    kit_reopen(kit);
    assert_int_equal(kit_stats(kit).messages, 3);
    expect_sound(kit);
}

static void what_is_kept_at_close_is_there_at_the_next_open(void **state) {
    struct kit *kit = *state;
    struct mail mail = {.then = break_disk};
    mail_submit(&mail, kit, 2);
    wait_until_sick(kit);
    store_close(&kit->store);
    limit_file_size(RLIM_INFINITY);
    assert_false(job_wait(&mail.job));
    kit_open(kit);
    assert_true(is_queued(kit->store, 2));
    expect_body(kit, &mail, 2);
    expect_sound(kit);
}

static void fill_disk(struct mail *mail) {
    char path[128];
    static char zeros[1 << 16];
    snprintf(path, sizeof path, "%s/filler", mail->kit->path);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
    for (size_t size = sizeof zeros; size; size /= 2)
        while (write(fd, zeros, size) == (ssize_t)size)
            continue;
    close(fd);
}

static void the_reserve_has_room_for_what_was_promised(void **state) {
    (void)state;
    struct kit kit;
    kit_init(&kit);
    kit.options.reserve_bytes = 4 << 20;
    bool mounted = mount("tmpfs", kit.path, "tmpfs", 0, "size=24m") == 0;
    if (mounted) {
        struct mail mail = {.then = fill_disk}, next = {0};
        kit_open(&kit);
        assert_true(accept_mail(&kit, 1, 1, 1, BYTES("first")));
        for (uint64_t id = 100; id < 400; id++) // so that the database needs pages it has not
            assert_true(accept_mail(&kit, id, 1, 1, BYTES("more")));
        assert_true(mail_run(&mail, &kit, 1000));
        assert_true(mail.promised);
        assert_false(store_is_sick(kit.store));
        bool gave = !kit.store->space->has_reserve, taken = mail_run(&next, &kit, 1001);
        assert_true(!gave || !next.promised); // without a reserve nothing is promised ahead
        assert_int_equal(is_queued(kit.store, 1001), taken);
        expect_sound(&kit);
        store_close(&kit.store);
        assert_int_equal(umount(kit.path), 0);
    }
    kit_remove(&kit);
    if (!mounted) skip();
}

static void without_a_reserve_nothing_is_promised_ahead(void **state) {
    struct kit *kit = *state;
    struct mail mail = {0};
    kit->options.reserve_bytes = UINT64_MAX / 2; // no disk has so much free: none is set aside
    char path[128];
    store_close(&kit->store);
    snprintf(path, sizeof path, "%s/reserve", kit->path);
    unlink(path);
    kit_open(kit);
    assert_true(mail_run(&mail, kit, 2));
    assert_false(mail.promised);
    assert_true(is_queued(kit->store, 2));
}

// ---- where there is no promise ahead
// ------------------------------------------------------------------------------

static void a_new_segment_is_committed_before_it_holds_promises(void **state) {
    struct kit *kit = *state;
    int promised = 0, rolled = 0;
    uint32_t tail = kit->store->segments.tail[SEGMENT_HOT].number;
    for (uint64_t id = 2; id < 500; id++) { // of 1 MiB each
        struct mail mail = {0};
        assert_true(mail_run(&mail, kit, id));
        uint32_t now = kit->store->segments.tail[SEGMENT_HOT].number;
        if (now != tail) {
            assert_false(mail.promised);
            rolled++;
        }
        tail = now;
        promised += mail.promised;
    }
    assert_true(rolled > 0);
    assert_true(promised > 400);
    expect_sound(kit);
    kit_reopen(kit);
    expect_sound(kit);
    assert_int_equal(kit_stats(kit).messages, 499);
}

static void a_message_without_a_body_and_a_fleeting_store_wait_for_the_commit(void **state) {
    struct kit *kit = *state;
    struct mail mail = {0};
    prepare(&mail, kit, 5);
    mail.job.op.part_count = 0;
    mail.message.body = (struct place){0};
    store_submit(kit->store, &mail.job.op);
    assert_true(job_wait(&mail.job));
    assert_false(mail.promised);
    assert_true(is_queued(kit->store, 1005));

    struct kit fleeting;
    kit_init(&fleeting);
    fleeting.options.fleeting = true;
    kit_open(&fleeting);
    struct mail played = {0};
    mail_submit(&played, &fleeting, 2);
    assert_true(store_turn(fleeting.store));
    assert_true(job_wait(&played.job));
    assert_false(played.promised);
    kit_remove(&fleeting);
}

static void a_body_from_a_file_is_promised_too(void **state) {
    struct kit *kit = *state;
    struct mail mail = {0};
    char name[] = "/tmp/tidegate-redo-XXXXXX";
    prepare(&mail, kit, 5);
    int fd = mkstemp(name);
    unlink(name);
    assert_int_equal(write(fd, mail.body + 1000, BODY - 1000), BODY - 1000);
    mail.job.part.iov_len = 1000;
    mail.job.op.file = fd;
    mail.job.op.file_length = BODY - 1000;
    mail.then = take_copy;
    store_submit(kit->store, &mail.job.op);
    assert_true(job_wait(&mail.job));
    close(fd);
    assert_true(mail.promised);
    struct kit copy = crashed(&mail);
    open_crashed(&copy);
    expect_body(&copy, &mail, 1005);
    expect_sound(&copy);
    kit_remove(&copy);
}

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(it_comes_before_the_commit_and_before_it_is_seen),
        CASE(after_a_crash_it_is_kept),
        CASE(looking_does_not_disturb_it),
        CASE(all_rounds_of_a_transaction_are_kept),
        CASE(what_is_settled_before_its_commit_is_in_no_table),
        CASE(what_was_settled_does_not_rise_again),
        CASE(what_is_torn_was_not_promised),
        CASE(only_the_store_itself_can_write_a_record),
        CASE(an_op_that_fails_takes_no_promised_one_with_it),
        CASE(what_cannot_be_committed_yet_is_kept_until_it_can),
        CASE(what_is_kept_at_close_is_there_at_the_next_open),
        cmocka_unit_test(the_reserve_has_room_for_what_was_promised),
        CASE(without_a_reserve_nothing_is_promised_ahead),
        CASE(a_new_segment_is_committed_before_it_holds_promises),
        CASE(a_message_without_a_body_and_a_fleeting_store_wait_for_the_commit),
        CASE(a_body_from_a_file_is_promised_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
