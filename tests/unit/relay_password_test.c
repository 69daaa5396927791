// SPDX-License-Identifier: MIT
#include "relay/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

// Of the password "tide".
static char *right_hash;

struct asker {
    struct loop *loop;
    struct password_ticket *ticket;
    enum password_result result;
    int answers;
    int *open; // checks under way of all askers: the last one stops the loop
};

static int make_hash(void **state) {
    (void)state;
    struct buf hash = {0};
    if (!password_hash(BYTES("tide"), &hash, NULL)) return -1;
    buf_z(&hash);
    right_hash = hash.at;
    return 0;
}

static int drop_hash(void **state) {
    (void)state;
    free(right_hash);
    return 0;
}

static void answered(void *arg, enum password_result result) {
    struct asker *a = arg;
    a->ticket = NULL;
    a->result = result;
    a->answers++;
    if (--*a->open == 0) loop_stop(a->loop);
}

static void hashes_are_yescrypt_and_salted(void **state) {
    (void)state;
    struct buf other = {0};
    assert_true(password_hash(BYTES("tide"), &other, NULL));
    assert_memory_equal(buf_z(&other), "$y$", 3);
    assert_string_not_equal(other.at, right_hash);
    assert_true(password_matches(other.at, BYTES("tide")));
    assert_false(password_matches(other.at, BYTES("tidE")));
    assert_false(password_matches(other.at, BYTES("tide\0")));
    buf_release(&other);
    struct err err;
    assert_false(password_hash(BYTES("a\0b"), &other, &err));
}

static void known_hashes_match(void **state) {
    (void)state;
    // As `openssl passwd -6` makes it.
    assert_true(password_matches("$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/"
                                 "O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
                                 BYTES("Hello world!")));
    assert_false(password_matches("$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/"
                                  "O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz2",
                                  BYTES("Hello world!")));
    assert_false(password_matches("!", BYTES("")));
    assert_false(password_matches("*", BYTES("*")));
    assert_false(password_matches("nonsense", BYTES("nonsense")));
}

static void answers_come_on_the_loop(void **state) {
    (void)state;
    struct loop *loop = loop_new(NULL);
    struct password_pool *pool = password_pool_new(2, NULL);
    char locked[256] = "!";
    strcat(locked, right_hash);
    char long_password[600];
    memset(long_password, 'a', sizeof long_password);
    const struct {
        const char *hash;
        struct bytes password;
        enum password_result want;
    } cases[] = {
        {right_hash, BYTES("tide"), PASSWORD_RIGHT},
        {right_hash, BYTES("tides"), PASSWORD_WRONG},
        {right_hash, BYTES(""), PASSWORD_WRONG},
        {right_hash, BYTES("tide\0x"), PASSWORD_WRONG},
        {right_hash, bytes_range(long_password, sizeof long_password), PASSWORD_WRONG},
        {NULL, BYTES("tide"), PASSWORD_WRONG},
        {NULL, BYTES("nobody's password"), PASSWORD_WRONG}, // what the decoy is made of is no way in
        {locked, BYTES("tide"), PASSWORD_WRONG},
        {"broken", BYTES("tide"), PASSWORD_WRONG},
    };
    enum { N = sizeof cases / sizeof *cases };
    struct asker askers[N] = {0};
    int open = N;
    for (int i = 0; i < N; i++) {
        askers[i] = (struct asker){.loop = loop, .open = &open};
        askers[i].ticket = password_check(pool, loop, cases[i].hash, cases[i].password, answered, &askers[i]);
        assert_int_equal(askers[i].answers, 0);
    }
    loop_run(loop);
    for (int i = 0; i < N; i++) {
        assert_int_equal(askers[i].answers, 1);
        if (askers[i].result != cases[i].want) fail_msg("case %d: %d", i, askers[i].result);
    }
    password_pool_free(&pool);
    loop_free(&loop);
}

static void cancelled_is_silent_and_full_is_busy(void **state) {
    (void)state;
    enum { MANY = 600 };
    struct loop *loop = loop_new(NULL);
    struct password_pool *pool = password_pool_new(1, NULL);
    struct asker askers[MANY];
    int open = MANY / 2;
    for (int i = 0; i < MANY; i++) {
        askers[i] = (struct asker){.loop = loop, .open = &open};
        askers[i].ticket = password_check(pool, loop, NULL, BYTES("x"), answered, &askers[i]);
    }
    for (int i = 0; i < MANY / 2; i++)
        password_cancel(&askers[i].ticket);
    assert_null(askers[0].ticket);
    password_cancel(&askers[0].ticket);
    password_pool_free(&pool); // what was not checked is answered in the loop's last turn
    loop_free(&loop);
    int busy = 0;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(askers[i].answers, i < MANY / 2 ? 0 : 1);
        busy += askers[i].answers && askers[i].result == PASSWORD_BUSY;
    }
    assert_true(busy > 80); // beyond the queue, or not begun
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_yescrypt_and_salted),
        cmocka_unit_test(known_hashes_match),
        cmocka_unit_test(answers_come_on_the_loop),
        cmocka_unit_test(cancelled_is_silent_and_full_is_busy),
    };
    return cmocka_run_group_tests_name("relay/password", tests, make_hash, drop_hash);
}
